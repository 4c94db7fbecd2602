"""Runs at finite width against the same computation written by hand in NumPy: seconds, and the most memory held.

    python bench/finite.py [WIDTH …]

The forward pass of a deep tanh network, with Gaussian and with Rademacher weights, and a few steps of SGD in the maximal-update parametrization (whose
hand-written form keeps the trained matrix as a matrix, as one would). The draws are part of both sides. Each figure is the best of several.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from nexortlang.driver import Request, check
from nexortlang.finite.simulate import Settings, Simulator
from nexortlang.source import Source

DEPTH, BATCH, STEPS, RATE = 4, 16, 3, 0.1

FORWARD = f"""
width n
const X = randn({BATCH}, 10)
U[n, 10] ~ normal(0, 1/10)
W[n, n, {DEPTH}] ~ LAW(0, 1/n)
x = tanh(U @ X.T)
for l in range({DEPTH}):
    x = tanh(W[l] @ x)
show <x|x>
"""

SGD = f"""
width n
const X = randn({BATCH}, 10)
const y = X[:, 0]
U[n, 10] ~ normal(0, 1/10)
W[n, n]  ~ normal(0, 1/n)
v[n]     ~ normal(0, 1)
def net(X) = <v | tanh(W @ tanh(U @ X.T))>
for t in range({STEPS}):
    f = net(X)
    show f
    L = mean((f - y)^2) / 2
    U -= {RATE}   * n * grad(L, U)
    W -= {RATE}   * grad(L, W)
    v -= {RATE}   * n * grad(L, v)
show net(X)
"""


def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((BATCH, 10))


def forward(n: int, law: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = np.tanh(rng.standard_normal((n, 10)) / 10**0.5 @ inputs().T)
    for _ in range(DEPTH):
        if law == "normal":
            w = rng.standard_normal((n, n))
            w /= n**0.5
        else:
            w = rng.integers(0, 2, (n, n), dtype=np.int8) * (2.0 / n**0.5)
            w -= 1.0 / n**0.5
        x = np.tanh(w @ x)
        del w
    return np.asarray(x.T @ x / n)


def sgd(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    inp = inputs()
    y = inp[:, 0]
    u = rng.standard_normal((n, 10)) / 10**0.5
    w = rng.standard_normal((n, n))
    w /= n**0.5
    v = rng.standard_normal(n)
    for _ in range(STEPS):
        x1 = np.tanh(u @ inp.T)
        x2 = np.tanh(w @ x1)
        chi = (v @ x2 / n - y) / BATCH
        dh2 = v[:, None] * chi * (1.0 - x2**2)
        dh1 = (w.T @ dh2) * (1.0 - x1**2)
        u -= RATE * dh1 @ inp
        w -= RATE / n * (dh2 @ x1.T)
        v -= RATE * x2 @ chi
    return np.asarray(v @ np.tanh(w @ np.tanh(u @ inp.T)) / n)


def measured(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds (the best) and MiB (traced in a run of its own: tracing costs time)."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return min(seconds), most / 2**20


def main(widths: list[int]) -> None:
    cases: list[tuple[str, str, Callable[[int], object]]] = [
        ("forward, normal", FORWARD.replace("LAW", "normal"), lambda n: forward(n, "normal")),
        ("forward, rademacher", FORWARD.replace("LAW", "rademacher"), lambda n: forward(n, "rademacher")),
        ("SGD", SGD, sgd),
    ]
    print(f"{'':22}{'n':>6}{'nexort s':>10}{'NumPy s':>10}{'ratio':>7}{'nexort MiB':>12}{'NumPy MiB':>11}{'n × n':>7}")
    for name, text, by_hand in cases:
        program = check(Source("bench.nxt", text), Request()).program
        assert program is not None
        simulator = Simulator(program, Settings(seeds=1))
        for n in widths:
            repeats = 5 if n <= 2048 else 3
            ours, memory = measured(lambda n=n, s=simulator: s.simulate(n), repeats)  # type: ignore[misc]
            hand, hand_memory = measured(lambda n=n, f=by_hand: f(n), repeats)  # type: ignore[misc]
            matrix = 8 * n * n / 2**20
            print(
                f"{name:22}{n:6}{ours:10.3f}{hand:10.3f}{ours / hand:7.2f}{memory:12.0f}{hand_memory:11.0f}{matrix:7.0f}"
            )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1024, 4096])
