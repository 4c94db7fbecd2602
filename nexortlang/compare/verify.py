"""The verdict: does a program's limit agree with its finite-width runs?

In: a core program, its limit, simulations at several widths. Out: a `Comparison`, one `Compared` for each `show` of the source. Guarantees: the
errors of both sides enter; so many numbers are judged at once that chance alone makes a wrong verdict in one of a hundred programs at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nexortlang.compare.bias import bias_rate
from nexortlang.compare.measure import Measured, Role, measure
from nexortlang.compare.statistics import Series, deviations, extrapolate, rms, slope, threshold
from nexortlang.core.program import Program, Show, Value
from nexortlang.finite.simulate import Simulation
from nexortlang.kets.results import LimitResult, Method, least_exact

_LIMIT_FREEDOM = {"exact": np.inf, "quadrature": np.inf, "sampled": 7.0}
"""Degrees of freedom of a limit's error: the particles' eight randomisations."""
_SPREAD: dict[Role, float] = {"number": 0.5, "distance": 0.5, "square": 1.0}
"""The exponents of 1/n in the spread of what runs give."""
_ROUNDING = {"float64": 1e-9, "float32": 1e-4}
"""What arithmetic may lose, relative to the largest entry."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of number of a show: its limits, means and standard errors at each width (widths, numbers), and at infinite width; `deviations` in standard errors."""

    name: str
    role: Role
    limits: np.ndarray
    limit_errors: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    extrapolated: np.ndarray
    extrapolated_errors: np.ndarray
    deviations: np.ndarray

    @property
    def deviation(self) -> float:
        """The largest, 0 of nothing."""
        return float(np.max(np.abs(self.deviations), initial=0.0))


