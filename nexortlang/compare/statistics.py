"""From runs at several widths to infinite width: fits with their errors.

In: what single runs gave, at several widths. Out: the value extrapolated to infinite width, how sure it is, and how far from a limit it lies. Everything
here acts on many numbers at once, along the last axis.

The model: at width n a number has expectation θ + b·n^(−r), r known, and spreads over runs like n^(−ρ), ρ known. θ is fitted by least squares with weights n^(2ρ). Its standard
error comes from the scatter at each width, not from the weights; Student's t with Satterthwaite's degrees of freedom accounts for few runs. What
a further term c·n^(−2r) would change, beyond its own noise, counts as an error, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nexortlang.entrywise.special import normal_quantile

FAMILY = 0.01
"""How often a program whose limit is right may be called wrong, all its numbers together."""


@dataclass(frozen=True, slots=True)
class Series:
    """A batch of numbers at several widths: means over runs and their standard errors (widths, numbers), each from `freedom` + 1 runs."""

    widths: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    freedom: int


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """The values at infinite width, their standard errors, and the degrees of freedom of these."""

    values: np.ndarray
    errors: np.ndarray
    freedom: np.ndarray


def extrapolate(series: Series, bias_rate: float, spread_rate: float = 0.5) -> Extrapolation:
    """θ of the fit θ + b·n^(−bias_rate). Runs spread like n^(−spread_rate): weights that were fitted, too, would favour what scatters little by chance."""
    weights = series.widths ** (2.0 * spread_rate)
    line = _intercept(series.widths, weights, bias_rate, 1)
    values, noise = line @ series.means, line**2 @ series.errors**2
    other = _intercept(series.widths, weights, bias_rate, 2 if len(series.widths) > 2 else 0) - line
    excess = np.abs(other @ series.means) - 2.0 * np.sqrt(other**2 @ series.errors**2)
    fourth = line**4 @ series.errors**4
    freedom = series.freedom * np.divide(noise**2, fourth, out=np.ones_like(noise), where=fourth > 0.0)
    return _with_certain_error(Extrapolation(values, np.sqrt(noise), freedom), np.maximum(0.0, excess))


def _with_certain_error(e: Extrapolation, error: np.ndarray) -> Extrapolation:
    """An error of another kind added, which is no estimate."""
    total = np.hypot(e.errors, error)
    freedom = e.freedom * np.divide(total, e.errors, out=np.full_like(total, np.inf), where=e.errors > 0.0) ** 4
    return Extrapolation(e.values, total, freedom)


def deviations(
    e: Extrapolation, limits: np.ndarray, errors: np.ndarray, freedom: float, rounding: np.ndarray
) -> np.ndarray:
    """How far the values lie from the limits, in standard errors of a normal distribution with the same tail.

    `errors` of the limits are estimates with `freedom` degrees of freedom; `rounding` is an error of both engines' arithmetic: what differs by no more agrees.
    What is no number is infinitely far.
    """
    total = np.sqrt(e.errors**2 + errors**2 + rounding**2)
    fourth = e.errors**4 / e.freedom + errors**4 / freedom
    joint = np.divide(total**4, fourth, out=np.full_like(total, np.inf), where=fourth > 0.0)
    off = _as_normal((e.values - limits) / total, joint)
    return np.where(np.abs(e.values - limits) <= rounding, 0.0, np.where(np.isnan(off), np.inf, off))


def _as_normal(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """The normal deviate that is as improbable as Student's t (Wallace 1959)."""
    finite = np.minimum(freedom, 1e9)
    shrunk = np.sqrt(finite * np.log1p(t**2 / finite)) * (8.0 * finite + 1.0) / (8.0 * finite + 3.0)
    return np.asarray(np.sign(t) * shrunk)


def threshold(count: int) -> float:
    """The deviation from which one of `count` numbers is called wrong: together they are, by chance, with probability FAMILY at most."""
    return float(-normal_quantile(np.asarray(FAMILY / (2.0 * max(1, count)))))


def slope(widths: np.ndarray, sizes: np.ndarray) -> float:
    """The exponent in sizes ~ n^slope, by least squares; −1/2, what theory says, where sizes vanish."""
    if not np.all(sizes > 0.0):
        return -0.5
    x = np.log(widths) - np.log(widths).mean()
    return float(x @ np.log(sizes) / (x @ x))


def rms(a: np.ndarray) -> np.ndarray:
    """The root mean square along the last axis (0 of nothing)."""
    return np.sqrt(np.mean(a**2, axis=-1)) if a.shape[-1] else np.zeros(a.shape[:-1])


def _intercept(widths: np.ndarray, weights: np.ndarray, rate: float, degree: int) -> np.ndarray:
    """The coefficients of the means in the constant term of a weighted fit of this degree in n^(−rate)."""
    x = (widths / widths.min()) ** -rate
    root = np.sqrt(weights / weights.max())
    design = np.stack([x**k for k in range(degree + 1)], axis=1) * root[:, None]
    return np.asarray(np.linalg.pinv(design)[0] * root)
