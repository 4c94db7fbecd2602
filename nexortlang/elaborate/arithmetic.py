"""Entrywise arithmetic on surface values: consts at once in NumPy, everything else as core instructions.

In: operands with their places. Out: a value; guaranteed are the rules of LANGUAGE.md's section Types: finite axes broadcast, widths agree,
what enters a nonlinearity has power 0. Powers of n are kept outermost (Scale), so products and equal sums of them simplify.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from fractions import Fraction

import numpy as np

from nexortlang.core.build import broadcast_shapes, is_zero
from nexortlang.core.program import Const, InitScalar, InitVector, Map, Rename, Scale, Type, Value, Width
from nexortlang.diagnostics import Label
from nexortlang.elaborate import first_order, operators
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error, kind_text, mend_text, power_text, shape_text
from nexortlang.elaborate.leading import peel
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import NO_POWER, At, ConstVal, Indexed, Surface, is_core
from nexortlang.entrywise.ops import OPS
from nexortlang.settings import available_memory
from nexortlang.source import Span

SMALL = 1 << 24
"""Bytes that any machine has: below, nobody asks how much memory is left."""

CONST_ONLY = {"//": np.floor_divide, "%": np.mod}


def const(array: np.ndarray | float, power: Fraction = NO_POWER) -> ConstVal:
    """A plain array; a power of n belongs only to what is not 0."""
    a = np.asarray(array, dtype=float)
    return ConstVal(a, power if power and a.any() else NO_POWER)


def number(at: At) -> At:
    """A width stands for its size in arithmetic; an operator that is only an outer product, for its entries."""
    if isinstance(at.value, Width):
        return At(const(float(at.value.ratio), Fraction(1)), at.span, at.variable)
    return at


def core(cx: Context, value: Surface) -> Value:
    """The core value of a const, or of what is one already (the caller has checked the kind)."""
    if isinstance(value, ConstVal):
        return cx.builder.scale(cx.builder.const(value.array), value.power)
    if isinstance(value, Indexed):
        return value.value
    if not is_core(value):
        raise AssertionError(f"no core value: {kind_text(value)}")
    return value


def power_of(value: Surface) -> Fraction:
    match value:
        case ConstVal():
            return value.power
        case Indexed():
            return value.value.type.power
        case _ if is_core(value):
            return value.type.power
    return NO_POWER


def shape_of(value: Surface) -> tuple[int, ...]:
    match value:
        case ConstVal() | Operator():
            return value.shape
        case Indexed():
            return value.value.type.shape
        case _ if is_core(value):
            return value.type.shape
    raise AssertionError(f"no shape: {kind_text(value)}")


def is_vanishing(v: Value, parameters: Container[int] = (), depth: int = 4) -> bool:
    """Whether v is 0, as a constant, vectors or outer products of zeros, or a parameter that starts at 0 (but those of `parameters`, by number)."""
    if isinstance(v, Map) and v.op == "mul":
        factors = (a.x if isinstance(a, Rename) else a for a in v.args)
        return depth > 0 and any(is_vanishing(a, parameters, depth - 1) for a in factors)
    if isinstance(v, Scale):
        return is_vanishing(v.x, parameters, depth)
    if v.id in parameters:
        return False
    return is_zero(v) or (isinstance(v, InitVector | InitScalar) and not v.mean.any() and not v.variance.any())


def rescale(cx: Context, v: Value, exponent: Fraction) -> Value:
    """n^exponent · v; for a scalar that is a centred linear functional this may be a Gaussian fluctuation."""
    if exponent == 0:
        return v
    if not v.type.is_scalar or cx.trace is not None:
        return cx.builder.scale(v, exponent)
    return first_order.scaled(cx.builder, v, exponent)


# ---------------------------------------------------------------------------- checks


def require_numbers(operands: Sequence[At], what: str, span: Span) -> None:
    """Each operand is a const, a scalar, a vector or an outer product."""
    for at in operands:
        value = at.value
        if isinstance(value, (ConstVal, Indexed)) or is_core(value):
            continue
        if isinstance(value, Operator):
            raise error(
                "NX203",
                f"{what} acts on coordinates and takes no matrix, but {at.text} is {a_kind(value)}",
                span,
                *blame(at),
                hint="apply the matrix to a vector first, W @ x; matrices know only +, -, @, .T and multiples",
            )
        raise error("NX201", f"{what} expected a number, an array or a vector, found {a_kind(value)}", span, *blame(at))


def require_power_0(operands: Sequence[At], what: str, span: Span) -> None:
    for at in operands:
        if power := power_of(at.value):
            verb = "grows" if power > 0 else "vanishes"
            raise error(
                "NX220",
                f"{what} expected an operand of order 1, found one that {verb} like {power_text(power)}",
                at.span,
                *blame(at)[1:],
                hint=f"{mend_text(power)} before {what} is applied",
            )


def require_axes(operands: Sequence[At], span: Span) -> None:
    """Widths stand apart: all vectors of one width, or all outer products of the same two, or all in index notation."""
    extended = [at for at in operands if not isinstance(at.value, ConstVal) and not _type(at).is_scalar]
    indexed = [at for at in extended if isinstance(at.value, Indexed)]
    plain = [at for at in extended if not isinstance(at.value, Indexed)]
    if indexed and plain:
        raise error(
            "NX201",
            f"expected an index on {plain[0].text}, found the whole {kind_text(plain[0].value)} among indexed factors",
            plain[0].span,
            Label(indexed[0].span, f"{indexed[0].text} is {a_kind(indexed[0].value)}"),
            hint="in index notation every vector carries an index: x[i]",
        )
    for at in indexed[1:]:
        for first in indexed:
            _require_one_width(first, at, span)
    for at in plain[1:]:
        first, t, t0 = plain[0], _type(at), _type(plain[0])
        if t.slots != t0.slots:
            raise error(
                "NX201",
                f"expected vectors alone or outer products alone, found {a_kind(first.value)} and {a_kind(at.value)}",
                span,
                *blame(first, at),
                hint="say which index belongs to which, as in G[i, j] * x[j]",
            )
        if t.axes != t0.axes:
            widths = " and ".join(", ".join(width.name for _, width in s.axes) for s in (t0, t))
            raise error(
                "NX205",
                f"expected vectors of one width, found widths {widths}",
                span,
                *blame(first, at),
                hint="widths do not mix: bring one to the other's width with a matrix, W[n, m] @ x",
            )


def _require_one_width(first: At, at: At, span: Span) -> None:
    widths = dict(_type(first).axes)
    for slot, width in _type(at).axes:
        if widths.get(slot, width) != width and isinstance(at.value, Indexed):
            name = at.value.names.get(slot, "?")
            raise error(
                "NX208",
                f"the index {name} ranges over one width, found {widths[slot].name} and {width.name}",
                span,
                *blame(first, at),
                hint="use another index for vectors of the other width",
            )


def _type(at: At) -> Type:
    """The type of what has width axes, in index notation or not."""
    value = at.value.value if isinstance(at.value, Indexed) else at.value
    if not is_core(value):
        raise AssertionError(f"no core value: {kind_text(value)}")
    return value.type


def broadcast_shape(operands: Sequence[At], span: Span) -> tuple[int, ...]:
    shapes = [shape_of(at.value) for at in operands]
    try:
        return broadcast_shapes(*shapes)
    except ValueError:
        texts = " and ".join(shape_text(s) or "[]" for s in dict.fromkeys(s for s in shapes if s))
        raise error(
            "NX209",
            f"expected finite shapes that broadcast, found {texts}",
            span,
            *blame(*(at for at in operands if shape_of(at.value))),
            hint="as in NumPy, axes are matched from the right and must be equal or 1; x[:, None] adds one",
        ) from None


def fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Whether a finite shape broadcasts to another one."""
    try:
        return broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def require_memory(shape: Sequence[int], span: Span) -> None:
    """Refuses an array that the machine cannot hold."""
    size = 8
    for k in shape:
        size *= k
    if size > SMALL and size > available_memory() // 4:
        raise error(
            "NX505",
            f"an array of shape {shape_text(shape)} needs {size / 2**30:.3g} GiB, more than this machine can give",
            span,
            hint="make the array smaller",
        )


