"""Random well-typed programs hold the engines to the master theorem; random mistakes in them are refused with a code.

The programs are those of fixed seeds, so that a run says the same every time; hypothesis looks for others in the cheap properties and makes
what fails small. `python bench/soak.py` is the long run.
"""

from __future__ import annotations

from random import Random

import pytest
import random_tangent
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import Effort, checked, compare_finite_width, examine
from random_mutations import mutated
from random_programs import program, programs

from nexortlang.core.verify import verify
from nexortlang.diagnostics import NexortError
from nexortlang.diagnostics.catalogue import LESSONS
from nexortlang.finite.simulate import Settings, Simulator
from nexortlang.kets import engine
from nexortlang.kets.results import Options

SMALL = Effort((128, 128, 32), 32, widths=(24, 48, 96), widths_of_tuples=(8, 16, 32), seeds=6, tol=0.1)


@pytest.mark.parametrize("batch", range(10))
def test_both_engines_agree_on_random_programs(batch: int) -> None:
    """Exact evaluator and particles, limit and finite widths, the finite engine and dense NumPy, a program and its printed core, a program and itself."""
    for number in range(20 * batch, 20 * batch + 20):
        found = examine(program(Random(f"test/{number}")), number, SMALL)
        assert not found.wrong, "\n".join([*found.wrong, found.text])


def test_both_engines_agree_in_the_tangent_regime() -> None:
    for number in range(12):
        found = examine(random_tangent.program(Random(f"test/{number}")), number, SMALL)
        assert not found.wrong, "\n".join([*found.wrong, found.text])


@settings(max_examples=100)
@given(programs())
def test_the_checker_accepts_what_the_generator_makes(text: str) -> None:
    outcome = checked(text)
    assert outcome.program is not None, [(d.code, d.message) for d in outcome.diagnostics]
    assert verify(outcome.program) == []
    assert compare_finite_width(outcome.program) == []


@pytest.mark.filterwarnings("error")
@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_mistakes_are_refused_by_the_checker_with_a_code(rng: Random) -> None:
    """Or they are none, and both engines run the program; an engine refuses with a code what has no limit."""
    outcome = checked(mutated(program(rng, 6), rng))
    codes = {d.code for d in outcome.diagnostics}
    assert codes <= LESSONS.keys() - {"NX901"}
    if outcome.program is None:
        assert codes
        return
    assert verify(outcome.program) == []
    for run in (lambda p: engine.limit(p, Options(samples=32)), lambda p: Simulator(p, Settings(seeds=2)).simulate(12)):
        try:
            run(outcome.program)
        except NexortError as refusal:
            assert {d.code for d in refusal.diagnostics} <= LESSONS.keys() - {"NX901"}


