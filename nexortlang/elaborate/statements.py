"""Executing statements.

In: statements in order. Effects: names are bound in the current frame, shows and assertions are added to the program, mistakes to the
context. A statement with a mistake binds what it would have bound to Poison, and execution goes on with the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

import numpy as np

from nexortlang.check.scopes import bound_names
from nexortlang.core.program import Width
from nexortlang.diagnostics import Diagnostic, Label, NexortError
from nexortlang.elaborate import index_notation, operators, output, subscripts, updates
from nexortlang.elaborate.arithmetic import (
    const,
    needs_const,
    number,
    rational,
    require_power_0,
    shape_of,
)
from nexortlang.elaborate.context import Context, Silenced
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.draws import draw
from nexortlang.elaborate.expressions import evaluate, finite_positions, member_of_module
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import (
    At,
    ConstVal,
    Function,
    Indexed,
    ModuleValue,
    Nothing,
    Poison,
    Several,
    Surface,
    Variable,
    is_core,
)
from nexortlang.source import Span
from nexortlang.syntax import ast


def run_block(cx: Context, body: Sequence[ast.Stmt]) -> Surface | None:
    """Runs statements; the value of the `return` that was met, if any."""
    for statement in body:
        cx.step(statement.span)
        try:
            result = execute(cx, statement)
        except NexortError as problem:
            for diagnostic in problem.diagnostics:
                cx.report(diagnostic)
            result = poison(cx, statement)
        except Silenced:
            result = poison(cx, statement)
        except RecursionError:
            cx.report(
                Diagnostic("NX506", "this is nested too deeply", statement.span, hint="write it in several statements")
            )
            result = poison(cx, statement)
        if result is not None:
            return result
    return None


def poison(cx: Context, statement: ast.Stmt) -> Surface | None:
    """What is left of a statement with a mistake: its names are bound, to nothing that could cause another message."""
    for name in bound_names(statement):
        cx.frame.names[name.id] = Variable(Poison(), name.span)
    return Poison() if isinstance(statement, ast.Return) and cx.calls else None


def execute(cx: Context, statement: ast.Stmt) -> Surface | None:
    """Runs one statement; a value only from `return`."""
    cx.target = ()
    match statement:
        case ast.WidthDecl():
            _width(cx, statement)
        case ast.ConstDecl():
            _const(cx, statement)
        case ast.Draw(name=name):
            cx.target = (name.id,)
            _require_free(cx, name)
            cx.bind(name.id, draw(cx, statement), name.span)
        case ast.Assign():
            _assign(cx, statement)
        case ast.AugAssign():
            _augment(cx, statement)
        case ast.Def(name=name) | ast.OptimizerDef(name=name):
            _require_free(cx, name)
            cx.bind(name.id, Function(statement, cx.frame.top), name.span)
        case ast.State():
            _state(cx, statement)
        case ast.Return(value=value):
            if not cx.calls:
                raise error("NX111", "return stands only in a def", statement.span)
            return _returned(cx, evaluate(cx, value))
        case ast.For():
            return _for(cx, statement)
        case ast.If():
            return _if(cx, statement)
        case ast.Import():
            _import(cx, statement)
        case ast.FromImport():
            _from_import(cx, statement)
        case ast.Show():
            output.show(cx, statement)
        case ast.Assert():
            output.check(cx, statement)
        case ast.ExprStmt():
            output.expression(cx, statement)
        case _:
            assert_never(statement)
    return None


# ---------------------------------------------------------------------------- declarations


def _require_free(cx: Context, name: ast.Name) -> None:
    """A width keeps its name: types are written with it."""
    found = cx.frame.names.get(name.id)
    if found is not None and isinstance(found.value, Width) and cx.frame is cx.frame.top:
        raise error(
            "NX105",
            f"{name.id} is a width and cannot be bound again",
            name.span,
            Label(found.span, "declared here"),
            hint="use another name",
        )


def _width(cx: Context, statement: ast.WidthDecl) -> None:
    name = statement.name
    _require_free(cx, name)
    widths = cx.builder.program.widths
    if any(w.name == name.id for w in widths):
        raise error(
            "NX105", f"the width {name.id} is declared twice", name.span, hint="a width is declared once, outside loops"
        )
    width = Width(name.id)
    if statement.value is not None:
        at = number(evaluate(cx, statement.value))
        value = at.value
        if not isinstance(value, ConstVal) or value.shape or value.power != 1 or not np.isfinite(value.array):
            example = widths[0].name if widths else "n"
            raise error(
                "NX201",
                f"expected a multiple of a width, found {a_kind(value)}",
                at.span,
                *blame(at)[1:],
                hint=f"width {name.id} = 2*{example}" if widths else f"the first width stands alone: width {name.id}",
            )
        ratio = float(value.array)
        if ratio < sys.float_info.min:
            raise error("NX201", f"expected a positive ratio of widths, found {ratio:g}", at.span)
        width = Width(name.id, rational(ratio) if ratio >= 1.0 else 1 / rational(1.0 / ratio))
    widths.append(width)
    cx.bind(name.id, width, name.span)


def _const(cx: Context, statement: ast.ConstDecl) -> None:
    name = statement.name
    _require_free(cx, name)
    found = cx.frame.names.get(name.id)
    if found is not None and found.is_const and found.span != name.span and not cx.interactive:
        raise error(
            "NX105", f"the const {name.id} is declared twice", name.span, Label(found.span, "first declared here")
        )
    if cx.frame.is_main and name.id in cx.settings:
        cx.bind(name.id, const(cx.settings[name.id]), name.span, is_const=True)
        return
    at = number(evaluate(cx, statement.value))
    if not isinstance(at.value, ConstVal):
        raise needs_const(at, f"{name.id} is a const, known before the run; bind it with = alone")
    cx.bind(name.id, at.value, name.span, is_const=True)


def _state(cx: Context, statement: ast.State) -> None:
    name = statement.name
    kept = cx.kept_states or {}
    if name.id in kept:
        cx.frame.names[name.id] = kept[name.id]
    else:
        cx.bind(name.id, evaluate(cx, statement.value).value, name.span)


# ---------------------------------------------------------------------------- binding


def _assign(cx: Context, statement: ast.Assign) -> None:
    targets, first = statement.targets, len(cx.builder.program.values)
    if len(targets) > 1:
        at = evaluate(cx, statement.value)
        for target, item in zip(targets, _unpacked(cx, at, len(targets), statement.span), strict=True):
            _bind(cx, target, item, first)
        return
    (target,) = targets
    cx.target = _target(cx, target)
    if isinstance(target, ast.Subscript) and index_notation.starts_with_index(cx, target.items):
        _assign_indexed(cx, target, statement)
        return
    _bind(cx, target, evaluate(cx, statement.value), first)


def _target(cx: Context, target: ast.Expr) -> tuple[object, ...]:
    """What an optimizer's state belongs to: a name, or members of what it stands for, whichever way they are written."""
    if isinstance(target, ast.Subscript) and not index_notation.starts_with_index(cx, target.items):
        with suppress(NexortError, Silenced):  # told where the target is bound
            name, _, index = finite_positions(cx, target)
            return (name.id, index.tobytes())
    return (target.id, ()) if isinstance(target, ast.Name) else (target.span.text,)


