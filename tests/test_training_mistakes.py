"""What is wrong in a training program is told by codes of its own, with a remedy that names what to write."""

from __future__ import annotations

import pytest
from elaborated import elaborated

START = """
width n
from optim import adam, sgd
const y = [1, -1]
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
w[n] ~ normal(0, 1)
f = <v | tanh(W @ tanh(U))>
L = mean((f - y)^2) / 2
optimizer normed(g):
    return g / sqrt(avg(g^2))
"""

MISTAKES = {
    "grad((f - y)^2, W)": ("NX240", "expected one scalar", "mean(…) or sum(…)"),
    "grad(tanh(v), v)": ("NX240", "a vector(n)", "avg(x) of a vector"),
    "grad(L, w)": ("NX241", "L does not depend on w", "computed from"),
    "grad(L, y)": ("NX241", "L does not depend on y", "without const"),
    "W -= 0.1/n * normed(n * grad(L, W))": ("NX242", "found an average", "such as a norm, outside"),
    "W -= 0.1 * adam(n * grad(L, W))": ("NX222", "blows up", "divide by n"),
    "W -= 0.1/n^2 * adam(n * grad(L, W))": ("NX223", "vanishes", "multiply by n"),
    "v -= 0.1/n * adam(n * grad(L, v))": ("NX224", "v vanishes", "multiply by n"),
    "v -= 0.1*n * adam(n * grad(L, v))": ("NX224", "v blows up", "divide by n"),
    # the optimizer's argument is what is wrong: times n outside, eps would drown the gradient
    "W -= 0.1/n * adam(grad(L, W))": ("NX223", "vanishes", "adam(n * grad(L, W))"),
    "v -= 0.1 * adam(grad(L, v))": ("NX224", "v vanishes", "adam(n * grad(L, v))"),
    "U -= 0.1 * sgd(n^2 * grad(L, U))": ("NX224", "U blows up", "sgd(1/n * n^2 * grad(L, U))"),
    "W -= 0.1 * grad(L, W) * n": ("NX222", "blows up", "divide by n"),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_has_a_code_and_a_remedy(line: str) -> None:
    code, message, remedy = MISTAKES[line]
    text = START + (line if "-=" in line else f"g = {line}") + "\n"
    (diagnostic,) = elaborated(text)[1]
    assert diagnostic.code == code and message in diagnostic.message and remedy in diagnostic.hint


def test_an_optimizer_of_one_scalar_or_with_outside_norms_is_right() -> None:
    _, mistakes = elaborated(
        START
        + """
optimizer scaled(g, norm):
    return g / norm
G = n * grad(L, W)
W -= 0.1/n * scaled(G, sqrt(avg(G^2)))
"""
    )
    assert not mistakes


@pytest.mark.parametrize(
    "change", ["[g, g]", "g[0]", "concatenate(g, g)", "transpose(g)", "reshape(g, 2, 1)", "sum(g)"]
)
def test_an_optimizer_does_not_see_axes(change: str) -> None:
    _, mistakes = elaborated(START + f"optimizer q(g):\n    return {change}\nU -= q(n * grad(L, U))\n")
    assert [d.code for d in mistakes] == ["NX242"]


ADAPTER = """
width n
from optim import adam, sgd
const y = [1, -1]
x[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
A[n] ~ normal({mean}, 1)
B = zeros(n)
optimizer soft(g, eps):
    return g / (abs(g) + eps)
for t in range(2):
    f = <v|tanh(W @ x + B * {product})>
    L = mean((f - y)^2) / 2
    B -= 0.1 * {optimizer}
    A -= 0.1 * {optimizer_of_A}
"""


@pytest.mark.parametrize(
    ("optimizer", "product", "mean", "lines"),
    [
        ("adam(n * grad(L, B))", "<A|x>", 0, [15]),
        ("soft(n * grad(L, B), 1e-8)", "<A|x>", 0, [15]),
        ("soft(n * grad(L, B), 1e-8)", "(<A|x> + <x[0]|A>)", 0, [15]),
        ("soft(n * grad(L, B), 1)", "<A|x>", 0, []),  # of so small a gradient a small step
        ("sgd(n * grad(L, B))", "<A|x>", 0, []),
        ("adam(n * grad(L, B))", "(sqrt(n) * <A|x>)", 0, []),
        ("adam(n * grad(L, B))", "<A|x + 1>", 1, []),  # A has a mean
        ("adam(n * grad(L, B))", "<A|x + A>", 0, []),  # what A is multiplied by depends on A
        ("adam(n * grad(L, B))", "(<A|x> + 1)", 0, []),
    ],
)
def test_a_gradient_that_is_zero_in_the_limit_alone(optimizer: str, product: str, mean: int, lines: list[int]) -> None:
    """A low-rank adapter. The gradient of A is 0 at every width at first, so that nothing is said of it."""
    text = ADAPTER.format(optimizer=optimizer, product=product, mean=mean, optimizer_of_A="adam(n * grad(L, A))")
    found, mistakes = elaborated(text)
    said = [(d.code, d.severity, d.span.line) for d in mistakes if d.span is not None]
    assert said == [("NX246", "warning", line) for line in lines]
    assert found.values
