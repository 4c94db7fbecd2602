"""NNGP kernels of 1 000 random inputs of dimension 784: seconds inside the process.

    python bench/nngp.py [--runs 5]

Goals: 10 relu layers in 0.3 s; one tanh layer, to 1e-8, in 0.5 s. Prints the median over the runs, each with a fresh evaluator, beside the time
of a 1 000 × 784 matrix product with its transpose in the same run, and for tanh the largest deviation from direct quadrature on sampled pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Value, Width
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer

N = Width("n")


def network(inputs: np.ndarray, activation: str, layers: int) -> Value:
    """<x|x> of the last layer."""
    b = Builder()
    d = inputs.shape[1]
    u = b.init_vector("U", N, "normal", np.zeros(d), np.full(d, 1 / d))
    x = b.map(activation, b.einsum("d,db->b", u, b.const(inputs.T)))
    for layer in range(layers - 1):
        w = b.matrix(f"W{layer}", N, N, np.array(2.0), "normal")
        x = b.map(activation, b.matmul(w, np.array(0), False, x))
    return b.inner("a,b->ab", x, x)


def kernel(inputs: np.ndarray, activation: str, layers: int) -> Answer:
    answer = ExactLimit().evaluate(network(inputs, activation, layers))
    assert isinstance(answer, Answer)
    return answer


def timed(inputs: np.ndarray, activation: str, layers: int, runs: int) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        kernel(inputs, activation, layers)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    inputs = np.random.default_rng(0).standard_normal((1000, 784))
    product = []
    for _ in range(runs):
        start = time.perf_counter()
        inputs @ inputs.T
        product.append(time.perf_counter() - start)
    print(f"X @ X.T                       {statistics.median(product):8.3f} s")
    print(f"relu, 10 layers (goal 0.3 s)  {timed(inputs, 'relu', 10, runs):8.3f} s")
    print(f"tanh, 1 layer   (goal 0.5 s)  {timed(inputs, 'tanh', 1, runs):8.3f} s")
    full = kernel(inputs, "tanh", 1)
    some = np.arange(0, 1000, 37)
    direct = kernel(inputs[some], "tanh", 1)
    worst = np.abs(full.value[np.ix_(some, some)] - direct.value).max()
    print(f"tanh against direct quadrature: {worst:.1e} (its own estimate {full.error:.1e})")


if __name__ == "__main__":
    main()
