"""The particle evaluator against wide finite networks: a small program in which everything occurs, and its scalars at a finite width."""

from __future__ import annotations

from fractions import Fraction

import finite_reference
import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Value, Width
from nexortlang.kets.particles import replicates
from nexortlang.kets.particles.replicates import Target
from nexortlang.kets.results import Estimate, Options


def training(b: Builder) -> list[Value]:
    """Two inputs through tanh layers of widths n and n/2; three steps of a softened sign descent, hand-written; the outputs before each."""
    n, m = Width("n"), Width("m", Fraction(1, 2))
    one = np.array(0)
    x0 = b.const([[1.0, 0.5, 0.0], [-0.5, 1.0, 1.0]])
    y = b.const([1.0, -1.0])
    U: Value = b.init_vector("U", n, "normal", np.zeros(3), np.ones(3))
    W = b.matrix("W", m, n, np.array(1.5), "normal")
    v: Value = b.init_vector("v", m, "uniform", np.array(0.0), np.array(1.0))
    S: Value = b.const(0.0)

    def update(g: Value) -> Value:
        return b.mul(b.const(0.4), b.map("div", g, b.add(b.map("abs", g), b.const(0.2))))

    def slope(x: Value) -> Value:
        return b.map("sub", b.const(1.0), b.mul(x, x))

    outputs = []
    for _ in range(4):
        x1 = b.map("tanh", b.einsum("a,ba->b", U, x0))
        x2 = b.map("tanh", b.map("sub", b.matmul(W, one, False, x1), b.avg(b.mul(S, b.rename(x1, {0: 1})), (1,))))
        f = b.inner(",b->b", v, x2)
        outputs.append(f)
        dh2 = b.mul(b.mul(b.map("sub", f, y), slope(x2)), v)
        # W is m × n with entries of order 1/n: the transpose of S/n, summed over the n/2 rows, is an average times 1/2
        turned = b.avg(b.mul(b.rename(S, {0: 1, 1: 0}), b.rename(dh2, {0: 1})), (1,)) if S.type.axes else S
        dx1 = b.map("sub", b.matmul(W, one, True, dh2), b.mul(b.const(0.5), turned))
        dh1 = b.mul(slope(x1), dx1)
        S = b.add(S, update(b.einsum("b,b->", dh2, b.rename(x1, {0: 1}))))
        U = b.map("sub", U, update(b.einsum("b,ba->a", dh1, x0)))
        v = b.map("sub", v, update(b.einsum("b,b->", x2, b.map("sub", f, y))))
    return outputs[1:]


def test_training_against_finite_networks() -> None:
    b = Builder()
    outputs = training(b)
    answers, _ = replicates.run(b.program, [Target("scalar", f) for f in outputs], Options(samples=1024))
    runs = [finite_reference.run(b.program, 400, seed) for seed in range(40)]
    for f, limit in zip(outputs, answers, strict=True):
        assert isinstance(limit, Estimate)
        finite = np.array([run[f.id] for run in runs])
        error = np.hypot(finite.std(axis=0, ddof=1) / 40**0.5, limit.stderr)
        # a finite width has a bias of order 1/n on top of its scatter
        assert np.all(np.abs(finite.mean(axis=0) - limit.value) < 4 * error + 4 / 400), (finite.mean(axis=0), limit)
