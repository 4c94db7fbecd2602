"""Finite axes: subscripts, reshaping, stacking and the setting of members, with NumPy's rules.

NumPy itself does the work, on the array of flat positions arange(size).reshape(shape): whatever indexing it allows there is a Gather here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Value, Width
from nexortlang.elaborate import operators
from nexortlang.elaborate.arithmetic import (
    const,
    core,
    fits,
    is_vanishing,
    needs_const,
    number,
    peel,
    power_of,
    require_memory,
    require_power_0,
    shape_of,
)
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error, power_text, shape_text
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.origins import note_assignment
from nexortlang.elaborate.values import At, ConstVal, Indexed, Surface, is_core
from nexortlang.source import Span
from nexortlang.syntax import ast

Evaluate = Callable[[ast.Expr], At]


def whole_numbers(at: At, what: str) -> np.ndarray:
    """A const array of whole numbers."""
    at = number(at)
    if not isinstance(at.value, ConstVal):
        raise needs_const(at, what)
    require_power_0([at], what, at.span)
    array = at.value.array
    if not np.isfinite(array).all() or (array != np.round(array)).any():
        raise error("NX212", f"expected whole numbers for {what}, found {_sample(array)}", at.span, *blame(at)[1:])
    return array.astype(np.intp)


def whole_number(at: At, what: str) -> int:
    """One whole number that is known before the run."""
    array = whole_numbers(at, what)
    if array.size != 1:
        raise error("NX212", f"expected one number for {what}, found {a_kind(at.value)}", at.span, *blame(at)[1:])
    return int(array.reshape(-1)[0])


def _sample(array: np.ndarray) -> str:
    wrong = array[~(np.isfinite(array) & (array == np.round(array)))]
    return f"{wrong.reshape(-1)[0]:g}"


def require_finite_axes(at: At, span: Span) -> None:
    """Only what has finite axes can be subscripted."""
    value = at.value
    if isinstance(value, Width):
        raise error("NX211", f"{at.text} is a width, which has no members", span, *blame(at)[1:])
    if not isinstance(value, (ConstVal, Operator, Indexed)) and not is_core(value):
        raise error("NX201", f"expected something with finite axes, found {a_kind(value)}", span, *blame(at))


def positions(shape: Sequence[int], items: Sequence[Any], at: At, span: Span) -> np.ndarray:
    """The flat positions that a subscript selects, in the shape of the result."""
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if isinstance(at.value, Operator) and used == len(shape) + 2:
        raise matrix_entry(at, span)
    if used > len(shape):
        has = f"{len(shape)} finite {'axis' if len(shape) == 1 else 'axes'}" if shape else "no finite axes"
        extra = " (a width is never subscripted)" if _has_width(at.value) else ""
        raise error(
            "NX211",
            f"expected at most {len(shape)} subscripts, found {used}: {at.text} has {has}{extra}",
            span,
            *blame(at),
            hint=_without_axes(at, items) if not shape else "count its finite axes: x.shape tells them",
        )
    try:
        return np.arange(prod(shape)).reshape(tuple(shape))[tuple(items)]
    except IndexError as problem:
        text = f"the subscript is outside {at.text}, which has finite shape {shape_text(shape)}"
        if "could not be broadcast" in str(problem):
            text = f"the index arrays of {at.text} do not broadcast together"
        raise error("NX212", text, span, *blame(at), hint="positions count from 0; -1 is the last") from None


def _without_axes(at: At, items: Sequence[Any]) -> str:
    """What may have been meant by a subscript of what has no finite axes."""
    if isinstance(at.value, Operator):
        return f"{at.text} is one matrix; a family of L matrices is drawn as W[n, n, L] and has members W[0], W[1], …"
    if not _has_width(at.value):
        return f"{at.text} is a single number; drop the subscript"
    if all(item is None or item is Ellipsis or isinstance(item, slice) for item in items):
        return f"{at.text} broadcasts as it is; drop the subscript"
    return "avg(x) averages over the width; index notation reads coordinates: y[i] = avg[j](…)"


def matrix_entry(at: At, span: Span) -> Exception:
    return error(
        "NX202",
        f"{at.text} is {a_kind(at.value)}, whose entries cannot be read",
        span,
        *blame(at)[1:],
        hint="entries of an initial matrix are of order n^(-1/2) and have no limit one by one; W acts on vectors, W @ x",
    )


def _has_width(value: Surface) -> bool:
    return isinstance(value, Operator) or (is_core(value) and not value.type.is_scalar)


def _require_entrywise(cx: Context, ats: Sequence[At], what: str, span: Span) -> None:
    """An optimizer sees one entry of a vector or matrix, so that no axis of theirs can be told there."""
    if any(core_axes(at.value) for at in ats):
        cx.require_entrywise(what, span)


def evaluate_items(items: Sequence[ast.Expr | ast.Slice], evaluate: Evaluate) -> list[object]:
    """The parts of a subscript as NumPy takes them."""
    out: list[object] = []
    for item in items:
        match item:
            case ast.Slice(start, stop, step):
                ends = [None if e is None else whole_number(evaluate(e), "a subscript") for e in (start, stop, step)]
                if ends[2] == 0:
                    raise error("NX212", "a slice cannot have step 0", item.span)
                out.append(slice(*ends))
            case ast.Name(id="None"):
                out.append(None)
            case ast.Name(id="..."):
                out.append(Ellipsis)
            case _:
                array = whole_numbers(evaluate(item), "a subscript")
                out.append(int(array) if array.ndim == 0 else array)
    return out


def take(cx: Context, at: At, index: np.ndarray, span: Span) -> Surface:
    """The entries of a value at flat positions."""
    require_memory(index.shape, span)
    match at.value:
        case ConstVal() as c:
            return const(c.array.reshape(-1)[index], c.power)
        case Operator() as matrix:
            return operators.member(cx.builder, matrix, index)
        case Indexed(value, names):
            return Indexed(cx.builder.gather(value, index), names)
        case value:
            x, p = peel(core(cx, value))
            return cx.builder.scale(cx.builder.gather(x, index), p)


def subscript(cx: Context, at: At, items: Sequence[ast.Expr | ast.Slice], evaluate: Evaluate, span: Span) -> Surface:
    """x[items] on finite axes."""
    require_finite_axes(at, span)
    _require_entrywise(cx, [at], "a subscript", span)
    index = positions(shape_of(at.value), evaluate_items(items, evaluate), at, span)
    return take(cx, at, index, span)


def reshape(cx: Context, at: At, shape: Sequence[int], span: Span) -> Surface:
    """The same entries in another finite shape; one -1 is worked out."""
    require_finite_axes(at, span)
    _require_entrywise(cx, [at], "reshape", span)
    old = shape_of(at.value)
    try:
        index = np.arange(prod(old)).reshape(tuple(shape))
    except ValueError:
        raise error(
            "NX210",
            f"expected a shape with {prod(old)} entries, found {shape_text(shape)}",
            span,
            *blame(at),
        ) from None
    return take(cx, at, index, span)


def transpose(cx: Context, at: At, axes: Sequence[int] | None, span: Span) -> Surface:
    """Finite axes in another order, reversed by default."""
    require_finite_axes(at, span)
    _require_entrywise(cx, [at], "transpose", span)
    shape = shape_of(at.value)
    order = list(range(len(shape)))[::-1] if axes is None else [a + len(shape) if a < 0 else a for a in axes]
    if sorted(order) != list(range(len(shape))):
        raise error(
            "NX210",
            f"expected each of the {len(shape)} finite axes once, found {shape_text(axes or [])}",
            span,
            *blame(at),
        )
    return take(cx, at, np.arange(prod(shape)).reshape(shape).transpose(order), span)


def stack(cx: Context, items: Sequence[At], span: Span) -> Surface:
    """[a, b, …]: a new first finite axis. [] is the empty array of shape [0], as in NumPy."""
    items = _joinable(items, "in [ ]")
    _require_entrywise(cx, items, "a new axis", span)
    shapes = {shape_of(at.value) for at in items}
    if len(shapes) > 1:
        texts = " and ".join(shape_text(s) or "a single number" for s in sorted(shapes, key=len))
        raise error("NX210", f"expected members of one shape, found {texts}", span, *blame(*items))
    return _joined(cx, items, (len(items), *(shapes.pop() if shapes else ())), span)


def concatenate(cx: Context, items: Sequence[At], span: Span) -> Surface:
    """Arrays or vectors one after the other along their first finite axis."""
    items = _joinable(items, "to concatenate")
    _require_entrywise(cx, items, "concatenate", span)
    shapes = [shape_of(at.value) for at in items]
    if any(not s or s[1:] != shapes[0][1:] for s in shapes):
        texts = " and ".join(shape_text(s) or "a single number" for s in dict.fromkeys(shapes))
        raise error(
            "NX210", f"expected shapes that differ in the first axis alone, found {texts}", span, *blame(*items)
        )
    return _joined(cx, items, (sum(s[0] for s in shapes), *shapes[0][1:]), span)


def _joinable(items: Sequence[At], what: str) -> list[At]:
    """Items that are numbers, arrays or vectors."""
    items = [number(at) for at in items]
    for at in items:
        value = at.value
        if not isinstance(value, (ConstVal, Indexed)) and not is_core(value):
            raise error(
                "NX201", f"expected numbers, arrays or vectors {what}, found {a_kind(value)}", at.span, *blame(at)[1:]
            )
    return items


def _joined(cx: Context, items: Sequence[At], shape: tuple[int, ...], span: Span) -> Surface:
    """The entries of all items, in this shape."""
    _require_one_kind(items, span)
    _require_one_power(items, span)
    power = next((power_of(at.value) for at in items if power_of(at.value)), power_of(const(0.0)))
    if all(isinstance(at.value, ConstVal) for at in items):
        arrays = [at.value.array.reshape(-1) for at in items if isinstance(at.value, ConstVal)]
        return const(np.concatenate([*arrays, np.zeros(0)]).reshape(shape), power)
    cx.builder.span = span
    joined = concatenated(cx.builder, [core(cx, at.value) for at in items])
    x, p = peel(joined)
    result = cx.builder.scale(cx.builder.reshape(x, shape), p)
    names = {slot: name for at in items if isinstance(at.value, Indexed) for slot, name in at.value.names.items()}
    return Indexed(result, names) if names else result


def concatenated(b: Builder, values: Sequence[Value]) -> Value:
    """Concat with a common power of n pulled out."""
    peeled = [peel(v) for v in values]
    powers = {p for v, p in peeled if not is_vanishing(v)}
    if len(powers) != 1:
        return b.concat(values)
    return b.scale(b.concat([v for v, _ in peeled]), powers.pop())


def _axes(value: Surface) -> object:
    if isinstance(value, ConstVal):
        return ()
    return core_axes(value)


def core_axes(value: Surface) -> tuple[tuple[int, Width], ...]:
    """The width axes of a core value, none for anything else."""
    if isinstance(value, Indexed):
        return value.value.type.axes
    return value.type.axes if is_core(value) else ()


def _require_one_kind(items: Sequence[At], span: Span) -> None:
    first = items[0] if items else None
    for at in items[1:]:
        if first is None or _axes(at.value) == _axes(first.value) or isinstance(first.value, Indexed):
            continue
        widths = [{w for _, w in core_axes(v)} for v in (first.value, at.value)]
        code = "NX205" if all(widths) and widths[0] != widths[1] else "NX210"
        raise error(
            code,
            f"expected members of one kind, found {a_kind(first.value)} and {a_kind(at.value)}",
            span,
            *blame(first, at),
            hint="[a, b] stacks numbers, or vectors of one width; ones(n) makes a number a vector",
        )


def _require_one_power(items: Sequence[At], span: Span) -> None:
    powers: dict[object, At] = {}
    for at in items:
        value = at.value
        zero = not value.array.any() if isinstance(value, ConstVal) else is_vanishing(_plain(value))
        if not zero:
            powers.setdefault(power_of(value), at)
    if len(powers) > 1:
        first, second = list(powers.values())[:2]
        raise error(
            "NX236",
            f"expected one power of n in an array, found {_power_name(first)} and {_power_name(second)}",
            span,
            *blame(first, second),
            hint="an array has one power of n: bring its members to the same one, or keep them apart",
        )


def _power_name(at: At) -> str:
    power = power_of(at.value)
    return power_text(power) if power else "order 1"


def _plain(value: Surface) -> Value:
    return value.value if isinstance(value, Indexed) else value  # type: ignore[return-value]


def set_members(cx: Context, at: At, index: np.ndarray, new: At, span: Span, *, is_update: bool) -> Surface:
    """at with the entries at flat positions `index` replaced by new, which broadcasts to them; an update is `-=` and the like, not `=`."""
    new = number(new)
    if isinstance(at.value, Operator) or isinstance(new.value, Operator):
        return _set_matrix(cx, at, index, new, span)
    if isinstance(at.value, Indexed) or isinstance(new.value, Indexed) or not _settable(new.value):
        raise error("NX201", f"expected a member of {at.text}, found {a_kind(new.value)}", new.span, *blame(at, new))
    if not fits(shape_of(new.value), index.shape):
        raise error(
            "NX209",
            f"expected a member of shape {shape_text(index.shape) or '[]'}, found {shape_text(shape_of(new.value))}",
            new.span,
            *blame(at, new),
        )
    if isinstance(new.value, ConstVal) and isinstance(at.value, ConstVal):
        _require_one_power([at, new], span)
        array = at.value.array.copy()
        array.reshape(-1)[index] = new.value.array
        return const(array, at.value.power or new.value.power)
    if core_axes(new.value) and core_axes(new.value) != core_axes(at.value):
        raise error(
            "NX201",
            f"expected a member of {a_kind(at.value)}, found {a_kind(new.value)}",
            span,
            *blame(at, new),
            hint="zeros(n, k) starts an array of vectors, zeros(k) one of numbers",
        )
    _require_one_power([at, new], span)
    b = cx.builder
    cx.builder.span = span
    whole = core(cx, at.value), core(cx, new.value)
    (old_value, p), (new_value, q) = (peel(v) for v in whole)
    power = q if is_vanishing(old_value) else p
    if power != q and not is_vanishing(new_value):
        (old_value, new_value), power = whole, Fraction(0)
    spread = b.broadcast(new_value, index.shape)
    size = prod(shape_of(at.value))
    where = np.arange(size)
    where[index.reshape(-1)] = size + np.arange(index.size)
    if core_axes(at.value) and not core_axes(new.value):
        spread = b.mul(spread, cx.constant_vector(core_axes(at.value)[0][1], (), 1.0))
    joined = b.concat([old_value, spread])
    note_assignment(b, joined, is_update=is_update)
    return b.scale(b.gather(joined, where.reshape(shape_of(at.value))), power)


def _settable(value: Surface) -> bool:
    return isinstance(value, ConstVal) or is_core(value)


def _set_matrix(cx: Context, at: At, index: np.ndarray, new: At, span: Span) -> Operator:
    """W[l] = V."""
    old = at.value
    value = new.value
    if is_core(value) and len(value.type.axes) == 2:
        value = operators.outer(cx.builder, value)
    if (
        not isinstance(old, Operator)
        or not isinstance(value, Operator)
        or (old.rows, old.cols) != (value.rows, value.cols)
    ):
        raise error("NX201", f"expected {a_kind(at.value)}, found {a_kind(new.value)}", span, *blame(at, new))
    if not fits(value.shape, index.shape):
        raise error("NX209", f"expected members of shape {shape_text(index.shape)}", span, *blame(at, new))
    updated = operators.rebound(cx.builder, operators.member(cx.builder, old, index), value)  # W[0] = 0.9*W[0] - …
    return operators.set_member(cx.builder, old, index, value if updated is None else updated)
