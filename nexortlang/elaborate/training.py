"""grad, stop and ntk: the built-in functions that look at how a scalar was computed.

The algebra is elaborate.gradient; here a target is found by its name, at the value that the loss was computed from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import prod

import numpy as np

from nexortlang.core.program import Const, Shape, Value
from nexortlang.diagnostics import Label, NexortError
from nexortlang.elaborate import gradient, operators, parameters, tangent_kernel, versions
from nexortlang.elaborate.adjoints import extended, multiply, plus
from nexortlang.elaborate.arithmetic import entrywise, require_memory, require_numbers
from nexortlang.elaborate.calls import Param, match_arguments
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.expressions import evaluate, finite_positions
from nexortlang.elaborate.members import assembled, family_gradient
from nexortlang.elaborate.operators import MatrixUse, Operator
from nexortlang.elaborate.trace import Gradient, ParameterKind
from nexortlang.elaborate.values import At, ConstVal, Surface, is_core
from nexortlang.elaborate.versions import Version
from nexortlang.source import Span
from nexortlang.syntax import ast


def grad(cx: Context, call: ast.Call) -> Surface:
    """grad(L, W): of the target's axes and shape, with the power of n that it has at finite width."""
    cx.require_entrywise("a gradient", call.span)
    given = match_arguments("grad", [Param("loss"), Param("target")], call)
    loss = evaluate(cx, given["loss"])
    value = loss.value
    if isinstance(value, ConstVal) and not value.shape:
        raise _independent(given["target"], None, loss, call.span)
    if not is_core(value) or value.type.axes or value.type.shape:
        raise error(
            "NX240",
            f"expected one scalar to take the gradient of, found {a_kind(value)}",
            loss.span,
            *blame(loss)[1:],
            hint="mean(…) or sum(…) makes one number of an array, avg(x) of a vector",
        )
    cx.builder.span = call.span
    target = given["target"]
    base = target
    while isinstance(base, ast.Subscript):
        base = base.value
    if not isinstance(base, ast.Name):
        raise error("NX201", "expected a name to take the gradient with respect to", target.span, hint="grad(L, W)")
    if base is target:
        name, at, index = base, evaluate(cx, base), None
    else:
        name, at, index = finite_positions(cx, target)
    found = _matrix(cx, value, at.value, index) if isinstance(at.value, Operator) else _value(cx, value, at, index)
    if found is None:
        raise _independent(name, at, loss, call.span)
    if cx.trace is not None:
        kind: ParameterKind = "matrix" if isinstance(at.value, Operator) else "vector" if found.type.axes else "scalar"
        return cx.trace.gradient(cx.builder, Gradient(name.id, kind, found, value, call.span))
    return found


def _independent(target: ast.Expr, at: At | None, loss: At, span: Span) -> NexortError:
    hint = "the loss must be computed from the value that the name has now, or had before updates (-=, +=, *=); = binds another value"
    if at is not None and isinstance(at.value, ConstVal):
        hint = f"it is a plain number: bind it by = at the top level, {target.span.text} = zeros(…), without const, and before the loss"
    label = () if loss.variable is None else (Label(loss.variable.span, f"{loss.text} was computed here"),)
    return error(
        "NX241",
        f"{loss.text} does not depend on {target.span.text}, so it has no gradient",
        span,
        *label,
        hint=hint,
    )


def _matrix(cx: Context, loss: Value, matrix: Operator, index: np.ndarray | None) -> Value | None:
    """The gradient with respect to a named matrix, or to members of a named family: each at the newest value that the loss was computed from."""
    b = cx.builder
    variable = matrix.variable
    if variable is None:
        raise error(
            "NX201",
            "expected a matrix with a name of its own, found an expression of matrices",
            b.span,
            hint="bind the expression to a name before it is applied: A = (W + W.T)/sqrt(2)",
        )
    live: dict[Version, list[MatrixUse]] = {}
    for use in operators.uses(b, variable):
        if gradient.depends(b, loss, use.result):
            live.setdefault(use.version, []).append(use)
    used = {v: {m for use in uses for m in use.members.reshape(-1).tolist()} for v, uses in live.items()}
    if not any(versions.descends(v, versions.first(operators.version(matrix))) for v in used):
        return None
    members = operators.positions(matrix if index is None else operators.member(b, matrix, index))
    origin = {m: versions.newest_used(operators.version(matrix), m, used) for m in np.unique(members).tolist()}
    entries = [None if (v := origin[m]) is None else (v, m) for m in members.reshape(-1).tolist()]
    parts = {v: _by_version(cx, loss, live, v, variable.shape) for v, _ in filter(None, entries)}
    zero = extended(b, b.const(np.zeros(1)), ((0, matrix.rows), (1, matrix.cols)))
    return assembled(b, parts, entries, members.shape, zero)