def _bind(cx: Context, target: ast.Expr, at: At, first: int) -> None:
    """target = value for one target: a name, or members of what a name stands for. The statement's values are those from number `first` on."""
    value = at.value
    if isinstance(value, Indexed):
        raise error(
            "NX102",
            f"expected a value without free indices, found {a_kind(value)}",
            at.span,
            hint="write the index on the left side: y[i] = …",
        )
    if isinstance(value, (Nothing, str)):
        raise error("NX201", f"expected a value, found {a_kind(value)}", at.span, hint="a def gives a value by return")
    if isinstance(target, ast.Name):
        _require_free(cx, target)
        if isinstance(value, Operator):
            value = _named_matrix(cx, target.id, value)
        value = cx.distinct(target.id, cx.parameter(target.id, value), first)
        if is_core(value):
            cx.builder.label(value, target.id)
        before = cx.frame.names.get(target.id)
        cx.bind(target.id, value, target.span)
        if before is not None:
            _go_on(cx, target.id, before)
        return
    _require_members(cx, target)
    name, old, index = finite_positions(cx, target)
    value = subscripts.set_members(cx, old, index, at, target.span, is_update=False)
    cx.bind(name.id, value, name.span, before=old.variable.of_members if old.variable is not None else ())


def _go_on(cx: Context, name: str, old: Variable) -> None:
    """H = f(H) with a def that updates H and returns it is an update, too: the history goes on."""
    now = cx.frame.names[name]
    if is_core(old.value) and is_core(now.value) and (since := cx.updates_since(old.value, now.value)) is not None:
        cx.frame.names[name] = replace(now, history=(*old.history, *since), before=old.before)


