"""OuterNonlin on particles: averages of functions of pairs and tuples of particles, without ever storing such a function whole.

In: an Avg whose operand extends over several slots, and the systems that stand for independent copies. Out: the average as a stored value.
Guarantees: each slot of one width is taken from another system, so copies are independent, exactly. Pairs are all used; of
longer tuples as many as there are pairs.

Copies within one system are no good: points that are spread evenly repel each other. A mean of |x_i − x_j| over i ≠ j is then too large by nearly 1/N of
itself, ten standard errors where the points are good, and with i = j it is too small where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Protocol

import numpy as np

from nexortlang.core.program import Avg, Rename, Value, Width, operands
from nexortlang.kets.particles_apply import apply
from nexortlang.kets.particles_plan import has_inner_average, is_dense, vanishes

BLOCK = 1 << 17
"""Numbers in one array of a block: a few such arrays fit the cache of one core."""

Leaf = Callable[[Value, int | None], np.ndarray]
"""A stored value on a block; the slot (None for scalars) says whose particles, and along which axis."""


class Copy(Protocol):
    """A system, as far as averages need it."""

    def fetch(self, v: Value) -> np.ndarray:
        """The stored array of a value."""
        ...


def average(v: Avg, copies: Sequence[Copy], count: int, rng: np.random.Generator) -> np.ndarray:
    """The average over slots, as (N, *shape) or, of all slots, (1, *shape). What v keeps, and scalars, are the first system's."""
    if len(v.x.type.slots) == 2 and not has_inner_average(v.x):
        return _all_pairs(v, copies, count)
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


def _all_pairs(v: Avg, copies: Sequence[Copy], count: int) -> np.ndarray:
    """Sums over the rows of a particles × particles array, a block of rows at a time."""
    axes = _kept_first(v)
    owner = owners(axes)
    row = axes[0][0]
    block = max(1, min(count, BLOCK // (count * max(1, prod(v.x.type.shape)))))
    parts = []
    for start in range(0, count, block):
        here = slice(start, min(count, start + block))

        def leaf(a: Value, slot: int | None, here: slice = here) -> np.ndarray:
            array = copies[owner[slot] if slot is not None else 0].fetch(a)
            return array[here, None] if slot == row else array[None]

        values = Evaluation(leaf, lead=2).value(v.x, {})
        values = np.broadcast_to(values, (here.stop - here.start, count, *v.x.type.shape))
        parts.append(values.mean(axis=1))
    rows = np.concatenate(parts)
    return rows if len(v.slots) == 1 else rows.mean(axis=0, keepdims=True)


class Evaluation:
    """Evaluates lazy values on one block, each once."""

    def __init__(self, leaf: Leaf, lead: int) -> None:
        self._leaf = leaf
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
        if is_dense(v.type):
            return self._leaf(v, slots[v.type.slots[0]] if v.type.axes else None)
        if isinstance(v, Rename):
            return self.value(v.x, {old: slots[new] for old, new in v.slots})
        if isinstance(v, Avg):
            return self._inner_average(v, slots)
        args = [None if vanishes(v, a) else self.value(a, slots) for a in operands(v)]
        return apply(v, args, self._lead)

    def _inner_average(self, v: Avg, slots: dict[int, int]) -> np.ndarray:
        raise AssertionError("an average inside a grid of pairs")


class TupleEvaluation(Evaluation):
    """On tuples of particles: `axes` has every slot with its width, `indices` the particle that each tuple has there."""

    def __init__(
        self,
        copies: Sequence[Copy],
        axes: Sequence[tuple[int, Width]],
        indices: dict[int, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(self._take, lead=1)
        self._copies = copies
        self._axes = axes
        self._owner = owners(axes)
        self._indices = indices
        self._rng = rng
        self._count = 1 + int(max(i.max() for i in indices.values()))

    def _take(self, v: Value, slot: int | None) -> np.ndarray:
        if slot is None:
            return self._copies[0].fetch(v)
        return self._copies[self._owner[slot]].fetch(v)[self._indices[slot]]

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
