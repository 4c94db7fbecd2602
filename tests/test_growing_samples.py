"""A program that grows at a prompt: particles go on where they are. What was evaluated is not evaluated again, and answers are as good as those of a run of everything at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from judge import SUSPECT, WRONG, Answer, Effort, checked, deviation, exactly, numbers, sampled, worst
from limits import truths
from random_programs import program

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import Program, Value
from nexortlang.diagnostics import NexortError
from nexortlang.driver import Request
from nexortlang.kets.particles import randomisation, replicates
from nexortlang.kets.particles.plan import is_dense
from nexortlang.kets.particles.randomisation import Kept
from nexortlang.kets.particles.replicates import Target
from nexortlang.kets.particles.system import System
from nexortlang.kets.results import Distribution, Options
from nexortlang.session import Session
from nexortlang.source import Source
from nexortlang.syntax.parser import parse

SAMPLED = sorted((Path(__file__).parent / "programs").glob("sampled_*.nxt"))
Step = Counter[tuple[int, int]]

BACK_AND_FORTH = """
width n
W[n, n] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
y = tanh(W @ tanh(x))
z = tanh(W.T @ tanh(y))
"""
ADAM = """
width n
U[n, 2] ~ normal(0, 1/2)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
from optim import adam_inside
"""
ADAM_STEP = """
f = <v|relu(W @ relu(U @ [0.6, 0.8]))>
L = (f - 1)^2
U -= 0.5 * adam_inside(n * grad(L, U), 0.9, 0.99, 1e-4)
W -= 0.5/n * adam_inside(n * grad(L, W), 0.9, 0.99, 1e-4)
show <relu(U @ [0.6, 0.8])|relu(U @ [0.6, 0.8])>
"""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Step:
    """How often each system (by number of creation) has evaluated each value, by id."""
    counts: Step = Counter()
    systems: dict[System, int] = {}
    real = System.step

    def step(self: System, values: list[Value], copies: list[System]) -> None:
        counts.update((systems.setdefault(self, len(systems)), v.id) for v in values)
        real(self, values, copies)

    monkeypatch.setattr(System, "step", step)
    return counts


def ask(session: Session, text: str) -> list[Answer]:
    outcome = session.run(Source("<input>", text))
    assert not outcome.is_wrong and outcome.shown is not None, outcome.diagnostics
    return [s.answer for s in outcome.shown]


def spent(executed: Step) -> int:
    """Instructions since the last call."""
    total = executed.total()
    executed.clear()
    return total


# ---------------------------------------------------------------------------- nothing twice


def test_a_line_executes_its_own_instructions(executed: Step) -> None:
    """Twice four randomisations abreast of N particles, and of N / 2."""
    session = Session(Request(samples=128, tol=1.0))
    ask(session, BACK_AND_FORTH)
    ask(session, "show <z|z>\n")
    assert spent(executed) == 4 * 8  # x, tanh, W, tanh, tanh, Wᵀ, tanh, the average
    ask(session, "show <z|tanh(z)>\n")
    assert spent(executed) == 4 * 2
    ask(session, "u = W @ z\nshow <u|u>\n")
    assert spent(executed) == 4 * 2
    ask(session, "show <u|u>\nshow <z|z>\n")
    assert spent(executed) == 0


@pytest.mark.parametrize("first", ["show <z|z>", "show <y|y>\nshow dist(tanh(z))"])
def test_no_system_evaluates_a_value_twice(executed: Step, first: str) -> None:
    session = Session(Request(samples=64, tol=1.0))
    ask(session, f"{BACK_AND_FORTH}{first}\n")
    for text in ("show <z|tanh(z)>\n", "s = W @ (z * y)\nshow <s|z>\n", "show dist(tanh(s))\n", "show <x|s>\n"):
        ask(session, text)
    assert set(executed.values()) == {1}


def test_another_tolerance_adds_randomisations_and_repeats_none(executed: Step) -> None:
    session = Session(Request(tol=2e-2))
    ask(session, BACK_AND_FORTH)
    (rough,) = ask(session, "show <z|z>\n")
    session.request = Request(tol=5e-5)
    (fine,) = ask(session, "show <z|z>\n")
    assert np.max(fine.stderr) <= 5e-5 < np.max(rough.stderr) and set(executed.values()) == {1}


def test_steps_of_adam_one_by_one(executed: Step) -> None:
    """Entries of the matrices' updates are functions of pairs: what a step adds is evaluated on those that the last one left."""
    session = Session(Request(samples=64, tol=1.0))
    ask(session, ADAM + ADAM_STEP)
    spent(executed)
    each = []
    for _ in range(3):
        ask(session, ADAM_STEP)
        each.append(spent(executed))
    assert each[0] > 0 and each[2] <= 1.25 * each[0], each


