"""Error against time of a training program's limit, beside finite networks: `python bench/training_accuracy.py [sgd] [adam] [growth] [bias]`.

The program: three hidden tanh layers in μP, 8 inputs of dimension 10, 50 full-batch steps; shown is the loss at every step. Errors are relative, in the norm over the curve. For
each tolerance: seconds of driver.run (elaboration included; of the clock, and of all cores together), the error against a reference of `--runs` randomisations
on as many `--particles`, which is told with its own error, and the standard error that the answer claims. In the same process, so under the same load: a NumPy network
of width `--width`, its seconds and its spread over seeds, and what an ensemble of such networks would take for an error of 1e-3.

growth: seconds of one randomisation against steps T, samples M, particles N and depth.
bias: the mean curve of many randomisations of SGD at several N, less that of `--runs` networks of width 1 024, at some steps and with its standard error.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from training import elaborated

from nexortlang import driver
from nexortlang.core.program import Program
from nexortlang.kets.particles.plan import plan
from nexortlang.kets.particles.system import System, run_together
from nexortlang.source import Source

RATE = {"sgd": 0.1, "adam": 0.003}
TOLERANCES = {"sgd": (3e-3, 1e-3, 7.5e-4, 4e-4), "adam": (3e-3, 1e-3, 5e-4)}


def program(optimizer: str, steps: int = 50, samples: int = 8, depth: int = 3) -> str:
    """A network of `depth` hidden layers and its training."""
    hidden = range(1, depth)
    x = "tanh(U @ X.T)"
    for k in hidden:
        x = f"tanh(W{k} @ {x})"
    matrices = "\n".join(f"W{k}[n, n] ~ normal(0, 1/n)" for k in hidden)
    rate = RATE[optimizer]
    updates = "\n".join(f"    W{k} -= {rate}/n * {optimizer}(n * grad(L, W{k}))" for k in hidden)
    return f"""
width n
const X = randn({samples}, 10, seed=0)
const y = sign(randn({samples}, seed=1))
U[n, 10] ~ normal(0, 1/10)
{matrices}
v[n] ~ normal(0, 1)
from optim import {optimizer}
def net(X) = <v | {x}>
for t in range({steps}):
    f = net(X)
    L = mean((f - y)^2) / 2
    show L
    U -= {rate} * {optimizer}(n * grad(L, U))
{updates}
    v -= {rate} * {optimizer}(n * grad(L, v))
"""


@dataclass
class Clock:
    """Seconds by the clock and of all cores together."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def timed() -> Iterator[Clock]:
    clock, wall, before = Clock(), time.perf_counter(), os.times()
    yield clock
    after = os.times()  # of this process and of those that have ended
    clock.wall, clock.cpu = time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])


def randomisation(p: Program, count: int, seed: int) -> np.ndarray:
    """The shown curve from one set of particles."""
    found = plan([show.value for show in p.shows])
    seeds = np.random.SeedSequence([2**31, seed]).spawn(found.copies)
    systems = [System(found, count, np.empty((1, 0, 1)), s, "numba" if found.cost[1] else "numpy") for s in seeds]
    run_together(found, systems)
    return np.array([np.mean([s.values[show.value.id] for s in systems]) for show in p.shows])


def network(optimizer: str, width: int, seed: int, steps: int = 50) -> np.ndarray:
    """The loss curve of a finite network: the same program in NumPy, dense matrices and all."""
    X = np.random.default_rng(0).standard_normal((8, 10))
    y = np.sign(np.random.default_rng(1).standard_normal(8))
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((width, 10)) / 10**0.5
    W = [rng.standard_normal((width, width)) / width**0.5 for _ in range(2)]
    v = rng.standard_normal(width)
    theta, rates = [U, *W, v], [RATE[optimizer] / r for r in (1, width, width, 1)]
    m, s = ([np.zeros_like(w) for w in theta] for _ in range(2))
    losses = []
    for t in range(1, steps + 1):
        x = [np.tanh(U @ X.T)]
        for w in W:
            x.append(np.tanh(w @ x[-1]))
        f = v @ x[-1] / width
        losses.append(np.mean((f - y) ** 2) / 2)
        df = (f - y) / 8
        back = v[:, None] * df * (1 - x[2] ** 2)
        gradients = [back @ x[1].T, x[2] @ df]
        for k in (1, 0):
            back = (W[k].T @ back) * (1 - x[k] ** 2)
            gradients.insert(0, back @ (x[k - 1].T if k else X))
        for k, g in enumerate(gradients):
            if optimizer == "sgd":
                theta[k] -= rates[k] * g
            else:
                m[k] += 0.1 * (g - m[k])
                s[k] += 0.001 * (g * g - s[k])
                theta[k] -= rates[k] * (m[k] / (1 - 0.9**t)) / (np.sqrt(s[k] / (1 - 0.999**t)) + 1e-8)
    return np.array(losses)


