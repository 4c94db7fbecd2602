"""√n times what has moved by n^(−1/2): the tangent (operator) regime, derived for any program.

In: a scalar x and an exponent e for which n^e·x has the nominal power p, 0 < p ≤ 1/2. Out: a core value with the limit of n^e·x, or an obstacle.
Guarantees: exact to first order, at initial weights as at trained ones. Nothing of the language is a special case.

Every value is its leading part (elaborate.leading) plus what is smaller by n^(−p); such terms enter in sums, where updates were added. To first
order n^e·x is therefore n^e times its leading part, plus the sum, over all terms that are n^(−p) smaller, of ⟨∂x/∂(sum), n^p·term⟩. All
derivatives stand at leading parts and go through scalars and all slots of averages alike. So no tangent of any ket is formed, but its transpose: one
backward pass, the same values at every step. The leading part is a program of the same width, not its limit: the noise of its averages is
common, and it must cancel symbolically (f − f₀) or be a Gaussian functional √n⟨v|x⟩ (elaborate.fluctuations); else n^e·x grows.

Source: Tensor Programs IVb, Thm 2.4.7 and 2.9.19, whose formula this gives for networks: f_t = f₀ − η Σ_s Σ_l ⟨dh^l|Q_s|x^(l−1)⟩.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from heapq import heappop, heappush
from math import prod
from typing import NamedTuple

import numpy as np

from nexortlang.core.build import Builder, live_operands, vanishes
from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
    FirstOrder,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Map,
    Rename,
    Scale,
    Value,
    operands,
)
from nexortlang.elaborate import fluctuations
from nexortlang.elaborate.adjoint_rules import gathered_sums
from nexortlang.elaborate.adjoints import AdjointAlgebra, multiply, plus
from nexortlang.elaborate.averages import average
from nexortlang.elaborate.describe import power_text
from nexortlang.elaborate.jacobian import Jacobian, contributions, merged, taken
from nexortlang.elaborate.leading import leading, peel, zeros
from nexortlang.elaborate.narrowing import narrowed

HALF = Fraction(1, 2)


class ObstacleError(Exception):
    """Why n^e·x is not known to be of order 1."""


def scaled(b: Builder, v: Value, exponent: Fraction) -> Value:
    """n^exponent · v for a scalar: where that has a nominal power up to 1/2 and is of order 1 all the same, a value of power 0."""
    is_trained = motion(b, v).gap is not None
    result = _as_first_order(b, v, exponent) if is_trained else fluctuations.scaled(b, v, exponent)
    if result.type.power <= 0:
        return result
    return fluctuations.scaled(b, v, exponent) if is_trained else _as_first_order(b, v, exponent)


def _as_first_order(b: Builder, v: Value, exponent: Fraction) -> Value:
    if not 0 < v.type.power + exponent <= HALF:
        return b.scale(v, exponent)
    try:
        return b.rewritten(brought_back(b, v, exponent), v, exponent=exponent)
    except ObstacleError:
        return b.scale(v, exponent)


def brought_back(b: Builder, x: Value, exponent: Fraction) -> Value:
    """n^exponent · x as a value of order 1, with its limit. Raises ObstacleError."""
    x, p = peel(x)
    exponent += p
    memo: dict[tuple[int, Fraction], Value | str] = b.memo["first order"]
    key = (x.id, exponent)
    if key not in memo:
        try:
            memo[key] = b.first_order(x, exponent, _limit(b, x, exponent))
        except ObstacleError as reason:
            memo[key] = str(reason)
    found = memo[key]
    if isinstance(found, str):
        raise ObstacleError(found)
    return found


def why_not(b: Builder, x: Value) -> str:
    """What stands in the way of x, of nominal power up to 1/2, being of order 1; "" if it is."""
    try:
        brought_back(b, x, Fraction(0))
    except ObstacleError as reason:
        return str(reason)
    return ""


def _limit(b: Builder, x: Value, exponent: Fraction) -> Value | None:
    power = x.type.power + exponent
    if not x.type.is_scalar or not 0 < power <= HALF:
        raise ObstacleError(f"it grows like {power_text(power)}")
    with b.constants():
        lead = leading(b, x)
        change = None if lead is x else _Pass(b, x, exponent).change()
        functional = None if lead is None else _functional(b, lead, exponent, power)
        if functional is None or change is None:
            return change if functional is None else functional
        b.memo["changes"][change.id] = change  # one summand, when f − f₀ is looked through for what cancels
        return b.add(functional, change)


def _functional(b: Builder, lead: Value, exponent: Fraction, power: Fraction) -> Value | None:
    """n^exponent times the leading part: a Gaussian, or 0 where a smaller power than √n brings it back."""
    if why := fluctuations.why_not(b, lead):
        raise ObstacleError(why)
    return fluctuations.scaled(b, lead, exponent) if power == HALF else None


# ---------------------------------------------------------------------------- which values move


class Motion(NamedTuple):
    """By which smaller power of n a value moves at most (None: not at all), and whether it depends on a first order."""

    gap: Fraction | None
    is_opaque: bool


STILL = Motion(None, False)


def motion(b: Builder, v: Value) -> Motion:
    """How far a value's own leading part is from it."""
    if not b.has_lower_terms:
        return STILL
    memo: dict[int, Motion] = b.memo["motion"]
    pending = [v]
    while pending:
        u = pending[-1]
        if u.id in memo:
            pending.pop()
            continue
        live = () if isinstance(u, FirstOrder) else live_operands(u)
        if missing := [a for a in live if a.id not in memo]:
            pending.extend(missing)
        else:
            memo[u.id] = _own_motion(u, [memo[a.id] for a in live])
    return memo[v.id]