def _by_version(
    cx: Context, loss: Value, live: Mapping[Version, Sequence[MatrixUse]], wanted: Version, shape: Shape
) -> Value | None:
    """The gradient with respect to what a name was, from the uses of just that and of what updates have made of it since.

    Where a program goes on under the same name the updated value is what a gradient is asked for. But an update inside of a `def` is local:
    the name outside stays what it was, and the loss may have been computed from it by way of the update.
    """
    b, total = cx.builder, None
    for version, uses in live.items():
        factor = versions.descent(b, version, wanted)
        part = gradient.matrix_gradient(b, loss, uses, shape) if factor is not None else None
        if factor is None or part is None:
            continue
        with b.constants():
            part = part if versions.is_one(factor) else multiply(b, factor, part)
            total = part if total is None else plus(b, total, part)
    return total if total is None or b.is_constant(total) else b.map("stop", total)


def _value(cx: Context, loss: Value, at: At, index: np.ndarray | None) -> Value | None:
    """The gradient with respect to a vector, scalar or outer product, or to members of a family."""
    if not is_core(at.value) and not isinstance(at.value, ConstVal):
        raise error("NX201", f"expected something with a gradient, found {a_kind(at.value)}", at.span, *blame(at)[1:])
    history = at.variable.of_members if at.variable is not None else ()
    values = [v for v in history or (at.value,) if is_core(v)]
    for shape, newest_first in groupby(
        reversed(values), lambda v: v.type.shape
    ):  # an update may broadcast to more members
        members = np.arange(prod(shape)).reshape(shape) if index is None else index
        found = family_gradient(cx.builder, loss, list(newest_first), members)
        if found is not None or index is not None:
            return found
    return None


def stop(cx: Context, call: ast.Call) -> Surface:
    """stop(x): x, as a constant for gradients."""
    given = match_arguments("stop", [Param("x")], call)
    at = evaluate(cx, given["x"])
    require_numbers([at], "stop", call.span)
    return entrywise(cx, "stop", [at], call.span)


def ntk(cx: Context, call: ast.Call) -> Surface:
    """ntk(f, U, W, …): the neural tangent kernel of f with respect to the draws that the names stand for, all draws if there are none."""
    if not call.args or call.keywords:
        raise error("NX110", "expected outputs and parameters for ntk", call.span, hint="ntk(f, U, W, v)")
    cx.require_entrywise("a neural tangent kernel", call.span)
    outputs, *named = (evaluate(cx, e) for e in call.args)
    if not is_core(outputs.value) or outputs.value.type.axes:
        raise error(
            "NX201",
            f"expected outputs, a scalar or an array of scalars, found {a_kind(outputs.value)}",
            outputs.span,
            *blame(outputs)[1:],
            hint="outputs are of the form sqrt(n) * <v|x>",
        )
    b = cx.builder
    b.span = call.span
    draws: parameters.Selected = {} if named else parameters.everything_drawn(b, outputs.value)
    for at in named:
        for root, entries in parameters.drawn(at).items():
            draws[root] = np.union1d(draws.get(root, entries), entries)
    require_memory((*outputs.value.type.shape * 2,), call.span)
    found = tangent_kernel.tangent_kernel(b, outputs.value, draws)
    return ConstVal(found.array) if isinstance(found, Const) else found


FUNCTIONS = {"grad": grad, "stop": stop, "ntk": ntk}
