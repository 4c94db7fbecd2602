"""Linear algebra on surface values: MatMul, operators, bra-kets, outer products and averages.

In: operands with their places. Out: core values and operators; guaranteed is that widths agree. The algebra itself is elaborate.operators
and elaborate.averages; here stand the rules and what is said when one is broken.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from nexortlang.core.program import Value
from nexortlang.diagnostics import Label
from nexortlang.elaborate import averages, operators
from nexortlang.elaborate.arithmetic import (
    apply_op,
    broadcast_shape,
    const,
    core,
    number,
    peel,
    rescale,
    shape_of,
)
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error, shape_text
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import At, ConstVal, Indexed, Surface, is_core
from nexortlang.source import Span


def sort_of(value: Surface) -> str:
    """matrix (outer products included), vector, indexed, array, or other."""
    if isinstance(value, Operator):
        return "matrix"
    if isinstance(value, Indexed):
        return "indexed"
    if isinstance(value, ConstVal):
        return "array"
    if is_core(value):
        return {0: "array", 1: "vector"}.get(len(value.type.axes), "matrix")
    return "other"


def as_operator(cx: Context, at: At) -> Operator:
    if isinstance(at.value, Operator):
        return at.value
    return operators.outer(cx.builder, core(cx, at.value))


def matmul(cx: Context, left: At, right: At, span: Span) -> Surface:
    """left @ right, by what the two are."""
    left, right = number(left), number(right)
    cx.require_entrywise("@", span)
    cx.builder.span = span
    match sort_of(left.value), sort_of(right.value):
        case "matrix", "vector":
            return apply(cx, left, right, span)
        case "matrix", "matrix":
            return compose(cx, left, right, span)
        case (("vector" | "indexed"), "array"):
            return combine(cx, left, right, span)
        case "array", "array":
            return contract(cx, left, right, span)
        case "vector", "matrix":
            raise error(
                "NX204",
                f"expected a matrix on the left of @, found {a_kind(left.value)}",
                span,
                *blame(left, right),
                hint=f"a row vector times a matrix is {_transposed_text(right.text)} @ {left.text}",
            )
        case "matrix", _:
            m = as_operator(cx, left)
            raise error(
                "NX206",
                f"expected a vector({m.cols.name}) after {left.text} @, found {a_kind(right.value)}",
                span,
                *blame(left, right),
            )
        case "array", "vector":
            raise error(
                "NX201",
                f"expected a matrix on the left of @, found {a_kind(left.value)}",
                span,
                *blame(left, right),
                hint=f"a combination of kets has the array on the right: {right.text} @ {_transposed_text(left.text)}",
            )
        case "vector", "vector":
            raise error(
                "NX201",
                "expected a matrix on the left of @, found two vectors",
                span,
                *blame(left, right),
                hint=f"their inner product is <{left.text}|{right.text}>; avg(x * y) pairs finite axes",
            )
    raise error("NX201", f"@ does not join {a_kind(left.value)} and {a_kind(right.value)}", span, *blame(left, right))


def _transposed_text(text: str) -> str:
    return text.removesuffix(".T") if text.endswith(".T") else f"{text}.T"


def apply(cx: Context, matrix: At, x: At, span: Span) -> Value:
    """MatMul: W @ x, the family's axes broadcast against the finite axes of x."""
    m = as_operator(cx, matrix)
    v, power = peel(core(cx, x.value))
    if v.type.width != m.cols:
        transposed = m.rows == v.type.width
        raise error(
            "NX206",
            f"{matrix.text} takes a vector({m.cols.name}), found {a_kind(x.value)}",
            span,
            *blame(matrix, x),
            hint=f"{_transposed_text(matrix.text)} takes a vector({m.rows.name})" if transposed else "",
        )
    broadcast_shape([matrix, x], span)
    return cx.builder.scale(operators.apply(cx.builder, m, v), power)


