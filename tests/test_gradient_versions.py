"""What a name was when the loss was computed: grad(L, W) is with respect to the newest value of W that L was computed from.

Earlier values are other values, for matrices as for vectors; and a value that an update inside of a `def` made leads back to the name outside.
"""

from __future__ import annotations

import numpy as np
import pytest
from elaborated import Finite, codes

START = """
width n
W[n, n] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
v[n] ~ normal(0, 1)
g[n] ~ normal(0, 1)
"""
N = 5


def sech2(h: np.ndarray) -> np.ndarray:
    return 1 - np.tanh(h) ** 2


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.outer(a, b) / len(a)


def found(lines: str, name: str = "G") -> tuple[np.ndarray, dict[str, np.ndarray]]:
    run = Finite(START + lines, n=N)
    return run.array(name), run.draws


@pytest.mark.parametrize("update", ["W -= |g><x|", "W[i, j] -= 1/n * sign(g[i] * x[j])", "W *= 0.5"])
@pytest.mark.parametrize("initial", ["W @ x", "W.T @ x"])
def test_uses_before_an_update_are_of_another_value(update: str, initial: str) -> None:
    """f = net(x) − f₀ without stop: f₀ was computed from the initial matrix."""
    G, d = found(f"f0 = <v|tanh({initial})>\n{update}\nh = W @ x\nf = <v|tanh(h)> - f0\nG = n * grad(f, W)\nH = h\n")
    W, x, v, g = (d[k] for k in "Wxvg")
    now = {"|g": W - outer(g, x), "sig": W - np.sign(np.outer(g, x)) / N, "0.5": W / 2}
    h = next(m for key, m in now.items() if key in update) @ x
    np.testing.assert_allclose(G, np.outer(v * sech2(h), x), rtol=1e-12)


def test_vectors_do_likewise() -> None:
    G, d = found("f0 = avg(sin(x))\nx -= 0.1 * g\nf = avg(cos(x)) - f0\nG = n * grad(f, x)\n")
    np.testing.assert_allclose(G, -np.sin(d["x"] - 0.1 * d["g"]), rtol=1e-12)


def test_the_newest_value_that_the_loss_was_computed_from() -> None:
    """L comes from the value after the first update; the second one changes nothing."""
    G, d = found(
        "W -= |g><x|\nL = <v|tanh(W @ x)>\nW -= |v><x|\nunused = W @ x\nG = n * grad(L, W)\n",
    )
    W, x, v, g = (d[k] for k in "Wxvg")
    np.testing.assert_allclose(G, np.outer(v * sech2((W - outer(g, x)) @ x), x), rtol=1e-12)


@pytest.mark.parametrize("function", ["{} * x[j]", "sin({} * x[j])"])
def test_a_matrix_of_outer_products_counts_once(function: str) -> None:
    """A @ x after an update contains A @ x from before it as a value: that is no use of the new A."""
    G, d = found(
        f"A[i, j] = 1/n * {function.format('g[i]')}\nbefore = A @ x\nA[i, j] -= 1/n * {function.format('v[i]')}\n"
        "L = <v|tanh(A @ x)>\nG = n * grad(L, A)\n"
    )
    x, v, g = (d[k] for k in "xvg")
    f = np.sin if "sin" in function else np.positive
    A = (f(np.outer(g, x)) - f(np.outer(v, x))) / N
    np.testing.assert_allclose(G, np.outer(v * sech2(A @ x), x), rtol=1e-12)


def test_a_combination_remembers_the_value_it_was_made_of() -> None:
    """S = W + Wᵀ was bound before the update, so that L is computed from the value before it."""
    G, d = found("S = W + W.T\nW -= |g><x|\nL = <v|S @ x>\nG = n * grad(L, W)\n")
    x, v = d["x"], d["v"]
    np.testing.assert_allclose(G, np.outer(v, x) + np.outer(x, v), rtol=1e-12)


