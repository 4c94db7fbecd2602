"""From kets to what is shown: values, covariances, distributions, when they have an exact form."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.core.program import Value
from nexortlang.entrywise.special import normal_quantile
from nexortlang.kets.exact.atoms import Atom, NotStructured, evaluate
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer
from nexortlang.kets.exact.forms import AtomKey, Ket, Root
from nexortlang.kets.results import CURVE, Distribution, Estimate, Method, least_exact

Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STRATA = 200_001  # points of the coordinate's distribution when it is a function of one Gaussian


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
    """Moments by exact expectations' own numbers; quantiles by equal strata of the one Gaussian."""
    ((key, m),) = ket.lin.terms.items() if len(ket.lin.terms) == 1 else ((None, None),)
    if not isinstance(key, AtomKey) or m is None or not m.is_identity or ket.lin.constant.any():
        raise NotStructured("a coordinate that is no function of one Gaussian")
    atom = exact.moments.atom(key)
    if len(atom.leaves) != 1:
        raise NotStructured("a coordinate that is a function of several Gaussians")
    mean = exact.moments.mean_of(ket)
    values = np.stack([_strata(exact, atom.rows(np.array([k]))) for k in range(atom.entries)])
    centred = values - values.mean(axis=1, keepdims=True)
    moments = [(centred**k).mean(axis=1) for k in (2, 3, 4)]
    second = exact.moments.variance_of(ket, mean)
    with np.errstate(all="ignore"):
        skewness = np.nan_to_num(moments[1] / moments[0] ** 1.5)
        kurtosis = np.nan_to_num(moments[2] / moments[0] ** 2 - 3.0)
    quantiles = {q: np.quantile(values, q, axis=1).reshape(shape) for q in QUANTILES}
    method: Method = least_exact("quadrature", mean.method, second.method)
    return Distribution(
        mean.value.reshape(shape),
        np.maximum(second.value, 0.0).reshape(shape),
        quantiles,
        skewness.reshape(shape),
        kurtosis.reshape(shape),
        np.full(shape, mean.error),
        method,
        np.quantile(values, CURVE, axis=1).reshape(len(CURVE), *shape),
    )


def _strata(exact: ExactLimit, atom: Atom) -> np.ndarray:
    (leaf,) = atom.leaves
    z = np.asarray(normal_quantile((np.arange(_STRATA) + 0.5) / _STRATA))
    g = leaf.constant[:, None] + np.sqrt(exact.moments.variance(leaf))[:, None] * z
    return np.broadcast_to(evaluate(atom.node, {0: g}, 1), g.shape)[0]