def _require_members(cx: Context, target: ast.Expr) -> None:
    """z[n] = … with a width n is neither a draw nor a member."""
    if not isinstance(target, ast.Subscript):
        return
    for item in target.items:
        variable = cx.frame.find(item.id) if isinstance(item, ast.Name) else None
        if variable is not None and isinstance(variable.value, Width):
            name = target.value.span.text
            raise error(
                "NX211",
                f"{item.span.text} is a width, and a width is no number",
                item.span,
                Label(variable.span, "declared here"),
                hint=f"to draw a vector use {target.span.text} ~ normal(0, 1), to bind a name {name} = …",
            )


def _named_matrix(cx: Context, name: str, value: Operator) -> Operator:
    """A matrix under the name that it is bound to. W = c*W + … goes on as the same variable: it is an update."""
    old = cx.frame.names.get(name)
    if old is not None and isinstance(old.value, Operator):
        updated = operators.rebound(cx.builder, old.value, value)
        if updated is not None:
            return updated
    return operators.copy(cx.builder, value, name, name in cx.frame.targets)


def _assign_indexed(cx: Context, target: ast.Subscript, statement: ast.Assign) -> None:
    """y[i] = …, G[i, j] = …, x[i, 2] = …"""
    first = len(cx.builder.program.values)
    names = index_notation.leading_indices(cx, target.items)
    at = index_notation.define(cx, names, statement.value, lambda e: evaluate(cx, e))
    rest = target.items[len(names) :]
    whole = ast.Subscript(target.value, rest, target.span) if rest else target.value
    _bind(cx, whole, at, first)


def _unpacked(cx: Context, at: At, count: int, span: Span) -> Iterator[At]:
    """The items of `return h, c`, or the members along the first finite axis."""
    value = at.value
    if isinstance(value, Several):
        if len(value.items) != count:
            raise error("NX210", f"expected {count} values, found {len(value.items)}", span)
        return (At(item, at.span) for item in value.items)
    if not isinstance(value, (ConstVal, Operator)) and not is_core(value):
        raise error("NX210", f"expected {count} values, found {a_kind(value)}", span, *blame(at))
    shape = shape_of(value)
    if not shape or shape[0] != count:
        raise error("NX210", f"expected {count} values, found {a_kind(value)}", span, *blame(at))
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    return (At(subscripts.take(cx, at, flat[k], span), at.span) for k in range(count))


