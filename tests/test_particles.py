"""The particle evaluator, instruction by instruction, against known limits. Programs are built as core, by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest

from nexortlang.core.build import Builder
from nexortlang.core.program import InitVector, Matrix, Value, Width
from nexortlang.diagnostics.model import NexortError
from nexortlang.kets.particles import replicates
from nexortlang.kets.particles.apply import contract
from nexortlang.kets.particles.innovations import Operator, Space
from nexortlang.kets.particles.plan import group_size, is_dense, members_abreast, plan
from nexortlang.kets.particles.replicates import Kind, Target
from nexortlang.kets.particles.system import System, run_together
from nexortlang.kets.results import Distribution, Estimate, Options

n = Width("n")
ONE = np.array(0)


def normal(b: Builder, *shape: int, mean: float = 0.0, variance: float = 1.0, width: Width = n) -> InitVector:
    return b.init_vector("x", width, "normal", np.full(shape, mean), np.full(shape, variance))


def gaussian(b: Builder, rows: Width = n, cols: Width = n, variance: float = 1.0) -> Matrix:
    return b.matrix("W", rows, cols, np.array(variance), "normal")


def answer(b: Builder, *values: Value, kind: Kind = "scalar", **options: float) -> list[Estimate]:
    answers, _ = replicates.run(b.program, [Target(kind, v) for v in values], Options(**options))  # type: ignore[arg-type]
    assert all(isinstance(a, Estimate) and a.method == "sampled" for a in answers)
    return [a for a in answers if isinstance(a, Estimate)]


def single(values: list[Value], count: int = 512, seed: int = 0) -> list[np.ndarray]:
    """The values on one randomisation."""
    p = plan(values)
    systems = [System(p, count, np.empty((1, 0, 1)), s) for s in np.random.SeedSequence(seed).spawn(p.copies)]
    run_together(p, systems)
    return [systems[0].fetch(v) for v in values]


def near(estimate: Estimate, truth: object, errors: float = 4.0) -> bool:
    return bool(np.all(np.abs(estimate.value - np.asarray(truth)) <= errors * estimate.stderr + 1e-12))


# ---------------------------------------------------------------------------- instructions alone


def test_normal_vectors_have_their_moments_exactly() -> None:
    b = Builder()
    x = b.init_vector("x", n, "normal", np.array([1.0, -2.0]), np.array([1.0, 4.0]))
    z = b.init_vector("z", n, "normal", np.zeros(2), np.ones(2), np.array([[1.0, 0.5], [0.5, 1.0]]))
    mean, gram, across, fourth = answer(
        b,
        b.avg(x, (0,)),
        b.inner("a,b->ab", z, z),
        b.inner("a,b->ab", x, z),
        b.avg(b.mul(b.mul(z, z), b.mul(z, z)), (0,)),
    )
    assert np.allclose(mean.value, [1.0, -2.0], atol=1e-13)
    assert np.allclose(gram.value, [[1.0, 0.5], [0.5, 1.0]], atol=1e-13)
    assert np.allclose(across.value, 0.0, atol=1e-13)
    assert near(fourth, 3.0)


@pytest.mark.parametrize(("law", "fourth"), [("uniform", 1.8), ("rademacher", 1.0), ("laplace", 6.0), ("normal", 3.0)])
def test_laws_have_mean_variance_and_shape(law: str, fourth: float) -> None:
    b = Builder()
    x = b.init_vector("x", n, law, np.array(0.5), np.array(2.0))  # type: ignore[arg-type]
    c = b.map("sub", x, b.const(0.5))
    square = b.mul(c, c)
    mean, variance, moment = answer(b, b.avg(x, (0,)), b.avg(square, (0,)), b.avg(b.mul(square, square), (0,)))
    assert near(mean, 0.5) and near(variance, 2.0) and near(moment, 4.0 * fourth)


def test_bernoulli() -> None:
    b = Builder()
    x = b.init_vector("x", n, "bernoulli", np.array([0.25, 0.9]), np.array([0.1875, 0.09]))
    mean, second = answer(b, b.avg(x, (0,)), b.inner("a,b->ab", x, x))
    assert near(mean, [0.25, 0.9], 5.0) and near(second, [[0.25, 0.225], [0.225, 0.9]], 5.0)


def test_finite_axes() -> None:
    """Gather, Concat, Reduce, Einsum and broadcasting Maps act on each particle as NumPy does on its row."""
    b = Builder()
    x = normal(b, 2, 3)
    a = np.arange(6.0).reshape(3, 2)
    values = [
        x,
        b.gather(x, np.array([[5, 0], [3, 3]])),
        b.concat([x, b.const([7.0])]),
        b.reduce("max", x, 0),
        b.reduce("argmax", x, 1),
        b.einsum("ab,bc->ac", x, b.const(a)),
        b.einsum("ab,ab->a", x, x),
        b.mul(x, b.gather(x, np.array([0, 1, 2]))),
    ]
    p, gathered, joined, largest, place, product, squares, broadcast = single(values)
    assert np.array_equal(gathered, p.reshape(-1, 6)[:, [[5, 0], [3, 3]]])
    assert np.array_equal(joined, np.concatenate([p.reshape(-1, 6), np.full((512, 1), 7.0)], axis=1))
    assert np.array_equal(largest, p.max(axis=1)) and np.array_equal(place, p.argmax(axis=2))
    assert np.allclose(product, p @ a) and np.allclose(squares, (p * p).sum(axis=2))
    assert np.allclose(broadcast, p * p[:, :1])


def test_lower_powers_vanish_and_zero_is_neutral() -> None:
    b = Builder()
    x = normal(b)
    small = b.scale(x, Fraction(-1))
    assert np.array_equal(*single([b.add(x, small), x]))
    assert np.array_equal(*single([b.map("sub", small, x), b.map("neg", x)]))
    assert np.array_equal(*single([b.add(small, b.const(0.0)), x]))
    (joined,) = single([b.concat([b.reshape(small, (1,)), b.reshape(x, (1,))])])
    assert not joined[:, 0].any() and joined[:, 1].any()


# ---------------------------------------------------------------------------- hats and dots


def test_semicircle_moments() -> None:
    b = Builder()
    W, x = gaussian(b), normal(b)
    z: Value = x
    moments: list[Value] = []
    for _ in range(10):
        z = b.mul(b.const(0.5**0.5), b.add(b.matmul(W, ONE, False, z), b.matmul(W, ONE, True, z)))
        moments.append(b.inner(",->", x, z))
    for estimate, truth in zip(answer(b, *moments), [0, 1, 0, 2, 0, 5, 0, 14, 0, 42], strict=True):
        assert near(estimate, truth) and math.isclose(float(estimate.value), truth, rel_tol=2e-3, abs_tol=1e-9)


@pytest.mark.parametrize("ratio", [Fraction(2), Fraction(1, 2)])
def test_marchenko_pastur_moments(ratio: Fraction) -> None:
    b = Builder()
    m, k = Width("m"), Width("k", ratio)
    W, x = gaussian(b, k, m), normal(b, width=m)
    z: Value = x
    moments: list[Value] = []
    for _ in range(4):
        z = b.matmul(W, ONE, True, b.matmul(W, ONE, False, z))
        moments.append(b.inner(",->", x, z))
    r = float(ratio)
    truth = [r, r + r**2, r + 3 * r**2 + r**3, r + 6 * r**2 + 6 * r**3 + r**4]
    for estimate, moment in zip(answer(b, *moments), truth, strict=True):
        assert near(estimate, moment) and math.isclose(float(estimate.value), moment, rel_tol=2e-3)


def test_gradient_independence_counterexample() -> None:
    """dx = 2 WᵀW 1 has mean 2 (not 0), variance 4 (TENSOR_PROGRAMS.md §8.2)."""
    b = Builder()
    W = gaussian(b)
    ones = normal(b, mean=1.0, variance=0.0)
    dx = b.mul(b.const(2.0), b.matmul(W, ONE, True, b.matmul(W, ONE, False, ones)))
    mean, second = answer(b, b.avg(dx, (0,)), b.inner(",->", dx, dx))
    assert math.isclose(float(mean.value), 2.0, abs_tol=1e-12) and near(second, 8.0) and float(second.stderr) < 0.02


def test_dots_by_hand() -> None:
    """y = Wx, u = Wᵀ relu(y): ⟨x|u⟩ = ⟨y|relu y⟩ = ½, ⟨u|u⟩ = ½ + ¼ (hat and dot ½ x)."""
    b = Builder()
    W, x = gaussian(b), normal(b)
    u = b.matmul(W, ONE, True, b.map("relu", b.matmul(W, ONE, False, x)))
    along, norm = answer(b, b.inner(",->", x, u), b.inner(",->", u, u))
    assert near(along, 0.5) and near(norm, 0.75)


@pytest.mark.parametrize("ratio", [Fraction(1), Fraction(3)])
def test_adjointness_holds_to_rounding(ratio: Fraction) -> None:
    """For everything W was applied to, earlier or later, with repeated, collinear, constant and zero vectors among it."""
    b = Builder()
    cols = Width("m")
    rows = Width("k", ratio)
    W = b.matrix("W", rows, cols, np.array([0.5, 2.0]), "normal")
    members = np.array([[0], [1]])
    x = normal(b, 3, width=cols)
    inputs: list[Value] = [x]
    outputs: list[Value] = []
    y: Value = b.matmul(W, members, False, x)
    for op in ("tanh", "relu", "sign"):
        outputs.append(b.map(op, y))
        back = b.matmul(W, members, True, outputs[-1])
        inputs.append(b.add(b.map(op, back), b.mul(b.const(1e-3), x)))
        y = b.matmul(W, members, False, inputs[-1])
    inputs += [b.mul(b.const(2.0), x), b.mul(b.const(0.0), x)]
    inputs.append(normal(b, 3, mean=1.0, variance=0.0, width=cols))
    forward = [b.matmul(W, members, False, u) for u in inputs]
    backward = [b.matmul(W, members, True, v) for v in outputs]
    arrays = single([*inputs, *outputs, *forward, *backward], 256)
    u, v, wu, wv = _parts(arrays, len(inputs), len(outputs))
    for a, wa in zip(u, wu, strict=True):
        for c, wc in zip(v, wv, strict=True):
            left, right = np.mean(wc * a, axis=0), float(ratio) * np.mean(c * wa, axis=0)
            assert np.allclose(left, right, atol=1e-11), np.abs(left - right).max()


def _parts(arrays: list[np.ndarray], inputs: int, outputs: int) -> tuple[list[np.ndarray], ...]:
    """The list cut into inputs, outputs, images of the inputs, images of the outputs, all with two members."""
    full = [np.broadcast_to(a if a.ndim == 3 else a[:, None], (len(a), 2, 3)) for a in arrays]
    cuts = [0, inputs, inputs + outputs, 2 * inputs + outputs, len(arrays)]
    return tuple(full[i:j] for i, j in pairwise(cuts))


def test_members_of_a_family_are_independent() -> None:
    b = Builder()
    W = b.matrix("W", n, n, np.array([1.0, 4.0]), "normal")
    y = b.matmul(W, np.array([0, 1, 0]), False, normal(b))
    (gram,) = answer(b, b.inner("a,b->ab", y, y))
    assert np.allclose(gram.value, [[1, 0, 1], [0, 4, 0], [1, 0, 1]], atol=1e-12)


# ---------------------------------------------------------------------------- OuterNonlin


def test_pairs_and_triples() -> None:
    b = Builder()
    x, y = normal(b), normal(b)
    xj, xk, yj = b.rename(x, {0: 1}), b.rename(x, {0: 2}), b.rename(y, {0: 1})
    distance = b.avg(b.map("abs", b.map("sub", x, xj)), (0, 1))
    largest = b.avg(b.map("max", b.map("max", x, xj), xk), (0, 1, 2))
    z = b.avg(b.mul(b.map("sign", b.mul(x, yj)), yj), (1,))
    nested = b.avg(b.map("max", b.avg(b.map("max", b.map("max", x, xj), xk), (2,)), b.map("max", x, xj)), (0, 1))
    found = answer(b, distance, largest, b.inner(",->", z, z))
    for estimate, truth in zip(found, [2 / math.pi**0.5, 1.5 / math.pi**0.5, 2 / math.pi], strict=True):
        assert near(estimate, truth) and estimate.stderr <= 1e-3
    # the inner average is E max(m, x_k) given m = max(x_i, x_j): at least m, and its mean is that of three
    (inner,) = answer(b, nested, samples=256)
    assert near(inner, 1.5 / math.pi**0.5, 5.0)


def test_order_two_leaves_a_vector() -> None:
    """y_i = avg_jk relu(x_i + x_j − x_k) = E relu(x_i + √2 g); ⟨x|y⟩ = E relu′(√3 g) = ½ by Stein's lemma."""
    b = Builder()
    x = normal(b)
    arg = b.map("sub", b.add(x, b.rename(x, {0: 1})), b.rename(x, {0: 2}))
    y = b.avg(b.map("relu", arg), (1, 2))
    (slope,) = answer(b, b.inner(",->", x, y))
    assert near(slope, 0.5)


