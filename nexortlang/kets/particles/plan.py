"""What a particle run has to evaluate, in which order, and what it will cost: known before a number is computed.

In: the values wanted. Out: a `Plan`. Guarantees: it holds only what the wanted values depend on in the limit (operands that vanish are
no operands), in program order.

A value is *dense* when it extends over at most one slot: it is stored. The others, functions of pairs or tuples of particles, are *lazy*: they are
evaluated blockwise inside the Avg that brings them down to one slot. Only functions of pairs that several averages share (what a nonlinear optimizer has
added to a matrix so far, its moments) are stored too, where memory allows: else every step of training would evaluate all steps before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import prod

from nexortlang.core.build import live_operands
from nexortlang.core.build import vanishes as vanishes
from nexortlang.core.program import (
    Avg,
    Einsum,
    Fluctuation,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Rename,
    Type,
    Value,
    Width,
    operands,
)
from nexortlang.kets.particles.stacks import Fed, find_stacks

GROUP = 32
"""How many particles meet each other in pairs where only averages over both are asked for.

The variance of such an average is about a/N + b/(N · GROUP), the second part from functions of both that are orthogonal to those of either, so that many particles with few partners
serve better than few with many. Measured in the tangent regime with Adam, spread of one randomisation and seconds: four hidden tanh layers, 3 samples, N = 4 096: 8.5e-4 in 0.07 with
32 partners, the same in 2.8 with all 4 096; N = 16 384, exact kernels: 2.0e-4, 1.8e-4, 1.6e-4, 1.6e-4 with 8, 16, 32, 64.
"""

MEMBERS, ABREAST = 4, 8192
"""How many runs go abreast at most, and how many particles they have together: from there on Python's part is small."""

STEP_WORK = 3.5e5
"""What Python takes to come to an instruction, in elementary operations: 35 µs."""


def is_dense(t: Type) -> bool:
    """Whether values of this type are stored."""
    return len(t.axes) <= 1