INNER = """
def adapted(W, x):
    L = <v|tanh(W @ x)>
    dW = n * grad(L, W)
    {decay}
    W -= 0.5/n * dW
    return <g|tanh(W @ x)>
L = adapted(W, x){more}
G = n * grad(L, W)
"""


@pytest.mark.parametrize("decay", ["W *= 0.5", "W = 0.5 * W", "W = W"])
@pytest.mark.parametrize("more", ["", " + <x|W @ v>"])
def test_an_update_inside_of_a_definition_leads_back(decay: str, more: str) -> None:
    """As for the vectors below: the step inside adds a constant, and decay is a factor."""
    G, d = found(INNER.format(decay=decay, more=more))
    W, x, v, g = (d[k] for k in "Wxvg")
    kept = 0.5 if "0.5" in decay else 1.0
    inner = kept * W - 0.5 * outer(v * sech2(W @ x), x)
    expected = kept * np.outer(g * sech2(inner @ x), x) + (np.outer(x, v) if more else 0)
    np.testing.assert_allclose(G, expected, rtol=1e-12)


def test_the_same_for_a_vector() -> None:
    text = """
def adapted(x):
    L = avg(sin(x))
    dx = n * grad(L, x)
    x *= 0.5
    x -= 0.5 * dx
    return avg(g * tanh(x))
L = adapted(x) + avg(x * v)
G = n * grad(L, x)
"""
    G, d = found(text)
    x, v, g = (d[k] for k in "xvg")
    np.testing.assert_allclose(G, 0.5 * g * sech2(0.5 * x - 0.5 * np.cos(x)) + v, rtol=1e-12)


FAMILY = """
F[n, n, 2] ~ normal(0, 1/n)
h = F[0] @ x
{update}
L = <v|F[1] @ h>
G = n * grad(L, F)
"""


@pytest.mark.parametrize("update", ["F[1] -= |g><x|", "F[1] *= 0.5"])
def test_an_update_of_a_member_leaves_the_others_as_they_are(update: str) -> None:
    """h = F[0] @ x is from before the update of F[1], and a use of F[0] as it still is; as for vector families."""
    G, d = found(FAMILY.format(update=update))
    F, x, v, g = (d[k] for k in "Fxvg")
    now = F[1] - outer(g, x) if "|g>" in update else 0.5 * F[1]
    expected = np.stack([np.outer(now.T @ v, x), np.outer(v, F[0] @ x)], -1)
    np.testing.assert_allclose(G, expected, rtol=1e-12)


def test_members_inside_of_a_definition() -> None:
    text = """
F[n, n, 2] ~ normal(0, 1/n)
def trained(F, x):
    F[1] *= 0.5
    F[1] -= |g><x|
    return <v|F[1] @ F[0] @ x>
L = trained(F, x) + <v|F[0] @ g>
G = n * grad(L, F)
"""
    G, d = found(text)
    F, x, v, g = (d[k] for k in "Fxvg")
    one = 0.5 * F[1] - outer(g, x)
    expected = np.stack([np.outer(one.T @ v, x) + np.outer(v, g), 0.5 * np.outer(v, F[0] @ x)], -1)
    np.testing.assert_allclose(G, expected, rtol=1e-12)


def test_what_replaces_a_member_is_another_matrix() -> None:
    text = """
F[n, n, 2] ~ normal(0, 1/n)
def trained(F, x):
    F[1] = W
    return <v|F[1] @ F[0] @ x>
L = trained(F, x)
G = n * grad(L, F)
"""
    G, d = found(text)
    W, x, v = d["W"], d["x"], d["v"]
    expected = np.stack([np.outer(W.T @ v, x), np.zeros((N, N))], -1)
    np.testing.assert_allclose(G, expected, rtol=1e-12)


