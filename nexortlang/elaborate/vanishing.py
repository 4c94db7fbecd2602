"""Gradients that are 0 in the limit and nowhere else: <A|x> with A of mean 0 that x does not depend on, before anything was trained.

In: the gradient that an optimizer sees and the update that it makes of it. Out: whether the gradient is of order n^(-1/2) at every width and 0 in
the limit, and the optimizer makes full steps of it all the same, so that finite widths move where the limit stands still. Nothing is built.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from nexortlang.core.build import Builder, is_zero, vanishes
from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Reduce,
    Rename,
    Scale,
    Value,
    operands,
)
from nexortlang.elaborate.fluctuations import is_centred
from nexortlang.entrywise.ops import OPS

SMALL = 1e-3
"""A gradient as it comes out at widths about a million, where it is of order n^(-1/2)."""
FULL = 0.1
"""The part of a full step (that of a gradient of size 1) which counts as large."""


class Size(IntEnum):
    """What a value is as n → ∞, where its power of n is 0."""

    ZERO = 0  # 0 at every width
    VANISHING = 1  # 0 in the limit, of order n^(-1/2) at every width
    ALIVE = 2  # not known to be 0


def moves_at_finite_width_alone(b: Builder, gradient: Value, update: Value) -> bool:
    """Whether the gradient vanishes, and an update that is a function of it alone does not go down with it."""
    if size(b, gradient) is not Size.VANISHING:
        return False
    small, full = (_response(update, gradient, s) for s in (SMALL, 1.0))
    return small is not None and full is not None and small >= FULL * full > 0


def size(b: Builder, v: Value) -> Size:
    """By the rules for sums and products; anything else of what is not 0 is alive."""
    memo: dict[int, Size] = b.memo["sizes"]
    pending = [v]
    while pending:
        u = pending[-1]
        if u.id in memo:
            pending.pop()
        elif missing := [a for a in operands(u) if a.id not in memo]:
            pending.extend(missing)
        else:
            memo[u.id] = _by_rule(b, u, [memo[a.id] for a in operands(u) if not vanishes(u, a)])
    return memo[v.id]


def _by_rule(b: Builder, v: Value, sizes: list[Size]) -> Size:
    match v:
        case Const():
            return Size.ZERO if is_zero(v) else Size.ALIVE
        case InitVector() | InitScalar():
            return Size.ALIVE if v.mean.any() or v.variance.any() else Size.ZERO
        case Map(op="mul") | Einsum():
            return min(sizes)
        case Map(op="div"):
            return sizes[0]
        case Inner() | Avg():
            found = min(sizes)
            return Size.VANISHING if found is Size.ALIVE and is_centred(b, v) else found
        case Map(op="add" | "sub" | "neg" | "stop") | Concat() | Gather() | Rename() | Reduce() | Scale() | MatMul():
            return max(sizes)
        case _:
            return Size.ALIVE


def _response(update: Value, gradient: Value, s: float) -> float | None:
    """The largest entry of the update for a gradient of size s everywhere; None if it depends on more."""
    known: dict[int, np.ndarray | None] = {gradient.id: np.asarray(s)}
    if isinstance(gradient, Scale):
        known[gradient.x.id] = np.asarray(s)

    def value(v: Value) -> np.ndarray | None:
        if v.id not in known:
            known[v.id] = computed(v)
        return known[v.id]

    def computed(v: Value) -> np.ndarray | None:
        match v:
            case Const():
                return v.array
            case Map():
                args = [value(a) for a in v.args]
                given = [a for a in args if a is not None]
                return OPS[v.op].numpy(*given) if len(given) == len(args) else None
            case Scale():
                return value(v.x)
            case _:
                return None

    with np.errstate(all="ignore"):
        found = value(update)
    return None if found is None else float(np.max(np.abs(found)))