def test_pairs_over_two_widths() -> None:
    b = Builder()
    x, y = normal(b), normal(b, variance=3.0, width=Width("m", Fraction(2)))
    (distance,) = answer(b, b.avg(b.map("abs", b.map("sub", x, b.rename(y, {0: 1}))), (0, 1)))
    assert near(distance, 2 * (2 / math.pi) ** 0.5)


def test_finite_axes_in_pairs() -> None:
    b = Builder()
    x = normal(b, 3)
    product = b.einsum("a,a->", x, b.rename(x, {0: 1}))
    square, row = answer(
        b, b.avg(b.mul(product, product), (0, 1)), b.avg(b.avg(b.mul(x, b.rename(x, {0: 1})), (1,)), (0,))
    )
    assert near(square, 3.0) and np.allclose(row.value, 0.0, atol=1e-12)


def test_pairs_meet_in_groups_where_both_are_averaged_out() -> None:
    """The numbers are those of all pairs of each group, from two systems, stored or not; with a slot that stays, of all pairs."""
    b = Builder()
    x = normal(b, 2)
    gap = b.map("abs", b.map("sub", x, b.rename(x, {0: 1})))
    deep = b.map("exp", b.map("neg", b.map("sqrt", gap)))
    wanted = [x, b.avg(gap, (0, 1)), b.avg(b.mul(deep, x), (0, 1)), b.avg(b.mul(deep, b.rename(x, {0: 1})), (0, 1))]
    for values in (wanted, [*wanted, b.avg(gap, (1,))]):
        p = plan(values)
        assert any(not is_dense(v.type) for v in p.order) and p.grouped == (len(values) == len(wanted))
        systems = [System(p, 96, np.empty((1, 0, 1)), s) for s in np.random.SeedSequence(0).spawn(p.copies)]
        run_together(p, systems)
        group = 32 if p.grouped else 96
        for k, system in enumerate(systems):
            one, other = (s.fetch(x).reshape(-1, group, 2) for s in (system, systems[1 - k]))
            gaps = np.abs(one[:, :, None] - other[:, None])
            weight = np.exp(-np.sqrt(gaps))
            found = [system.fetch(v)[0] for v in values[1:4]]
            truths = gaps, weight * one[:, :, None], weight * other[:, None]
            assert all(np.allclose(f, t.mean(axis=(0, 1, 2)), rtol=1e-12) for f, t in zip(found, truths, strict=True))


