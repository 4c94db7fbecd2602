"""Following powers of n instead of requiring them: what elaborate.trace promises."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from nexortlang.core.program import Program
from nexortlang.elaborate.program import elaborate
from nexortlang.elaborate.trace import Trace
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax.parser import parse

STANDARD = """\
width n
U[n, 3] ~ normal(0, 1)
W[n, n] ~ normal(0, 1)
v[n] ~ normal(0, n)
from optim import adam
for t in range(2):
    f = sqrt(n) * <v | tanh(W @ tanh(n * U @ [1, 0, 1]))>
    show f
    L = (f - 1)^2
    assert L ~= 0
    U -= adam(grad(L, U))
    W -= adam(n^2 * grad(L, W))
    v -= grad(L, v)
    W *= 1 - 1/n
"""


def followed(text: str) -> tuple[Program, Trace, list[str]]:
    module, mistakes = parse(Source("net.nxt", text))
    trace = Trace()
    program, more = elaborate(module, Files(Path()), trace=trace)
    return program, trace, [d.code for d in mistakes + more]


def test_no_power_of_n_is_refused() -> None:
    program, trace, codes = followed(STANDARD)
    assert codes == []
    assert program.shows == [] == program.assertions
    assert [g.name for g in trace.gradients.values()] == ["U", "W", "v"] * 2
    assert [g.kind for g in trace.gradients.values()] == ["vector", "matrix", "vector"] * 2
    assert [o.optimizer for o in trace.optimized] == ["adam"] * 4


def test_without_a_trace_they_are_refused() -> None:
    module, _ = parse(Source("net.nxt", STANDARD))
    codes = {d.code for d in elaborate(module, Files(Path()))[1]}
    assert {"NX225", "NX226"} <= codes


def test_other_rules_stay() -> None:
    assert followed("width n\nwidth m\nx[n] ~ normal(0, 1)\ny[m] ~ normal(0, 1)\nc = avg(x + y)\n")[2] == ["NX205"]
    assert followed("width n\nconst c = tanh(n)\n")[2] == ["NX220"]


@pytest.mark.parametrize(("variance", "power"), [("1", "1/2"), ("1/n", "0"), ("n^(-3)", "-1"), ("0", "0")])
def test_a_matrix_of_any_variance(variance: str, power: str) -> None:
    program, _, codes = followed(f"width n\nx[n] ~ normal(0, 1)\nW[n, n] ~ normal(0, {variance})\ny = W @ x\n")
    assert codes == []
    assert program.values[-1].type.power == Fraction(power)
