"""Diagnostics as text for a terminal.

In: diagnostics, the terminal's width, whether colours are wanted. Out: one string, each diagnostic with the lines of
source it is about, carets under the primary place, dashes under the places that share the blame, the hint, and at the end which
lessons `nexort explain` has. Guarantees: no line is wider than asked for (down to 40 columns, long words excepted), and no
control character of the source reaches the terminal.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nexortlang.diagnostics.model import Diagnostic
from nexortlang.source import Source, Span

Paint = Literal["error", "warning", "note", "strong", "faint"]

_ANSI: dict[Paint, str] = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "note": "\x1b[1;34m",
    "strong": "\x1b[1m",
    "faint": "\x1b[2m",
}
_RESET = "\x1b[0m"
_MOST = 20
"""More errors than this are counted, not printed: they rarely have more than a few causes."""


def paint(text: str, how: Paint, color: bool) -> str:
    """The text in an ANSI style, or as it is."""
    return f"{_ANSI[how]}{text}{_RESET}" if color and text else text


def render(diagnostics: Iterable[Diagnostic], *, width: int = 80, color: bool = False) -> str:
    """All diagnostics, errors and warnings in the order given, ending in a line break (empty if there are none)."""
    found = list(dict.fromkeys(diagnostics))
    if not found:
        return ""
    width = max(width, 40)
    blocks = ["\n".join(_one(d, width, color)) for d in found[:_MOST]]
    if len(found) > _MOST:
        blocks.append(f"… and {len(found) - _MOST} more.")
    codes = list(dict.fromkeys(d.code for d in found[:_MOST] if d.span))
    if codes:
        more = "To learn more: " + ", ".join(f"nexort explain {c}" for c in codes[:3])
        blocks.append("\n".join(paint(line, "faint", color) for line in _wrap(more, width)))
    return "\n\n".join(blocks) + "\n"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place to underline and what to say about it."""

    span: Span
    text: str
    primary: bool


def _one(d: Diagnostic, width: int, color: bool) -> list[str]:
    head = f"{d.severity}[{d.code}]"
    first, *rest = _wrap(f"{head}: {d.message}", width)
    lines = [paint(first[: len(head)], d.severity, color) + paint(first[len(head) :], "strong", color)]
    lines += [paint(line, "strong", color) for line in rest]
    marks = [_Mark(d.span, "", True)] if d.span else []
    marks += [_Mark(label.span, label.text, False) for label in d.labels]
    gutter = max((len(str(m.span.line)) for m in marks), default=1)
    for source in dict.fromkeys(m.span.source for m in marks):
        there = [m for m in marks if m.span.source is source]
        lines.append(f"{' ' * gutter}--> {_clean(source.name)}:{there[0].span.line}:{there[0].span.column}")
        lines += _excerpt(source, there, gutter, width, d.severity, color)
    if d.hint:
        lines += [
            paint("  help: ", "note", color) + line if i == 0 else f"        {line}"
            for i, line in enumerate(_wrap(d.hint, width - 8))
        ]
    return lines


def _excerpt(
    source: Source, marks: Sequence[_Mark], gutter: int, width: int, severity: Literal["error", "warning"], color: bool
) -> list[str]:
    """The marked lines in order, each followed by one underline per mark."""
    bar = paint(f"{' ' * gutter} |", "note", color)
    out = [bar]
    room = width - gutter - 3
    before: int | None = None
    for number in sorted({m.span.line for m in marks}):
        if before is not None and number > before + 1:
            out.append(f"{' ' * gutter}...")
        before = number
        text = source.line_text(number)
        here = sorted((m for m in marks if m.span.line == number), key=lambda m: (not m.primary, m.span.start))
        shown_from: int | None = None
        for mark in here:
            cells = _Cells(text, mark.span, room)
            if cells.first != shown_from:  # a long line is cut around each mark
                out.append(paint(f"{number:>{gutter}} |", "note", color) + f" {cells.text}")
                shown_from = cells.first
            style: Paint = severity if mark.primary else "note"
            under = ("^" if mark.primary else "-") * cells.marked
            tail, *rest = _beside(mark.text, cells.before + cells.marked + 1, room)
            out.append(f"{bar} {' ' * cells.before}{paint(under + tail, style, color)}")
            out += [f"{bar} {paint(line, style, color)}" for line in rest]
    return out


def _beside(text: str, column: int, room: int) -> list[str]:
    """A label: after the underline if it fits there, else on the lines below."""
    if not text:
        return [""]
    if column + len(text) <= room:
        return [f" {text}"]
    return ["", *(f"  {line}" for line in _wrap(text, room - 2))]


class _Cells:
    """A line as it appears in `room` columns around a span: the text, the columns before the mark, the columns marked."""

    def __init__(self, line: str, span: Span, room: int) -> None:
        start = span.column - 1
        end = span.end_column - 1 if span.end_line == span.line else len(line)
        pieces = [_cell(c) for c in line]
        widths = [w for _, w in pieces]
        self.first, last = 0, len(line)
        if sum(widths) > room:
            # keep the beginning of the span a third of the way in, and as much of it as fits
            self.first = max(0, min(start - room // 3, len(line) - room + 2))
            last = self.first
            used = 2
            while last < len(line) and used + widths[last] <= room:
                used += widths[last]
                last += 1
        left = "…" if self.first else ""
        right = "…" if last < len(line) else ""
        self.text = left + "".join(p for p, _ in pieces[self.first : last]) + right
        self.before = len(left) + sum(widths[self.first : start])
        self.marked = max(1, sum(widths[start : min(end, last)]))


def _cell(c: str) -> tuple[str, int]:
    """What to print for a character, and how many columns it takes."""
    if c == "\t":
        return "    ", 4
    if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return "�", 1
    if unicodedata.combining(c):
        return c, 0
    return c, 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _clean(text: str) -> str:
    return "".join(_cell(c)[0] for c in text)


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; the text's own line breaks stay."""
    lines: list[str] = []
    for part in text.splitlines():
        lines += textwrap.wrap(_clean(part), width, break_long_words=False, break_on_hyphens=False) or [""]
    return lines or [""]
