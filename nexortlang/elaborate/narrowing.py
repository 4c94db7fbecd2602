"""Members of outer values, taken before anything is computed.

In: a value over several slots and flat positions of finite entries. Out: an equal value to Gather(value, index) that computes only the
entries asked for: the Gather is pushed through entrywise functions, sums and stacks to where the entries are put together. So
the update of a family of weights, applied to one member, costs one member, and keeps its products apart.
"""

from __future__ import annotations

import string
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Concat, Einsum, Gather, Map, Reduce, Rename, Scale, Value

Request = tuple[Value, np.ndarray]


def narrowed(b: Builder, x: Value, index: np.ndarray) -> Value:
    """x.flat[index] over finite entries."""
    memo: dict[tuple[object, ...], Value] = b.memo["narrowed"]
    pending: list[Request] = [(x, np.asarray(index, dtype=np.intp))]
    while pending:
        v, where = pending[-1]
        if _key(v, where) in memo:
            pending.pop()
            continue
        parts = _parts(v, where)
        missing = [p for p in parts if _key(*p) not in memo]
        if missing:
            pending.extend(missing)
        else:
            memo[_key(v, where)] = _as_constant_as(b, v, where, [memo[_key(*p)] for p in parts])
    return memo[_key(x, np.asarray(index, dtype=np.intp))]


def _key(v: Value, index: np.ndarray) -> tuple[object, ...]:
    return (v.id, index.shape, index.tobytes())


def _parts(v: Value, index: np.ndarray) -> list[Request]:
    """The entries of operands that make up v.flat[index]; [] to gather from v itself."""
    if len(v.type.slots) < 2 or index.size >= prod(v.type.shape):
        return []
    match v:
        case Map(op="stop"):  # a gradient that is kept whole (elaborate.trace)
            return []
        case Map(args=args):
            return [(a, _broadcast_entries(a, v)[index] if a.type.shape else np.arange(1).reshape(())) for a in args]
        case Scale(x=x) | Rename(x=x):
            return [(x, index)]
        case Gather(x=x):
            return [(x, v.index.reshape(-1)[index])]
        case Reduce(op="sum", x=x, axis=axis):
            entries = np.arange(prod(x.type.shape)).reshape(x.type.shape)
            return [(x, np.moveaxis(entries, axis, -1).reshape(-1, x.type.shape[axis])[index])]
        case Einsum(x=x, y=y):
            inputs, out = v.spec.split("->")
            return [(a, _einsum_entries(a, s, out, v, index)) for a, s in zip((x, y), inputs.split(","), strict=True)]
        case Concat(args=args):
            ends = np.cumsum([prod(a.type.shape) for a in args])
            first = int(np.searchsorted(ends, index.min(), side="right"))
            start = int(ends[first]) - prod(args[first].type.shape)
            return [(args[first], index - start)] if index.max() < ends[first] else []
        case _:
            return []


def _as_constant_as(b: Builder, v: Value, index: np.ndarray, parts: list[Value]) -> Value:
    """v.flat[index], a constant for gradients if v is one: a gradient is, though made of values that are not."""
    if not b.is_of_constants(v):
        return _rebuilt(b, v, index, parts)
    with b.constants():
        found = _rebuilt(b, v, index, parts)
    return found if b.is_of_constants(found) else b.map("stop", found)


def _rebuilt(b: Builder, v: Value, index: np.ndarray, parts: list[Value]) -> Value:
    if not parts and isinstance(v, Scale):  # powers of n stay outermost
        return b.scale(b.gather(v.x, index), v.exponent)
    if not parts:
        return b.gather(v, index)
    match v:
        case Map(op=op):
            return b.map(op, *parts)
        case Scale(exponent=exponent):
            return b.scale(parts[0], exponent)
        case Rename(slots=slots):
            return b.rename(parts[0], dict(slots))
        case Reduce():
            return b.reduce("sum", parts[0], index.ndim)
        case Einsum(spec=spec):
            inputs, out = spec.split("->")
            places = "".join(c for c in string.ascii_letters if c not in spec)[: index.ndim]
            left, right = (places + "".join(c for c in letters if c not in out) for letters in inputs.split(","))
            return b.einsum(f"{left},{right}->{places}", *parts)
        case _:
            return parts[0]


def _broadcast_entries(a: Value, v: Value) -> np.ndarray:
    """For each entry of v (flat), the entry of its operand a that it reads."""
    entries = np.arange(prod(a.type.shape)).reshape(a.type.shape)
    return np.broadcast_to(entries, v.type.shape).reshape(-1)


def _einsum_entries(a: Value, letters: str, out: str, v: Value, index: np.ndarray) -> np.ndarray:
    """The entries of an einsum's operand for each asked entry (leading axes) and each contracted letter (trailing axes, in order)."""
    coordinates = dict(zip(out, np.unravel_index(index, v.type.shape), strict=True)) if out else {}
    free = [(letter, size) for letter, size in zip(letters, a.type.shape, strict=True) if letter not in out]
    result = np.zeros(index.shape + tuple(size for _, size in free), dtype=np.intp)
    for letter, size in zip(letters, a.type.shape, strict=True):
        if letter in out:
            here = coordinates[letter].reshape(index.shape + (1,) * len(free))
        else:
            axis = next(k for k, (other, _) in enumerate(free) if other == letter)
            here = np.arange(size).reshape((-1,) + (1,) * (len(free) - axis - 1))
        result = result * size + here
    return result
