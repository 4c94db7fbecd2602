"""What a run's answers say about the program: asserts that fail (NX304), a tolerance that was not reached (NX305).

In: a core program and the engine's answers. Out: diagnostics at the statements concerned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nexortlang.core.program import Assertion, Program
from nexortlang.diagnostics import Diagnostic
from nexortlang.kets.results import Distribution, Estimate, LimitResult
from nexortlang.report.numbers import number

SIGMAS = 3.0
"""An assert fails when it is off by more than its tolerance and this many standard errors."""


def verdict(program: Program, result: LimitResult, tol: float) -> list[Diagnostic]:
    """Failed asserts in source order, then the warning about the tolerance."""
    return [*_asserts(program, result), *_tolerance(program, result, tol)]


def _asserts(program: Program, result: LimitResult) -> Iterator[Diagnostic]:
    for assertion, (value, target) in zip(program.assertions, result.assertions, strict=True):
        error = np.hypot(value.stderr, target.stderr)
        off = np.abs(value.value - target.value)
        holds = off <= assertion.tolerance + SIGMAS * error  # false also where anything is not a number
        if not np.all(holds):
            yield _failure(assertion, value, target, holds, off)


def _failure(assertion: Assertion, value: Estimate, target: Estimate, holds: np.ndarray, off: np.ndarray) -> Diagnostic:
    """The entry that is furthest off speaks for the array."""
    shape = holds.shape
    worst = np.unravel_index(np.argmax(np.where(holds, -1.0, np.nan_to_num(off, nan=np.inf))), shape)

    def entry(a: np.ndarray) -> float:
        return float(np.broadcast_to(a, shape)[worst])

    found = number(entry(value.value), entry(value.stderr))
    expected = number(entry(target.value), entry(target.stderr))
    where = f" at [{', '.join(map(str, worst))}] ({np.sum(~holds)} of {holds.size} entries fail)" if shape else ""
    return Diagnostic(
        "NX304",
        f"the assert fails: expected {expected} within {number(entry(assertion.tolerance))}, found {found}{where}",
        assertion.span,
        hint=f"it is off by {float(off[worst]):.3g}; the value is {value.method}",
    )


def _tolerance(program: Program, result: LimitResult, tol: float) -> Iterator[Diagnostic]:
    if result.reached:
        return
    sampled = [(_largest(a), s) for s, a in zip(program.shows, result.shows, strict=True) if a.method == "sampled"]
    worst, show = max(sampled, key=lambda pair: pair[0], default=(None, None))
    found = f"found {worst:.2g} for {show.name}" if show and worst is not None else "found more in an assert"
    yield Diagnostic(
        "NX305",
        f"the tolerance is not reached: expected a standard error of at most {tol:g}, {found}",
        show.span if show else None,
        hint="ask for less with --tol, or for more: --patience minutes, --samples particles",
        severity="warning",
    )


def _largest(answer: Estimate | Distribution) -> float:
    return float(np.max(answer.stderr, initial=0.0))
