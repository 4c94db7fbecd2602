"""From text to the tree.

In: a source. Out: the module, with every statement that could be read, and the syntax mistakes in the order of the text. Never raises, whatever
the text. A statement that cannot be read is left out together with the deeper lines below it; reading goes on with the next one.
"""

from __future__ import annotations

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.source import Source, Span
from nexortlang.syntax import lexical, messages
from nexortlang.syntax.ast import Expr, Module
from nexortlang.syntax.automaton import Automaton
from nexortlang.syntax.build_tree import TreeBuilder
from nexortlang.syntax.layout import Layout, Line
from nexortlang.syntax.tokens import Token

MAX_MISTAKES = 50  # then reading stops
MAX_BLOCKS = 50  # blocks within blocks


def parse(source: Source) -> tuple[Module, list[Diagnostic]]:
    """The tree of a whole file, and the mistakes in it."""
    return _Parser(source).module()


def parse_expression(source: Source) -> tuple[Expr | None, list[Diagnostic]]:
    """The tree of a text that is one expression; None when there are mistakes."""
    automaton = Automaton(source, TreeBuilder(source), "expression")
    first, *more = [*Layout(source).lines()] or [Line(0, 0)]
    end = first.tokens[-1].end if first.tokens else len(source.text)
    last = Token("_NEWLINE" if more else "$END", end, end)
    mistake = first.mistake or _feed(automaton, [*first.tokens, last])
    return (None, [mistake]) if mistake else (automaton.result, [])


def is_complete(text: str) -> bool:
    """Whether what was typed so far can stand alone: no bracket is open, and no block waits for more lines.

    As at Python's prompt, an empty last line ends a block. A text with mistakes is complete: running it tells them.
    """
    block = False
    for line in Layout(Source("", text)).lines():
        if line.cut_short or line.mistake:
            return not line.cut_short
        block = line.indent > 0 or line.tokens[-1].kind == ":"
    return not block or not text.rpartition("\n")[2].strip()


def _feed(automaton: Automaton, tokens: list[Token]) -> Diagnostic | None:
    """Feed words until one does not fit; what is wrong with it."""
    try:
        for i, token in enumerate(tokens):
            if not automaton.feed(*token):
                return messages.unexpected(automaton, tokens, i)
    except NexortError as refusal:
        return refusal.diagnostics[0]
    return None


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.layout = Layout(source)
        self.tree = TreeBuilder(source)
        self.automaton = Automaton(source, self.tree, "module")
        self.mistakes: list[Diagnostic] = []
        self.levels: list[tuple[int, bool]] = [(0, True)]  # the open indents; False: deeper by mistake, no block
        self.header: Line | None = None  # the last line, when its block must follow
        self.mended = False  # that line lacked its colon
        self.skipped: int | None = (
            None  # the indent of a bad statement: deeper lines, and its elif and else, belong to it
        )

    def module(self) -> tuple[Module, list[Diagnostic]]:
        for line in self.layout.lines():
            if len(self.mistakes) >= MAX_MISTAKES:
                break
            if not self._belongs_to_bad(line) and self._indent(line):
                self._statement(line)
        if self.header:
            self._no_block(self.header, None)
        self._dedent(0)
        end = len(self.source.text)
        self.automaton.feed("$END", end, end)
        found = [m for m in self.mistakes if not (self.layout.notes and m.code in lexical.DEPTHS)]
        mistakes = sorted(found + self.layout.notes, key=lambda m: m.span.start if m.span else 0)
        return Module(self.automaton.result, self.layout.doc, Span(self.source, 0, end)), mistakes

    def _belongs_to_bad(self, line: Line) -> bool:
        if self.skipped is None:
            return False
        clause = line.tokens[0].kind in ("elif", "else")
        if line.indent > self.skipped or (line.indent == self.skipped and clause):
            return True
        self.skipped = None
        return False

    def _statement(self, line: Line) -> None:
        self.tree.docs[line.start] = line.doc
        end = line.tokens[-1].end
        line_end = Token("_NEWLINE", end, end)
        mistake = line.mistake or _feed(self.automaton, [*line.tokens, line_end])
        if mistake:
            self.mistakes.append(mistake)
            self.mended = messages.lacks_colon(mistake, end)
            if not self.mended or _feed(self.automaton, [Token(":", end, end), line_end]):
                self._give_up(line)
                return
        self.header = line if self.automaton.expects("_INDENT") else None

    def _give_up(self, line: Line) -> None:
        self.automaton.give_up(line.start)
        self.header, self.mended = None, False
        self.skipped = line.indent

    def _indent(self, line: Line) -> bool:
        """Open and close blocks, so that the line can be read as a statement. False: it is not to be read."""
        if self.header and line.indent > self.levels[-1][0]:
            if len(self.levels) > MAX_BLOCKS:
                self.mistakes.append(lexical.too_many_blocks(self.source, line.start, MAX_BLOCKS))
                self._give_up(self.header)
                return False
            self._open(line, block=True)
        elif line.indent > self.levels[-1][0]:
            self.mistakes.append(lexical.unexpected_indent(self.source, line.start, line.indent, self.levels[-1][0]))
            self._open(line, block=False)
        else:
            if self.header:
                self._no_block(self.header, line)
            self._dedent(line.indent)
            if line.indent > self.levels[-1][0]:
                outer = [indent for indent, block in self.levels if block]
                self.mistakes.append(lexical.no_such_level(self.source, line.start, line.indent, outer))
                self._open(line, block=False)
        self.header, self.mended = None, False
        return True

    def _open(self, line: Line, block: bool) -> None:
        self.levels.append((line.indent, block))
        if block:
            self.automaton.feed("_INDENT", line.start, line.start)

    def _dedent(self, indent: int) -> None:
        while self.levels[-1][0] > indent:
            _, block = self.levels.pop()
            if block:
                self.automaton.close_block()

    def _no_block(self, header: Line, found: Line | None) -> None:
        if not self.mended:
            self.mistakes.append(lexical.no_block(self.source, header, found))
        self.automaton.give_up(header.start)
