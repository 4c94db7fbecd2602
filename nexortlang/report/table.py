"""Tables of short texts for a terminal.

In: cells, labels of rows and columns, the width of the terminal. Out: lines. Guarantees: columns are aligned at the decimal point; what does
not fit side by side follows below in further blocks; of a large table the edges are shown and `…` stands for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ELLIPSIS = "…"
_MOST_ROWS = 24
_MOST_COLUMNS = 12
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Axis:
    """`count` rows or columns; `label` names each (an empty text: no label). `title` stands above the row labels."""

    count: int
    label: Callable[[int], str]
    title: str = ""


def is_elided(rows: int, columns: int) -> bool:
    """Whether a table of this size is not shown whole."""
    return rows > _MOST_ROWS or columns > _MOST_COLUMNS


def table(rows: Axis, columns: Axis, cell: Callable[[int, int], str], width: int, indent: str = "  ") -> list[str]:
    """The table in blocks of columns, none wider than `width` unless one column alone is."""
    shown = _edges(rows.count, _MOST_ROWS if columns.count <= _MOST_COLUMNS else _MOST_COLUMNS)
    margin = _left([indent + rows.title, *(indent + (ELLIPSIS if i is None else rows.label(i)) for i in shown)])
    if not "".join(margin).strip():  # no labels: no gap after them either
        margin = [indent.removesuffix(_GAP)] * len(margin)
    drawn = [_column(columns, shown, j, cell) for j in _edges(columns.count, _MOST_COLUMNS)]
    blocks = _blocks(drawn, margin, width)
    if columns.count > _MOST_COLUMNS and len(blocks) > 1:
        blocks = [_squeezed(drawn, margin, width)]
    out: list[str] = []
    for block in blocks:
        lines = [_GAP.join(parts).rstrip() for parts in zip(margin, *block, strict=True)]
        out += ["", *lines] if out else lines
    return out if out and out[0].strip() else out[1:]


def _squeezed(columns: Sequence[list[str]], margin: Sequence[str], width: int) -> list[list[str]]:
    """As many of the first columns of an elided table as leave room for the last one; the first one alone where there is none."""
    gap = [ELLIPSIS] * len(margin)
    room = width - sum(len(_GAP) + len(c[0]) for c in (gap, columns[-1])) - len(margin[0])
    first: list[list[str]] = []
    for column in columns:
        room -= len(_GAP) + len(column[0])
        if first and room < 0:
            break
        first.append(column)
    return [*first, gap, columns[-1]] if room >= 0 or len(first) > 1 else [*first, gap]


def _blocks(columns: Sequence[list[str]], margin: Sequence[str], width: int) -> list[list[list[str]]]:
    """The columns in groups that fit side by side behind the margin."""
    blocks: list[list[list[str]]] = []
    room = 0
    for column in columns:
        room -= len(_GAP) + len(column[0])
        if not blocks or room < 0:
            blocks.append([])
            room = width - len(margin[0]) - len(_GAP) - len(column[0])
        blocks[-1].append(column)
    return blocks


def _edges(count: int, most: int) -> list[int | None]:
    """The numbers 0 … count − 1, or the first and last of them with None between when there are more than `most`."""
    if count <= most:
        return list(range(count))
    tail = most // 3
    return [*range(most - tail), None, *range(count - tail, count)]


def _column(columns: Axis, rows: Sequence[int | None], j: int | None, cell: Callable[[int, int], str]) -> list[str]:
    """Heading and cells of one column, padded to one width."""
    if j is None:
        return [ELLIPSIS] * (len(rows) + 1)
    cells = _at_point([ELLIPSIS if i is None else cell(i, j) for i in rows])
    wide = max(map(len, [columns.label(j), *cells]))
    return [columns.label(j).ljust(wide), *(c.ljust(wide) for c in cells)]


def _at_point(texts: Sequence[str]) -> list[str]:
    """Numbers of one column with their decimal points under each other; other texts stay left."""
    places = [_point(t) for t in texts]
    before = max(places, default=0)
    return _left([" " * (before - p) + t for p, t in zip(places, texts, strict=True)])


def _point(text: str) -> int:
    """How many characters stand before the decimal point."""
    return next((i for i, c in enumerate(text) if c in ".(e"), len(text))


def _left(texts: Sequence[str]) -> list[str]:
    wide = max(map(len, texts), default=0)
    return [t.ljust(wide) for t in texts]
