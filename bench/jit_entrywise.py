"""Particles per second of entrywise kernels, compiled and in NumPy.

    python bench/jit_entrywise.py [PARTICLES]

First every operation alone, in nanoseconds per number (what nexortlang/jit/costs.py estimates with); then a two-layer program of 100 hats:
each particle has 100 Gaussian coordinates h, and tanh(a·tanh(h) + b·h), its derivative in h, and the same with relu, sigmoid and gelu are computed for all of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from nexortlang.entrywise.derivatives import derivative
from nexortlang.entrywise.expression import Expression, build, leaf
from nexortlang.entrywise.ops import OPS
from nexortlang.jit import evaluate_all
from nexortlang.jit.kernels import entrywise_source
from nexortlang.jit.loader import load

HATS = 100


def best(run: Callable[[], object], repeats: int = 7) -> float:
    """The shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def operations() -> None:
    rng = np.random.default_rng(0)
    size, inner = 8192, 10
    print(f"{'operation':12}{'numpy':>8}{'kernel':>8}  ns per number, one thread")
    for name, op in OPS.items():
        arrays = [rng.uniform(0.1, 3.0, size) for _ in range(op.arity)]
        out = np.empty(size)
        e = build(name, *(leaf(k) for k in range(op.arity)))
        kernel = load(entrywise_source((e,), ("full",) * op.arity))
        if kernel is None:
            sys.exit("numba is not here")
        in_numpy = best(lambda f=op.numpy, a=arrays: [f(*a) for _ in range(inner)], 20)
        compiled = best(lambda k=kernel, a=arrays, o=out: [k(*a, o) for _ in range(inner)], 20)
        print(f"{name:12}{in_numpy / inner / size * 1e9:8.2f}{compiled / inner / size * 1e9:8.2f}")


def layer(phi: str) -> tuple[Expression, Expression]:
    """φ(a φ(h) + b h) and its derivative; leaves h, a, b."""
    h, a, b = leaf(0), leaf(1), leaf(2)
    e = build(phi, build("add", build("mul", a, build(phi, h)), build("mul", b, h)))
    return e, derivative(e, 0)


def program(particles: int) -> None:
    rng = np.random.default_rng(0)
    h = rng.standard_normal((particles, HATS))
    arrays = [h, rng.standard_normal(HATS), rng.standard_normal(HATS)]
    print(f"\n{'two layers':12}{'numpy':>12}{'kernel':>12}{'ratio':>8}  particles of {HATS} hats per second")
    for phi in ("tanh", "relu", "sigmoid", "gelu"):
        roots = layer(phi)
        evaluate_all(roots, arrays, "numba")
        numpy = best(lambda r=roots: evaluate_all(r, arrays, "numpy"), 3)
        numba = best(lambda r=roots: evaluate_all(r, arrays, "numba"), 3)
        print(f"{phi:12}{particles / numpy:12.3g}{particles / numba:12.3g}{numpy / numba:8.1f}")


if __name__ == "__main__":
    np.seterr(all="ignore")
    operations()
    program(int(sys.argv[1]) if len(sys.argv) > 1 else 8192)
