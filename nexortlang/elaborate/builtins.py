"""The built-in functions: arrays, entrywise functions and reductions over finite axes.

`BUILTINS` is what names mean when nothing else binds them. Each function gets its call unevaluated, matches its arguments by name, and
checks what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, prod

import numpy as np

from nexortlang.core.program import Value, Width
from nexortlang.diagnostics import NexortError
from nexortlang.elaborate import matrices, subscripts
from nexortlang.elaborate.arithmetic import (
    apply_op,
    const,
    core,
    entrywise,
    number,
    peel,
    require_memory,
    require_numbers,
    require_power_0,
    rescale,
    shape_of,
)
from nexortlang.elaborate.calls import Param, match_arguments
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.expressions import evaluate
from nexortlang.elaborate.values import At, Builtin, ConstVal, Indexed, Several, Surface
from nexortlang.entrywise.ops import OPS
from nexortlang.source import Span
from nexortlang.syntax import ast

NOT_CALLABLE = {"neg", "not", "stop"}

# ---------------------------------------------------------------------------- arguments


def arguments(cx: Context, call: ast.Call, name: str, *parameters: str) -> dict[str, At]:
    """Arguments by parameter name; a parameter written "axis=" may be left away."""
    params = [Param(p.rstrip("="), not p.endswith("=")) for p in parameters]
    return {k: evaluate(cx, e) for k, e in match_arguments(name, params, call).items()}


def positional(cx: Context, call: ast.Call, name: str, *keywords: str) -> tuple[list[At], dict[str, At]]:
    """Any number of positional arguments, and the keywords that are allowed."""
    rest = match_arguments(
        name, [Param(k, False) for k in keywords], ast.Call(call.function, (), call.keywords, call.span)
    )
    return [evaluate(cx, e) for e in call.args], {k: evaluate(cx, e) for k, e in rest.items()}


def whole_list(at: At, what: str) -> list[int]:
    """A const array of whole numbers, or several in parentheses, as a list."""
    if isinstance(at.value, Several):
        return [subscripts.whole_number(At(item, at.span), what) for item in at.value.items]
    return [int(k) for k in subscripts.whole_numbers(at, what).reshape(-1)]


def shape_arguments(ats: Sequence[At], what: str) -> list[int]:
    """2, 8 or (2, 8) or a shape."""
    return [k for at in ats for k in whole_list(at, what)]


def size_arguments(ats: Sequence[At], span: Span) -> tuple[int, ...]:
    """A shape of what is to be made: no size is negative, and memory suffices."""
    sizes = tuple(shape_arguments(ats, "a shape"))
    if any(k < 0 for k in sizes):
        raise error("NX212", f"expected sizes of 0 or more, found {min(sizes)}", span)
    require_memory(sizes, span)
    return sizes


# ---------------------------------------------------------------------------- arrays


def _filled(name: str, value: float) -> Callable[[Context, ast.Call], Surface]:
    def run(cx: Context, call: ast.Call) -> Surface:
        ats, _ = positional(cx, call, name)
        widths = [at.value for at in ats if isinstance(at.value, Width)]
        if any(isinstance(at.value, Width) for at in ats[len(widths) :]) or len(widths) > 2:
            raise error("NX201", f"expected {name}(n, 2, 3): widths first, then finite sizes", call.span)
        shape = size_arguments(ats[len(widths) :], call.span)
        if not widths:
            return const(np.full(shape, value))
        cx.builder.span = call.span
        vector = cx.constant_vector(widths[0], shape, value)
        if len(widths) == 1:
            return vector
        other = cx.builder.rename(cx.constant_vector(widths[1], (), value), {0: 1})
        return cx.builder.mul(vector, other)

    return run


def _eye(cx: Context, call: ast.Call) -> Surface:
    given = arguments(cx, call, "eye", "n")
    (k,) = size_arguments([given["n"]], call.span)
    require_memory((k, k), call.span)
    return const(np.eye(k))


def _progression(name: str) -> Callable[[Context, ast.Call], Surface]:
    def run(cx: Context, call: ast.Call) -> Surface:
        ats, _ = positional(cx, call, name)
        if not 1 <= len(ats) <= 3:
            raise error("NX110", f"expected 1 to 3 arguments for {name}, found {len(ats)}", call.span)
        for at in ats:
            if isinstance(at.value, Width):
                raise error(
                    "NX211",
                    f"{at.text} is a width, and a width is no number",
                    at.span,
                    *blame(at)[1:],
                    hint="a vector is computed with as a whole; avg[i](…) averages over its coordinates",
                )
        ends = [subscripts.whole_number(at, f"the bounds of {name}") for at in ats]
        if len(ends) == 3 and ends[2] == 0:
            raise error("NX212", f"the step of {name} cannot be 0", ats[2].span)
        steps = range(*ends)
        if name == "range" and len(steps) > cx.max_steps:
            raise error(
                "NX506",
                f"a loop of {len(steps)} passes is longer than the limit of {cx.max_steps} statements",
                call.span,
                hint="make it shorter, or raise the limit with --max-steps",
            )
        require_memory((len(steps),), call.span)
        return const(np.array(steps, dtype=float))

    return run


def _len(cx: Context, call: ast.Call) -> Surface:
    at = arguments(cx, call, "len", "x")["x"]
    subscripts.require_finite_axes(at, call.span)
    shape = shape_of(at.value)
    if not shape:
        raise error(
            "NX211", f"expected an array, found {a_kind(at.value)} without finite axes", at.span, *blame(at)[1:]
        )
    return const(float(shape[0]))


def _reshape(cx: Context, call: ast.Call) -> Surface:
    ats, _ = positional(cx, call, "reshape")
    if len(ats) < 2:
        raise error("NX110", "expected an array and its new shape for reshape", call.span, hint="reshape(A, 2, 8)")
    return subscripts.reshape(cx, ats[0], shape_arguments(ats[1:], "a shape"), call.span)


def _transpose(cx: Context, call: ast.Call) -> Surface:
    ats, _ = positional(cx, call, "transpose")
    if not ats:
        raise error("NX110", "expected an array for transpose", call.span, hint="transpose(A, 1, 0)")
    axes = shape_arguments(ats[1:], "an axis") if len(ats) > 1 else None
    return subscripts.transpose(cx, ats[0], axes, call.span)


def _concatenate(cx: Context, call: ast.Call) -> Surface:
    ats, _ = positional(cx, call, "concatenate")
    if not ats:
        raise error("NX110", "expected arrays to concatenate", call.span, hint="concatenate(x, y)")
    return subscripts.concatenate(cx, ats, call.span)


def _randn(cx: Context, call: ast.Call) -> Surface:
    ats, given = positional(cx, call, "randn", "seed")
    shape = size_arguments(ats, call.span)
    seed = subscripts.whole_number(given["seed"], "a seed") if "seed" in given else 0
    if seed < 0:
        raise error("NX212", f"expected a seed of 0 or more, found {seed}", given["seed"].span)
    return const(np.random.default_rng(seed).standard_normal(shape))


def _load(cx: Context, call: ast.Call) -> Surface:
    at = arguments(cx, call, "load", "file")["file"]
    if not isinstance(at.value, str):
        raise error("NX201", f"expected a file name in quotes, found {a_kind(at.value)}", at.span, *blame(at)[1:])
    try:
        return const(cx.files.load_array(at.value))
    except NexortError as problem:
        raise problem.at(at.span) from None


# ---------------------------------------------------------------------------- entrywise functions


def _entrywise(name: str) -> Callable[[Context, ast.Call], Surface]:
    arity = OPS[name].arity
    parameters = (
        ("cond", "a", "b") if name == "where" else ("x", "a", "b") if name == "leaky_relu" else ("x", "low", "high")
    )

    def run(cx: Context, call: ast.Call) -> Surface:
        given = arguments(cx, call, name, *parameters[:arity])
        operands = [given[p] for p in parameters[:arity]]
        return entrywise(cx, name, operands, call.span)

    return run


def _extreme(name: str) -> Callable[[Context, ast.Call], Surface]:
    """max and min: of several arguments entrywise, of one over finite axes."""

    def run(cx: Context, call: ast.Call) -> Surface:
        ats, given = positional(cx, call, name, "axis")
        if len(ats) == 1:
            return reduction(cx, name, ats[0], given.get("axis"), call.span)
        if not ats or given:
            raise error(
                "NX110",
                f"expected {name}(x, axis=…) over a finite axis or {name}(a, b) entrywise",
                call.span,
            )
        result = ats[0]
        for at in ats[1:]:
            result = At(entrywise(cx, name, [result, at], call.span), call.span)
        return result.value

    return run


def _softmax(cx: Context, call: ast.Call) -> Surface:
    given = arguments(cx, call, "softmax", "x", "axis=")
    at = number(given["x"])
    require_numbers([at], "softmax", call.span)
    if cx.trace is None or isinstance(at.value, ConstVal):
        require_power_0([at], "softmax", call.span)
    if not isinstance(at.value, ConstVal):
        cx.require_entrywise("softmax", call.span)
    (axis,) = _axes(at, given.get("axis") or At(const(-1.0), call.span), "softmax", call.span)
    if isinstance(at.value, ConstVal):
        shifted = at.value.array - at.value.array.max(axis=axis, keepdims=True, initial=-np.inf)
        weights = np.exp(shifted)
        return const(weights / weights.sum(axis=axis, keepdims=True))
    cx.builder.span = call.span
    result = softmax(cx, core(cx, at.value), axis)
    return Indexed(result, at.value.names) if isinstance(at.value, Indexed) else result


def softmax(cx: Context, v: Value, axis: int) -> Value:
    """exp(v − max v) / Σ exp(v − max v) along one finite axis; taking the largest away changes nothing but overflow."""
    b, shape = cx.builder, v.type.shape
    if shape[axis] == 0:
        return v
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    largest = b.reshape(b.reduce("max", v, axis), kept)
    weights = b.map("exp", b.map("sub", v, largest))
    return b.map("div", weights, b.reshape(b.reduce("sum", weights, axis), kept))


# ---------------------------------------------------------------------------- reductions


def _reduction(name: str) -> Callable[[Context, ast.Call], Surface]:
    def run(cx: Context, call: ast.Call) -> Surface:
        ats, given = positional(cx, call, name, "axis")
        if len(ats) != 1:
            raise error(
                "NX110", f"expected one argument for {name}, found {len(ats)}", call.span, hint=f"{name}(x, axis=0)"
            )
        return reduction(cx, name, ats[0], given.get("axis"), call.span)

    return run


def reduction(cx: Context, name: str, at: At, axis: At | None, span: Span) -> Surface:
    """sum, mean, max, min or argmax over one, several or all finite axes, which are dropped."""
    at = number(at)
    require_numbers([at], name, span)
    value, shape = at.value, shape_of(at.value)
    if not isinstance(value, ConstVal):
        cx.require_entrywise(f"{name} over an axis", span)
    if axis is None and not shape and (isinstance(value, Indexed) or subscripts.core_axes(value)):
        raise error(
            "NX243",
            f"{name} is over finite axes, of which {at.text} has none",
            span,
            *blame(at),
            hint=f"avg({at.text}) averages over the width" if not isinstance(value, Indexed) else "avg[i](…) averages",
        )
    axes = _axes(at, axis, name, span) if axis is not None else list(range(len(shape)))
    count = prod(shape[k] for k in axes)
    if count == 0 and name != "sum":
        raise error("NX243", f"{name} over no entries at all", span, *blame(at))
    if name == "argmax" and len(axes) != 1:
        if axis is not None:
            raise error("NX243", f"expected one axis for argmax, found {len(axes)}", axis.span)
        at = At(subscripts.reshape(cx, at, [-1], span), at.span, at.variable)
        value, axes = at.value, [0]
    if isinstance(value, ConstVal):
        reduced = getattr(np, name)(value.array, axis=axes[0] if name == "argmax" else tuple(axes))
        return const(reduced, value.power if name != "argmax" else const(0.0).power)
    cx.builder.span = span
    v, p = peel(core(cx, value))
    for k in sorted(axes, reverse=True):
        v = cx.builder.reduce("sum" if name == "mean" else name, v, k)
    if name == "mean" and count != 1:
        v = apply_op(cx, "mul", [cx.builder.const(1.0 / count), v], v.type.shape)
    result = v if name == "argmax" else rescale(cx, v, p)
    return Indexed(result, value.names) if isinstance(value, Indexed) else result


def _axes(at: At, axis: At, name: str, span: Span) -> list[int]:
    """Finite axes, counted from 0."""
    rank = len(shape_of(at.value))
    axes = [k + rank if k < 0 else k for k in whole_list(axis, "an axis")]
    if any(not 0 <= k < rank for k in axes) or len(set(axes)) < len(axes):
        has = f"{rank} finite {'axis' if rank == 1 else 'axes'}" if rank else "no finite axes"
        hint = (
            "over a width an average is the sum that has a limit: exp(x)/avg(exp(x))"
            if name == "softmax" and not rank
            else ""
        )
        raise error("NX243", f"{name}: there is no such axis, {at.text} has {has}", axis.span, *blame(at), hint=hint)
    return axes


# ---------------------------------------------------------------------------- widths


def _avg(cx: Context, call: ast.Call) -> Surface:
    return matrices.avg(cx, arguments(cx, call, "avg", "x")["x"], call.span)


def _training(name: str) -> Callable[[Context, ast.Call], Surface]:
    """grad, stop or ntk; backpropagation is loaded when it is first asked for."""

    def run(cx: Context, call: ast.Call) -> Surface:
        from nexortlang.elaborate import training

        return training.FUNCTIONS[name](cx, call)

    return run


def _only_shown(name: str) -> Callable[[Context, ast.Call], Surface]:
    def run(cx: Context, call: ast.Call) -> Surface:
        raise error("NX111", f"{name}(…) stands only right after show", call.span, hint=f"show {name}(x)")

    return run


def _table() -> dict[str, Surface]:
    functions: dict[str, Callable[[Context, ast.Call], Surface]] = {
        "zeros": _filled("zeros", 0.0),
        "ones": _filled("ones", 1.0),
        "eye": _eye,
        "arange": _progression("arange"),
        "range": _progression("range"),
        "len": _len,
        "reshape": _reshape,
        "transpose": _transpose,
        "concatenate": _concatenate,
        "randn": _randn,
        "load": _load,
        "softmax": _softmax,
        "sum": _reduction("sum"),
        "mean": _reduction("mean"),
        "argmax": _reduction("argmax"),
        "avg": _avg,
        "dist": _only_shown("dist"),
        "cov": _only_shown("cov"),
        "grad": _training("grad"),
        "stop": _training("stop"),
        "ntk": _training("ntk"),
    }
    for op in OPS.values():
        if not op.infix and op.name not in NOT_CALLABLE:
            functions[op.name] = _entrywise(op.name)
    functions["max"], functions["min"] = _extreme("max"), _extreme("min")
    table: dict[str, Surface] = {name: Builtin(name, run) for name, run in functions.items()}
    return table | {"pi": const(pi), "inf": const(np.inf)}


BUILTINS: dict[str, Surface] = _table()
