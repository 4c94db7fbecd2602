"""From particles to answers: independent randomisations, their errors, and as many particles as the tolerance asks for.

In: a program, the values wanted and how each is to be answered. Out: an Estimate or a Distribution for each, and whether the tolerance was reached.
Guarantees: the same seed gives the same numbers; a value lies within two standard errors of its limit about 95 times in 100 (the factor of
Student's t for the number of randomisations is in the standard error, and so is what two sizes show of a bias of order 1/N).

A level is a size N and a number of randomisations, the same number at N / 4 beside them. Scatter falls with both, bias with N alone; the next level is the cheapest that
promises the tolerance: larger sizes where cost grows as N, more randomisations where it grows as N² (optimizers that are not linear).

Random scalars (initial scalars, fluctuations) that enter only scalars are drawn `DRAWS` times within each randomisation, orthonormal in the sample, so that
the covariance of anything linear in them is that of the particles. Where one enters a vector, everything above it depends on it: each
randomisation then consists of many whole runs with one draw each (scenarios), as many as the tolerance asks for, and the error includes the variance over draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from math import prod
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from nexortlang.core.program import Program, Value
from nexortlang.diagnostics.model import Diagnostic, NexortError
from nexortlang.kets.particles.hats import Hats
from nexortlang.kets.particles.levels import COARSER, REPLICATES, Comparison, Level, compare, distribution, runs_for
from nexortlang.kets.particles.plan import Plan, group_size, members_abreast, need_scenarios, plan, stored_numbers, work
from nexortlang.kets.particles.randomisation import DRAWS, Block, Kept, Key, chance_size
from nexortlang.kets.results import Distribution, Estimate, Options
from nexortlang.processes import side_by_side
from nexortlang.settings import available_memory, processors

Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]

Answer: TypeAlias = Estimate | Distribution
Progress: TypeAlias = Callable[[str], None]

MOST_REPLICATES = 4096
RATE, LONG_RATE = 0.55, 0.5
"""Scatter falls about as N^−RATE, 0.65 where points are spread well; in long training, with hundreds of directions, as N^−LONG_RATE."""
SCENARIOS = 16
"""Runs with a draw each in one randomisation, at first; four times as many until the tolerance is reached."""
GROWTH = 4
"""At most so many times as many randomisations of a size come next: their scatter is then better known, and with it how many are needed."""
HOPE = 1.5
"""By how much eight randomisations may overestimate the largest of many errors; four times as many will tell."""
LONG_BIAS = 4.0
"""In long training there are at first so many particles over the tolerance. A bias of 1/N is usual (a loss after ten steps of SGD: 3.8e-3, 1.2e-3 and 0.5e-3 at N = 256, 512 and 1 024): with fewer
it would be as large as the scatter that hides it."""
SAFETY = 0.9
"""The part of the tolerance that a level shall promise: its scatter is known to a tenth or two."""
CERTAIN = 2.5
"""A difference of two sizes beyond so many standard errors is bias that only particles lower; less may be chance, the largest of many numbers'."""
FEWEST, START, MOST = 256, 1024, 1 << 17
LONG_FEWEST, LONG_MOST = 512, 4096
WORK = 1e11
"""Elementary operations (`plan.work`, each about 0.1 ns of one core) that a level may take without a promise of the tolerance: some ten seconds."""
MINUTE = 1.2e12
"""What two cores do in about a minute. Patience is measured so, not by a clock: the same seed shall give the same numbers."""
SCENARIO_WORK = 3e11
"""The same for runs with a draw each: their error falls as the square root of their number only, so minutes would add one digit to seconds."""
FORK_FROM = 5e9
"""From how much work on processes are worth starting."""
COMPILE_FROM = 2e9
"""Numbers computed for pairs, one size, from which kernels are compiled. The choice depends on the program alone, not on timing or on what the
cache holds: compiled and NumPy functions may differ in the last digit, and the same seed shall give the same numbers."""
MEMORY_SHARE = 0.7


class Target(NamedTuple):
    """A value and what is wanted of it."""

    kind: Kind
    value: Value