def _own_motion(u: Value, parts: Sequence[Motion]) -> Motion:
    if isinstance(u, FirstOrder):
        return Motion(None, True)
    gaps = [u.type.power - a.type.power for a in operands(u) if vanishes(u, a)]
    gaps += [m.gap for m in parts if m.gap is not None]
    return Motion(min(gaps, default=None), any(m.is_opaque for m in parts)) if gaps or parts else STILL


# ---------------------------------------------------------------------------- the backward pass


class _Summand(NamedTuple):
    """coefficient · ⟨∂x/∂value, value⟩; no coefficient is 1."""

    coefficient: Value | None
    j: Jacobian
    value: Value


class _Pass:
    """The backward pass of n^e · x, at leading parts. `power` is the nominal power of n^e · x."""

    def __init__(self, b: Builder, x: Value, exponent: Fraction) -> None:
        self._b, self._x, self._exponent = b, x, exponent
        self._power = x.type.power + exponent
        self._size = prod(x.type.shape)
        self._algebra = AdjointAlgebra(b)

    def change(self) -> Value | None:
        """Σ over the terms that are n^(−power) smaller than the sums they stand in; None if there are none."""
        gap = motion(self._b, self._x).gap
        if gap is not None and gap < self._power:
            raise ObstacleError(
                f"what it is computed from has moved by {power_text(-gap)}, and it grows like {power_text(self._power - gap)}"
            )
        total: Value | None = None
        for part in self._parts():
            total = _added(self._b, total, part)
        return None if total is None else self._b.reshape(total, self._x.type.shape)

    def _parts(self) -> Iterator[Value | None]:
        """What the smaller terms contribute."""
        x, everything = self._x, np.arange(self._size)
        seed = Jacobian(everything, everything, self._exponent, self._b.const(np.ones(self._size)))
        values, parts, pending = {x.id: x}, {x.id: [seed]}, [-x.id]
        while pending:
            v = values[-heappop(pending)]
            j = merged(self._algebra, parts.pop(v.id), v)
            if isinstance(v, FirstOrder):
                self._require_negligible(j, v)
                continue
            if self._is_updated(v):
                yield self._moved(j, v)
                continue
            for k, a in enumerate(operands(v)):
                lower = vanishes(v, a)
                if not (v.type.power - a.type.power == self._power if lower else self._matters(a)):
                    continue
                for part in self._through(v, k, j):
                    if lower:
                        yield self._paired(part, a)
                    elif a.id in parts:
                        parts[a.id].append(part)
                    else:
                        values[a.id], parts[a.id] = a, [part]
                        heappush(pending, -a.id)

    def _matters(self, v: Value) -> bool:
        m = motion(self._b, v)
        return m.is_opaque or m.gap == self._power

    def _is_updated(self, v: Value) -> bool:
        """Whether v is what does not move, plus one or more smaller terms: a parameter after some steps."""
        memo: dict[object, bool] = self._b.memo["updated"]
        chain = []
        while (v.id, self._power) not in memo:
            chain.append(v)
            kept = live_operands(v)
            if not (isinstance(v, Map) and v.op in ("add", "sub") and len(kept) == 1 and kept[0].type == v.type):
                memo[v.id, self._power] = False
            elif not self._matters(kept[0]):
                memo[v.id, self._power] = True
            else:
                v = kept[0]
        found = memo[v.id, self._power]
        memo.update(((u.id, self._power), found) for u in chain)
        return found

    def _moved(self, j: Jacobian, v: Value) -> Value | None:
        """What the smaller terms of an updated value contribute; one more update adds one more part."""
        memo: dict[object, Value | None] = self._b.memo["first order changes"]
        chain = []
        total: Value | None = None
        while self._matters(v):
            if self._key(j, v) in memo:
                total = memo[self._key(j, v)]
                break
            (k,) = (k for k, a in enumerate(operands(v)) if not vanishes(v, a))
            (j_kept,) = self._through(v, k, j)
            chain.append((j, v, 1 - k))
            j, v = j_kept, operands(v)[k]
        for here, u, k in reversed(chain):
            term = operands(u)[k]
            if u.type.power - term.type.power == self._power:
                for part in self._through(u, k, here):
                    total = _added(self._b, total, self._paired(part, term))
            memo[self._key(here, u)] = total
        return total

    def _require_negligible(self, j: Jacobian, v: FirstOrder) -> None:
        """A first order's own change is smaller by n^(−power), and not computed: nothing may be left of it."""
        if j.exponent + j.body.type.power >= self._power:
            what = v.name or "a number"
            raise ObstacleError(f"it depends on {what}, of order 1 by a cancellation, whose own smaller change counts")

    def _through(self, v: Value, k: int, j: Jacobian) -> Iterator[Jacobian]:
        """The derivative by the k-th operand of v, from that by v. The other operands are taken at their leading parts."""
        if isinstance(v, Map) and v.op == "stop":
            yield j
            return
        b = self._b
        args = [None if vanishes(v, a) else leading(b, a) for a in operands(v)]
        is_product = isinstance(v, Einsum | Inner) or (isinstance(v, Map) and v.op == "mul")
        if not (is_product and args[1 - k] is None):
            filled = [zeros(b, a.type) if x is None else x for x, a in zip(args, operands(v), strict=True)]
            yield from contributions(self._algebra, _with_operands(v, filled), k, j)

    # -- one term

    def _paired(self, j: Jacobian, term: Value) -> Value | None:
        """⟨∂(n^e·x)/∂term, term⟩, of shape (entries of x,); None if it vanishes.

        What is linear in the term's own summands is taken apart, and every part kept: one more update costs one more part.
        """
        memo: dict[object, Value | None] = self._b.memo["first order terms"]
        pending = [(j, term)]
        while pending:
            here, v = pending[-1]
            key = self._key(here, v)
            parts = [] if key in memo else self._summands(here, v)
            missing = [(p.j, p.value) for p in parts if self._key(p.j, p.value) not in memo]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if key not in memo:
                memo[key] = self._joined(parts, memo) if parts else self._pairing(here, v)
        return memo[self._key(j, term)]

    def _key(self, j: Jacobian, v: Value) -> object:
        return (j.body.id, j.exponent, j.outputs.tobytes(), j.entries.tobytes(), v.id, self._size)

    def _joined(self, parts: Sequence[_Summand], memo: dict[object, Value | None]) -> Value | None:
        b, total = self._b, None
        for coefficient, j, v in parts:
            found = memo[self._key(j, v)]
            if found is not None and coefficient is not None:
                factor = leading(b, coefficient)
                found = None if factor is None else multiply(b, factor, found)
            total = _added(b, total, found)
        return total

    def _summands(self, j: Jacobian, v: Value) -> list[_Summand]:
        """Parts whose pairings make up that of v; none if v is taken as a whole."""
        v = self._b.as_written(v)
        match v:
            case Map(op="add" | "sub"):
                live = [(k, a) for k, a in enumerate(v.args) if not vanishes(v, a)]
                return [_Summand(None, part, a) for k, a in live for part in self._through(v, k, j)]
            case Map(op="neg", args=(a,)):
                return [_Summand(self._b.const(-1.0), j, a)]
            case Map(op="mul", args=(x, y)) if y.type.axes and x.type == replace(x.type, axes=(), shape=()):
                return [_Summand(x, j, y)]
            case Map(op="mul", args=(x, y)) if x.type.axes and y.type == replace(y.type, axes=(), shape=()):
                return [_Summand(y, j, x)]
            case Scale(x=x, exponent=exponent):
                return [_Summand(None, replace(j, exponent=j.exponent + exponent), x)]
            case Rename(x=x) | Gather(x=x):
                return [_Summand(None, part, x) for part in self._through(v, 0, j)]
            case Avg(x=Map(op="mul", args=args) as product) if len(product.type.axes) > 1:
                slots = [len(a.type.axes) for a in args]
                matrix = slots.index(max(slots))
                if min(slots) == 1:
                    entries = self._through(v, 0, j)
                    return [
                        _Summand(None, part, args[matrix])
                        for e in entries
                        for part in self._through(product, matrix, e)
                    ]
        return []

    def _pairing(self, j: Jacobian, v: Value) -> Value | None:
        """Σ over coordinates and entries of ∂(n^e·x)/∂v · v, v at its leading part."""
        b = self._b
        lead = leading(b, v)
        if lead is None:
            return None
        lead, p = peel(lead)
        power = j.exponent + p + len(v.type.axes) + j.body.type.power + lead.type.power
        if power < 0:
            return None
        if power > 0:
            raise ObstacleError(f"the change by {v.name or 'an update'} grows like {power_text(power)}")
        size = b.const(prod(float(width.ratio) for _, width in v.type.axes))
        if len(v.type.axes) == 1:
            mean = average(b, multiply(b, j.body, taken(b, lead, j.entries)), v.type.slots)
            return self._per_output(multiply(b, size, mean), j.outputs)
        total: Value | None = None
        for entry in np.unique(j.entries):  # members of a family apart, so that each is one matrix between two vectors
            here = np.flatnonzero(j.entries == entry)
            body = j.body if here.size == j.entries.size else taken(b, j.body, here)
            mean = average(b, multiply(b, body, narrowed(b, lead, np.asarray(entry))), v.type.slots)
            total = _added(b, total, self._per_output(multiply(b, size, mean), j.outputs[here]))
        return total

    def _per_output(self, v: Value, outputs: np.ndarray) -> Value:
        """The sums of v's entries that belong to each entry of x."""
        if np.array_equal(outputs, np.arange(self._size)):
            return v
        return gathered_sums(self._b, v, outputs, np.bincount(outputs, minlength=self._size), (self._size,))


def _added(b: Builder, x: Value | None, y: Value | None) -> Value | None:
    return y if x is None else x if y is None else plus(b, x, y)


def _with_operands(v: Value, args: Sequence[Value]) -> Value:
    """v, with other operands, as something to take derivatives of; it is no part of the program."""
    match v:
        case Map() | Concat():
            return replace(v, args=tuple(args))
        case Einsum() | Inner():
            return replace(v, x=args[0], y=args[1])
        case Const() | InitVector() | InitScalar():
            raise AssertionError(f"{type(v).__name__} has no operands")
        case _:
            return replace(v, x=args[0])
