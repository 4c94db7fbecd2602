"""Averages of functions of pairs (of tuples) of coordinates, block by block.

In: an Avg whose operand extends over several slots, and the stored arrays. Out: the average. Guarantees: beside the result no array is larger
than a block. A factor that is a function of the averaged coordinate alone makes the average a matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from nexortlang.core.program import Avg, Const, Map, Rename, Scale, Value, operands
from nexortlang.entrywise.expression import extract
from nexortlang.finite.arrays import align, apply
from nexortlang.finite.plan import BLOCK, is_stored_type, original
from nexortlang.finite.sizes import Sizes
from nexortlang.jit.entrywise import Engine, evaluate_all


@dataclass(frozen=True, slots=True)
class Stored:
    """What blocks read: arrays by id (vectors: coordinates first; functions of pairs: their slots in order), sizes, and who computes entrywise functions."""

    arrays: Mapping[int, np.ndarray]
    sizes: Sizes
    engine: Engine

    def __contains__(self, v: Value) -> bool:
        return is_stored_type(v.type) or v.id in self.arrays


def average(v: Avg, stored: Stored) -> np.ndarray:
    """The average over v's slots, in float64; v keeps one slot at most."""
    kept = [axis for axis in v.x.type.axes if axis[0] not in v.slots]
    over = [axis for axis in v.x.type.axes if axis[0] in v.slots]
    slots = [slot for slot, _ in (*kept, *over)]
    counts = [stored.sizes.of(width) for _, width in (*kept, *over)]
    factors = _factors(v.x, slots, stored)
    by_row = bool(kept or factors.of_column)
    total = np.zeros((counts[0] if by_row else 1, *v.type.shape))
    finite = max(prod(u.type.shape) for u in _lazy_below(factors.inside, stored))
    for box in _boxes(counts, finite):
        block = Block(stored, slots, dict(zip(slots, box, strict=True)))
        rows = box[0] if by_row else slice(0, 1)
        total[rows] += factors.sum_over(block, by_row, len(v.type.shape))
    for a in factors.of_row:
        array = np.asarray(stored.arrays[original(a).id])
        total *= align(array if a.type.axes else array[None], 1, len(v.type.shape))
    total *= factors.number / prod(counts[len(kept) :])
    return total if kept else np.asarray(total.sum(axis=0))


def pair_array(v: Value, stored: Stored, dtype: np.dtype[np.floating]) -> np.ndarray:
    """A function of pairs on all of them, to be stored."""
    out = np.empty(stored.sizes.shape(v.type), dtype)
    finite = max(prod(u.type.shape) for u in _lazy_below(v, stored))
    for box in _boxes(list(out.shape[:2]), finite):
        out[box] = Block(stored, v.type.slots, dict(zip(v.type.slots, box, strict=True))).compute(v)
    return out


