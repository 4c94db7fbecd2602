"""Every construct of the language against NumPy at a finite width, with the same draws."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from elaborated import Finite

DRAWS = """
width n
width m = 2*n
x[n] ~ normal(0, 1)
z[n] ~ normal(1, 1)
X[n, 2] ~ normal(0, 1)
Y[n, 2, 3] ~ normal(0, 1)
y[m] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
A[m, n] ~ normal(0, 2/n)
F[n, n, 3] ~ normal(0, 1/n)
c ~ normal(0, 1)
d[2] ~ normal(0, 1)
"""

Draws = SimpleNamespace
Expected = Callable[[Draws], object]
N = 4


def case(text: str, expected: Expected) -> object:
    return pytest.param(text, expected, id=text.strip().splitlines()[-1])


def check(text: str, expected: Expected) -> None:
    """`r`, which the text binds, is what `expected` makes of the same draws."""
    run = Finite(DRAWS + (f"{text}\n" if re.search(r"^r\b", text, re.MULTILINE) else f"r = {text}\n"), N)
    found = run.array("r")
    with np.errstate(all="ignore"):
        wanted = np.asarray(expected(SimpleNamespace(**run.draws)), dtype=float)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


ARITHMETIC = [
    case("x + z*2 - x/z", lambda d: d.x + d.z * 2 - d.x / d.z),
    case("-x^2", lambda d: -(d.x**2)),
    case("2^x", lambda d: 2**d.x),
    case("x^2^c", lambda d: d.x ** (2**d.c)),
    case("c * x", lambda d: d.c * d.x),
    case("x > z", lambda d: (d.x > d.z).astype(float)),
    case("not (x > 0 and z > 0)", lambda d: ~((d.x > 0) & (d.z > 0))),
    case("X + x", lambda d: d.X + d.x[:, None]),
    case("X + d", lambda d: d.X + d.d),
    case("Y + X[:, None]", lambda d: d.Y + d.X[:, :, None]),
    case("Y * [1, 2, 3]", lambda d: d.Y * [1, 2, 3]),
    case("where(x > 0, x, 0.1 * x)", lambda d: np.where(d.x > 0, d.x, 0.1 * d.x)),
    case("clip(x, -0.5, 0.5)", lambda d: np.clip(d.x, -0.5, 0.5)),
    case("max(x, z)", lambda d: np.maximum(d.x, d.z)),
    case("max(x, z, 0)", lambda d: np.maximum(np.maximum(d.x, d.z), 0)),
    case("leaky_relu(x, 0.1)", lambda d: np.where(d.x > 0, d.x, 0.1 * d.x)),
    case("tanh(d)", lambda d: np.tanh(d.d)),
    case("sqrt(n) * x / sqrt(n)", lambda d: d.x),
    case("n * |x><z|", lambda d: np.outer(d.x, d.z)),
    case("x * (2*n) / n", lambda d: 2 * d.x),
    case("x * (n + 1) / n", lambda d: d.x * (N + 1) / N),
    case("m * x / n", lambda d: 2 * d.x),
    case("x - 0", lambda d: d.x),
    case("0 - x", lambda d: -d.x),
]

MATRICES = [
    case("W @ x", lambda d: d.W @ d.x),
    case("W.T @ x", lambda d: d.W.T @ d.x),
    case("A @ x", lambda d: d.A @ d.x),
    case("A.T @ y", lambda d: d.A.T @ d.y),
    case("W @ Y", lambda d: np.einsum("ij,jab->iab", d.W, d.Y)),
    case("F[1] @ x", lambda d: d.F[1] @ d.x),
    case("F @ Y", lambda d: np.einsum("kij,jbk->ibk", d.F, d.Y)),
    case("F @ X[:, None]", lambda d: np.einsum("kij,jb->ibk", d.F, d.X).reshape(N, 2, 3)),
    case("F[:, None] @ X", lambda d: np.einsum("kij,jb->ikb", d.F, d.X)),
    case("F.T @ Y", lambda d: np.einsum("kji,jbk->ibk", d.F, d.Y)),
    case("W.T @ W @ x", lambda d: d.W.T @ d.W @ d.x),
    case("S = (W + W.T)/sqrt(2)\nr = S @ x", lambda d: (d.W + d.W.T) @ d.x / np.sqrt(2)),
    case("P = A.T @ A\nr = P @ x", lambda d: d.A.T @ d.A @ d.x),
    case("r = (c * |x><z| + W) @ z", lambda d: (d.c * np.outer(d.x, d.z) / N + d.W) @ d.z),
    case("r = (-W) @ x", lambda d: -d.W @ d.x),
    case("r = |x><y| @ y", lambda d: d.x * np.mean(d.y * d.y)),
    case("r = |y><x| @ x", lambda d: d.y * np.mean(d.x * d.x)),
    case("r = |X><X| @ x", lambda d: d.X @ d.X.T @ d.x / N),
    case("<x|W|z>", lambda d: d.x @ d.W @ d.z / N),
    case("<y|A @ x>", lambda d: d.y @ d.A @ d.x / (2 * N)),
    case("U = reshape(F, 3, 1)\nr = U @ x", lambda d: np.einsum("kij,j->ik", d.F, d.x)[:, :, None]),
    case("X @ [[1, 2, 3], [4, 5, 6]]", lambda d: d.X @ np.array([[1, 2, 3], [4, 5, 6]])),
    case("X @ d", lambda d: d.X @ d.d),
    case("Y @ arange(3)", lambda d: d.Y @ np.arange(3)),
    case("X @ (d[:, None] * eye(2)) @ d", lambda d: d.X @ (d.d[:, None] * np.eye(2)) @ d.d),
]

AVERAGES = [
    case("<x|z>", lambda d: np.mean(d.x * d.z)),
    case("<X|Y>", lambda d: np.einsum("ia,ibc->abc", d.X, d.Y) / N),
    case("<1|Y>", lambda d: d.Y.mean(0)),
    case("<[1, 2]|x>", lambda d: np.array([1, 2]) * d.x.mean()),
    case("<x|[1, 2]>", lambda d: np.array([1, 2]) * d.x.mean()),
    case("avg(X * X[:, None])", lambda d: np.einsum("ia,ib->ba", d.X, d.X) / N),
    case("avg(tanh(x) * z + c)", lambda d: np.mean(np.tanh(d.x) * d.z) + d.c),
    case("avg(|x><y|) * n", lambda d: np.mean(d.x) * np.mean(d.y) / 2),
    case("sqrt(n) * <x|tanh(z)>", lambda d: np.sqrt(N) * np.mean(d.x * np.tanh(d.z))),
    case("sum(sqrt(n) * avg(X * tanh(z)))", lambda d: np.sqrt(N) * np.sum(d.X * np.tanh(d.z)[:, None]) / N),
    case("c * (sqrt(n) * <x|tanh(z)>) + d[0]", lambda d: d.c * np.sqrt(N) * np.mean(d.x * np.tanh(d.z)) + d.d[0]),
    case("avg(sqrt(n) * x * z)", lambda d: np.sqrt(N) * np.mean(d.x * d.z)),
]

FINITE_AXES = [
    case("sum(Y)", lambda d: d.Y.sum((1, 2))),
    case("mean(Y, axis=-1)", lambda d: d.Y.mean(-1)),
    case("max(Y, axis=1)", lambda d: d.Y.max(2)),
    case("min(X)", lambda d: d.X.min(1)),
    case("argmax(Y, axis=1)", lambda d: d.Y.argmax(2)),
    case("argmax(Y)", lambda d: d.Y.reshape(N, 6).argmax(1)),
    case("sum(Y, axis=(0, 1))", lambda d: d.Y.sum((1, 2))),
    case("sum(d)", lambda d: d.d.sum()),
    case("argmax(d)", lambda d: d.d.argmax()),
    case("mean(c)", lambda d: d.c),
    case("softmax(X, 0)", lambda d: np.exp(d.X) / np.exp(d.X).sum(1, keepdims=True)),
    case("softmax(d, axis=0)", lambda d: np.exp(d.d) / np.exp(d.d).sum()),
    case("Y[1]", lambda d: d.Y[:, 1]),
    case("Y[:, ::2]", lambda d: d.Y[:, :, ::2]),
    case("Y[-1, None, 1:]", lambda d: d.Y[:, -1, None, 1:]),
    case("Y[:, 0]", lambda d: d.Y[:, :, 0]),
    case("Y[:, [[0, 2], [1, 1]]]", lambda d: d.Y[:, :, np.array([[0, 2], [1, 1]])]),
    case("Y[[0, 1], [2, 0]]", lambda d: d.Y[:, [0, 1], [2, 0]]),
    case("reshape(Y, 3, 2)", lambda d: d.Y.reshape(N, 3, 2)),
    case("reshape(Y, -1)", lambda d: d.Y.reshape(N, 6)),
    case("reshape(Y, (6, 1))", lambda d: d.Y.reshape(N, 6, 1)),
    case("transpose(Y, 1, 0)", lambda d: d.Y.transpose(0, 2, 1)),
    case("[x, z]", lambda d: np.stack([d.x, d.z], 1)),
    case("[X, X[::-1]]", lambda d: np.stack([d.X, d.X[:, ::-1]], 1)),
    case("[c, 1, d[0]]", lambda d: np.array([d.c, 1, d.d[0]])),
    case("concatenate(X, [x], X[1:])", lambda d: np.concatenate([d.X, d.x[:, None], d.X[:, 1:]], 1)),
    case("concatenate([c], d)", lambda d: np.array([d.c, *d.d])),
    case("[[c, 1], d]", lambda d: np.array([[d.c, 1], d.d])),
    case("r = X\nr[0] = x", lambda d: np.stack([d.x, d.X[:, 1]], 1)),
    case("r = zeros(n, 3)\nr[1:] = X", lambda d: np.concatenate([np.zeros((N, 1)), d.X], 1)),
    case("r = zeros(n, 2)\nfor t in range(2):\n    r[t] = x * t", lambda d: np.outer(d.x, [0, 1])),
    case("r = zeros(2)\nr[1] = c", lambda d: np.array([0, d.c])),
    case("r = X\nr[:] = 1", lambda d: np.ones((N, 2))),
    case("r = Y\nr[0][1] = x", lambda d: _with(d.Y, (0, 1), d.x)),
    case("r = Y\nr[0, 1] += x", lambda d: _with(d.Y, (0, 1), d.x + d.Y[:, 0, 1])),
    case("r = X\nr *= 2", lambda d: 2 * d.X),
    case("r = X\nr /= [1, 2]", lambda d: d.X / [1, 2]),
    case("a, b = X\nr = a - b", lambda d: d.X[:, 0] - d.X[:, 1]),
]


def _with(array: np.ndarray, where: tuple[int, ...], new: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[(slice(None), *where)] = new
    return array


INDICES = [
    case("r[i] = avg[j](tanh(x[i] * z[j]) * x[j])", lambda d: (np.tanh(np.outer(d.x, d.z)) * d.x).mean(1)),
    case("avg[i, j](abs(x[i] - y[j]))", lambda d: np.abs(d.x[:, None] - d.y).mean()),
    case("r[i] = x[i] * avg[j](avg[k](max(x[i], y[j], z[k])))", lambda d: d.x * _triple(d)),
    case("r[i] = avg[j](x[i] * z[j]) + avg[j](x[i]^2 * x[j])", lambda d: d.x * d.z.mean() + d.x**2 * d.x.mean()),
    case(
        "r = avg[i, j](X[i] * z[j] * abs(sum(d * X[i] * z[j])))",
        lambda d: _attended(d),
    ),
    case("r[i] = X[i, 1] * x[i]", lambda d: d.X[:, 1] * d.x),
    case("r[i] = (W @ x)[i] + 1", lambda d: d.W @ d.x + 1),
    case("r[i] = c * x[i]", lambda d: d.c * d.x),
    case("r = X\nr[i, 0] = x[i] * z[i]", lambda d: np.stack([d.x * d.z, d.X[:, 1]], 1)),
    case("r[i, j] = sign(x[i] * y[j])", lambda d: np.sign(np.outer(d.x, d.y))),
    case("G[i, j] = tanh(x[i] * y[j])\nr = G.T", lambda d: np.tanh(np.outer(d.y, d.x))),
    case("G[i, j] = tanh(x[i] * y[j])\nr[i] = avg[j](G[i, j]^2)", lambda d: (np.tanh(np.outer(d.x, d.y)) ** 2).mean(1)),
    case("G[i, j] = tanh(x[i] * y[j])\nr = G^2 + 1", lambda d: np.tanh(np.outer(d.x, d.y)) ** 2 + 1),
    case("G[i, j] = tanh(x[i] * y[j]) / n\nr = G @ y", lambda d: np.tanh(np.outer(d.x, d.y)) @ d.y / N),
    case("G[i, j] = tanh(x[i] * y[j]) / n\nr = G.T @ x", lambda d: np.tanh(np.outer(d.y, d.x)) @ d.x / N),
    case("r = avg(sign(n * |x><z|))", lambda d: np.sign(np.outer(d.x, d.z)).mean()),
    case("G[i, j] = X[i] * z[j]\nr = avg(G[1])", lambda d: d.X[:, 1].mean() * d.z.mean()),
    case("def f(u) = avg[k](u * z[k])\nr[i] = avg[j](f(x[i] * y[j]))", lambda d: d.x * d.y.mean() * d.z.mean()),
    case("r[i] = softmax(X[i], 0)[1]", lambda d: np.exp(d.X[:, 1]) / np.exp(d.X).sum(1)),
    case("r[i] = X[i] @ d", lambda d: d.X @ d.d),
    case("r[i] = sum([x[i], z[i]])", lambda d: d.x + d.z),
]


def _triple(d: Draws) -> np.ndarray:
    return np.maximum(np.maximum(d.x[:, None, None], d.y[:, None]), d.z).mean((1, 2))


def _attended(d: Draws) -> np.ndarray:
    products = d.X[:, None, :] * d.z[None, :, None]
    return (products * np.abs((d.d * products).sum(-1))[..., None]).mean((0, 1))


UPDATES = [
    case(
        "W[i, j] -= 0.1/n * sign(x[i] * z[j])\nr = W @ x",
        lambda d: (d.W - 0.1 / N * np.sign(np.outer(d.x, d.z))) @ d.x,
    ),
    case("W += |x><z|\nr = W.T @ x", lambda d: (d.W + np.outer(d.x, d.z) / N).T @ d.x),
    case("W = 0.5*W - |x><z|\nW = W + |z><x|/2\nr = W @ x", lambda d: _rebound(d) @ d.x),
    case("W = 2*W.T\nr = W @ x", lambda d: 2 * d.W.T @ d.x),
    case(
        "def train(V):\n    V += |x><z|\n    return V\nfor t in range(2):\n    W = train(W)\nr = W @ x",
        lambda d: (d.W + 2 * np.outer(d.x, d.z) / N) @ d.x,
    ),
    case("V = W\nW *= 0.5\nr = V @ x - W @ x", lambda d: 0.5 * d.W @ d.x),
    case("W /= 2\nW += |x><z|\nW *= 3\nr = W @ x", lambda d: 3 * (d.W / 2 + np.outer(d.x, d.z) / N) @ d.x),
    case("A[i, j] += y[i]*x[j]/n\nr = A.T @ y", lambda d: (d.A + np.outer(d.y, d.x) / N).T @ d.y),
    case("F[1][i, j] += x[i]*z[j]/n\nr = F @ x", lambda d: _family(d, 1) @ d.x),
    case("F[i, j, 2] += x[i]*z[j]/n\nr = F @ x", lambda d: _family(d, 2) @ d.x),
    case("for l in range(3):\n    F[l] += |x><z|\nr = F[2] @ x", lambda d: (d.F[2] + np.outer(d.x, d.z) / N) @ d.x),
    case("F[0] *= 2\nr = F @ x", lambda d: (d.F * np.array([2, 1, 1])[:, None, None] @ d.x).T),
    case("F[0] = W\nr = F @ x", lambda d: np.stack([d.W @ d.x, d.F[1] @ d.x, d.F[2] @ d.x], 1)),
    case("W += F[0]\nr = W @ x", lambda d: (d.W + d.F[0]) @ d.x),
    case("x[i] += avg[j](tanh(x[i] * z[j]))\nr = x", lambda d: d.x + np.tanh(np.outer(d.x, d.z)).mean(1)),
]


def _rebound(d: Draws) -> np.ndarray:
    return 0.5 * d.W - np.outer(d.x, d.z) / N + np.outer(d.z, d.x) / (2 * N)


def _family(d: Draws, member: int) -> object:
    """F with the outer product added to one member; its action on a vector has the members last."""
    F = d.F.copy()
    F[member] += np.outer(d.x, d.z) / N

    class Action:
        def __matmul__(self, x: np.ndarray) -> np.ndarray:
            return np.einsum("kij,j->ik", F, x)

    return Action()


GRADIENTS = [
    case("L = <z|W @ x>\nW = W - |x><z|\nr = n * grad(L, W)", lambda d: np.outer(d.z, d.x)),
    case("V = W\nL = <z|V @ x> + <z|W @ z>\nr = n * grad(L, W)", lambda d: np.outer(d.z, d.x) + np.outer(d.z, d.z)),
    case("V = W\nL = <z|V @ x> + <z|W @ z>\nr = n * grad(L, V)", lambda d: np.outer(d.z, d.x)),
    case("L = avg(tanh(x) * z)\nr = n * grad(L, x)", lambda d: (1 - np.tanh(d.x) ** 2) * d.z),
    case("L = <z|W @ x>\nr = n * grad(L, W)", lambda d: np.outer(d.z, d.x)),
    case("L = <z|W @ x>\nr = n * grad(L, x)", lambda d: d.W.T @ d.z),
    case("L = <x|x>\nx *= 0.5\nr = n * grad(L, x)", lambda d: d.x * 2 / 0.5 * 0.5),
    case("b = zeros(2)\nL = sum((d + b)^2)\nr = grad(L, b)", lambda d: 2 * d.d),
    case("b = zeros(n)\nL = avg((x + b)^2)\nr = n * grad(L, b)", lambda d: 2 * d.x),
    case("def sgd(L, p) = p - grad(L, p)\nb = zeros(2)\nb = sgd(sum(d * b), b)\nr = b", lambda d: -d.d),
    case("h = tanh(x)\nL = avg(h * z * h)\nr = n * grad(L, h)", lambda d: 2 * np.tanh(d.x) * d.z),
    case("L = avg(F[1] @ x * z)\nr = n * grad(L, F[1])", lambda d: np.outer(d.z, d.x)),
    case("L = avg(sum(X))\nr = n * grad(L, X[0])", lambda d: np.ones(N)),
    case("L = avg(stop(x) * x)\nr = n * grad(L, x)", lambda d: d.x),
    case("L = c * d[0]\nr = grad(L, d)", lambda d: np.array([d.c, 0])),
    case(
        "optimizer momentum(g):\n    state m = 0\n    m = 0.5*m + g\n    return m * step\n"
        "u = x\nfor t in range(2):\n    u -= momentum(z)\nr = u",
        lambda d: d.x - d.z - 3 * d.z,
    ),
    case(
        "optimizer count(g) = g * step\ndef both(p, q):\n    p -= count(z)\n    q -= count(z)\n    return p + q\n"
        "u = both(x, x)\nv = both(x, x)\nr = u + v",
        lambda d: 4 * d.x - 4 * d.z,
    ),
    case(
        "optimizer count(g) = g * step\nu = X\nfor t in range(2):\n    for l in range(2):\n        u[l] -= count(z)\nr = u",
        lambda d: d.X - 3 * d.z[:, None],
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*ARITHMETIC, *MATRICES, *AVERAGES, *FINITE_AXES, *INDICES, *UPDATES, *GRADIENTS],
)
def test_at_a_finite_width_it_is_what_numpy_computes(text: str, expected: Expected) -> None:
    check(text, expected)
