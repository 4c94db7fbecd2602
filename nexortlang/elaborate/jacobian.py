"""The Jacobian of many outputs at once, from core to core: one backward pass for all entries of f.

In: an array of scalars f and the draws that derivatives are wanted for. Out: for every wanted draw and every use of a wanted matrix, parts
whose sum is the Jacobian of f there. Guarantees: exact at every finite width, powers of n pulled out; what does not lead to a wanted draw is not visited; constants
for gradients (stop, gradients) end the pass.

Only entries that can differ from zero are kept, as a list of (entry of f, entry of v) pairs. So a batch whose samples do not meet costs one vector per
sample and layer, as backpropagation of a sum does, and no assumption on where the samples stand is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial, reduce
from heapq import heapify, heappop, heappush
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.dependencies import Root, reachable
from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
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
    Shape,
    Type,
    Value,
    Width,
    operands,
)
from nexortlang.elaborate import fluctuations
from nexortlang.elaborate.adjoint_rules import MINUS_HALF, MINUS_ONE, apply, extremes, gathered_sums, lifted
from nexortlang.elaborate.adjoints import AdjointAlgebra, extended, multiply, plus, split, spread_index
from nexortlang.elaborate.averages import average
from nexortlang.entrywise.derivatives import PARTIALS


@dataclass(frozen=True, slots=True)
class Jacobian:
    """∂f[outputs[p]] / ∂v[entries[p]] = n^exponent · body[p], zero for other pairs; entries counted in C order.

    `body` has shape (P,) and v's width axes, or fewer where it is constant along them. Several parts add up.
    """

    outputs: np.ndarray
    entries: np.ndarray
    exponent: Fraction
    body: Value


@dataclass(frozen=True, slots=True)
class Leaf:
    """What f's derivatives by a draw are made of: an initial vector or scalar with its parts, or a use of a matrix with ∂f/∂(result)."""

    value: InitVector | InitScalar | MatMul
    parts: tuple[Jacobian, ...]


def leaves(b: Builder, f: Value, wanted: Collection[Root]) -> list[Leaf]:
    """The derivatives of f by the wanted draws, in the reverse of program order."""
    matters = _leading_to(b, f, wanted)
    if f.id not in matters:
        return []
    size = prod(f.type.shape)
    seed = Jacobian(np.arange(size), np.arange(size), Fraction(0), b.const(np.ones(size)))
    algebra = AdjointAlgebra(b)
    values, parts, pending = {f.id: f}, {f.id: [seed]}, [-f.id]
    heapify(pending)
    found = []
    while pending:
        v = values[-heappop(pending)]
        own = parts.pop(v.id)
        if isinstance(v, InitVector | InitScalar):
            found.append(Leaf(v, tuple(own)))
            continue
        total = merged(algebra, own, v)
        if isinstance(v, MatMul) and v.matrix in wanted:
            found.append(Leaf(v, (total,)))
        for k, operand in enumerate(operands(v)):
            if operand.id in matters:
                for part in contributions(algebra, v, k, total):
                    if operand.id not in parts:
                        values[operand.id], parts[operand.id] = operand, []
                        heappush(pending, -operand.id)
                    parts[operand.id].append(part)
    return found


def _leading_to(b: Builder, f: Value, wanted: Collection[Root]) -> set[int]:
    """The values that f's derivatives by the wanted draws pass."""
    found: set[int] = set()
    for v in reachable([f]):
        if b.is_of_constants(v):
            continue
        if isinstance(v, InitVector | InitScalar):
            own = v in wanted
        else:
            own = (isinstance(v, MatMul) and v.matrix in wanted) or any(a.id in found for a in operands(v))
        if own:
            found.add(v.id)
    return found


# ---------------------------------------------------------------------------- entries of arrays


def taken(b: Builder, v: Value, index: np.ndarray) -> Value:
    """v.flat[index], with scalar factors and powers of n kept in front."""
    if isinstance(v, Scale):
        return b.scale(taken(b, v.x, index), v.exponent)
    if isinstance(v, Map) and v.op == "mul":
        for c, rest in (v.args, v.args[::-1]):
            if c.type.is_scalar and not rest.type.is_scalar:
                first = b.gather(c, spread_index(c.type.shape, v.type.shape)[index])
                return multiply(b, first, taken(b, rest, spread_index(rest.type.shape, v.type.shape)[index]))
    return b.gather(v, index)


