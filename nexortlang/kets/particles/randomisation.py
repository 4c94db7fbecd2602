"""Randomisations of a program: their systems and what their random scalars draw from; and those that are kept for a program that grows.

In: a seed, N, how many randomisations, draws and copies. Out: the particles of values. Guarantees: the same seed and plans give the same numbers. A randomisation that
goes on evaluates what its systems do not hold, on the same particles: innovations are clear of all that its matrices have met, so what it
says of everything asked, earlier and later, is one sample, and adjointness holds between them.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from nexortlang.core.program import Value
from nexortlang.entrywise.special import normal_quantile
from nexortlang.jit.entrywise import Engine
from nexortlang.kets.particles import sobol
from nexortlang.kets.particles.hats import Hats
from nexortlang.kets.particles.innovations import Space, exact_directions
from nexortlang.kets.particles.plan import Plan, group_size, is_dense, is_drawn, members_abreast
from nexortlang.kets.particles.system import System, run_together
from nexortlang.settings import available_memory

DRAWS = 4096
KEPT_SHARE = 0.25
"""The part of the memory that kept randomisations may take."""


class Key(NamedTuple):
    """Which randomisations. `size`: N. `block`: which block of so many `members`, which are evaluated together.
    `scenarios`: how many runs with a draw each a randomisation consists of (then the only one of its block), 0 where the draws enter scalars only."""

    seed: int
    size: int
    block: int
    members: int
    scenarios: int


class Block:
    """Some randomisations, evaluated together: systems of one or several members for each copy, which all hold the same values.

    The members of one system are randomisations, or scenarios of the only one.
    """

    def __init__(self, key: Key, plan: Plan, hats: Hats | None = None) -> None:
        chance_seed, seed = np.random.SeedSequence([key.seed, key.size, key.block]).spawn(2)
        self._scenarios = key.scenarios
        self._members = members_abreast(plan, key.size)
        runs = key.scenarios or key.members
        self._parts = [slice(k, k + self._members) for k in range(0, runs, self._members)]
        none = np.empty((runs, 0, 1))
        self._chance = _Chance(key.members, key.scenarios, np.random.default_rng(chance_seed))
        self._systems = [
            [System(plan, key.size, none[part], own, hats=hats) for own in s.spawn(plan.copies)]
            for part, s in zip(self._parts, seed.spawn(len(self._parts)), strict=True)
        ]
        self._hats = hats
        self._size = key.size
        self._group = group_size(plan, key.size)
        self._holds_pairs = False
        self.copies = plan.copies
        self.held: frozenset[int] = frozenset()
        """Ids of the values that are there."""

    @property
    def directions(self) -> int:
        """The most of any width that its matrices have met."""
        return max(self._systems[0][0].directions.values(), default=0)

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return self._chance.bytes + sum(system.bytes for together in self._systems for system in together)

    def can_go_on(self, whole: Plan, rest: Plan, hats: Hats | None) -> bool:
        """Whether `rest`, all that is missing of a whole plan, may be added: with hats of the same kind, and with room for its directions and draws as in a run of the whole plan alone."""
        if self._hats is not hats or self._members != members_abreast(whole, self._size):
            return False
        if self.copies < whole.copies or not self._chance.has_room(chance_size(rest)):
            return False
        if self._holds_pairs and self._group != group_size(whole, self._size):
            return False
        fresh, used = whole.columns(), self._systems[0][0].directions
        return all(
            used.get(name, 1) + more - 1 <= max(exact_directions(self._size), fresh[name])
            for name, more in rest.columns().items()
        )

    def run(self, plan: Plan, engine: Engine) -> None:
        """Evaluate a plan whose operands are there."""
        self._group = group_size(plan, self._size)
        self._holds_pairs = self._holds_pairs or any(not is_dense(v.type) for v in plan.order)
        chance = self._chance.more(chance_size(plan))
        for part, systems in zip(self._parts, self._systems, strict=True):
            for system in systems:
                system.follow(plan, chance[part], engine)
            run_together(plan, systems)
        self.held = frozenset(self._systems[0][0].values)

    def particles(self, v: Value) -> list[np.ndarray]:
        """Of a value that is there, for each randomisation: its particles, draws or value, with that axis first."""
        parts = [_joined(v, [s.member_values(v) for s in systems]) for systems in self._systems]
        if not self._scenarios:
            return list(*parts)
        return [np.concatenate([member for part in parts for member in part])]


class Kept:
    """Randomisations to go on with, as many as memory allows, those used last."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[Block, int]] = {}

    @property
    def room(self) -> float:
        """Bytes that all of them together may take."""
        return KEPT_SHARE * (available_memory() + self._bytes())

    def look(self, key: Key) -> Block | None:
        found = self._kept.get(key)
        return found[0] if found else None

    def take(self, key: Key) -> Block | None:
        """It is no longer kept: a run that breaks off leaves half of a plan."""
        found = self._kept.pop(key, None)
        return found[0] if found else None

    def put(self, key: Key, block: Block) -> None:
        self._kept.pop(key, None)
        self._kept[key] = block, block.bytes
        room = self.room
        while self._bytes() > room:
            del self._kept[next(iter(self._kept))]

    def _bytes(self) -> int:
        return sum(size for _, size in self._kept.values())


class _Chance:
    """Standard normals for the random scalars, one row each, as many as are asked for: many draws for each member, or one for each scenario."""

    def __init__(self, members: int, scenarios: int, rng: np.random.Generator) -> None:
        self._members = members
        self._scenarios = scenarios
        self._used = 0
        self._rng = rng
        self._space: Space | None = None

    @property
    def bytes(self) -> int:
        return self._space.bytes if self._space else 0

    def has_room(self, size: int) -> bool:
        return self._space is None or not size or self._space.count >= _draws(self._used + size)

    def more(self, size: int) -> np.ndarray:
        """Fresh rows, (members, size, draws) or (scenarios, size, 1)."""
        first, self._used = self._used, self._used + size
        if not size:
            return np.empty((self._scenarios or self._members, 0, 1))
        if self._scenarios:
            (found,) = sobol.points(self._scenarios, first, size, self._rng)
            return normal_quantile(found.T)[..., None]
        self._space = self._space or Space(_draws(size), self._rng, self._members)
        return self._space.normals(size)


def chance_size(plan: Plan) -> int:
    """How many normals the random scalars of a plan draw."""
    return sum(prod(v.type.shape) for v in plan.order if is_drawn(v))


def _draws(size: int) -> int:
    draws = DRAWS
    while draws < 4 * size:
        draws *= 2
    return draws


def _joined(v: Value, arrays: list[np.ndarray]) -> np.ndarray:
    """What several systems say of one value: all their particles, or the mean of their scalars (which have the same draws)."""
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays, axis=1) if v.type.axes else np.mean(arrays, axis=0)
