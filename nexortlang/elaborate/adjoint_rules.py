"""The adjoint rule of every core instruction (Def. 2.9.14 of Tensor Programs IVb, with finite axes and several widths).

In: an instruction u, the number k of one of its operands, the adjoint a = ∂L/∂u. Out: what u contributes to ∂L/∂operand, or None for
nothing. Sizes of widths are exact: the adjoint of an average over a width of size ρn divides by ρn.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import (
    Avg,
    Concat,
    Einsum,
    FirstOrder,
    Fluctuation,
    Gather,
    Inner,
    Map,
    MatMul,
    Reduce,
    Rename,
    Scale,
    Shape,
    Type,
    Value,
)
from nexortlang.elaborate.adjoints import Adjoint, AdjointAlgebra, insert_axis, is_one, multiply
from nexortlang.entrywise.derivatives import PARTIALS

MINUS_ONE = Fraction(-1)
MINUS_HALF = Fraction(-1, 2)
WASTE = 4  # a scatter-add pads to one length when that costs at most this many times the entries


def contribution(algebra: AdjointAlgebra, u: Value, k: int, a: Adjoint) -> Adjoint | None:
    """What u with adjoint a contributes to the adjoint of its k-th operand."""
    b = algebra.b
    match u:
        case Map(args=args):
            slope = PARTIALS[u.op][k](partial(apply, b), args)
            if slope == 0.0:
                return None
            return to_operand(algebra, algebra.times(a, lifted(b, slope)), u.type, args[k].type)
        case Avg(x=x, slots=slots):
            return algebra.sizes(a, [w for slot, w in x.type.axes if slot in slots], MINUS_ONE)
        case Inner(spec=spec, x=x):
            return algebra.sizes(einsum_operand(algebra, u, spec, k, a), [x.type.width], MINUS_ONE)
        case Einsum(spec=spec):
            return einsum_operand(algebra, u, spec, k, a)
        case Fluctuation(x=x):
            return algebra.sizes(a, [x.type.width], MINUS_HALF)
        case Rename(slots=slots):
            back = {new: old for old, new in slots}
            return Adjoint(a.exponent, a.coefficient, b.rename(a.body, back))
        case Gather(x=x, index=index):
            return scatter_add(algebra, a, index, x.type.shape)
        case Concat(args=args):
            return concat_operand(algebra, args, k, a, u.type)
        case Reduce(op="argmax"):
            return None
        case Reduce(op=op, x=x, axis=axis):
            after = len(x.type.shape) - 1 - axis
            spread = algebra.mapped(a, lambda v: insert_axis(b, v, after))
            return spread if op == "sum" else algebra.times(spread, extremes(algebra, u, x, axis, after))
        case MatMul():
            return matmul_operand(algebra, u, a)
        case Scale(exponent=exponent) | FirstOrder(exponent=exponent):
            return Adjoint(a.exponent + exponent, a.coefficient, a.body)
        case _:
            raise AssertionError(f"{type(u).__name__} has no operands")


def lifted(b: Builder, x: Value | float) -> Value:
    return b.const(x) if isinstance(x, float) else x


def apply(b: Builder, op: str, *args: Value | float) -> Value:
    """An entrywise operation on values and numbers, for the table of derivatives."""
    values = [lifted(b, x) for x in args]
    match op, values:
        case "sign", [x]:  # in |x|′, of x without its power of n
            return b.map("sign", b.scale(x, -x.type.power))
        case "mul", [x, y]:
            return multiply(b, x, y)
        case "neg", [x]:
            return multiply(b, b.const(-1.0), x)
        case "pow", [x, y] if is_one(y):
            return x
    return b.map(op, *values)


def to_operand(algebra: AdjointAlgebra, a: Adjoint, full: Type, own: Type) -> Adjoint:
    """The sum of a over the axes, width axes first, along which an operand was constant while the result was not."""
    axes = [(slot, w) for slot, w in full.axes if slot not in own.slots]
    return algebra.sum_to(algebra.sum_slots(a, axes), full.shape, own.shape)


def extremes(algebra: AdjointAlgebra, u: Value, x: Value, axis: int, after: int) -> Value:
    """1 at the entries where x takes its maximum (minimum) u along the axis, shared evenly among ties."""
    b = algebra.b
    at = b.map("eq", b.scale(x, -x.type.power), insert_axis(b, b.scale(u, -u.type.power), after))
    return b.map("div", at, insert_axis(b, b.reduce("sum", at, axis), after))


def matmul_operand(algebra: AdjointAlgebra, u: MatMul, a: Adjoint) -> Adjoint:
    """Wᵀ applied to the body: coefficients do not extend over the width."""
    b = algebra.b
    body = a.body if a.body.type.axes else multiply(b, a.body, b.ones(u.type.width))
    back = algebra.adjoint(a.exponent, a.coefficient, b.matmul(u.matrix, u.members, not u.transposed, body))
    return algebra.sum_to(back, u.type.shape, u.x.type.shape)


def concat_operand(algebra: AdjointAlgebra, args: tuple[Value, ...], k: int, a: Adjoint, full: Type) -> Adjoint:
    b, own = algebra.b, args[k].type
    first = sum(prod(arg.type.shape) for arg in args[:k])
    index = np.arange(first, first + prod(own.shape)).reshape(own.shape)
    part = algebra.mapped(a, lambda v: v if prod(v.type.shape) == 1 else b.gather(v, index))
    part = algebra.mapped(part, lambda v: b.reshape(v, ()) if prod(v.type.shape) == 1 else v)
    axes = [(slot, w) for slot, w in full.axes if slot not in own.slots]
    return algebra.sum_slots(part, axes)


def einsum_operand(algebra: AdjointAlgebra, u: Inner | Einsum, spec: str, k: int, a: Adjoint) -> Adjoint:
    """Σ over the labels of the result and of the other operand that the operand lacks."""
    inputs, out = spec.split("->")
    labels = inputs.split(",")
    operands = (u.x, u.y)
    own, other = operands[k], operands[1 - k]
    sizes = {
        label: size
        for names, v in zip(labels, operands, strict=True)
        for label, size in zip(names, v.type.shape, strict=True)
    }
    other, other_labels = diagonal(algebra.b, other, labels[1 - k])
    own_labels = "".join(dict.fromkeys(labels[k]))
    found = algebra.contract(a, out, other, other_labels, own_labels, sizes)
    if isinstance(u, Einsum):
        axes = [(slot, w) for slot, w in u.type.axes if slot not in own.type.slots]
        found = algebra.sum_slots(found, axes)
    if own_labels == labels[k]:
        return found
    return scatter_add(algebra, found, diagonal_index(labels[k], own.type.shape), own.type.shape)


def diagonal_index(labels: str, shape: Shape) -> np.ndarray:
    """Where the entries with equal subscripts under equal labels stand in an array of this shape."""
    kept = "".join(dict.fromkeys(labels))
    return np.einsum(f"{labels}->{kept}", np.arange(prod(shape)).reshape(shape))


def diagonal(b: Builder, v: Value, labels: str) -> tuple[Value, str]:
    """v with each label once, as an einsum reads it."""
    kept = "".join(dict.fromkeys(labels))
    return (v, labels) if kept == labels else (b.gather(v, diagonal_index(labels, v.type.shape)), kept)


# ---------------------------------------------------------------------------- Gather


def scatter_add(algebra: AdjointAlgebra, a: Adjoint, index: np.ndarray, shape: Shape) -> Adjoint:
    """The adjoint of x.flat[index] for x of this shape: entry k is the sum of a over {m : index[m] = k}."""
    b = algebra.b
    counts = np.bincount(index.ravel(), minlength=prod(shape))

    def uniform(v: Value) -> bool:
        return prod(v.type.shape) == 1

    flat = algebra.mapped(a, lambda v: b.reshape(v, ()) if uniform(v) else b.broadcast(v, index.shape))
    if uniform(a.coefficient) and uniform(a.body):
        return algebra.times(flat, b.const(counts.reshape(shape)))
    if counts.max(initial=0) <= 1:
        source = np.zeros(prod(shape), dtype=np.intp)
        source[index.ravel()] = np.arange(index.size)
        moved = algebra.mapped(flat, lambda v: v if uniform(v) else b.gather(v, source.reshape(shape)))
        return algebra.times(moved, b.const(counts.reshape(shape).astype(float)))
    if uniform(a.coefficient):
        return algebra.adjoint(a.exponent, flat.coefficient, gathered_sums(b, flat.body, index, counts, shape))
    product = b.broadcast(multiply(b, flat.coefficient, flat.body), index.shape)
    return algebra.adjoint(a.exponent, algebra.one, gathered_sums(b, product, index, counts, shape))


def gathered_sums(b: Builder, v: Value, index: np.ndarray, counts: np.ndarray, shape: Shape) -> Value:
    """Entry k of the result (of this shape) is the sum of v over {m : index[m] = k}, by Gather and Reduce.

    The entries to be summed stand in rows of equal length, padded by zeros. Where that would be much more than v holds (a few entries that
    are met very often), the rows come in classes of like length, so that the work stays linear in the size of v.
    """
    order = np.argsort(index, axis=None, kind="stable")
    first = np.cumsum(counts) - counts
    if counts.max() * counts.size <= WASTE * index.size:
        return b.reshape(row_sums(b, v, order, first, counts), shape)
    lengths = np.ceil(np.log2(np.maximum(counts, 1))).astype(int)
    classes = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    parts = [row_sums(b, v, order, first[rows], counts[rows]) for rows in classes]
    position = np.empty(counts.size, dtype=np.intp)
    position[np.concatenate(classes)] = np.arange(counts.size)
    return b.gather(b.concat(parts), position.reshape(shape))


def row_sums(b: Builder, v: Value, order: np.ndarray, first: np.ndarray, counts: np.ndarray) -> Value:
    """Σ of v.flat[order[first[r] + j]] over j < counts[r], for every row r."""
    columns = np.arange(counts.max())
    inside = columns < counts[:, None]
    table = b.gather(v, order[np.where(inside, first[:, None] + columns, 0)])
    return b.reduce("sum", table if inside.all() else multiply(b, b.const(inside), table), 1)
