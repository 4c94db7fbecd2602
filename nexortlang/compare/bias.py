"""How fast the mean over runs approaches its limit, read off the program.

In: values. Out: the exponent r of a bias n^(−r). A smooth function of averages over n has a bias of order 1/n; slower ones have causes that a
program shows: a term of a lower power of n beside a larger one, a kinked function of a scalar, a kinked function of what a non-Gaussian matrix made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nexortlang.core.build import is_zero
from nexortlang.core.dependencies import reachable
from nexortlang.core.program import Concat, Const, FirstOrder, Map, MatMul, Reduce, Value, operands
from nexortlang.entrywise.ops import OPS


def bias_rate(shown: Iterable[Value]) -> float:
    """r for the means of the values: 1, or less."""
    values = reachable(shown)
    return min([1.0, *_gaps(values), *_kinks(values)])


def _gaps(values: Iterable[Value]) -> Iterator[float]:
    """By how many powers of n the terms of sums differ."""
    for v in values:
        if isinstance(v, Concat) or (isinstance(v, Map) and OPS[v.op].power == "largest"):
            yield from (
                float(v.type.power - a.type.power)
                for a in operands(v)
                if a.type.power < v.type.power and not is_zero(a)
            )
        elif isinstance(v, FirstOrder):
            yield 0.5  # of order 1 by a cancellation that types do not see


def _kinks(values: list[Value]) -> Iterator[float]:
    rough = any(isinstance(v, MatMul) and v.matrix.law != "normal" for v in values)
    for v in values:
        kinked = (isinstance(v, Map) and not OPS[v.op].smooth) or (isinstance(v, Reduce) and v.op != "sum")
        computed = any(not isinstance(a, Const) for a in operands(v))
        if kinked and computed and (rough or not v.type.axes):
            yield 0.5
