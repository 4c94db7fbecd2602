"""The covariance of Gaussian scalars in one run, given everything else that was drawn.

In: a scalar value that is linear in fluctuations √m·avg(x) and in initial scalars. Out: its covariance given all vectors and matrices. For a
fluctuation that is avg(x x′): its expectation is the covariance over runs, and its scatter of order n^(−1/2), where a sample covariance over S runs scatters by
√(2/S). Values that are not linear have no such form (`is_linear`): theirs is estimated over runs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TypeAlias

import numpy as np

from nexortlang.core.program import (
    Concat,
    Einsum,
    Fluctuation,
    Gather,
    InitScalar,
    Map,
    Reduce,
    Scale,
    Value,
    operands,
)
from nexortlang.finite.arrays import apply

_LINEAR_MAPS = frozenset({"add", "sub", "neg", "stop"})

Parts: TypeAlias = dict[tuple[str, int], np.ndarray]
"""For each independent source of randomness (a width, an initial scalar) an array (terms, *shape) whose products, summed over terms, are a covariance."""


def is_random(v: Value, memo: dict[int, bool]) -> bool:
    """Whether a scalar stays random in the limit: it was computed from fluctuations or initial scalars."""
    pending = [v]
    while pending:
        x = pending[-1]
        missing = [a for a in operands(x) if a.id not in memo]
        if x.id in memo or not missing:
            pending.pop()
            memo[x.id] = isinstance(x, Fluctuation | InitScalar) or any(memo[a.id] for a in operands(x))
        else:
            pending.extend(missing)
    return memo[v.id]


def is_linear(v: Value, memo: dict[int, bool]) -> bool:
    """Whether v is linear in fluctuations and initial scalars, with coefficients that are not random."""
    return all(_keeps_linear(x, memo) for x in _random_below(v, memo))


def needed(v: Value, memo: dict[int, bool]) -> list[Value]:
    """The stored values that `covariance` reads."""
    found: dict[int, Value] = {}
    for x in _random_below(v, memo):
        if not isinstance(x, InitScalar):
            found.update((a.id, a) for a in operands(x) if isinstance(x, Fluctuation) or not is_random(a, memo))
    return list(found.values())


def covariance(v: Value, fetch: Callable[[Value], np.ndarray], n: int, memo: dict[int, bool]) -> np.ndarray:
    """The covariance of all entries of v, which is linear, with all: its shape twice."""
    shape = v.type.shape
    total = np.zeros((prod(shape), prod(shape)))
    parts: dict[int, Parts] = {}
    for x in _random_below(v, memo):
        parts[x.id] = _parts(x, parts, fetch, n)
    for terms in parts.get(v.id, {}).values():
        flat = np.broadcast_to(terms, (len(terms), *shape)).reshape(len(terms), -1)
        total += flat.T @ flat
    return total.reshape(shape + shape)


def _random_below(v: Value, memo: dict[int, bool]) -> list[Value]:
    """The random values that v is computed from, down to fluctuations and initial scalars, in program order."""
    found: dict[int, Value] = {}
    pending = [v] if is_random(v, memo) else []
    while pending:
        x = pending.pop()
        if x.id not in found:
            found[x.id] = x
            if not isinstance(x, Fluctuation):
                pending.extend(a for a in operands(x) if is_random(a, memo))
    return sorted(found.values(), key=lambda x: x.id)


def _keeps_linear(v: Value, memo: dict[int, bool]) -> bool:
    """Whether v is linear in its random operands taken together."""
    random = [is_random(a, memo) for a in operands(v)]
    match v:
        case Fluctuation():
            return not random[0]
        case Map(op="mul") | Einsum():
            fits = sum(random) == 1
        case Map(op="div"):
            fits = not random[1]
        case Map(op="where"):
            fits = not random[0]
        case Map(op=op):
            fits = op in _LINEAR_MAPS
        case Reduce(op=op):
            fits = op == "sum"
        case _:
            fits = isinstance(v, InitScalar | Gather | Concat | Scale)
    return fits and not v.type.axes


def _parts(v: Value, parts: dict[int, Parts], fetch: Callable[[Value], np.ndarray], n: int) -> Parts:
    """What each source contributes to v, given that for v's operands."""
    match v:
        case Fluctuation(x=x):
            array = fetch(x).astype(float)
            return {(x.type.width.name, 0): array / len(array) ** 0.5}
        case InitScalar(variance=variance):
            deviations = np.eye(variance.size) * np.sqrt(variance.reshape(-1))
            return {("", v.id): deviations.reshape(variance.size, *variance.shape)}
    sources = dict.fromkeys(key for a in operands(v) for key in parts.get(a.id, {}))
    return {key: _applied(v, parts, key, fetch, n) for key in sources}


def _applied(
    v: Value, parts: dict[int, Parts], source: tuple[str, int], fetch: Callable[[Value], np.ndarray], n: int
) -> np.ndarray:
    """v on what one source contributes to its operands. An operand that is not random is a factor, or a constant term: 0 here."""
    arrays = []
    for k, a in enumerate(operands(v)):
        factor = isinstance(v, Einsum) or (
            isinstance(v, Map) and (v.op in ("mul", "div") or (v.op == "where" and k == 0))
        )
        if a.id not in parts and factor:
            arrays.append(fetch(a)[None])
        else:
            arrays.append(parts.get(a.id, {}).get(source, np.zeros((1, *a.type.shape))))
    return apply(v, arrays, 1, n)
