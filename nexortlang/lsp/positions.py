"""Offsets in code points, and the lines and characters of the protocol.

In: a text, and the unit in which the client counts characters (UTF-16 unless agreed otherwise). Out: positions for offsets and offsets for positions. Lines end, as the protocol says,
with a line feed, a carriage return or both. Whatever a client sends gives an offset in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol import types

from nexortlang.source import Span

_LINE_END = re.compile(r"\r\n|\n|\r")


class Positions:
    """The lines of one text."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self._starts = [0, *(m.end() for m in _LINE_END.finditer(text))]
        self._plain = text.isascii() or encoding == "utf-32"
        self._encoding = encoding

    def _units(self, text: str) -> int:
        """How many units a piece of text has."""
        if self._plain or text.isascii():
            return len(text)
        if self._encoding == "utf-8":
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text) + sum(c > "\uffff" for c in text)

    def position(self, offset: int) -> types.Position:
        line = bisect_right(self._starts, offset) - 1
        return types.Position(line, self._units(self.text[self._starts[line] : offset]))

    def range(self, span: Span) -> types.Range:
        return types.Range(self.position(span.start), self.position(span.end))

    def offset(self, position: types.Position) -> int:
        """A character beyond the end of its line is that end; a line beyond the last one is the end of the text."""
        if position.line >= len(self._starts):
            return len(self.text)
        start = self._starts[position.line]
        end = self._starts[position.line + 1] if position.line + 1 < len(self._starts) else len(self.text)
        line = _LINE_END.sub("", self.text[start:end])
        if self._plain or line.isascii():
            return start + min(position.character, len(line))
        low, high = 0, len(line)
        while low < high:
            middle = (low + high + 1) // 2
            if self._units(line[:middle]) <= position.character:
                low = middle
            else:
                high = middle - 1
        return start + low
