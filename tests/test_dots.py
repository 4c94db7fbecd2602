"""The dots matter: without them the limit of a trained network is another curve, which wide networks do not follow.

W₀ x_t has a part along everything that W₀ᵀ was applied to (Tensor Programs IVb, Definition 2.6.5, MatMul). A test can leave it out, and then
gradients are followed as if the backward pass had weights of its own.
"""

from __future__ import annotations

import numpy as np
import pytest

from nexortlang.driver import Request, check
from nexortlang.finite.simulate import Settings, Simulator
from nexortlang.kets.particles import innovations, replicates
from nexortlang.kets.particles.replicates import Target
from nexortlang.kets.results import Estimate, Options
from nexortlang.source import Source

NETWORK = """
width n
const X = [[1, 0.5], [-0.5, 1], [0.2, -1]]
const y = [1, -0.5, 0.5]
from optim import adam
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 2/n)
v[n] ~ normal(0, 1)
f = zeros(3)
for t in range(5):
    f = <v|tanh(W @ tanh(U @ X.T))>
    L = mean((f - y)^2) / 2
    gU = n * grad(L, U)
    gW = n * grad(L, W)
    gv = n * grad(L, v)
    U -= 0.1 * adam(gU)
    W -= 0.1/n * adam(gW)
    v -= 0.1 * adam(gv)
show f
"""
WIDTH, SEEDS = 512, 20


def no_dot(self: innovations.Operator, x: np.ndarray, transposed: bool) -> float:
    return 0.0


def test_without_dots_two_hidden_layers_under_adam_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    program = check(Source("network.nxt", NETWORK), Request()).program
    assert program is not None
    (show,) = program.shows

    def curve() -> Estimate:
        answers, _ = replicates.run(program, [Target(show.kind, show.value)], Options(samples=512))
        assert isinstance(answers[0], Estimate)
        return answers[0]

    runs = Simulator(program, Settings(seeds=SEEDS)).simulate(WIDTH).samples[0].values
    mean, error = runs.mean(axis=0), runs.std(axis=0, ddof=1) / SEEDS**0.5
    right = curve()
    monkeypatch.setattr(innovations.Operator, "_dot", no_dot)
    wrong = curve()
    assert np.all(np.abs(right.value - mean) <= 4 * np.hypot(error, right.stderr) + 2 / WIDTH)
    assert np.all(np.abs(wrong.value - mean) >= 10 * np.hypot(error, wrong.stderr))
    assert np.all(np.abs(wrong.value) <= 0.9 * np.abs(right.value))


def test_a_random_matrix_without_dots_has_no_semicircle(monkeypatch: pytest.MonkeyPatch) -> None:
    """⟨x|A² x⟩ = 1 and ⟨x|A⁴ x⟩ = 2 for A = (W + Wᵀ)/√2, all of it from dots: 0 without."""
    text = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nA = (W + W.T)/sqrt(2)\nshow <x|A @ A @ x>\nshow <x|A @ A @ A @ A @ x>\n"
    program = check(Source("semicircle.nxt", text), Request()).program
    assert program is not None
    targets = [Target(s.kind, s.value) for s in program.shows]
    answers, _ = replicates.run(program, targets, Options(samples=1024))
    np.testing.assert_allclose([float(a.value) for a in answers if isinstance(a, Estimate)], [1, 2], atol=0.01)
    monkeypatch.setattr(innovations.Operator, "_dot", no_dot)
    answers, _ = replicates.run(program, targets, Options(samples=1024))
    np.testing.assert_allclose([float(a.value) for a in answers if isinstance(a, Estimate)], [0, 0], atol=0.01)
