"""The limit against plain NumPy at finite width: the same programs written twice, means over seeds within their scatter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from limits import limits_of_file

PROGRAMS = Path(__file__).parent / "programs"
WIDTH, SEEDS = 1000, 8
X = np.array([[1, 0.5, -1], [0, 1, 1]])
Y = np.array([1.0, -1.0])


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def weights(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.standard_normal((n, 3)) / 3**0.5, rng.standard_normal((n, n)) * (1.5 / n) ** 0.5, rng.standard_normal(n)


def tanh_sgd(n: int, rng: np.random.Generator, lr: float = 0.4) -> list[np.ndarray]:
    U, W, v = weights(n, rng)
    curve = []
    for _ in range(5):
        x1 = np.tanh(U @ X.T)
        h2 = W @ x1
        x2 = np.tanh(h2)
        curve.append(v @ x2 / n)
        chi = (curve[-1] - Y) / 2
        dh2 = v[:, None] * (1 - x2**2) * chi
        dh1 = (W.T @ dh2) * (1 - x1**2)
        U, W, v = U - lr * dh1 @ X, W - lr / n * dh2 @ x1.T, v - lr * x2 @ chi
    return [np.array(curve), h2.T @ h2 / n]


def relu_sign(n: int, rng: np.random.Generator, lr: float = 0.2) -> list[np.ndarray]:
    U, W, v = weights(n, rng)
    curve = []
    for _ in range(4):
        h1 = U @ X.T
        h2 = W @ relu(h1)
        curve.append(v @ relu(h2) / n)
        chi = (curve[-1] - Y) / 2
        dh2 = v[:, None] * (h2 >= 0)
        dh1 = (W.T @ dh2) * (h1 >= 0)
        W = 0.95 * (W - lr / n * np.sign(dh2 * chi @ relu(h1).T))
        U, v = U - lr * np.sign(dh1 * chi @ X), v - lr * np.sign(relu(h2) @ chi)
    return [np.array(curve), h2.T @ h2 / n]


def outer_nonlin(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    m = n // 2
    A = rng.standard_normal((m, n)) / n**0.5
    x = z = 0.5 + rng.standard_normal(n)
    rows = []
    for _ in range(3):
        a = np.tanh(A @ z)
        p = np.cos(np.outer(a, a)) @ a**2 / m
        b = A.T @ (a * p + a)
        u = np.maximum(b[:, None], x + b).mean(1) + relu(b) + 0.5 * z
        z = (u - u.mean()) / u.std()
        rows.append([(z**3).mean(), x @ z / n, b @ b / n, p @ p / m])
    return list(np.array(rows).T)


@pytest.mark.parametrize(
    ("name", "network"),
    [("wide_tanh_sgd", tanh_sgd), ("wide_relu_sign", relu_sign), ("wide_outer_nonlin", outer_nonlin)],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_wide_network_is_near_its_limit(
    name: str, network: Callable[[int, np.random.Generator], list[np.ndarray]]
) -> None:
    runs = [network(WIDTH, np.random.default_rng(seed)) for seed in range(SEEDS)]
    shown = limits_of_file(PROGRAMS / f"{name}.nxt", "--tol", "0.02")
    assert len(shown) == len(runs[0])
    for result, draws in zip(shown, zip(*runs, strict=True), strict=True):
        mean, scatter = np.mean(draws, axis=0), np.std(draws, axis=0, ddof=1) / SEEDS**0.5
        assert result.value.shape == mean.shape
        bias = 10 / WIDTH  # what a finite width adds beyond its scatter
        assert np.all(np.abs(result.value - mean) < 4 * (scatter + result.stderr) + bias), (
            result.name,
            result.value,
            mean,
            scatter,
        )


def test_series_along_nested_loops() -> None:
    shown = {s.name: s for s in limits_of_file(PROGRAMS / "series.nxt")}
    np.testing.assert_allclose(shown["tri"].value, [1, 2, 2.1, 3, 3.1, 3.2])
    np.testing.assert_allclose(shown["some"].value, [2, 3])
    np.testing.assert_allclose(shown["<x|x> * [a, b]"].value, [[[a, b] for b in range(2)] for a in range(4)])


def test_the_tour_of_the_language_holds() -> None:
    (covariance,) = limits_of_file(PROGRAMS / "tour" / "tour.nxt", "--tol", "0.02")
    np.testing.assert_allclose(covariance.value, 0.09 * np.eye(10), atol=1e-15)