def compose(cx: Context, left: At, right: At, span: Span) -> Operator:
    a, b = as_operator(cx, left), as_operator(cx, right)
    if a.cols != b.rows:
        raise error(
            "NX206",
            f"{left.text} takes vectors of width {a.cols.name}, {right.text} gives width {b.rows.name}",
            span,
            *blame(left, right),
        )
    _require_family_shapes(a, b, left, right, span)
    return operators.compose(cx.builder, a, b)


def _require_family_shapes(a: Operator, b: Operator, left: At, right: At, span: Span) -> None:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise error(
            "NX209",
            f"expected families that broadcast, found {shape_text(a.shape)} and {shape_text(b.shape)}",
            span,
            *blame(left, right),
        ) from None


def combine(cx: Context, x: At, array: At, span: Span) -> Surface:
    """x @ A: the last finite axis of x against the first of A."""
    a, b = shape_of(x.value), shape_of(array.value)
    if not a or not b or a[-1] != b[0]:
        raise error(
            "NX210",
            f"expected the last finite axis of {x.text} to fit the first of {array.text}, "
            f"found shapes {shape_text(a) or '[]'} and {shape_text(b) or '[]'}",
            span,
            *blame(x, array),
            hint=f"{_transposed_text(array.text)} has shape {shape_text(b[::-1])}"
            if a and b and a[-1] == b[-1]
            else "",
        )
    letters = iter(string.ascii_letters)
    kept = "".join(next(letters) for _ in a[:-1])
    summed = next(letters)
    new = "".join(next(letters) for _ in b[1:])
    v, p = peel(core(cx, x.value))
    c, q = peel(core(cx, array.value))
    result = cx.builder.scale(cx.builder.einsum(f"{kept}{summed},{summed}{new}->{kept}{new}", v, c), p + q)
    return Indexed(result, x.value.names) if isinstance(x.value, Indexed) else result


def contract(cx: Context, left: At, right: At, span: Span) -> Surface:
    """A @ B of arrays, as numpy.matmul."""
    a, b = shape_of(left.value), shape_of(right.value)
    try:
        _matmul_shape(a, b)
    except ValueError:
        raise error(
            "NX210",
            f"expected arrays that @ can join, found shapes {shape_text(a) or '[]'} and {shape_text(b) or '[]'}",
            span,
            *blame(left, right),
            hint="the last axis of the left must be as long as the last but one of the right; * multiplies numbers",
        ) from None
    if isinstance(left.value, ConstVal) and isinstance(right.value, ConstVal):
        with np.errstate(all="ignore"):
            product = np.matmul(left.value.array, right.value.array)
        return const(product, left.value.power + right.value.power)
    (x, p), (y, q) = peel(core(cx, left.value)), peel(core(cx, right.value))
    batch = max(len(a), len(b), 2) - 2
    names = string.ascii_letters[3 : 3 + batch]
    x_labels = names[batch - max(len(a) - 2, 0) :] + ("ac" if len(a) > 1 else "c")
    y_labels = names[batch - max(len(b) - 2, 0) :] + ("cb" if len(b) > 1 else "c")
    out = names + ("a" if len(a) > 1 else "") + ("b" if len(b) > 1 else "")
    x, x_labels = _squeeze(cx, x, x_labels, names, dict(zip(y_labels, b, strict=True)))
    y, y_labels = _squeeze(cx, y, y_labels, names, dict(zip(x_labels, x.type.shape, strict=True)))
    return rescale(cx, cx.builder.einsum(f"{x_labels},{y_labels}->{out}", x, y), p + q)


def _matmul_shape(a: Sequence[int], b: Sequence[int]) -> None:
    """Raises ValueError where numpy.matmul would, without the arrays."""
    if not a or not b or a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ValueError
    np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))