class _Excess(NamedTuple):
    """The largest error in units of the tolerance, what of it more randomisations would lower, and what is bias for certain."""

    total: float
    chance: float
    bias: float


def run(
    program: Program,
    targets: Sequence[Target],
    options: Options,
    progress: Progress | None = None,
    kept: Kept | None = None,
    hats: Hats | None = None,
) -> tuple[list[Answer], bool]:
    """Answers to all targets by sampling, and whether every standard error is within options.tol · max(1, |value|).

    Randomisations that are `kept`, of targets of the same program before it grew, go on where they are, and these are kept with them. `hats` may know those of the program.
    """
    answers: dict[int, Answer] = {}
    reached = True
    apart: dict[bool, list[int]] = {False: [], True: []}
    for i, scenario in enumerate(need_scenarios([value for _, value in targets])):
        apart[scenario].append(i)
    for group in apart.values():
        if group:
            found, enough = _Sampler([targets[i] for i in group], options, progress, kept, hats).run()
            answers.update(zip(group, found, strict=True))
            reached = reached and enough
    return [answers[i] for i in range(len(targets))], reached


class _Sampler:
    """Answers targets that are sampled together."""

    def __init__(
        self,
        targets: Sequence[Target],
        options: Options,
        progress: Progress | None,
        kept: Kept | None,
        hats: Hats | None,
    ) -> None:
        self._targets = targets
        self._options = options
        self._progress = progress or (lambda message: None)
        self._plan: Plan = plan([v for _, v in targets], store_pairs=False)
        self._faster: Plan = plan([v for _, v in targets]) if self._plan.cost[1] else self._plan
        self._chance_size = chance_size(self._plan)
        self._levels: dict[int, Level] = {}
        self._works: dict[int, float] = {}
        self._spent = 0.0
        self._patience = options.patience * MINUTE
        self._kept = kept
        self._hats = hats if hats is not None and self._sees_initial_kets() and hats.know(self._plan.order) else None
        self._growing: dict[tuple[frozenset[int], bool], Plan] = {}
        self._savings: dict[Key, float | None] = {}
        self._scenarios = SCENARIOS if self._plan.scenario else 1

    def _sees_initial_kets(self) -> bool:
        """Whether training has moved no vector, only numbers, by averages over pairs: the tangent regime, where hats may be known."""
        return self._plan.grouped and self._plan.cost[1] > 0.0 and not self._plan.stacks

    def run(self) -> tuple[list[Answer], bool]:
        """The answers, and whether the tolerance was reached."""
        return self._more_scenarios() if self._plan.scenario else self._larger_sizes()

    def _more_scenarios(self) -> tuple[list[Answer], bool]:
        """One size, more and more draws: their scatter is the error."""
        count = self._first_count()
        while True:
            self._levels.clear()
            level = self._level(count, REPLICATES)
            answers = [self._answer(i, None, level) for i in range(len(self._targets))]
            excess = self._excess(None, level).total
            self._scenarios *= 4
            if excess <= 1.0 or not self._affordable(count):
                return answers, excess <= 1.0

    def _larger_sizes(self) -> tuple[list[Answer], bool]:
        """Levels until the tolerance is reached, or the size that was asked for; always with a quarter of it beside, to see a bias."""
        count, runs = self._first_count(), REPLICATES
        while True:
            coarse, fine = (self._level(size, runs) for size in _pair(count))
            excess = self._excess(coarse, fine)
            following = self._next_level(count, fine.runs, excess)
            if excess.total <= 1.0 or following is None:
                return [self._answer(i, coarse, fine) for i in range(len(self._targets))], excess.total <= 1.0
            count, runs = following

    # -- sizes

    @cached_property
    def _is_long(self) -> bool:
        """Whether the matrices may meet more directions than there are particles at first."""
        return max(self._plan.columns().values(), default=1) >= START

    def _first_count(self) -> int:
        if self._options.samples is not None:
            self._need_memory(self._options.samples)
            return self._options.samples
        self._need_memory(FEWEST)
        count, least = self._long_counts() if self._is_long else (START, FEWEST)
        while count > least and not self._affordable(count):
            count //= 2
        return count

    def _long_counts(self) -> tuple[int, int]:
        """The size to begin with in long training, where the tolerance leaves room for its bias, and the least for want of time: fewer particles have no room for what matrices meet."""
        count = LONG_FEWEST
        while count < LONG_MOST and count * self._options.tol < LONG_BIAS:
            count *= 2
        least = min(count, START)
        possible = REPLICATES * self._work(least) < self._patience / 2 and self._fits(least)
        return count, least if possible else FEWEST

    def _next_level(self, count: int, runs: int, excess: _Excess) -> tuple[int, int] | None:
        """The cheapest level that promises the tolerance, else the one that promises most for some seconds; None where there is none to be had."""
        if self._options.samples is not None:
            return None
        enough: list[tuple[float, int, int]] = []
        better: list[tuple[float, int, int]] = []
        size = count
        rate = LONG_RATE if self._is_long else RATE
        while size <= MOST and self._fits(size):
            bias, chance = excess.bias * count / size, excess.chance * (count / size) ** rate
            if size == count and runs <= REPLICATES:
                chance /= HOPE
            if bias < SAFETY:
                least = runs + 1 if size == count else REPLICATES
                number = max(least, runs_for(chance, runs, math.sqrt(SAFETY**2 - bias**2)))
                price = self._price(size, number)
                if number <= MOST_REPLICATES and self._spent + price <= self._patience and self._fits(size, number):
                    enough.append((price, size, number))
            number = 2 * runs if size == count else REPLICATES
            if number <= MOST_REPLICATES and self._price(size, number) <= WORK and self._fits(size, number):
                better.append((math.hypot(bias, chance * (runs / number) ** 0.5), size, number))
            size *= 2
        _, *best = min(enough or better, default=(0.0,))
        if not best:
            return None
        size, number = best
        return size, min(number, GROWTH * runs) if size == count else number

    def _price(self, count: int, runs: int) -> float:
        """The work that a level adds to what has been done."""
        return sum(self._expense(size, self._missing(size, runs)) for size in _pair(count))

    def _expense(self, count: int, keys: Sequence[Key]) -> float:
        """The work of these randomisations."""
        saved = sum(self._saved(key) or 0.0 for key in keys) if self._kept is not None else 0.0
        return sum(key.members for key in keys) * self._work(count) - saved

    def _work(self, count: int) -> float:
        """Of one randomisation."""
        if count not in self._works:
            self._works[count] = self._work_of(self._plan_at(count), count, self._plan.copies)
        return self._scenarios * self._works[count]

    def _work_of(self, p: Plan, count: int, copies: int, directions: int = 0) -> float:
        """Of a plan, in one scenario and all copies."""
        return copies * work(p, count, directions)

    def _missing(self, count: int, runs: int) -> list[Key]:
        """What is to be evaluated until there are so many randomisations of one size."""
        known = self._levels[count].runs if count in self._levels else 0
        members = self._members(count)
        return [self._key(count, block) for block in range(known // members, -(-runs // members))]

    def _members(self, count: int) -> int:
        """How many randomisations are evaluated together."""
        return 1 if self._plan.scenario else members_abreast(self._plan, count)

    @property
    def _runs(self) -> int:
        """How many runs of the program one size takes."""
        return REPLICATES * self._scenarios

    def _plan_at(self, count: int) -> Plan:
        """The plan that stores what averages share, if there is memory for that."""
        return self._faster if self._bytes(count, self._faster) <= MEMORY_SHARE * available_memory() / 2 else self._plan

    def _bytes(self, count: int, p: Plan, runs: int = REPLICATES) -> int:
        pooled = sum(prod(v.type.shape) for kind, v in self._targets if kind == "distribution")
        kept = runs * self._scenarios * p.copies * count * pooled
        abreast = members_abreast(p, count)
        return 8 * (abreast * p.copies * stored_numbers(p, count) + kept + 2 * abreast * DRAWS * self._chance_size)

    def _fits(self, count: int, runs: int = REPLICATES) -> bool:
        return self._bytes(count, self._plan_at(count), runs) <= MEMORY_SHARE * available_memory()

    def _affordable(self, count: int) -> bool:
        most = SCENARIO_WORK if self._plan.scenario else WORK
        return self._fits(count) and self._expense(count, self._missing(count, REPLICATES)) <= most

    def _need_memory(self, count: int) -> None:
        needed, free = self._bytes(count, self._plan), available_memory()
        if needed > MEMORY_SHARE * free:
            largest = max(self._plan.order, key=lambda v: prod(v.type.shape) if v.type.axes else 0)
            raise NexortError(
                Diagnostic(
                    "NX505",
                    f"expected a program that fits into memory, found one that needs {needed / 2**30:.1f} GiB for {count} particles; "
                    f"{free / 2**30:.1f} GiB are free",
                    largest.span,
                    hint="the largest vector has a finite shape of "
                    f"{list(largest.type.shape)}: use fewer columns at once, or fewer particles (--samples)",
                )
            )

    # -- randomisations

    def _level(self, count: int, runs: int) -> Level:
        """So many randomisations of one size, or a few more; those that are there already are kept."""
        missing = self._missing(count, runs)
        if missing:
            self._spent += self._expense(count, missing)
            samples: list[list[np.ndarray]] = [[] for _ in self._targets]
            for block in self._blocks(missing):
                for kept, sample in zip(samples, block, strict=True):
                    kept.extend(sample)
            new = Level(
                count,
                [self._statistics(t, s) for t, s in zip(self._targets, samples, strict=True)],
                [s if t.kind == "distribution" else [] for t, s in zip(self._targets, samples, strict=True)],
            )
            known = self._levels.get(count)
            self._levels[count] = known.joined(new) if known else new
        return self._levels[count]

    def _statistics(self, target: Target, samples: Sequence[np.ndarray]) -> np.ndarray:
        statistics = np.stack([self._statistic(target.kind, s) for s in samples])
        if not np.isfinite(statistics).all():
            raise NexortError(_not_finite(target.value))
        return statistics

    def _blocks(self, keys: Sequence[Key]) -> Iterator[list[list[np.ndarray]]]:
        """Blocks of randomisations in order, as many at once as there are processors and memory for."""
        workers = min(processors(), len(keys), self._abreast(keys[0].size))
        known = {key: self._taken(key) for key in keys}
        last = keys[-1]
        fork = self._kept is None and self._expense(last.size, keys) > FORK_FROM
        try:
            for key, found in zip(keys, side_by_side(partial(self._block, known), keys, workers, fork), strict=True):
                done, all_of_them = ((k.block + 1) * k.members for k in (key, last))
                self._progress(f"{key.size} particles: randomisation {done} of {all_of_them} done")
                yield found
        finally:
            self._keep(known)

    def _abreast(self, count: int) -> int:
        """How many randomisations fit into memory at once, at least one."""
        return max(1, int(MEMORY_SHARE * available_memory() / (self._bytes(count, self._plan_at(count)) + 1)))

    def _block(self, known: dict[Key, Block | None], key: Key) -> list[list[np.ndarray]]:
        """For each target and randomisation of a block its particles, draws or value, with that axis first. `known`: blocks that go on, and then those to be kept."""
        block, known[key] = known[key], None  # one that breaks off is not kept
        keeps = self._keeps(key)
        if block is None:
            p = self._growing_plan(key.size, frozenset()) if keeps else self._plan_at(key.size)
            block = Block(key, p, self._hats)
        else:
            p = self._growing_plan(key.size, block.held)
        pairs = self._runs * block.copies * p.cost[1] * key.size * group_size(p, key.size)
        block.run(p, "numba" if pairs > COMPILE_FROM else "numpy")
        if keeps:
            known[key] = block
        return [block.particles(v) for _, v in self._targets]

    def _key(self, count: int, block: int) -> Key:
        scenarios = self._scenarios if self._plan.scenario else 0
        return Key(self._options.seed, count, block, self._members(count), scenarios)

    # -- what is kept of earlier targets

    def _taken(self, key: Key) -> Block | None:
        """One that goes on. It is no longer kept until it has."""
        return self._kept.take(key) if self._kept is not None and self._saved(key) is not None else None

    def _keep(self, blocks: Mapping[Key, Block | None]) -> None:
        for key, block in blocks.items():
            if self._kept is not None and block is not None:
                self._kept.put(key, block)

    def _saved(self, key: Key) -> float | None:
        """The work that is saved by going on with a kept block; None where there is none, or where a new one is better or takes less."""
        if key not in self._savings:
            known = self._kept.look(key) if self._kept is not None else None
            self._savings[key] = None if known is None else self._saving(key, known)
        return self._savings[key]

    def _saving(self, key: Key, known: Block) -> float | None:
        rest = self._growing_plan(key.size, known.held)
        takes = self._scenarios * self._work_of(rest, key.size, known.copies, known.directions)
        saved = key.members * (self._work(key.size) - takes)
        return saved if saved >= 0.0 and known.can_go_on(self._plan_at(key.size), rest, self._hats) else None

    def _growing_plan(self, count: int, held: frozenset[int]) -> Plan:
        """What is missing beside what is held, forgetting nothing that a later target may read."""
        store = self._plan_at(count) is self._faster
        if (held, store) not in self._growing:
            self._growing[held, store] = plan([v for _, v in self._targets], store, held, keep=True)
        return self._growing[held, store]

    def _keeps(self, key: Key) -> bool:
        """Whether there is room to keep this block, those before it and those of the coarser size beside them."""
        if self._kept is None:
            return False
        whole = self._growing_plan(key.size, frozenset())
        size = 8 * self._scenarios * whole.copies * stored_numbers(whole, key.size)
        return 2 * max(REPLICATES, (key.block + 1) * key.members) * size <= self._kept.room

    # -- statistics

    def _statistic(self, kind: Kind, sample: np.ndarray) -> np.ndarray:
        mean = sample.mean(axis=0)
        if kind != "covariance":
            return mean
        flat = (sample - mean).reshape(len(sample), -1)
        freedom = len(sample) - 1 if self._plan.scenario else len(sample)
        return (flat.T @ flat / max(1, freedom)).reshape(sample.shape[1:] * 2)

    # -- answers

    def _answer(self, i: int, coarse: Level | None, fine: Level) -> Answer:
        found = self._comparison(i, coarse, fine)
        if self._targets[i].kind == "distribution":
            return distribution(coarse.pooled[i] if coarse else None, fine.pooled[i], found.error, self._plan.scenario)
        return Estimate(np.asarray(found.mean), np.asarray(found.error), "sampled")

    def _comparison(self, i: int, coarse: Level | None, fine: Level) -> Comparison:
        return compare(coarse.statistics[i] if coarse else None, fine.statistics[i])

    def _excess(self, coarse: Level | None, fine: Level) -> _Excess:
        worst = _Excess(0.0, 0.0, 0.0)
        for i in range(len(self._targets)):
            found = self._comparison(i, coarse, fine)
            tolerance = self._options.tol * max(1.0, float(np.max(np.abs(found.mean), initial=0.0)))
            certain = found.bias(CERTAIN)
            errors = found.error, np.hypot(found.scatter, found.bias() - certain), certain
            largest = (float(np.max(e, initial=0.0)) / tolerance for e in errors)
            worst = _Excess(*(max(e, w) for e, w in zip(largest, worst, strict=True)))
        return worst


def _pair(count: int) -> tuple[int, int]:
    """The sizes that are compared, the coarser first."""
    return max(1, count // COARSER), count


def _not_finite(value: Value) -> Diagnostic:
    return Diagnostic(
        "NX301",
        "expected a finite expectation, found one that is infinite or not a number",
        value.span,
        hint="look for a division by something that can be 0, a log or sqrt of something negative, or an exp of something large",
    )
