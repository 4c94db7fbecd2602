"""How much training changes every value of a program: powers of n through each instruction.

In: a program whose gradients are opaque. Out: for every value its `Size`: the power that it has before training and those of its change, in two
parts that averages treat differently:

    aligned   changes along gradients of vectors and matrices. They are correlated with what they meet, since a gradient is made of the very kets that
              it is later averaged against: an average keeps their power.
    by scalars  changes of scalars, which multiply and shift what is still the start: where the start is centred, n^(−1/2) of them is left.

Guarantees: linear in the program. Powers are upper bounds that are attained unless there are cancellations between terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from nexortlang.classify.powers import NOTHING, ONE, Power, exponent_of, mapped, moved, ratio, times
from nexortlang.classify.start import HALF, Start
from nexortlang.core.program import Avg, Concat, Einsum, Fluctuation, Inner, Map, MatMul, Reduce, Scale, Value, operands


@dataclass(frozen=True, slots=True)
class Size:
    """Powers of n, see above."""

    start: Power
    by_scalars: Power = NOTHING
    aligned: Power = NOTHING

    @property
    def change(self) -> Power:
        return max(self.by_scalars, self.aligned)

    @property
    def total(self) -> Power:
        return max(self.start, self.change)


class Sizes:
    """Sizes of a program's values. `gradients`: the size of each gradient by the id of its stop; one that is missing is 0."""

    def __init__(self, start: Start, gradients: Mapping[int, Power]) -> None:
        self._start = start
        self._gradients = gradients
        self._known: dict[int, Size] = {}

    def __getitem__(self, v: Value) -> Size:
        return self._known[v.id]

    def __contains__(self, v: Value) -> bool:
        return v.id in self._known

    def extend(self, values: Iterable[Value]) -> None:
        """Finds the sizes of values in program order: what they are computed from, gradients excepted, comes among them or has come before."""
        for v in values:
            if v.id not in self._known:
                self._known[v.id] = self._joined(v, self._size(v))

    def _joined(self, v: Value, found: Size) -> Size:
        """A scalar has changed; how does not matter to what it multiplies."""
        if v.type.is_scalar and found.aligned != NOTHING:
            return Size(found.start, found.change)
        return found

    def _size(self, v: Value) -> Size:
        if v.id in self._gradients:
            return Size(NOTHING, NOTHING, self._gradients[v.id])
        parts = [self._known[a.id] for a in operands(v)]
        start = self._start.power(v)
        if not parts or all(p.change == NOTHING for p in parts):
            return Size(start)
        match v:
            case Map():
                return self._map(v, start, parts)
            case Einsum():
                return _product(start, *parts)
            case Inner():
                return self._averaged(v, _product(start, *parts))
            case Avg():
                return self._averaged(v, Size(start, parts[0].by_scalars, parts[0].aligned))
            case Fluctuation():
                return Size(start, parts[0].by_scalars, parts[0].aligned + HALF)
            case Scale(exponent=e):
                return Size(start, parts[0].by_scalars + e, parts[0].aligned + e)
            case MatMul(matrix=matrix) if not matrix.variance.any():
                return Size(start)
            case Reduce(op="argmax"):
                return Size(start, *(moved("step", ONE, c) for c in (parts[0].by_scalars, parts[0].aligned)))
            case Concat():
                return _sum(start, parts)
            case _:
                return Size(start, parts[0].by_scalars, parts[0].aligned)

    def _averaged(self, v: Value, product: Size) -> Size:
        centred = v.type.is_scalar and self._start.is_centred(v)
        return Size(product.start, product.by_scalars - (HALF if centred else 0), product.aligned)

    def _map(self, v: Map, start: Power, parts: list[Size]) -> Size:
        if v.id in self._start.pure:
            return Size(NOTHING, NOTHING, mapped(v, [p.total for p in parts]))
        match v.op:
            case "add" | "sub" | "where" | "max" | "min":
                return _sum(start, parts[-2:])
            case "mul":
                return _product(start, *parts)
            case "div":
                return _quotient(start, *parts)
            case "neg" | "abs" | "stop" | "leaky_relu" | "clip":
                return _sum(start, parts[:1])
            case "sqrt":
                return _raised(start, parts[0], Fraction(1, 2))
            case "pow" if (c := exponent_of(v)) is not None:
                return _raised(start, parts[0], c)
            case op:
                by_scalars = max(moved(op, p.start, p.by_scalars) for p in parts)
                return Size(start, by_scalars, max(moved(op, p.start, p.aligned) for p in parts))


def _sum(start: Power, parts: Iterable[Size]) -> Size:
    parts = list(parts)
    return Size(start, max(p.by_scalars for p in parts), max(p.aligned for p in parts))


def _product(start: Power, x: Size, y: Size) -> Size:
    by_scalars = max(x.by_scalars + max(y.start, y.by_scalars), x.start + y.by_scalars)
    return Size(start, by_scalars, max(x.aligned + y.total, max(x.start, x.by_scalars) + y.aligned))


def _quotient(start: Power, x: Size, y: Size) -> Size:
    """x/y: (δx − (x/y) δy) / y, or all of it where the denominator has outgrown its start."""
    if y.change > y.start:
        now = ratio(x.total, y.total)
        return Size(start, NOTHING, max(now, start)) if y.aligned >= y.by_scalars else Size(start, max(now, start))
    relative = ratio(x.start, y.start)
    changes = (
        max(ratio(own, y.start), relative + ratio(other, y.start))
        for own, other in ((x.by_scalars, y.by_scalars), (x.aligned, y.aligned))
    )
    return Size(start, *changes)


def _raised(start: Power, x: Size, c: Fraction) -> Size:
    """x^c: c x^(c−1) δx, or (δx)^c where that is larger than x."""
    changes = (
        NOTHING
        if change == NOTHING
        else times(change, c)
        if change > x.start
        else times(x.start, c) + (change - x.start)
        for change in (x.by_scalars, x.aligned)
    )
    return Size(start, *changes)