def _squeeze(cx: Context, v: Value, labels: str, batch: str, other: dict[str, int]) -> tuple[Value, str]:
    """v without batch axes of size 1 that the other operand has too (einsum does not broadcast them)."""
    kept = [k for k, label in enumerate(labels) if not (label in batch and label in other and v.type.shape[k] == 1)]
    return cx.builder.reshape(v, tuple(v.type.shape[k] for k in kept)), "".join(labels[k] for k in kept)


# ---------------------------------------------------------------------------- operator algebra


def is_matrix_arithmetic(left: At, right: At) -> bool:
    """Whether an operator that is not a plain outer product takes part."""
    return any(isinstance(at.value, Operator) and not at.value.is_outer for at in (left, right))


def arithmetic(cx: Context, op: str, left: At, right: At, span: Span) -> Operator:
    """+, −, and multiples of operators."""
    left, right = number(left), number(right)
    sorts = sort_of(left.value), sort_of(right.value)
    b = cx.builder
    b.span = span
    if op in ("add", "sub") and sorts == ("matrix", "matrix"):
        x, y = as_operator(cx, left), as_operator(cx, right)
        if (x.rows, x.cols) != (y.rows, y.cols):
            raise error(
                "NX205",
                f"expected matrices of the same widths, found {a_kind(x)} and {a_kind(y)}",
                span,
                *blame(left, right),
            )
        _require_family_shapes(x, y, left, right, span)
        return operators.add(b, x, operators.scale(b, y, b.const(-1.0)) if op == "sub" else y)
    if (op == "mul" and sorts in (("array", "matrix"), ("matrix", "array"))) or (
        op == "div" and sorts == ("matrix", "array")
    ):
        matrix, factor = (left, right) if sorts[0] == "matrix" else (right, left)
        coefficient = core(cx, factor.value)
        if op == "div":
            coefficient = apply_op(cx, "div", [b.const(1.0), coefficient], coefficient.type.shape)
        broadcast_shape([matrix, factor], span)
        return operators.scale(b, as_operator(cx, matrix), coefficient)
    hint = "matrices know only +, -, @, .T and multiples"
    if op == "mul" and "vector" in sorts:
        matrix, vector = (left, right) if sorts[0] == "matrix" else (right, left)
        hint = f"a matrix acts by @: {matrix.text} @ {vector.text}"
    elif op in ("mul", "pow"):
        hint = "matrices multiply with @: W @ W; an entrywise product of entries is no operation of the language"
    matrix = left if sorts[0] == "matrix" else right
    raise error(
        "NX203", f"expected numbers or vectors, found {a_kind(matrix.value)}", span, *blame(left, right), hint=hint
    )


def negative(cx: Context, at: At) -> Operator:
    return operators.scale(cx.builder, as_operator(cx, at), cx.builder.const(-1.0))


def transpose_matrix(cx: Context, at: At) -> Surface:
    """W.T; an outer product's entries with i and j exchanged."""
    if isinstance(at.value, Operator):
        return operators.transpose(cx.builder, at.value)
    v, p = peel(core(cx, at.value))
    return cx.builder.scale(cx.builder.rename(v, {0: 1, 1: 0}), p)


# ---------------------------------------------------------------------------- averages


def require_vector(at: At, what: str) -> None:
    if sort_of(at.value) != "vector":
        hint = {"array": "mean(…) averages over finite axes", "indexed": "avg[i](…) averages over an index"}
        raise error(
            "NX201",
            f"{what} expected a vector, found {a_kind(at.value)}",
            at.span,
            *blame(at)[1:],
            hint=hint.get(sort_of(at.value), ""),
        )


def average(cx: Context, v: Value, slots: Sequence[int]) -> Value:
    """The average over width axes, with powers of n outside."""
    x, p = peel(v)
    y, q = peel(averages.average(cx.builder, x, tuple(slots)))
    return rescale(cx, y, p + q)


