"""Evaluating expressions: one `match` from syntax to the functions that know the rules.

In: an expression and the context. Out: its value with its place. Core instructions that it needs have been appended to the program.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from nexortlang.check import suggest
from nexortlang.core.program import Width
from nexortlang.diagnostics import Fix, Label
from nexortlang.elaborate import arithmetic, index_notation, matrices, subscripts
from nexortlang.elaborate.calls import call_function
from nexortlang.elaborate.context import Context, Silenced
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.values import (
    At,
    Builtin,
    Function,
    Indexed,
    ModuleValue,
    Poison,
    Several,
    Surface,
    Variable,
    is_core,
)
from nexortlang.source import Span
from nexortlang.syntax import ast

OP_NAMES = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "^": "pow",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "==": "eq",
    "!=": "ne",
    "and": "and",
    "or": "or",
}


_REDUCTIONS = {
    "sum": "times n it is the sum",
    "mean": "it is the mean",
    **dict.fromkeys(("max", "min", "argmax"), "a vector's largest entry has no limit of its own"),
}
"""Functions that somebody may write with an index like avg[j](…), and what is said then."""


def evaluate(cx: Context, e: ast.Expr) -> At:
    """The value of an expression, with its place; a name comes with its variable."""
    variable: Variable | None = None
    value: Surface
    match e:
        case ast.Name():
            variable = _variable(cx, e)
            value = variable.value
        case ast.Number():
            value = arithmetic.const(e.value)
        case ast.String():
            value = e.value
        case ast.Array(items=items):
            value = subscripts.stack(cx, [evaluate(cx, item) for item in items], e.span)
        case ast.Tuple(items=items):
            value = Several(tuple(evaluate(cx, item).value for item in items))
        case ast.Unary(op=op, operand=operand):
            value = _unary(cx, op, evaluate(cx, operand), e.span)
        case ast.Binary(op=op, left=left, right=right):
            value = binary(cx, op, evaluate(cx, left), evaluate(cx, right), e.span)
        case ast.Call():
            value = _call(cx, e)
        case ast.Subscript():
            value = _subscript(cx, e)
        case ast.Attribute(value=owner, name=name):
            value = _attribute(cx, evaluate(cx, owner), name, e.span)
        case ast.Transpose(value=operand):
            value = _transpose(cx, evaluate(cx, operand), e.span)
        case ast.BraKet(bra=bra, operator=operator, ket=ket):
            value = _bra_ket(cx, bra, operator, ket, e.span)
        case ast.KetBra(ket=ket, bra=bra):
            value = matrices.ket_bra(cx, evaluate(cx, ket), evaluate(cx, bra), e.span)
        case _:
            assert_never(e)
    if cx.observe is not None:
        cx.observe(e.span, value)
    return At(value, e.span, variable)


def _variable(cx: Context, e: ast.Name) -> Variable:
    if e.id in cx.frame.indices:
        raise error(
            "NX201",
            f"{e.id} is an index, whose value a program never sees",
            e.span,
            hint=f"an index stands in subscripts only, as in x[{e.id}]",
        )
    return cx.lookup(e)


def _unary(cx: Context, op: str, operand: At, span: Span) -> Surface:
    if op == "not":
        return arithmetic.entrywise(cx, "not", [operand], span)
    if op == "+":
        return operand.value
    if matrices.is_matrix_arithmetic(operand, operand):
        return matrices.negative(cx, operand)
    return arithmetic.entrywise(cx, "neg", [operand], span, "-")


def binary(cx: Context, op: str, left: At, right: At, span: Span) -> Surface:
    """left op right for any operator of the language."""
    if op == "@":
        return matrices.matmul(cx, left, right, span)
    if op in arithmetic.CONST_ONLY:
        return arithmetic.const_only(op, left, right, span)
    name = OP_NAMES[op]
    if matrices.is_matrix_arithmetic(left, right):
        return matrices.arithmetic(cx, name, left, right, span)
    return arithmetic.entrywise(cx, name, [left, right], span)


def _attribute(cx: Context, at: At, name: str, span: Span) -> Surface:
    if isinstance(at.value, ModuleValue):
        return member_of_module(at.value, name, span)
    if name == "shape":
        subscripts.require_finite_axes(at, span)
        return arithmetic.const(np.array(arithmetic.shape_of(at.value), dtype=float))
    hint = suggest.method(name, at.text, cx.builtins)
    raise error("NX201", f"{a_kind(at.value)} has no attribute {name}", span, *blame(at), hint=hint)


def member_of_module(module: ModuleValue, name: str, span: Span) -> Surface:
    """module.name"""
    found = module.frame.names.get(name)
    if found is None:
        names = ", ".join(sorted(module.frame.names)) or "nothing"
        close = suggest.closest(name, module.frame.names)
        fix = Fix(Span(span.source, span.end - len(name), span.end), close) if close else None
        hint = (f"did you mean {close}? " if close else "") + f"it has {names}"
        raise error("NX107", f"the module {module.name} has no {name}", span, hint=hint, fix=fix)
    if isinstance(found.value, Poison):
        raise Silenced
    return found.value


def _transpose(cx: Context, at: At, span: Span) -> Surface:
    match matrices.sort_of(at.value):
        case "matrix":
            return matrices.transpose_matrix(cx, at)
        case "array":
            return subscripts.transpose(cx, at, None, span)
        case "vector":
            raise error(
                "NX201",
                f"expected a matrix or an array before .T, found {a_kind(at.value)}",
                span,
                *blame(at),
                hint=f"<{at.text}| is the transposed vector; transpose(x, 1, 0) reorders finite axes",
            )
    raise error("NX201", f"expected a matrix or an array before .T, found {a_kind(at.value)}", span, *blame(at))


def _bra_ket(cx: Context, bra: ast.Expr, operator: ast.Expr | None, ket: ast.Expr, span: Span) -> Surface:
    left, right = evaluate(cx, bra), evaluate(cx, ket)
    if operator is not None:
        between = operator.span.to(ket.span)
        right = At(matrices.matmul(cx, evaluate(cx, operator), right, between), between)
    return matrices.inner(cx, left, right, span)


def _call(cx: Context, e: ast.Call) -> Surface:
    function = e.function
    if isinstance(function, ast.Subscript) and _is_builtin(cx, function.value, "avg"):
        return index_notation.average_over(cx, e, function, lambda x: evaluate(cx, x))
    if isinstance(function, ast.Subscript) and any(_is_builtin(cx, function.value, name) for name in _REDUCTIONS):
        name, indices = function.value.span.text, function.span.text[len(function.value.span.text) :]
        raise error(
            "NX243",
            f"{name} is over finite axes, not over an index of a width",
            function.span,
            hint=f"avg{indices}(…) averages; " + _REDUCTIONS[name],
        )
    callee = evaluate(cx, function)
    match callee.value:
        case Builtin(run=run):
            return run(cx, e)
        case Function() as f:
            return call_function(cx, f, e, lambda x: evaluate(cx, x))
    label = (Label(callee.variable.span, "bound here"),) if callee.variable is not None else ()
    hint = ""
    if not e.args and not e.keywords:
        hint = f"{callee.text} is no function: write it without ( )"
    elif is_core(callee.value):
        hint = "write * between factors"
    raise error("NX230", f"expected a function before ( ), found {a_kind(callee.value)}", e.span, *label, hint=hint)


def _is_builtin(cx: Context, e: ast.Expr, name: str) -> bool:
    return isinstance(e, ast.Name) and e.id == name and cx.frame.find(name) is None


def _subscript(cx: Context, e: ast.Subscript) -> Surface:
    at = evaluate(cx, e.value)
    items = e.items
    if isinstance(at.value, Width):
        raise error("NX211", f"{at.text} is a width, which has no members", e.span, *blame(at)[1:])
    if index_notation.starts_with_index(cx, items):
        value, used = index_notation.read(cx, at, items, e.span)
        if used == len(items):
            return value
        at, items = At(value, e.span), items[used:]
    return subscripts.subscript(cx, at, items, lambda x: evaluate(cx, x), e.span)


def finite_positions(cx: Context, target: ast.Expr) -> tuple[ast.Name, At, np.ndarray]:
    """The variable that x[2][:, 1] is a part of, and the flat positions of that part."""
    if isinstance(target, ast.Name):
        at = evaluate(cx, target)
        subscripts.require_finite_axes(at, target.span)
        shape = arithmetic.shape_of(at.value)
        return target, at, np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    if not isinstance(target, ast.Subscript):
        raise error("NX111", "expected a name or x[…] on the left side", target.span)
    name, at, flat = finite_positions(cx, target.value)
    if isinstance(at.value, Indexed):
        raise AssertionError("no name is bound to an indexed value")
    chosen = subscripts.evaluate_items(target.items, lambda x: evaluate(cx, x))
    return name, at, flat.reshape(-1)[subscripts.positions(flat.shape, chosen, at, target.span)]
