"""The exact evaluator against known answers and against itself: closed form, quadrature and series must agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexortlang.core.build import Builder
from nexortlang.core.program import InitVector, Matrix, Value, Width
from nexortlang.kets.exact import closed_forms, quadrature
from nexortlang.kets.exact.atoms import Node, NotStructured
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer, JumpAtAtom
from nexortlang.kets.exact.forms import Ket
from nexortlang.kets.exact.quadrature import Divergent, HermiteSide, Integrand, Pairs

N = Width("n")
ONE = np.array(0)


def limit(v: Value) -> np.ndarray:
    answer = ExactLimit().evaluate(v)
    assert isinstance(answer, Answer)
    return answer.value


def normal(
    b: Builder, shape: tuple[int, ...] = (), mean: float = 0.0, variance: float = 1.0, width: Width = N
) -> InitVector:
    return b.init_vector("x", width, "normal", np.full(shape, mean), np.full(shape, variance))


def correlated(b: Builder, covariance: np.ndarray, mean: np.ndarray | None = None) -> list[Value]:
    size = len(covariance)
    z = b.init_vector(
        "z", N, "normal", np.zeros(size) if mean is None else mean, np.diag(covariance).copy(), covariance
    )
    return [b.gather(z, np.array(k)) for k in range(size)]


def matrix(b: Builder, rows: Width = N, cols: Width = N, variance: float = 1.0) -> Matrix:
    return b.matrix("W", rows, cols, np.array(variance), "normal")


def moment(f: str, g: str, covariance: np.ndarray, mean: np.ndarray | None = None) -> float:
    b = Builder()
    u, v = correlated(b, covariance, mean)
    return float(limit(b.inner(",->", b.map(f, u), b.map(g, v))))


# ---------------------------------------------------------------------------- closed forms, by hand

CORRELATIONS = [-1.0, -0.8, -0.1, 0.0, 0.3, 0.9, 1.0]


@pytest.mark.parametrize("rho", CORRELATIONS)
def test_dual_activations(rho: float) -> None:
    a, d = 1.7, 0.6
    c = rho * math.sqrt(a * d)
    cov = np.array([[a, c], [c, d]])
    angle = math.acos(rho)
    root = math.sqrt(a * d)
    arc1 = (math.sin(angle) + (math.pi - angle) * rho) / (2 * math.pi)
    assert moment("relu", "relu", cov) == pytest.approx(root * arc1, abs=1e-14)
    assert moment("step", "step", cov) == pytest.approx((math.pi - angle) / (2 * math.pi), abs=1e-14)
    assert moment("sign", "sign", cov) == pytest.approx(2 / math.pi * math.asin(rho), abs=1e-14)
    assert moment("abs", "abs", cov) == pytest.approx(
        root * 2 / math.pi * (math.sqrt(1 - rho**2) + rho * math.asin(rho)), abs=1e-14
    )
    assert moment("erf", "erf", cov) == pytest.approx(
        2 / math.pi * math.asin(2 * c / math.sqrt((1 + 2 * a) * (1 + 2 * d))), abs=1e-14
    )
    assert moment("exp", "exp", cov) == pytest.approx(math.exp((a + d + 2 * c) / 2), rel=1e-14)
    assert moment("sin", "sin", cov) == pytest.approx(math.exp(-(a + d) / 2) * math.sinh(c), abs=1e-14)
    assert moment("cos", "cos", cov) == pytest.approx(math.exp(-(a + d) / 2) * math.cosh(c), abs=1e-14)


def test_polynomials_by_wick() -> None:
    b = Builder()
    cov = np.array([[1.0, 0.4, 0.2], [0.4, 2.0, -0.3], [0.2, -0.3, 1.5]])
    x, y, z = correlated(b, cov, np.array([0.1, -0.2, 0.3]))
    p = b.mul(b.mul(b.mul(x, y), z), b.map("pow", y, b.const(2.0)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1).reshape(-1, 3)
    mass = np.prod(np.stack(np.meshgrid(weights, weights, weights, indexing="ij"), -1).reshape(-1, 3), -1)
    mass /= mass.sum()
    g = grid @ np.linalg.cholesky(cov).T + np.array([0.1, -0.2, 0.3])
    expected = (mass * g[:, 0] * g[:, 1] ** 3 * g[:, 2]).sum()
    assert limit(b.avg(p, [0])) == pytest.approx(expected, rel=1e-12)


def test_copies_are_independent() -> None:
    b = Builder()
    x = normal(b)
    distance = b.map("abs", b.map("sub", x, b.rename(x, {0: 1})))
    assert limit(b.avg(distance, [0, 1])) == pytest.approx(2 / math.sqrt(math.pi), rel=1e-14)


@pytest.mark.parametrize(
    ("law", "mean", "variance", "fourth"),
    [("rademacher", 0.0, 1.0, 1.0), ("bernoulli", 0.3, 0.21, 0.3), ("uniform", 0.0, 1.0, 1.8)],
)
def test_other_laws_are_functions_of_a_gaussian(law: str, mean: float, variance: float, fourth: float) -> None:
    b = Builder()
    s = b.init_vector("s", N, law, np.array(mean), np.array(variance))  # type: ignore[arg-type]
    assert limit(b.avg(s, [0])) == pytest.approx(mean, abs=1e-12)
    assert limit(b.inner(",->", s, s)) == pytest.approx(variance + mean**2, rel=1e-12)
    square = b.mul(s, s)
    assert limit(b.inner(",->", square, square)) == pytest.approx(fourth, rel=1e-12)


# ---------------------------------------------------------------------------- quadrature


def _integrand(op: str, kinked: bool) -> Integrand:
    from nexortlang.entrywise.ops import OPS

    f = OPS[op].numpy
    switch = ((lambda v, e: v[0]), (lambda v, e: v[1])) if kinked else ()
    return Integrand(lambda v, e: f(v[0]) * f(v[1]), switch)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 9), st.floats(0.05, 9), st.floats(-1, 1), st.sampled_from(["relu", "abs", "sign", "step"]))
def test_closed_form_against_quadrature(a: float, d: float, rho: float, op: str) -> None:
    c = rho * math.sqrt(a * d)
    values, errors = quadrature.mean_2d(_integrand(op, True), Pairs(*(np.array([t]) for t in (0.0, 0.0, a, d, c))))
    assert moment(op, op, np.array([[a, c], [c, d]])) == pytest.approx(values[0], abs=1e-11 * (1 + math.sqrt(a * d)))
    assert errors[0] < 1e-9 * (1 + math.sqrt(a * d))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 4), st.floats(0.05, 4), st.floats(-0.999, 0.999), st.sampled_from(["erf", "sin", "exp"]))
def test_smooth_quadrature_against_closed_form(a: float, d: float, rho: float, op: str) -> None:
    c = rho * math.sqrt(a * d)
    values, _ = quadrature.mean_2d(_integrand(op, False), Pairs(*(np.array([t]) for t in (0.0, 0.0, a, d, c))))
    assert moment(op, op, np.array([[a, c], [c, d]])) == pytest.approx(values[0], rel=1e-11, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 3), st.floats(-0.9, 0.9), st.floats(-1, 1), st.sampled_from(["tanh", "relu", "silu", "abs"]))
def test_hermite_series_against_direct_quadrature(a: float, rho: float, mean: float, op: str) -> None:
    from nexortlang.entrywise.ops import OPS

    f = OPS[op].numpy
    kinks = ((lambda v, e: v[0]),) if op in ("relu", "abs") else ()
    one = Integrand(lambda v, e: f(v[0]), kinks)
    sides: list[HermiteSide] = [
        quadrature.hermite_side(one, np.array([m]), np.array([math.sqrt(v)]), 160) for m, v in ((mean, a), (0.2, 1.3))
    ]
    terms = quadrature.series_length(*sides, abs(rho), 1e-9)
    if terms is None:  # kinks at strong correlation: the engine uses panels there
        assert op in ("relu", "abs") and abs(rho) > 0.7
        return
    columns = [(sides[0].coefficients[:, [k]], sides[1].coefficients[:, [k]]) for k in range(terms)]
    found = quadrature.series(columns, np.array([[rho]]))
    cov = np.array([[a, rho * math.sqrt(1.3 * a)], [rho * math.sqrt(1.3 * a), 1.3]])
    assert found[0, 0] == pytest.approx(moment(op, op, cov, np.array([mean, 0.2])), abs=2e-9)


def test_large_kernels_equal_small_ones() -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((150, 6))
    data[7] = data[3]  # a repeated input: correlation 1
    for op in ("tanh", "relu", "silu"):
        kernels = []
        for rows in (np.arange(150), np.array([3, 7, 149])):
            b = Builder()
            h = b.einsum("d,db->b", normal(b, (6,), 0.0, 1 / 6), b.const(data[rows].T))
            x = b.map(op, h)
            kernels.append(limit(b.inner("a,b->ab", x, x)))
        np.testing.assert_allclose(kernels[0][np.ix_([3, 7, 149], [3, 7, 149])], kernels[1], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(kernels[0], kernels[0].T, atol=0)


def test_what_diverges_is_refused() -> None:
    b = Builder()
    x = normal(b, variance=2.0)
    with pytest.raises(Divergent):
        limit(b.avg(b.map("exp", b.mul(x, x)), [0]))
    with pytest.raises(Divergent):
        limit(b.avg(b.map("log", x), [0]))


def test_three_joint_gaussians_are_left_to_particles() -> None:
    b = Builder()
    x, y, z = correlated(b, np.eye(3) + 0.2)
    with pytest.raises(NotStructured):
        limit(b.avg(b.map("max", b.map("max", x, y), z), [0]))


def test_a_jump_at_an_atom_is_refused() -> None:
    b = Builder()
    w = matrix(b)
    x, y = normal(b), normal(b)
    both = b.matmul(w, ONE, False, b.add(x, y))
    apart = b.add(b.matmul(w, ONE, False, x), b.matmul(w, ONE, False, y))
    with pytest.raises(JumpAtAtom):
        limit(b.avg(b.map("sign", b.map("sub", both, apart)), [0]))


# ---------------------------------------------------------------------------- hats and dots


def test_semicircle_moments() -> None:
    b = Builder()
    w, x = matrix(b), normal(b)
    z: Value = x
    found = []
    for _ in range(10):
        s = b.add(b.matmul(w, ONE, False, z), b.matmul(w, ONE, True, z))
        z = b.mul(b.const(1 / math.sqrt(2)), s)
        found.append(float(limit(b.inner(",->", x, z))))
    np.testing.assert_allclose(found, [0, 1, 0, 2, 0, 5, 0, 14, 0, 42], atol=1e-12)


@pytest.mark.parametrize("ratio", [2.0, 0.5, 1.0])
def test_marchenko_pastur(ratio: float) -> None:
    from fractions import Fraction

    m = Width("m", Fraction(1) / Fraction(ratio))
    b = Builder()
    w, x = matrix(b, N, m), normal(b, width=m)
    z: Value = x
    found = []
    for _ in range(4):
        z = b.matmul(w, ONE, True, b.matmul(w, ONE, False, z))
        found.append(float(limit(b.inner(",->", x, z))))
    r = ratio
    np.testing.assert_allclose(found, [r, r + r**2, r + 3 * r**2 + r**3, r + 6 * r**2 + 6 * r**3 + r**4], rtol=1e-12)


def test_the_transpose_is_not_independent() -> None:
    """TP2's counterexample to gradient independence: the mean is 2, not 0."""
    b = Builder()
    w = matrix(b)
    one = normal(b, mean=1.0, variance=0.0)
    h = b.matmul(w, ONE, False, one)
    dx = b.matmul(w, ONE, True, b.mul(b.const(2.0), h))
    assert limit(b.avg(dx, [0])) == 2.0
    assert limit(b.inner(",->", dx, dx)) == 8.0