# ---------------------------------------------------------------------------- entrywise application


def entrywise(cx: Context, op: str, operands: Sequence[At], span: Span, what: str = "") -> Surface:
    """op(operands), entrywise. `what` names the function in messages."""
    what = what or OPS[op].infix or op
    operands = [number(at) for at in operands]
    operands = [_entries(cx, at) for at in operands]
    require_numbers(operands, what, span)
    require_axes(operands, span)
    shape = broadcast_shape(operands, span)
    rule = OPS[op].power
    is_followed = cx.trace is not None and not all(isinstance(at.value, ConstVal) for at in operands)
    if (rule == "zero" and not is_followed) or (rule == "exponent" and not _is_plain_exponent(operands)):
        require_power_0(operands, what, span)
    elif rule == "exponent":
        require_power_0(operands[1:], what, span)
    values = [at.value for at in operands]
    if all(isinstance(v, ConstVal) for v in values):
        require_memory(shape, span)
        done = _const(op, [v for v in values if isinstance(v, ConstVal)])
        if done is not None:
            return done
    cx.builder.span = span
    names: dict[int, str] = {}
    for v in values:
        if isinstance(v, Indexed):
            names |= v.names
    result = apply_op(cx, op, [core(cx, v) for v in values], shape)
    return Indexed(result, names) if names else result


def _entries(cx: Context, at: At) -> At:
    """An operator that is nothing but an outer product may be used entrywise."""
    if isinstance(at.value, Operator) and at.value.is_outer:
        return At(operators.entries(cx.builder, at.value), at.span, at.variable)
    return at


