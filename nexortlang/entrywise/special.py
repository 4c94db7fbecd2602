"""Special functions that NumPy lacks, vectorised in plain NumPy (scipy is not a run-time dependency).

In: anything NumPy takes for a float64 array; the functions broadcast as ufuncs do. Out: a new array, or a NumPy float for a number.
Guarantees: relative error within a few units of 1e-16, in the tails too (bivariate_normal_cdf: absolute, 1e-15); nan in gives nan out; no warnings.

The polynomials' coefficients, highest first, are the output of tools/special_coefficients.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from math import pi, sqrt
from typing import Any

import numpy as np

# fmt: off
# erf(x) = x P(x²) for |x| ≤ ½.
ERF_SMALL = (
    1.4725865480556744e-06,
    -1.4845849259707869e-05,
    0.00012053335124353741,
    -0.0008548297753674966,
    0.00522397737302147,
    -0.026866170632887928,
    0.11283791670925353,
    -0.37612638903183476,
    1.1283791670955126,
)
# e^(x²) erfc(x) = P(t) / (x + 5/2) with t = 1 - 6 / (x + 5/2), for x ≥ ½.
ERFCX = (
    -6.79108358839942e-11,
    4.03922457733482e-10,
    1.219483024270678e-09,
    -3.383063741564066e-09,
    -1.1184507346779777e-08,
    1.216396077162125e-08,
    7.5114224655043e-08,
    -2.460110599190079e-09,
    -4.420337405650497e-07,
    -3.289465618894269e-07,
    2.606309339936011e-06,
    3.462165941391989e-06,
    -1.7531360379643328e-05,
    -2.6687985267960823e-05,
    0.0001493949869181187,
    0.0001369072786855311,
    -0.0016011436713104944,
    0.0014074219598822285,
    0.016066325856313828,
    -0.08707463736917434,
    0.2592690992414705,
    -0.5558868683437245,
    0.9317619336533658,
)
# Φ⁻¹(½ + q) = q P(w) with w = -log(1 - 4 q²) ≤ 5.
QUANTILE_CENTRE = (
    7.483655553132191e-18,
    -4.34302598053846e-16,
    1.1446256438874806e-14,
    -1.7907980231996517e-13,
    1.8158219431808674e-12,
    -1.2142990025775888e-11,
    5.190560825192614e-11,
    -1.394576504053558e-10,
    4.171352359454299e-10,
    -2.4473188392765304e-09,
    3.708755508856598e-09,
    6.246440143490598e-08,
    -1.035185539617754e-07,
    -2.8653982755864097e-06,
    5.714191366615275e-06,
    0.0001318367519005891,
    -0.00036216104589904125,
    -0.006604664835074142,
    0.03266647229511364,
    0.6562337477383969,
    2.5066282746310007,
)
# -Φ⁻¹(m) = s P(t) (to 3e-10) with s = √(-log(4 m (1 - m))), t = 1 - 6 / (s + 0.8), for 2.2 ≤ s ≤ 27.4.
QUANTILE_TAIL = (
    0.00011959217196000356,
    4.8385808707289135e-05,
    -0.0005683240443259216,
    -0.00026508818669344593,
    0.0008556084391180715,
    0.00010518812821850498,
    -0.0007495530028225987,
    0.0001068258744031307,
    -3.1777385845277497e-06,
    -0.00016527892507325464,
    -0.0003247108409370927,
    -0.0005906228398821446,
    0.0008414789231339718,
    -0.01006814032362161,
    -0.012170300089172614,
    0.06313508421697024,
    1.373951810984394,
)
# fmt: on

_BLOCK = 8192  # elements: a block and its temporaries stay in the second-level cache
_FAR = 40.0  # e^(-x²/2) is 0 beyond


def _blockwise(kernel: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
    """A function of one array, applied to stretches of it that fit the cache."""

    @wraps(kernel)
    def function(x: Any) -> Any:
        x = np.asarray(x, dtype=float)
        with np.errstate(all="ignore"):
            if x.size <= _BLOCK:
                return kernel(x.reshape(-1)).reshape(x.shape)[()]
            flat = x.reshape(-1)
            out = np.empty_like(flat)
            for start in range(0, flat.size, _BLOCK):
                out[start : start + _BLOCK] = kernel(flat[start : start + _BLOCK])
        return out.reshape(x.shape)

    return function


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Horner's rule, highest coefficient first."""
    out = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out *= x
        out += c
    return out