_OPS = ["tanh", "relu", "sin", "abs", "erf"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(_OPS)), min_size=1, max_size=3), st.floats(0.3, 2))
def test_adjointness(steps: list[tuple[bool, str]], variance: float) -> None:
    """<y|Wx> = <Wᵀy|x> for vectors that have already seen W and Wᵀ, wherever both sides have an exact form."""
    b = Builder()
    w = matrix(b, variance=variance)
    x: Value = normal(b)
    y = b.map("tanh", normal(b))
    for transposed, op in steps:
        x = b.map(op, b.matmul(w, ONE, transposed, x))
    try:
        left = limit(b.inner(",->", y, b.matmul(w, ONE, False, x)))
        right = limit(b.inner(",->", b.matmul(w, ONE, True, y), x))
    except NotStructured:
        return
    assert left == pytest.approx(right, abs=1e-10)


def test_adjointness_with_nonzero_value() -> None:
    b = Builder()
    w = matrix(b, variance=1.3)
    x = normal(b)
    h = b.map("tanh", b.matmul(w, ONE, False, x))
    left = limit(b.inner(",->", h, b.matmul(w, ONE, False, x)))
    right = limit(b.inner(",->", b.matmul(w, ONE, True, h), x))
    assert left == pytest.approx(right, rel=1e-12)
    assert left > 0.5


