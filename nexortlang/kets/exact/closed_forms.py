"""Gaussian expectations in closed form.

Wick's rule for polynomials (Isserlis, with means); piecewise polynomials with their pieces at 0 (relu, abs, sign, step, leaky relu, their products and
powers) in one and two variables of mean 0, by Stein's lemma on the quadrant moments (the arc-cosine kernels of Cho and Saul 2009 are the first of
these); products of erf (Williams 1997); products of exp, sin and cos through the characteristic function.

Arrays broadcast: every argument may be an array over the entries of the expectation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from nexortlang.kets.exact.atoms import Node

Polynomial: TypeAlias = dict[int, np.ndarray]  # power -> coefficient
Pieces: TypeAlias = tuple[Polynomial, Polynomial]  # on g > 0, on g < 0

_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
_ROUNDING = 32 * np.finfo(float).eps  # of a squared correlation


def wick(means: Sequence[np.ndarray], covariance: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """E[Π g_i] of jointly Gaussian g_i (repeats allowed): the first is paired with its mean or with each other one."""
    memo: dict[tuple[int, ...], np.ndarray] = {(): np.ones(())}

    def moment(rest: tuple[int, ...]) -> np.ndarray:
        if rest not in memo:
            first, others = rest[0], rest[1:]
            total = means[first] * moment(others) if np.any(means[first]) else np.zeros(())
            for k, other in enumerate(others):
                total = total + covariance(first, other) * moment(others[:k] + others[k + 1 :])
            memo[rest] = total
        return memo[rest]

    return moment(tuple(range(len(means))))


# ---------------------------------------------------------------------------- piecewise polynomials


def half_moment(a: int) -> float:
    """E[z^a; z > 0] for standard normal z."""
    return 2.0 ** (a / 2 - 1) * math.gamma((a + 1) / 2) / math.sqrt(math.pi)


def pieces(node: Node) -> Pieces | None:
    """A function of one leaf as a polynomial on each side of 0, or None if it is no such function."""
    match node.op:
        case "leaf":
            return {1: np.ones(())}, {1: np.ones(())}
        case "const":
            return {0: node.constant}, {0: node.constant}
    parts = [pieces(c) for c in node.children]
    if any(p is None for p in parts):
        return None
    sides = [_side(node.op, [p[k] for p in parts if p is not None], sign) for k, sign in ((0, 1.0), (1, -1.0))]
    return None if sides[0] is None or sides[1] is None else (sides[0], sides[1])


def _side(op: str, p: list[Polynomial], sign: float) -> Polynomial | None:
    """op on polynomials, on the half line where the leaf has this sign."""
    match op:
        case "neg":
            return {k: -c for k, c in p[0].items()}
        case "add":
            return _sum(p[0], p[1])
        case "sub":
            return _sum(p[0], {k: -c for k, c in p[1].items()})
        case "mul":
            return multiply(p[0], p[1])
        case "div" if _constant(p[1]) is not None:
            return {k: c / p[1][0] for k, c in p[0].items()}
        case "pow" if (exponent := _whole(_constant(p[1]))) is not None:
            result: Polynomial = {0: np.ones(())}
            for _ in range(exponent):
                result = multiply(result, p[0])
            return result
        case "relu" | "abs" | "sign" | "step" | "leaky_relu":
            return _unary(op, p, _sign(p[0], sign))
        case "gt" | "ge" | "lt" | "le" | "max" | "min":
            return _binary(op, p, _sign(_sum(p[0], {k: -c for k, c in p[1].items()}), sign))
        case "eq" | "ne":
            return _equality(op, _sum(p[0], {k: -c for k, c in p[1].items()}))
        case "where" if (condition := _constant(p[0])) is not None:
            if (condition != 0).all():
                return p[1]
            return p[2] if (condition == 0).all() else None
    return None


def _unary(op: str, p: list[Polynomial], s: int | None) -> Polynomial | None:
    if s is None or (s == 0 and op in ("sign", "step")):
        return None
    match op:
        case "relu":
            return p[0] if s > 0 else {}
        case "abs":
            return p[0] if s > 0 else {k: -c for k, c in p[0].items()}
        case "sign":
            return {0: np.full((), float(s))}
        case "step":
            return {0: np.full((), float(s > 0))}
        case _:
            slope = _constant(p[1])
            return p[0] if s > 0 else None if slope is None else {k: slope * c for k, c in p[0].items()}


def _binary(op: str, p: list[Polynomial], s: int | None) -> Polynomial | None:
    if s is None or s == 0:
        return None
    match op:
        case "gt" | "ge":
            return {0: np.full((), float(s > 0))}
        case "lt" | "le":
            return {0: np.full((), float(s < 0))}
        case "max":
            return p[0] if s > 0 else p[1]
        case _:
            return p[1] if s > 0 else p[0]


def _equality(op: str, difference: Polynomial) -> Polynomial | None:
    """Two polynomials are equal everywhere or, but for points, nowhere."""
    differs = np.asarray(sum((c != 0 for c in difference.values()), start=np.zeros((), dtype=bool)))
    if differs.any() and not differs.all():
        return None
    return {0: np.full((), float(differs.all() == (op == "ne")))}


def _sign(p: Polynomial, leaf_sign: float) -> int | None:
    """The sign of a monomial on a half line (None when it is no monomial of one sign)."""
    live = {k: c for k, c in p.items() if np.any(c)}
    if not live:
        return 0
    if len(live) > 1:
        return None
    ((power, c),) = live.items()
    values = c * leaf_sign**power
    return 1 if (values > 0).all() else -1 if (values < 0).all() else None


def _constant(p: Polynomial) -> np.ndarray | None:
    if any(k for k, c in p.items() if k and np.any(c)):
        return None
    return p.get(0, np.zeros(()))


def _whole(value: np.ndarray | None) -> int | None:
    if value is None or value.size == 0 or (value != value.flat[0]).any() or float(value.flat[0]) not in range(9):
        return None
    return int(value.flat[0])


def _sum(p: Polynomial, q: Polynomial) -> Polynomial:
    return {k: p.get(k, np.zeros(())) + q.get(k, np.zeros(())) for k in {*p, *q}}


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for i, a in p.items():
        for j, b in q.items():
            result[i + j] = result.get(i + j, np.zeros(())) + a * b
    return result


def has_jump(f: Pieces) -> bool:
    """Whether the function itself (not only a derivative) jumps at 0."""
    return bool(np.any(f[0].get(0, np.zeros(())) != f[1].get(0, np.zeros(()))))


def piecewise_mean(f: Pieces, std: np.ndarray) -> np.ndarray:
    """E f(g), g ~ N(0, std²)."""
    total = np.zeros(())
    for power in {*f[0], *f[1]}:
        plus, minus = f[0].get(power, np.zeros(())), f[1].get(power, np.zeros(()))
        total = total + (plus + (-1) ** power * minus) * half_moment(power) * std**power
    return total


def piecewise_product(f: Pieces, g: Pieces, var_u: np.ndarray, var_v: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """E f(u) g(v) for mean-0 Gaussians."""
    std_u, std_v = np.sqrt(np.maximum(var_u, 0.0)), np.sqrt(np.maximum(var_v, 0.0))
    size = std_u * std_v
    size = np.where(size > 0.0, size, 1.0)
    rho = np.clip(cov / size, -1.0, 1.0)
    # From the determinant, not from 1 − ρ²: a variable with itself has no complement, and arcsin is steep there. What rounding leaves is none.
    determinant = var_u * var_v - cov * cov
    determinant = np.where(determinant > _ROUNDING * size * size, determinant, 0.0)
    complement = np.sqrt(determinant) / size
    moments = {1: QuadrantMoments(rho, complement), -1: QuadrantMoments(-rho, complement)}
    total = np.zeros(())
    for su, p in ((1, f[0]), (-1, f[1])):
        for sv, q in ((1, g[0]), (-1, g[1])):
            for a, cu in p.items():
                for b, cv in q.items():
                    if np.any(cu) and np.any(cv):
                        sign = su**a * sv**b
                        total = total + (sign * cu * std_u**a) * (cv * std_v**b) * moments[su * sv](a, b)
    return total


class QuadrantMoments:
    """E[u^a v^b; u > 0, v > 0] for standard normals of correlation ρ, complement √(1 − ρ²), by recursion.

    Stein's lemma on u: M(a, b) = (a−1) M(a−2, b) + ρ b M(a−1, b−1) + [a = 1] φ(0) (1−ρ²)^{b/2} m_b
    + [b = 0] ρ φ(0) (1−ρ²)^{(a−1)/2} m_{a−1}, with m the half moments and M(0, 0) = ¼ + arcsin ρ / 2π.
    """

    def __init__(self, rho: np.ndarray, complement: np.ndarray) -> None:
        self.rho = rho
        self.complement = complement
        self.memo: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, a: int, b: int) -> np.ndarray:
        a, b = max(a, b), min(a, b)
        if (a, b) not in self.memo:
            self.memo[a, b] = self._compute(a, b)
        return self.memo[a, b]

    def _compute(self, a: int, b: int) -> np.ndarray:
        if a == 0:
            return 0.25 + np.arctan2(self.rho, self.complement) / (2.0 * math.pi)
        total = np.zeros(())
        if a > 1:
            total = (a - 1) * self(a - 2, b)
        if b > 0:
            total = total + self.rho * (b * self(a - 1, b - 1))
        if a == 1:
            total = total + (_DENSITY_AT_0 * half_moment(b)) * self.complement**b
        if b == 0:
            total = total + (_DENSITY_AT_0 * half_moment(a - 1)) * self.rho * self.complement ** (a - 1)
        return total


# ---------------------------------------------------------------------------- erf, exp, sin, cos


def erf_product(var_u: np.ndarray, var_v: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """E erf(u) erf(v) = (2/π) arcsin(2c/√((1+2a)(1+2b))) for mean-0 Gaussians, the arcsine through its well-conditioned arctangent."""
    determinant = np.maximum(var_u * var_v - cov * cov, 0.0)
    return (2.0 / math.pi) * np.arctan2(2.0 * cov, np.sqrt(1.0 + 2.0 * var_u + 2.0 * var_v + 4.0 * determinant))


def exponential_product(
    kinds: Sequence[str], means: Sequence[np.ndarray], covariance: Callable[[int, int], np.ndarray]
) -> np.ndarray:
    """E Π f_k(g_k), each f_k one of "exp", "sin", "cos", from E exp(Σ s_k g_k) = exp(Σ s_k μ_k + ½ Σ s_k s_l C_kl)."""
    choices = {"exp": ((1.0, 1.0),), "cos": ((0.5, 1j), (0.5, -1j)), "sin": ((-0.5j, 1j), (0.5j, -1j))}
    total: np.ndarray = np.zeros((), dtype=complex)
    stack: list[tuple[complex, tuple[complex, ...]]] = [(1.0, ())]
    for kind in kinds:
        stack = [(w * weight, (*s, sign)) for w, s in stack for weight, sign in choices[kind]]
    for weight, signs in stack:
        exponent: np.ndarray = np.zeros((), dtype=complex)
        for i, s in enumerate(signs):
            exponent = exponent + s * means[i]
            for j, t in enumerate(signs):
                exponent = exponent + 0.5 * s * t * covariance(i, j)
        total = total + weight * np.exp(exponent)
    return total.real
