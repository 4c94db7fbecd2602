"""From particles to answers: independent randomisations, their errors, and as many particles as the tolerance asks for.

In: a program, the values wanted and how each is to be answered. Out: an Estimate or a Distribution for each, and whether the tolerance was reached.
Guarantees: the same seed gives the same numbers; a value lies within two standard errors of its limit about 95 times in 100 (the factor of
Student's t for REPLICATES randomisations is in the standard error, and so is what two sizes show of a bias of order 1/N).

Random scalars (initial scalars, fluctuations) that enter only scalars are drawn `DRAWS` times within each randomisation, orthonormal in the sample, so that
the covariance of anything linear in them is that of the particles. Where one enters a vector, everything above it depends on it: each
randomisation then consists of many whole runs with one draw each (scenarios), as many as the tolerance asks for, and the error includes the variance over draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from nexortlang.core.program import Program, Value
from nexortlang.diagnostics.model import Diagnostic, NexortError
from nexortlang.entrywise.special import normal_quantile
from nexortlang.jit.entrywise import Engine
from nexortlang.kets.particles import sobol
from nexortlang.kets.particles.innovations import Space
from nexortlang.kets.particles.plan import Plan, is_drawn, plan, stored_numbers, work
from nexortlang.kets.particles.system import System, run_together
from nexortlang.kets.results import CURVE, Distribution, Estimate, Options
from nexortlang.settings import available_memory

Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]

Answer: TypeAlias = Estimate | Distribution
Progress: TypeAlias = Callable[[str], None]

REPLICATES = 8
STUDENT = 2.3646 / 2
"""Half the 97.5% point of Student's t with REPLICATES − 1 degrees of freedom: two standard errors are then a 95% interval."""
DRAWS = 4096
SCENARIOS = 16
"""Runs with a draw each in one randomisation, at first; four times as many until the tolerance is reached."""
FEWEST, START, MOST = 256, 1024, 1 << 17
WORK = 1e11
"""Elementary operations that one size may take, all randomisations together: a few minutes."""
SCENARIO_WORK = 1e10
"""The same for runs with a draw each: their error falls as the square root of their number only, so minutes would add one digit to seconds."""
COMPILE_FROM = 2e9
"""Numbers computed for pairs, one size, from which kernels are compiled. The choice depends on the program alone, not on timing or on what the
cache holds: compiled and NumPy functions may differ in the last digit, and the same seed shall give the same numbers."""
MEMORY_SHARE = 0.7
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Target(NamedTuple):
    """A value and what is wanted of it."""

    kind: Kind
    value: Value


@dataclass(frozen=True, slots=True)
class Level:
    """What REPLICATES randomisations with `count` particles gave: for each target, its statistic (replicates first), and for distributions the particles."""

    count: int
    statistics: list[np.ndarray]
    pooled: list[np.ndarray | None]


def run(
    program: Program, targets: Sequence[Target], options: Options, progress: Progress | None = None
) -> tuple[list[Answer], bool]:
    """Answers to all targets by sampling, and whether every standard error is within options.tol · max(1, |value|)."""
    answers: dict[int, Answer] = {}
    reached = True
    apart: dict[bool, list[int]] = {False: [], True: []}
    for i, (_, value) in enumerate(targets):
        apart[plan([value]).scenario].append(i)
    for group in apart.values():
        if group:
            found, enough = _Sampler([targets[i] for i in group], options, progress).run()
            answers.update(zip(group, found, strict=True))
            reached = reached and enough
    return [answers[i] for i in range(len(targets))], reached