def test_stein_slopes_are_expected_derivatives() -> None:
    b = Builder()
    w = matrix(b, variance=0.8)
    x, c = normal(b), normal(b, mean=0.3)
    h = b.add(b.matmul(w, ONE, False, x), c)
    back = b.matmul(w, ONE, True, b.map("tanh", h))
    slope = limit(b.inner(",->", x, back))  # s <x|x> E tanh'(h)
    sech2 = b.map("sub", b.const(1.0), b.mul(b.map("tanh", h), b.map("tanh", h)))
    assert slope == pytest.approx(0.8 * float(limit(b.avg(sech2, [0]))), rel=1e-12)


def test_collinear_hats_give_one_dot() -> None:
    """The same matrix applied to x and to 2x: linearly dependent hats, one right answer."""
    b = Builder()
    w, x = matrix(b), normal(b)
    h1, h2 = b.matmul(w, ONE, False, x), b.matmul(w, ONE, False, b.mul(b.const(2.0), x))
    back = b.matmul(w, ONE, True, b.map("tanh", b.mul(b.const(0.5), b.add(h1, h2))))
    c = Builder()
    w1, x1 = matrix(c), normal(c)
    g = c.matmul(w1, ONE, False, x1)
    direct = c.matmul(w1, ONE, True, c.map("tanh", c.mul(c.const(1.5), g)))
    assert limit(b.inner(",->", x, back)) == pytest.approx(float(limit(c.inner(",->", x1, direct))), rel=1e-12)