def is_drawn(v: Value) -> bool:
    """Whether a scalar is a draw of its own. Initial scalars without variance, parameters that start at a number, are not."""
    return isinstance(v, Fluctuation) or (isinstance(v, InitScalar) and bool(v.variance.any()))


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps`: the values to evaluate and store, those of a step together. `last_use`: what is no longer read after a value has been evaluated. `random`: ids of values that are
    random in the limit. `scenario`: whether a random value enters a vector. `copies`: how many independent systems the averages over several
    slots of one width need. `nested`: ids of lazy values that contain averages.
    `grouped`: whether pairs are averaged out only whole, over both slots, so that not all of them need be met (`group_size`). `cost`: entrywise operations for each particle, and for each pair.
    `stacks`: joined vectors kept by their coordinates, and which matrix's.
    """

    steps: tuple[tuple[Value, ...], ...]
    last_use: dict[int, tuple[int, ...]]
    random: frozenset[int]
    scenario: bool
    copies: int
    nested: frozenset[int]
    grouped: bool
    cost: tuple[float, float]
    stacks: dict[int, Fed]

    @property
    def order(self) -> tuple[Value, ...]:
        """The values one by one."""
        return tuple(v for step in self.steps for v in step)

    def columns(self) -> dict[str, int]:
        """An upper bound of the directions that each width's particles carry: initial columns, and one for each MatMul column."""
        total: dict[str, int] = {}
        for v in self.order:
            match v:
                case InitVector():
                    total[v.type.width.name] = total.get(v.type.width.name, 1) + prod(v.type.shape)
                case MatMul():
                    total[v.type.width.name] = total.get(v.type.width.name, 1) + prod(v.type.shape)
        return total


@dataclass(frozen=True, slots=True)
class _Graph:
    """`values` in program order, and by id the live operands of each: found once, since everything here walks along them."""

    values: tuple[Value, ...]
    reads: dict[int, tuple[Value, ...]]

    @staticmethod
    def below(roots: Iterable[Value]) -> _Graph:
        """Everything that roots depend on."""
        found: dict[int, Value] = {}
        reads: dict[int, tuple[Value, ...]] = {}
        stack = list(roots)
        while stack:
            v = stack.pop()
            if v.id not in reads:
                found[v.id] = v
                reads[v.id] = live_operands(v)
                stack.extend(reads[v.id])
        return _Graph(tuple(found[i] for i in sorted(found)), reads)

    def without(self, held: Set[int], roots: Iterable[Value]) -> _Graph:
        """What roots depend on, but not what is held, nor what only that depends on."""
        if not held:
            return self
        needed: set[int] = set()
        stack = list(roots)
        while stack:
            v = stack.pop()
            if v.id not in needed and v.id not in held:
                needed.add(v.id)
                stack.extend(self.reads[v.id])
        return _Graph(tuple(v for v in self.values if v.id in needed), self.reads)


def _chance(graph: _Graph) -> tuple[set[int], set[int]]:
    """Ids of values that are random in the limit, and of those that depend on a random value inside a vector."""
    random: set[int] = set()
    inside: set[int] = set()
    for v in graph.values:
        read = graph.reads[v.id]
        depends = any(a.id in random for a in read)
        if depends or is_drawn(v):
            random.add(v.id)
        if (depends and (isinstance(v, Fluctuation) or v.type.axes)) or any(a.id in inside for a in read):
            inside.add(v.id)
    return random, inside


def need_scenarios(wanted: Sequence[Value]) -> list[bool]:
    """For each value whether a random value enters a vector that it depends on."""
    _, inside = _chance(_Graph.below(wanted))
    return [v.id in inside for v in wanted]


def _nested(graph: _Graph) -> set[int]:
    """Lazy values that are averages or are made of such."""
    nested: set[int] = set()
    for v in graph.values:
        if not is_dense(v.type) and (isinstance(v, Avg) or any(a.id in nested for a in graph.reads[v.id])):
            nested.add(v.id)
    return nested


def _shared_pairs(graph: _Graph, nested: set[int]) -> set[int]:
    """Functions of pairs that enter the evaluation of several stored values, if they take more than one operation."""
    stored: set[int] = set()
    entered: dict[int, set[int]] = {}  # at most two of the stored values: whether there are several is all that counts
    for v in reversed(graph.values):
        lazy = not is_dense(v.type)
        contexts = entered.get(v.id, set())
        arguments = [a for a in graph.reads[v.id] if not is_dense(a.type)]
        if len(contexts) > 1 and len(v.type.slots) == 2 and v.id not in nested and not isinstance(v, Rename):
            composed = isinstance(v, Einsum) or any(not isinstance(a, Rename) for a in arguments)
            if composed:
                stored.add(v.id)
        for a in arguments:
            known = entered.setdefault(a.id, set())
            if len(known) < 2:
                known.update(contexts if lazy and v.id not in stored else {v.id})
    return stored


def plan(wanted: Sequence[Value], store_pairs: bool = True, held: Set[int] = frozenset(), keep: bool = False) -> Plan:
    """The plan for the wanted values (dense ones).

    `held`: ids of values that are there already, of another plan with `keep`, which forgets nothing that a later plan may read: vectors, scalars, and functions of pairs but those
    that were built on in this plan.
    """
    whole = _Graph.below(wanted)
    random, inside = _chance(whole)
    nested = _nested(whole)
    reached = whole.without(held, wanted)
    pairs = _shared_pairs(reached, nested) if store_pairs else set()
    steps = _steps(reached, pairs)
    order = [v for step in steps for v in step]
    last_use = _last_use(reached, order, held, nested)
    stacks = {} if keep else find_stacks(reached.values, {v.id for v in wanted} | held)
    kept: Set[int] = {v.id for v in wanted} | (_kept(whole, order, held) if keep else set())
    return Plan(
        steps=steps,
        last_use={user: left for user, read in last_use.items() if (left := tuple(i for i in read if i not in kept))},
        random=frozenset(random),
        scenario=not inside.isdisjoint(v.id for v in wanted),
        copies=_copies(whole, nested),
        nested=frozenset(nested),
        grouped=_only_whole(whole.values, nested),
        cost=_cost(reached, order, held, stacks),
        stacks=stacks,
    )


def _kept(whole: _Graph, order: Sequence[Value], held: Set[int]) -> Set[int]:
    """Ids of what a later plan may read: all but the functions of pairs that another one of this plan is made from."""
    stored = held | {v.id for v in order}
    built_on: set[int] = set()
    stack = [a for v in order if not is_dense(v.type) for a in whole.reads[v.id]]
    while stack:
        a = stack.pop()
        if a.id not in built_on and not is_dense(a.type):
            built_on.add(a.id)
            if a.id not in stored:
                stack.extend(whole.reads[a.id])
    return (stored | {v.id for v in whole.values if is_dense(v.type)}) - built_on


def _steps(reached: _Graph, pairs: Set[int]) -> tuple[tuple[Value, ...], ...]:
    """The stored values. Functions of pairs that are made from each other are one step: what an optimizer remembers and what it adds to a matrix.

    A step takes each block of pairs through all of them while it is in the cache. What only the step itself reads is not stored.
    """
    read_pairs = _read_pairs(reached, pairs)
    steps: list[list[Value]] = []
    group: list[Value] = []
    for v in (v for v in reached.values if is_dense(v.type) or v.id in pairs):
        reads_group = any(u.id in read_pairs[v.id] for u in group)
        joins = v.id in pairs and reads_group and v.type == group[0].type
        if group and not joins and (v.id in pairs or reads_group):
            steps.append(group)
            group = []
        if v.id in pairs:
            group.append(v)
        else:
            steps.append([v])
    if group:
        steps.append(group)
    readers: dict[int, set[int]] = {}
    for k, step in enumerate(steps):
        for v in step:
            for i in read_pairs[v.id]:
                readers.setdefault(i, set()).add(k)
    return tuple(tuple(v for v in s if v.id not in pairs or readers[v.id] != {k}) for k, s in enumerate(steps))


def _read_pairs(reached: _Graph, pairs: Set[int]) -> dict[int, frozenset[int]]:
    """By id, which of the stored functions of pairs a value is evaluated from, through lazy ones."""
    found: dict[int, frozenset[int]] = {}
    nothing: frozenset[int] = frozenset()
    for v in reached.values:
        own = nothing
        for a in reached.reads[v.id]:
            if not is_dense(a.type):
                more = frozenset((a.id,)) if a.id in pairs else found.get(a.id, nothing)
                own = own | more if own else more
        found[v.id] = own
    return found


def _last_use(reached: _Graph, order: Sequence[Value], held: Set[int], nested: set[int]) -> dict[int, tuple[int, ...]]:
    """For each stored value, those that are read by it, through lazy ones, and by none later.

    A stored function of pairs serves the pairs of two systems next to each other. Averages over longer tuples meet other pairs, too, and evaluate it anew there.
    """
    place = {v.id: k for k, v in enumerate(order)}
    averages = [v for v in order if isinstance(v, Avg)]
    tuples = any(len(v.x.type.slots) > 2 or v.x.id in nested for v in averages)
    last: dict[int, int] = {}  # at which place a value is read for the last time
    for v in reversed(reached.values):
        here = place.get(v.id, -1)
        if here < 0 or (tuples and not is_dense(v.type)):
            here = max(here, last.get(v.id, -1))
        for a in reached.reads[v.id]:
            if here > last.get(a.id, -1):
                last[a.id] = here
    found: dict[int, list[int]] = {}
    for i in [*sorted(held & last.keys()), *place]:
        found.setdefault(order[last.get(i, place.get(i, 0))].id, []).append(i)
    return {user: tuple(i) for user, i in found.items()}


def _cost(reached: _Graph, order: Sequence[Value], held: Set[int], stacks: Mapping[int, Fed]) -> tuple[float, float]:
    """Numbers computed for each particle and for each pair (products with a basis counted by `work`)."""
    stored = held | {v.id for v in order}
    lazy = {v.id: v for v in reached.values if v.id not in stored}
    reads = {v.id: [a.id for a in reached.reads[v.id] if a.id in lazy] for v in reached.values}
    costs = {i: _pair_cost(v) for i, v in lazy.items()}
    dense = pairs = 0.0
    for v in order:
        size = prod(v.type.shape)
        if v.type.axes and v.id not in stacks:
            dense += size
        if not is_dense(v.type):
            pairs += size
        if reads[v.id]:
            below = [costs[i] for i in _reachable(v.id, reads)]
            if isinstance(v, Avg):
                below[0] = _pair_cost(v.x, averaged=True)
            pairs += sum(below)
    return dense, pairs


def _reachable(i: int, reads: Mapping[int, Sequence[int]]) -> Iterable[int]:
    """What i reads, what that reads, and so on; first one that i reads."""
    found: dict[int, None] = {}
    stack = list(reads[i])
    while stack:
        a = stack.pop()
        if a not in found:
            found[a] = None
            stack += reads[a]
    return found


def _pair_cost(v: Value, averaged: bool = False) -> float:
    """Of a lazy value, in entrywise operations. Contractions and averages of products with a vector are matrix products, five times as fast."""
    size = prod(v.type.shape)
    if isinstance(v, Einsum):
        return 1.0 + 0.2 * _products(v)
    product = averaged and isinstance(v, Map) and v.op == "mul"
    return 0.2 * size if product and any(is_dense(a.type) for a in operands(v)) else size


def _products(v: Einsum | Inner) -> int:
    """How many products of entries a contraction sums."""
    labels = v.spec.split("->")[0].replace(",", "")
    return prod(dict(zip(labels, (*v.x.type.shape, *v.y.type.shape), strict=True)).values())


def _copies(whole: _Graph, nested: Set[int]) -> int:
    """Slots of one width that occur together, at most: those of what is averaged, and those of averages inside it."""
    most = 1
    inside: dict[int, Counter[Width]] = {}  # the slots of averages that a value contains
    for v in whole.values:
        own: Counter[Width] = Counter()
        for a in whole.reads[v.id]:
            if a.id in inside:
                own |= inside[a.id]
        if isinstance(v, Avg) and not is_dense(v.x.type):
            together = Counter(width for _, width in v.x.type.axes) + (own if v.x.id in nested else Counter())
            if is_dense(v.type):
                most = max(most, *together.values())
            else:
                own |= together - Counter(width for _, width in v.type.axes)
        if own:
            inside[v.id] = own
    return most


def _only_whole(whole: Sequence[Value], nested: set[int]) -> bool:
    """Whether all averages over several slots are of functions of pairs, over both slots."""
    averages = [v for v in whole if isinstance(v, Avg) and not is_dense(v.x.type)]
    return all(len(v.slots) == len(v.x.type.slots) == 2 and v.x.id not in nested for v in averages)


def group_size(p: Plan, count: int) -> int:
    """How many of `count` particles meet each other in pairs: all, or the least divisor of their number from GROUP on."""
    if not p.grouped or count < GROUP:
        return count
    return next(size for size in range(GROUP, count + 1) if count % size == 0)


def members_abreast(p: Plan, count: int) -> int:
    """How many runs are evaluated together: as many as have ABREAST particles, where no pairs of particles take longer than Python."""
    return 1 if p.cost[1] else min(MEMBERS, max(1, ABREAST // count))


def stored_numbers(p: Plan, count: int) -> int:
    """How many float64 numbers a run with `count` particles holds at once, at most."""
    lengths = 1, count, count * group_size(p, count)
    size = {v.id: prod(v.type.shape) * lengths[len(v.type.axes)] for v in p.order if v.id not in p.stacks}
    now = most = 0
    for step in p.steps:
        now += sum(size.get(v.id, 0) for v in step)
        most = max(most, now)
        now -= sum(size.get(i, 0) for v in step for i in p.last_use.get(v.id, ()))
    bases = sum(min(3 * columns, 2 * count) * count for columns in p.columns().values())
    return most + bases


def work(p: Plan, count: int, directions: int = 0) -> float:
    """About how many elementary operations a run with `count` particles takes, 0.1 ns each; `directions`: that its matrices have met before."""
    dense, pairs = p.cost
    total = STEP_WORK * len(p.steps) / members_abreast(p, count)
    total += 5.0 * dense * count + 5.0 * pairs * count * group_size(p, count)
    rank = 8.0 + directions
    for v in p.order:
        size = prod(v.type.shape)
        match v:
            case MatMul():
                rank = min(rank + size, count)
                total += 1.5 * count * size * rank
            case Inner(x=x, y=y) if x.id not in p.stacks and y.id not in p.stacks:
                total += 0.2 * count * _products(v)
    return total
