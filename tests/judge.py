"""Whether the engines agree on a program: deviations in standard errors.

In: the text of a program. Out: its `Findings`: how far the exact evaluator is from the particles, the limit from finite widths, the program from its printed core, a finite-width run from dense NumPy,
each for what is shown. Guarantees: the errors of both sides enter, with Student's t for what few runs say; a bias that falls with the width like 1/n or
n^(−1/2) is no deviation; what lies further off than `SUSPECT` is looked at again with other randomness and more of it, and that look counts.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import finite_reference
import numpy as np

from nexortlang.core.dependencies import reachable
from nexortlang.core.printer import to_nxt
from nexortlang.core.program import InitScalar, InitVector, Matrix, Program, Show, Value
from nexortlang.core.verify import verify
from nexortlang.diagnostics import NexortError
from nexortlang.driver import Outcome, Request, check
from nexortlang.finite.draws import Draws
from nexortlang.finite.plan import plan
from nexortlang.finite.run import Run
from nexortlang.finite.simulate import Settings, Simulator
from nexortlang.finite.sizes import Sizes
from nexortlang.kets import engine, summaries
from nexortlang.kets.exact.atoms import NotStructured
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.particles import replicates
from nexortlang.kets.results import Distribution, Estimate, Options
from nexortlang.source import Source

Answer = Estimate | Distribution

SUSPECT = 4.0
WRONG = 5.0
"""Standard errors from which a deviation is looked at again, and called a disagreement."""
ROUNDING = 1e-9
REPLICATE_FREEDOM = float(replicates.REPLICATES - 1)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a look costs: particles, by how many coordinates the functions averaged have; widths, and others for functions of three; runs at each width.

    `particles_printed`: for the program and its printed core, which agree to the last digit unless values were drawn in another order. `tol`: the standard error from
    which no more draws are made of random scalars that enter vectors.
    """

    particles: tuple[int, int, int] = (512, 256, 128)
    particles_printed: int = 64
    widths: tuple[int, ...] = (64, 128, 256)
    widths_of_tuples: tuple[int, ...] = (16, 32, 64)
    seeds: int = 16
    tol: float = 2e-2

    @property
    def greater(self) -> Effort:
        one, two, three = self.particles
        return Effort(
            (4 * one, 8 * two, 2 * three),
            8 * self.particles_printed,
            (*self.widths, 2 * self.widths[-1], 4 * self.widths[-1]),
            (*self.widths_of_tuples, 2 * self.widths_of_tuples[-1]),
            2 * self.seeds,
            self.tol / 2.0,
        )

    def at(self, program: Program) -> tuple[int, tuple[int, ...]]:
        """How many particles, and which widths, the program can bear."""
        slots = most_slots(program)
        return self.particles[min(2, max(0, slots - 1))], self.widths_of_tuples if slots > 2 else self.widths


@dataclass(slots=True)
class Findings:
    """What was found out about a program.

    `deviations`: per kind of comparison the largest, after the second look. `first`: all of the first look, in standard errors, each with that standard error relative
    to 1 + |value|. `again`: what was looked at again. `wrong`: sentences. `refused`: codes of the limit engine. `methods`: how often each.
    """

    text: str
    deviations: dict[str, float] = field(default_factory=dict)
    first: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    again: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    def look(self, kind: str, a: Numbers, sizes: np.ndarray, error: np.ndarray) -> float:
        """Note a first look; the largest deviation."""
        relative = np.broadcast_to(error / (1.0 + np.abs(a.values)), sizes.shape)
        self.first.setdefault(kind, []).extend(zip(sizes.tolist(), relative.tolist(), strict=True))
        return worst(sizes)

    def add(self, kind: str, show: Show, size: float, detail: str) -> None:
        self.deviations[kind] = max(size, self.deviations.get(kind, 0.0))
        if size > WRONG:
            self.wrong.append(f"{kind}: show {show.name} is {size:.1f} standard errors off; {detail}")


