"""Adjoints in factored form, and the few algebraic steps that keep a backward program as short as one written by hand.

An adjoint ∂L/∂v stands for n^exponent · coefficient · body: the coefficient is free of width axes (error signals χ, constants), the body is what
extends over them. Backpropagation is linear, so coefficients and powers of n pass by while MatMul and φ′ act on the body alone: the
backward pass of one network is then the same values for every loss, and a gradient reads Σ_b χ_b dh_b[i] x_b[j].

Both factors have finite shapes that *broadcast* to v's, and fewer width axes than v means constant along the others.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder, added_powers, broadcast_shapes, is_everywhere, is_zero
from nexortlang.core.program import ZERO, Const, Map, Scale, Shape, Type, Value, Width
from nexortlang.elaborate.averages import average

LABELS = string.ascii_lowercase


def is_one(v: Value) -> bool:
    return is_everywhere(v, 1.0)


def multiply(b: Builder, x: Value, y: Value) -> Value:
    """x · y with constants gathered in front (of the scalar, if one is), ones dropped and powers of n pulled out."""
    if isinstance(x, Scale):
        return b.scale(multiply(b, x.x, y), x.exponent)
    if isinstance(y, Scale):
        return b.scale(multiply(b, x, y.x), y.exponent)
    if isinstance(y, Const):
        x, y = y, x
    if is_one(x) and broadcast_shapes(x.type.shape, y.type.shape) == y.type.shape:
        return y
    if isinstance(x, Const):
        match y:
            case Map(op="mul", args=(Const() as c, rest)) if x.array.size == 1 or c.array.size == 1:
                return multiply(b, b.mul(x, c), rest)
        return b.mul(x, y)
    for first, second in ((x, y), (y, x)):
        match first:
            case Map(op="mul", args=(Const() as c, rest)) if first.type.is_scalar == second.type.is_scalar:
                return multiply(b, c, multiply(b, rest, second))
            case Map(op="mul", args=(Const() as c, rest)) if second.type.is_scalar:
                return multiply(b, multiply(b, c, second), rest)
    return b.mul(x, y)


def plus(b: Builder, x: Value, y: Value) -> Value:
    """x + y with a common power of n pulled out, and x − y where y is −1 times something."""
    if isinstance(x, Scale) and isinstance(y, Scale) and x.exponent == y.exponent:
        return b.scale(plus(b, x.x, y.x), x.exponent)
    for zero, other in ((x, y), (y, x)):
        if is_zero(zero) and broadcast_shapes(zero.type.shape, other.type.shape) == other.type.shape:
            return other
    match x, y:
        case _, Map(op="mul", args=(Const() as c, rest)) if (c.array == -1.0).all() and not c.type.shape:
            return b.map("sub", x, rest)
        case Map(op="mul", args=(Const() as c, rest)), _ if (c.array == -1.0).all() and not c.type.shape:
            return b.map("sub", y, rest)
    return b.add(x, y)


def extended(b: Builder, v: Value, axes: Iterable[tuple[int, Width]]) -> Value:
    """v with all of these width axes."""
    for slot, width in axes:
        if slot not in v.type.slots:
            v = multiply(b, v, b.rename(b.ones(width), {0: slot}))
    return v


def spread(b: Builder, v: Value, t: Type) -> Value:
    """v, which broadcasts to type t, with all of t's axes and its shape; a power of n stays outside."""
    v = extended(b, v, t.axes)
    return b.scale(b.broadcast(v.x, t.shape), v.exponent) if isinstance(v, Scale) else b.broadcast(v, t.shape)


def split(b: Builder, v: Value) -> tuple[Fraction, Value, Value]:
    """(exponent, coefficient, body) of a value."""
    one = b.const(1.0)
    if isinstance(v, Scale):
        exponent, coefficient, body = split(b, v.x)
        return exponent + v.exponent, coefficient, body
    if v.type.is_scalar:
        return ZERO, v, one
    if isinstance(v, Map) and v.op == "mul":
        for c, rest in (v.args, v.args[::-1]):
            if c.type.is_scalar:
                first, rest_coefficient, body = split(b, rest)
                second, c, _ = split(b, c)
                return first + second, multiply(b, c, rest_coefficient), body
    return ZERO, one, v


# ---------------------------------------------------------------------------- finite axes, aligned at the right as in NumPy


def size_at(shape: Shape, from_right: int) -> int:
    """The size of the axis with `from_right` axes after it, 1 if there is none."""
    return shape[-1 - from_right] if from_right < len(shape) else 1


def spread_index(shape: Shape, full: Shape) -> np.ndarray:
    """For every entry of the larger shape, the entry of the smaller one that broadcasts to it."""
    return np.broadcast_to(np.arange(prod(shape)).reshape(shape), full).reshape(-1)


