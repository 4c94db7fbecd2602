"""nexortlang.entrywise.special against high-precision arithmetic (the generator of its coefficients) and scipy."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.special as oracle

from nexortlang.entrywise import special

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def exact() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "special_coefficients.py"
    spec = importlib.util.spec_from_file_location("special_coefficients", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found / expected - 1.0)))


def test_erf(exact: ModuleType) -> None:
    x = np.concatenate(
        [RNG.uniform(0, 1, 150), RNG.uniform(0, 6, 100), 10.0 ** RNG.uniform(-300, 0, 50), [0.5, np.nextafter(0.5, 0)]]
    )
    assert relative(special.erf(x), np.array([float(exact.erf(Decimal(v))) for v in x])) < 1e-15
    assert np.array_equal(special.erf(-x), -special.erf(x))


def test_erfc_keeps_its_digits_in_the_tail(exact: ModuleType) -> None:
    x = np.concatenate([RNG.uniform(0, 1, 100), RNG.uniform(1, 26, 200)])
    expected = [float(exact.erfcx(Decimal(v)) * (-(Decimal(v) ** 2)).exp()) for v in x]
    assert relative(special.erfc(x), np.array(expected)) < 1.5e-15
    assert relative(special.erfc(-x), oracle.erfc(-x)) < 1e-15


def test_normal_cdf_keeps_its_digits_in_the_tail(exact: ModuleType) -> None:
    x = np.concatenate([RNG.uniform(0, 2, 100), RNG.uniform(0, 37, 200)])
    root = Decimal(2).sqrt()
    expected = [float(exact.erfcx(Decimal(v) / root) / 2 * (-(Decimal(v) ** 2) / 2).exp()) for v in x]
    assert relative(special.normal_cdf(-x), np.array(expected)) < 1e-15
    assert relative(special.normal_cdf(x), oracle.ndtr(x)) < 1e-15
    assert relative(special.normal_pdf(x[:100]), np.exp(-(x[:100] ** 2) / 2) / np.sqrt(2 * np.pi)) < 1e-15


def test_quantiles() -> None:
    p = np.concatenate(
        [RNG.uniform(0, 1, 50_000), 10.0 ** RNG.uniform(-307, 0, 50_000), 0.5 + RNG.normal(size=100) * 1e-9]
    )
    p = p[p != 0.5]
    assert relative(special.normal_quantile(p), oracle.ndtri(p)) < 2e-15
    assert special.normal_quantile(5e-324) == pytest.approx(oracle.ndtri(5e-324), rel=1e-15)
    x = RNG.uniform(-8, 5, 1000)
    assert np.max(np.abs(special.normal_quantile(special.normal_cdf(x)) - x)) < 1e-10


def owens(h: np.ndarray, k: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Owen's formula for the bivariate normal distribution."""
    root = np.sqrt((1 - rho) * (1 + rho))
    triangles = oracle.owens_t(h, (k / h - rho) / root) + oracle.owens_t(k, (h / k - rho) / root)
    return (oracle.ndtr(h) + oracle.ndtr(k)) / 2 - triangles - np.where(h * k < 0, 0.5, 0.0)


@pytest.mark.parametrize("scale", [1.0, 3.0, 10.0])
def test_bivariate_normal_cdf(scale: float) -> None:
    h, k = RNG.normal(size=(2, 20_000)) * scale
    rho = RNG.uniform(-0.999, 0.999, h.size)
    assert np.max(np.abs(special.bivariate_normal_cdf(h, k, rho) - owens(h, k, rho))) < 1e-14
    k = h + RNG.normal(size=h.size) * np.sqrt(1 - rho**2) * 0.3 * scale
    assert np.max(np.abs(special.bivariate_normal_cdf(h, k, rho) - owens(h, k, rho))) < 1e-14


def test_bivariate_normal_cdf_near_perfect_correlation() -> None:
    """At h = k Owen's formula is well conditioned however near ρ is to 1; elsewhere both ends of |ρ| = 0.9 must meet."""
    h = RNG.normal(size=2000)
    rho = 1 - 10.0 ** RNG.uniform(-14, -1, h.size)
    expected = oracle.ndtr(h) - 2 * oracle.owens_t(h, np.sqrt((1 - rho) / (1 + rho)))
    assert np.max(np.abs(special.bivariate_normal_cdf(h, h, rho) - expected)) < 1e-15
    k = RNG.normal(size=h.size)
    jump = special.bivariate_normal_cdf(h, k, 0.9) - special.bivariate_normal_cdf(h, k, np.nextafter(0.9, 1))
    assert np.max(np.abs(jump)) < 2e-15


def test_bivariate_normal_cdf_edges() -> None:
    value = special.bivariate_normal_cdf
    assert value(0.0, 0.0, [0.5, 1.0, -1.0, 0.0]) == pytest.approx([1 / 3, 0.5, 0.0, 0.25], abs=1e-15)
    assert value(np.inf, 0.3, 0.7) == pytest.approx(oracle.ndtr(0.3), abs=1e-15)
    assert value(-np.inf, 0.3, 0.7) == 0.0
    assert np.isnan(value([1.0, np.nan, 1.0], 0.0, [1.5, 0.0, np.nan])).all()
    assert value(np.zeros((2, 1)), np.zeros(3), 0.1).shape == (2, 3)


def test_edges_and_shapes() -> None:
    with np.errstate(all="raise"):
        assert np.array_equal(special.erf([0.0, np.inf, -np.inf, np.nan, 1e300]), [0, 1, -1, np.nan, 1], equal_nan=True)
        assert np.array_equal(special.erfc([0.0, np.inf, -np.inf, np.nan, 1e300]), [1, 0, 2, np.nan, 0], equal_nan=True)
        assert np.array_equal(special.normal_cdf([0.0, np.inf, -np.inf, np.nan]), [0.5, 1, 0, np.nan], equal_nan=True)
        quantiles = special.normal_quantile([0.0, 0.5, 1.0, np.nan, -0.1, 1.1])
        assert np.array_equal(quantiles, [-np.inf, 0, np.inf, np.nan, np.nan, np.nan], equal_nan=True)
    assert np.signbit(special.erf(-0.0))
    assert isinstance(special.erf(0.3), float)
    assert special.erf(np.ones((3, 0))).shape == (3, 0)
    x = RNG.normal(size=(3, 7000))
    assert np.array_equal(special.normal_cdf(x)[1], special.normal_cdf(x[1]))


def test_hermite_functions() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    low = special.hermite_functions(nodes, 40) * np.exp(nodes**2 / 4) * np.sqrt(weights)
    assert np.max(np.abs(low @ low.T - np.eye(41))) < 1e-13
    x = np.linspace(
        -80, 80, 8001
    )  # the trapezoidal rule is exact for functions that vanish at the ends with all derivatives
    high = special.hermite_functions(x, 1200)[::100]
    assert np.max(np.abs(high @ high.T * (x[1] - x[0]) - np.eye(len(high)))) < 1e-11
    assert special.hermite_functions(0.5, 2) == pytest.approx(
        np.array([1, 0.5, (0.25 - 1) / np.sqrt(2)]) * np.exp(-0.0625) / (2 * np.pi) ** 0.25, rel=1e-15
    )
