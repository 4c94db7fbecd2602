"""Gradients of random programs as they are written, trained in between, against differences along a random direction.

A program is run at two e nearby in `W += e * |a><b|` and `U += e * d`, updates that stand where the gradient is to be taken: then
∂L/∂e = ⟨a|G b⟩ for G = grad(L, W), and n · avg(sum(g · d)) for g = grad(L, U).
"""

from __future__ import annotations

import numpy as np
from elaborated import Finite
from hypothesis import given, settings
from hypothesis import strategies as st

START = """
width n
const e = {e}
const A = [[0.5, -0.3], [0.2, 0.8]]
W[n, n] ~ normal(0, 1/n)
F[n, n, 2] ~ normal(0, 1/n)
U[n, 2] ~ normal(0, 1)
v[n] ~ normal(0, 1)
c ~ normal(0, 1)
a[n] ~ normal(0, 1)
b[n] ~ normal(0, 1)
d[n, 2] ~ normal(0, 1)
S = (W + W.T) / sqrt(2)
before = <v|tanh(W @ U)>
"""

LAYERS = [
    "h = tanh(W @ h)",
    "h = W.T @ sin(h)",
    "h = h + 0.5 * (F @ tanh(h))",
    "h = sin(F[1] @ h) + U",
    "h = (h - avg(h)) / sqrt(avg((h - avg(h))^2) + 0.1)",
    "h = tanh(h @ A) * U",
    "h[i] = avg[j](tanh(h[i] * h[j]) * U[j])",
    "h = h @ softmax(<h|tanh(h)>, 1)",
    "h = c * h[[1, 0]] + sum(h, axis=0)",
    "S = (W + W.T) / sqrt(2)\nh = S @ h",
]
UPDATES = [
    "W[i, j] -= 0.3/n * sin(v[i] * a[j])",
    "W -= |tanh(v)><b|",
    "W *= 0.9",
    "F[0] -= |b><a|",
    "U *= c",
]

END = """
W += e * |a><b|
F += e * |b><a|
U += e * d
h = h + U
{layers}
L = sin(sum(<v|h + 0.3 * W @ h>)) - avg(W @ U[0] * v) + avg(tanh(F[0] @ h) * a + U^2)[1] - sum(before)
{gradient}
"""

GRADIENTS = {
    "W": "D = <a|grad(L, W) @ b>",
    "F": "G = grad(L, F)\nD = <b|G[0] @ a> + <b|G[1] @ a>",
    "U": "D = n * avg(sum(grad(L, U) * d))",
}
BASE, STEP = 0.3, 1e-5


EARLIER = st.lists(st.sampled_from(LAYERS + UPDATES), max_size=3)
LATER = st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(EARLIER, LATER, st.sampled_from(sorted(GRADIENTS)))
def test_the_derivative_along_a_direction(earlier: list[str], later: list[str], name: str) -> None:
    # one direction only: the other parameters stay
    end = "\n".join(line for line in END.splitlines() if not (" e * " in line and not line.startswith(name)))

    def run(e: float, gradient: str = "") -> Finite:
        return Finite(
            START.format(e=e) + "\n".join(["h = U", *earlier]) + end.format(layers="\n".join(later), gradient=gradient),
            n=4,
        )

    up, down = (float(run(e).array("L")) for e in (BASE + STEP, BASE - STEP))
    found = float(run(BASE, GRADIENTS[name]).array("D"))
    np.testing.assert_allclose(found, (up - down) / (2 * STEP), rtol=1e-5, atol=1e-7)
