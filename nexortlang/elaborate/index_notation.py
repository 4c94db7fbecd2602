"""Index notation: y[i] = avg[j](tanh(x[i] * z[j]) * x[j]).

An index is a name without other meaning, bound on the left side or by avg[…]; it becomes a slot of the core, numbered from 0 in the order
of binding. Inside, values are `Indexed`, so that a vector without its index is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nexortlang.core.program import Value
from nexortlang.elaborate import matrices, operators
from nexortlang.elaborate.arithmetic import core, peel
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.subscripts import matrix_entry
from nexortlang.elaborate.values import At, ConstVal, Indexed, Surface, is_core
from nexortlang.source import Span
from nexortlang.syntax import ast

Items = Sequence[ast.Expr | ast.Slice]


def is_free(cx: Context, item: ast.Expr | ast.Slice) -> bool:
    """Whether a subscript's item is a name without other meaning: an index, bound or not."""
    if not isinstance(item, ast.Name) or item.id in ("None", "..."):
        return False
    return item.id in cx.frame.indices or not cx.is_bound(item.id)


def starts_with_index(cx: Context, items: Items) -> bool:
    return bool(items) and is_free(cx, items[0])


def leading_indices(cx: Context, items: Items) -> list[ast.Name]:
    names: list[ast.Name] = []
    for item in items:
        if not isinstance(item, ast.Name) or not is_free(cx, item):
            break
        names.append(item)
    return names


@contextmanager
def bound(cx: Context, names: Sequence[ast.Name]) -> Iterator[list[int]]:
    """The names as indices, each with the next free slot, until the end of the block."""
    frame = cx.frame
    slots: list[int] = []
    fresh: list[str] = []
    try:
        for name in names:
            if name.id in frame.indices:
                raise error("NX105", f"the index {name.id} is bound already", name.span, hint="use another name")
            slot = next(k for k in range(len(cx.active_slots) + 1) if k not in cx.active_slots)
            frame.indices[name.id] = slot
            cx.active_slots.add(slot)
            slots.append(slot)
            fresh.append(name.id)
        yield slots
    finally:
        for name_id, slot in zip(fresh, slots, strict=True):
            del frame.indices[name_id]
            cx.active_slots.discard(slot)


def read(cx: Context, at: At, items: Items, span: Span) -> tuple[Surface, int]:
    """x[i] or G[i, j]: the value over its indices, and how many items of the subscript that took."""
    value = at.value
    if isinstance(value, Operator):
        if not value.is_outer:
            names = leading_indices(cx, items)
            if len(names) == 1 and names[0].id not in cx.frame.indices:
                raise cx.unknown_name(names[0])
            raise matrix_entry(at, span)
        value = operators.entries(cx.builder, value)
    if not is_core(value) or value.type.is_scalar:
        raise _no_width(cx, at, items, span)
    v = core(cx, value)
    wanted = len(v.type.axes)
    names = leading_indices(cx, items)[:wanted]
    if len(names) < wanted:
        raise error(
            "NX211",
            f"expected {wanted} indices on {at.text}, found {len(names)}",
            span,
            *blame(at),
            hint="an outer product has two: G[i, j]",
        )
    for name in names:
        if name.id not in cx.frame.indices:
            raise error(
                "NX102",
                f"the index {name.id} is not bound",
                name.span,
                *blame(at)[1:],
                hint=f"bind it on the left side, y[{name.id}] = …, or average over it, avg[{name.id}](…)",
            )
    slots = [cx.frame.indices[name.id] for name in names]
    if len(set(slots)) < len(slots):
        raise error(
            "NX210",
            f"expected two different indices on {at.text}, found {names[0].id} twice",
            span,
            *blame(at),
            hint="the diagonal of an outer product is written with its factors, x[i] * y[i]",
        )
    x, p = peel(v)
    renamed = cx.builder.rename(x, dict(zip(v.type.slots, slots, strict=True)))
    indexed = Indexed(cx.builder.scale(renamed, p), {s: name.id for s, name in zip(slots, names, strict=True)})
    return indexed, wanted


def _no_width(cx: Context, at: At, items: Items, span: Span) -> Exception:
    name = items[0]
    if not isinstance(name, ast.Name):
        raise AssertionError("an index is a name")
    if name.id in cx.frame.indices:
        return error(
            "NX103",
            f"the index {name.id} ranges over a width, and {at.text} is {a_kind(at.value)}",
            span,
            *blame(at)[1:],
            hint="only vectors and outer products carry an index",
        )
    return cx.unknown_name(name)


def average_over(cx: Context, call: ast.Call, function: ast.Subscript, evaluate: Callable[[ast.Expr], At]) -> Surface:
    """avg[i, j](e)"""
    cx.require_entrywise("an average", call.span)
    names = leading_indices(cx, function.items)
    if len(names) < len(function.items):
        wrong = function.items[len(names)]
        raise error(
            "NX105" if isinstance(wrong, ast.Name) else "NX201",
            "expected index names in avg[…], names without another meaning",
            wrong.span,
            hint="avg[i, j](…)",
        )
    if len(call.args) != 1 or call.keywords:
        raise error("NX110", "expected one expression in avg[…](…)", call.span)
    with bound(cx, names) as slots:
        at = evaluate(call.args[0])
        v = _carried(cx, at, dict(zip(slots, names, strict=True)))
    cx.builder.span = call.span
    result = matrices.average(cx, v, slots)
    left = {s: name for s, name in _names(at.value).items() if s not in slots}
    return Indexed(result, left) if left else result


def _names(value: Surface) -> dict[int, str]:
    return value.names if isinstance(value, Indexed) else {}


def _carried(cx: Context, at: At, wanted: dict[int, ast.Name]) -> Value:
    """The core value of an indexed expression, which carries every wanted index."""
    if not isinstance(at.value, (Indexed, ConstVal)) and not (is_core(at.value) and at.value.type.is_scalar):
        raise error(
            "NX201",
            f"expected an expression in the indices, found {a_kind(at.value)}",
            at.span,
            *blame(at)[1:],
            hint="in index notation every vector carries an index: x[i]",
        )
    v = core(cx, at.value)
    for slot, name in wanted.items():
        if slot not in v.type.slots:
            raise error(
                "NX103",
                f"no vector carries the index {name.id}, so it ranges over nothing",
                name.span,
                hint=f"write {name.id} on a vector: x[{name.id}]",
            )
    return v


def define(cx: Context, names: Sequence[ast.Name], expr: ast.Expr, evaluate: Callable[[ast.Expr], At]) -> At:
    """The right side of y[i] = … or G[i, j] = …: a vector or an outer product."""
    if len(names) > 2:
        raise error(
            "NX211",
            f"expected one or two indices on the left side, found {len(names)}",
            names[2].span,
            hint="one index makes a vector, two an outer product",
        )
    with bound(cx, names) as slots:
        at = evaluate(expr)
        v = _carried(cx, at, dict(zip(slots, names, strict=True)))
    if set(v.type.slots) != set(slots):
        other = next(name for slot, name in _names(at.value).items() if slot not in slots)
        raise error("NX102", f"the index {other} is not bound on this left side", expr.span)
    x, p = peel(v)
    renamed = cx.builder.rename(x, {slot: k for k, slot in enumerate(slots)})
    return At(cx.builder.scale(renamed, p), expr.span)
