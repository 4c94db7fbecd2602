"""OuterNonlin on particles: averages of functions of pairs and tuples of particles, without ever storing such a function whole.

In: an Avg whose operand extends over several slots, and the systems that stand for independent copies. Out: the average as a stored value.
Guarantees: each slot of one width is taken from another system, so copies are independent, exactly. Pairs are all used, or all
within groups of particles where the plan says that this is enough (`plan.GROUP`); of longer tuples as many as there are pairs.

Copies within one system are no good: points that are spread evenly repel each other. A mean of |x_i − x_j| over i ≠ j is then too large by nearly 1/N of
itself, ten standard errors where the points are good, and with i = j it is too small where they are not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from math import prod
from typing import Protocol, TypeAlias

import numpy as np

from nexortlang.core.program import Avg, Const, Map, Rename, Value, Width, operands
from nexortlang.entrywise.expression import Expression, extract
from nexortlang.jit.entrywise import Engine, evaluate_all, evaluate_into
from nexortlang.kets.particles.apply import align, apply
from nexortlang.kets.particles.plan import is_dense, vanishes

BLOCK = 1 << 19
"""Numbers in one array of a block: enough that starting on it costs nothing, 4 MB."""

PAIR_BLOCK = 1 << 16
"""The same where several arrays are read and written in one pass: a few of them stay in the cache."""


class Copy(Protocol):
    """A system, as far as averages need it. `engine` computes entrywise functions."""

    engine: Engine

    def fetch(self, v: Value) -> np.ndarray:
        """The stored array of a value."""
        ...

    def holds(self, v: Value) -> bool:
        """Whether a function of pairs is stored: (groups, group, group, *shape), its second slot's particles the next system's if of the same width."""
        ...


def average(
    v: Avg, copies: Sequence[Copy], count: int, group: int, nested: bool, rng: np.random.Generator
) -> np.ndarray:
    """The average over slots, as (N, *shape) or, of all slots, (1, *shape). What v keeps, and scalars, are the first system's.

    `group`: how many particles meet each other in pairs. `nested` says that averages stand inside which are themselves functions of several particles.
    """
    if len(v.x.type.slots) == 2 and not nested:
        return _pairs(v, copies, count, group)
    return _tuples(v, copies, count, rng)


def owners(axes: Sequence[tuple[int, Width]]) -> dict[int, int]:
    """Which system each slot is taken from: the next one for each further slot of a width."""
    taken: dict[Width, int] = {}
    owner = {}
    for slot, width in axes:
        owner[slot] = taken.get(width, 0)
        taken[width] = owner[slot] + 1
    return owner


def _kept_first(v: Avg) -> list[tuple[int, Width]]:
    """The axes of what is averaged, those that stay in front."""
    return sorted(v.x.type.axes, key=lambda axis: axis[0] in v.slots)


def pair_arrays(vs: Sequence[Value], copies: Sequence[Copy], arrays: Sequence[np.ndarray]) -> None:
    """Functions of pairs of one type on all pairs of each group, written to the arrays (groups, group, group, *shape), to be stored."""
    first, second = vs[0].type.slots
    owner = owners(vs[0].type.axes)
    groups, group = arrays[0].shape[:2]
    roots, leaves = _fused([(v, ((first, first), (second, second))) for v in vs], copies[0])
    for here in _blocks(groups, group, group * prod(vs[0].type.shape), PAIR_BLOCK):
        evaluation = GridEvaluation(copies, owner, first, second, group, here)
        inputs = evaluation.leaves(leaves, len(vs[0].type.shape))
        evaluate_into(roots, inputs, [array[here] for array in arrays], copies[0].engine)


def _pairs(v: Avg, copies: Sequence[Copy], count: int, group: int) -> np.ndarray:
    """Row means of particles × particles arrays, one for each group, a block of rows at a time. Factors that are functions of one particle are taken out first."""
    axes = _kept_first(v)
    owner = owners(axes)
    (row, _), (column, _) = axes
    inside, of_row, of_column = _factors(v.x, column, copies[0])
    rank = len(v.type.shape)
    weights = [align(copies[owner[column]].fetch(a), 1, rank) for a in of_column]
    weight = np.broadcast_to(math.prod(weights), (count, *np.broadcast_shapes(*(w.shape[1:] for w in weights))))
    flat = np.ascontiguousarray(weight.reshape(count // group, group, -1))
    parts = []
    whole = copies[0].holds(inside)
    for here in _blocks(count // group, group, 1 if whole else group * prod(inside.type.shape)):
        values = GridEvaluation(copies, owner, row, column, group, here).value(inside, {})
        lead = *(part.stop - part.start for part in here), group
        values = np.broadcast_to(values, (*lead, *inside.type.shape))
        if of_column:
            means = (values.reshape(lead) @ flat[here[0]] / group).reshape(-1, *weight.shape[1:])
        else:
            means = align(values.mean(axis=2).reshape(-1, *inside.type.shape), 1, rank)
        parts.append(means)
    outside = [align(copies[0].fetch(a), 1, rank) for a in of_row]
    rows = np.asarray(math.prod(outside, start=np.concatenate(parts)))
    return rows if len(v.slots) == 1 else rows.mean(axis=0, keepdims=True)


def _factors(x: Value, column: int, stored: Copy) -> tuple[Value, list[Value], list[Value]]:
    """x as a product: a function of pairs, functions of the row's particle (and scalars), functions of the column's.

    The latter only where they make a matrix product: the function of pairs has one finite entry.
    """
    inside: list[Value] = []
    of_row: list[Value] = []
    of_column: list[Value] = []
    stack = [x]
    while stack:
        v = stack.pop()
        if is_dense(v.type):
            (of_column if column in v.type.slots else of_row).append(v)
        elif isinstance(v, Map) and v.op == "mul" and not stored.holds(v):
            stack.extend(v.args)
        else:
            inside.append(v)
    if len(inside) != 1 or (of_column and prod(inside[0].type.shape) != 1):
        return x, [], []
    return inside[0], of_row, of_column


_Part: TypeAlias = tuple[slice, slice]
"""Some groups, and some rows of each."""


def _blocks(groups: int, group: int, row_size: int, block: int = BLOCK) -> Iterator[_Part]:
    """Stretches of groups, or of rows of one group, that fit a block."""
    rows = max(1, block // max(1, row_size))
    step = max(1, rows // group)
    for first in range(0, groups, step):
        for start in range(0, group, rows):
            yield slice(first, min(groups, first + step)), slice(start, min(group, start + rows))


_Node: TypeAlias = tuple[Value | None, tuple[tuple[int, int], ...]]
"""A value and what its slots stand for on the block; None is 0."""


def _looking_through(v: Value, slots: dict[int, int]) -> _Node:
    """v as a node, or what it is another name for."""
    while isinstance(v, Rename) and not is_dense(v.type):
        slots = {old: slots.get(new, new) for old, new in v.slots}
        v = v.x
    return v, tuple((s, slots.get(s, s)) for s in v.type.slots)


def _fused(nodes: Sequence[_Node], stored: Copy) -> tuple[tuple[Expression, ...], tuple[_Node, ...]]:
    """The nodes as expressions of what is stored and of what is no Map, and these leaves."""

    def view(node: _Node) -> float | tuple[str, list[_Node]] | None:
        value, at = node
        if value is None:
            return 0.0
        if isinstance(value, Const) and not value.type.shape and float(value.array).is_integer():
            return float(value.array)
        if not isinstance(value, Map) or is_dense(value.type) or (node not in nodes and stored.holds(value)):
            return None
        inside = dict(at)
        return value.op, [(None, ()) if vanishes(value, a) else _looking_through(a, inside) for a in operands(value)]

    return extract(nodes, view)


class Evaluation(ABC):
    """Evaluates lazy values on one block, each once. What is stored is taken by `_take` and `_take_pairs`."""

    def __init__(self, copies: Sequence[Copy], owner: dict[int, int], lead: int) -> None:
        self._copies = copies
        self._owner = owner
        self._lead = lead
        self._known: dict[tuple[int, tuple[tuple[int, int], ...]], np.ndarray] = {}

    def value(self, v: Value, slots: dict[int, int]) -> np.ndarray:
        """v on this block; `slots` says which of the block's slots v's own stand for, where that is another."""
        seen_as = tuple((s, slots.get(s, s)) for s in v.type.slots)
        found = self._known.get((v.id, seen_as))
        if found is None:
            found = self._known[v.id, seen_as] = self._evaluate(v, dict(seen_as))
        return found

    def _evaluate(self, v: Value, slots: dict[int, int]) -> np.ndarray:
        if not v.type.axes:
            return self._scalar(self._copies[0].fetch(v))
        if is_dense(v.type):
            (slot,) = slots.values()
            return self._take(self._copies[self._owner[slot]].fetch(v), slot)
        if isinstance(v, Rename):
            return self.value(v.x, {old: slots[new] for old, new in v.slots})
        if isinstance(v, Avg):
            return self._inner_average(v, slots)
        if self._copies[0].holds(v):
            (first, width), (second, other) = v.type.axes
            holder = self._owner[slots[first]]
            if (holder + (width == other)) % len(self._copies) == self._owner[slots[second]]:
                return self._take_pairs(self._copies[holder].fetch(v), slots[first], slots[second])
        if isinstance(v, Map):
            return self._entrywise(v, slots)
        args = [None if vanishes(v, a) else self.value(a, slots) for a in operands(v)]
        return apply(v, args, self._lead)

    def _entrywise(self, v: Map, slots: dict[int, int]) -> np.ndarray:
        """A Map, in one pass together with the Maps that it is made of."""
        root, leaves = _fused([(v, tuple(slots.items()))], self._copies[0])
        return np.asarray(evaluate_all(root, self.leaves(leaves, len(v.type.shape)), self._copies[0].engine)[0])

    def leaves(self, leaves: Sequence[_Node], rank: int) -> list[np.ndarray]:
        """The arrays of leaves, for functions with so many finite axes."""
        return [align(self.value(a, dict(at)), self._lead, rank) for a, at in leaves if a is not None]

    def _scalar(self, array: np.ndarray) -> np.ndarray:
        return array

    @abstractmethod
    def _take(self, array: np.ndarray, slot: int) -> np.ndarray:
        """The rows of an array that one slot stands for."""

    @abstractmethod
    def _take_pairs(self, array: np.ndarray, first: int, second: int) -> np.ndarray:
        """The entries of a stored function of pairs for two slots."""

    def _inner_average(self, v: Avg, slots: dict[int, int]) -> np.ndarray:
        """An average inside the function that is averaged."""
        raise AssertionError("averages inside others are taken over tuples, not over grids")


class GridEvaluation(Evaluation):
    """On pairs of particles of one group, in several groups: some of the row's slot with all of the column's."""

    def __init__(
        self, copies: Sequence[Copy], owner: dict[int, int], row: int, column: int, group: int, here: _Part
    ) -> None:
        super().__init__(copies, owner, lead=3)
        self._row = row
        self._column = column
        self._group = group
        self._groups, self._rows = here

    def _scalar(self, array: np.ndarray) -> np.ndarray:
        return array[None, None]

    def _take(self, array: np.ndarray, slot: int) -> np.ndarray:
        grouped = array.reshape(-1, self._group, *array.shape[1:])[self._groups]
        return grouped[:, self._rows, None] if slot == self._row else grouped[:, None]

    def _take_pairs(self, array: np.ndarray, first: int, second: int) -> np.ndarray:
        return (
            array[self._groups, self._rows] if first == self._row else array[self._groups, :, self._rows].swapaxes(1, 2)
        )


class TupleEvaluation(Evaluation):
    """On tuples of particles: `axes` has every slot with its width, `indices` the particle that each tuple has there."""

    def __init__(
        self,
        copies: Sequence[Copy],
        axes: Sequence[tuple[int, Width]],
        indices: dict[int, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(copies, owners(axes), lead=1)
        self._axes = axes
        self._indices = indices
        self._rng = rng
        self._count = 1 + int(max(i.max() for i in indices.values()))

    def _take(self, array: np.ndarray, slot: int) -> np.ndarray:
        return array[self._indices[slot]]

    def _take_pairs(self, array: np.ndarray, first: int, second: int) -> np.ndarray:
        (whole,) = array  # tuples are met only where all particles are one group
        return whole[self._indices[first], self._indices[second]]

    def _inner_average(self, v: Avg, slots: dict[int, int]) -> np.ndarray:
        """An average that depends on several outer slots: for each tuple over √N fresh particles."""
        widths = dict(v.x.type.axes)
        fresh = {s: 1 + max(self._owner) + k for k, s in enumerate(v.slots)}
        axes = [*self._axes, *((new, widths[s]) for s, new in fresh.items())]
        tuples = len(next(iter(self._indices.values())))
        rounds = max(4, int(self._count**0.5))
        total: np.ndarray | float = 0.0
        for _ in range(rounds):
            indices = self._indices | {new: self._rng.permutation(tuples) % self._count for new in fresh.values()}
            total = total + TupleEvaluation(self._copies, axes, indices, self._rng).value(v.x, slots | fresh)
        return np.asarray(total / rounds)


def _tuples(v: Avg, copies: Sequence[Copy], count: int, rng: np.random.Generator) -> np.ndarray:
    """An incomplete sum: N rounds of N tuples, several rounds at a time. Each further slot meets the first one in all pairs."""
    axes = _kept_first(v)
    first, *others = (slot for slot, _ in axes)
    places = [rng.permutation(count) for _ in others]
    distances = [rng.permutation(count) for _ in others]
    block = max(1, min(count, BLOCK // (count * max(1, prod(v.x.type.shape)))))
    here = np.arange(count)
    total: np.ndarray | float = 0.0
    for start in range(0, count, block):
        indices = {first: np.tile(here, min(block, count - start))}
        for slot, place, distance in zip(others, places, distances, strict=True):
            indices[slot] = place[(here + distance[start : start + block, None]) % count].reshape(-1)
        values = TupleEvaluation(copies, axes, indices, rng).value(v.x, {})
        values = np.broadcast_to(values, (indices[first].size, *v.x.type.shape))
        total = total + values.reshape(-1, count, *v.x.type.shape).sum(axis=0)
    rows = np.asarray(total) / count
    return rows if len(axes) > len(v.slots) else rows.mean(axis=0, keepdims=True)
