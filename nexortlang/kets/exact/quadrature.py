"""Gaussian quadrature in one and two dimensions.

In: functions of one or two Gaussians, given per *entry* (arrays over P entries of means, variances, covariances), as `Integrand`s. Out: P expectations and an error estimate
each. Smooth functions: the trapezoid rule in standardised variables, which converges geometrically for analytic functions; the step is halved until it
no longer matters. Functions with kinks: Gauss–Legendre panels that end at the kinks, where they stand. Many pairs of one product:
the Hermite (Mehler) series E f(u) g(v) = Σ_k a_k b_k ρ^k, its length chosen by its remainder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from nexortlang.kets.exact.atoms import NotStructured

REACH = 12.0  # standard deviations covered in one dimension
REACH_2D = 9.0
TARGET = 1e-13  # relative to the size of the integrand
ACCEPTED = 1e-9  # relative to the integrand's size: an estimate worse than this is no result
MOST_EVALUATIONS = 3e9  # of an integrand, in one call: about a minute
_CHUNK = 2_000_000  # integrand values held at once
_INV_ROOT_2PI = 1.0 / math.sqrt(2.0 * math.pi)


Function: TypeAlias = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Integrand:
    """f(values, entries): the integrand at Gaussians `values` (one array of shape (p, nodes…) per variable) for the entries numbered `entries`.

    `switches` are functions of the same form that vanish exactly where f or a derivative of f jumps.
    """

    function: Function
    switches: tuple[Function, ...] = ()


class Divergent(Exception):
    """The integrand grows too fast: the expectation is infinite or not a number."""


# ---------------------------------------------------------------------------- one dimension


def mean_1d(f: Integrand, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E f(g), g ~ N(mean, std²), for P entries: values and error estimates, arrays (P,)."""
    count = len(mean)
    values, errors = np.empty(count), np.empty(count)
    block = max(1, _CHUNK // 2000)
    for start in range(0, count, block):
        entries = np.arange(start, min(start + block, count))
        values[entries], errors[entries] = _mean_1d_block(f, mean[entries], std[entries], entries)
    return _settled(values, errors)


def _settled(values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is 0 within its error is 0: odd functions then vanish, and what they multiply."""
    return np.where(np.abs(values) <= errors, 0.0, values), errors


def _mean_1d_block(
    f: Integrand, mean: np.ndarray, std: np.ndarray, entries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    def integrand(z: np.ndarray) -> np.ndarray:
        return f.function([mean[:, None] + std[:, None] * z], entries) * (np.exp(-0.5 * z * z) * _INV_ROOT_2PI)

    breaks = _kinks_1d(f, mean, std, entries)
    return _trapezoid(integrand, len(entries)) if breaks is None else _panels(integrand, breaks)


def _trapezoid(integrand: Callable[[np.ndarray], np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Halve the step until nothing changes. New nodes lie between the old ones, which are not evaluated again."""
    step = 0.5
    z = np.arange(-REACH, REACH + step / 2, step)[None, :]
    first = _checked(integrand(z))
    _refuse_divergence(first)
    total, size = step * first.sum(axis=-1), step * np.abs(first).sum(axis=-1)
    error = np.full(count, np.inf)
    while step > 0.004:
        z = np.arange(-REACH + step / 2, REACH, step)[None, :]
        middle = _checked(integrand(z))
        new = 0.5 * total + 0.5 * step * middle.sum(axis=-1)
        size = 0.5 * size + 0.5 * step * np.abs(middle).sum(axis=-1)
        error, total, step = np.abs(new - total), new, step / 2
        if (error <= TARGET * size).all():
            break
    # The rule converges geometrically: what the last halving changed bounds what the next would.
    total, error, size = (np.broadcast_to(a, (count,)) for a in (total, error, size))
    return total, _accepted(error, size)


def _panels(integrand: Callable[[np.ndarray], np.ndarray], breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    results = []
    size = np.zeros(len(breaks))
    for order in (14, 20):
        z, w = panel_nodes(breaks, order)
        values = _checked(integrand(z))
        _refuse_divergence(values)
        results.append((values * w).sum(axis=-1))
        size = (np.abs(values) * w).sum(axis=-1)
    return results[1], _accepted(np.abs(results[1] - results[0]), size)


def panel_nodes(breaks: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes and weights on the panels between sorted breaks (…, b): arrays (…, (b−1)·order)."""
    x, w = legendre(order)
    low, high = breaks[..., :-1, None], breaks[..., 1:, None]
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * x
    weights = 0.5 * (high - low) * w
    shape = (*breaks.shape[:-1], -1)
    return nodes.reshape(shape), weights.reshape(shape)


@lru_cache(maxsize=8)
def legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(order)


def _accepted(errors: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Error estimates, if they are those of a converged rule; particles, with an honest error, are better than one that is not."""
    if (errors > ACCEPTED * sizes).any():
        raise NotStructured("quadrature has not converged")
    return np.maximum(errors, TARGET * sizes)


def _checked(values: np.ndarray) -> np.ndarray:
    """Refuses what is undefined on a set of positive probability; single points, poles of log|g| or 1/√|g|, are no matter for particles."""
    undefined = ~np.isfinite(values)
    if undefined.any():
        quarter = undefined.shape[-1] // 4  # the outer nodes carry no probability to speak of
        if undefined[..., quarter : -quarter or None].mean(axis=-1).max() > 0.3:
            raise Divergent("the integrand is infinite or not a number where the Gaussian lives")
        raise NotStructured("a function with a pole")
    return values


def _refuse_divergence(values: np.ndarray) -> None:
    """An integrand that has not died out at 12 standard deviations has no expectation."""
    edge = np.maximum(np.abs(values[..., 0]), np.abs(values[..., -1]))
    if (edge > 1e-6 * (np.abs(values).max(axis=-1) + 1e-300)).any():
        raise Divergent("the integrand grows as fast as the Gaussian density falls")


def _kinks_1d(f: Integrand, mean: np.ndarray, std: np.ndarray, entries: np.ndarray) -> np.ndarray | None:
    """Sorted breaks (P, b) for composite panels, or None for a smooth integrand."""
    if not f.switches:
        return None
    roots = [
        zeros(lambda z, s=s: s([mean[:, None] + std[:, None] * z], entries), len(mean), REACH)  # type: ignore[misc]
        for s in f.switches
    ]
    base = np.broadcast_to(np.linspace(-REACH, REACH, 17), (len(mean), 17))
    return np.sort(np.concatenate([base, *roots], axis=1), axis=1)


def zeros(s: Callable[[np.ndarray], np.ndarray], count: int, reach: float, grid: int = 97) -> np.ndarray:
    """Zeros of `count` functions on [−reach, reach], (count, r), rows padded with `reach`. Sign changes on a grid, then bisection."""
    z = np.linspace(-reach, reach, grid)
    # An even number of intervals would put a node on 0, where kinks love to be; a shift keeps nodes off it.
    z[1:-1] += 0.137 * (z[1] - z[0])
    values = np.broadcast_to(s(z[None, :]), (count, grid))
    change = (values[:, :-1] > 0) != (values[:, 1:] > 0)
    most = int(change.sum(axis=1).max(initial=0))
    roots = np.full((count, most), reach)
    row, column = np.nonzero(change)
    slot = np.arange(len(row)) - np.searchsorted(row, row)
    low, high = np.full((count, most), reach), np.full((count, most), reach)
    low[row, slot], high[row, slot] = z[column], z[column + 1]
    if most == 0:
        return roots
    f_low, f_high = s(low), s(high)
    with np.errstate(all="ignore"):
        guess = np.where(f_high != f_low, low - f_low * (high - low) / (f_high - f_low), 0.5 * (low + high))
    guess = np.clip(np.nan_to_num(guess, nan=reach), low, high)
    if (np.abs(s(guess)) <= 1e-15 * (np.abs(f_low) + np.abs(f_high))).all():
        return guess  # affine: linear interpolation was exact
    upward = f_high > 0
    for _ in range(60):
        middle = 0.5 * (low + high)
        right = (s(middle) > 0) == upward
        low, high = np.where(right, low, middle), np.where(right, middle, high)
    return 0.5 * (low + high)


# ---------------------------------------------------------------------------- two dimensions


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of jointly Gaussian (u, v), arrays (P,)."""

    mean_u: np.ndarray
    mean_v: np.ndarray
    var_u: np.ndarray
    var_v: np.ndarray
    cov: np.ndarray

    def take(self, entries: np.ndarray) -> Pairs:
        return Pairs(*(a[entries] for a in (self.mean_u, self.mean_v, self.var_u, self.var_v, self.cov)))

    @property
    def factor(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u = μ + s z₁, v = μ′ + b z₁ + c z₂: (s, b, c)."""
        s = np.sqrt(np.maximum(self.var_u, 0.0))
        b = np.divide(self.cov, s, out=np.zeros_like(s), where=s > 0)
        return s, b, np.sqrt(np.maximum(self.var_v - b * b, 0.0))


def mean_2d(f: Integrand, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """E f(u, v) for P pairs: values and error estimates, arrays (P,). Pairs on one line (a diagonal) need one dimension only."""
    on_a_line = pairs.var_u * pairs.var_v - pairs.cov**2 <= 4e-16 * pairs.var_u * pairs.var_v
    if not on_a_line.any():
        return _settled(*_plane(f, pairs))
    values, errors = np.empty(len(pairs.cov)), np.empty(len(pairs.cov))
    for mask, rule in ((on_a_line, _line), (~on_a_line, _plane)):
        entries = np.nonzero(mask)[0]
        if len(entries):
            values[entries], errors[entries] = rule(_restricted(f, entries), pairs.take(entries))
    return _settled(values, errors)


def _restricted(f: Integrand, entries: np.ndarray) -> Integrand:
    """The integrand for some of the entries, renumbered."""

    def at(g: Function) -> Function:
        return lambda values, local: g(values, entries[local])

    return Integrand(at(f.function), tuple(at(s) for s in f.switches))


def _line(f: Integrand, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Perfectly correlated pairs: (u, v) = μ + z (σ, ±σ′)."""
    su, sv = np.sqrt(np.maximum(pairs.var_u, 0.0)), np.sqrt(np.maximum(pairs.var_v, 0.0))
    signed = np.where(pairs.cov < 0, -sv, sv)

    def along(g: Function) -> Function:
        def one(values: Sequence[np.ndarray], entries: np.ndarray) -> np.ndarray:
            z = values[0]
            extra = (slice(None),) + (None,) * (np.ndim(z) - 1)
            parts = ((pairs.mean_u, su), (pairs.mean_v, signed))
            return g([m[entries][extra] + s[entries][extra] * z for m, s in parts], entries)

        return one

    unit = np.ones(len(su))
    return mean_1d(Integrand(along(f.function), tuple(along(s) for s in f.switches)), 0.0 * unit, unit)


def _plane(f: Integrand, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    if len(pairs.cov) * (30_000 if f.switches else 5_000) > MOST_EVALUATIONS:
        raise NotStructured("quadrature over very many pairs")
    if f.switches:
        return _blocks(f, pairs, _panels_2d, 64)
    return _smooth_2d(f, pairs)


def _smooth_2d(f: Integrand, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid on a square grid, refined for the pairs that still change."""
    count = len(pairs.cov)
    values, errors, sizes = np.zeros(count), np.full(count, np.inf), np.zeros(count)
    left = np.arange(count)
    step = 0.75
    while len(left) and step > 0.02:
        step /= 2 if step < 0.7 else 1.5
        z = np.arange(-REACH_2D, REACH_2D + step / 2, step)
        new, sizes[left] = _grid_mean(f, pairs, left, z, step)
        errors[left] = np.abs(new - values[left])
        values[left] = new
        left = left[errors[left] > 3 * TARGET * sizes[left]]
    return values, _accepted(errors, sizes)


def _grid_mean(
    f: Integrand, pairs: Pairs, entries: np.ndarray, z: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    weight = step * np.exp(-0.5 * z * z) * _INV_ROOT_2PI
    values, sizes = np.empty(len(entries)), np.empty(len(entries))
    block = max(1, _CHUNK // len(z) ** 2)
    for start in range(0, len(entries), block):
        part = entries[start : start + block]
        p = pairs.take(part)
        s, b, c = (a[:, None, None] for a in p.factor)
        u = p.mean_u[:, None, None] + s * z[:, None]
        v = p.mean_v[:, None, None] + b * z[:, None] + c * z
        w = f.function([u, v], part) * weight[:, None] * weight
        w = np.broadcast_to(_checked(w), (len(part), len(z), len(z)))
        values[start : start + block] = w.sum(axis=(1, 2))
        sizes[start : start + block] = np.abs(w).sum(axis=(1, 2))
    return values, sizes


def _blocks(
    f: Integrand,
    pairs: Pairs,
    rule: Callable[[Integrand, Pairs, np.ndarray], tuple[np.ndarray, np.ndarray]],
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    parts = [np.arange(k, min(k + size, len(pairs.cov))) for k in range(0, len(pairs.cov), size)]
    done = [rule(f, pairs.take(part), part) for part in parts]
    return np.concatenate([v for v, _ in done]), np.concatenate([e for _, e in done])


def _panels_2d(f: Integrand, p: Pairs, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Iterated panels. Inner breaks are the kinks along z₂; outer ones those along z₁ and, where inner kinks sweep by fast, around them."""
    breaks = _outer_breaks(f, p, entries)
    results, size = [], np.zeros(len(entries))
    for order in (10, 16):
        z1, w1 = panel_nodes(breaks, order)
        inner = np.empty_like(z1)
        block = max(1, _CHUNK // (len(entries) * 12 * order))
        for start in range(0, z1.shape[1], block):
            piece = slice(start, start + block)
            inner[:, piece] = _inner_mean(f, p, entries, z1[:, piece], order)
        weighted = inner * w1 * (np.exp(-0.5 * z1 * z1) * _INV_ROOT_2PI)
        results.append(weighted.sum(axis=1))
        size = np.abs(weighted).sum(axis=1)
    return results[1], _accepted(np.abs(results[1] - results[0]), size)


def _at(p: Pairs, z1: np.ndarray, z2: np.ndarray) -> list[np.ndarray]:
    """(u, v) at standardised coordinates whose leading axis is the pair."""
    extra = (slice(None),) + (None,) * (np.ndim(z1) - 1)
    s, b, c = (a[extra] for a in p.factor)
    return [p.mean_u[extra] + s * z1 + 0.0 * z2, p.mean_v[extra] + b * z1 + c * z2]


def _outer_breaks(f: Integrand, p: Pairs, entries: np.ndarray) -> np.ndarray:
    count = len(entries)
    columns = [np.broadcast_to(np.linspace(-REACH_2D, REACH_2D, 13), (count, 13))]
    for s in f.switches:
        roots = zeros(lambda z1, s=s: s(_at(p, z1 + np.zeros((count, 1)), np.zeros((1, 1))), entries), count, REACH_2D)  # type: ignore[misc]
        if not roots.shape[1]:
            continue
        width = np.clip(_crossing_width(s, p, entries, roots), 0.0, REACH_2D)
        columns.append(roots)
        columns.extend(roots + k * width for k in (-9.0, -3.0, -1.0, 1.0, 3.0, 9.0))
    return np.sort(np.clip(np.concatenate(columns, axis=1), -REACH_2D, REACH_2D), axis=1)


def _crossing_width(s: Function, p: Pairs, entries: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """How far z₁ moves while the kink crosses one standard deviation of z₂: |∂s/∂z₂| / |∂s/∂z₁|."""
    h = 1e-4
    along = s(_at(p, roots, np.full((1, 1), h)), entries) - s(_at(p, roots, np.full((1, 1), -h)), entries)
    across = s(_at(p, roots + h, np.zeros((1, 1))), entries) - s(_at(p, roots - h, np.zeros((1, 1))), entries)
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(along) / np.abs(across), nan=0.0, posinf=REACH_2D)


def _inner_mean(f: Integrand, p: Pairs, entries: np.ndarray, z1: np.ndarray, order: int) -> np.ndarray:
    count, outer = z1.shape
    row = np.repeat(np.arange(count), outer)
    flat = p.take(row)
    at = z1.reshape(-1, 1)
    columns = [np.broadcast_to(np.linspace(-REACH_2D, REACH_2D, 9), (len(row), 9))]
    columns.extend(
        zeros(lambda z2, s=s: s(_at(flat, at, z2 + np.zeros((len(row), 1))), entries[row]), len(row), REACH_2D, 33)  # type: ignore[misc]
        for s in f.switches
    )
    z2, w2 = panel_nodes(np.sort(np.concatenate(columns, axis=1), axis=1), order)
    values = f.function(_at(flat, at, z2), entries[row]) * w2 * (np.exp(-0.5 * z2 * z2) * _INV_ROOT_2PI)
    return _checked(values).sum(axis=1).reshape(count, outer)


# ---------------------------------------------------------------------------- Hermite series


@dataclass(frozen=True, slots=True)
class HermiteSide:
    """Coefficients a_k of f(μ + σ z) in normalised Hermite polynomials, (entries, terms), and the norm of what they leave out after each k."""

    coefficients: np.ndarray
    remainders: np.ndarray


def hermite_side(f: Integrand, mean: np.ndarray, std: np.ndarray, terms: int) -> HermiteSide:
    """The expansion of one function for every entry."""
    entries = np.arange(len(mean))
    breaks = _kinks_1d(f, mean, std, entries)
    if breaks is None:
        step = 0.05
        z, w = np.arange(-REACH, REACH + step / 2, step)[None, :], np.full((1, 1), step)
    else:
        z, w = panel_nodes(breaks, 20)
    values = _checked(f.function([mean[:, None] + std[:, None] * z], entries)) * np.ones_like(z)
    root_weight = np.sqrt(w * np.exp(-0.5 * z * z) * _INV_ROOT_2PI)
    weighted = np.broadcast_to(values * root_weight, (len(mean), z.shape[1]))
    coefficients = np.empty((len(mean), terms))
    previous, current = np.zeros_like(root_weight), root_weight
    for k in range(terms):
        coefficients[:, k] = (weighted @ current[0]) if breaks is None else (weighted * current).sum(axis=1)
        previous, current = current, (z * current - math.sqrt(k) * previous) / math.sqrt(k + 1)
    norm = (weighted**2).sum(axis=1)
    left = norm[:, None] - np.cumsum(coefficients**2, axis=1)
    return HermiteSide(coefficients, np.sqrt(np.maximum(left, 1e-16 * norm[:, None])))


def series_length(a: HermiteSide, b: HermiteSide, largest: float, tolerance: float) -> int | None:
    """The fewest terms whose remainder, ≤ |ρ|^K ‖f − f_K‖ ‖g − g_K‖, is below tolerance for |ρ| ≤ largest; None if no length serves."""
    terms = a.coefficients.shape[1]
    bound = a.remainders.max(axis=0) * b.remainders.max(axis=0) * largest ** np.arange(1, terms + 1)
    enough = np.nonzero(bound <= tolerance)[0]
    return int(enough[0]) + 1 if len(enough) else None


def series(columns: Sequence[tuple[np.ndarray, np.ndarray]], rho: np.ndarray) -> np.ndarray:
    """Σ_k a_k b_k ρ^k by Horner's rule; a_k (rows, 1), b_k (1, columns)."""
    total = columns[-1][0] * columns[-1][1] * np.ones_like(rho)
    for a, b in reversed(columns[:-1]):
        total *= rho
        if a.any() and b.any():
            total += a * b
    return total
