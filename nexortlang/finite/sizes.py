"""How many coordinates each width has at a finite n.

In: a program and the size of its first width. Out: `Sizes`. Guarantees: every width has at least one coordinate; ratios are kept as
closely as whole numbers allow, and `rounded` names the widths where they cannot be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nexortlang.core.program import Type, Width


@dataclass(frozen=True, slots=True)
class Sizes:
    """`n`: the first width's size, which factors of n mean."""

    n: int

    def of(self, width: Width) -> int:
        """The nearest whole number to ratio · n (a half is rounded up), at least 1."""
        return max(1, int(width.ratio * self.n + Fraction(1, 2)))

    def shape(self, t: Type) -> tuple[int, ...]:
        """The shape of a value's array: width axes in slot order, then the finite ones."""
        return tuple(self.of(width) for _, width in t.axes) + t.shape

    def rounded(self, widths: Sequence[Width]) -> list[Width]:
        """The widths whose ratio to n does not come out even."""
        return [w for w in widths if w.ratio * self.n != self.of(w)]
