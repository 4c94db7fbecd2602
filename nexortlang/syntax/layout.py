"""From words to logical lines: indentation, brackets, comments.

In: a source. Out: `Line`s, each the words of one statement or block header (a line goes on inside ( ) and [ ]), how deep it is
indented, and the documentation comment above it. The first mistake in the words of a line (a stray character, an open bracket) travels with
the line; what follows begins on a line of its own, so that one mistake does not hide the next. Time is linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterator

from nexortlang.diagnostics import Diagnostic
from nexortlang.source import Source
from nexortlang.syntax import lexical
from nexortlang.syntax.tokens import CLOSING, MISTAKES, Line, Token, scan

MAX_BRACKETS = 100  # brackets within brackets
_TAB_STOPS = 4  # how deep a tab, which is a mistake, is taken to be meant
MAX_WORDS = 500_000  # in one statement; a larger table belongs into a file

_DOCUMENTED = frozenset({"def", "const", "optimizer"})
_CLAUSES = frozenset({"width", "return", "for", "if", "elif", "else", "import", "from", "state", "show", "assert"})
_STATEMENT_WORDS = _DOCUMENTED | _CLAUSES


class Layout:
    """Reads a source line by line. After `lines` is through, `doc` is the documentation of the file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.doc = ""
        self.notes: list[Diagnostic] = []  # mistakes that spoil no line
        self._comments: list[str] = []  # the last run of documentation comments, since the last statement
        self._comments_stand_apart = False  # an empty line follows them
        self._any_statement = False
        self._impatient = False  # a bracket was left open: from now on a line that is not deeper ends it

    def lines(self) -> Iterator[Line]:
        text = self.source.text
        position = 1 if text.startswith("\ufeff") else 0
        while position < len(text):
            line, position = self._read(position)
            if line is not None:
                yield line
        if not self._any_statement:
            self._file_doc()

    def _read(self, line_start: int) -> tuple[Line | None, int]:
        """The logical line that begins at a line start (None: it holds no words), and where to read on."""
        text = self.source.text
        line: Line | None = None
        brackets: list[Token] = []
        words = 0
        fresh = True  # no word yet on this physical line
        for token in scan(text, line_start):
            kind = token.kind
            if kind == "LINE_END":
                if not brackets:
                    empty_line = fresh or text.count("\n", token.start, token.end) > 1
                    self._comments_stand_apart |= line is None and empty_line
                    return line, token.end
                line_start, fresh = token.end, True
                continue
            if kind == "COMMENT":
                if line is None:
                    self._comment(text[token.start : token.end])
                    fresh = False
                continue
            if line is None:
                line = self._begin(token, line_start)
            elif fresh and self._ends(line, token, line_start):
                return self._unclosed(line, brackets[0])
            fresh = False
            words += 1
            if words > MAX_WORDS:
                line.mistake = line.mistake or lexical.too_long(self.source, token, MAX_WORDS)
                return line, text.find("\n", token.end) + 1 or len(text)
            if line.mistake is None:
                line.tokens.append(token)
            self._check(line, token, brackets)
            if len(brackets) > MAX_BRACKETS:
                line.mistake = line.mistake or lexical.too_deep(self.source, token, MAX_BRACKETS)
                return line, self._next_statement(token, line.indent)
        if line is None or not brackets:
            return line, len(text)
        line.cut_short = not self._impatient
        return self._unclosed(line, brackets[0])

    def _unclosed(self, line: Line, bracket: Token) -> tuple[Line, int]:
        line.mistake = line.mistake or lexical.unclosed(self.source, bracket)
        self._impatient = True
        return line, self._next_statement(bracket, line.indent)

    def _begin(self, token: Token, line_start: int) -> Line:
        margin = self.source.text[line_start : token.start]
        if "\t" in margin and not any(note.code == lexical.TAB for note in self.notes):
            self.notes.append(lexical.tab(self.source, line_start + margin.index("\t")))
        documented = token.kind in _DOCUMENTED
        if not self._any_statement and (self._comments_stand_apart or not documented):
            self._file_doc()
        doc = "\n".join(self._comments) if documented else ""
        self._comments, self._comments_stand_apart = [], False
        self._any_statement = True
        return Line(len(margin.expandtabs(_TAB_STOPS)), token.start, doc=doc)

    def _check(self, line: Line, token: Token, brackets: list[Token]) -> None:
        """Keep track of the brackets; the line's first mistake stays with it."""
        kind, source = token.kind, self.source
        if kind in CLOSING:
            brackets.append(token)
        elif kind == ")" or kind == "]":
            if brackets and CLOSING[brackets[-1].kind] == kind:
                brackets.pop()
            else:
                line.mistake = line.mistake or lexical.unmatched(source, token, brackets[-1] if brackets else None)
                brackets.clear()
        elif kind in MISTAKES:
            line.mistake = line.mistake or lexical.bad_word(source, token)
            if kind == "OPEN_STRING":
                brackets.clear()  # those that it swallowed cannot be told

    def _ends(self, line: Line, token: Token, line_start: int) -> bool:
        """Whether a word that begins a physical line inside brackets is rather the next statement."""
        if token.start - line_start > line.indent:
            return False
        return token.kind in _STATEMENT_WORDS or (self._impatient and token.kind not in (")", "]"))

    def _next_statement(self, bracket: Token, indent: int) -> int:
        """Where to read on after a bracket that is never closed: the next line that is no deeper than its statement."""
        source = self.source
        for number in range(source.position(bracket.start)[0] + 1, len(source.line_starts) + 1):
            content = source.line_text(number)
            words = content.lstrip(" \t")
            if words and not words.startswith("#") and len(content) - len(words) <= indent:
                return source.line_starts[number - 1]
        return len(source.text)

    def _comment(self, text: str) -> None:
        if not text.startswith("##"):
            return
        if self._comments_stand_apart:
            if not self._any_statement:
                self._file_doc()
            self._comments, self._comments_stand_apart = [], False
        self._comments.append(text[2:].removeprefix(" ").rstrip())

    def _file_doc(self) -> None:
        """The first run of comments documents the file, unless a definition follows at once."""
        if not self.doc and self._comments:
            self.doc = "\n".join(self._comments)
            self._comments = []
