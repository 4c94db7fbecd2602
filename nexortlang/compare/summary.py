"""What the runs at one width say, with errors.

In: the sample of one show. Out: an estimate or a distribution with the standard errors of its means over runs, and the standard deviation between runs.
"""

from __future__ import annotations

import numpy as np

from nexortlang.finite.simulate import Sample
from nexortlang.kets.results import CURVE, Distribution, Estimate

PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarise(sample: Sample) -> tuple[Estimate | Distribution, np.ndarray]:
    """The answer, and the standard deviation over runs of its values (of a distribution: of its means); nan for one run."""
    with np.errstate(all="ignore"):
        if sample.kind == "distribution":
            means = sample.values.mean(axis=1)
            return _distribution(sample.values, _error(means)), _deviation(means)
        return Estimate(sample.values.mean(axis=0), _error(sample.values), "sampled"), _deviation(sample.values)


def _distribution(values: np.ndarray, error: np.ndarray) -> Distribution:
    """Of all coordinates of all runs."""
    pooled = values.reshape(-1, *values.shape[2:])
    mean, variance = pooled.mean(axis=0), pooled.var(axis=0)
    unit = (pooled - mean) / np.sqrt(np.where(variance > 0.0, variance, 1.0))
    return Distribution(
        mean=mean,
        variance=variance,
        quantiles={p: np.asarray(np.quantile(pooled, p, axis=0)) for p in PROBABILITIES},
        skewness=np.asarray(np.mean(unit**3, axis=0)),
        kurtosis=np.where(variance > 0.0, np.mean(unit**4, axis=0) - 3.0, 0.0),
        stderr=error,
        method="sampled",
        curve=np.asarray(np.quantile(pooled, CURVE, axis=0)),
    )


def _deviation(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(axis=0, ddof=1)) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def _error(values: np.ndarray) -> np.ndarray:
    return _deviation(values) / len(values) ** 0.5
