"""From source text to results, one stage after the other.

In: a source and what is asked of it. Out: an `Outcome`, the core program, what was shown, and every diagnostic of every stage.
Guarantees: no stage prints, exits or lets a NexortError through; a stage runs only on what the one before found right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.settings import DEFAULT_MAX_STEPS, PATIENCE
from nexortlang.source import Source

if TYPE_CHECKING:
    import numpy as np

    from nexortlang.classify.classification import Classification
    from nexortlang.core.program import Program
    from nexortlang.derive.equations import Derivation
    from nexortlang.elaborate.program import Elaborator
    from nexortlang.kets.engine import LimitEngine
    from nexortlang.report.shown import Shown
    from nexortlang.syntax.ast import Module

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a program: values for its consts, how exactly, with which randomness, how long it may run."""

    folder: Path = Path()
    settings: Mapping[str, object] = field(default_factory=dict)
    tol: float = 1e-3
    samples: int | None = None
    seed: int = 0
    max_steps: int = DEFAULT_MAX_STEPS
    patience: float = PATIENCE


@dataclass(slots=True)
class Outcome:
    """How far a program came. `program` is there if it is right, `shown` if its limit was computed."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    program: Program | None = None
    shown: list[Shown] | None = None

    @property
    def is_wrong(self) -> bool:
        return any(d.severity == "error" for d in self.diagnostics)


def check(source: Source, request: Request) -> Outcome:
    """source → parse → elaborate: the core program, or what is wrong."""
    outcome = Outcome()
    module = _parsed(source, outcome)
    if module is not None:
        _elaborated(module, request, outcome)
    return outcome


def _parsed(source: Source, outcome: Outcome) -> Module | None:
    """The syntax tree, if the text has no mistake."""
    from nexortlang.syntax.parser import parse

    try:
        module, outcome.diagnostics = parse(source)
    except NexortError as error:
        outcome.diagnostics += error.diagnostics
    return None if outcome.is_wrong else module


def _elaborated(module: Module, request: Request, outcome: Outcome) -> Elaborator | None:
    """The elaborator with the program, which is in the outcome, too; None if the program is wrong."""
    from nexortlang.elaborate.program import elaborated
    from nexortlang.files import Files

    try:
        found, mistakes = elaborated(module, Files(request.folder), request.settings, request.max_steps)
        outcome.diagnostics += mistakes
    except NexortError as error:
        found = None
        outcome.diagnostics += error.diagnostics
    if found is None or outcome.is_wrong:
        return None
    outcome.program = found.program
    return found


def classify(source: Source, request: Request) -> tuple[Classification | None, list[Diagnostic]]:
    """source → parse → elaborate, following powers of n → the regime that the program is in, or what is wrong with it."""
    from nexortlang.classify.classification import classify as classified
    from nexortlang.elaborate.program import elaborate
    from nexortlang.elaborate.trace import Trace
    from nexortlang.files import Files
    from nexortlang.syntax.parser import parse

    outcome = Outcome()
    try:
        module, outcome.diagnostics = parse(source)
        if not outcome.is_wrong:
            trace, files = Trace(), Files(request.folder)
            program, mistakes = elaborate(module, files, dict(request.settings), request.max_steps, trace)
            outcome.diagnostics += mistakes
        if not outcome.is_wrong:
            return classified(program, trace), outcome.diagnostics
    except NexortError as error:
        outcome.diagnostics += error.diagnostics
    return None, outcome.diagnostics


def derive(source: Source, request: Request, steps: int | None) -> tuple[Outcome, Derivation | None]:
    """source → check → the limit as equations, the first `steps` passes of every loop (None: all)."""
    from nexortlang.derive.equations import derive as derived
    from nexortlang.elaborate.program import Elaborator
    from nexortlang.files import Files

    outcome = Outcome()
    module = _parsed(source, outcome)
    found = None if module is None else _elaborated(module, request, outcome)
    if module is None or found is None:
        return outcome, None
    body = module.body

    def program(settings: Mapping[str, np.ndarray]) -> Program | None:
        """With other values for consts, wherever they are declared."""
        other = Elaborator(Files(request.folder), {**request.settings, **settings}, request.max_steps)
        return None if any(d.severity == "error" for d in other.run(body)) else other.program

    return outcome, derived(found.program, consts=found.consts, elaborate=program, steps=steps)


def run(source: Source, request: Request, progress: Progress | None = None) -> Outcome:
    """source → check → limit → results and verdict."""
    return limit(check(source, request), request, progress)


def limit(checked: Outcome, request: Request, progress: Progress | None = None) -> Outcome:
    """What was checked → limit → results and verdict; the first outcome stays as it is."""
    from nexortlang.kets.engine import LimitEngine

    outcome = Outcome(list(checked.diagnostics), checked.program)
    take_limit(outcome, LimitEngine(), request, progress)
    return outcome


def take_limit(outcome: Outcome, engine: LimitEngine, request: Request, progress: Progress | None) -> None:
    """program → limit → results and verdict, added to the outcome."""
    from nexortlang.kets.results import Options
    from nexortlang.report.shown import gather
    from nexortlang.report.verdict import verdict

    program = outcome.program
    if program is None:
        return
    try:
        result = engine.run(program, Options(request.tol, request.samples, request.seed, request.patience), progress)
        outcome.shown = gather(program, result)
        outcome.diagnostics += verdict(program, result, request.tol)
    except NexortError as error:
        outcome.diagnostics += error.diagnostics
