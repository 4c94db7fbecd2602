"""Hats of known covariance: their Gram matrix is the exact kernel in every sample, and they serve only where no matrix makes dots."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from nexortlang.core.build import Builder
from nexortlang.core.program import MatMul, Value, Width
from nexortlang.driver import Request, check
from nexortlang.kets import engine
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.forms import as_ket
from nexortlang.kets.particles import hats as known
from nexortlang.kets.particles.hats import Hats
from nexortlang.kets.particles.plan import plan
from nexortlang.kets.particles.system import System, run_together
from nexortlang.kets.results import Estimate, Options
from nexortlang.session import Session
from nexortlang.source import Source

N, M = Width("n"), Width("m")


def sample(values: list[Value], hats: Hats, count: int = 64, seed: int = 0) -> list[np.ndarray]:
    p = plan(values)
    assert hats.know(p.order)
    system = System(p, count, np.empty((1, 0, 1)), np.random.SeedSequence(seed), hats=hats)
    run_together(p, [system])
    return [system.fetch(v).reshape(count, -1) for v in values]


def layers(b: Builder) -> list[Value]:
    """Two layers over two widths, a family of matrices, the transpose on what is independent of it, repeated and collinear columns."""
    x = b.init_vector("x", M, "normal", np.zeros(3), np.array([1.0, 2.0, 0.5]))
    W = b.matrix("W", N, M, np.array([0.5, 2.0]), "normal")
    V = b.matrix("V", N, N, np.array(1.5), "normal")
    h = b.matmul(W, np.array([[0], [1]]), False, b.map("relu", x))
    again = b.matmul(W, np.array([1, 1, 0]), False, b.mul(b.const(2.0), b.map("relu", x)))
    first = b.matmul(V, np.array(0), False, b.map("relu", h))
    second = b.matmul(V, np.array(0), False, b.add(b.map("relu", h), b.const(1.0)))
    u = b.init_vector("u", N, "normal", np.zeros(2), np.ones(2))
    return [h, again, first, second, b.matmul(W, np.array(0), True, b.map("step", u))]


def test_the_sample_has_the_exact_kernel() -> None:
    b = Builder()
    values = layers(b)
    exact = ExactLimit()
    kets = [as_ket(exact.evaluate(v)) for v in values]
    arrays = sample(values, Hats(exact))
    for k, (a, ket) in enumerate(zip(arrays, kets, strict=True)):
        for c, other, v in zip(arrays[: k + 1], kets, values, strict=False):
            if v.type.width == values[k].type.width:
                truth = exact.moments.second_moment(ket, other).value
                assert np.allclose(a.T @ c / len(a), truth, atol=1e-9), (k, v)


def test_coordinates_do_not_depend_on_what_is_asked_with_them() -> None:
    b = Builder()
    values = layers(b)
    hats = Hats(ExactLimit())
    assert hats.know(plan(values).order)
    before = [part.coordinates for v in plan(values).order if isinstance(v, MatMul) for part in hats.of(v)]
    W = b.matrix("more", N, N, np.array(1.0), "normal")
    values.append(b.matmul(W, np.array(0), False, values[2]))
    assert hats.know(plan(values).order)
    after = [part.coordinates for v in plan(values).order if isinstance(v, MatMul) for part in hats.of(v)]
    assert all(x is y for x, y in zip(before, after, strict=False))


@pytest.mark.parametrize("op", ["relu", "tanh"])
def test_what_makes_dots_is_not_known(op: str) -> None:
    b = Builder()
    W = b.matrix("W", N, N, np.array(1.0), "normal")
    x = b.init_vector("x", N, "normal", np.zeros(2), np.ones(2))
    y = b.map(op, b.matmul(W, np.array(0), False, x))
    back = b.matmul(W, np.array(0), True, y)
    hats = Hats(ExactLimit())
    assert hats.know(plan([y]).order) and not hats.know(plan([back]).order)


NETWORK = """
width n
from optim import adam
const X = [[1, 0.5], [-0.5, 1], [0.2, -1]]
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 2/n)
v[n] ~ normal(0, 1)
"""
STEP = "f = net(X) - f0\nL = mean((f - [1, -0.5, 0.5])^2) / 2\nW -= 0.1 * n^(-1.5) * adam(sqrt(n) * grad(L, W))\nshow net(X) - f0\n"
KNOWN = NETWORK + "def net(X) = sqrt(n) * <v|tanh(W @ tanh(W @ tanh(U @ X.T)))>\nf0 = stop(net(X))\n"
WITH_DOTS = NETWORK + "def net(X) = sqrt(n) * <v|tanh(W.T @ tanh(W @ tanh(U @ X.T)))>\nf0 = stop(net(X))\n"


@pytest.mark.parametrize(("text", "uses"), [(KNOWN, True), (WITH_DOTS, False)])
def test_where_the_sampler_uses_them(text: str, uses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both agree with a run that uses none."""
    asked: list[Value] = []
    real = Hats.of

    def of(self: Hats, v: MatMul) -> list[known.Part]:
        asked.append(v)
        return real(self, v)

    monkeypatch.setattr(Hats, "of", of)
    program = check(Source("net.nxt", text + STEP), Request()).program
    assert program is not None
    (answer,) = engine.limit(program, Options(samples=1024)).shows
    assert bool(asked) == uses

    def knows_nothing(self: Hats, values: Iterable[Value]) -> bool:
        return False

    monkeypatch.setattr(Hats, "know", knows_nothing)
    (other,) = engine.limit(program, Options(samples=1024)).shows
    assert isinstance(answer, Estimate) and isinstance(other, Estimate)
    assert np.all(np.abs(answer.value - other.value) <= 4.0 * np.hypot(answer.stderr, other.stderr))


def test_steps_at_a_prompt_are_those_of_one_program() -> None:
    session = Session(Request(samples=64, tol=1.0))
    assert session.run(Source("<input>", KNOWN)).shown is not None
    for _ in range(2):
        outcome = session.run(Source("<input>", STEP))
        assert outcome.shown is not None
    whole = check(Source("net.nxt", KNOWN + STEP + STEP), Request()).program
    assert whole is not None
    answers = engine.limit(whole, Options(samples=64, tol=1.0)).shows
    last, (shown,) = answers[-1], outcome.shown
    assert isinstance(last, Estimate) and isinstance(shown.answer, Estimate)
    error = np.hypot(last.stderr, shown.answer.stderr)
    assert np.all(np.abs(last.value - shown.answer.value) <= 4.0 * error) and np.all(error > 0.0)