class _Sampler:
    """Answers targets that are sampled together."""

    def __init__(self, targets: Sequence[Target], options: Options, progress: Progress | None) -> None:
        self._targets = targets
        self._options = options
        self._progress = progress or (lambda message: None)
        self._plan: Plan = plan([v for _, v in targets], store_pairs=False)
        self._faster: Plan = plan([v for _, v in targets])
        self._chance_size = sum(prod(v.type.shape) for v in self._plan.order if is_drawn(v))
        self._scenarios = SCENARIOS if self._plan.scenario else 1

    def run(self) -> tuple[list[Answer], bool]:
        """The answers, and whether the tolerance was reached."""
        return self._more_scenarios() if self._plan.scenario else self._larger_sizes()

    def _more_scenarios(self) -> tuple[list[Answer], bool]:
        """One size, more and more draws: their scatter is the error."""
        count = self._first_count()
        while True:
            level = self._level(count)
            answers = [self._answer(i, None, level) for i in range(len(self._targets))]
            excess = max(self._excess(a) for a in answers)
            self._scenarios *= 4
            if excess <= 1.0 or not self._affordable(count):
                return answers, excess <= 1.0

    def _larger_sizes(self) -> tuple[list[Answer], bool]:
        """Sizes that double until the tolerance is reached, or the one that was asked for; always with half of it beside, to see a bias."""
        count = self._first_count()
        coarse = self._level(count // 2)
        while True:
            fine = self._level(count)
            answers = [self._answer(i, coarse, fine) for i in range(len(self._targets))]
            excess = max(self._excess(a) for a in answers)
            following = self._next_count(count, excess)
            if excess <= 1.0 or following == count:
                return answers, excess <= 1.0
            coarse = fine if following == 2 * count else self._level(following // 2)
            count = following

    # -- sizes

    def _first_count(self) -> int:
        if self._options.samples is not None:
            self._need_memory(self._options.samples)
            return self._options.samples
        self._need_memory(FEWEST)
        columns = max(self._plan.columns().values(), default=1)
        count = START if columns < START else 2 * START
        while count > FEWEST and not self._affordable(count):
            count //= 2
        return count

    def _next_count(self, count: int, excess: float) -> int:
        """A larger count that may bring the error down to the tolerance (it falls about as N^−0.65), or the same one."""
        if self._options.samples is not None:
            return count
        wanted = 2 * count
        while wanted < MOST and (wanted / count) ** 0.65 < excess and self._affordable(2 * wanted):
            wanted *= 2
        return wanted if wanted <= MOST and self._affordable(wanted) else count

    @property
    def _runs(self) -> int:
        """How many runs of the program one size takes."""
        return REPLICATES * self._scenarios

    def _plan_at(self, count: int) -> Plan:
        """The plan that stores what averages share, if there is memory for that."""
        return self._faster if self._bytes(count, self._faster) <= MEMORY_SHARE * available_memory() / 2 else self._plan

    def _bytes(self, count: int, p: Plan) -> int:
        pooled = sum(prod(v.type.shape) for kind, v in self._targets if kind == "distribution")
        kept = self._runs * p.copies * count * pooled
        return 8 * (p.copies * stored_numbers(p, count) + kept + 2 * DRAWS * self._chance_size)

    def _affordable(self, count: int) -> bool:
        p = self._plan_at(count)
        if self._bytes(count, p) > MEMORY_SHARE * available_memory():
            return False
        return self._runs * p.copies * work(p, count) <= (SCENARIO_WORK if p.scenario else WORK)

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

    def _level(self, count: int) -> Level:
        samples: list[list[np.ndarray]] = [[] for _ in self._targets]
        for replicate in self._replicates(count):
            for kept, sample in zip(samples, replicate, strict=True):
                kept.append(sample)
        statistics = []
        pooled: list[np.ndarray | None] = []
        for (kind, value), replicates in zip(self._targets, samples, strict=True):
            statistic = np.stack([self._statistic(kind, s) for s in replicates])
            if not np.isfinite(statistic).all():
                raise NexortError(_not_finite(value))
            statistics.append(statistic)
            pooled.append(np.concatenate(replicates) if kind == "distribution" else None)
        return Level(count, statistics, pooled)

    def _replicates(self, count: int) -> Iterator[list[np.ndarray]]:
        """All randomisations in order, on as many threads as there are processors and memory for (NumPy and kernels release Python's lock)."""
        workers = min(os.cpu_count() or 1, REPLICATES, self._abreast(count))
        pool = ThreadPoolExecutor(workers)
        try:
            for replicate, found in enumerate(pool.map(partial(self._replicate, count), range(REPLICATES))):
                self._progress(f"{count} particles: randomisation {replicate + 1} of {REPLICATES} done")
                yield found
        finally:
            pool.shutdown(cancel_futures=True)  # interrupted: what has not begun does not begin

    def _abreast(self, count: int) -> int:
        """How many randomisations fit into memory at once, at least one."""
        return max(1, int(MEMORY_SHARE * available_memory() / (self._bytes(count, self._plan_at(count)) + 1)))

    def _replicate(self, count: int, replicate: int) -> list[np.ndarray]:
        """One randomisation: for each target its particles, draws or value, with that axis first."""
        seed = np.random.SeedSequence([self._options.seed, count, replicate])
        chance_seed, *seeds = seed.spawn(1 + self._scenarios)
        chance = self._chance(np.random.default_rng(chance_seed))
        p = self._plan_at(count)
        engine: Engine = "numba" if self._runs * p.copies * p.cost[1] * count**2 > COMPILE_FROM else "numpy"
        parts = []
        for k, s in enumerate(seeds):
            draws = chance[:, k : k + 1] if self._plan.scenario else chance
            systems = [System(p, count, draws, own, engine) for own in s.spawn(p.copies)]
            run_together(p, systems)
            parts.append([self._joined(v, [system.values[v.id] for system in systems]) for _, v in self._targets])
        return [np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts, strict=True)]

    def _joined(self, v: Value, arrays: list[np.ndarray]) -> np.ndarray:
        """What several systems say of one value: all their particles, or the mean of their scalars (which have the same draws)."""
        if len(arrays) == 1:
            return arrays[0]
        return np.concatenate(arrays) if v.type.axes else np.mean(arrays, axis=0)

    def _chance(self, rng: np.random.Generator) -> np.ndarray:
        """Standard normals for the random scalars, (their number, draws)."""
        size = self._chance_size
        if self._plan.scenario:
            return normal_quantile(sobol.points(self._scenarios, 0, size, rng))
        draws = DRAWS
        while draws < 4 * size:
            draws *= 2
        return Space(draws, rng).normals(size) if size else np.empty((0, 1))

    def _statistic(self, kind: Kind, sample: np.ndarray) -> np.ndarray:
        mean = sample.mean(axis=0)
        if kind != "covariance":
            return mean
        flat = (sample - mean).reshape(len(sample), -1)
        freedom = len(sample) - 1 if self._plan.scenario else len(sample)
        return (flat.T @ flat / max(1, freedom)).reshape(sample.shape[1:] * 2)

    # -- answers

    def _answer(self, i: int, coarse: Level | None, fine: Level) -> Answer:
        mean, error = _combine(coarse.statistics[i] if coarse else None, fine.statistics[i])
        pooled = fine.pooled[i]
        if pooled is None:
            return Estimate(np.asarray(mean), np.asarray(error), "sampled")
        return _distribution(coarse.pooled[i] if coarse else None, pooled, error)

    def _excess(self, answer: Answer) -> float:
        """The largest error in units of the tolerance."""
        value = answer.value if isinstance(answer, Estimate) else answer.mean
        scale = max(1.0, float(np.max(np.abs(value), initial=0.0)))
        return float(np.max(answer.stderr, initial=0.0)) / (self._options.tol * scale)


def _combine(coarse: np.ndarray | None, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the finer replicates. What the two sizes differ by beyond their scatter counts as bias: of order 1/N, it is what is left."""
    mean = fine.mean(axis=0)
    scatter = STUDENT * fine.std(axis=0, ddof=1) / len(fine) ** 0.5
    if coarse is None:
        return mean, scatter
    scatter_coarse = STUDENT * coarse.std(axis=0, ddof=1) / len(coarse) ** 0.5
    bias = np.maximum(0.0, np.abs(mean - coarse.mean(axis=0)) - np.hypot(scatter, scatter_coarse))
    return mean, np.hypot(scatter, bias)


def _distribution(coarse: np.ndarray | None, sample: np.ndarray, error: np.ndarray) -> Distribution:
    """The distribution of pooled particles (or draws), per finite entry; `coarse`: those of the smaller size."""
    mean = sample.mean(axis=0)
    centred = sample - mean
    variance = np.mean(centred**2, axis=0)
    unit = centred / np.sqrt(np.where(variance > 0.0, variance, 1.0))
    quantiles = np.quantile(sample, PROBABILITIES, axis=0)
    return Distribution(
        mean=np.asarray(mean),
        variance=np.asarray(variance),
        quantiles={p: np.asarray(q) for p, q in zip(PROBABILITIES, quantiles, strict=True)},
        skewness=np.asarray(np.mean(unit**3, axis=0)),
        kurtosis=np.where(variance > 0.0, np.mean(unit**4, axis=0) - 3.0, 0.0),
        stderr=np.asarray(error),
        method="sampled",
        curve=np.asarray(np.quantile(sample, CURVE, axis=0)),
        curve_stderr=_error(coarse, sample, lambda part: np.quantile(part, CURVE, axis=0)),
        variance_stderr=_error(coarse, sample, lambda part: np.var(part, axis=0)),
    )


def _error(coarse: np.ndarray | None, fine: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The standard error of a statistic of pooled particles: the scatter between randomisations, and the bias that two sizes show."""

    def of_each(pooled: np.ndarray) -> np.ndarray:
        return np.stack([statistic(part) for part in np.split(pooled, REPLICATES)])

    return np.asarray(_combine(None if coarse is None else of_each(coarse), of_each(fine))[1])


def _not_finite(value: Value) -> Diagnostic:
    return Diagnostic(
        "NX301",
        "expected a finite expectation, found one that is infinite or not a number",
        value.span,
        hint="look for a division by something that can be 0, a log or sqrt of something negative, or an exp of something large",
    )
