"""stdlib/params.nxt: one program, its powers of n from a table; equal tables are equal programs at every finite width."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_gradient import draws, run

from nexortlang.core.program import Program
from nexortlang.elaborate.program import elaborate
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax.parser import parse

PROGRAM = """
width n
const X = [[1, 0, 1], [0, 1, 1]]
const y = [1, -1]
from params import standard, neural_tangent, maximal_update, variance, rate, gain, input, hidden, output
from optim import adam
const shift = [1, -1, -1, 1]
const P = TABLE
U[n, 3] ~ normal(0, variance(n, P[input]))
W[n, n] ~ normal(0, variance(n, P[hidden]))
v[n]    ~ normal(0, variance(n, P[output]))
def net(X) = n * <v | tanh(W @ tanh(U @ X.T))>
for t in range(3):
    f = net(X)
    L = mean((f - y)^2) / 2
    show L
    U -= 0.1 * rate(n, P[input])  * adam(gain(n, P[input])  * grad(L, U))
    W -= 0.1 * rate(n, P[hidden]) * adam(gain(n, P[hidden]) * grad(L, W))
    v -= 0.1 * rate(n, P[output]) * adam(gain(n, P[output]) * grad(L, v))
"""


def program(table: str) -> tuple[Program, list[str]]:
    module, mistakes = parse(Source("net.nxt", PROGRAM.replace("TABLE", table)))
    built, more = elaborate(module, Files(Path()))
    return built, [d.code for d in mistakes + more]


def losses(table: str) -> np.ndarray:
    built, codes = program(table)
    assert codes == []
    given, matrices = draws(SimpleNamespace(program=built))  # type: ignore[arg-type]
    arrays = run(SimpleNamespace(program=built), given, matrices)  # type: ignore[arg-type]
    return np.array([arrays[s.value.id] for s in built.shows])


@pytest.mark.parametrize("table", ["neural_tangent", "maximal_update"])
@pytest.mark.parametrize("theta", [0.5, -0.25])
def test_shifted_tables_train_the_same_network(table: str, theta: float) -> None:
    np.testing.assert_allclose(losses(f"{table} + {theta} * shift"), losses(table), rtol=1e-12)


def test_the_tables_differ() -> None:
    assert not np.allclose(losses("neural_tangent"), losses("maximal_update"))


def test_standard_parametrization_is_refused() -> None:
    """Its updates are not divided by any power of n: they blow up."""
    assert set(program("standard")[1]) == {"NX222", "NX224"}