def avg(cx: Context, at: At, span: Span) -> Value:
    """avg(x) over the width, avg(G) over both."""
    cx.require_entrywise("an average", span)
    cx.builder.span = span
    if isinstance(at.value, Operator) and at.value.is_outer:
        at = At(operators.entries(cx.builder, at.value), at.span, at.variable)
    if isinstance(at.value, Operator) or sort_of(at.value) != "matrix":
        require_vector(at, "avg")
    v = core(cx, at.value)
    return average(cx, v, v.type.slots)


def inner(cx: Context, bra: At, ket: At, span: Span) -> Value:
    """<x|y>: all finite axes of x, then all of y."""
    cx.require_entrywise("an inner product", span)
    bra, ket = number(bra), number(ket)
    sorts = sort_of(bra.value), sort_of(ket.value)
    cx.builder.span = span
    if sorts == ("vector", "vector"):
        (x, p), (y, q) = peel(core(cx, bra.value)), peel(core(cx, ket.value))
        if x.type.width != y.type.width:
            raise error(
                "NX207",
                f"expected vectors of one width, found {a_kind(bra.value)} and {a_kind(ket.value)}",
                span,
                *blame(bra, ket),
                hint="<x|y> sums over one width; a matrix brings a vector to another",
            )
        product, r = peel(averages.inner(cx.builder, x, y))
        return rescale(cx, product, p + q + r)
    if sorts == ("array", "vector"):
        return _constant_bra(cx, bra, ket, span, constant_first=True)
    if sorts == ("vector", "array"):
        return _constant_bra(cx, ket, bra, span, constant_first=False)
    wrong = next(at for at, sort in zip((bra, ket), sorts, strict=True) if sort != "vector" or sorts[0] == sorts[1])
    require_vector(wrong, "a bra-ket")
    raise AssertionError("a vector is no wrong operand")


def _constant_bra(cx: Context, constant: At, vector: At, span: Span, *, constant_first: bool) -> Value:
    """<c|x> = c avg(x), the constant's axes on its own side."""
    mean = avg(cx, vector, span)
    c = core(cx, constant.value)
    b, ones_c, ones_x = cx.builder, (1,) * len(c.type.shape), (1,) * len(mean.type.shape)
    first, second = ((c, ones_x), (mean, ones_c)) if constant_first else ((mean, ones_c), (c, ones_x))
    x = b.reshape(first[0], (*first[0].type.shape, *first[1]))
    y = b.reshape(second[0], (*second[1], *second[0].type.shape))
    return apply_op(cx, "mul", [x, y], np.broadcast_shapes(x.type.shape, y.type.shape))


def ket_bra(cx: Context, ket: At, bra: At, span: Span) -> Value:
    """|x><y|: entries x[i] y[j] / n, summed over the shared finite axes. n is the size of y's width, so |x><y|z> = x <y|z>."""
    cx.require_entrywise("an outer product", span)
    for at in (ket, bra):
        require_vector(at, "|x><y|")
    b = cx.builder
    b.span = span
    (x, p), (y, q) = peel(core(cx, ket.value)), peel(core(cx, bra.value))
    width = y.type.width
    y = b.rename(y, {0: 1})
    shapes = x.type.shape, y.type.shape
    if shapes[0] and shapes[1] and shapes[0] != shapes[1]:
        raise error(
            "NX210",
            f"expected one shared finite axis in |x><y|, found shapes {shape_text(shapes[0])} and {shape_text(shapes[1])}",
            span,
            Label(ket.span, f"{ket.text} is {a_kind(ket.value)}"),
            Label(bra.span, f"{bra.text} is {a_kind(bra.value)}"),
        )
    if shapes[0] and shapes[1]:
        labels = string.ascii_letters[: len(shapes[0])]
        entries = b.einsum(f"{labels},{labels}->", x, y)
    else:
        entries = b.mul(x, y)
    if width.ratio != 1:
        entries = b.mul(b.const(float(1 / width.ratio)), entries)
    return b.scale(entries, p + q + Fraction(-1))
