"""OuterNonlin on particles: averages of functions of pairs and tuples of particles, without ever storing such a function whole.

In: an Avg whose operand extends over several slots, and the stored values it reads. Out: the average as a stored value. Guarantees: the members of a
tuple are different particles (copies are independent). Pairs are all used; of the longer tuples as many as there are pairs, each
pair of slots meeting in all cyclic distances.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from nexortlang.core.program import Avg, Rename, Value, operands
from nexortlang.kets.particles_apply import apply
from nexortlang.kets.particles_plan import is_dense, live_operands, vanishes

BLOCK = 1 << 17
"""Numbers in one array of a block: a few such arrays fit the cache of one core."""

Fetch = Callable[[Value], np.ndarray]


def average(v: Avg, fetch: Fetch, count: int, rng: np.random.Generator) -> np.ndarray:
    """The average over slots, as (N, *shape) or, of all slots, (1, *shape)."""
    if len(v.x.type.slots) == 2 and not _nested(v.x):
        return _all_pairs(v, fetch, count)
    return _tuples(v, fetch, count, rng)


def _nested(x: Value) -> bool:
    """Whether averages stand inside x that are themselves functions of several particles."""
    stack = [x]
    while stack:
        v = stack.pop()
        if isinstance(v, Avg):
            return True
        stack.extend(a for a in live_operands(v) if not is_dense(a.type))
    return False


def _all_pairs(v: Avg, fetch: Fetch, count: int) -> np.ndarray:
    """Sums over the rows of a particles × particles array, a block of rows at a time."""
    (slot_a, width_a), (slot_b, width_b) = v.x.type.axes
    row = slot_b if v.slots == (slot_a,) else slot_a
    block = max(1, min(count, BLOCK // (count * max(1, prod(v.x.type.shape)))))
    others = count - 1 if width_a == width_b else count
    parts = []
    for start in range(0, count, block):
        stop = min(count, start + block)

        def leaf(array: np.ndarray, slot: int | None, here: slice = slice(start, stop)) -> np.ndarray:
            if slot == row:
                return array[here, None] if len(array) > 1 else array[:, None]
            return array[None, :]

        values = Evaluation(fetch, leaf, lead=2).value(v.x, {})
        values = np.broadcast_to(values, (stop - start, count, *v.x.type.shape))
        if width_a == width_b:
            values = values.copy() if not values.flags.writeable else values
            values[np.arange(stop - start), np.arange(start, stop)] = 0.0
        parts.append(values.sum(axis=1) / others)
    rows = np.concatenate(parts)
    return rows if len(v.slots) == 1 else rows.mean(axis=0, keepdims=True)


class Evaluation:
    """Evaluates lazy values on one block. `leaf` takes a stored array and its slot to the block's form."""

    def __init__(self, fetch: Fetch, leaf: Callable[[np.ndarray, int | None], np.ndarray], lead: int) -> None:
        self._fetch = fetch
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
            slot = slots[v.type.slots[0]] if v.type.axes else None
            return self._leaf(self._fetch(v), slot)
        if isinstance(v, Rename):
            return self.value(v.x, {old: slots[new] for old, new in v.slots})
        if isinstance(v, Avg):
            return self._inner_average(v, slots)
        args = [None if vanishes(v, a) else self.value(a, slots) for a in operands(v)]
        return apply(v, args, self._lead)

    def _inner_average(self, v: Avg, slots: dict[int, int]) -> np.ndarray:
        raise AssertionError("an average inside a grid of pairs")


class TupleEvaluation(Evaluation):
    """On tuples of particles: `indices` has, for each slot, the particle that each tuple has there."""

    def __init__(
        self, fetch: Fetch, indices: dict[int, np.ndarray], draw: Callable[[], np.ndarray], copies: int
    ) -> None:
        super().__init__(fetch, lambda a, s: a if s is None or len(a) == 1 else a[indices[s]], lead=1)
        self._indices = indices
        self._draw = draw
        self._copies = copies

    def _inner_average(self, v: Avg, slots: dict[int, int]) -> np.ndarray:
        fresh = {s: 1 + max(self._indices) + k for k, s in enumerate(v.slots)}
        total: np.ndarray | float = 0.0
        for _ in range(self._copies):
            indices = self._indices | {new: self._draw() for new in fresh.values()}
            inside = TupleEvaluation(self._fetch, indices, self._draw, self._copies)
            total = total + inside.value(v.x, slots | fresh)
        return np.asarray(total / self._copies)


def _tuples(v: Avg, fetch: Fetch, count: int, rng: np.random.Generator) -> np.ndarray:
    """An incomplete sum: rounds of one tuple per particle, the other slots' particles a cyclic distance away in a random order.

    In round t the second slot is at distance t, so all pairs of the first two slots occur; the further slots take all distances in random order.
    """
    axes = dict(v.x.type.axes)
    kept = [s for s in axes if s not in v.slots]
    if len(kept) > 1:
        raise AssertionError("an average that leaves several slots is lazy")
    first, *others = kept + [s for s in axes if s not in kept]
    order = rng.permutation(count)
    place = np.argsort(order)
    distances = [1 + rng.permutation(count - 1) for _ in others]
    copies = max(4, int(count**0.5))

    def stranger() -> np.ndarray:
        return order[(place + rng.integers(1, count)) % count]

    total: np.ndarray | float = 0.0
    rounds = 0
    for t in range(count - 1):
        steps = [0, *(int(d[t]) for d in distances)]
        if len(set(steps)) < len(steps):
            continue
        indices = {s: order[(place + step) % count] for s, step in zip([first, *others], steps, strict=True)}
        values = TupleEvaluation(fetch, indices, stranger, copies).value(v.x, {})
        total = total + (values if kept else values.mean(axis=0, keepdims=True))
        rounds += 1
    return np.asarray(total / rounds)
