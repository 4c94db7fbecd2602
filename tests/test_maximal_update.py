"""Training in the maximal-update regime against what can be had without this project: recursions, and integrals over the initial weights.

With one hidden layer the particles of the limit meet only in the output: each (u, v) moves by itself, given f. So the limit of any entrywise
optimizer is an integral over the weights' initial law, which a fine grid gives as exactly as one likes (Tensor Programs IVb, Theorem 2.5.2).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from judge import REPLICATE_FREEDOM, Numbers, checked, deviation, numbers, worst
from limits import Shown, limits

from nexortlang.kets.particles import replicates
from nexortlang.kets.particles.replicates import Target
from nexortlang.kets.results import Options

Array: TypeAlias = np.ndarray
Optimizer: TypeAlias = Callable[[list[Array]], Array]
"""What is subtracted, from all gradients so far."""

# ---------------------------------------------------------------------------- linear networks

X = np.array([[1.0, 0.5], [-0.5, 1.0], [0.3, 0.2]])
Y = np.array([[1.0, -1.0], [0.5, 0.25], [-1.0, 0.0]])
RATE = 0.3
STEPS = 6

LINEAR = f"""
width n
const X = {X.tolist()}
const Y = {Y.tolist()}
const decay = 0
U[n, 2] ~ normal(0, 1)
V[n, 2] ~ normal(0, 1)
for t in range({STEPS}):
    f = <U @ X.T|V>
    L = sum((f - Y)^2) / 2
    show f
    g = n * grad(L, U)
    h = n * grad(L, V)
    U *= 1 - decay
    V *= 1 - decay
    U -= {RATE} * g
    V -= {RATE} * h
"""


def recursion(decay: float) -> Array:
    """f_t = ξᵀ(A_t C_t + B_t D_t) with |U_t⟩ = |U₀⟩C + |V₀⟩D, |V_t⟩ = |U₀⟩A + |V₀⟩B (Tensor Programs IV, Theorem D.1)."""
    C, D, A, B = np.eye(2), np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)
    outputs = []
    for _ in range(STEPS):
        f = X @ (C.T @ A + D.T @ B)
        outputs.append(f)
        chi = f - Y
        steps = (A @ chi.T @ X, B @ chi.T @ X, C @ X.T @ chi, D @ X.T @ chi)
        C, D, A, B = ((1 - decay) * w - RATE * s for w, s in zip((C, D, A, B), steps, strict=True))
    return np.array(outputs)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_linear_networks_follow_their_recursion(decay: float, tmp_path: Path) -> None:
    shown = limits(LINEAR, tmp_path, "--set", f"decay={decay}")["f"]
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value, recursion(decay), rtol=1e-12, atol=1e-15)


def test_the_recursion_of_one_unit(tmp_path: Path) -> None:
    """η = 0.1, ξ = y = 1: the numbers of the recursion with A = D, B = C, f = 2AB."""
    text = "width n\nu[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nfor t in range(6):\n    f = <v|u>\n    L = (f - 1)^2/2\n    show f\n"
    text += "    g = n * grad(L, u)\n    h = n * grad(L, v)\n    u -= 0.1 * g\n    v -= 0.1 * h\n"
    shown = limits(text, tmp_path)["f"]
    np.testing.assert_allclose(shown.value, [0, 0.2, 0.36288, 0.49795249, 0.60955357, 0.70042049], atol=5e-9)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_particles_follow_the_recursion(decay: float) -> None:
    """The same by particles, which do not know that it has an exact form: to 1e-3 and within their errors."""
    program = checked(LINEAR.replace("const decay = 0", f"const decay = {decay}")).program
    assert program is not None
    answers, _ = replicates.run(program, [Target(s.kind, s.value) for s in program.shows], Options(samples=4096))
    for answer, truth in zip(answers, recursion(decay), strict=True):
        found = numbers(answer)
        assert np.all(np.abs(found.values - truth.ravel()) <= np.minimum(1e-3, 5 * found.errors + 1e-12))


# ---------------------------------------------------------------------------- one hidden layer, by integration


def sgd(gradients: list[Array]) -> Array:
    return gradients[-1]


def nesterov(gradients: list[Array]) -> Array:
    buffer = sum(0.9 ** (len(gradients) - 1 - k) * g for k, g in enumerate(gradients))
    return gradients[-1] + 0.9 * buffer


def adam_inside(gradients: list[Array]) -> Array:
    t = len(gradients)
    m = sum(0.1 * 0.9 ** (t - 1 - k) * g for k, g in enumerate(gradients)) / (1 - 0.9**t)
    s = sum(0.001 * 0.999 ** (t - 1 - k) * g**2 for k, g in enumerate(gradients)) / (1 - 0.999**t)
    return m / np.sqrt(s + 0.3**2)


def smooth_sign_sgd(gradients: list[Array]) -> Array:
    return gradients[-1] / np.hypot(gradients[-1], 0.3)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd(g)": sgd,
    "nesterov(g)": nesterov,
    "adam_inside(g, eps = 0.3)": adam_inside,
    "smooth_sign_sgd(g, eps = 0.3)": smooth_sign_sgd,
}
SIZES = {
    "q": lambda q, norm: q,
    "normalised(q)": lambda q, norm: q / norm,
    "clipped(q, 0.2)": lambda q, norm: min(1.0, 0.2 / norm) * q,
}
INPUTS, TARGETS = np.array([1.0, -0.4, 2.0]), np.array([1.0, 0.5, -0.5])

SHALLOW = """
width n
from optim import {name}
from norms import normalised, clipped
const X = [[1], [-0.4], [2]]
const y = [1, 0.5, -0.5]
U[n, 1] ~ normal(0, 1)
v[n] ~ normal(0, 1)
def step(g):
    q = {call}
    return {size}