def insert_axis(b: Builder, v: Value, from_right: int) -> Value:
    """v with an axis of size 1 that has `from_right` axes after it (none is needed beyond v's first)."""
    shape = v.type.shape
    if from_right >= len(shape):
        return v
    at = len(shape) - from_right
    return b.reshape(v, (*shape[:at], 1, *shape[at:]))


def squeeze(b: Builder, v: Value, labels: str) -> tuple[Value, str]:
    """v without its axes of size 1, and the labels that are left. `labels` names as many last axes as v has, or more."""
    labels = labels[len(labels) - len(v.type.shape) :]
    kept = [k for k, size in enumerate(v.type.shape) if size != 1]
    return b.reshape(v, tuple(v.type.shape[k] for k in kept)), "".join(labels[k] for k in kept)


def contract(b: Builder, x: Value, x_labels: str, y: Value, y_labels: str, out: str) -> Value:
    """Σ over the labels not in `out` of x · y, where axes of size 1 broadcast. Size 1 in the result where neither extends."""
    x, x_labels = squeeze(b, x, x_labels)
    y, y_labels = squeeze(b, y, y_labels)
    carried = {*x_labels, *y_labels}
    if carried <= set(out):
        return multiply(b, aligned(b, x, x_labels, out), aligned(b, y, y_labels, out))
    for ones, ones_labels, other, other_labels in ((x, x_labels, y, y_labels), (y, y_labels, x, x_labels)):
        if is_one(ones):
            alone = [size for c, size in zip(ones_labels, ones.type.shape, strict=True) if c not in other_labels + out]
            found = reduced(b, other, other_labels, out)
            return multiply(b, b.const(float(prod(alone))), found) if alone else found
    kept = "".join(label for label in out if label in carried)
    return aligned(b, scaled_einsum(b, f"{x_labels},{y_labels}->{kept}", x, y), kept, out)


def scaled_einsum(b: Builder, spec: str, x: Value, y: Value) -> Value:
    """Einsum with powers of n pulled out."""
    exponent = ZERO
    if isinstance(x, Scale):
        exponent, x = exponent + x.exponent, x.x
    if isinstance(y, Scale):
        exponent, y = exponent + y.exponent, y.x
    return b.scale(b.einsum(spec, x, y), exponent)


def reduced(b: Builder, v: Value, labels: str, out: str) -> Value:
    """The sum of v over the labels that are not in `out`, in the order of `out`."""
    for axis in reversed(range(len(labels))):
        if labels[axis] not in out:
            v = b.reduce("sum", v, axis)
    return aligned(b, v, "".join(label for label in labels if label in out), out)


def aligned(b: Builder, v: Value, labels: str, out: str) -> Value:
    """v transposed to the order of `out`, with size 1 for the labels it lacks; leading ones are left away."""
    order = [labels.index(label) for label in out if label in labels]
    index = np.arange(prod(v.type.shape)).reshape(v.type.shape).transpose(order)
    out = out.lstrip("".join(set(out) - set(labels)))
    return b.gather(v, index.reshape(tuple(v.type.shape[labels.index(k)] if k in labels else 1 for k in out)))


# ---------------------------------------------------------------------------- adjoints


@dataclass(frozen=True, slots=True)
class Adjoint:
    """n^exponent · coefficient · body, see above. A scalar's adjoint has body 1."""

    exponent: Fraction
    coefficient: Value
    body: Value


