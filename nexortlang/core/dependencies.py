"""What a value was computed from.

In: values. Out: `roots`, the draws (initial vectors, scalars, matrices) that a value depends on, `coordinate_roots`, those that it depends on coordinate by
coordinate, and `reachable`, the values it needs.
Guarantees: linear in the part of the program that is visited; answers are kept in the caller's memo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from nexortlang.core.program import InitScalar, InitVector, MatMul, Matrix, Value, operands

Root: TypeAlias = InitVector | InitScalar | Matrix


def roots(v: Value, memo: dict[int, frozenset[Root]]) -> frozenset[Root]:
    """The draws that v depends on. `memo` maps value ids to their roots and is filled."""
    return _collected(v, memo, lambda x: False)


def coordinate_roots(v: Value, memo: dict[int, frozenset[Root]]) -> frozenset[Root]:
    """The draws that v depends on other than through scalars: all coordinates of a draw move a scalar, none of them by itself."""
    return _collected(v, memo, lambda x: not x.type.axes)


def _collected(v: Value, memo: dict[int, frozenset[Root]], is_end: Callable[[Value], bool]) -> frozenset[Root]:
    pending = [v]
    while pending:
        x = pending[-1]
        if x.id in memo:
            pending.pop()
        elif is_end(x):
            memo[x.id] = frozenset()
        elif missing := [a for a in operands(x) if a.id not in memo]:
            pending.extend(missing)
        else:
            memo[x.id] = _own_roots(x, [memo[a.id] for a in operands(x)])
    return memo[v.id]


def _own_roots(x: Value, parts: list[frozenset[Root]]) -> frozenset[Root]:
    if isinstance(x, InitVector | InitScalar):
        return frozenset((x,))
    largest = max(parts, key=len, default=frozenset())
    extra = [p for p in parts if not p <= largest]  # most values have the roots of one operand: share the set
    if isinstance(x, MatMul) and x.matrix not in largest:
        extra.append(frozenset((x.matrix,)))
    return largest.union(*extra) if extra else largest


def reachable(targets: Iterable[Value]) -> list[Value]:
    """The targets and all they are computed from, in program order."""
    found: dict[int, Value] = {}
    pending = list(targets)
    while pending:
        v = pending.pop()
        if v.id not in found:
            found[v.id] = v
            pending.extend(operands(v))
    return sorted(found.values(), key=lambda v: v.id)
