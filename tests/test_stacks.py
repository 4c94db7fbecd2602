"""What SGD adds to a matrix, on particles: stacks of factors held in few directions, and innovations that are made ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from elaborated import program

from nexortlang.core.program import Value
from nexortlang.kets.particles.innovations import Operator, Space
from nexortlang.kets.particles.plan import Plan, plan
from nexortlang.kets.particles.system import System, run_together

TRAINED = """
width n
width m = n/2
from optim import {rule}
const X = randn(3, 4, seed=0)
const y = [1, -1, 0.5]
U[m, 4] ~ normal(0, 1/4)
W[n, m] ~ normal(0, 1/m)
v[n] ~ normal(0, 1)
a[n, 2] ~ normal(0, 1)
c[m, 2] ~ normal(0, 1)
for t in range({steps}):
    h = W @ tanh(U @ X.T)
    f = <v|{output}>
    L = mean((f - y)^2) / 2
    show L
    G = grad(L, W)
    W *= 0.99
    W -= 0.5/n * {rule}(n * G)
    v -= 0.5 * {rule}(n * grad(L, v))
show <a|W @ c>
show <W.T @ a|c> / 2
show <a|W @ tanh(U @ X.T)>
show <W.T @ a|tanh(U @ X.T)> / 2
"""
PLAIN, SHARED = "tanh(h)", "W @ tanh(W.T @ tanh(h) / 2)"


def shown(text: str) -> list[Value]:
    return [show.value for show in program(text).shows]


def on_particles(p: Plan, values: list[Value], count: int, seed: int = 0) -> list[np.ndarray]:
    systems = [System(p, count, np.empty((1, 0, 1)), s) for s in np.random.SeedSequence(seed).spawn(p.copies)]
    run_together(p, systems)
    return [systems[0].fetch(v) for v in values]


@pytest.mark.parametrize("output", [PLAIN, SHARED])
@pytest.mark.parametrize("rule", ["sgd", "momentum"])
def test_stacks_in_few_directions_are_the_stacks(rule: str, output: str) -> None:
    """With room for all directions a stack is what it stands for, to the tolerance of a direction."""
    values = shown(TRAINED.format(rule=rule, steps=9, output=output))
    p = plan(values)
    assert len(p.stacks) > 5
    for few, all_ in zip(on_particles(p, values, 1024), on_particles(replace(p, stacks={}), values, 1024), strict=True):
        np.testing.assert_allclose(few, all_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("output", [PLAIN, SHARED])
@pytest.mark.parametrize("count", [64, 512])
def test_trained_matrices_are_adjoint_to_their_transposes(count: int, output: str) -> None:
    """To rounding, with room for all directions and without."""
    *_, first, second, third, fourth = on_particles(
        plan(values := shown(TRAINED.format(rule="sgd", steps=12, output=output))), values, count
    )
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(third, fourth, rtol=1e-9, atol=1e-10)


def test_what_a_crowded_basis_lacks_is_kept() -> None:
    """24 particles: the basis ends early. The trained matrix still acts by its whole factors."""
    values = shown(TRAINED.format(rule="sgd", steps=12, output=PLAIN))
    p = plan(values)
    few, all_ = (on_particles(q, values, 24) for q in (p, replace(p, stacks={})))
    sizes = [float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(few, all_, strict=True)]
    assert max(sizes) < 0.2, sizes  # the tolerance of a direction is 1 / √24


def test_what_is_read_whole_is_no_stack() -> None:
    """The moments of SGD's factors themselves."""
    text = TRAINED.format(rule="sgd", steps=9, output=PLAIN)
    assert not plan(shown(text), keep=True).stacks
    assert not plan(shown(text.replace("sgd", "adam"))).stacks


def test_innovations_stay_clear_of_each_other_and_of_what_is_set_apart() -> None:
    """As long as there is room, an eighth of the particles."""
    rng = np.random.default_rng(0)
    space = Space(512, rng)
    before = np.ones((1, 512))
    for _ in range(20):
        x = rng.standard_normal((1, 512))
        space.set_apart(x[None])
        before = np.concatenate([before, x / np.sqrt(np.mean(x * x))])
        (z,) = space.normals(2)
        np.testing.assert_allclose(z @ z.T / 512, np.eye(2), atol=1e-12)
        np.testing.assert_allclose(z @ before.T / 512, 0.0, atol=1e-10)
        before = np.concatenate([before, z])
    assert space.used == 1 + 20 * 3 and space.room == 3


def test_a_matrix_keeps_norms_however_many_directions_its_transpose_has_met() -> None:
    """E|Wx|² = |x|²: the sampling errors of a dot along 200 directions of 512 add nothing. (Were innovations of size 1, it would be 1.39.)"""
    rng = np.random.default_rng(1)
    norms = []
    for _ in range(20):
        space = Space(512, rng)
        W = Operator(space, space, 1.0, 1.0)
        y, x = (rng.standard_normal((size, 512)) for size in (200, 20))
        (before,), (after,) = W.apply(y[None], True), W.apply(x[None], False)
        norms.append(float(np.mean(np.mean(after**2, axis=1) / np.mean(x**2, axis=1))))
        np.testing.assert_allclose(before @ x.T, y @ after.T, atol=1e-8)
    error = np.std(norms, ddof=1) / len(norms) ** 0.5
    assert abs(np.mean(norms) - 1.0) < 4 * error < 0.05
