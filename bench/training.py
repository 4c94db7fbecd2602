"""How training programs grow and what one particle run of them costs: `python bench/training.py [program …] [--particles N]`.

For each program and number of steps: core instructions, seconds to elaborate, seconds for one randomisation on N particles (the first compiles
what the cache lacks), and its largest memory use in GB. Programs: mup_adam (the one of the manual), sgd_deep and adam_deep (three hidden tanh
layers, 8 inputs of dimension 10), two_layers_* (any optimizer), paper (relu, two hidden layers, 100 samples, Adam), digits.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import resource
import time
from pathlib import Path

import numpy as np

from nexortlang import driver
from nexortlang.core.program import Program
from nexortlang.jit.entrywise import Engine
from nexortlang.kets.particles.plan import plan
from nexortlang.kets.particles.replicates import COMPILE_FROM, REPLICATES
from nexortlang.kets.particles.system import System, run_together
from nexortlang.source import Source

TWO_LAYERS = """
width n
const X = randn(4, 5, seed=0)
const y = [1, -1, 0.5, 0]
U[n, 5] ~ normal(0, 1/5)
W[n, n] ~ normal(0, 1/n)
v[n]    ~ normal(0, 1)
from optim import {optimizer}
def net(X) = <v | tanh(W @ tanh(U @ X.T))>
for t in range({steps}):
    f = net(X)
    L = mean((f - y)^2) / 2
    show f
    show L
    U -= 0.1   * {optimizer}(n * grad(L, U))
    W -= 0.1/n * {optimizer}(n * grad(L, W))
    v -= 0.1   * {optimizer}(n * grad(L, v))
"""

DEEP = """
width n
const X = randn(8, 10, seed=0)
const y = tanh(randn(8, seed=1))
U[n, 10] ~ normal(0, 1/10)
W1[n, n] ~ normal(0, 1.5/n)
W2[n, n] ~ normal(0, 1.5/n)
v[n]     ~ normal(0, 1)
from optim import {optimizer}
def net(X) = <v | tanh(W2 @ tanh(W1 @ tanh(U @ X.T)))>
for t in range({steps}):
    f = net(X)
    L = mean((f - y)^2) / 2
    show L
    U  -= {rate}   * {optimizer}(n * grad(L, U))
    W1 -= {rate}/n * {optimizer}(n * grad(L, W1))
    W2 -= {rate}/n * {optimizer}(n * grad(L, W2))
    v  -= {rate}   * {optimizer}(n * grad(L, v))
"""

PAPER = """
width n
const X = randn(100, 10, seed=0)
const Z = randn(4, 10, seed=1)
const y = tanh(randn(100, seed=2))
U[n, 10] ~ normal(0, 1/10)
W[n, n] ~ normal(0, 2/n)
v[n]    ~ normal(0, 1)
from optim import adam_inside
def net(X) = <v | relu(W @ relu(U @ X.T))>
f0 = net(X)
z0 = net(Z)
for t in range({steps}):
    f = net(X) - stop(f0)
    L = mean((f - y)^2) / 2
    show net(Z) - z0 as f
    U -= 0.2   * adam_inside(n * grad(L, U), 0.9, 0.99, 1e-4)
    W -= 0.2/n * adam_inside(n * grad(L, W), 0.9, 0.99, 1e-4)
    v -= 0.2   * adam_inside(n * grad(L, v), 0.9, 0.99, 1e-4)
"""

DIGITS = """
width n
const images = load("digits_images.csv") / 16
const labels = load("digits_labels.csv")
const X = images[:100]
const Y = eye(10)[labels[:100]]
U[n, 64] ~ normal(0, 1/64)
W[n, n] ~ normal(0, 1/n)
v[n, 10] ~ normal(0, 1)
b = zeros(10)
from optim import adam
def net(X) = <tanh(W @ tanh(U @ X.T))|v> + b
for t in range({steps}):
    f = net(X)
    L = -mean(sum(Y * log(softmax(f, 1)), axis=1))
    show L
    U -= 0.1   * adam(n * grad(L, U))
    W -= 0.1/n * adam(n * grad(L, W))
    v -= 0.1   * adam(n * grad(L, v))
    b -= 0.1   * adam(grad(L, b))
show mean(argmax(net(images[100:]), axis=1) == labels[100:]) as test_accuracy
"""

PROGRAMS: dict[str, tuple[str, tuple[int, ...]]] = {
    "mup_adam": (TWO_LAYERS.replace("{optimizer}", "adam"), (10, 20, 40)),
    "two_layers_sgd": (TWO_LAYERS.replace("{optimizer}", "sgd"), (20, 40, 200)),
    "two_layers_momentum": (TWO_LAYERS.replace("{optimizer}", "momentum"), (20, 40, 200)),
    "sgd_deep": (DEEP.replace("{optimizer}", "sgd").replace("{rate}", "0.5"), (10, 25, 50)),
    "adam_deep": (DEEP.replace("{optimizer}", "adam").replace("{rate}", "0.02"), (10, 25, 50)),
    "paper": (PAPER, (20, 50, 200)),
    "digits": (DIGITS, (5, 10, 20)),
}
EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "data"


def elaborated(text: str) -> tuple[Program, float]:
    start = time.perf_counter()
    outcome = driver.check(Source("bench.nxt", text), driver.Request(folder=EXAMPLES, max_steps=10**7))
    seconds = time.perf_counter() - start
    assert outcome.program is not None, [d.message for d in outcome.diagnostics]
    return outcome.program, seconds


def randomisation(program: Program, count: int, seed: int = 0) -> float:
    """Seconds for one particle run of everything shown."""
    p = plan([show.value for show in program.shows])
    engine: Engine = "numba" if REPLICATES * p.copies * p.cost[1] * count**2 > COMPILE_FROM else "numpy"
    start = time.perf_counter()
    seeds = np.random.SeedSequence(seed).spawn(p.copies)
    run_together(p, [System(p, count, np.empty((1, 0, 1)), s, engine) for s in seeds])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--particles", type=int, default=1024)
    parser.add_argument("--steps", type=int, nargs="*")
    options = parser.parse_args()
    print("| program | steps | instructions | elaborated in | one run | peak memory |\n|---|---|---|---|---|---|")
    for name in options.programs:
        text, steps = PROGRAMS[name]
        for t in options.steps or steps:
            program, seconds = elaborated(text.replace("{steps}", str(t)))
            run = randomisation(program, options.particles)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"| {name} | {t} | {len(program.values)} | {seconds:.2f} s | {run:.2f} s | {memory:.1f} GB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
