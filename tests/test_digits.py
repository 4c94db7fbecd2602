"""The example on real data: the NNGP kernel of the digit images against the arc-cosine recursion, written here from the formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from limits import limits_of_file

ROOT = Path(__file__).resolve().parent.parent


def arc_cosine_kernel(k: np.ndarray) -> np.ndarray:
    """E relu(u) relu(v) for (u, v) of covariance k (Cho and Saul 2009, order 1)."""
    size = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    cos = np.clip(k / size, -1.0, 1.0)
    np.fill_diagonal(cos, 1.0)
    angle = np.arccos(cos)
    return size * (np.sin(angle) + (np.pi - angle) * cos) / (2.0 * np.pi)


def test_kernel_of_the_digit_images() -> None:
    images = np.loadtxt(ROOT / "examples" / "data" / "digits_images.csv", delimiter=",") / 16
    k = 2.0 * images @ images.T / images.shape[1]
    for _ in range(2):
        k = 2.0 * arc_cosine_kernel(k)
    expected = arc_cosine_kernel(k)
    (shown,) = [s for s in limits_of_file(ROOT / "examples" / "digits_nngp.nxt") if s.name == "K"]
    assert shown.method == "exact"
    assert shown.value.shape == (200, 200)
    np.testing.assert_allclose(shown.value, expected, rtol=1e-12)
