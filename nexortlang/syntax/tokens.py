"""From text to words.

In: a text. Out: its words as `Token`s, comments and line ends among them, spaces left out. Never fails: what is no word of the language comes out as a token of kind UNKNOWN, BAD_NUMBER or OPEN_STRING, which the layout turns into a diagnostic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nexortlang.diagnostics import Diagnostic
from nexortlang.syntax.table import table


class Token(NamedTuple):
    """`kind` is a terminal of the grammar, or COMMENT, LINE_END, UNKNOWN, BAD_NUMBER, OPEN_STRING. LINE_END takes the empty lines that follow."""

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Line:
    """The words of one statement or block header. `indent` counts code points; `cut_short`: the text ends before the brackets are closed."""

    indent: int
    start: int
    tokens: list[Token] = field(default_factory=list)
    doc: str = ""
    mistake: Diagnostic | None = None
    cut_short: bool = False


CLOSING = {"(": ")", "[": "]"}
MISTAKES = frozenset({"UNKNOWN", "BAD_NUMBER", "OPEN_STRING"})

_EXTRA = {ord(c): None for c in "₀₁₂₃₄₅₆₇₈₉′"}  # what a name may hold beyond a Unicode identifier
_NUMBER_TAIL = re.compile(r"(?:\w|\.(?=[\w.]))*")
_LINE_REST = re.compile(r"[^\r\n]*")


def scan(text: str, position: int = 0) -> Iterator[Token]:
    """The words of a text from a position on."""
    table_ = table()
    reserved, match = table_.reserved, table_.scanner.match
    while position < len(text):
        found = match(text, position)
        assert found is not None and found.lastgroup is not None  # UNKNOWN matches whatever is left
        kind, end = found.lastgroup, found.end()
        match kind:
            case "SPACE":
                position = end
                continue
            case "NAME":
                word = found.group()
                if word in reserved:
                    kind = word
                elif (length := _name_length(word)) < len(word):
                    if length:
                        yield Token("NAME", position, position + length)
                    kind, position = "UNKNOWN", position + length
            case "OPERATOR":
                kind = found.group()
            case "NUMBER":
                tail = _NUMBER_TAIL.match(text, end)
                if tail is not None and tail.end() > end:
                    kind, end = "BAD_NUMBER", tail.end()
                elif float(found.group()) == float("inf"):
                    kind = "BAD_NUMBER"
            case "UNKNOWN" if found.group() in "\"'":
                rest = _LINE_REST.match(text, position)
                kind, end = "OPEN_STRING", rest.end() if rest else end
        yield Token(kind, position, end)
        position = end


def _name_length(word: str) -> int:
    """How much of a run of letters and the like is a name: all of it for x₁, 1 for x², 0 for ½."""
    plain = word if word.isascii() else word.translate(_EXTRA)
    if plain.isidentifier():
        return len(word)
    return next(i for i, c in enumerate(word) if ord(c) not in _EXTRA and not (c if i == 0 else "a" + c).isidentifier())
