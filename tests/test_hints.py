"""Hints for those who come from other languages, and for slips of the pen."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from nexortlang.check.suggest import closest, elsewhere
from nexortlang.core.program import Law
from nexortlang.driver import Request, check
from nexortlang.source import Source

BEFORE = """\
width n
U[n] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
h = W @ U
const lr = 0.1
L = <h|h>
"""


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("y = tahn(h)", "NX101", "did you mean tanh?"),
        ("y = w @ h", "NX101", "did you mean W?"),
        ("y = np.tanh(h)", "NX101", "functions are built in: tanh(h)"),
        ("y = jnp.tanh(h)", "NX101", "functions are built in: tanh(h)"),
        ("y = torch.relu(h)", "NX101", "functions are built in: relu(h)"),
        ("y = np.mean(h)", "NX101", "avg(h)"),
        ("y = numpy.linalg.norm(h)", "NX101", "sqrt(<x|x>)"),
        ("y = torch.tensor([1, 2])", "NX101", "[[1, 2], [3, 4]]"),
        ("import torch", "NX106", "functions are built in"),
        ("from math import tanh", "NX106", "functions are built in"),
        ("print(h)", "NX101", "show"),
        ("y = W[0] @ h", "NX211", "W[n, n, L]"),
        ("y = h[:, None]", "NX211", "h broadcasts as it is; drop the subscript"),
        ("y = lr[0]", "NX211", "lr is a single number"),
        ("y = L[0]", "NX211", "L is a single number"),
        ("for i in range(n):\n    y = i", "NX211", "avg[i](…)"),
        ("z[n] = 3", "NX211", "z[n] ~ normal(0, 1)"),
        ("z[n] = normal(0, 1)", "NX101", "written with ~"),
        ("y[i] = sum[j](h[i] * h[j])", "NX243", "avg[j](…)"),
        ("y = mean(h)", "NX243", "avg(h) averages over the width"),
        ("y = var(h)", "NX101", "avg((h - avg(h))^2)"),
        ("y = std(h)", "NX101", "sqrt(avg((h - avg(h))^2))"),
        ("y = trace(W)", "NX101", "<z|A|z>"),
        ("y = E(h)", "NX101", "avg(h)"),
        ("y = quantile(h, 0.5)", "NX101", "show dist(h)"),
        ("y = inv(W)", "NX101", "iterate"),
        ("y = mean_(h)", "NX101", "avg(h)"),
        ("L.backward()", "NX201", "grad(L, W)"),
        ("y = h.relu()", "NX201", "relu(h)"),
        ("y = h.mean()", "NX201", "avg(h)"),
        ("y = h.nosuch()", "NX201", ".shape"),
        ("show <y|y>", "NX101", "bind it"),
        ("y = zeros_like(h)", "NX101", "0 * h"),
        ("optimizer o(g):\n    m = m + g\n    return m\nU -= o(n * grad(L, U))", "NX101", "state m = 0"),
    ],
)
def test_one_mistake_with_its_remedy(line: str, code: str, hint: str) -> None:
    mistakes = check(Source("hints.nxt", f"{BEFORE}{line}\n"), Request(folder=Path())).diagnostics
    assert [m.code for m in mistakes] == [code], mistakes
    assert hint in mistakes[0].hint


def test_a_matrix_variance_of_order_1_says_so() -> None:
    (mistake,) = check(Source("hints.nxt", "width n\nW[n, n] ~ normal(0, 1)\n"), Request()).diagnostics
    assert mistake.code == "NX225" and mistake.message.endswith("found a variance of order 1")


def test_what_is_not_known_to_be_gaussian_is_not_called_otherwise() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nshow cov(sqrt(n) * (avg(x * x) - 1))\n"
    (mistake,) = check(Source("hints.nxt", text), Request()).diagnostics
    assert mistake.code == "NX235" and "not known to be a Gaussian scalar" in mistake.message


def test_every_law_is_known_to_be_drawn() -> None:
    assert all("~" in elsewhere(law) for law in get_args(Law))


def test_nearest_names() -> None:
    assert closest("tahn", ["tan", "tanh"]) == "tanh"
    assert closest("hiden", ["width", "hidden"]) == "hidden"
    assert closest("LR", ["lr", "L"]) == "lr"
    assert closest("x", ["y", "n", "relu"]) == "" == closest("anything", [])
