"""Programs laid out at random: other spaces, line breaks within brackets, indentation, empty lines and comments, the words and their meaning the same.

In: a program without mistakes and a source of random choices. Out: a text whose syntax tree is equal but for places and documentation.
"""

from __future__ import annotations

from random import Random

from nexortlang.source import Source
from nexortlang.syntax.layout import Layout
from nexortlang.syntax.nesting import Nesting
from nexortlang.syntax.tokens import Line, scan

_COMMENTS = ["#", "# a comment", "#  two spaces", "#! NX101", "# ξ, a < b, (unclosed [", "## documentation", "#x\t"]


def laid_out(rng: Random, text: str, *, breaks: bool = True) -> str:
    """The words of a text, laid out anew. `breaks`: line breaks and comments within brackets too."""
    lines = [*Layout(Source("", text)).lines()]
    end = "\r\n" if rng.random() < 0.1 else "\n"
    out: list[str] = []
    indents = [0]
    levels = [0]
    for line in lines:
        if line.indent > indents[-1]:
            indents.append(line.indent)
            levels.append(levels[-1] + rng.choice([1, 2, 3, 4, 4, 8]))
        while line.indent < indents[-1]:
            indents.pop()
            levels.pop()
        out += _between(rng, levels[-1])
        out.append(" " * levels[-1] + _line(rng, text, line, levels[-1], breaks))
    out += _between(rng, 0)
    joined = end.join(row for piece in out for row in piece.split("\n"))
    return joined + rng.choice(["", end, end * 3])


def _between(rng: Random, level: int) -> list[str]:
    """Empty lines and comments before a statement."""
    found: list[str] = []
    while rng.random() < 0.3:
        found.append(rng.choice(["", " " * rng.randrange(9) + rng.choice(_COMMENTS), "   " * rng.randrange(2)]))
    return found


def _line(rng: Random, text: str, line: Line, level: int, breaks: bool) -> str:
    out: list[str] = []
    nesting = Nesting()
    before = ""
    for i, token in enumerate(line.tokens):
        word = text[token.start : token.end]
        if i:
            out.append(_gap(rng, before, word, level, breaks and nesting.brackets > 0))
        nesting.feed(token.kind)
        out.append(word)
        before = word
    if rng.random() < 0.3:
        out.append(" " * rng.choice([0, 1, 2, 7]) + rng.choice(_COMMENTS))
    return "".join(out)


def _gap(rng: Random, before: str, word: str, level: int, breaks: bool) -> str:
    if breaks and rng.random() < 0.1:
        comment = rng.choice(["", "", " " * rng.randrange(4) + rng.choice(_COMMENTS)])
        return comment + "\n" * rng.choice([1, 1, 1, 2, 5]) + " " * (level + rng.randrange(30))
    if rng.random() < 0.4 and _touch(before, word):
        return ""
    return " " * rng.choice([1, 1, 1, 2, 3, 6]) if rng.random() < 0.95 else "\t"


def _touch(before: str, word: str) -> bool:
    return [t.end for t in scan(before + word)] == [len(before), len(before + word)]
