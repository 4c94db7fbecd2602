"""Line breaks within a statement.

In: the words of an item, spaced. Out: their `breaks`. The author's breaks stay; a line that is still too long is broken where the language lets it, inside ( ) and
[ ], and where its parts fall apart most: outside before inside, after a comma before `or`, before `or` before `+` before `*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nexortlang.format.words import INDENT, MOST_EMPTY_LINES, Word

LIMIT = 120
"""Columns of a line; a comment at its end does not count."""

_LOOSENESS = {
    **dict.fromkeys(["or"], 1),
    **dict.fromkeys(["and"], 2),
    **dict.fromkeys(["<", "<=", ">", "_GE", "==", "!="], 3),
    **dict.fromkeys(["+", "-"], 4),
    **dict.fromkeys(["*", "/", "//", "%", "@"], 5),
}
_WORTH = 2 * INDENT  # columns that a break after an opening bracket must save

Rank = tuple[int, int]
_LAST_RESORT: Rank = (1 << 30, 0)


def set_breaks(words: Sequence[Word], indent: int) -> None:
    """Break what is too long, and mark the brackets that a line ends with. `indent`: the column of the first word."""
    for before, word in pairwise(words):
        word.breaks = min(word.breaks, 1 + MOST_EMPTY_LINES)
        before.hanging = before.kind in ("(", "[") and (word.breaks > 0 or word.is_comment)
    start = 0
    while start < len(words):
        start = _line(words, start, indent)


def margin(first: Word, indent: int) -> int:
    """Where a line begins, by its first word: right of the bracket that it stands in, or four columns in when that bracket ended its line."""
    opener = first.opener
    if opener is None:
        return indent
    closes = first.kind in (")", "]")
    if opener.hanging:
        return opener.first.at + (0 if closes else INDENT)
    return opener.at + (0 if closes else 1)


def _line(words: Sequence[Word], start: int, indent: int) -> int:
    """Place the words of a line, break it if it is too long, and tell where the next one starts."""
    first = words[start]
    column = margin(first, indent)
    best: tuple[Rank, int] | None = None
    for i in range(start, len(words)):
        word = words[i]
        if i > start:
            if word.breaks:
                return i
            if word.is_comment:
                continue
            rank = _rank(words, i, fits=column <= LIMIT)
            if rank is not None and (best is None or rank <= best[0]):
                best = (rank, i)
            column += word.space
        word.first, word.at = first, column
        column += len(word.text)
        if column > LIMIT and best is not None:
            return _break(words, best[1])
    return len(words)


def _break(words: Sequence[Word], i: int) -> int:
    words[i].breaks, words[i].is_new_line = 1, True
    words[i - 1].hanging = words[i - 1].kind in ("(", "[")
    return i


def _rank(words: Sequence[Word], i: int, fits: bool) -> Rank | None:
    """How well a line breaks before a word, less is better; None where it does not. `fits`: what stands before is short enough."""
    before, word = words[i - 1], words[i]
    if word.opener is None or word.kind in (")", "]"):
        return None
    if before.kind == ",":
        return before.depth, 0
    if before is word.opener:
        return _LAST_RESORT if fits and before.at - before.first.at > _WORTH else None
    if word.space and word.after_operand and word.part is None and word.kind in _LOOSENESS:
        return word.depth, _LOOSENESS[word.kind]
    return None