# ---------------------------------------------------------------------------- numbers and how far they lie apart


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers with standard errors. `freedom`: degrees of freedom of the errors."""

    values: np.ndarray
    errors: np.ndarray
    freedom: float = np.inf

    def __str__(self) -> str:
        return ", ".join(f"{v:.6g}±{e:.1g}" for v, e in zip(self.values[:6], self.errors[:6], strict=True))


def numbers(answer: Answer) -> Numbers:
    """The numbers of an answer; of a distribution its mean and variance."""
    freedom = REPLICATE_FREEDOM if answer.method == "sampled" else np.inf
    if isinstance(answer, Estimate):
        return Numbers(answer.value.reshape(-1), answer.stderr.reshape(-1), freedom)
    spread = np.zeros_like(answer.mean) if answer.variance_stderr is None else answer.variance_stderr
    values, errors = [answer.mean, answer.variance], [answer.stderr, spread]
    return Numbers(
        np.concatenate([v.reshape(-1) for v in values]), np.concatenate([e.reshape(-1) for e in errors]), freedom
    )


def deviation(a: Numbers, b: Numbers) -> np.ndarray:
    """How far two sets of numbers lie apart: the normal deviates as improbable as Student's t (Wallace 1959)."""
    rounding = ROUNDING * (1.0 + np.abs(a.values))
    total = np.sqrt(a.errors**2 + b.errors**2 + rounding**2)
    fourth = a.errors**4 / a.freedom + b.errors**4 / b.freedom
    freedom = np.minimum(1e9, np.divide(total**4, fourth, out=np.full_like(total, 1e9), where=fourth > 0.0))
    t = np.abs(a.values - b.values) / total
    return np.asarray(np.sqrt(freedom * np.log1p(t**2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3))


def worst(deviations: np.ndarray) -> float:
    """The largest of several deviations, 0 of none; infinite where one is not a number."""
    return float(np.max(np.nan_to_num(deviations, nan=np.inf), initial=0.0))


# ---------------------------------------------------------------------------- what each engine says


def checked(text: str) -> Outcome:
    return check(Source("random.nxt", text), Request())


def exactly(program: Program) -> list[Answer | None]:
    """What the exact evaluator says of everything shown, None where it declines."""
    exact = ExactLimit()
    found: list[Answer | None] = []
    for show in program.shows:
        try:
            found.append(summaries.summarise(exact, show.kind, program.limit_of(show.value)))
        except NotStructured:
            found.append(None)
    return found


def sampled(program: Program, effort: Effort, seed: int) -> list[Answer]:
    """What the particles say of everything shown, whether or not it has an exact form."""
    targets = [replicates.Target(s.kind, program.limit_of(s.value)) for s in program.shows]
    return replicates.run(program, targets, Options(samples=effort.at(program)[0], seed=seed, tol=effort.tol))[0]


def most_slots(program: Program) -> int:
    """The most indices in one value: the cost of an OuterNonlin is the width to that power."""
    return max((len(v.type.axes) for v in reachable([s.value for s in program.shows])), default=0)


def simulated(program: Program, effort: Effort, seed: int) -> list[list[Numbers]]:
    """For everything shown, at every width: the means over runs."""
    simulator = Simulator(program, Settings(seeds=effort.seeds, seed=seed))
    found: list[list[Numbers]] = [[] for _ in program.shows]
    for n in effort.at(program)[1]:
        for row, sample in zip(found, simulator.simulate(n).samples, strict=True):
            values = sample.values
            if sample.kind == "distribution":
                means = values.mean(axis=1)
                within = values.var(axis=1)
                if sample.random:
                    within = within + (means - means.mean(axis=0)) ** 2 * (len(values) / (len(values) - 1))
                values = np.concatenate([means.reshape(len(values), -1), within.reshape(len(values), -1)], axis=1)
            flat = values.reshape(len(values), -1)
            row.append(Numbers(flat.mean(axis=0), flat.std(axis=0, ddof=1) / len(flat) ** 0.5, len(flat) - 1.0))
    return found


def extrapolated(widths: Sequence[int], means: Sequence[Numbers], rate: float) -> Numbers:
    """The constant term of the fit θ + b·n^(−rate), weighted by the widths."""
    n = np.array(widths, dtype=float)
    root = np.sqrt(n / n.max())
    design = np.stack([np.ones_like(n), (n / n.min()) ** -rate], axis=1) * root[:, None]
    line = np.linalg.pinv(design)[0] * root
    values = line @ np.stack([m.values for m in means])
    errors = np.sqrt(line**2 @ np.stack([m.errors for m in means]) ** 2)
    return Numbers(values, errors, means[0].freedom * len(means) / 2)


def finite_deviation(limit: Numbers, widths: Sequence[int], means: Sequence[Numbers]) -> tuple[np.ndarray, np.ndarray]:
    """How far the limit is from the runs: at the largest width, or extrapolated by either rate of the bias, whichever is nearest; and that one's standard error."""
    candidates = [means[-1], *(extrapolated(widths, means, rate) for rate in (1.0, 0.5))]
    sizes = np.stack([deviation(limit, m) for m in candidates])
    nearest = np.argmin(sizes, axis=0)
    errors = np.stack([np.hypot(limit.errors, m.errors) for m in candidates])
    return np.min(sizes, axis=0), np.take_along_axis(errors, nearest[None], axis=0)[0]


def dense(program: Program, values: Sequence[Value], draws: Draws) -> dict[int, np.ndarray]:
    """The values by plain NumPy, from the finite engine's draws."""
    arrays: dict[int, np.ndarray] = {}
    matrices: dict[Matrix, np.ndarray] = {}
    for k, m in enumerate(program.matrices):
        members = [draws.matrix(m, k, member) for member in range(m.variance.size)]
        matrices[m] = np.reshape(members, (*m.shape, *members[0].shape))
    rng = np.random.default_rng(0)
    for v in values:
        drawn = isinstance(v, InitVector | InitScalar)
        arrays[v.id] = draws.value(v) if drawn else finite_reference.evaluate(v, arrays, matrices, draws.sizes.n, rng)
    return arrays


# ---------------------------------------------------------------------------- the comparisons


def examine(text: str, seed: int = 0, effort: Effort = Effort()) -> Findings:
    """All comparisons of one program. What goes wrong is said, not raised."""
    found = Findings(text)
    outcome = checked(text)
    if outcome.program is None:
        found.wrong += [f"checker: {d.code} {d.message}" for d in outcome.diagnostics]
        return found
    program = outcome.program
    found.wrong += [f"core: {problem}" for problem in verify(program)]
    for look in (_limits, _finite_width, _printed):
        try:
            look(found, program, effort, seed)
        except NexortError as refusal:
            _note_refusal(found, refusal)
        except Exception:
            found.wrong.append(f"crash in {look.__name__}: {traceback.format_exc(limit=-4)}")
    return found


def _note_refusal(found: Findings, refusal: NexortError) -> None:
    codes = [d.code for d in refusal.diagnostics]
    if codes[0] in ("NX301", "NX302", "NX505"):
        found.refused += codes
    else:
        found.wrong.append(f"refused by an engine: {refusal.diagnostics[0].code} {refusal.diagnostics[0].message}")


def _limits(found: Findings, program: Program, effort: Effort, seed: int) -> None:
    """Exact evaluator against particles, and the better of the two against finite widths."""
    exact = exactly(program)
    particles = sampled(program, effort, seed)
    runs = simulated(program, effort, seed)
    found.methods += [e.method if e is not None else "sampled" for e in exact]

    @cache
    def second() -> tuple[list[Answer], list[list[Numbers]]]:
        return sampled(program, effort.greater, seed + 1), simulated(program, effort.greater, seed + 1)

    for k, show in enumerate(program.shows):
        e, kind = exact[k], "exact and particles"
        if e is not None:
            a, b = numbers(e), numbers(particles[k])
            off = found.look(kind, a, deviation(a, b), np.hypot(a.errors, b.errors))
            if off > SUSPECT:
                found.again += 1
                b = numbers(second()[0][k])
                off = worst(deviation(a, b))
            found.add(kind, show, off, f"{e.method} {a}, particles {b}")
        limit, at, kind = numbers(e or particles[k]), effort.at(program)[1], "limit and finite width"
        sizes, error = finite_deviation(limit, at, runs[k])
        off = found.look(kind, limit, sizes, error)
        if off > SUSPECT:
            found.again += 1
            limit, at, runs[k] = numbers(e or second()[0][k]), effort.greater.at(program)[1], second()[1][k]
            off = worst(finite_deviation(limit, at, runs[k])[0])
        by_width = "; ".join(f"n={n}: {m}" for n, m in zip(at, runs[k], strict=True))
        found.add(kind, show, off, f"limit {limit}; {by_width}")


def _finite_width(found: Findings, program: Program, effort: Effort, seed: int) -> None:
    found.wrong += compare_finite_width(program, seed)


def compare_finite_width(program: Program, seed: int = 0) -> list[str]:
    """The finite engine against dense NumPy with the same draws, as sentences about what differs."""
    wrong: list[str] = []
    wanted = [s.value for s in program.shows]
    draws = Draws(seed, 0, Sizes(12), np.dtype(float))
    truth = dense(program, reachable(wanted), draws)
    for store_pairs in (True, False):
        run = Run(plan(wanted, store_pairs), draws, {m: k for k, m in enumerate(program.matrices)})
        run.execute()
        for show in program.shows:
            expected, got = truth[show.value.id], run.fetch(show.value)
            if not np.allclose(got, expected, rtol=1e-8, atol=1e-8, equal_nan=True):
                wrong.append(f"finite engine: show {show.name} is {got}, dense NumPy says {expected}")
    return wrong


def _printed(found: Findings, program: Program, effort: Effort, seed: int) -> None:
    """The limit of the printed core; of every fourth program the limit again. Where digits differ, more particles decide."""
    options = Options(samples=effort.particles_printed, seed=seed, tol=np.inf)
    first = engine.limit(program, options).shows
    if seed % 4 == 0:
        for show, a, b in zip(program.shows, first, engine.limit(program, options).shows, strict=True):
            if not _same(a, b, 0.0):
                found.wrong.append(f"the same program again: show {show.name} is {numbers(a)}, then {numbers(b)}")
    text = to_nxt(program)
    outcome = checked(text)
    if outcome.program is None:
        found.wrong.append(f"printed core is refused: {[(d.code, d.message) for d in outcome.diagnostics]}\n{text}")
        return
    second = engine.limit(outcome.program, options).shows
    kind = "program and printed core"
    if not all(_same(a, b, 1e-12) for a, b in zip(first, second, strict=True) if a.method == "sampled"):
        found.again += 1
        options = replace(options, samples=min(effort.greater.particles_printed, effort.greater.at(program)[0]))
        first, second = engine.limit(program, options).shows, engine.limit(outcome.program, options).shows
    for show, a, b in zip(program.shows, first, second, strict=True):
        if a.method != b.method:
            found.methods.append(f"{a.method}, printed {b.method}")
        if a.method == b.method == "exact":
            if not np.allclose(numbers(a).values, numbers(b).values, rtol=1e-10, atol=1e-10):
                found.wrong.append(f"printed core: show {show.name} is {numbers(a)}, printed {numbers(b)}\n{text}")
        else:
            x, y = numbers(a), numbers(b)
            off = found.look(kind, x, deviation(x, y), np.hypot(x.errors, y.errors))
            found.add(kind, show, off, f"{x}, printed {y}\n{text}")


def _same(a: Answer, b: Answer, tolerance: float) -> bool:
    x, y = numbers(a), numbers(b)
    return np.allclose(x.values, y.values, tolerance, tolerance) and np.allclose(
        x.errors, y.errors, tolerance, tolerance
    )


# ---------------------------------------------------------------------------- small programs


def shrunk(text: str, fails: Callable[[str], bool]) -> str:
    """A smaller text that still fails: without stretches of lines, from the end, shorter and shorter ones, until no line goes."""
    lines = text.splitlines()
    stretch = max(1, len(lines) // 2)
    while True:
        smaller, k = False, len(lines)
        while k > 0:
            k = max(0, k - stretch)
            fewer = lines[:k] + lines[k + stretch :]
            candidate = "\n".join(fewer) + "\n"
            if fewer and checked(candidate).program is not None and fails(candidate):
                lines, smaller = fewer, True
        if stretch == 1 and not smaller:
            return "\n".join(lines) + "\n"
        stretch = max(1, stretch // 2)
