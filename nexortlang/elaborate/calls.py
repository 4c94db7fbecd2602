"""Calling a `def` or an optimizer, and matching arguments to parameters.

Guarantees: arguments are evaluated once, in the caller's frame; the body runs in a frame of its own whose free names are looked up at the top
level of its file; no recursion; an optimizer's states live on per call place and target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from nexortlang.core.program import OptimizerCall, Scale
from nexortlang.diagnostics import Diagnostic, Fix, Label
from nexortlang.elaborate.arithmetic import const, fits, power_of, shape_of
from nexortlang.elaborate.context import CallSite, Context, Frame, Silenced
from nexortlang.elaborate.describe import a_kind, error, power_text
from nexortlang.elaborate.first_order import motion
from nexortlang.elaborate.leading import leading
from nexortlang.elaborate.subscripts import core_axes
from nexortlang.elaborate.trace import Optimized
from nexortlang.elaborate.values import At, ConstVal, Function, Indexed, Nothing, Poison, Surface, Variable, is_core
from nexortlang.elaborate.vanishing import moves_at_finite_width_alone
from nexortlang.source import Span
from nexortlang.syntax import ast


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter as matching needs it."""

    name: str
    required: bool = True


def match_arguments(
    what: str, parameters: Sequence[Param], call: ast.Call, declared: Span | None = None
) -> dict[str, ast.Expr]:
    """The argument expression for each parameter that is given."""
    names = [p.name for p in parameters]
    signature = f"{what}({', '.join(p.name if p.required else f'{p.name} = …' for p in parameters)})"
    labels = (Label(declared, f"{what} is defined here"),) if declared is not None else ()
    if len(call.args) > len(names):
        raise error(
            "NX110",
            f"expected at most {len(names)} arguments for {what}, found {len(call.args)}",
            call.span,
            *labels,
            hint=signature,
        )
    given: dict[str, ast.Expr] = dict(zip(names, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.name not in names:
            close = get_close_matches(keyword.name, names, n=1)
            place = Span(keyword.span.source, keyword.span.start, keyword.span.start + len(keyword.name))
            raise error(
                "NX109",
                f"{what} has no parameter {keyword.name}",
                keyword.span,
                *labels,
                hint=f"did you mean {close[0]}?" if close else signature,
                fix=Fix(place, close[0]) if close else None,
            )
        if keyword.name in given:
            raise error("NX110", f"the argument {keyword.name} of {what} is given twice", keyword.span, *labels)
        given[keyword.name] = keyword.value
    missing = [p.name for p in parameters if p.required and p.name not in given]
    if missing:
        raise error(
            "NX110",
            f"expected an argument {missing[0]} for {what}, found none",
            call.span,
            *labels,
            hint=signature,
        )
    return given


def call_function(cx: Context, function: Function, call: ast.Call, evaluate: Callable[[ast.Expr], At]) -> Surface:
    """The value that a def or an optimizer returns for these arguments."""
    node = function.node
    parameters = [Param(p.name.id, p.default is None) for p in node.parameters]
    given = match_arguments(function.name, parameters, call, node.name.span)
    for site in cx.calls:
        if site.function.node is node:
            raise error(
                "NX108",
                f"{function.name} calls itself",
                call.span,
                Label(node.name.span, "it is defined here"),
                hint="there is no recursion: write a for loop",
            )
    frame = Frame(home=function.home.top, targets=cx.targets_of(node))
    for name, expr in given.items():
        at = evaluate(expr)
        given_to = at.variable or Variable(at.value, expr.span)
        frame.names[name] = Variable(at.value, expr.span, given_to.history or (at.value,), before=given_to.before)
    if cx.observe is not None:
        for p in node.parameters:
            if p.name.id in given:
                cx.observe(p.name.span, frame.names[p.name.id].value)
    is_optimizer = isinstance(node, ast.OptimizerDef)
    state_key = _state_key(cx, call.span) if is_optimizer else None
    with cx.inside(frame, CallSite(function, call.span, cx.target)):
        for name in given:
            if (value := cx.parameter(name, frame.names[name].value)) is not frame.names[name].value:
                cx.bind(name, value, frame.names[name].span)
        for p in node.parameters:
            if p.name.id not in frame.names and p.default is not None:
                cx.bind(p.name.id, evaluate(p.default).value, p.default.span)
        if state_key is not None:
            g = frame.names.get(node.parameters[0].name.id) if node.parameters else None
            start = len(cx.builder.program.values)
            updates = _run_optimizer(cx, frame, state_key, node)
            if g is not None:
                first = given.get(node.parameters[0].name.id)
                gradient = At(g.value, first.span if first is not None else call.span)
                _require_entries(function, gradient, updates, call.span)
                _require_leading(cx, function, gradient, call.span)
                cx.optimized = call.span, function.name, gradient
                if _note_optimizer(cx, state_key, function.name, g, updates, start):
                    _warn_of_vanishing(cx, function, gradient, updates, call.span)
                if cx.trace is not None and is_core(g.value) and is_core(updates):
                    cx.trace.optimized.append(Optimized(function.name, g.value, updates, call.span))
            return updates
        result = cx.run_body(cx, node.body)
    if isinstance(result, Poison):
        raise Silenced
    if result is None:
        return Nothing()
    if cx.observe is not None:
        cx.observe(node.span, result)
    return result


def _require_entries(function: Function, gradient: At, result: Surface, span: Span) -> None:
    """What an optimizer returns is one number for each entry of the gradient, or one for all of them."""
    g = gradient.value
    if not _has_entries(g):
        return
    extra = not _has_entries(result) or set(core_axes(result)) - set(core_axes(g))
    if extra or not fits(shape_of(result), shape_of(g)):
        raise error(
            "NX242",
            f"{function.name} returns {a_kind(result)} for a gradient that is {a_kind(g)}: an optimizer gives one number for each of its entries",
            span,
            Label(gradient.span, f"{gradient.text} is {a_kind(g)}"),
        )


def _require_leading(cx: Context, function: Function, gradient: At, span: Span) -> None:
    """The gradient is of the order that its type says: where its leading part is 0 throughout, it is smaller (TP IVb, faithfulness)."""
    g, b = gradient.value, cx.builder
    if cx.trace is None and is_core(g) and motion(b, g).gap is not None and leading(b, g) is None:
        raise error(
            "NX244",
            f"{function.name} sees a gradient whose leading part is 0: {gradient.text} is of a smaller order than {power_text(g.type.power)}",
            span,
            Label(gradient.span, "smaller by what the updates have moved"),
            hint="a parameter that starts at 0 stays small in the tangent regime: draw it at random, or train by updates of order 1",
        )


def _warn_of_vanishing(cx: Context, function: Function, gradient: At, updates: Surface, span: Span) -> None:
    """A gradient that is 0 in the limit alone, and an optimizer that makes full steps of what is left of it."""
    g = gradient.value
    if cx.trace is not None or not is_core(g) or not is_core(updates):
        return
    if moves_at_finite_width_alone(cx.builder, g, updates):
        cx.report(
            Diagnostic(
                "NX246",
                f"{function.name} sees a gradient that is 0 in the limit alone: finite widths move, the limit stands still",
                span,
                (Label(gradient.span, "of order 1/sqrt(n) at first"),),
                hint="inner products such as <A|x>, A of mean 0, vanish: sqrt(n) * <A|x> is of order 1; or begin with sgd",
                severity="warning",
            )
        )


def _has_entries(value: Surface) -> bool:
    return isinstance(value, ConstVal | Indexed) or is_core(value)


def unfaithful(cx: Context, change: At) -> str:
    """The remedy where a change of a wrong power came from an optimizer that saw a gradient of another order than 1; else empty.

    A nonlinear optimizer compares the gradient with numbers of order 1, such as eps, so that its argument is what has to be mended
    (Tensor Programs IVb calls such a parametrization unfaithful).
    """
    if cx.optimized is None:
        return ""
    span, name, gradient = cx.optimized
    power = power_of(gradient.value)
    inside = span.source is change.span.source and change.span.start <= span.start and span.end <= change.span.end
    if not inside or not power:
        return ""
    factor = power_text(-power)
    return f"{name} sees a gradient of order {power_text(power)}, not of order 1: {name}({factor} * {gradient.text})"


def _state_key(cx: Context, span: Span) -> object:
    """The call's place, its callers' places, and the target of every statement on the way."""
    places = [(site.span, site.target) for site in cx.calls]
    return (*places, (span, cx.target))


def _note_optimizer(cx: Context, key: object, name: str, given: Variable, updates: Surface, first: int) -> bool:
    """Notes the call in the program, for derivations. Powers of n do not matter there. Whether it is the first one."""
    gradient = given.value
    if not is_core(gradient) or not is_core(updates):
        return False
    gradient, result = (v.x if isinstance(v, Scale) else v for v in (gradient, updates))
    program = cx.builder.program
    seen = cx.seen_gradients[key] = (*cx.seen_gradients.get(key, ()), gradient)
    program.optimizer_calls.append(OptimizerCall(name, seen, result, first, len(program.values)))
    return len(seen) == 1


def _run_optimizer(cx: Context, frame: Frame, key: object, node: ast.Def | ast.OptimizerDef) -> Surface:
    """One step of an optimizer: its states and its count come back, and are kept after it."""
    kept = cx.states.get(key, {})
    count = kept["step"].value.array + 1 if "step" in kept else 1  # type: ignore[union-attr]
    cx.bind("step", const(count), node.name.span)
    step = frame.names["step"]
    saved = cx.kept_states, cx.in_optimizer
    cx.kept_states, cx.in_optimizer = kept, True
    try:
        result = cx.run_body(cx, node.body)
    finally:
        cx.kept_states, cx.in_optimizer = saved
    states = [s.name.id for s in node.body if isinstance(s, ast.State)]
    cx.states[key] = {name: frame.names[name] for name in states if name in frame.names} | {"step": step}
    if result is None:
        raise error(
            "NX201",
            f"expected {node.name.id} to return the change, found no return",
            node.name.span,
            hint="an optimizer ends with return, as in return lr * m",
        )
    if isinstance(result, Poison):
        raise Silenced
    return result