def test_groups_of_pairs_go_on_until_all_pairs_are_needed(executed: Step) -> None:
    """Whole averages meet pairs in groups; what was stored of those serves no average that keeps a slot, which starts over and is right."""
    session = Session(Request(samples=128, tol=1.0))
    pairs = "width n\nx[n] ~ normal(0, 1)\nz[n] ~ normal(0, 1)\np[i, j] = tanh(x[i] + x[j] + z[i] * z[j])\n"
    row = "h[i] = avg[j](abs(p[i, j]))\nshow <h|h>\n"
    ask(session, pairs + "show avg[i, j](abs(p[i, j]))\nshow avg[i, j](p[i, j]^2)\n")
    spent(executed)
    ask(session, "show avg[i, j](cos(p[i, j]))\n")
    assert spent(executed) == 16 * 2  # copies
    (found,), (fresh,) = ask(session, row), ask(Session(Request(samples=128, tol=1.0)), pairs + row)
    assert np.array_equal(numbers(found), numbers(fresh))


def test_random_scalars_go_on(executed: Step) -> None:
    session = Session(Request(samples=64, tol=1.0))
    ask(
        session,
        "width n\nv[n] ~ normal(0, 1)\nx[n] ~ normal(0, 1)\na = tanh(x)\nf = sqrt(n) * <v|a>\nshow cov(tanh(f))\n",
    )
    spent(executed)
    ask(session, "g = f + sqrt(n) * <v|a * a>\nshow dist(tanh(g))\n")
    ask(session, "y = tanh(f * x)\nshow <y|y>\n")  # a draw that enters a vector: runs of another kind
    ask(session, "show <y|x>\n")
    assert set(executed.values()) == {1}


def test_what_does_not_fit_starts_over(executed: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomisation, "KEPT_SHARE", 0.0)
    session = Session(Request(samples=64, tol=1.0))
    ask(session, BACK_AND_FORTH)
    (first,) = ask(session, "show <z|z>\n")
    before = spent(executed)
    (again,) = ask(session, "show <tanh(z)|z>\n")
    assert spent(executed) > before and np.isfinite(first.stderr) and np.isfinite(again.stderr)


def test_only_what_fits_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = checked(f"{BACK_AND_FORTH}show <z|z>\n")
    assert outcome.program is not None
    kept = Kept()
    replicates.run(outcome.program, targets(outcome.program), Options(samples=64, tol=1.0), None, kept)
    keys = [replicates.Key(0, size, k, 4, 0) for size in (16, 64) for k in range(2)]
    assert all(kept.look(key) for key in keys)
    largest = kept.take(keys[-1])
    assert largest is not None and kept.look(keys[-1]) is None
    monkeypatch.setattr(Kept, "room", property(lambda self: 2.5 * largest.bytes))
    kept.put(keys[-1], largest)
    left = [key for key in keys if kept.look(key)]
    assert left and left == keys[-len(left) :]  # the last ones used


def test_an_error_leaves_no_half_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Request(samples=64, tol=1.0))
    ask(session, BACK_AND_FORTH)
    ask(session, "show <z|z>\n")
    real, broken = System.step, True

    def step(self: System, values: list[Value], copies: list[System]) -> None:
        if broken and values[0].type.is_scalar:
            raise KeyboardInterrupt
        real(self, values, copies)

    monkeypatch.setattr(System, "step", step)
    with pytest.raises(KeyboardInterrupt):
        ask(session, "u = W @ z\nshow <u|u>\n")
    broken = False
    (found,) = ask(session, "show <u|u>\n")
    whole = Session(Request(samples=64, tol=1.0, seed=1))
    (fresh,) = ask(whole, f"{BACK_AND_FORTH}u = W @ z\nshow <u|u>\n")
    assert abs(found.value - fresh.value) <= 5 * np.hypot(found.stderr, fresh.stderr)