def test_groups_divide_the_particles() -> None:
    b = Builder()
    x = normal(b)
    p = plan([b.avg(b.map("max", x, b.rename(x, {0: 1})), (0, 1))])
    assert [group_size(p, count) for count in (20, 1024, 1000, 97)] == [20, 32, 40, 97]


def test_batch_normalisation() -> None:
    """relu after batch norm over four inputs, one dimension of TP1's integral done by quadrature elsewhere."""
    b = Builder()
    X = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1], [1, -1, 2, 0]], dtype=float)
    h = b.einsum("a,ba->b", normal(b, 4, variance=0.25), b.const(X))
    c = b.map("sub", h, b.mul(b.const(0.25), b.reduce("sum", h, 0)))
    spread = b.map("sqrt", b.mul(b.const(0.25), b.reduce("sum", b.mul(c, c), 0)))
    x = b.map("relu", b.map("div", c, spread))
    (gram,) = answer(b, b.inner("a,b->ab", x, x))
    truth = {(0, 0): 0.119016389920538, (0, 3): 0.137440836273295, (3, 3): 0.717603072096811}
    for at, value in truth.items():
        assert abs(gram.value[at] - value) <= 4 * gram.stderr[at]


# ---------------------------------------------------------------------------- training


def test_one_step_of_sgd_by_hand() -> None:
    """W ← W − η|g⟩⟨x| and z = Wx − η g⟨x|x⟩: ⟨z|z⟩ = 1 + η², and Wᵀg − η x⟨g|g⟩ has ⟨x|Wᵀg⟩ = −η."""
    b = Builder()
    W, x, g = gaussian(b), normal(b), normal(b)
    eta = b.const(0.7)
    z = b.map("sub", b.matmul(W, ONE, False, x), b.mul(eta, b.mul(g, b.inner(",->", x, x))))
    back = b.map("sub", b.matmul(W, ONE, True, g), b.mul(eta, b.mul(x, b.inner(",->", g, g))))
    norm, along, both = answer(b, b.inner(",->", z, z), b.inner(",->", x, back), b.inner(",->", g, z))
    assert np.allclose([norm.value, along.value, both.value], [1.49, -0.7, -0.7], atol=1e-12)


