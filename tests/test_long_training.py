"""Training over many steps: as many instructions a step at the end as at the start, and at finite width what dense matrices give.

A trained matrix acts by stacked factors (elaborate.stacks) or by one running outer value; the reference here updates an n × m array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from elaborated import Finite, codes, program

from nexortlang.core.program import Avg, Inner, Program
from nexortlang.elaborate.averages import average
from nexortlang.elaborate.separation import separation

Array: TypeAlias = np.ndarray
Rule: TypeAlias = Callable[[Array, list[Array]], Array]
"""An optimizer: the gradient, the list of all gradients so far (this one included)."""


def heavy_ball(g: Array, past: list[Array]) -> Array:
    return sum(0.9 ** (len(past) - 1 - k) * p for k, p in enumerate(past))  # type: ignore[return-value]


def rms(g: Array, past: list[Array]) -> Array:
    s = sum(0.01 * 0.99 ** (len(past) - 1 - k) * p**2 for k, p in enumerate(past))
    return g / (np.sqrt(s) + 1e-8)


RULES: dict[str, Rule] = {
    "sgd": lambda g, past: g,
    "momentum": heavy_ball,
    "nesterov": lambda g, past: g + 0.9 * heavy_ball(g, past),
    "rmsprop": rms,
}

NETWORK = """
width n
width m = n/2
from optim import {rule}
const X = [[1, 0.5, -1], [0, 1, 1]]
const y = [1, -1]
U[m, 3] ~ normal(0, 1/3)
W[n, m] ~ normal(0, 1/m)
v[n] ~ normal(0, 1)
for t in range({steps}):
    h1 = U @ X.T
    h2 = W @ tanh(h1)
    h3 = W.T @ (tanh(h2) / 2)
    f = <v|W @ tanh(h3)>
    L = mean((f - y)^2) / 2
    show f
    G = grad(L, W)
    W *= 0.99
    W -= 0.3/n * {rule}(n * G)
h = W @ tanh(h1)
"""


def dense(d: dict[str, Array], rule: Rule, steps: int) -> tuple[Array, Array]:
    """The last output of NETWORK and h, with matrices."""
    X, y = np.array([[1, 0.5, -1], [0, 1, 1]]), np.array([1.0, -1.0])
    U, W, v = d["U"], d["W"].copy(), d["v"]
    n = len(v)
    past: list[Array] = []
    for _ in range(steps):
        h1 = U @ X.T
        x1 = np.tanh(h1)
        h2 = W @ x1
        x2 = np.tanh(h2) / 2
        x3 = np.tanh(W.T @ x2)
        f = v @ (W @ x3) / n
        dh4 = v[:, None] * (f - y) / (2 * n)
        dh3 = (W.T @ dh4) * (1 - x3**2)
        dh2 = (W @ dh3) * (1 - np.tanh(h2) ** 2) / 2
        past.append(n * (dh4 @ x3.T + x2 @ dh3.T + dh2 @ x1.T))
        W = 0.99 * W - 0.3 / n * rule(past[-1], past)
    return f, W @ x1


@pytest.mark.parametrize("rule", RULES)
def test_against_matrices(rule: str) -> None:
    run = Finite(NETWORK.format(rule=rule, steps=6), n=8)
    f, h = dense(run.draws, RULES[rule], 6)
    np.testing.assert_allclose(run.array("f"), f, rtol=1e-10)
    np.testing.assert_allclose(run.array("h"), h, rtol=1e-9)


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "lion", "adadelta"])
def test_every_step_is_as_long_as_the_one_before(rule: str) -> None:
    lengths = [len(program(NETWORK.format(rule=rule, steps=steps)).values) for steps in (8, 12, 16)]
    # the number t of the step is a constant of its own where an optimizer counts steps, and meets others by chance
    assert abs(lengths[2] - 2 * lengths[1] + lengths[0]) <= 4
    assert lengths[2] - lengths[1] < 4 * 120


def kinds(p: Program, kind: type) -> int:
    return sum(isinstance(v, kind) for v in p.values)


def test_a_linear_update_needs_no_function_of_pairs_and_any_other_one_a_use() -> None:
    """Three applications forward, two backward."""
    linear = program(NETWORK.format(rule="momentum", steps=10))
    assert kinds(linear, Avg) == 0
    few, many = (kinds(program(NETWORK.format(rule="rmsprop", steps=steps)), Avg) for steps in (5, 10))
    assert many - few == 5 * 5


FAMILY = """
width n
W[n, n, 2] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
g[n, 2] ~ normal(0, 1)
for t in range(5):
    h = W @ x
    {update}
    W[1] -= 0.1 * |g[0]><tanh(x)|
