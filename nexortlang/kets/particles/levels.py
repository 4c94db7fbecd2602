"""What independent randomisations say: means, their errors from scatter and from two sizes, distributions.

In: for each randomisation a statistic or particles. Out: a mean with its error, a Distribution, how many randomisations an error takes.
Guarantees: a value lies within two errors of its limit about 95 times in 100. The factor of Student's t for the number of randomisations is in the error, and so is
what two sizes show of a bias of order 1/N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nexortlang.kets.results import CURVE, Distribution

REPLICATES = 8
"""How many randomisations there are at least: fewer do not show their scatter."""
COARSER = 4
"""How many times as many particles the finer of two sizes has. A bias b of N makes a difference of 3 b, where chance makes √5 times the scatter at N; of N and N/2 it would be b and √3 times."""
PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Level:
    """What randomisations with `count` particles gave: for each target its statistic (replicates first), and for distributions the particles of each."""

    count: int
    statistics: list[np.ndarray]
    pooled: list[list[np.ndarray]]

    @property
    def runs(self) -> int:
        return len(self.statistics[0])

    def joined(self, more: Level) -> Level:
        """With more randomisations of the same size."""
        statistics = [np.concatenate(s) for s in zip(self.statistics, more.statistics, strict=True)]
        return Level(self.count, statistics, [[*a, *b] for a, b in zip(self.pooled, more.pooled, strict=True)])


@dataclass(frozen=True, slots=True)
class Comparison:
    """A mean and its scatter; how far it is from that of coarser replicates, and the scatter of that."""

    mean: np.ndarray
    scatter: np.ndarray
    gap: np.ndarray
    noise: np.ndarray

    def bias(self, factor: float = 1.0) -> np.ndarray:
        """What is left at N of a bias of order 1/N that makes the two sizes differ beyond their scatter, or a multiple of it."""
        return np.maximum(0.0, self.gap - factor * self.noise) / (COARSER - 1)

    @property
    def error(self) -> np.ndarray:
        return np.asarray(np.hypot(self.scatter, self.bias()))


def compare(coarse: np.ndarray | None, fine: np.ndarray) -> Comparison:
    """Statistics of replicates at N / COARSER and at N, replicates first."""
    mean, scatter = fine.mean(axis=0), _standard_error(fine)
    if coarse is None:
        return Comparison(mean, scatter, np.zeros_like(scatter), scatter)
    return Comparison(mean, scatter, np.abs(coarse.mean(axis=0) - mean), np.hypot(scatter, _standard_error(coarse)))


def _halved_interval(runs: int) -> float:
    """Half the 97.5% point of Student's t with runs − 1 degrees of freedom (Cornish-Fisher, good to 1e-4 from 7 on): two standard errors are then a 95% interval."""
    z, k = 1.959964, runs - 1
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / k**power for power, term in enumerate(terms)) / 2


def runs_for(chance: float, runs: int, wanted: float) -> int:
    """How many replicates have the error `wanted`, where `runs` of them have `chance`; the more, the smaller Student's factor in it."""
    own = chance * runs**0.5 / _halved_interval(runs)
    number = (own / wanted) ** 2
    for _ in range(3):
        number = (own * _halved_interval(max(REPLICATES, math.ceil(number))) / wanted) ** 2
    return math.ceil(number)


def _standard_error(statistics: np.ndarray) -> np.ndarray:
    """Of the mean over replicates, the first axis."""
    runs = len(statistics)
    return np.asarray(_halved_interval(runs) * statistics.std(axis=0, ddof=1) / runs**0.5)


def distribution(
    coarse: Sequence[np.ndarray] | None, parts: Sequence[np.ndarray], error: np.ndarray, scenario: bool
) -> Distribution:
    """The distribution of particles (or draws), per finite entry, those of each randomisation apart; `coarse`: those of the smaller size.

    Means of randomisations differ by chance, which is no part of the variance; except in a scenario, whose draws make the means differ.
    """
    sample = np.concatenate(parts)
    mean = sample.mean(axis=0)
    variance = np.var(sample, axis=0) if scenario else np.mean([np.var(part, axis=0) for part in parts], axis=0)
    skewness, kurtosis = _shape(sample, mean, variance)
    shape_errors = _error(coarse, parts, lambda part: np.stack(_shape(part, part.mean(axis=0), np.var(part, axis=0))))
    quantile_errors = _error(coarse, parts, lambda part: np.quantile(part, PROBABILITIES, axis=0))
    return Distribution(
        mean=np.asarray(mean),
        variance=np.asarray(variance),
        quantiles=_by_probability(np.quantile(sample, PROBABILITIES, axis=0)),
        skewness=skewness,
        kurtosis=kurtosis,
        stderr=np.asarray(error),
        method="sampled",
        curve=np.asarray(np.quantile(sample, CURVE, axis=0)),
        curve_stderr=_error(coarse, parts, lambda part: np.quantile(part, CURVE, axis=0)),
        variance_stderr=_error(coarse, parts, lambda part: np.var(part, axis=0)),
        quantile_stderr=_by_probability(quantile_errors),
        skewness_stderr=shape_errors[0],
        kurtosis_stderr=shape_errors[1],
    )


def _by_probability(quantiles: np.ndarray) -> dict[float, np.ndarray]:
    return {p: np.asarray(q) for p, q in zip(PROBABILITIES, quantiles, strict=True)}


def _shape(sample: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skewness and excess kurtosis; both 0 of what is constant."""
    unit = (sample - mean) / np.sqrt(np.where(variance > 0.0, variance, 1.0))
    return np.asarray(np.mean(unit**3, axis=0)), np.where(variance > 0.0, np.mean(unit**4, axis=0) - 3.0, 0.0)


def _error(
    coarse: Sequence[np.ndarray] | None, fine: Sequence[np.ndarray], statistic: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The standard error of a statistic of particles: the scatter between randomisations, and the bias that two sizes show."""

    def of_each(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([statistic(part) for part in parts])

    return compare(None if coarse is None else of_each(coarse), of_each(fine)).error
