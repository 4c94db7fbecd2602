"""√n times a centred functional: where a power of n meets the central limit theorem.

In: a scalar and a power of n. Out: the scalar times that power; if its nominal power is 1/2 and it is a linear combination of averages of
v·x, v an initial vector of mean 0 that x does not depend on (a scalar in x may: for every value of the scalar √n⟨v|x⟩ is Gaussian, jointly), the
same combination of `Fluctuation` values, of power 0. Guarantees: exact at every finite width. `why_not` says what stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder, is_zero
from nexortlang.core.dependencies import coordinate_roots
from nexortlang.core.program import (
    Avg,
    Concat,
    Einsum,
    Fluctuation,
    Gather,
    InitVector,
    Inner,
    Map,
    Reduce,
    Scale,
    Value,
    Width,
)
from nexortlang.elaborate.averages import average

HALF = Fraction(1, 2)


class _ObstacleError(Exception):
    """The scalar is no centred Gaussian functional; the message says why."""


def scaled(b: Builder, scalar: Value, exponent: Fraction) -> Value:
    """n^exponent · scalar."""
    if isinstance(scalar, Scale):
        exponent += scalar.exponent
        scalar = scalar.x
    if scalar.type.power + exponent == HALF:
        try:
            return b.rewritten(_combination(b, scalar, exponent), scalar, exponent=exponent)
        except _ObstacleError:
            pass
    return b.scale(scalar, exponent)


def why_not(b: Builder, scalar: Value) -> str:
    """Why √n times the scalar (any power of n on it apart) is no Gaussian fluctuation; "" if it is."""
    if isinstance(scalar, Scale):
        scalar = scalar.x
    try:
        _combination(b, scalar, HALF - scalar.type.power)
    except _ObstacleError as reason:
        return str(reason)
    return ""


def is_centred(b: Builder, v: Avg | Inner) -> bool:
    """Whether an average over a width is 0 in the limit because it is linear in initial vectors of mean 0 that the rest does not depend on."""
    try:
        if isinstance(v, Inner):
            _linear_product(b, v.x, v.y)
        else:
            _linear(b, v.x)
    except _ObstacleError:
        return False
    return True


def _called(v: Value) -> str:
    """The name or the source text of a value."""
    text = v.name or (" ".join(v.span.text.split()) if v.span else "")
    return text if 0 < len(text) <= 40 else "another factor"


# ---------------------------------------------------------------------------- combinations of scalars


def _combination(b: Builder, v: Value, e: Fraction) -> Value:
    """n^e · v as a combination of fluctuations and of scalars of power ≤ 0."""
    memo: dict[tuple[int, Fraction], Value | str] = b.memo["fluctuations"]
    if (v.id, e) not in memo:
        try:
            memo[v.id, e] = _combined(b, v, e)
        except _ObstacleError as reason:
            memo[v.id, e] = str(reason)
    found = memo[v.id, e]
    if isinstance(found, str):
        raise _ObstacleError(found)
    return found


def _combined(b: Builder, v: Value, e: Fraction) -> Value:
    if is_zero(v) or v.type.power + e <= 0:
        return b.scale(v, e)
    match v:
        case Scale(x=x, exponent=s):
            return _combination(b, x, e + s)
        case Map(op="add" | "sub" | "neg" as op, args=args):
            return b.map(op, *(_combination(b, a, e) for a in args))
        case Map(op="mul", args=(x, y)):
            return _one_of(b, (x, y), e, b.mul)
        case Einsum(spec=spec, x=x, y=y):
            return _one_of(b, (x, y), e, partial(b.einsum, spec))
        case Map(op="div", args=(x, y)):
            p = y.type.power
            return b.map("div", _combination(b, x, e - p), b.scale(y, -p))
        case Gather(x=x, index=index):
            return b.gather(_combination(b, x, e), index)
        case Concat(args=args):
            return b.concat([_combination(b, a, e) for a in args])
        case Reduce(op="sum", x=x, axis=axis):
            return b.reduce("sum", _combination(b, x, e), axis)
        case Avg(x=x) if x.type.is_vector:
            return _brought_back(b, x, e)
        case Inner(spec=spec, x=x, y=y):
            return _brought_back(b, _entrywise(b, spec, x, y), e)
        case Fluctuation():
            raise _ObstacleError(f"{_called(v)} is of order 1 already")
        case _:
            raise _ObstacleError(f"{_called(v)} is not an average of something linear in an initial vector of mean 0")


def _one_of(b: Builder, args: tuple[Value, Value], e: Fraction, join: Callable[[Value, Value], Value]) -> Value:
    """A product of scalars, one of them a fluctuation, the other of order 1."""
    reasons = []
    for k in (0, 1):
        p = args[1 - k].type.power
        try:
            found, other = _combination(b, args[k], e + p), b.scale(args[1 - k], -p)
            return join(found, other) if k == 0 else join(other, found)
        except _ObstacleError as reason:
            reasons.append(str(reason))
    raise _ObstacleError(reasons[0])


def _brought_back(b: Builder, x: Value, e: Fraction) -> Value:
    """n^e · avg(x); terms of x of lower power, which vanish beside the others in x, count once multiplied."""
    try:
        return _fluctuation(b, x, e)
    except _ObstacleError:
        terms = _terms(b, x)
        if len(terms) == 1:
            raise
    return reduce(b.add, (_combination(b, average(b, term, (0,)), e) for term in terms))


def _terms(b: Builder, x: Value) -> list[Value]:
    """A vector as a sum, taken apart wherever terms of several powers of n meet."""
    match x:
        case Map(op="add" | "sub" as op, args=(left, right)):
            parts, others = (_terms(b, b.broadcast(side, x.type.shape)) for side in (left, right))
            if left.type.power == right.type.power and len(parts) == len(others) == 1:
                return [x]
            return parts + (others if op == "add" else [b.map("neg", t) for t in others])
        case Map(op="neg", args=(inner,)):
            return [b.map("neg", t) for t in _terms(b, inner)]
        case Map(op="mul", args=(left, right)):
            return [b.mul(s, t) for s in _terms(b, left) for t in _terms(b, right)]
        case Scale(x=inner, exponent=exponent):
            return [b.scale(t, exponent) for t in _terms(b, inner)]
        case Gather(x=inner, index=index):
            return [b.gather(t, index) for t in _terms(b, inner)]
        case Reduce(op="sum", x=inner, axis=axis):
            return [b.reduce("sum", t, axis) for t in _terms(b, inner)]
        case _:
            return [x]


def _entrywise(b: Builder, spec: str, x: Value, y: Value) -> Value:
    """The vector whose average the inner product is; an entrywise product where nothing is summed over."""
    inputs, out = spec.split("->")
    if set(inputs) - {","} != set(out):
        return b.einsum(spec, x, y)
    sides = []
    for v, letters in zip((x, y), inputs.split(","), strict=True):
        size = dict(zip(letters, v.type.shape, strict=True))
        entries = np.arange(prod(v.type.shape)).reshape(v.type.shape)
        entries = entries.transpose([letters.index(letter) for letter in out if letter in letters])
        start = min((out.index(letter) for letter in letters), default=len(out))
        sides.append(b.gather(v, entries.reshape([size.get(letter, 1) for letter in out[start:]])))
    return b.mul(*sides)


# ---------------------------------------------------------------------------- one average


@dataclass(frozen=True, slots=True)
class _Linear:
    """A vector taken apart: linear in the `fresh` initial vectors, times `others`."""

    fresh: frozenset[InitVector]
    others: tuple[Value, ...] = ()


def _fluctuation(b: Builder, x: Value, e: Fraction) -> Value:
    """n^e · avg(x), of nominal power 1/2."""
    if x.type.power + e != HALF:
        raise _ObstacleError(f"it grows like n^({x.type.power + e}), faster than n^(1/2)")
    _linear(b, x)
    found = b.fluctuation(b.scale(x, -x.type.power))
    return _per_first_width(b, found, x.type.width)


def _per_first_width(b: Builder, fluctuation: Value, width: Width) -> Value:
    """√n · avg, n the first width, from the Fluctuation over another, whose factor is √m."""
    return fluctuation if width.ratio == 1 else b.mul(b.const(float(width.ratio) ** -0.5), fluctuation)


def _linear(b: Builder, x: Value) -> _Linear:
    """x as something linear in initial vectors of mean 0 that its other factors do not depend on."""
    match x:
        case InitVector():
            if x.mean.any() or x.law == "bernoulli":
                raise _ObstacleError(f"{_called(x)} has a mean that is not 0")
            return _Linear(frozenset((x,)))
        case Scale(x=inner) | Gather(x=inner) | Reduce(op="sum", x=inner) | Map(op="neg", args=(inner,)):
            return _linear(b, inner)
        case Map(op="add" | "sub", args=args) | Concat(args=args):
            return _joined(b, [_linear(b, a) for a in args if not is_zero(a)])
        case Map(op="mul", args=(left, right)) | Einsum(x=left, y=right):
            return _linear_product(b, left, right)
        case Map(op="div", args=(above, below)):
            return _joined(b, [_linear(b, above), _Linear(frozenset(), (below,))])
        case _:
            raise _ObstacleError(f"{_called(x)} has no factor that is an initial vector of mean 0")


def _linear_product(b: Builder, left: Value, right: Value) -> _Linear:
    """One side is linear, the other anything that does not depend on the same draws."""
    reasons = []
    for x, other in ((left, right), (right, left)):
        try:
            linear = _linear(b, x)
        except _ObstacleError as reason:
            reasons.append(str(reason))
            continue
        try:
            return _joined(b, [linear, _Linear(frozenset(), (other,))])
        except _ObstacleError as reason:
            reasons.insert(0, str(reason))  # closer to what was meant
    raise _ObstacleError(reasons[0])


def _joined(b: Builder, parts: Sequence[_Linear]) -> _Linear:
    fresh = frozenset[InitVector]().union(*(p.fresh for p in parts))
    others = tuple(other for p in parts for other in p.others)
    for other in others:
        used = sorted(fresh & coordinate_roots(other, b.memo["coordinate roots"]), key=lambda v: v.id)
        if used:
            v = used[0]
            raise _ObstacleError(f"{v.name or 'the initial vector'} is used inside {_called(other)}")
    return _Linear(fresh, others)