ONCE_WRONG = {
    "the covariance of a single output at finite width": """
width n
v[n] ~ normal(0, 1)
x[n] ~ normal(0, 1)
f = sqrt(n) * <v|tanh(x)>
show cov(f)
""",
    "an average over both indices with a factor of the second": """
width n
x[n] ~ normal(0, 1)
z[n] ~ normal(0.3, 1)
show avg[i, j](tanh(x[i] * z[j]) * z[j] * (x[i] + 1))
""",
    "a scalar array beside a factor of the averaged index": """
width n
x[n] ~ normal(0, 1)
U[n, 2] ~ normal(0.3, 1)
c[2] ~ normal(1, 0.1)
y[i] = avg[j](tanh(c) * tanh(x[i] * x[j]) * U[j])
show avg(y * U)
""",
    "a member set beside members that carry a power of n": """
width n
x[n, 2] ~ normal(0, 1)
u[n, 2] ~ normal(0.2, 1)
G[i, j] = cos(x[i] * x[j])
y = (G / n) @ u
y[0] = 0.4
show avg(tanh(y))
""",
    "a contraction of scalars down to one number": """
width m
U[m, 3] ~ normal(0, 1/3)
x = U @ [[1, 0], [0.5, 1], [-1, 0.3]]
c = avg(-0.4 * (x - mean(x) + 0.3))
show c
""",
    "a stored function of pairs met by an average over triples": """
width n
x[n] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
y[i] = avg[j, k](tanh(sin(0.7 * x[i] - x[j]) * x[k]))
L = avg((W @ x - tanh(sigmoid(y)))^2) / 4
x -= 0.3 * n * grad(L, x)
show <x|x>
""",
    "a function of a ket times a limit that is 0": """
width n
x[n] ~ normal(0, 1)
z[n, 2] ~ normal(0, 1)
y[i] = avg[j](sign(x[i] * z[j]))
w[i] = avg[j](tanh(erf(x[i] * sum(y[j])) + x[i]))
show avg(tanh(w)^2)
""",
    "a matrix of zeros that outer products are added to": """
width n
p[n, 2] ~ rademacher(0, 1)
J = zeros(n, n)
for k in range(2):
    J += |p[k]><p[k]|
s = tanh(p[0] + 0.5 * p[1])
show <p|tanh(2 * (J @ s))>
""",
    "a ket that is 0 up to rounding": """
width n
x[n] ~ bernoulli(0.4)
y = [x, x]
z = (-0.4 * y + (y + x)) / 2.4
d = z - mean(z)
show avg(tanh(d @ <d|d>))
""",
    "one ket averaged over, alone and as a stack of one": """
width n
x[n] ~ normal(0, 1)
W[n, n, 2] ~ normal(0, 0.5/n)
W[1][i, j] -= 0.3/n * cos(0.7 * x[i] - x[j])
W[1][i, j] -= 0.3/n * sigmoid(0.7 * x[i] - x[j])
h = W @ x
show <h|h>
""",
    "kets along an empty finite axis": """
width n
x[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
y = x @ [[], []]
W += |y><y|
z = W @ tanh(x[0] + sum(softmax(y, 0)))
show []
show avg(y)
show avg(tanh(z + sum(W @ y)))
""",
    "a Gaussian output beside an average over triples": """
width n
x[n, 2] ~ normal(0, [[1, 0.5], [0.5, 0.8]])
z[n] ~ normal(0, 1)
v[n] ~ normal(0, 0.5)
f = sqrt(n) * <v|exp(-(z * x)^2)>
show cov(f)
show avg[i, j, k](tanh(z[i] + sin(z[j] * z[k]) + tanh(x[i, 0])))
""",
}


RATIOS = {"1e-9*n": 1e-9, "n/3": 1 / 3, "0.3*n": 0.3, "7*n/4": 1.75, "1e-300*n": 1e-300}


@pytest.mark.parametrize("text", RATIOS)
def test_a_width_of_any_positive_ratio(text: str) -> None:
    outcome = checked(
        f"width n\nwidth m = {text}\nx[m] ~ normal(0, 1)\nv[m] ~ normal(0, 1)\nshow cov(sqrt(n) * <v|x>)\n"
    )
    assert outcome.program is not None, outcome.diagnostics
    assert float(outcome.program.widths[1].ratio) == pytest.approx(RATIOS[text], rel=1e-12)


@pytest.mark.parametrize("exponent", ["inf", "(0/0)"])
@pytest.mark.parametrize("base", ["n", "(n * x)", "sqrt(n)"])
def test_n_to_a_power_that_is_no_number_is_refused(base: str, exponent: str) -> None:
    outcome = checked(f"width n\nx[n] ~ normal(0, 1)\nshow avg({base}^{exponent} * x)\n")
    assert [d.code for d in outcome.diagnostics] == ["NX220"]
    assert checked(f"width n\nx[n] ~ normal(0, 1)\nshow avg(exp(-x^2)^{exponent})\n").program is not None


@pytest.mark.parametrize("name", ONCE_WRONG)
def test_small_programs_that_once_showed_a_mistake(name: str) -> None:
    found = examine(ONCE_WRONG[name].lstrip())
    assert not found.wrong, "\n".join(found.wrong)