def test_a_matrix_updated_twice_by_functions_of_pairs() -> None:
    """What averages share is stored; the answer is the same as without, and that of the same entries written as products."""
    b = Builder()
    W, x, g = gaussian(b), normal(b), normal(b, 2)
    xj = b.rename(x, {0: 1})
    S: Value = b.const(0.0)
    T: Value = b.const(0.0)
    for k in range(2):
        gk = b.gather(g, np.array(k))
        G = b.mul(gk, xj)
        S = b.add(b.mul(b.const(0.9), S), b.mul(G, G))
        T = b.add(T, b.map("div", G, b.map("sqrt", b.add(S, b.const(1.0)))))
    y = b.add(b.matmul(W, ONE, False, x), b.avg(b.mul(T, xj), (1,)))
    z = b.map("tanh", y)
    back = b.avg(b.mul(b.rename(T, {0: 1, 1: 0}), b.rename(z, {0: 1})), (1,))
    squares = b.avg(b.mul(S, b.map("tanh", T)), (0, 1))
    wanted = [b.inner(",->", y, y), b.inner(",->", back, x), squares]
    results = []
    for store in (True, False):
        p = plan(wanted, store_pairs=store)
        assert any(len(v.type.axes) == 2 for v in p.order) == store
        systems = [System(p, 256, np.empty((1, 0, 1)), s) for s in np.random.SeedSequence(0).spawn(p.copies)]
        run_together(p, systems)
        results.append([s.fetch(v) for s in systems for v in wanted])
    assert np.allclose(results[0], results[1], rtol=1e-12)