def test_members_of_a_family_are_independent() -> None:
    b = Builder()
    family = b.matrix("W", N, N, np.array([1.0, 4.0, 9.0]), "normal")
    x = normal(b)
    h = b.matmul(family, np.arange(3), False, x)
    np.testing.assert_allclose(limit(b.inner("a,b->ab", h, h)), np.diag([1.0, 4.0, 9.0]))
    one = b.matmul(family, np.array(1), False, x)
    np.testing.assert_allclose(limit(b.inner(",b->b", one, h)), [0, 4, 0])
    back = b.matmul(family, np.array(1), True, h)
    np.testing.assert_allclose(limit(b.inner(",b->b", x, back)), [0, 4, 0])


# ---------------------------------------------------------------------------- finite axes, random scalars


def test_finite_axes_are_linear() -> None:
    b = Builder()
    x = normal(b, (3, 2), 0.5, 2.0)
    centred = b.map("sub", x, b.map("div", b.reduce("sum", x, 0), b.const(3.0)))
    gram = limit(b.inner("ac,bd->abcd", centred, centred))
    expected = 2.0 * np.einsum("ab,cd->abcd", np.eye(3) - 1 / 3, np.eye(2))
    np.testing.assert_allclose(gram, expected, atol=1e-14)
    weights = b.const(np.arange(6.0).reshape(2, 3))
    mixed = b.einsum("ac,cb->ab", x, weights)
    np.testing.assert_allclose(limit(b.avg(mixed, [0])), 0.5 * np.ones((3, 2)) @ np.arange(6.0).reshape(2, 3))