def _augment(cx: Context, statement: ast.AugAssign) -> None:
    """target op= value"""
    target, change, whole = statement.target, statement.value, statement.target
    indexed = isinstance(target, ast.Subscript) and index_notation.starts_with_index(cx, target.items)
    names: list[ast.Name] = []
    if isinstance(target, ast.Subscript) and indexed:
        names = index_notation.leading_indices(cx, target.items)
        rest = target.items[len(names) :]
        whole = ast.Subscript(target.value, rest, target.span) if rest else target.value
    name: ast.Name
    first = len(cx.builder.program.values)
    if isinstance(whole, ast.Name):
        current = evaluate(cx, whole)
        name, old, index = whole, current, None
        _require_free(cx, name)
    else:
        name, old, index = finite_positions(cx, whole)
        current = At(subscripts.take(cx, old, index, whole.span), whole.span, old.variable)
    if len(names) == 1 and isinstance(current.value, Operator):
        raise cx.unknown_name(names[0])
    cx.target = (name.id, () if index is None else index.tobytes())
    at = index_notation.define(cx, names, change, lambda e: evaluate(cx, e)) if names else evaluate(cx, change)
    new = updates.updated(cx, current, statement.op, at, statement.span)
    if isinstance(new, Indexed):
        raise error("NX102", f"expected a value without free indices, found {a_kind(new)}", at.span)
    if index is not None:
        new = subscripts.set_members(cx, old, index, At(new, statement.span), statement.span, is_update=True)
    else:
        new = cx.distinct(name.id, new, first)
        if is_core(new):
            cx.builder.label(new, name.id)
    cx.update(name, new)


def _returned(cx: Context, at: At) -> Surface:
    if isinstance(at.value, Indexed) and not cx.active_slots:
        raise error("NX102", f"expected a value without free indices, found {a_kind(at.value)}", at.span)
    return at.value


# ---------------------------------------------------------------------------- control


def _if(cx: Context, statement: ast.If) -> Surface | None:
    for condition, body in statement.branches:
        at = number(evaluate(cx, condition))
        if not isinstance(at.value, ConstVal):
            raise needs_const(at, "the condition of if is known before the run")
        require_power_0([at], "if", at.span)
        if at.value.array.size != 1:
            raise error(
                "NX201", f"expected one number as a condition, found {a_kind(at.value)}", at.span, *blame(at)[1:]
            )
        if at.value.array.any():
            return run_block(cx, body)
    return run_block(cx, statement.otherwise)


def _for(cx: Context, statement: ast.For) -> Surface | None:
    at = number(evaluate(cx, statement.iterable))
    value = at.value
    if is_core(value) and value.type.is_scalar:
        raise needs_const(at, "a loop runs over what is known before the run")
    if not isinstance(value, ConstVal) or not value.shape:
        raise error(
            "NX231",
            f"expected a range or a const array after in, found {a_kind(value)}",
            at.span,
            *blame(at)[1:],
            hint=f"for {statement.variable.id} in range({at.text}):",
        )
    name, names = statement.variable, cx.frame.names
    before = names.get(name.id)
    cx.loops.append(0)
    cx.loop_spans.append(at.span)
    result, trained = None, cx.trace.steps if cx.trace is not None else 0
    try:
        for k, item in enumerate(value.array):
            if cx.trace is not None and cx.trace.ends_loop(trained, len(value.array) - k):
                break
            cx.loops[-1] = k
            cx.mark_pass(name.id)
            cx.bind(name.id, const(item, value.power), name.span)
            result = run_block(cx, statement.body)
            if result is not None:
                break
    finally:
        cx.loops.pop()
        cx.loop_spans.pop()
        cx.end_loop()
    names.pop(name.id, None)
    if before is not None:
        names[name.id] = before
    else:
        cx.frame.ended_loops[name.id] = statement.variable.span
    return result


# ---------------------------------------------------------------------------- modules


def _import(cx: Context, statement: ast.Import) -> None:
    module = cx.load_module(cx, statement.module)
    assert isinstance(module, ModuleValue)
    name = statement.alias or statement.module
    text = name.id if isinstance(name, ast.Name) else module.name
    _require_free(cx, ast.Name(text, name.span))
    cx.bind(text, module, name.span)


def _from_import(cx: Context, statement: ast.FromImport) -> None:
    module = cx.load_module(cx, statement.module)
    assert isinstance(module, ModuleValue)
    for name, alias in statement.names:
        local = alias or name
        _require_free(cx, local)
        cx.bind(local.id, member_of_module(module, name.id, name.span), local.span)