def relative(x: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(x) / np.linalg.norm(reference))


def accuracy(optimizer: str, options: argparse.Namespace) -> None:
    text = program(optimizer)
    core, _ = elaborated(text)
    runs = np.stack([randomisation(core, options.particles, seed) for seed in range(options.runs)])
    reference = runs.mean(axis=0)
    scatter = runs.std(axis=0, ddof=1)
    own = relative(scatter / options.runs**0.5, reference)
    print(f"{optimizer}: reference of {options.runs} x {options.particles} particles, error {own:.1e}")
    print("| | seconds | of all cores | error | claimed |\n|---|---|---|---|---|")
    for tol in TOLERANCES[optimizer]:
        with timed() as clock:
            outcome = driver.run(Source("bench.nxt", text), driver.Request(tol=tol, seed=1))
        assert outcome.shown is not None
        answer = outcome.shown[0].answer
        value = getattr(answer, "value", reference)
        error, claimed = relative(value - reference, reference), relative(answer.stderr, reference)
        print(f"| tol {tol:.0e} | {clock.wall:.1f} | {clock.cpu:.1f} | {error:.1e} | {claimed:.1e} |", flush=True)
    with timed() as clock:
        curves = np.stack([network(optimizer, options.width, seed) for seed in range(options.seeds)])
    spread = relative(curves.std(axis=0, ddof=1), reference)
    each = Clock(clock.wall / options.seeds, clock.cpu / options.seeds)
    print(f"| one network of width {options.width} | {each.wall:.1f} | {each.cpu:.1f} | {spread:.1e} | |")
    many = (spread / 1e-3) ** 2
    print(f"| {many:.0f} of them | {each.wall * many:.0f} | {each.cpu * many:.0f} | 1e-3 | |", flush=True)


def growth() -> None:
    """One randomisation: process time, the second of two."""

    def seconds(optimizer: str, count: int, **shape: int) -> float:
        core, _ = elaborated(program(optimizer, **shape))
        for seed in range(2):
            with timed() as clock:
                randomisation(core, count, seed)
        return clock.cpu

    shapes: dict[str, list[dict[str, int]]] = {
        "T": [{"steps": t} for t in (10, 20, 40, 80)],
        "M": [{"steps": 20, "samples": m} for m in (4, 8, 16, 32)],
        "N": [{"steps": 20, "count": count} for count in (512, 1024, 2048, 4096)],
        "depth": [{"steps": 20, "depth": d} for d in (2, 3, 4, 5)],
    }
    for optimizer in ("sgd", "adam"):
        for name, cases in shapes.items():
            found = [seconds(optimizer, **{"count": 1024, **case}) for case in cases]
            values = [list(case.values())[-1] for case in cases]
            print(
                f"{optimizer} {name}: " + ", ".join(f"{v}: {s:.2f} s" for v, s in zip(values, found, strict=True)),
                flush=True,
            )


def bias(options: argparse.Namespace) -> None:
    """What averaging more randomisations does not take away."""
    steps = [1, 5, 10, 20, 30, 49]

    def told(name: str, curves: np.ndarray, reference: np.ndarray) -> np.ndarray:
        mean = curves.mean(axis=0)
        errors = curves.std(axis=0, ddof=1) / len(curves) ** 0.5
        print(f"{name}: " + ", ".join(f"{mean[t] - reference[t]:+.5f} ± {errors[t]:.5f}" for t in steps), flush=True)
        return np.asarray(mean)

    networks = np.stack([network("sgd", 1024, seed) for seed in range(options.runs)])
    reference = told("networks", networks, np.zeros(networks.shape[1]))
    core, _ = elaborated(program("sgd"))
    for count in (512, 1024, 2048):
        told(f"N = {count}", np.stack([randomisation(core, count, seed) for seed in range(options.runs)]), reference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", default=["sgd", "adam", "growth"], choices=["sgd", "adam", "growth", "bias"]
    )
    parser.add_argument("--particles", type=int, default=2048, help="in each randomisation of the reference")
    parser.add_argument("--runs", type=int, default=400, help="randomisations of the reference")
    parser.add_argument("--width", type=int, default=4096, help="of the finite network")
    parser.add_argument("--seeds", type=int, default=4, help="of the finite network")
    parser.add_argument("--rate", type=float, help="learning rate of SGD; at 0.02 networks vary half as much as at 0.1")
    options = parser.parse_args()
    RATE["sgd"] = options.rate or RATE["sgd"]
    for part in options.parts:
        if part == "growth":
            growth()
        elif part == "bias":
            bias(options)
        else:
            accuracy(part, options)


if __name__ == "__main__":
    main()