for t in range(5):
    f = <v|tanh(U @ X.T)>
    L = mean((f - y)^2) / 2
    show f
    a = n * grad(L, U)
    b = n * grad(L, v)
    U *= 1 - {decay}
    v *= 1 - {decay}
    U -= 0.4 * step(a)
    v -= 0.4 * step(b)
"""


def integrated(optimizer: Optimizer, size: Callable[[Array, float], Array], decay: float) -> Array:
    """The outputs of SHALLOW, by the trapezoidal rule, with rounding errors alone on the first steps and below 1e-5 on the last."""
    line = np.linspace(
        -6.5, 6.5, 801
    )  # so fine because normalised steps grow with v and leave a narrow strip of analyticity
    weight = np.exp(-(line**2) / 2)
    u, v = (w.ravel() for w in np.meshgrid(line, line, indexing="ij"))
    weight = np.outer(weight / weight.sum(), weight / weight.sum()).ravel()
    past: tuple[list[Array], list[Array]] = ([], [])
    outputs = []
    for _ in range(5):
        x = np.tanh(u[:, None] * INPUTS)
        f = (weight * v) @ x
        outputs.append(f)
        chi = (f - TARGETS) / len(TARGETS)
        past[0].append((v[:, None] * (1 - x**2)) @ (chi * INPUTS))
        past[1].append(x @ chi)
        updates = [optimizer(gradients) for gradients in past]
        u, v = ((1 - decay) * w - 0.4 * size(q, (weight @ q**2) ** 0.5) for w, q in zip((u, v), updates, strict=True))
    return np.array(outputs)


def trained(call: str, size: str, decay: float, folder: Path) -> Shown:
    text = SHALLOW.format(name=call.split("(")[0], call=call, size=size, decay=decay)
    return limits(text, folder, "--tol", "5e-4")["f"]


def assert_agrees(shown: Shown, truth: Array) -> None:
    assert np.all(shown.stderr <= 5e-4) and np.any(shown.stderr > 0)
    found = Numbers(shown.value, shown.stderr, REPLICATE_FREEDOM)
    assert worst(deviation(found, Numbers(truth, np.zeros_like(truth)))) <= 4.5


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("call", OPTIMIZERS)
def test_one_hidden_layer_is_an_integral_over_its_weights(call: str, decay: float, tmp_path: Path) -> None:
    truth = integrated(OPTIMIZERS[call], SIZES["q"], decay)
    assert_agrees(trained(call, "q", decay, tmp_path), truth)


@pytest.mark.parametrize("call", ["sgd(g)", "adam_inside(g, eps = 0.3)"])
@pytest.mark.parametrize("size", ["normalised(q)", "clipped(q, 0.2)"])
def test_updates_of_a_given_norm(call: str, size: str, tmp_path: Path) -> None:
    truth = integrated(OPTIMIZERS[call], SIZES[size], 0.05)
    assert_agrees(trained(call, size, 0.05, tmp_path), truth)


def test_decay_alone_scales_the_initial_weights(tmp_path: Path) -> None:
    """W *= 1 − λ twice is a network of variances (1 − λ)⁴ as large, whose norms are exact."""
    text = """
width n
const X = [[1, 0.5], [-0.5, 1]]
const s = {variance}
U[n, 2] ~ normal(0, s)
W[n, n] ~ normal(0, s/n)
{decay}
h = W @ relu(U @ X.T)
show <h|W @ W.T @ relu(h)> as K
"""
    decayed = limits(text.format(variance=1, decay="for t in range(2):\n    U *= 0.9\n    W *= 0.9"), tmp_path)["K"]
    scaled = limits(text.format(variance=0.9**4, decay=""), tmp_path)["K"]
    assert decayed.method == scaled.method == "exact"
    np.testing.assert_allclose(decayed.value, scaled.value, rtol=1e-12)
