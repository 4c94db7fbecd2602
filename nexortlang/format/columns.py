"""Columns: what the author aligned stays aligned.

In: items with spaces and breaks. Out: their lines as text. Words are taken for aligned when they stand below each other on neighbouring lines, say the same
(an operator) or are both operands, and one has more spaces before it than it needs; numbers in brackets also when their ends stand so. Comments at line ends
keep their column, and move together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nexortlang.format.breaking import margin
from nexortlang.format.words import INDENT, MOST_EMPTY_LINES, Item, Word
from nexortlang.syntax.table import table

_COMMENT_GAP = 2
_MOST_ROUNDS = 10  # then nothing is aligned


@dataclass(slots=True, eq=False)
class Row:
    """One line. `comment`: at its end, or alone below such a one and aligned with it (then there are no words).

    `is_settled`: it is a line of the author's, begun where the author's layout has it, so that columns in it are meant.
    """

    words: list[Word]
    comment: Word | None
    indent: int  # of its item
    empty_lines: int  # before it
    is_settled: bool = True
    placed: int = 0  # how many words know their column

    def end(self) -> int:
        """The column behind its last word."""
        if not self.words:
            return 0
        self.place(len(self.words) - 1)
        return self.words[-1].at + len(self.words[-1].text)

    def place(self, k: int) -> int:
        """The column of a word, once no more padding comes before it."""
        while self.placed <= k:
            word = self.words[self.placed]
            if self.placed == 0:
                word.at = margin(word, self.indent)
            else:
                before = self.words[self.placed - 1]
                word.at = before.at + len(before.text) + word.space + word.pad
            self.placed += 1
        return self.words[k].at

    def text(self) -> str:
        parts: list[str] = []
        column = 0
        for word in [*self.words, self.comment] if self.comment else self.words:
            parts += [" " * (word.at - column), word.text]
            column = word.at + len(word.text)
        return "".join(parts)


def lines(items: Sequence[Item]) -> Iterator[str]:
    """The lines of a text, without line ends."""
    rows = list(_rows(items))
    _align(rows)
    _place_comments(rows)
    for i, row in enumerate(rows):
        if i:
            yield from [""] * min(row.empty_lines, MOST_EMPTY_LINES)
        yield row.text()


def _rows(items: Sequence[Item]) -> Iterator[Row]:
    above: Row | None = None
    for item in items:
        for words in _split(item.words):
            empty_lines = words[0].breaks - 1 if words[0] is not item.words[0] else item.empty_lines
            row = Row(words, None, item.depth * INDENT, empty_lines)
            if words[-1].is_comment and (len(words) > 1 or _continues(words[0], row, above)):
                row.comment = words.pop()
            if words:
                row.is_settled = not words[0].is_new_line and _stands_well(words[0])
                if above and words[0].is_new_line:
                    above.is_settled = False
            elif above:
                row.is_settled = above.is_settled
            for word in words:
                word.first = words[0]
            yield row
            above = row


def _split(words: Sequence[Word]) -> Iterator[list[Word]]:
    line: list[Word] = []
    for word in words:
        if word.breaks and line:
            yield line
            line = []
        line.append(word)
    yield line


def _continues(comment: Word, row: Row, above: Row | None) -> bool:
    """Whether a comment alone goes on with the one at the end of the line above."""
    return (
        above is not None
        and above.comment is not None
        and not row.empty_lines
        and above.comment.column == comment.column
    )


def _stands_well(first: Word) -> bool:
    """Whether the author began a line within brackets where it belongs, so that columns in it are meant."""
    opener = first.opener
    if opener is None:
        return True
    closes = first.kind in (")", "]")
    if opener.hanging:
        return first.column == opener.first.column + (0 if closes else INDENT)
    return first.column == opener.column + (0 if closes else 1)


# ---------------------------------------------------------------------------- alignment


@dataclass(frozen=True, slots=True)
class _Cell:
    """What may be aligned: the k-th word of a row, or a number with its sign, `width` wide."""

    row: Row
    k: int
    width: int

    @property
    def word(self) -> Word:
        return self.row.words[self.k]


@dataclass(frozen=True, slots=True)
class _Place:
    """What stands where in a line: a word that starts at a column, or a number that ends there."""

    column: int
    starts: bool
    kind: str


_Group = tuple[_Place, list[_Cell]]


def _align(rows: Sequence[Row]) -> None:
    """Pad the words of each group to one column, by the least padding that does so for all groups.

    What comes out satisfies what is asked of it the next time, with no less padding: formatting again changes nothing.
    """
    groups = [(place, cells) for place, cells in _groups(rows) if any(c.word.gap > c.word.space for c in cells)]
    groups.sort(key=lambda group: (group[0].column, group[0].starts))  # padding moves what stands right of it
    for _ in range(_MOST_ROUNDS):
        is_moved = [_pad(place, cells) for place, cells in groups]
        for row in rows:
            row.placed = 0
        if not any(is_moved):
            return
    for _, cells in groups:
        for cell in cells:
            cell.word.pad = 0


def _pad(place: _Place, cells: Sequence[_Cell]) -> bool:
    """Bring the words of one group to one column; whether any had to move."""
    columns = [cell.row.place(cell.k) + (0 if place.starts else cell.width) for cell in cells]
    target = max(columns)
    for cell, column in zip(cells, columns, strict=True):
        cell.word.pad += target - column
        cell.word.at += target - column
        cell.row.placed = cell.k + 1
    return min(columns) < target


def _groups(rows: Sequence[Row]) -> Iterator[_Group]:
    """What stands at one place on neighbouring lines; a number may stand below one number by its start, below another by its end."""
    standing: dict[_Place, list[_Cell]] = {}
    for above, row in pairwise([None, *rows, None]):
        below: dict[_Place, list[_Cell]] = {}
        if row is not None and row.is_settled:
            near = above is not None and above.is_settled and not row.empty_lines
            for place, cell in _cells(row):
                below[place] = standing.pop(place, []) if near else []
                below[place].append(cell)
        yield from ((place, cells) for place, cells in standing.items() if len(cells) > 1)
        standing = below


def _cells(row: Row) -> Iterator[tuple[_Place, _Cell]]:
    """What may be aligned in a row: words after a space, and numbers in brackets."""
    reserved = table().reserved
    for k, (before, word) in enumerate(pairwise(row.words), start=1):
        number = word
        if word.is_unary and k + 1 < len(row.words):
            number = row.words[k + 1]
        is_number = number.kind == "NUMBER" and word.opener is not None
        if word.space or (is_number and before is word.opener):
            width = len(word.text) + (len(number.text) + number.space if number is not word else 0)
            kind = word.kind if word.after_operand or word.kind in reserved else "operand"
            yield _Place(word.column, True, kind), _Cell(row, k, width)
            if is_number and (number is word or number.gap == 0):
                yield _Place(number.column + len(number.text), False, "number"), _Cell(row, k, width)


# ---------------------------------------------------------------------------- comments


def _place_comments(rows: Sequence[Row]) -> None:
    """Comments keep their column where they can; those that follow each other at one column stay at one. Behind a line broken anew they come close."""
    runs: list[list[tuple[Row, Word]]] = []
    for row in rows:
        row.end()
        if row.comment is None:
            continue
        if not runs or (row.words and not _stands_below(row, *runs[-1][-1])):
            runs.append([])
        runs[-1].append((row, row.comment))
    for run in runs:
        ends = [row.end() + _COMMENT_GAP for row, _ in run if row.words]
        first, comment = run[0]
        column = max([*ends, comment.column] if first.is_settled else ends)
        for _, comment in run:
            comment.at = column


def _stands_below(row: Row, above: Row, comment: Word) -> bool:
    return row.comment is not None and row.comment.column == comment.column and row.is_settled and above.is_settled