def _erfcx(a: np.ndarray) -> np.ndarray:
    """e^(a²) erfc(a) for a ≥ ½ (and harmless below)."""
    r = 1.0 / (a + 2.5)
    return r * _polynomial(ERFCX, 1.0 - 6.0 * r)


def _gauss(a: np.ndarray, c: float) -> np.ndarray:
    """e^(-c a²), c = ½ or 1: a² is split into a part that is a double and a small rest, or its rounding error would be multiplied by a²."""
    high = np.rint(a * 256.0) * (1 / 256.0)
    return np.exp(-c * high * high) * np.exp(-c * (a - high) * (a + high))


@_blockwise
def erf(x: np.ndarray) -> np.ndarray:
    """2/√π ∫₀ˣ e^(-t²) dt."""
    a = np.minimum(np.abs(x), _FAR)
    small = a < 0.5
    if small.all():
        return x * _polynomial(ERF_SMALL, x * x)
    large = np.copysign(1.0 - np.exp(-a * a) * _erfcx(a), x)
    if not small.any():
        return large
    a = np.minimum(a, 0.5)
    return np.where(small, x * _polynomial(ERF_SMALL, a * a), large)


@_blockwise
def erfc(x: np.ndarray) -> np.ndarray:
    """1 - erf(x), without cancellation for large x."""
    a = np.minimum(np.abs(x), _FAR)
    tail = _gauss(a, 1.0) * _erfcx(a)
    out = np.where(x > 0.0, tail, 2.0 - tail)
    small = a < 0.5
    if small.any():
        a = np.minimum(a, 0.5)
        out = np.where(small, 1.0 - x * _polynomial(ERF_SMALL, a * a), out)
    return out


@_blockwise
def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Φ(x) = P(Z ≤ x) for a standard normal Z."""
    a = np.minimum(np.abs(x), _FAR)
    u = a * sqrt(0.5)
    tail = 0.5 * _gauss(a, 0.5) * _erfcx(u)
    out = np.where(x < 0.0, tail, 1.0 - tail)
    small = u < 0.5
    if small.any():
        u = np.minimum(u, 0.5)
        out = np.where(small, 0.5 + (0.5 * sqrt(0.5)) * x * _polynomial(ERF_SMALL, u * u), out)
    return out


@_blockwise
def normal_pdf(x: np.ndarray) -> np.ndarray:
    """φ(x) = e^(-x²/2) / √(2π)."""
    return _gauss(np.minimum(np.abs(x), _FAR), 0.5) * (1.0 / sqrt(2.0 * pi))


@_blockwise
def normal_quantile(p: np.ndarray) -> np.ndarray:
    """Φ⁻¹(p): -inf at 0, inf at 1, nan outside [0, 1]."""
    m = np.minimum(p, 1.0 - p)
    q = p - 0.5
    w = -np.log(4.0 * m * (1.0 - m))
    out = q * _polynomial(QUANTILE_CENTRE, np.minimum(w, 5.0))
    tail = w > 5.0
    if tail.any():
        out[tail] = np.copysign(_upper_quantile(m[tail], w[tail]), q[tail])
    return out


def _upper_quantile(m: np.ndarray, w: np.ndarray) -> np.ndarray:
    """-Φ⁻¹(m) for small m: a polynomial, then one step of Newton's method on log Φ(-x) = log m."""
    s = np.sqrt(w)
    x = s * _polynomial(QUANTILE_TAIL, 1.0 - 6.0 / (s + 0.8))
    scaled = _erfcx(x * sqrt(0.5))
    x += (np.log(scaled) - (np.log(m) + np.log(2.0)) - 0.5 * x * x) * (sqrt(0.5 * pi) * scaled)
    return np.where(m == 0.0, np.inf, x)


