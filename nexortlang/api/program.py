"""Programs as Python objects: read, checked, run at infinite and at finite width.

In: a program's text or file, values for its consts. Out: `Program`, whose methods answer as `nexort` does. Guarantees: what the command would print as errors is raised
as NexortError with the same diagnostics; an argument outside its range is a ValueError, before anything runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from nexortlang import driver, experiments
from nexortlang.api.results import (
    Limit,
    RunError,
    Simulation,
    Verification,
    of_comparison,
    of_limit,
    of_simulation,
)
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.accident import accident
from nexortlang.driver import Outcome, Request
from nexortlang.finite.simulate import Settings
from nexortlang.reading import read_source
from nexortlang.settings import DEFAULT_MAX_STEPS, PATIENCE, RECURSION_LIMIT
from nexortlang.source import Source

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Dtype = Literal["float64", "float32"]
A = TypeVar("A", Limit, Simulation, Verification)


def load(
    path: str | os.PathLike[str],
    *,
    settings: Mapping[str, ArrayLike] | None = None,
    max_steps: int = DEFAULT_MAX_STEPS,
) -> Program:
    """The program in a file. `settings` gives top-level consts other values, as --set does: numbers or arrays, by name.

    What the program loads or imports is looked for beside the file. Raises NexortError if the file cannot be read (NX501) or is no UTF-8 text (NX502); what is
    wrong in the program is told by its methods.
    """
    name = os.fspath(path)
    return Program(read_source(name), Path(name).parent, dict(settings or {}), max_steps)


def loads(
    text: str,
    *,
    folder: str | os.PathLike[str] = ".",
    name: str = "<string>",
    settings: Mapping[str, ArrayLike] | None = None,
    max_steps: int = DEFAULT_MAX_STEPS,
) -> Program:
    """The program of this text. It loads and imports from `folder`; diagnostics call it `name`."""
    return Program(Source(name, text), Path(folder), dict(settings or {}), max_steps)


def run(
    source: str,
    *,
    tol: float = 1e-3,
    samples: int | None = None,
    patience: float = PATIENCE,
    seed: int = 0,
    settings: Mapping[str, ArrayLike] | None = None,
    folder: str | os.PathLike[str] = ".",
) -> Limit:
    """The infinite-width limit of a program given as text: `loads(source, …).limit(…)`."""
    if source.endswith(".nxt") and "\n" not in source:
        raise ValueError(f"run takes the text of a program; for the file use nexortlang.load({source!r}).limit()")
    return loads(source, folder=folder, settings=settings).limit(tol=tol, samples=samples, patience=patience, seed=seed)


@dataclass(frozen=True, eq=False)
class Program:
    """A program with values for its consts; made by `load` and `loads`.

    It is read once and checked once, at the first use. Every method but `check` raises NexortError with all that is wrong in the program.
    """

    source: Source = field(repr=False)
    folder: Path
    settings: Mapping[str, ArrayLike] = field(default_factory=dict)
    max_steps: int = DEFAULT_MAX_STEPS

    @property
    def text(self) -> str:
        """The program as it was read."""
        return self.source.text

    def with_settings(self, settings: Mapping[str, ArrayLike] | None = None, /, **named: ArrayLike) -> Program:
        """The same program with other values for some consts: `program.with_settings(lr=0.2)`."""
        return replace(self, settings={**self.settings, **(settings or {}), **named})

    def check(self) -> tuple[Diagnostic, ...]:
        """Everything that is wrong, without running it: errors and warnings in the order of the text, none for a right program. Raises nothing."""
        return tuple(self._checked.diagnostics)

    def core(self) -> str:
        """The core program, itself the text of a valid program with the same limit."""
        outcome = self._right()
        from nexortlang.core.printer import to_nxt

        assert outcome.program is not None
        with _deep():
            return to_nxt(outcome.program)

    def derive(self, *, latex: bool = False, steps: int | None = 2) -> str:
        """The limit as equations in bra-ket notation: text of 80 columns, or a LaTeX document. Of every loop the first `steps` passes are written out (None: all)."""
        steps = None if steps is None else _whole("steps", steps, 1)
        self._right()
        with _deep():
            outcome, derivation = driver.derive(self.source, self._request(), steps)
            if derivation is None:
                raise NexortError(*outcome.diagnostics)
            if latex:
                from nexortlang.derive.latex import latex as document

                return document(derivation, Path(self.source.name).name)
            from nexortlang.derive.text import text

            return text(derivation)

    def limit(
        self, *, tol: float = 1e-3, samples: int | None = None, patience: float = PATIENCE, seed: int = 0
    ) -> Limit:
        """The infinite-width limit of everything shown.

        `tol`: the standard error to reach where sampling is needed; `samples`: so many particles instead of as many as tol asks for; `patience`: about how many minutes of two cores
        sampling may take for that (measured by operations, not by a clock); `seed`: of the sampling, same seed, same numbers. A tolerance that is not reached is a warning (NX305) in `diagnostics`.

        Raises RunError, with the results, where an assert fails (NX304); NexortError where there is no result at all: an infinite expectation (NX301), a limit that does not exist (NX302), too little memory (NX505).
        """
        request = self._request(tol, samples, patience, seed)
        checked = self._right()
        with _deep():
            outcome = driver.limit(checked, request)
        if outcome.shown is None or outcome.program is None:
            raise NexortError(*outcome.diagnostics)
        failed = sum(d.code == "NX304" for d in outcome.diagnostics)
        holding = len(outcome.program.assertions) - failed
        return _told(of_limit(outcome.shown, holding, _warnings(outcome.diagnostics)), outcome.diagnostics)

    def simulate(
        self, width: int = experiments.WIDTH, *, seeds: int = experiments.SEEDS, seed: int = 0, dtype: Dtype = "float64"
    ) -> Simulation:
        """Runs at a finite width: `seeds` independent ones, the first width of the program as wide as `width`, others in ratio.

        Asserts, which are about the limit, are left alone. Raises NexortError, NX505, for a width that does not fit memory.
        """
        settings = _settings(seeds, seed, dtype)
        width = _whole("width", width, 1)
        checked = self._right()
        with _deep():
            found = experiments.simulate(checked, settings, width)
        if found.simulation is None or found.program is None:
            raise NexortError(*found.diagnostics)
        answer = of_simulation(found.program, found.simulation, settings, _warnings(found.diagnostics))
        return _told(answer, found.diagnostics)

    def verify(
        self,
        widths: Sequence[int] = experiments.WIDTHS,
        *,
        seeds: int = experiments.VERIFY_SEEDS,
        tol: float = 1e-3,
        samples: int | None = None,
        patience: float = PATIENCE,
        seed: int = 0,
        dtype: Dtype = "float64",
    ) -> Verification:
        """The limit against `seeds` runs at each of at least two widths. Ask the answer whether they `agree`: a disagreement is no exception.

        Raises as `limit` and `simulate` do.
        """
        request, settings = (
            self._request(tol, samples, patience, seed),
            _settings(_whole("seeds", seeds, 2), seed, dtype),
        )
        wanted = sorted({_whole("widths", w, 1) for w in widths})
        if len(wanted) < 2:
            raise ValueError(f"widths: expected at least two, found {list(widths)}")
        checked = self._right()
        with _deep():
            found = experiments.verify(checked, request, settings, wanted)
        if found.shown is None or found.comparison is None:
            raise NexortError(*found.diagnostics)
        answer = of_comparison(found.shown, found.comparison, _warnings(found.diagnostics))
        return _told(answer, [d for d in found.diagnostics if d.code != "NX306"])

    def _request(
        self, tol: float = 1e-3, samples: int | None = None, patience: float = PATIENCE, seed: int = 0
    ) -> Request:
        for name, number in (("tol", tol), ("patience", patience)):
            if not (isfinite(number) and number > 0):
                raise ValueError(f"{name}: expected a positive number, found {number}")
        samples = None if samples is None else _whole("samples", samples, 1)
        seed = _whole("seed", seed, 0)
        return Request(self.folder, self.settings, float(tol), samples, seed, self.max_steps, float(patience))

    @cached_property
    def _checked(self) -> Outcome:
        try:
            with _deep():
                return driver.check(self.source, Request(self.folder, self.settings, max_steps=self.max_steps))
        except NexortError as error:
            return Outcome(list(error.diagnostics))

    def _right(self) -> Outcome:
        """What was checked. Raises NexortError if it is wrong."""
        if self._checked.program is None:
            raise NexortError(*self._checked.diagnostics)
        return self._checked

    def __reduce__(self) -> tuple[type[Program], tuple[object, ...]]:
        """A copy elsewhere checks anew: the core is a deep graph."""
        return Program, (self.source, self.folder, self.settings, self.max_steps)


# ---------------------------------------------------------------------------- what methods share


@contextmanager
def _deep() -> Iterator[None]:
    """Room for long expressions, given back at the end; the end of memory or of the stack as a diagnostic."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    except (MemoryError, RecursionError) as error:
        raise NexortError(accident(error)) from None
    finally:
        sys.setrecursionlimit(before)


def _settings(seeds: int, seed: int, dtype: Dtype) -> Settings:
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype: expected 'float64' or 'float32', found {dtype!r}")
    return Settings(_whole("seeds", seeds, 1), _whole("seed", seed, 0), dtype)


def _whole(name: str, value: int, least: int) -> int:
    """Any integer type's value."""
    try:
        found = index(value)
    except TypeError:
        raise ValueError(f"{name}: expected a whole number, found {value!r}") from None
    if found < least:
        raise ValueError(f"{name}: expected at least {least}, found {found}")
    return found


def _warnings(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    return [d for d in diagnostics if d.severity == "warning"]


def _told(answer: A, diagnostics: Sequence[Diagnostic]) -> A:
    """The answer, unless something failed."""
    errors = [d for d in diagnostics if d.severity == "error"]
    if errors:
        raise RunError(*errors, results=answer)
    return answer