@dataclass(frozen=True, slots=True)
class Compared:
    """One `show` of the source. Per width, root mean squares over its numbers: `distance` of a run from the limit, `spread` of the runs, `bias` of their mean.

    For a distribution `distance` is Wasserstein's, where the limit tells its quantile function. `rate` and `spread_rate` are the fitted exponents of n.
    """

    parts: list[Part]
    distance: np.ndarray
    spread: np.ndarray
    bias: np.ndarray
    rate: float
    spread_rate: float

    @property
    def deviation(self) -> float:
        """The largest deviation, in standard errors (0 of nothing)."""
        return max((p.deviation for p in self.parts), default=0.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`count`: numbers judged. `threshold`: the deviation from which one is called wrong."""

    widths: tuple[int, ...]
    seeds: int
    compared: list[Compared]
    count: int
    threshold: float

    def agrees(self, c: Compared) -> bool:
        return c.deviation <= self.threshold

    def worst(self, c: Compared) -> tuple[Part, int]:
        """The number that deviates most, and of which part it is; a squared distance only where the number itself agrees."""
        parts = [p for p in c.parts if p.deviations.size]
        numbers = [p for p in parts if p.role != "square"]
        off = max(p.deviation for p in numbers)
        part = max(numbers if off > self.threshold else parts, key=lambda p: p.deviation)
        return part, int(np.argmax(np.abs(part.deviations)))

    @property
    def agree(self) -> bool:
        return all(self.agrees(c) for c in self.compared)


class Comparer:
    """Takes in one simulation after the other, keeping only what is compared."""

    def __init__(self, program: Program, limit: LimitResult, seeds: int, dtype: str) -> None:
        self._program = program
        self._limit = limit
        self._seeds = seeds
        self._rounding = _ROUNDING[dtype]
        self._measured: dict[int, list[list[Measured]]] = {}

    def add(self, simulation: Simulation) -> None:
        """What one width says."""
        found = [measure(s, a) for s, a in zip(simulation.samples, self._limit.shows, strict=True)]
        self._measured[simulation.sizes.n] = _by_statement(self._program.shows, found)

    def comparison(self) -> Comparison:
        """The verdict over all widths."""
        widths = sorted(self._measured)
        with np.errstate(all="ignore"):  # what overflows at finite width is no number, and disagrees
            compared = [
                self._compare(widths, rate, method, [self._measured[n][k] for n in widths])
                for k, (rate, method) in enumerate(self._statements())
            ]
        count = sum(p.limits.size for c in compared for p in c.parts)
        return Comparison(tuple(widths), self._seeds, compared, count, threshold(count))

    def _statements(self) -> list[tuple[float, Method]]:
        """For each `show` of the source how fast its bias falls, and how its limit was obtained."""
        values: dict[int, list[Value]] = {}
        methods: dict[int, Method] = {}
        for show, answer in zip(self._program.shows, self._limit.shows, strict=True):
            values.setdefault(show.statement, []).append(show.value)
            methods[show.statement] = least_exact(methods.get(show.statement, "exact"), answer.method)
        return [(bias_rate(values[k]), method) for k, method in methods.items()]

    def _compare(
        self, sizes: Sequence[int], rate: float, method: Method, measured: Sequence[Sequence[Measured]]
    ) -> Compared:
        """`measured`: per width, the parts of one show."""
        widths = np.array(sizes, dtype=float)
        scale = max(
            (float(np.max(np.abs([*m.runs, m.limits]), initial=0.0)) for ms in measured for m in ms), default=0.0
        )
        parts = [self._part(same, widths, rate, method, scale) for same in zip(*measured, strict=True)]
        numbers = [[m for m in ms if m.role == "number"] for ms in measured]
        runs = [np.concatenate([m.runs for m in ms], axis=1) for ms in numbers]
        limits = [np.concatenate([m.limits for m in ms]) for ms in numbers]
        distances = [[m.runs for m in ms if m.role == "distance"] for ms in measured]
        away = [np.concatenate(d or [r - limit], axis=1) for d, r, limit in zip(distances, runs, limits, strict=True)]
        distance = np.array([float(rms(a.reshape(-1))) for a in away])
        spread = np.array([float(rms(r.std(axis=0, ddof=1))) for r in runs])
        bias = np.array([float(rms(r.mean(axis=0) - lim)) for r, lim in zip(runs, limits, strict=True)])
        return Compared(parts, distance, spread, bias, slope(widths, distance), slope(widths, spread))

    def _part(
        self, measured: Sequence[Measured], widths: np.ndarray, rate: float, method: Method, scale: float
    ) -> Part:
        """One kind of number at all widths; `scale`: the size of the largest of the show."""
        first = measured[0]
        means = np.stack([m.runs.mean(axis=0) for m in measured])
        scatter = np.stack([m.runs.std(axis=0, ddof=1) for m in measured]) / self._seeds**0.5
        errors = np.maximum(scatter, np.stack([m.floor for m in measured]))
        series = Series(widths, means, errors, self._seeds - 1)
        fitted = extrapolate(series, min(rate, 0.5) if first.kinked else rate, _SPREAD[first.role] * (not first.random))
        rounding = np.full_like(first.limits, self._rounding * scale)
        off = deviations(fitted, first.limits, first.limit_errors, _LIMIT_FREEDOM[method], rounding)
        if first.role == "square":  # of order 1/n it falls below 0 by extrapolation: that is no deviation
            off = np.maximum(off, 0.0)
        return Part(
            first.part, first.role, first.limits, first.limit_errors, means, errors, fitted.values, fitted.errors, off
        )


def _by_statement(shows: Sequence[Show], found: Sequence[list[Measured]]) -> list[list[Measured]]:
    """The parts of each `show` of the source, its executions joined: those that all of them have.

    A covariance, for one, has more where it is found anew at every width from what is given than where it is the scatter of the runs.
    """
    statements: dict[int, list[list[Measured]]] = {}
    for show, parts in zip(shows, found, strict=True):
        statements.setdefault(show.statement, []).append(parts)
    return [[_joined(same) for same in _common(runs)] for runs in statements.values()]


def _common(executions: Sequence[Sequence[Measured]]) -> list[list[Measured]]:
    """Part by part what the executions of one `show` measured."""
    named = [{m.part: m for m in parts} for parts in executions]
    return [[parts[m.part] for parts in named] for m in executions[0] if all(m.part in parts for parts in named)]


def _joined(parts: Sequence[Measured]) -> Measured:
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        runs=np.concatenate([p.runs for p in parts], axis=1),
        limits=np.concatenate([p.limits for p in parts]),
        limit_errors=np.concatenate([p.limit_errors for p in parts]),
        floor=np.concatenate([p.floor for p in parts]),
        random=any(p.random for p in parts),
        kinked=any(p.kinked for p in parts),
    )