def _is_plain_exponent(operands: Sequence[At]) -> bool:
    exponent = operands[1].value
    return isinstance(exponent, ConstVal) and _is_one_number(exponent.array) and exponent.power == 0


def _is_one_number(array: np.ndarray) -> bool:
    return array.size == 1 and bool(np.isfinite(array).all())


def _const(op: str, args: Sequence[ConstVal]) -> ConstVal | None:
    """Plain arithmetic; None for a sum of two powers of n, which is a core value (finite width keeps both terms)."""
    power = NO_POWER
    match OPS[op].power:
        case "sum":
            power = args[0].power + args[1].power
        case "difference":
            power = args[0].power - args[1].power
        case "same":
            power = args[0].power
        case "half":
            power = args[0].power / 2
        case "exponent":
            power = args[0].power * rational(float(args[1].array.reshape(-1)[0])) if args[0].power else NO_POWER
        case "largest":
            powers = {a.power for a in args if a.array.any()}
            if len(powers) > 1:
                return None
            power = next(iter(powers), NO_POWER)
    with np.errstate(all="ignore"):
        return const(OPS[op].numpy(*(a.array for a in args)), power)


def rational(x: float) -> Fraction:
    """An exponent of n as an exact fraction: 0.5 is 1/2, 1/3 is 1/3."""
    return Fraction(x).limit_denominator(10**6)


def apply_op(cx: Context, op: str, args: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """The core instruction for op, with powers of n pulled out and trivial terms left away."""
    b = cx.builder
    match op:
        case "add" | "sub":
            return _sum(cx, op, args[0], args[1], shape)
        case "mul" | "div":
            (x, p), (y, q) = peel(args[0]), peel(args[1])
            return rescale(cx, _product(cx, op, x, y, shape), p + q if op == "mul" else p - q)
        case "neg" | "abs" | "stop":
            x, p = peel(args[0])
            return rescale(cx, b.map(op, x), p)
        case "sqrt":
            x, p = peel(args[0])
            return rescale(cx, b.map(op, x), p / 2)
        case "pow":
            x, p = peel(args[0])
            if not isinstance(args[1], Const) or not _is_one_number(args[1].array):
                return b.map(op, *args)
            exponent = float(args[1].array.reshape(-1)[0])
            if exponent == 1 and shape == x.type.shape:
                return args[0]
            return rescale(cx, b.map(op, x, args[1]), p * rational(exponent))
    return b.map(op, *args)


def _sum(cx: Context, op: str, x: Value, y: Value, shape: tuple[int, ...]) -> Value:
    b = cx.builder
    if _is_droppable(cx, y) and shape == x.type.shape and set(y.type.axes) <= set(x.type.axes):
        return x
    if _is_droppable(cx, x) and shape == y.type.shape and set(x.type.axes) <= set(y.type.axes):
        return y if op == "add" else apply_op(cx, "neg", [y], shape)
    (inner_x, p), (inner_y, q) = peel(x), peel(y)
    if p and p == q:
        return rescale(cx, b.map(op, inner_x, inner_y), p)
    total = b.map(op, x, y)
    return first_order.scaled(b, total, NO_POWER) if total.type.is_scalar and cx.trace is None else total


def _is_droppable(cx: Context, v: Value) -> bool:
    """A zero that no gradient is taken with respect to."""
    return is_vanishing(v, cx.parameters)


def _product(cx: Context, op: str, x: Value, y: Value, shape: tuple[int, ...]) -> Value:
    """x·y or x/y without factors of one."""
    if _is_one(y) and shape == x.type.shape:
        return x
    if op == "mul" and _is_one(x) and shape == y.type.shape:
        return y
    return cx.builder.map(op, x, y)


def _is_one(v: Value) -> bool:
    return isinstance(v, Const) and v.array.size > 0 and bool((v.array == 1.0).all())


def const_only(op: str, left: At, right: At, span: Span) -> ConstVal:
    """`//` and `%`, which only plain numbers have."""
    operands = [number(left), number(right)]
    for at in operands:
        if not isinstance(at.value, ConstVal):
            raise needs_const(at, f"{op} is for consts")
    require_power_0(operands, op, span)
    broadcast_shape(operands, span)
    a, b = (at.value.array for at in operands if isinstance(at.value, ConstVal))
    with np.errstate(all="ignore"):
        return const(CONST_ONLY[op](a, b))


def needs_const(at: At, why: str) -> Exception:
    """The mistake of a value that is only known by running, where a const is needed."""
    if is_core(at.value) and at.value.type.is_scalar:
        return error(
            "NX213",
            f"expected a const, found {a_kind(at.value)}: {why}",
            at.span,
            *blame(at)[1:],
            hint="a scalar is a limit that the program computes; use a const, or where(cond, a, b) to choose entrywise",
        )
    return error("NX214", f"expected a const, found {a_kind(at.value)}: {why}", at.span, *blame(at)[1:])
