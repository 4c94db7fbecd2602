"""From kets to what is shown: values, covariances, distributions, when they have an exact form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.core.program import Value
from nexortlang.entrywise.special import normal_cdf, normal_quantile
from nexortlang.kets.exact.atoms import Atom, Node, NotStructured, evaluate, switches, transform
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer
from nexortlang.kets.exact.forms import AtomKey, Ket, Root
from nexortlang.kets.exact.quadrature import Divergent, Function, Integrand, mean_1d, zeros
from nexortlang.kets.results import CURVE, Distribution, Estimate, least_exact

Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STRATA = 20_001  # points of a coordinate's distribution when it is a function of one Gaussian
_MOST_SOLVED = 64  # coordinates whose quantiles are solved for, about 0.1 s each
_REACH = 9.0


def summarise(exact: ExactLimit, kind: Kind, value: Value) -> Estimate | Distribution:
    """Raises NotStructured when there is no exact form."""
    result = exact.evaluate(value)
    match kind:
        case "scalar":
            answer = result if isinstance(result, Answer) else exact.moments.mean_of(result)
            return _estimate(answer, value.type.shape)
        case "covariance":
            return _estimate(_covariance(exact, result), value.type.shape * 2)
        case "distribution":
            return _distribution(exact, result, value.type.shape)


def _estimate(answer: Answer, shape: tuple[int, ...]) -> Estimate:
    array = (
        np.broadcast_to(answer.value, (math.prod(shape),)).reshape(shape)
        if answer.value.ndim < 2
        else answer.value.reshape(shape)
    )
    error = 0.0 if answer.method == "exact" else answer.error
    return Estimate(np.array(array, dtype=float), np.full(shape, error), answer.method)


def _covariance(exact: ExactLimit, result: Answer | Ket) -> Answer:
    if isinstance(result, Answer):
        size = result.value.size
        return Answer(np.zeros((size, size)), result.method, result.error)
    moment, mean = exact.moments.second_moment(result, result), exact.moments.mean_of(result)
    largest = float(np.abs(mean.value).max(initial=0.0))
    error = moment.error + 2.0 * largest * mean.error
    return Answer(
        moment.value - np.multiply.outer(mean.value, mean.value), least_exact(moment.method, mean.method), error
    )


def _distribution(exact: ExactLimit, result: Answer | Ket, shape: tuple[int, ...]) -> Distribution:
    if isinstance(result, Answer):
        return _point_masses(result, shape)
    if all(isinstance(k, Root) for k in result.lin.terms):
        return _gaussian(exact, result, shape)
    return _function_of_one_gaussian(exact, result, shape)


def _point_masses(answer: Answer, shape: tuple[int, ...]) -> Distribution:
    value = np.broadcast_to(answer.value, shape).astype(float)
    zero = np.zeros(shape)
    curve = np.broadcast_to(value, (len(CURVE), *shape))
    error = np.full(shape, answer.error)
    return Distribution(value, zero, dict.fromkeys(QUANTILES, value), zero, zero, error, answer.method, curve)


def _gaussian(exact: ExactLimit, ket: Ket, shape: tuple[int, ...]) -> Distribution:
    variance = exact.moments.variance(ket.lin).reshape(shape)
    mean = ket.lin.constant.reshape(shape)
    quantiles = {q: mean + np.sqrt(variance) * float(normal_quantile(q)) for q in QUANTILES}
    curve = mean + np.multiply.outer(np.asarray(normal_quantile(CURVE)), np.sqrt(variance))
    zero = np.zeros(shape)
    error = 0.0 if ket.method == "exact" else ket.error
    return Distribution(mean, variance, quantiles, zero, zero, np.full(shape, error), ket.method, curve)


def _function_of_one_gaussian(exact: ExactLimit, ket: Ket, shape: tuple[int, ...]) -> Distribution:
    """Moments by quadrature; quantiles by solving P(F(g) ≤ q) = p over the pieces where F is below q."""
    ((key, m),) = ket.lin.terms.items() if len(ket.lin.terms) == 1 else ((None, None),)
    if not isinstance(key, AtomKey) or m is None or not m.is_identity or ket.lin.constant.any():
        raise NotStructured("a coordinate that is no function of one Gaussian")
    atom = exact.moments.atom(key)
    if len(atom.leaves) != 1:
        raise NotStructured("a coordinate that is a function of several Gaussians")
    mean = exact.moments.mean_of(ket)
    second = exact.moments.variance_of(ket, mean)
    variance = np.maximum(np.broadcast_to(second.value, (atom.entries,)), 0.0)
    std = np.sqrt(exact.moments.variance(atom.leaves[0]))
    third, fourth = (_central_moment(atom, std, mean.value, k) for k in (3, 4))
    with np.errstate(all="ignore"):
        skewness = _rounded(np.nan_to_num(third / variance**1.5, posinf=np.inf))
        kurtosis = _rounded(np.nan_to_num(fourth / variance**2 - 3.0, posinf=np.inf))
    coordinates = [_Coordinate(atom, std, k) for k in range(atom.entries)]
    quantiles = np.stack([c.quantiles(QUANTILES, len(coordinates)) for c in coordinates], axis=1)
    return Distribution(
        mean.value.reshape(shape),
        variance.reshape(shape),
        {q: row.reshape(shape) for q, row in zip(QUANTILES, quantiles, strict=True)},
        skewness.reshape(shape),
        kurtosis.reshape(shape),
        np.full(shape, mean.error),
        least_exact("quadrature", mean.method, second.method),
        np.stack([c.curve(CURVE) for c in coordinates], axis=1).reshape(len(CURVE), *shape),
    )


def _central_moment(atom: Atom, std: np.ndarray, mean: np.ndarray, power: int) -> np.ndarray:
    """E (F(g) − mean)^power per entry, infinite where it has none."""

    def at(node: Node) -> Function:
        def f(values: Sequence[np.ndarray], entries: np.ndarray) -> np.ndarray:
            local = transform(node, lambda i: i, lambda c: c[entries])
            return evaluate(local, {0: values[0]}, np.ndim(values[0]) - 1)

        return f

    function = at(atom.node)
    integrand = Integrand(
        lambda values, entries: (function(values, entries) - mean[entries][:, None]) ** power,
        tuple(at(s) for s in switches(atom.node)),
    )
    try:
        return mean_1d(integrand, atom.leaves[0].constant, std)[0]
    except Divergent:
        return np.full(atom.entries, np.inf)


class _Coordinate:
    """One coordinate F(μ + σ z), z standard normal."""

    def __init__(self, atom: Atom, std: np.ndarray, entry: int) -> None:
        own = atom.rows(np.array([entry]))
        self._node, self._mean, self._std = own.node, own.leaves[0].constant[0], std[entry]
        self._strata = self._at(np.asarray(normal_quantile((np.arange(_STRATA) + 0.5) / _STRATA)))

    def _at(self, z: np.ndarray) -> np.ndarray:
        g = (self._mean + self._std * z)[None]
        with np.errstate(all="ignore"):
            return np.broadcast_to(evaluate(self._node, {0: g}, g.ndim - 1), g.shape)[0]

    def curve(self, probabilities: np.ndarray) -> np.ndarray:
        """Quantiles by equal strata, good to about 1e-4."""
        return np.quantile(self._strata, probabilities)

    def quantiles(self, probabilities: Sequence[float], siblings: int) -> np.ndarray:
        p = np.asarray(probabilities)
        steps = np.diff(self._strata)
        if (steps >= 0).all():
            return self._at(np.asarray(normal_quantile(p)))
        if (steps <= 0).all():
            return self._at(np.asarray(normal_quantile(1.0 - p)))
        if siblings > _MOST_SOLVED:
            raise NotStructured("quantiles of many coordinates that are no monotone functions")
        return self._solved(p)

    def _solved(self, p: np.ndarray) -> np.ndarray:
        """Bisection on q between neighbouring strata."""
        ordered = np.sort(self._strata)
        place = p * (_STRATA - 1)
        low, high = (ordered[np.clip(np.rint(place + d).astype(int), 0, _STRATA - 1)] for d in (-3, 3))
        for _ in range(50):
            middle = 0.5 * (low + high)
            enough = self._probability_below(middle) >= p
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def _probability_below(self, q: np.ndarray) -> np.ndarray:
        """P(F ≤ q), from the points where F crosses q."""
        roots = zeros(lambda z: self._at(z) - q[:, None], len(q), _REACH, 2001)
        edge = np.full((len(q), 1), _REACH)
        breaks = np.sort(np.concatenate([-edge, roots, edge], axis=1), axis=1)
        below = self._at(0.5 * (breaks[:, :-1] + breaks[:, 1:])) <= q[:, None]
        return (np.diff(np.asarray(normal_cdf(breaks)), axis=1) * below).sum(axis=1)


def _rounded(shape: np.ndarray) -> np.ndarray:
    """Skewness and kurtosis are of order 1: what rounding leaves of a 0 is 0."""
    return np.where(np.abs(shape) < 1e-12, 0.0, shape)