def made(outputs: np.ndarray, entries: np.ndarray, exponent: Fraction, body: Value) -> Jacobian:
    """With the power of n of the body pulled out."""
    if isinstance(body, Scale):
        return Jacobian(outputs, entries, exponent + body.exponent, body.x)
    return Jacobian(outputs, entries, exponent, body)


# ---------------------------------------------------------------------------- sums


def merged(algebra: AdjointAlgebra, parts: Sequence[Jacobian], v: Value) -> Jacobian:
    """The sum of parts, every pair once and in order."""
    b, size = algebra.b, prod(v.type.shape)
    top = max(part.exponent for part in parts)
    groups: dict[bytes, list[tuple[np.ndarray, Value]]] = {}
    for part in parts:
        keys, body = _sorted(b, part.outputs * size + part.entries, part.body)
        groups.setdefault(keys.tobytes(), []).append((keys, b.scale(body, part.exponent - top)))
    sums = [(group[0][0], reduce(partial(plus, b), (body for _, body in group))) for group in groups.values()]
    if len(sums) == 1:
        ((keys, body),) = sums
    else:
        all_keys = np.concatenate([keys for keys, _ in sums])
        keys, body = _sorted(b, all_keys, b.concat(_with_equal_axes(b, [body for _, body in sums])))
    return made(keys // max(size, 1), keys % max(size, 1), top, body)


def _sorted(b: Builder, keys: np.ndarray, body: Value) -> tuple[np.ndarray, Value]:
    """Each key once, in order, with the sum of its entries of the body."""
    distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if np.array_equal(distinct, keys):
        return keys, body
    if len(distinct) == len(keys):
        return distinct, taken(b, body, np.argsort(keys))
    inverse = inverse.reshape(-1)
    if isinstance(body, Const):
        return distinct, b.const(np.bincount(inverse, weights=body.array, minlength=len(distinct)))
    return distinct, gathered_sums(b, body, inverse, counts, distinct.shape)


def _with_equal_axes(b: Builder, bodies: Sequence[Value]) -> list[Value]:
    axes = sorted({axis for body in bodies for axis in body.type.axes}, key=lambda axis: axis[0])
    return [extended(b, body, axes) for body in bodies]


# ---------------------------------------------------------------------------- one instruction


def contributions(algebra: AdjointAlgebra, u: Value, k: int, j: Jacobian) -> Iterator[Jacobian]:
    """What u, whose Jacobian is j, contributes to that of its k-th operand."""
    b = algebra.b
    operand = operands(u)[k]
    own = operand.type
    match u:
        case Map(args=args):
            slope = PARTIALS[u.op][k](partial(apply, b), args)
            if slope == 0.0:
                return
            factor = lifted(b, slope)
            body = multiply(b, j.body, taken(b, factor, spread_index(factor.type.shape, u.type.shape)[j.entries]))
            entries = spread_index(own.shape, u.type.shape)[j.entries]
            yield _over_lost_axes(algebra, made(j.outputs, entries, j.exponent, body), u.type, own)
        case Avg(x=x, slots=slots):
            yield sized(b, j, [w for slot, w in x.type.axes if slot in slots], MINUS_ONE)
        case Fluctuation(x=x):
            yield sized(b, j, [x.type.width], MINUS_HALF)
        case Inner(x=x):
            yield sized(b, _contracted(b, u, k, j), [x.type.width], MINUS_ONE)
        case Einsum():
            yield _over_lost_axes(algebra, _contracted(b, u, k, j), u.type, own)
        case Rename(slots=slots):
            back = {new: old for old, new in slots}
            yield replace(j, body=b.rename(j.body, {slot: back[slot] for slot in j.body.type.slots}))
        case Gather(index=index):
            yield replace(j, entries=index.reshape(-1)[j.entries])
        case Concat(args=args):
            first = sum(prod(a.type.shape) for a in args[:k])
            inside = np.flatnonzero((j.entries >= first) & (j.entries < first + prod(own.shape)))
            if inside.size:
                picked = Jacobian(j.outputs[inside], j.entries[inside] - first, j.exponent, taken(b, j.body, inside))
                yield _over_lost_axes(algebra, picked, u.type, own)
        case Reduce(op=op, x=x, axis=axis):
            if op != "argmax":
                yield _along_axis(algebra, u, x, axis, j)
        case MatMul():
            yield _transposed(algebra, u, j)
        case Scale(exponent=exponent) | FirstOrder(exponent=exponent):
            yield replace(j, exponent=j.exponent + exponent)
        case _:
            raise AssertionError(f"{type(u).__name__} has no operands")


def sized(b: Builder, j: Jacobian, widths: Sequence[Width], power: Fraction) -> Jacobian:
    """j times (size of w)^power for each width w."""
    ratio = prod(float(w.ratio) ** float(power) for w in widths)
    body = j.body if ratio == 1 else multiply(b, b.const(ratio), j.body)
    return made(j.outputs, j.entries, j.exponent + power * len(widths), body)


def _over_lost_axes(algebra: AdjointAlgebra, j: Jacobian, full: Type, own: Type) -> Jacobian:
    """The sum over the width axes along which an operand was constant. A sum that leaves a scalar may be a Gaussian functional."""
    axes = [(slot, w) for slot, w in full.axes if slot not in own.slots]
    if not axes:
        return j
    b = algebra.b
    j = sized(
        b,
        made(j.outputs, j.entries, j.exponent, average(b, j.body, [s for s, _ in axes])),
        [w for _, w in axes],
        Fraction(1),
    )
    if j.body.type.axes:
        return j
    return made(j.outputs, j.entries, Fraction(0), fluctuations.scaled(b, j.body, j.exponent))


def _contracted(b: Builder, u: Inner | Einsum, k: int, j: Jacobian) -> Jacobian:
    """Through a product with summed labels: every pair goes on to one pair for each value of those."""
    inputs, out = u.spec.split("->")
    labels = inputs.split(",")
    factors = (u.x, u.y)
    sizes = {c: n for names, v in zip(labels, factors, strict=True) for c, n in zip(names, v.type.shape, strict=True)}
    summed = [c for c in sizes if c not in out]
    count = prod(sizes[c] for c in summed)
    at = dict(zip(out, np.unravel_index(j.entries, u.type.shape), strict=True)) if out else {}
    position = {c: np.repeat(p, count) for c, p in at.items()}
    sums = (
        np.unravel_index(np.tile(np.arange(count), len(j.entries)), tuple(sizes[c] for c in summed)) if summed else ()
    )
    position |= dict(zip(summed, sums, strict=True))

    def index(names: str, shape: Shape) -> np.ndarray:
        if not names:
            return np.zeros(len(j.entries) * count, dtype=np.intp)
        return np.asarray(np.ravel_multi_index(tuple(position[c] for c in names), shape))

    pairs = np.repeat(np.arange(len(j.entries)), count)
    other = taken(b, factors[1 - k], index(labels[1 - k], factors[1 - k].type.shape))
    body = multiply(b, taken(b, j.body, pairs), other)
    return made(j.outputs[pairs], index(labels[k], factors[k].type.shape), j.exponent, body)


def _along_axis(algebra: AdjointAlgebra, u: Reduce, x: Value, axis: int, j: Jacobian) -> Jacobian:
    """Through a sum over a finite axis, or to its largest (smallest) entries."""
    b, shape = algebra.b, x.type.shape
    grid = np.moveaxis(np.arange(prod(shape)).reshape(shape), axis, -1).reshape(-1, shape[axis])
    pairs = np.repeat(np.arange(len(j.entries)), shape[axis])
    entries = grid[j.entries].reshape(-1)
    body = taken(b, j.body, pairs)
    if u.op != "sum":
        body = multiply(b, body, b.gather(extremes(algebra, u, x, axis, len(shape) - 1 - axis), entries))
    return made(j.outputs[pairs], entries, j.exponent, body)


def _transposed(algebra: AdjointAlgebra, u: MatMul, j: Jacobian) -> Jacobian:
    """Wᵀ applied to what extends over the width; scalar factors stay in front."""
    b, shape = algebra.b, u.type.shape
    exponent, coefficient, body = split(b, extended(b, j.body, u.type.axes))
    members = np.broadcast_to(u.members, shape).reshape(-1)[j.entries]
    back = b.matmul(u.matrix, members, not u.transposed, b.broadcast(body, members.shape))
    entries = spread_index(u.x.type.shape, shape)[j.entries]
    return made(j.outputs, entries, j.exponent + exponent, multiply(b, coefficient, back))
