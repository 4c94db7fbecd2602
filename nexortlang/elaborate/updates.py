"""Updates: `W -= …`, `W[i, j] -= …`, `v += …`, `W[l] *= …`.

In: the target's value and the change. Out: the new value. Guaranteed is the rule on powers of n (LANGUAGE.md, Trained matrices): the entries of
a matrix change by order 1/n, a vector by the order it has; half a power less counts where outputs are √n⟨v|x⟩; anything else is an error.
"""

from __future__ import annotations

from fractions import Fraction

from nexortlang.core.program import FirstOrder, Fluctuation, Value
from nexortlang.diagnostics import Label
from nexortlang.elaborate import operators
from nexortlang.elaborate.arithmetic import apply_op, core, fits, is_vanishing, number, power_of
from nexortlang.elaborate.calls import unfaithful
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error, power_text
from nexortlang.elaborate.expressions import binary
from nexortlang.elaborate.matrices import sort_of
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import At, ConstVal, Surface, is_core
from nexortlang.source import Span

HALF = Fraction(1, 2)


def updated(cx: Context, target: At, op: str, change: At, span: Span) -> Surface:
    """target op change, as a new value of the same name."""
    change = number(change)
    if isinstance(target.value, Operator):
        return _matrix(cx, target, op, change, span)
    if op in "+-" and sort_of(target.value) in ("vector", "array") and sort_of(change.value) in ("vector", "array"):
        _require_own_power(cx, target, change, span)
    return binary(cx, op, target, change, span)


def _matrix(cx: Context, target: At, op: str, change: At, span: Span) -> Operator:
    matrix = target.value
    assert isinstance(matrix, Operator)
    b = cx.builder
    b.span = span
    sort = sort_of(change.value)
    if op in "*/":
        return _retained(cx, target, op, change, span)
    if sort != "matrix":
        raise error(
            "NX201",
            f"expected a matrix or an outer product to add to {target.text}, found {a_kind(change.value)}",
            span,
            *blame(target, change),
            hint="|x><y| and G[i, j] = … are outer products",
        )
    if isinstance(change.value, Operator) and change.value.is_outer:
        change = At(operators.entries(b, change.value), change.span, change.variable)
    if isinstance(change.value, Operator):
        added = binary(cx, op, target, change, span)
        assert isinstance(added, Operator)
        found = operators.rebound(b, matrix, added)
        if found is not None:
            return found
        old = matrix.variable
        return operators.copy(b, added, old.name, old.is_target) if old else operators.copy(b, added)
    entries = core(cx, change.value)
    if tuple(w for _, w in entries.type.axes) != (matrix.rows, matrix.cols):
        raise error(
            "NX205",
            f"expected an outer({matrix.rows.name}, {matrix.cols.name}) to add, found {a_kind(entries)}",
            span,
            *blame(target, change),
        )
    if not fits(entries.type.shape, matrix.shape):
        raise error(
            "NX209",
            f"expected an update that fits {a_kind(matrix)}, found {a_kind(entries)}",
            span,
            *blame(target, change),
        )
    if is_vanishing(entries, cx.parameters) and cx.trace is None:
        return matrix
    _require_power_of_training(cx, target, change, entries, span)
    if op == "-":
        entries = apply_op(cx, "neg", [entries], entries.type.shape)
    return operators.updated(b, matrix, entries)


def _retained(cx: Context, target: At, op: str, factor: At, span: Span) -> Operator:
    matrix = target.value
    assert isinstance(matrix, Operator)
    if sort_of(factor.value) != "array" or (power_of(factor.value) and cx.trace is None):
        code = "NX222" if sort_of(factor.value) == "array" else "NX201"
        raise error(
            code,
            f"expected a factor of order 1 for {target.text} {op}=, found {a_kind(factor.value)}",
            span,
            *blame(target, factor),
        )
    c = core(cx, factor.value)
    if not fits(c.type.shape, matrix.shape):
        raise error("NX209", f"expected a factor that fits {a_kind(matrix)}", span, *blame(target, factor))
    if op == "/":
        c = cx.builder.map("div", cx.builder.const(1.0), c)
    return operators.retained(cx.builder, matrix, c)


# ---------------------------------------------------------------------------- powers of n


def counts_still(cx: Context, gap: Fraction) -> bool:
    """Whether a change that is smaller by n^(−gap) moves an output so far: √n⟨v|x⟩, or what a power of n up to √n brings back."""
    values = cx.builder.program.values
    for v in values[cx.scanned :]:
        if isinstance(v, Fluctuation):
            cx.output_power = HALF
        elif isinstance(v, FirstOrder):
            cx.output_power = max(cx.output_power, v.x.type.power + v.exponent)
    cx.scanned = len(values)
    return 0 < gap <= cx.output_power


def _require_power_of_training(cx: Context, target: At, change: At, entries: Value, span: Span) -> None:
    power = entries.type.power
    if is_vanishing(entries) or power == -1 or cx.trace is not None:
        return
    if power < -1 and counts_still(cx, -1 - power):
        return
    declared = (Label(target.variable.span, f"{target.text} is {a_kind(target.value)}"),) if target.variable else ()
    label = Label(change.span, f"its entries are of order {_order(power)}")
    if power > -1:
        raise error(
            "NX222",
            f"this update of {target.text} blows up: expected entries of order 1/n, found {_order(power)}",
            span,
            label,
            *declared,
            hint=unfaithful(cx, change)
            or f"a sum over n of them is of order {_order(power + 1)}: {_by(power + 1, 'divide by')}",
        )
    hint = unfaithful(cx, change) or f"{_by(-1 - power, 'multiply by')}"
    if power >= -1 - HALF:
        hint += "; n^(-3/2) counts only where outputs are sqrt(n) * <v|x>, v an initial vector of mean 0"
    raise error(
        "NX223",
        f"this update of {target.text} vanishes: expected entries of order 1/n, found {_order(power)}",
        span,
        label,
        *declared,
        hint=hint,
    )


def _require_own_power(cx: Context, target: At, change: At, span: Span) -> None:
    """A vector or scalar changes by the order that it has."""
    if cx.trace is not None or (isinstance(target.value, ConstVal) and isinstance(change.value, ConstVal)):
        return
    own, power = power_of(target.value), power_of(change.value)
    if power == own or any(_is_zero(at.value) for at in (target, change)):
        return
    if power < own and counts_still(cx, own - power):
        return
    fate = "blows up" if power > own else "vanishes"
    raise error(
        "NX224",
        f"this update of {target.text} {fate}: expected one of order {_order(own)}, found {_order(power)}",
        span,
        Label(change.span, f"this is of order {_order(power)}"),
        *blame(target),
        hint=unfaithful(cx, change) or _by(abs(power - own), "divide by" if power > own else "multiply by"),
    )


def _is_zero(value: Surface) -> bool:
    if isinstance(value, ConstVal):
        return not value.array.any()
    return is_core(value) and is_vanishing(value)


def _order(power: Fraction) -> str:
    return power_text(power) if power else "1"


def _by(power: Fraction, verb: str) -> str:
    return f"{verb} {'sqrt(n)' if power == HALF else power_text(power)}"
