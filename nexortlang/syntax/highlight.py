"""Colours: the class of every character of a text.

In: a text, well-formed or not. Out: `Region`s without gaps from its first character to its last. Never raises. The prompt, the language
server and the Pygments lexer colour with it, and the editors' grammars are held to it, so it uses what they can: words and their
neighbours, no scopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import MISTAKES, Token, scan
from nexortlang.syntax.words import CONSTANTS, DECLARATIONS, FUNCTIONS, LAWS, LOGIC

Class: TypeAlias = Literal[
    "comment",
    "doc",  # ## …
    "keyword",  # show, for, import, …
    "declaration",  # width, const, def, optimizer, state
    "logic",  # and, or, not
    "function",  # a name that is defined by def or optimizer, or called
    "builtin",  # a built-in function
    "law",  # normal, …, after ~
    "constant",  # pi, inf, None, ...
    "property",  # after a dot
    "argument",  # before = in brackets
    "name",
    "number",
    "string",
    "operator",
    "braket",  # < | > and ⟨ ⟩ of <x|y> and |x><y|
    "punctuation",  # ( ) [ ] , : .
    "error",  # no word of the language
    "text",  # spaces, line ends
]
CLASSES: tuple[Class, ...] = get_args(Class)


class Region(NamedTuple):
    """The code points start ≤ i < end of a text, and their class."""

    start: int
    end: int
    kind: Class


def highlight(text: str) -> list[Region]:
    """The regions of a text, in order: the first starts at 0, each starts where the one before ends, the last ends at len(text)."""
    regions: list[Region] = []
    position = 0
    for token, kind in classified(text):
        if token.start > position:
            regions.append(Region(position, token.start, "text"))
        regions.append(Region(token.start, token.end, kind))
        position = token.end
    if position < len(text):
        regions.append(Region(position, len(text), "text"))
    return regions


def classified(text: str) -> Iterator[tuple[Token, Class]]:
    """The words of a text, comments and line ends among them, each with its class; spaces are left out."""
    tokens = [*scan(text, 1 if text.startswith("\ufeff") else 0)]
    reader = _Reader(text)
    for i, token in enumerate(tokens):
        yield token, reader.read(token, tokens, i)


_PUNCTUATION = frozenset("()[],:.")
_OPERAND_ENDS = frozenset({"NAME", "NUMBER", "STRING", ")", "]", "ᵀ", "..."})
_STATEMENT_WORDS = DECLARATIONS | {"show", "assert", "return", "import", "from", "for", "if", "elif", "else"}


class _Reader:
    """Goes through the words once. `open` holds what is open, innermost last: "(", "[", "<" of <x|y>, and of |x><y| in turn "|x", "|x>", "|x><"."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reserved = table().reserved
        self.open: list[str] = []
        self.brackets = 0  # how many of them are ( or [
        self.before = ""  # the kind of the last word
        self.after_operand = False  # an operand has just ended: < would compare

    def read(self, token: Token, tokens: Sequence[Token], i: int) -> Class:
        kind = token.kind
        if kind == "COMMENT":
            return "doc" if self.text.startswith("##", token.start) else "comment"
        if kind == "LINE_END":
            if not self.brackets:  # bra-kets do not go on in the next line
                self.open.clear()
                self.before, self.after_operand = "", False
            return "text"
        if kind in _STATEMENT_WORDS:  # never inside brackets: one was left open
            self.open.clear()
            self.brackets = 0
        found = self._braket(kind) or self._class(token, tokens, i)
        if found != "braket":
            self.after_operand = kind in _OPERAND_ENDS
        self.before = kind
        return found

    def _class(self, token: Token, tokens: Sequence[Token], i: int) -> Class:
        kind = token.kind
        match kind:
            case "NAME":
                return self._name(self.text[token.start : token.end], tokens[i + 1].kind if i + 1 < len(tokens) else "")
            case "NUMBER":
                return "number"
            case "STRING":
                return "string"
            case "...":
                return "constant"
            case "(" | "[":
                self.open.append(kind)
                self.brackets += 1
            case ")" | "]":
                self._close()
        if kind in MISTAKES:
            return "error"
        if kind in self.reserved:
            return "declaration" if kind in DECLARATIONS else "logic" if kind in LOGIC else "keyword"
        return "punctuation" if kind in _PUNCTUATION else "operator"

    def _close(self) -> None:
        """Closes the innermost bracket, and the bra-kets left open in it."""
        while self.brackets and self.open.pop() not in ("(", "["):
            pass
        self.brackets = max(0, self.brackets - 1)

    def _name(self, word: str, after: str) -> Class:
        if self.before == ".":
            return "function" if after == "(" else "property"
        if after == "=" and self.brackets:
            return "argument"
        if self.before in ("def", "optimizer"):
            return "function"
        if self.before == "~" and word in LAWS:
            return "law"
        if word in FUNCTIONS:
            return "builtin"
        if word in CONSTANTS:
            return "constant"
        return "function" if after == "(" else "name"

    def _braket(self, kind: str) -> Class | None:
        """Whether < | > belongs to a bra-ket; keeps track of what is open and whether an operand has ended."""
        inner = self.open[-1] if self.open else ""
        match kind:
            case "<" | "⟨" if inner == "|x>":
                self.open[-1] = "|x><"
                self.after_operand = False
            case "<" | "⟨" if not self.after_operand:
                self.open.append("<")
            case "|" if not self.after_operand:
                self.open.append("|x")
            case "|" if inner == "|x><":
                self.open.pop()  # an operand ends: after_operand stays
            case "|":
                self.after_operand = False
            case ">" | "⟩" if inner == "<":
                self.open.pop()
                self.after_operand = True
            case ">" | "⟩" if inner == "|x":
                self.open[-1] = "|x>"
                self.after_operand = False
            case "⟨" | "⟩":
                return "error"
            case _:
                return None
        return "braket"