# ---------------------------------------------------------------------------- as good as all at once


def targets(program: Program) -> list[Target]:
    return [Target(s.kind, program.limit_of(s.value)) for s in program.shows]


def test_a_program_is_its_own_beginning() -> None:
    """Line by line in the order of the program, the numbers are those of all at once, but for rounding."""
    lines = ["show <z|z>\n", "u = W @ z\nshow <u|y>\n", "q = W.T @ tanh(u)\nshow <q|x>\nshow dist(q)\n"]
    growing, whole = Session(Request(samples=128, tol=1.0)), Session(Request(samples=128, tol=1.0))
    parts = [ask(growing, f"{BACK_AND_FORTH}{lines[0]}"), *(ask(growing, line) for line in lines[1:])]
    at_once = ask(whole, BACK_AND_FORTH + "".join(lines))
    for a, b in zip([a for part in parts for a in part], at_once, strict=True):
        assert np.allclose(numbers(a).values, numbers(b).values, rtol=1e-9)
        assert np.allclose(numbers(a).errors, numbers(b).errors, rtol=1e-6)


def test_truths_are_within_the_errors_line_by_line() -> None:
    missed = total = 0
    for path in SAMPLED:
        known, text = truths(path), path.read_text(encoding="utf-8")
        module, _ = parse(Source(path.name, text))
        for seed in range(4):
            session = Session(Request(seed=seed, samples=512, tol=np.inf))
            for statement in module.body:
                end = statement.span.end
                for shown in session.run(Source("<input>", text[statement.span.start : end] + "\n")).shown or []:
                    line = text.count("\n", 0, end) + 1
                    if line in known:
                        a = shown.answer
                        value = a.mean if isinstance(a, Distribution) else a.value
                        far = np.abs(value - known[line]) / np.maximum(a.stderr, 1e-12)
                        assert np.all(far < 5.0), (path.name, line, seed)
                        missed, total = missed + int(np.sum(far > 2.0)), total + far.size
    assert total > 50 and missed <= 0.1 * total + 4 * (0.09 * total) ** 0.5, (missed, total)


def one_by_one(program: Program, rng: Random, options: Options) -> list[Answer]:
    """What is shown, asked in any order, with questions about other values in between."""
    kept, wanted = Kept(), targets(program)
    others = [v for v in reachable([t.value for t in wanted]) if is_dense(v.type) and v.type.axes]
    found: dict[int, Answer] = {}
    for k in rng.sample(range(len(wanted)), len(wanted)):
        if others:
            replicates.run(program, [Target("distribution", rng.choice(others))], options, None, kept)
        (found[k],), _ = replicates.run(program, [wanted[k]], options, None, kept)
    return [found[k] for k in range(len(wanted))]


EFFORT = Effort((128, 128, 32), 32, tol=0.1)


@pytest.mark.parametrize("batch", range(4))
def test_random_programs_asked_bit_by_bit(batch: int) -> None:
    """Against the exact evaluator, or all at once with other randomness; no more lie beyond two standard errors than chance allows."""
    sizes: list[float] = []
    for number in range(15 * batch, 15 * batch + 15):
        found = checked(program(Random(f"grow/{number}"))).program
        assert found is not None
        try:
            sizes += compared(found, number, EFFORT)
        except NexortError as refusal:
            assert refusal.diagnostics[0].code in ("NX301", "NX302")
    beyond = sum(size > 2.0 for size in sizes)
    assert len(sizes) > 30 and beyond <= 0.1 * len(sizes) + 4 * (0.09 * len(sizes)) ** 0.5, (beyond, len(sizes))


def compared(found: Program, number: int, effort: Effort, seed: int = 0) -> list[float]:
    """Deviations of everything shown, in standard errors; one that is suspect is looked at again with more particles."""
    options = Options(samples=effort.at(found)[0], seed=seed, tol=effort.tol)
    grown = one_by_one(found, Random(number), options)
    exact, at_once = exactly(found), sampled(found, effort, seed + 1)
    sizes = [deviation(numbers(e or w), numbers(g)) for e, w, g in zip(exact, at_once, grown, strict=True)]
    if any(worst(size) > SUSPECT for size in sizes) and not seed:
        again = compared(found, number, effort.greater, seed + 7)
        assert max(again) < WRONG, (number, again)
    return [float(s) for size in sizes for s in size]
