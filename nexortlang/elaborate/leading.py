"""The leading part of a value: what is left of it as n → ∞, terms of lower powers of n dropped.

In: core values. Out: core values, appended to the program as constants for gradients. Guarantees: a value without lower terms is its own leading
part; leading parts of equal form are one value, so that in the tangent regime the features of every step of training are those
at initialisation, to the letter; what cancels symbolically (x − x) is None, which stands for 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder, is_zero, live_operands, vanishes
from nexortlang.core.program import (
    ZERO,
    Avg,
    Concat,
    Einsum,
    FirstOrder,
    Fluctuation,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Reduce,
    Rename,
    Scale,
    Type,
    Value,
    operands,
)
from nexortlang.elaborate.adjoints import plus, scaled_einsum, spread
from nexortlang.elaborate.averages import average

MAX_SUMMANDS = 16
"""Scalars that are sums of more are not searched for what cancels."""


def leading(b: Builder, v: Value) -> Value | None:
    """The leading part of v, of v's axes and shape; None if it is 0."""
    with b.constants():
        memo: dict[int, Value | None] = b.memo["leading"]
        pending = [v]
        while pending:
            u = pending[-1]
            if u.id in memo:
                pending.pop()
                continue
            reads = sources(u)
            if missing := [a for a in reads if a.id not in memo]:
                pending.extend(missing)
            else:
                memo[u.id] = _Rebuilt(b, memo).value(u)
        return memo[v.id]


def sources(v: Value) -> Sequence[Value]:
    """What the leading part is made of."""
    return ([v.limit] if v.limit else []) if isinstance(v, FirstOrder) else live_operands(v)


def zeros(b: Builder, t: Type) -> Value:
    """0 as a value with the axes and the shape of a type."""
    return spread(b, b.const(np.zeros(t.shape)), t)


def peel(v: Value) -> tuple[Value, Fraction]:
    """v as (x, p) with v = n^p x."""
    return (v.x, v.exponent) if isinstance(v, Scale) else (v, ZERO)


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    """Instructions made anew of the leading parts of their operands, which are in `known`. Powers of n stay outermost."""

    b: Builder
    known: dict[int, Value | None]

    def value(self, v: Value) -> Value | None:
        if isinstance(v, FirstOrder):
            return self.known[v.limit.id] if v.limit else None
        if isinstance(v, InitVector | InitScalar):
            return v if v.mean.any() or v.variance.any() else None
        reads = operands(v)
        if not reads:
            return None if is_zero(v) else v
        args = [None if vanishes(v, a) else self.known[a.id] for a in reads]
        may_cancel = isinstance(v, Map) and v.op in ("add", "sub", "stop")
        if not may_cancel and all(x is a for x, a in zip(args, reads, strict=True)):
            return v
        found = self._made(v, args)
        return None if found is None or is_zero(found) else found

    def _made(self, v: Value, args: Sequence[Value | None]) -> Value | None:
        match v:
            case Map(op="add" | "sub" | "neg" | "mul" | "div" | "stop" as op):
                return self._arithmetic(v, op, args)
            case Map(op=op):
                filled = [self.b.const(0.0) if a is None else a for a in args]
                return spread(self.b, self.b.map(op, *filled), v.type)
            case Concat():
                return self._concat(v, args)
            case Reduce(op="max" | "min" | "argmax", x=x):
                return self._linear(v, [zeros(self.b, x.type) if args[0] is None else args[0]])
            case _:
                present = [a for a in args if a is not None]
                return self._linear(v, present) if len(present) == len(args) else None

    def _arithmetic(self, v: Map, op: str, args: Sequence[Value | None]) -> Value | None:
        b = self.b
        match op, args:
            case "stop", [x]:
                return x
            case "neg", [x]:
                return None if x is None else _negative(b, x)
            case "mul" | "div", [x, y]:
                if x is None or (y is None and op == "mul"):
                    return None
                (x, p), (y, q) = peel(x), peel(y or b.const(0.0))
                return b.scale(b.map(op, x, y), p + q if op == "mul" else p - q)
            case _, [x, y]:
                if x is None or y is None:
                    one = x if y is None else y if op == "add" else _negative(b, y)
                    return None if one is None else spread(b, one, v.type)
                return self._sum(v, op, x, y)
        raise AssertionError(f"{op} of {len(args)} operands")

    def _sum(self, v: Map, op: str, x: Value, y: Value) -> Value | None:
        """x ± y, after what cancels is gone."""
        b = self.b
        terms = _summands(b, x, 1) + _summands(b, y, 1 if op == "add" else -1)
        if len(terms) <= MAX_SUMMANDS and (kept := _without_opposites(terms)) is not terms:
            signed = [t if sign > 0 else _negative(b, t) for sign, t in kept]
            return spread(b, reduce(lambda s, t: plus(b, s, t), signed), v.type) if signed else None
        (x, p), (y, q) = peel(x), peel(y)
        return b.scale(b.map(op, x, y), p) if p == q else b.map(op, b.scale(x, p), b.scale(y, q))

    def _concat(self, v: Concat, args: Sequence[Value | None]) -> Value | None:
        if all(a is None for a in args):
            return None
        b = self.b
        parts = [b.const(np.zeros(prod(a.type.shape))) if x is None else x for x, a in zip(args, v.args, strict=True)]
        exponents = {peel(x)[1] for x in parts if not is_zero(x)}
        if len(exponents) == 1:
            (exponent,) = exponents
            return b.scale(b.concat([peel(x)[0] for x in parts]), exponent)
        return b.concat(parts)

    def _linear(self, v: Value, args: Sequence[Value]) -> Value:
        """Instructions through which powers of n pass by."""
        b = self.b
        x, p = peel(args[0])
        match v:
            case Scale(exponent=exponent):
                return b.scale(args[0], exponent)
            case MatMul():
                return b.scale(b.matmul(v.matrix, v.members, v.transposed, x), p)
            case Avg(slots=slots):
                return b.scale(average(b, x, slots), p)
            case Fluctuation():
                return b.fluctuation(args[0])
            case Rename(slots=pairs):
                return b.scale(b.rename(x, dict(pairs)), p)
            case Gather(index=index):
                return b.scale(b.gather(x, index), p)
            case Reduce(op="argmax", axis=axis):
                return b.reduce("argmax", x, axis)
            case Reduce(op=op, axis=axis):
                return b.scale(b.reduce(op, x, axis), p)
            case Inner(spec=spec):
                y, q = peel(args[1])
                return b.scale(b.inner(spec, x, y), p + q)
            case Einsum(spec=spec):
                return scaled_einsum(b, spec, args[0], args[1])
        raise AssertionError(f"{type(v).__name__} has no leading part")


