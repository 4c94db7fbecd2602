"""Matrices that are given by their entries: values over slot 0, the rows, and slot 1, the columns.

In: outer values, vectors. Out: what matrix algebra makes of them, as core values. Guarantees: exact at every finite width.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial, reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import ZERO, Map, Scale, Shape, Value
from nexortlang.elaborate.adjoints import multiply, plus
from nexortlang.elaborate.averages import average
from nexortlang.elaborate.separation import separation


def applied(b: Builder, value: Value, transposed: bool, x: Value) -> Value:
    """Σ_j value[i, j]·x[j] = size · avg_j, or with value[j, i]."""
    value, exponent = (value.x, value.exponent) if isinstance(value, Scale) else (value, ZERO)
    if transposed:
        value = b.rename(value, {0: 1, 1: 0})
    y = average(b, b.mul(value, b.rename(x, {0: 1})), (1,))
    if x.type.width.ratio != 1:
        y = b.mul(b.const(float(x.type.width.ratio)), y)
    return b.scale(y, 1 + exponent)


def separated(b: Builder, value: Value) -> list[Value]:
    """The value as the sum of what separates into products and of the rest."""
    if separation(b, value).terms:
        return [value]
    apart: list[Value] = []
    rest: list[Value] = []
    pending: list[tuple[Value, Value]] = [(value, b.const(1.0))]
    while pending:
        v, factor = pending.pop()
        match v:
            case Map(op="add" | "sub", args=(left, right)) if not separation(b, v).terms:
                pending.append((right, b.mul(b.const(-1.0), factor) if v.op == "sub" else factor))
                pending.append((left, factor))
            case Map(op="neg", args=(inner,)):
                pending.append((inner, b.mul(b.const(-1.0), factor)))
            case _:
                (apart if separation(b, v).terms and len(v.type.slots) == 2 else rest).append(multiply(b, factor, v))
    if not apart:
        return [value]
    return [reduce(partial(plus, b), part) for part in (apart, rest) if part]


def entries_product(b: Builder, G: Value, H: Value) -> Value:
    """Σ_k G[i, k]·H[k, j]."""
    width = G.type.axes[1][1]
    y = average(b, b.mul(b.rename(G, {0: 0, 1: 2}), b.rename(H, {0: 2, 1: 1})), (2,))
    y = y if width.ratio == 1 else b.mul(b.const(float(width.ratio)), y)
    return b.scale(y, Fraction(1))


def scattered(b: Builder, y: Value, positions: Sequence[int] | np.ndarray, shape: Shape) -> Value:
    """y's entries at flat positions of `shape`, zeros elsewhere."""
    y = b.reshape(y, (prod(y.type.shape),))
    zero = b.mul(b.gather(y, np.zeros(1, dtype=np.intp)), b.const(0.0))
    where = np.full(prod(shape), y.type.shape[0])
    where[np.asarray(positions)] = np.arange(y.type.shape[0])
    return b.gather(b.concat([y, zero]), where.reshape(shape))
