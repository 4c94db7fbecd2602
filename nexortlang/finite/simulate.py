"""A program run several times at one width: what each run says of everything shown.

In: a core program, a width, how many runs. Out: a `Simulation`, one `Sample` per show. Guarantees: the same seed gives the same numbers on the same machine, and the first runs of many are the runs
of few; a width that does not fit memory is refused (NX505) before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.core.program import Program, Show, Value
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.finite.covariance import covariance, is_linear, is_random, needed
from nexortlang.finite.draws import Draws
from nexortlang.finite.plan import Plan, bytes_needed, largest, plan
from nexortlang.finite.run import Run
from nexortlang.finite.sizes import Sizes
from nexortlang.settings import available_memory

Progress: TypeAlias = Callable[[str], None]
Kind: TypeAlias = Literal["scalar", "distribution", "covariance"]

MEMORY_SHARE = 0.9
MOST_COORDINATES = 4096
"""Coordinates kept of a shown distribution, per run: as many evenly spaced order statistics."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run a program: independent runs, their seed, the numbers that vectors and matrices are made of."""

    seeds: int = 10
    seed: int = 0
    dtype: Literal["float64", "float32"] = "float64"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the runs say of one show.

    `values`: runs first. A scalar's value of each run; a covariance's estimate by each run, whose mean is the estimate; of a vector's distribution the
    coordinates of each run in increasing order, (runs, coordinates, *shape); of a random scalar's distribution one draw per run, (runs, 1, *shape).
    `random`: it stays random in the limit, so runs differ at every width. `conditional`: a covariance given the vectors and matrices of each run.
    """

    kind: Kind
    values: np.ndarray
    random: bool
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """`samples`: in the order of program.shows."""

    sizes: Sizes
    samples: list[Sample]


class Simulator:
    """A program, ready to be run at several widths."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self._program = program
        self._settings = settings
        self._dtype: np.dtype[np.floating] = np.dtype(settings.dtype)
        self._random: dict[int, bool] = {}
        self._linear = [s.kind == "covariance" and is_linear(s.value, self._random) for s in program.shows]
        wanted = [self._wanted(s, linear) for s, linear in zip(program.shows, self._linear, strict=True)]
        everything: list[Value] = [v for values in wanted for v in values]
        self._plans = [plan(everything, store_pairs) for store_pairs in (True, False)]
        self._numbers = {m: k for k, m in enumerate(program.matrices)}

    def _wanted(self, show: Show, linear: bool) -> list[Value]:
        return needed(show.value, self._random) if linear else [show.value]

    def require_memory(self, width: int) -> None:
        """Refuses a width that does not fit."""
        self._plan_at(Sizes(width))

    def simulate(self, width: int, progress: Progress | None = None) -> Simulation:
        """All runs at one width."""
        sizes = Sizes(width)
        p = self._plan_at(sizes)
        seeds = self._settings.seeds
        rows: list[list[np.ndarray]] = [[] for _ in self._program.shows]
        for k in range(seeds):
            if progress:
                progress(f"width {width}: run {k + 1} of {seeds}")
            run = Run(p, Draws(self._settings.seed, k, sizes, self._dtype), self._numbers)
            with np.errstate(all="ignore"):  # infinite or not a number: shown as such
                run.execute()
                for row, show, linear in zip(rows, self._program.shows, self._linear, strict=True):
                    row.append(self._told(run, show, linear, sizes))
        return Simulation(
            sizes, [self._sample(*parts) for parts in zip(self._program.shows, rows, self._linear, strict=True)]
        )

    def _plan_at(self, sizes: Sizes) -> Plan:
        """The plan that stores what averages share, if there is memory for it; else the other, or NX505."""
        free, kept = int(MEMORY_SHARE * available_memory()), self._kept_bytes(sizes)
        for p in self._plans:
            needs = bytes_needed(p, sizes, self._dtype.itemsize) + kept
            if needs <= free:
                return p
        v = largest(p.order, sizes)
        raise NexortError(
            Diagnostic(
                "NX505",
                f"width {sizes.n} needs {_amount(needs)} of memory, and the machine has {_amount(available_memory())} left",
                v.span,
                hint="take " + " or ".join(self._remedies(2 * kept > needs)),
            )
        )

    def _remedies(self, runs_need_most: bool) -> list[str]:
        """What makes a program fit."""
        smaller = ["--dtype float32"] if self._dtype.itemsize == 8 and not runs_need_most else []
        return ["a smaller width", *smaller, *(["fewer seeds"] if runs_need_most else [])]

    def _kept_bytes(self, sizes: Sizes) -> int:
        """What is kept of all runs."""
        numbers = 0
        for show in self._program.shows:
            size = prod(show.value.type.shape)
            if show.kind == "covariance":
                numbers += size**2
            elif show.kind == "distribution" and show.value.type.axes:
                numbers += size * min(MOST_COORDINATES, sizes.of(show.value.type.width))
            else:
                numbers += size
        return 8 * numbers * self._settings.seeds

    def _told(self, run: Run, show: Show, linear: bool, sizes: Sizes) -> np.ndarray:
        """What one run says of a show."""
        if linear:
            return covariance(show.value, run.fetch, sizes.n, self._random)
        array = run.fetch(show.value)
        if show.kind == "distribution":
            return _order_statistics(array) if show.value.type.axes else array[None]
        return array

    def _sample(self, show: Show, rows: Sequence[np.ndarray], linear: bool) -> Sample:
        values = np.stack(rows).astype(float)
        if show.kind == "covariance" and not linear:
            values = _products(values)
        return Sample(show.kind, values, is_random(show.value, self._random), linear)


def _products(values: np.ndarray) -> np.ndarray:
    """Products of deviations whose mean over runs is the sample covariance; nan for one run."""
    flat = (values - values.mean(axis=0)).reshape(len(values), -1)
    products = flat[:, :, None] * flat[:, None, :] * (len(flat) / (len(flat) - 1) if len(flat) > 1 else np.nan)
    return products.reshape(len(values), *values.shape[1:] * 2)


def _order_statistics(array: np.ndarray) -> np.ndarray:
    """The coordinates in increasing order; of very many the quantiles at evenly spaced probabilities."""
    ordered = np.sort(array, axis=0)
    if len(ordered) <= MOST_COORDINATES:
        return ordered
    places = (np.arange(MOST_COORDINATES) + 0.5) / MOST_COORDINATES * len(ordered)
    return np.asarray(ordered[places.astype(int)])


def _amount(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
