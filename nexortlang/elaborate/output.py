"""What a program asks for: show, assert, and an expression alone at a prompt.

In: the statements. Effects: shows and assertions of the program. Guarantees: what is shown has power 0 and a limit, and where its leading part is
another value, that one stands in `Program.limits`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, TypeAlias

from nexortlang.core.build import Builder
from nexortlang.core.program import Assertion, FirstOrder, Fluctuation, InitScalar, Show, Value, operands
from nexortlang.elaborate import first_order, fluctuations, matrices, operators
from nexortlang.elaborate.arithmetic import (
    broadcast_shape,
    const,
    core,
    is_vanishing,
    needs_const,
    number,
    power_of,
    require_power_0,
)
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error, mend_text, power_text
from nexortlang.elaborate.expressions import evaluate
from nexortlang.elaborate.leading import leading, zeros
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import At, ConstVal, Nothing, Surface, is_core
from nexortlang.source import Span
from nexortlang.syntax import ast

Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]
SPECIAL: dict[str, Kind] = {"dist": "distribution", "cov": "covariance"}
HALF = Fraction(1, 2)


def show(cx: Context, statement: ast.Show) -> None:
    kind, shown = _special(cx, statement.value)
    name = statement.alias.id if statement.alias is not None else statement.value.span.text
    add_show(cx, kind or "scalar", name, number(evaluate(cx, shown)), statement.span)


def ask(cx: Context, e: ast.Expr, span: Span, kind: Kind | None = None) -> None:
    """Shows an expression as a prompt does: of a vector the distribution, unless the expression or `kind` says what."""
    special, shown = _special(cx, e)
    at = number(evaluate(cx, shown))
    if isinstance(at.value, Nothing):
        return
    usual: Kind = "distribution" if matrices.sort_of(at.value) == "vector" else "scalar"
    add_show(cx, special or kind or usual, span.text, at, span)


def _special(cx: Context, e: ast.Expr) -> tuple[Kind | None, ast.Expr]:
    """What dist(x) and cov(f) show; of other expressions themselves."""
    if isinstance(e, ast.Call) and isinstance(e.function, ast.Name) and cx.frame.find(e.function.id) is None:
        special = SPECIAL.get(e.function.id)
        if special is not None:
            if len(e.args) != 1 or e.keywords:
                raise error("NX110", f"expected one argument for {e.function.id}", e.span)
            return special, e.args[0]
    return None, e


def add_show(cx: Context, kind: Kind, name: str, at: At, span: Span) -> None:
    """Adds what is shown to the program, if it can be shown."""
    if cx.trace is not None:
        cx.trace.shown += [at.value] if is_core(at.value) else []
        return
    value = at.value
    if isinstance(value, Operator) and value.is_outer:
        value = operators.entries(cx.builder, value)
    at = At(value, at.span, at.variable)
    _require_showable(cx, kind, at)
    shown = core(cx, value)
    statement = cx.statements.setdefault(span, len(cx.statements))
    cx.builder.program.shows.append(Show(kind, name, shown, statement, tuple(cx.loops), span))


def note_limits(b: Builder, shows: Iterable[Show], assertions: Iterable[Assertion]) -> None:
    """Notes the leading parts of what is asked for, where those are other values: they are what the limit engine is to compute."""
    if not b.has_lower_terms:
        return
    for v in [*(s.value for s in shows), *(side for a in assertions for side in (a.value, a.target))]:
        with b.constants():
            limit = leading(b, v) or zeros(b, v.type)
        if limit is not v:
            b.program.limits[v.id] = limit


def _require_showable(cx: Context, kind: Kind, at: At) -> None:
    value = at.value
    sort = matrices.sort_of(value)
    if kind == "scalar":
        if sort == "array":
            require_finite_limit(cx, at)
            return
        hint = {
            "vector": "show dist(x) its distribution, avg(x) its mean, <x|x> its second moment",
            "matrix": "show what it does to vectors, <x|A|y>",
        }
        raise error(
            "NX201",
            f"expected a scalar or an array to show, found {a_kind(value)}",
            at.span,
            *blame(at)[1:],
            hint=hint.get(sort, ""),
        )
    if isinstance(value, ConstVal) or sort not in ("array", "vector"):
        raise error("NX234", f"{a_kind(value)} has no {kind}", at.span, *blame(at)[1:])
    if kind == "covariance" and sort == "array" and power_of(value) == HALF:
        raise error(
            "NX235",
            f"{at.text} is not known to be a Gaussian scalar in the limit: "
            + fluctuations.why_not(cx.builder, core(cx, value)),
            at.span,
            *blame(at)[1:],
            hint="sqrt(n) * <v|x> is one if v is an initial vector of mean 0 that x does not depend on",
        )
    if kind == "covariance" and sort == "vector":
        raise error(
            "NX234",
            f"expected Gaussian scalars, found {a_kind(value)}",
            at.span,
            *blame(at)[1:],
            hint=f"<{at.text}|{at.text}> is the second moment of its coordinates",
        )
    require_finite_limit(cx, at)
    if sort == "array" and not is_random(cx, core(cx, value)):
        raise error(
            "NX234",
            f"{at.text} is a plain number in the limit and has no {kind}",
            at.span,
            *blame(at)[1:],
            hint="initial scalars are random in the limit, and outputs sqrt(n) * <v|x> with v an initial vector of mean 0",
        )


def require_finite_limit(cx: Context, at: At) -> None:
    """What is shown has power 0."""
    if power := power_of(at.value):
        grows = "grows" if power > 0 else "vanishes"
        raise error(
            "NX221",
            f"{at.text} {grows} like {power_text(power)} and has no limit to show",
            at.span,
            *blame(at)[1:],
            hint=_mended(cx, at.value, power),
        )


def _mended(cx: Context, value: Surface, power: Fraction) -> str:
    """The factor that mends a power of n; for a scalar up to √n too large also why it is not of order 1 by itself."""
    factor = mend_text(power)
    near = is_core(value) and value.type.is_scalar and 0 < power <= HALF
    reason = first_order.why_not(cx.builder, core(cx, value)) if near else ""
    return f"{factor}; it is not of order 1 by itself: {reason}" if reason else factor


def _is_draw(v: Value) -> bool:
    """One random number for the whole run."""
    return isinstance(v, Fluctuation) or (isinstance(v, InitScalar) and bool(v.variance.any()))


def is_random(cx: Context, v: Value) -> bool:
    """Whether a scalar stays random in the limit: it is computed from initial scalars or fluctuations. Found for every value once."""
    known = cx.memo_random
    pending = [v]
    while pending:
        u = pending[-1]
        parts = operands(u) if not isinstance(u, FirstOrder) else (u.limit,) if u.limit is not None else ()
        if u.id not in known and (_is_draw(u) or all(p.id in known for p in parts)):
            known[u.id] = _is_draw(u) or any(known[p.id] for p in parts)
        if u.id in known:
            pending.pop()
        else:
            pending.extend(p for p in parts if p.id not in known)
    return known[v.id]


def check(cx: Context, statement: ast.Assert) -> None:
    value, target = (number(evaluate(cx, e)) for e in (statement.value, statement.target))
    if cx.trace is not None:
        return
    for at in (value, target):
        if matrices.sort_of(at.value) != "array":
            raise error(
                "NX201", f"expected a scalar or an array to compare, found {a_kind(at.value)}", at.span, *blame(at)[1:]
            )
        if not (is_core(at.value) and is_vanishing(at.value)):
            require_finite_limit(cx, at)
    tolerance = const(1e-3)
    operands_ = [value, target]
    if statement.tolerance is not None:
        at = number(evaluate(cx, statement.tolerance))
        if not isinstance(at.value, ConstVal):
            raise needs_const(at, "a tolerance is known before the run")
        require_power_0([at], "within", at.span)
        if (at.value.array < 0).any():
            raise error("NX201", "expected a tolerance of 0 or more", at.span)
        tolerance = at.value
        operands_.append(at)
    broadcast_shape(operands_, statement.span)
    text = statement.span.text
    found, wanted = core(cx, value.value), core(cx, target.value)
    cx.builder.program.assertions.append(Assertion(found, wanted, tolerance.array, text, statement.span))


def expression(cx: Context, statement: ast.ExprStmt) -> None:
    if cx.interactive:
        ask(cx, statement.value, statement.span)
        return
    at = number(evaluate(cx, statement.value))
    if isinstance(at.value, Nothing):
        return
    raise error(
        "NX233",
        "nothing is done with this value",
        statement.span,
        hint="show it, or bind it to a name",
    )