class AdjointAlgebra:
    """Operations on adjoints, building into `b`. `scaled` gives n^e times a scalar that sums over widths have left."""

    def __init__(self, b: Builder, scaled: Callable[[Builder, Value, Fraction], Value] = Builder.scale) -> None:
        self.b = b
        self._scaled = scaled
        self.one = b.const(1.0)

    # -- in and out

    def of(self, v: Value) -> Adjoint:
        return self.adjoint(ZERO, self.one, v)

    def adjoint(self, exponent: Fraction, coefficient: Value, body: Value) -> Adjoint:
        """The factored form of n^exponent · coefficient · body."""
        more, c, body = split(self.b, body)
        coefficient = multiply(self.b, coefficient, c)
        if isinstance(coefficient, Scale):
            more, coefficient = more + coefficient.exponent, coefficient.x
        return Adjoint(added_powers(exponent, more), coefficient, body)

    def value(self, a: Adjoint, t: Type) -> Value:
        """The adjoint as a value with all the axes of type t and its finite shape."""
        body = extended(self.b, a.body, t.axes)
        return spread(self.b, self.b.scale(multiply(self.b, a.coefficient, body), a.exponent), t)

    # -- linear steps

    def times(self, a: Adjoint, factor: Value) -> Adjoint:
        """a · factor, entrywise."""
        f = self.of(factor)
        coefficient = multiply(self.b, a.coefficient, f.coefficient)
        return self.adjoint(a.exponent + f.exponent, coefficient, multiply(self.b, a.body, f.body))

    def mapped(self, a: Adjoint, linear: Callable[[Value], Value]) -> Adjoint:
        """A linear map that acts on finite axes alone, and alike on both factors (a rearrangement)."""
        return Adjoint(a.exponent, linear(a.coefficient), linear(a.body))

    def sizes(self, a: Adjoint, widths: Iterable[Width], power: Fraction) -> Adjoint:
        """a times (size of w)^power for each width w: a ratio times n."""
        for w in widths:
            ratio = self.b.const(float(w.ratio) ** float(power))
            a = Adjoint(a.exponent + power, multiply(self.b, a.coefficient, ratio), a.body)
        return a

    def sum_slots(self, a: Adjoint, axes: Sequence[tuple[int, Width]]) -> Adjoint:
        """The sum over whole width axes: their sizes times the average."""
        if not axes:
            return self.adjoint(a.exponent, a.coefficient, a.body)
        mean = average(self.b, a.body, [slot for slot, _ in axes])
        total = self.sizes(Adjoint(a.exponent, self.one, mean), [w for _, w in axes], Fraction(1))
        if mean.type.axes:
            return self.adjoint(total.exponent, multiply(self.b, a.coefficient, total.coefficient), mean)
        scalar = multiply(self.b, total.coefficient, self._scaled(self.b, mean, total.exponent))
        return self.adjoint(ZERO, a.coefficient, scalar)

    def sum_to(self, a: Adjoint, full: Shape, shape: Shape) -> Adjoint:
        """The sum over the finite axes along which an operand of shape `shape` was broadcast to `full`."""
        labels = LABELS[: len(full)]
        # A capital stands for an axis of size 1 of the operand: a label that nothing carries.
        kept = [full[k] == size_at(shape, len(full) - 1 - k) for k in range(len(full))]
        names = [c if keep else c.upper() for c, keep in zip(labels, kept, strict=True)]
        out = "".join(names[len(full) - len(shape) :])
        return self.contract(a, labels, self.one, "", out, dict(zip(labels, full, strict=True)))

    def contract(self, a: Adjoint, labels: str, y: Value, y_labels: str, out: str, sizes: dict[str, int]) -> Adjoint:
        """Σ over the labels that are not in `out` of a · y. The coefficient stays outside unless it varies along what is summed."""
        b = self.b
        summed = {*labels, *y_labels} - set(out)
        coefficient, body = a.coefficient, a.body
        if summed & set(squeeze(b, coefficient, labels)[1]):
            if is_one(y):
                y, y_labels = coefficient, labels
            else:
                body = multiply(b, coefficient, body)
            coefficient = self.one
        carried = {*squeeze(b, body, labels)[1], *squeeze(b, y, y_labels)[1]}
        factor = b.const(float(prod(sizes[label] for label in summed - carried)))
        coefficient = multiply(b, factor, aligned(b, *squeeze(b, coefficient, labels), out))
        return self.adjoint(a.exponent, coefficient, contract(b, body, labels, y, y_labels, out))

    # -- the sum of what several users contribute

    def total(self, parts: Sequence[Adjoint]) -> Adjoint:
        """Σ of adjoints of one value: equal bodies add their coefficients, then equal coefficients their bodies, smaller powers of n inside."""
        b = self.b
        bodies = groups(parts, lambda a: (a.exponent, a.body.id))
        parts = [self.adjoint(g[0].exponent, self._sum(a.coefficient for a in g), g[0].body) for g in bodies]
        top = max(a.exponent for a in parts)
        coefficients = groups(parts, lambda a: a.coefficient.id)
        sums = [(g[0].coefficient, self._sum(b.scale(a.body, a.exponent - top) for a in g)) for g in coefficients]
        if len(sums) == 1:
            return self.adjoint(top, *sums[0])
        return self.adjoint(top, self.one, self._sum(multiply(b, c, body) for c, body in sums))

    def _sum(self, values: Iterable[Value]) -> Value:
        return reduce(lambda x, y: plus(self.b, x, y), values)


def groups(parts: Iterable[Adjoint], key: Callable[[Adjoint], Hashable]) -> list[list[Adjoint]]:
    """The parts with equal keys together, in order of first appearance."""
    found: dict[Hashable, list[Adjoint]] = {}
    for a in parts:
        found.setdefault(key(a), []).append(a)
    return list(found.values())
