"""What the Python interface answers: one record per `show`, in sequences that are also read by name.

Out: frozen dataclasses of NumPy arrays (float64). Everything shown is of order 1 in n, a pure number without a unit. In every array the axes of the loops
around the `show` come first (`loops`, the outermost first), then the finite axes of what is shown; of a covariance the finite axes stand twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar, overload

import numpy as np

from nexortlang.compare.verify import Compared, Comparison, Part
from nexortlang.core.program import Program
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.render import render
from nexortlang.finite.simulate import Settings
from nexortlang.finite.simulate import Simulation as Runs
from nexortlang.kets.results import Distribution, Method
from nexortlang.report import comparison, simulation, text
from nexortlang.report.shown import Shown

Kind = Literal["scalar", "distribution", "covariance"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What all answers have in common.

    `name`: as in `show … as name`, else the expression's text. `line`: of the statement, from 1. `kind`: what was shown. `loops`: the lengths of the
    loop axes, () outside loops. `value`, `stderr`: arrays of one shape; the value of a distribution is its mean.
    `distribution`: all that is known of a distribution (variance, quantiles, …), None of other kinds.
    `float(answer)` is a single number, `numpy.asarray(answer)` the value.
    """

    name: str
    line: int
    kind: Kind
    loops: tuple[int, ...]
    value: np.ndarray
    stderr: np.ndarray
    distribution: Distribution | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of every array: loop axes, then finite axes."""
        return self.value.shape

    def __float__(self) -> float:
        """The value, if it is a single number (else TypeError)."""
        return float(self.value)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype=dtype) if copy else np.asarray(self.value, dtype=dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Result(Answer):
    """A limit. `method`: "exact" (closed form, stderr 0), "quadrature" (stderr bounds the error) or "sampled" (stderr is a standard error); the least exact of a series."""

    method: Method


@dataclass(frozen=True, slots=True, eq=False)
class Simulated(Answer):
    """What runs at a finite width say. `value`: the mean over runs, `stderr` its standard error, `deviation` the standard deviation between runs (both nan for one run).

    A covariance is estimated over runs, or given the vectors and matrices of each run, exactly over the outputs' weights: then `conditional` is true.
    """

    deviation: np.ndarray
    conditional: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """How the runs of one `show` compare with its limit.

    `deviation`: how far its worst number, extrapolated to infinite width, is from the limit, in standard errors; `agrees` if that is not above the
    threshold. Per width, shape (widths,), root mean squares over its numbers: `distance` of a run from the limit, `spread` between runs,
    `bias` of their mean. `rate`, `spread_rate`: the exponents of n that fit distance and spread. `parts`: the numbers
    behind it, value by value (of a distribution: mean, variance, quantiles); their arrays have the limit's shape, per width the widths first.
    """

    limit: Result
    agrees: bool
    deviation: float
    distance: np.ndarray
    spread: np.ndarray
    bias: np.ndarray
    rate: float
    spread_rate: float
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return self.limit.name


V = TypeVar("V", Result, Simulated, Verified)


@dataclass(frozen=True, eq=False)
class Results(Sequence[V], Generic[V]):
    """One answer per `show` of the source, in order of first execution: `results[0]`, or by name `results["K"]`.

    A name that no `show` has, or that several have, is a KeyError. `diagnostics`: warnings. `report`: what the command prints, 80 columns wide.
    """

    results: tuple[V, ...]
    diagnostics: tuple[Diagnostic, ...]
    report: str = field(repr=False)

    @property
    def names(self) -> list[str]:
        return [r.name for r in self.results]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[V]:
        return iter(self.results)

    @overload
    def __getitem__(self, key: int | str) -> V: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[V, ...]: ...
    def __getitem__(self, key: int | str | slice) -> V | tuple[V, ...]:
        if not isinstance(key, str):
            return self.results[key]
        found = [r for r in self.results if r.name == key]
        if len(found) != 1:
            why = "several shows have this name, take one by its position" if found else f"shown: {self.names}"
            raise KeyError(f"{key} ({why})")
        return found[0]

    def __repr__(self) -> str:
        return f"{self.report}{render(self.diagnostics)}".rstrip("\n") or "nothing is shown"


@dataclass(frozen=True, eq=False, repr=False)
class Limit(Results[Result]):
    """The infinite-width limit of everything shown. `asserts`: how many asserts hold; one that fails is a RunError."""

    asserts: int


@dataclass(frozen=True, eq=False, repr=False)
class Simulation(Results[Simulated]):
    """Runs at one width. `widths`: the size of each width, by name; `runs`: how many; `dtype`: the numbers they computed with."""

    widths: Mapping[str, int]
    runs: int
    dtype: Literal["float64", "float32"]


@dataclass(frozen=True, eq=False, repr=False)
class Verification(Results[Verified]):
    """The limit against runs at several widths. `agree`: whether no show disagrees. `numbers` are judged at once, against the `threshold` in standard errors
    from which chance alone calls one of a hundred right programs wrong."""

    agree: bool
    widths: tuple[int, ...]
    runs: int
    numbers: int
    threshold: float


class RunError(NexortError):
    """The program ran, and an assert failed (NX304). `results` is what it showed nevertheless."""

    def __init__(self, *diagnostics: Diagnostic, results: Limit | Simulation | Verification | None = None) -> None:
        super().__init__(*diagnostics)
        self.results = results


# ---------------------------------------------------------------------------- from the stages' records


def of_limit(shown: Sequence[Shown], asserts: int, warnings: Sequence[Diagnostic]) -> Limit:
    """Gathered answers of the engine, as results."""
    return Limit(tuple(map(_result, shown)), tuple(warnings), text.report(shown, asserts), asserts)


def of_simulation(program: Program, runs: Runs, settings: Settings, warnings: Sequence[Diagnostic]) -> Simulation:
    """Runs at one width, as results."""
    return Simulation(
        tuple(Simulated(*_common(t.shown), t.deviation, t.conditional) for t in simulation.told(program, runs)),
        tuple(warnings),
        simulation.report(program, runs, settings, 80),
        {w.name: runs.sizes.of(w) for w in program.widths},
        settings.seeds,
        settings.dtype,
    )


def of_comparison(shown: Sequence[Shown], c: Comparison, warnings: Sequence[Diagnostic]) -> Verification:
    """A comparison, as results."""
    return Verification(
        tuple(_verified(s, x, c.agrees(x)) for s, x in zip(shown, c.compared, strict=True)),
        tuple(warnings),
        comparison.report(shown, c, 80),
        c.agree,
        c.widths,
        c.seeds,
        c.count,
        c.threshold,
    )


def _common(s: Shown) -> tuple[str, int, Kind, tuple[int, ...], np.ndarray, np.ndarray, Distribution | None]:
    """The fields of an Answer."""
    a = s.answer
    if isinstance(a, Distribution):
        return s.name, s.span.line, s.kind, s.loops, a.mean, a.stderr, a
    return s.name, s.span.line, s.kind, s.loops, a.value, a.stderr, None


def _result(s: Shown) -> Result:
    return Result(*_common(s), s.answer.method)


def _verified(s: Shown, x: Compared, agrees: bool) -> Verified:
    parts = tuple(_shaped(p, s.shape) for p in x.parts)
    return Verified(
        _result(s), agrees, x.deviation, x.distance, x.spread, x.bias, float(x.rate), float(x.spread_rate), parts
    )


def _shaped(p: Part, shape: tuple[int, ...]) -> Part:
    """The numbers of a part, flat in the comparison, in the shape of what was shown."""

    def shaped(a: np.ndarray) -> np.ndarray:
        return a.reshape(a.shape[:-1] + shape)

    return replace(
        p,
        limits=shaped(p.limits),
        limit_errors=shaped(p.limit_errors),
        means=shaped(p.means),
        errors=shaped(p.errors),
        extrapolated=shaped(p.extrapolated),
        extrapolated_errors=shaped(p.extrapolated_errors),
        deviations=shaped(p.deviations),
    )