h = W @ [x, g[1]]
one = W[1].T @ x
"""


@pytest.mark.parametrize("update", ["W[i, j] -= 0.2/n * tanh(h[i]) * x[j]", "W[i, j] -= 0.2/n * sign(h[i] + x[j])"])
def test_families(update: str) -> None:
    run = Finite(FAMILY.format(update=update), n=6)
    n, W, x, g = 6, run.draws["W"].copy(), run.draws["x"], run.draws["g"]
    for _ in range(5):
        h = W @ x
        if "tanh(h[i])" in update:
            W = W - 0.2 / n * np.tanh(h)[:, :, None] * x
        else:
            W = W - 0.2 / n * np.sign(h[:, :, None] + x)
        W[1] -= 0.1 * np.outer(g[:, 0], np.tanh(x)) / n
    both = np.stack([W[0] @ x, W[1] @ g[:, 1]], 1)
    np.testing.assert_allclose(run.array("h"), both, rtol=1e-10)
    np.testing.assert_allclose(run.array("one"), W[1].T @ x, rtol=1e-10)


def test_updates_of_two_powers_of_n_stay_apart() -> None:
    text = """
width n
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
x[n] ~ normal(0, 1)
for t in range(5):
    h = W @ x
    f = sqrt(n) * <v|x>
    W[i, j] -= 0.1/n * tanh(h[i]) * x[j]
    W[i, j] -= 0.1 * n^(-3/2) * x[i] * h[j]
h = W @ x
"""
    run = Finite(text, n=6)
    n, W, x = 6, run.draws["W"].copy(), run.draws["x"]
    for _ in range(5):
        h = W @ x
        W = W - 0.1 / n * np.outer(np.tanh(h), x) - 0.1 * n**-1.5 * np.outer(x, h)
    np.testing.assert_allclose(run.array("h"), W @ x, rtol=1e-10)


def test_summands_come_back_with_other_coefficients() -> None:
    """Sums, differences, multiples and transposes of the same products: each product is in the family once."""
    run = Finite(
        "width n\nwidth m = 2*n\na[n, 4] ~ normal(0, 1)\nb[m, 4] ~ normal(0, 1)\nc[4] ~ normal(1, 1)\nz[m] ~ normal(0, 1)",
        n=4,
    )
    build = run.elaborator._context.builder
    a, b, c = (run.value(name) for name in "abc")
    column = [
        build.mul(build.gather(a, np.array(k)), build.rename(build.gather(b, np.array(k)), {0: 1})) for k in range(4)
    ]
    first = build.add(build.add(column[0], column[1]), column[2])
    second = build.map("sub", build.mul(build.gather(c, np.array(1)), column[3]), column[1])
    v = build.map(
        "neg", build.map("sub", build.add(second, first), build.map("div", first, build.gather(c, np.array(0))))
    )
    found = separation(build, v)
    assert found.is_stacked and found.terms == 1 and found.family is not None and found.family.count == 4
    z = build.rename(run.value("z"), {0: 1})
    y = average(build, build.mul(v, z), (1,))
    run._catch_up()
    A, B, C = run.draws["a"], run.draws["b"], run.draws["c"]
    outer = np.einsum("ik,jk->kij", A, B)
    total = outer[0] + outer[1] + outer[2]
    dense_v = -(C[1] * outer[3] - outer[1] + total - total / C[0])
    np.testing.assert_allclose(run._arrays[y.id], dense_v @ run.draws["z"] / 8, rtol=1e-10)
    assert kinds(run.program, Inner) == 1


@pytest.mark.parametrize("text", ["concatenate([1, 2], [[1, 2]])", "concatenate(1, [2])", "concatenate(x, [1, 2])"])
def test_what_cannot_be_concatenated(text: str) -> None:
    assert codes(f"width n\nx[n, 2] ~ normal(0, 1)\ny = {text}\n") == [("NX210", 3)]
