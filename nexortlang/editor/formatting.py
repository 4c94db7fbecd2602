"""Formatting as changes of the text, so that an editor keeps its cursor and its marks."""

from __future__ import annotations

from difflib import SequenceMatcher

from nexortlang.diagnostics import Fix, NexortError
from nexortlang.format.formatter import formatted
from nexortlang.source import Source, Span


def format_edits(source: Source) -> list[Fix]:
    """The changes, line by line, that `nexort fmt` would make; none for a text with mistakes, which it leaves alone."""
    try:
        text = formatted(source)
    except NexortError:
        return []
    old, new = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    return [
        Fix(Span(source, starts[a], starts[b]), "".join(new[c:d]))
        for what, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if what != "equal"
    ]