def test_a_matrix_that_was_not_used_has_no_gradient() -> None:
    assert codes(START + "W -= |g><x|\nL = <v|x>\nG = grad(L, W)\n") == [("NX241", 9)]


@pytest.mark.parametrize(
    "update",
    [
        *("W -= 0.1*W", "W = W - 0.1*W", "W += 0.3*V", "W = 0.6*W + 0.3*V - |g><x|", "W -= 0.2*W + |g><x|"),
    ],
)
def test_decay_written_as_a_multiple_is_an_update(update: str) -> None:
    """The loss from before was computed from W, and a later one from what W has become."""
    lines = f"V[n, n] ~ normal(0, 1/n)\nW0 = W\nW -= |v><g|\nL = <v|tanh(W @ x)>\n{update}\nG = n * grad(L, W)\nM = <v|sin(W @ x)>\nH = n * grad(M, W)\nh = W @ x\n"
    run = Finite(START + lines, n=N)
    W0, V, x, v, g = (run.draws[k] for k in "WVxvg")
    W = W0 - outer(v, g)
    now = {
        "W -= 0.1*W": 0.9 * W,
        "W = W - 0.1*W": 0.9 * W,
        "W += 0.3*V": W + 0.3 * V,
        "W = 0.6*W + 0.3*V - |g><x|": 0.6 * W + 0.3 * V - outer(g, x),
        "W -= 0.2*W + |g><x|": 0.8 * W - outer(g, x),
    }[update]
    np.testing.assert_allclose(run.array("h"), now @ x, rtol=1e-12)
    np.testing.assert_allclose(run.array("G"), np.outer(v * sech2(W @ x), x), rtol=1e-12)
    np.testing.assert_allclose(run.array("H"), np.outer(v * np.cos(now @ x), x), rtol=1e-12)


def test_a_product_in_an_update_inside_of_a_definition_leads_back() -> None:
    """W outside is where both terms of the update came from."""
    G, d = found("def squared(W):\n    W += 0.5 * W @ W\n    return <v|W @ x>\nL = squared(W)\nG = n * grad(L, W)\n")
    W, x, v = d["W"], d["x"], d["v"]
    expected = np.outer(v, x) + 0.5 * (np.outer(v, W @ x) + np.outer(W.T @ v, x))
    np.testing.assert_allclose(G, expected, rtol=1e-12)


def test_a_definition_that_updates_one_member_leaves_the_others() -> None:
    text = """
F[n, n, 2] ~ normal(0, 1/n)
def halved(F):
    F[1] *= 0.5
    return F
L = <v|F[0] @ x>
F = halved(F)
M = L + <v|F[1] @ g>
G = n * grad(M, F)
"""
    G, d = found(text)
    np.testing.assert_allclose(G, np.stack([np.outer(d["v"], d["x"]), np.outer(d["v"], d["g"])], -1), rtol=1e-12)


@pytest.mark.parametrize("update", ["F[0] = 0.9*F[0] - |g><x|", "F[0] -= 0.1*F[0] + |g><x|"])
def test_a_member_that_is_bound_to_a_multiple_of_itself_is_updated(update: str) -> None:
    G, d = found(f"F[n, n, 2] ~ normal(0, 1/n)\nL = sum(<v|F @ x>)\n{update}\nG = n * grad(L, F)\nH = F @ g\n")
    np.testing.assert_allclose(G, np.stack([np.outer(d["v"], d["x"])] * 2, axis=-1), rtol=1e-12)


def test_a_member_that_is_bound_to_a_multiple_of_itself_is_what_it_says() -> None:
    H, d = found("F[n, n, 2] ~ normal(0, 1/n)\nF[0] = 0.9*F[0] - |g><x|\nH = F @ g\n", "H")
    F, x, g = d["F"], d["x"], d["g"]
    np.testing.assert_allclose(H, np.stack([(0.9 * F[0] - outer(g, x)) @ g, F[1] @ g], axis=-1), rtol=1e-12)