def test_sign_update_seen_from_both_sides() -> None:
    """W_ij ← W_ij − ½ sign(y_i x_j)/n: ⟨back|back⟩ of back = Wᵀ relu(W x), derived elsewhere."""
    b = Builder()
    W, x, y = gaussian(b), normal(b), normal(b)
    S = b.mul(b.const(0.5), b.map("sign", b.mul(y, b.rename(x, {0: 1}))))
    xj = b.rename(x, {0: 1})
    z = b.map("relu", b.map("sub", b.matmul(W, ONE, False, x), b.avg(b.mul(S, xj), (1,))))
    turned = b.rename(S, {0: 1, 1: 0})
    back = b.map("sub", b.matmul(W, ONE, True, z), b.avg(b.mul(turned, b.rename(z, {0: 1})), (1,)))
    (norm,) = answer(b, b.inner(",->", back, back))
    assert near(norm, 0.9191021270351387)


# ---------------------------------------------------------------------------- answers


def test_distribution() -> None:
    b = Builder()
    x = b.init_vector("x", n, "laplace", np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    (found,), _ = replicates.run(b.program, [Target("distribution", x)], Options(samples=4096))
    assert isinstance(found, Distribution)
    assert np.allclose(found.mean, [0.0, 1.0], atol=0.02) and np.allclose(found.variance, [1.0, 4.0], rtol=0.03)
    assert np.allclose(found.quantiles[0.75], [math.log(2) / 2**0.5, 1.0 + 2**0.5 * math.log(2)], atol=0.02)
    assert np.allclose(found.skewness, 0.0, atol=0.2) and np.allclose(found.kurtosis, 3.0, atol=0.6)
    assert found.quantile_stderr is not None and found.quantile_stderr.keys() == found.quantiles.keys()
    third = math.log(2) / 2**0.5  # the upper quartile of Laplace's law of variance 1
    for value, stderr, truth in (
        (found.variance, found.variance_stderr, [1.0, 4.0]),
        (found.quantiles[0.25], found.quantile_stderr[0.25], [-third, 1.0 - 2.0 * third]),
        (found.quantiles[0.5], found.quantile_stderr[0.5], [0.0, 1.0]),
        (found.quantiles[0.75], found.quantile_stderr[0.75], [third, 1.0 + 2.0 * third]),
        (found.skewness, found.skewness_stderr, [0.0, 0.0]),
        (found.kurtosis, found.kurtosis_stderr, [3.0, 3.0]),
    ):
        assert stderr is not None and (stderr > 0.0).all() and (stderr < 0.2).all()
        assert (np.abs(value - truth) < 4.0 * stderr).all()


def test_gaussian_scalars() -> None:
    """Fluctuations and initial scalars: covariance from the Gram matrix, means of what is computed from them, distribution."""
    b = Builder()
    x, v = normal(b), normal(b, 2, variance=2.0)
    f = b.fluctuation(b.mul(v, b.map("relu", x)))
    c = b.init_scalar("c", "normal", np.array([0.0, 1.0]), np.array([0.25, 0.25]))
    g = b.add(f, c)
    (covariance,) = answer(b, g, kind="covariance")
    assert near(covariance, np.diag([1.25, 1.25])) and np.all(covariance.stderr < 1e-3)
    mean, square = answer(b, g, b.mul(g, g))
    assert np.allclose(mean.value, [0.0, 1.0], atol=1e-10) and near(square, [1.25, 2.25])
    (found,), _ = replicates.run(b.program, [Target("distribution", g)], Options())
    assert isinstance(found, Distribution) and np.allclose(found.quantiles[0.5], [0.0, 1.0], atol=0.02)
    (zero,) = answer(b, b.avg(x, (0,)), kind="covariance")
    assert zero.value == 0.0


def test_a_random_scalar_inside_a_vector() -> None:
    """avg((x + c)²) = 1 + c²: its mean is 1 + Var c, its variance 2 (Var c)²; the error counts the scatter over draws."""
    b = Builder()
    c = b.init_scalar("c", "normal", np.array(0.0), np.array(0.25))
    y = b.add(normal(b), c)
    second = b.avg(b.mul(y, y), (0,))
    (mean,) = answer(b, second, tol=5e-3)
    (variance,) = answer(b, second, kind="covariance", tol=5e-3)
    assert near(mean, 1.25) and near(variance, 0.125) and 1e-5 < float(mean.stderr) < 0.01


def test_same_seed_same_numbers() -> None:
    b = Builder()
    value = b.avg(b.map("tanh", b.mul(normal(b), normal(b, mean=1.0))), (0,))
    one, two, other = (answer(b, value, seed=s)[0] for s in (1, 1, 2))
    assert one.value == two.value and one.stderr == two.stderr and one.value != other.value


def test_unreachable_tolerance_is_reported() -> None:
    b = Builder()
    value = b.avg(b.map("exp", normal(b, 1)), (0,))
    _, reached = replicates.run(b.program, [Target("scalar", value)], Options(tol=1e-9, samples=512))
    assert not reached
    _, reached = replicates.run(b.program, [Target("scalar", value)], Options(tol=1e-2))
    assert reached


def test_an_expectation_that_is_not_a_number() -> None:
    b = Builder()
    value = b.avg(b.map("log", normal(b)), (0,))
    with pytest.raises(NexortError, match="NX301"):
        answer(b, value)


def test_the_sign_of_what_tends_to_zero() -> None:
    b = Builder()
    y = b.matmul(gaussian(b), ONE, False, b.map("tanh", normal(b)))
    with pytest.raises(NexortError, match="NX302"):
        answer(b, b.map("sign", b.avg(y, (0,))))
    (zero,) = answer(b, b.map("sign", b.avg(b.mul(b.const(0.0), y), (0,))))
    assert zero.value == 0.0


def test_too_much_memory_is_refused_before_it_is_asked_for() -> None:
    b = Builder()
    big = b.init_vector("big", n, "normal", np.zeros(30_000_000), np.zeros(30_000_000))
    with pytest.raises(NexortError, match="NX505"):
        answer(b, b.avg(b.reduce("max", big, 0), (0,)), samples=1 << 20)


def test_truth_is_within_two_standard_errors() -> None:
    """Thirty seeds of several programs; bench/ has the long version. Binomial at 95 %: fewer than 86 % of 150 has probability 1e-5."""
    b = Builder()
    x, y = normal(b), normal(b)
    W = gaussian(b)
    xj = b.rename(x, {0: 1})
    u = b.matmul(W, ONE, True, b.map("relu", b.matmul(W, ONE, False, x)))
    six = normal(b, 6)
    z = b.avg(b.mul(b.map("sign", b.mul(x, b.rename(y, {0: 1}))), b.rename(y, {0: 1})), (1,))
    cases: list[tuple[Value, float]] = [
        (b.avg(b.map("abs", b.map("sub", x, xj)), (0, 1)), 2 / math.pi**0.5),
        (b.inner(",->", z, z), 2 / math.pi),
        (b.inner(",->", u, u), 0.75),
        (b.avg(b.reduce("max", six, 0), (0,)), 1.267206360611471),
        (b.avg(b.map("sqrt", b.reduce("sum", b.mul(six, six), 0)), (0,)), 2.349964007466563),
    ]
    hits = 0
    for seed in range(30):
        for part in (cases[:1], cases[1:]):  # pairs in groups, and all of them
            for estimate, (_, truth) in zip(
                answer(b, *(v for v, _ in part), seed=seed, samples=256), part, strict=True
            ):
                hits += near(estimate, truth, 2.0)
    assert hits >= 0.86 * 30 * len(cases), hits


def test_a_matrix_that_comes_when_the_width_is_crowded() -> None:
    """Twenty matrices of 64 columns on 256 particles: the last ones keep norms, within sampling error, and adjointness, to rounding."""
    rng = np.random.default_rng(0)
    space = Space(256, rng)
    operators = [Operator(space, space, 1.0, 1.0) for _ in range(20)]
    x = rng.standard_normal((1, 64, 8)) @ rng.standard_normal((8, 256)) / 8**0.5
    results = [op.apply(x, False) for op in operators]
    for op, h in zip(operators, results, strict=True):
        assert 0.9 < np.mean(h * h) / np.mean(x * x) < 1.1
        y = np.tanh(h)
        back = op.apply(y, True)
        np.testing.assert_allclose(back[0] @ x[0].T, y[0] @ h[0].T, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------------- runs abreast


@pytest.mark.parametrize(
    "spec",
    [
        "a,b->ab",
        "ab,b->a",
        "ab,bc->ca",
        "abc,ac->cb",
        "ab,ab->",
        "Za,Za->Z",
        "Zab,Zcb->Zca",
        "ab,c->bc",
        "aab,b->a",
        ",->",
        "a,->a",
    ],
)
def test_contractions(spec: str) -> None:
    """As numpy.einsum, with an index that is shared, summed, of one operand only, or repeated."""
    rng = np.random.default_rng(0)
    size = {"a": 3, "b": 4, "c": 2, "Z": 5}
    inputs, out = spec.split("->")
    labels_x, labels_y = inputs.split(",")
    x, y = (rng.standard_normal([size[c] for c in labels]) for labels in (labels_x, labels_y))
    np.testing.assert_allclose(contract(labels_x, labels_y, out, x, y), np.einsum(spec, x, y), rtol=1e-12, atol=1e-13)


def test_runs_abreast_are_independent_and_each_is_adjoint() -> None:
    """Four members of a system: other numbers, the same laws; also where one has fewer directions than another."""
    b = Builder()
    W, x, y = gaussian(b), normal(b, 2), normal(b, 2)
    rare = b.map("relu", b.map("sub", x, b.const(2.5)))  # of few particles, or of none
    u = b.matmul(W, ONE, False, rare)
    z = b.map("tanh", b.add(u, y))
    back = b.matmul(W, ONE, True, z)
    dot, adjoint = b.inner("a,b->ab", back, rare), b.inner("a,b->ab", z, u)
    wanted = [x, u, back, dot, adjoint]
    p = plan(wanted)
    system = System(p, 64, np.empty((4, 0, 1)), np.random.SeedSequence(3))
    run_together(p, [system])
    first, *others = (system.member_values(v) for v in wanted)
    assert len(first) == 4 and all(np.abs(a - c).max() > 0.1 for a, c in combinations(first, 2))
    assert all(np.isfinite(array).all() for array in others)
    np.testing.assert_allclose(others[2], others[3].swapaxes(-1, -2), rtol=1e-9, atol=1e-12)


def test_as_many_runs_abreast_as_pay() -> None:
    """Not where particles meet in pairs, and not with so many particles that Python's part is small."""
    b = Builder()
    x = normal(b)
    alone, pairs = plan([b.inner(",->", x, x)]), plan([b.avg(b.map("max", x, b.rename(x, {0: 1})), (0, 1))])
    assert [members_abreast(alone, count) for count in (16, 1024, 4096, 1 << 16)] == [4, 4, 2, 1]
    assert members_abreast(pairs, 256) == 1
