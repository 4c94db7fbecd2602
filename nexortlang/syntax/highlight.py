"""Colours: the class of every character of a text.

In: a text, well-formed or not. Out: `Region`s without gaps from its first character to its last. Never raises. The prompt, the language
server and the Pygments lexer colour with it, and the editors' grammars are held to it, so it uses what they can: words and their
neighbours, no scopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

from nexortlang.syntax.nesting import Nesting
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


class _Reader:
    """Goes through the words once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reserved = table().reserved
        self.nesting = Nesting()
        self.before = ""  # the kind of the last word

    def read(self, token: Token, tokens: Sequence[Token], i: int) -> Class:
        kind = token.kind
        if kind == "COMMENT":
            return "doc" if self.text.startswith("##", token.start) else "comment"
        found: Class
        if self.nesting.feed(kind) is not None:
            found = "braket"
        elif kind == "LINE_END":
            return "text"
        elif kind == "NAME":
            after = tokens[i + 1].kind if i + 1 < len(tokens) else ""
            found = self._name(self.text[token.start : token.end], after)
        else:
            found = self._class(kind)
        self.before = kind
        return found

    def _class(self, kind: str) -> Class:
        match kind:
            case "NUMBER":
                return "number"
            case "STRING":
                return "string"
            case "...":
                return "constant"
            case "⟨" | "⟩":  # of no bra-ket
                return "error"
        if kind in MISTAKES:
            return "error"
        if kind in self.reserved:
            return "declaration" if kind in DECLARATIONS else "logic" if kind in LOGIC else "keyword"
        return "punctuation" if kind in _PUNCTUATION else "operator"

    def _name(self, word: str, after: str) -> Class:
        if self.before == ".":
            return "function" if after == "(" else "property"
        if after == "=" and self.nesting.brackets:
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