def _boxes(counts: Sequence[int], finite: int) -> Iterator[tuple[slice, ...]]:
    """Boxes of indices that fit a block: the last axes whole, as far as they fit."""
    room = max(1, BLOCK // max(1, finite))
    steps: list[int] = []
    for count in reversed(counts):
        steps.append(max(1, min(count, room)))
        room //= steps[-1]
    ranges = [
        [slice(a, min(a + step, count)) for a in range(0, count, step)]
        for count, step in zip(counts, reversed(steps), strict=True)
    ]
    yield from product(*ranges)


def _lazy_below(v: Value, stored: Stored) -> list[Value]:
    """v and the lazy values that it is evaluated from."""
    found = {v.id: v}
    pending = [v]
    while pending:
        for a in operands(pending.pop()):
            if a not in stored and a.id not in found:
                found[a.id] = a
                pending.append(a)
    return list(found.values())


# ---------------------------------------------------------------------------- products


@dataclass(frozen=True, slots=True)
class _Product:
    """number · of_row · inside · of_column: what is averaged. With factors of the column, inside has one finite entry and only two slots vary."""

    number: float
    inside: Value
    of_row: tuple[Value, ...]
    of_column: tuple[Value, ...]

    def sum_over(self, block: Block, by_row: bool, rank: int) -> np.ndarray:
        """The sum over the block, of a row each or (1, …) of all; finite axes as they broadcast. With factors of the column, of a row each."""
        values = block.compute(self.inside)
        if self.of_column:
            weights = [align(block.take(a, block.slots[1])[0], 1, rank) for a in self.of_column]
            weight = np.broadcast_to(
                prod(weights), (values.shape[1], *np.broadcast_shapes(*(w.shape[1:] for w in weights)))
            )
            flat = values.reshape(values.shape[:2]) @ np.ascontiguousarray(weight).reshape(values.shape[1], -1)
            return np.asarray(flat.reshape(len(flat), *weight.shape[1:]))
        values = np.broadcast_to(values, (*block.lengths(), *values.shape[len(block.slots) :]))
        axes = tuple(range(1 if by_row else 0, len(block.slots)))
        total = values.sum(axis=axes, dtype=float)
        return align(total if by_row else total[None], 1, rank)


def _factors(x: Value, slots: Sequence[int], stored: Stored) -> _Product:
    """x as a product, where it helps: a function of two slots, of which the last is averaged."""
    whole = _Product(1.0, x, (), ())
    if len(slots) != 2 or x in stored:
        return whole
    number = 1.0
    inside: list[Value] = []
    of_row: list[Value] = []
    of_column: list[Value] = []
    pending = [x]
    while pending:
        v = pending.pop()
        if is_stored_type(v.type):
            (of_column if slots[1] in v.type.slots else of_row).append(v)
        elif isinstance(v, Map) and v.op == "mul" and v not in stored:
            pending.extend(v.args)
        elif isinstance(v, Map) and v.op == "neg" and v not in stored:
            number = -number
            pending.extend(v.args)
        elif isinstance(v, Scale) and v not in stored:
            number *= float(stored.sizes.n) ** float(v.exponent)
            pending.append(v.x)
        else:
            inside.append(v)
    if len(inside) != 1 or not of_column or prod(inside[0].type.shape) != 1:
        return whole
    return _Product(number, inside[0], tuple(of_row), tuple(of_column))


# ---------------------------------------------------------------------------- blocks

_Node: TypeAlias = "tuple[Value | float, tuple[tuple[int, int], ...]]"
"""A number, or a value and what its slots stand for on the block."""


class Block:
    """Evaluates lazy values on one box of indices, each once. Arrays have an axis for each of `slots`, of length 1 where a value does not vary."""

    def __init__(self, stored: Stored, slots: Sequence[int], box: Mapping[int, slice]) -> None:
        self.slots = tuple(slots)
        self._stored = stored
        self._box = dict(box)
        self._known: dict[tuple[int, tuple[tuple[int, int], ...]], np.ndarray] = {}

    def lengths(self) -> tuple[int, ...]:
        return tuple(self._box[s].stop - self._box[s].start for s in self.slots)

    def compute(self, v: Value) -> np.ndarray:
        """v on its own slots."""
        return self._value(v, tuple((s, s) for s in v.type.slots))

    def take(self, v: Value, slot: int) -> np.ndarray:
        """A vector on a slot of the block; scalars have length 1 everywhere."""
        array = np.asarray(self._stored.arrays[original(v).id])
        if not v.type.axes:
            return array.reshape(*(1,) * len(self.slots), *array.shape)
        part = array[self._box[slot]]
        return part.reshape(*(len(part) if s == slot else 1 for s in self.slots), *part.shape[1:])

    def _value(self, v: Value, at: tuple[tuple[int, int], ...]) -> np.ndarray:
        key = (v.id, at)
        if key not in self._known:
            self._known[key] = self._evaluate(v, dict(at))
        return self._known[key]

    def _evaluate(self, v: Value, at: dict[int, int]) -> np.ndarray:
        if is_stored_type(v.type):
            return self.take(v, next(iter(at.values()), -1))
        if v.id in self._stored.arrays:
            return self._take_pairs(v, at)
        match v:
            case Rename(x=x, slots=slots):
                return self._value(x, tuple((old, at[new]) for old, new in slots))
            case Avg():
                return self._inner_average(v, at)
            case Map() | Scale():
                return self._entrywise(v, at)
        arrays = [self._value(a, tuple((s, at[s]) for s in a.type.slots)) for a in operands(v)]
        return apply(v, arrays, len(self.slots), self._stored.sizes.n)

    def _take_pairs(self, v: Value, at: dict[int, int]) -> np.ndarray:
        first, second = (at[s] for s in v.type.slots)
        part = np.asarray(self._stored.arrays[v.id])[self._box[first], self._box[second]]
        if self.slots.index(first) > self.slots.index(second):
            part = part.swapaxes(0, 1)
        sizes = iter(part.shape)
        lead = [next(sizes) if s in (first, second) else 1 for s in self.slots]
        return part.reshape(*lead, *part.shape[2:])

    def _entrywise(self, v: Value, at: dict[int, int]) -> np.ndarray:
        """A Map, in one pass together with the Maps that it is made of."""
        start: list[_Node] = [(v, tuple(at.items()))]
        root, leaves = extract(start, self._view)
        arrays = [self._value(a, where) for a, where in leaves if not isinstance(a, float)]
        arrays = [align(a, len(self.slots), len(v.type.shape)) for a in arrays]
        return np.asarray(evaluate_all(root, arrays, self._stored.engine)[0])

    def _view(self, node: _Node) -> float | tuple[str, list[_Node]] | None:
        value, where = node
        if isinstance(value, float):
            return value
        if isinstance(value, Const) and not value.type.shape and float(value.array).is_integer():
            return float(value.array)
        if value in self._stored:
            return None
        at = dict(where)
        match value:
            case Map(op=op, args=args):
                return op, [self._node(a, at) for a in args]
            case Scale(x=x, exponent=exponent):
                return "mul", [self._node(x, at), (float(self._stored.sizes.n) ** float(exponent), ())]
        return None

    def _node(self, v: Value, at: dict[int, int]) -> _Node:
        """An operand, or what it is another name for."""
        where = tuple((s, at[s]) for s in v.type.slots)
        if isinstance(v, Rename) and v not in self._stored:
            seen = dict(where)
            return self._node(v.x, {old: seen[new] for old, new in v.slots})
        return v, where

    def _inner_average(self, v: Avg, at: dict[int, int]) -> np.ndarray:
        """An average that is itself a function of several coordinates: over boxes of the further ones."""
        widths = dict(v.x.type.axes)
        fresh = {s: 1 + max(self.slots) + k for k, s in enumerate(v.slots)}
        counts = [self._stored.sizes.of(widths[s]) for s in v.slots]
        where = tuple((s, fresh[s] if s in fresh else at[s]) for s in v.x.type.slots)
        room = prod(self.lengths()) * max(prod(u.type.shape) for u in _lazy_below(v.x, self._stored))
        lead = len(self.slots)
        total: np.ndarray | float = 0.0
        for box in _boxes(counts, room):
            ranges = self._box | dict(zip(fresh.values(), box, strict=True))
            values = Block(self._stored, (*self.slots, *fresh.values()), ranges)._value(v.x, where)
            whole = (*values.shape[:lead], *(s.stop - s.start for s in box), *values.shape[lead + len(box) :])
            inner = tuple(range(lead, lead + len(box)))
            total = total + np.broadcast_to(values, whole).sum(axis=inner, dtype=float)
        return np.asarray(total / prod(counts))