def _negative(b: Builder, x: Value) -> Value:
    x, p = peel(x)
    return b.scale(x.args[0] if isinstance(x, Map) and x.op == "neg" else b.map("neg", x), p)


# ---------------------------------------------------------------------------- what cancels


def _summands(b: Builder, v: Value, sign: int, depth: int = 4) -> list[tuple[int, Value]]:
    """v as a sum of signed terms, through rearrangements of finite axes. What training has added to an output is one of them."""
    if v.id in b.memo["changes"]:
        return [(sign, v)]
    match v:
        case Map(op="add" | "sub" as op, args=(x, y)) if depth and x.type.shape == y.type.shape == v.type.shape:
            return _summands(b, x, sign, depth - 1) + _summands(b, y, sign if op == "add" else -sign, depth - 1)
        case Map(op="neg", args=(x,)):
            return _summands(b, x, -sign, depth)
        case Gather(x=Map(op="add" | "sub" | "neg") as x, index=index) if depth and x.type.is_scalar:
            return [(s, b.gather(t, index)) for s, t in _summands(b, x, sign, depth - 1)]
        case Scale(x=Map(op="add" | "sub" | "neg") as x, exponent=exponent) if depth:
            return [(s, b.scale(t, exponent)) for s, t in _summands(b, x, sign, depth - 1)]
    return [(sign, v)]


def _without_opposites(terms: list[tuple[int, Value]]) -> list[tuple[int, Value]]:
    """The terms without pairs of t and −t; the same list if there are none."""
    kept: list[tuple[int, Value]] = []
    for sign, t in terms:
        opposite = next((k for k, (s, other) in enumerate(kept) if other is t and s == -sign), None)
        if opposite is None:
            kept.append((sign, t))
        else:
            del kept[opposite]
    return terms if len(kept) == len(terms) else kept
