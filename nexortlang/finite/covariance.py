"""The covariance of Gaussian scalars in one run, given everything else that was drawn.

In: a scalar value that is linear in fluctuations √m·avg(x) and in initial scalars. Out: its covariance given all vectors and matrices. For a
fluctuation that is avg(x x′): its expectation is the covariance over runs, and its scatter of order n^(−1/2), where a sample covariance over S runs scatters by
√(2/S). Values that are not linear have no such form (`is_linear`): theirs is estimated over runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    if isinstance(v, Fluctuation | InitScalar) or not is_random(v, memo):
        return not isinstance(v, Fluctuation) or not is_random(v.x, memo)
    random = [is_random(a, memo) for a in operands(v)]
    match v:
        case Map(op="mul") | Einsum():
            fits = sum(random) == 1
        case Map(op="div"):
            fits = random == [True, False]
        case Map(op="where"):
            fits = not random[0]
        case Map(op=op):
            fits = op in _LINEAR_MAPS
        case Reduce(op=op):
            fits = op == "sum"
        case _:
            fits = isinstance(v, Gather | Concat | Scale)
    return fits and not v.type.axes and all(is_linear(a, memo) for a in operands(v))


def needed(v: Value, memo: dict[int, bool]) -> list[Value]:
    """The stored values that `covariance` reads."""
    if isinstance(v, Fluctuation):
        return [v.x]
    if isinstance(v, InitScalar):
        return []
    if not is_random(v, memo):
        return [v]
    return [b for a in operands(v) for b in needed(a, memo)]


def covariance(v: Value, fetch: Callable[[Value], np.ndarray], n: int, memo: dict[int, bool]) -> np.ndarray:
    """The covariance of all entries of v, which is linear, with all: its shape twice."""
    shape = v.type.shape
    total = np.zeros((prod(shape), prod(shape)))
    for terms in _parts(v, fetch, n, memo).values():
        flat = np.broadcast_to(terms, (len(terms), *shape)).reshape(len(terms), -1)
        total += flat.T @ flat
    return total.reshape((*shape, *shape))


def _parts(v: Value, fetch: Callable[[Value], np.ndarray], n: int, memo: dict[int, bool]) -> Parts:
    match v:
        case Fluctuation(x=x):
            array = fetch(x).astype(float)
            return {(x.type.width.name, 0): array / len(array) ** 0.5}
        case InitScalar(variance=variance):
            size = variance.size
            return {("", v.id): (np.eye(size) * np.sqrt(variance.reshape(-1))).reshape(size, *variance.shape)}
    arguments = [(a, _parts(a, fetch, n, memo) if is_random(a, memo) else None) for a in operands(v)]
    sources = dict.fromkeys(key for _, parts in arguments if parts for key in parts)
    return {key: _applied(v, arguments, key, fetch, n) for key in sources}


def _applied(
    v: Value,
    arguments: Sequence[tuple[Value, Parts | None]],
    source: tuple[str, int],
    fetch: Callable[[Value], np.ndarray],
    n: int,
) -> np.ndarray:
    """The linear instruction v on what one source contributes to its operands; what does not vary enters sums as 0 and products as it is."""
    enters_as_it_is = isinstance(v, Einsum) or (isinstance(v, Map) and v.op in ("mul", "div", "where"))
    arrays = []
    for k, (a, parts) in enumerate(arguments):
        constant = parts is None and enters_as_it_is and not (isinstance(v, Map) and v.op == "where" and k > 0)
        if constant:
            arrays.append(fetch(a)[None])
        else:
            arrays.append((parts or {}).get(source, np.zeros((1, *a.type.shape))))
    return apply(v, arrays, 1, n)