@cache
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for ∫₀¹."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def bivariate_normal_cdf(h: Any, k: Any, rho: Any) -> Any:
    """P(X ≤ h, Y ≤ k) for standard normal X, Y of correlation rho, to an absolute 1e-15.

    ∂/∂ρ of it is the density at (h, k) (Plackett). With r = sin θ the integral from ρ = 0 is smooth; near |ρ| = 1, where it is not, the
    integral runs from 1 instead.
    """
    h, k, rho = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (h, k, rho)))
    shape = h.shape
    h, k = (np.clip(a.reshape(-1), -_FAR, _FAR) for a in (h, k))
    rho = rho.reshape(-1)
    out = np.empty(h.shape)
    with np.errstate(all="ignore"):
        for start in range(0, out.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            out[part] = _bivariate(h[part], k[part], rho[part])
    return out.reshape(shape)[()]


def _bivariate(h: np.ndarray, k: np.ndarray, rho: np.ndarray) -> np.ndarray:
    near = np.abs(rho) > 0.9
    out = np.where(np.abs(rho) <= 1.0, 0.0, np.nan)
    rest = ~near
    if rest.any():
        out[rest] = _from_independence(h[rest], k[rest], rho[rest])
    if near.any():
        h, k, rho = h[near], k[near], rho[near]
        negative = rho < 0.0
        value = _from_identity(h, np.where(negative, -k, k), np.abs(rho))
        out[near] += np.where(negative, normal_cdf(h) - value, value)
    return np.clip(out, 0.0, 1.0)


def _from_independence(h: np.ndarray, k: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Φ(h) Φ(k) + 1/2π ∫₀^arcsin ρ exp(-(h² - 2 h k sin θ + k²) / (2 cos² θ)) dθ."""
    angle = np.arcsin(rho)
    total = np.zeros_like(h)
    squares, product = 0.5 * (h * h + k * k), h * k
    for node, weight in zip(*_gauss_legendre(24), strict=True):
        sine = np.sin(node * angle)
        total += weight * np.exp((product * sine - squares) / ((1.0 - sine) * (1.0 + sine)))
    return normal_cdf(h) * normal_cdf(k) + total * angle / (2.0 * pi)


def _from_identity(h: np.ndarray, k: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Φ(min(h, k)) - 1/2π ∫₀^√(1-ρ²) exp(-(h - k)²/2a² - h k / (1 + √(1-a²))) / √(1-a²) da.

    The factors beside exp(-(h - k)²/2a²), which alone is not analytic at a = 0, are expanded to a⁴; those terms are integrated in closed form, and
    the rest, of order a⁶, by Gauss's rule.
    """
    top = np.sqrt((1.0 - rho) * (1.0 + rho))
    b, c = np.abs(h - k), h * k
    g1, g2 = 0.5 - c / 8.0, 0.375 - c / 8.0 + c * c / 128.0
    end = np.exp(-0.5 * (b / top) ** 2 - 0.5 * c)
    u = b / (top * sqrt(2.0))
    scaled = np.where(u < 0.5, np.exp(u * u) * erfc(u), _erfcx(u))
    moment0 = end * (top - b * sqrt(0.5 * pi) * scaled)  # ∫ a^(2j) e^(-b²/2a² - c/2) da, by parts
    moment1 = (end * top**3 - b * b * moment0) / 3.0
    moment2 = (end * top**5 - b * b * moment1) / 5.0
    total = moment0 + g1 * moment1 + g2 * moment2
    for node, weight in zip(*_gauss_legendre(24), strict=True):
        a = node * top
        a2 = a * a
        root = np.sqrt(1.0 - a2)
        factor = np.exp(0.5 * c - c / (1.0 + root)) / root
        total += weight * top * np.exp(-0.5 * (b / a) ** 2 - 0.5 * c) * (factor - (1.0 + a2 * (g1 + a2 * g2)))
    return normal_cdf(np.minimum(h, k)) - np.where(top > 0.0, total, 0.0) / (2.0 * pi)


def hermite_functions(x: Any, degree: int) -> np.ndarray:
    """He_k(x) / √k! · φ(x)^½ for k = 0 … degree, along a new first axis: orthonormal in L²(dx), He_k(x) / √k! being so under φ(x) dx.

    By the three-term recurrence on He_k / √k!, rescaled on the way: φ^½ underflows beyond |x| = 54 where high functions do not vanish.
    """
    x = np.asarray(x, dtype=float)
    out = np.empty((degree + 1, *x.shape))
    log_scale = -0.25 * x * x - 0.25 * np.log(2.0 * pi)
    before, value = np.zeros_like(x), np.ones_like(x)
    scale = np.exp(log_scale)
    for k in range(degree + 1):
        out[k] = value * scale
        before, value = value, (x * value - sqrt(k) * before) / sqrt(k + 1)
        if k % 16 == 15:
            size = np.maximum(np.hypot(value, before), 1.0)
            before, value = before / size, value / size
            log_scale = log_scale + np.log(size)
            scale = np.exp(log_scale)
    return out