def test_reductions_over_random_entries() -> None:
    b = Builder()
    x = normal(b, (2,))
    assert limit(b.avg(b.reduce("max", x, 0), [0])) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)


def test_gaussian_outputs_have_the_nngp_covariance() -> None:
    b = Builder()
    x = b.map("relu", normal(b, (2,)))
    v = normal(b, variance=3.0)
    f = b.fluctuation(b.mul(v, x))
    c = b.init_scalar("c", "normal", np.array(0.25), np.array(0.5))
    exact = ExactLimit()
    ket = exact.evaluate(b.add(b.mul(b.const(2.0), f), c))
    assert isinstance(ket, Ket)
    mean = exact.moments.mean_of(ket).value
    np.testing.assert_allclose(mean, [0.25, 0.25])
    second = exact.moments.second_moment(ket, ket).value - np.multiply.outer(mean, mean)
    k = np.array([[0.5, 1 / (2 * math.pi)], [1 / (2 * math.pi), 0.5]])
    np.testing.assert_allclose(second, 4 * 3 * k + 0.5, rtol=1e-13)


def test_lower_powers_vanish() -> None:
    from fractions import Fraction

    b = Builder()
    x, y = normal(b), normal(b)
    s = b.add(x, b.scale(y, Fraction(-1, 2)))
    assert limit(b.inner(",->", s, s)) == 1.0


def test_half_moments() -> None:
    for a in range(6):
        z, w = np.polynomial.legendre.leggauss(200)
        z, w = 6 * (z + 1), 6 * w
        direct = (w * z**a * np.exp(-z * z / 2)).sum() / math.sqrt(2 * math.pi)
        assert closed_forms.half_moment(a) == pytest.approx(direct, rel=1e-12)


def test_pieces_of_leaky_relu() -> None:
    from nexortlang.kets.exact.atoms import constant_node, operation

    node = operation("leaky_relu", Node("leaf", leaf=0), constant_node(0.1))
    plus, minus = closed_forms.pieces(node) or ({}, {})
    assert float(plus[1]) == 1.0
    assert float(minus[1]) == pytest.approx(0.1)


def test_a_jump_at_a_computed_scalar_is_refused() -> None:
    b = Builder()
    with pytest.raises(JumpAtAtom):
        limit(b.map("sign", b.avg(normal(b), [0])))


def test_averages_of_vectors_that_depend_on_random_scalars() -> None:
    """<x|c x> = c <x|x> stays a random scalar, and linear ones stay Gaussian."""
    b = Builder()
    c = b.init_scalar("c", "normal", np.array(0.5), np.array(2.0))
    x, y = b.map("erf", normal(b)), normal(b, mean=1.0)
    exact = ExactLimit()
    scaled = exact.evaluate(b.inner(",->", x, b.mul(c, x)))
    assert isinstance(scaled, Ket)
    q = 2 / math.pi * math.asin(2 / 3)
    assert exact.moments.mean_of(scaled).value == pytest.approx(0.5 * q)
    assert exact.moments.variance(scaled.lin) == pytest.approx(2.0 * q**2)
    mixed = exact.evaluate(b.inner(",->", y, b.add(b.mul(b.mul(c, c), x), b.add(c, y))))  # c + 2: x is independent of y
    assert isinstance(mixed, Ket)
    assert exact.moments.mean_of(mixed).value == pytest.approx(2.5)
    assert exact.moments.variance(mixed.lin) == pytest.approx(2.0)


def test_averages_over_one_of_two_indices() -> None:
    b = Builder()
    x, y = normal(b), normal(b, mean=1.0)
    xj = b.rename(b.map("abs", x), {0: 1})
    joint = b.mul(b.mul(xj, xj), b.mul(y, b.map("tanh", y)))
    z = b.avg(joint, [1])
    assert limit(b.avg(z, [0])) == pytest.approx(float(limit(b.inner(",->", y, b.map("tanh", y)))), rel=1e-12)
    with pytest.raises(NotStructured):
        limit(b.avg(b.map("tanh", b.mul(xj, y)), [1]))
