"""Scalar expressions of core values: the Maps between a value and its leaves.

In: core values, and where to stop. Out: one expression per value and the values that became its leaves. Numbers are inlined; a Const with
finite axes is a leaf. Finite axes of leaves broadcast as in NumPy, aligned at the right; width axes are joined by slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nexortlang.core.program import Const, Map, Value
from nexortlang.entrywise.expression import Expression, extract


def expressions_of(
    values: Sequence[Value], is_leaf: Callable[[Value], bool] = lambda v: False
) -> tuple[tuple[Expression, ...], tuple[Value, ...]]:
    """Simplified expressions of `values` in leaves 0, 1, …, and those leaves. What is_leaf says, and what is no Map, is a leaf."""

    def view(v: Value) -> float | tuple[str, tuple[Value, ...]] | None:
        match v:
            case Const(array=array) if array.ndim == 0:
                return float(array)
            case Map(op=op, args=args) if not is_leaf(v):
                return op, args
            case _:
                return None

    return extract(values, view)
