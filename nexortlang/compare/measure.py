"""What is compared of one show: numbers that each run gives, and the limits that they should have.

In: a limit answer and the sample of the same show. Out: `Measured` records. A scalar gives its value, a covariance its entries, a distribution its mean, its variance,
five quantiles and the distance of the whole distribution from its limit (Wasserstein's: the mean difference of the quantile functions). A scalar that is no longer random in the limit also gives its squared
distance from it: that every run tends to the limit is more than that their mean does.

A vector's quantiles are taken run by run. What is random in the limit has one distribution over all runs: there a run's number is the share of its coordinates below the
limit's quantile, whose mean has no bias from few runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.finite.simulate import Sample
from nexortlang.kets.results import CURVE, Distribution, Estimate

Role: TypeAlias = Literal["number", "distance", "square"]


@dataclass(frozen=True, slots=True)
class Measured:
    """`runs`: (runs, numbers). `limits` and `limit_errors`: one for each number. `floor`: the least standard error of the mean over runs.

    `random`: runs spread alike at every width. `kinked`: the bias may be of order n^(−1/2) whatever the program does. `role`: a number of its own, or how far runs are from the limit, 0 in
    the limit: a distribution as a whole, or a number by its square.
    """

    part: str
    runs: np.ndarray
    limits: np.ndarray
    limit_errors: np.ndarray
    floor: np.ndarray
    random: bool
    kinked: bool = False
    role: Role = "number"


def measure(sample: Sample, answer: Estimate | Distribution) -> list[Measured]:
    """Everything that is compared of one show."""
    random = sample.random and not sample.conditional
    if isinstance(answer, Estimate):
        numbers = _numbers(sample, answer)
        found = [numbers] if random else [numbers, _squares(numbers)]
    else:
        found = list(_distribution(sample, answer))
    return [replace(m, random=random) for m in found]


def _squares(m: Measured) -> Measured:
    """How far the runs are from the limit, squared. Fitted as if it fell like n^(−1/2), half as fast as it should: only what does not fall deviates."""
    return replace(
        m,
        part="squared distance",
        runs=(m.runs - m.limits) ** 2,
        limits=np.zeros_like(m.limits),
        limit_errors=m.limit_errors**2,
        floor=np.zeros_like(m.floor),
        kinked=True,
        role="square",
    )


def _numbers(sample: Sample, answer: Estimate) -> Measured:
    part = "covariance" if sample.kind == "covariance" else "value"
    floor = np.zeros_like(answer.value)
    if sample.kind == "covariance" and not sample.conditional:
        floor = _gaussian_error(answer.value, len(sample.values))
    return _flat(part, sample.values, answer.value, answer.stderr, floor)


def _gaussian_error(covariance: np.ndarray, runs: int) -> np.ndarray:
    """The standard error of a sample covariance of Gaussians: few runs that agree by chance shall not look sure of it."""
    half = covariance.ndim // 2
    size = int(np.prod(covariance.shape[:half]))
    c = covariance.reshape(size, size)
    d = np.diag(c)
    return np.asarray(np.sqrt((np.multiply.outer(d, d) + c**2) / max(1, runs - 1))).reshape(covariance.shape)


def _distribution(sample: Sample, limit: Distribution) -> Iterator[Measured]:
    values = sample.values
    runs, count = values.shape[:2]
    means = values.mean(axis=1)
    zero = np.zeros_like(limit.mean)
    single_floor = np.sqrt(limit.variance / runs) if count == 1 else zero
    yield _flat("mean", means, limit.mean, limit.stderr, single_floor)
    within = values.var(axis=1)
    if sample.random:
        within = within + (means - means.mean(axis=0)) ** 2 * (runs / max(1, runs - 1))
    variance_error = zero if limit.variance_stderr is None else limit.variance_stderr
    variance_floor = limit.variance * np.sqrt(2.0 / max(1, runs - 1)) if count == 1 else zero
    yield _flat("variance", within, limit.variance, variance_error, variance_floor)
    for p, quantile in limit.quantiles.items():
        error = _at(p, limit.curve_stderr, zero)
        if sample.random:
            yield _share(p, quantile, error, values)
        else:
            spread = _at(p + 0.01, limit.curve, quantile) - _at(p - 0.01, limit.curve, quantile)
            atom = spread <= 1e-9 * np.sqrt(
                limit.variance
            )  # there the error, which divides by a density, is no Gaussian's
            error = np.where(atom, 0.0, error)
            runs_say = np.quantile(values, p, axis=1)
            yield _flat(f"{100 * p:g}% quantile", runs_say, quantile, error, zero, bool(np.any(atom)))
    if limit.curve is not None and not sample.random:
        curves = np.quantile(values, CURVE, axis=1)
        distances = np.abs(curves - limit.curve[:, None]).mean(axis=0)
        error = zero if limit.curve_stderr is None else limit.curve_stderr.mean(axis=0)
        yield _flat("distance", distances, zero, error, zero, kinked=True, role="distance")


def _share(p: float, quantile: np.ndarray, error: np.ndarray, values: np.ndarray) -> Measured:
    """The share of coordinates below the quantile, which is p; where the quantile is an atom, p lies between the shares below and up to it."""
    slack = 1e-9 * (1.0 + np.abs(quantile)) + error
    below, up_to = (values < quantile - slack).mean(axis=1), (values <= quantile + slack).mean(axis=1)
    middle = (below + up_to) / 2.0
    reach = (up_to - below).mean(axis=0) / 2.0
    shift = np.clip(p - middle.mean(axis=0), -reach, reach)
    single = np.sqrt(p * (1.0 - p) / len(values)) if values.shape[1] == 1 else 0.0
    zero = np.zeros_like(quantile)
    return _flat(f"share below {100 * p:g}%", middle + shift, zero + p, zero, zero + single, kinked=True)


def _at(p: float, curve: np.ndarray | None, otherwise: np.ndarray) -> np.ndarray:
    """A curve over CURVE at p, interpolated."""
    if curve is None:
        return otherwise
    place = float(np.interp(p, CURVE, np.arange(len(CURVE))))
    low = int(place)
    high = min(low + 1, len(CURVE) - 1)
    with np.errstate(invalid="ignore"):  # an error is infinite where the density is 0
        return np.asarray(curve[low] + (place - low) * (curve[high] - curve[low]))


def _flat(
    part: str,
    runs: np.ndarray,
    limits: np.ndarray,
    errors: np.ndarray,
    floor: np.ndarray,
    kinked: bool = False,
    role: Role = "number",
) -> Measured:
    def flat(a: np.ndarray) -> np.ndarray:
        return np.broadcast_to(a, limits.shape).reshape(-1).astype(float)

    each = np.broadcast_to(runs, (len(runs), *limits.shape)).reshape(len(runs), -1)
    return Measured(part, each, flat(limits), flat(errors), flat(floor), False, kinked, role)
