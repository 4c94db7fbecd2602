"""The limit engine: every shown and asserted thing by the best evaluator that serves it.

In: a core program and options. Out: a `LimitResult`. The exact evaluator (closed forms and quadrature) is asked first, target by target; what it
declines goes to the particles, all of it in one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nexortlang.core.program import Program, Value
from nexortlang.diagnostics import Diagnostic, Label, NexortError
from nexortlang.kets import summaries
from nexortlang.kets.exact.atoms import NotStructured
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import JumpAtAtom
from nexortlang.kets.exact.quadrature import Divergent
from nexortlang.kets.results import Distribution, Estimate, LimitResult, Options
from nexortlang.kets.summaries import Kind
from nexortlang.source import Span

Progress = Callable[[str], None]


def limit(program: Program, options: Options | None = None, progress: Progress | None = None) -> LimitResult:
    """The infinite-width limit of everything shown and asserted.

    Raises NexortError for an expectation that is infinite (NX301), a jump at an atom (NX302) and more memory than there
    is (NX505).
    """
    return LimitEngine().run(program, options or Options(), progress)


class _Target(NamedTuple):
    """What a statement asks for."""

    kind: Kind
    value: Value
    span: Span


class LimitEngine:
    """Keeps what the exact evaluator has computed: a program that has grown is not computed anew."""

    def __init__(self) -> None:
        self.exact = ExactLimit()

    def run(self, program: Program, options: Options, progress: Progress | None = None) -> LimitResult:
        targets = [_Target(s.kind, program.limit_of(s.value), s.span) for s in program.shows]
        for a in program.assertions:
            targets += [_Target("scalar", program.limit_of(side), a.span) for side in (a.value, a.target)]
        answers, reached = self._answer(program, targets, options, progress)
        shown, checked = answers[: len(program.shows)], answers[len(program.shows) :]
        pairs = [
            (v, t)
            for v, t in zip(checked[::2], checked[1::2], strict=True)
            if isinstance(v, Estimate) and isinstance(t, Estimate)
        ]
        return LimitResult(shown, pairs, reached)

    def _answer(
        self, program: Program, targets: list[_Target], options: Options, progress: Progress | None
    ) -> tuple[list[Estimate | Distribution], bool]:
        found = [self._exactly(t) for t in targets]
        left = [k for k, answer in enumerate(found) if answer is None]
        reached = True
        if left:
            from nexortlang.kets.particles import replicates

            with np.errstate(all="ignore"):
                wanted = [replicates.Target(targets[k].kind, targets[k].value) for k in left]
                sampled, reached = replicates.run(program, wanted, options, progress)
            for k, answer in zip(left, sampled, strict=True):
                found[k] = answer
        answers = [a for a in found if a is not None]
        for target, answer in zip(targets, answers, strict=True):
            _refuse_undefined(target, answer)
        return answers, reached

    def _exactly(self, target: _Target) -> Estimate | Distribution | None:
        try:
            with np.errstate(all="ignore"):  # infinities are refused where they arise, not warned of
                return summaries.summarise(self.exact, target.kind, target.value)
        except NotStructured:
            return None
        except Divergent as reason:
            raise NexortError(
                _at(target, "NX301", f"this expectation is infinite or not a number: {reason}")
            ) from reason
        except JumpAtAtom as reason:
            message = "a function jumps where its argument is constant in the limit: finite widths blur it, the limit does not exist"
            raise NexortError(_at(target, "NX302", message)) from reason


def _at(target: _Target, code: str, message: str) -> Diagnostic:
    """A mistake in what a statement asks for; where another line computed it, that one is named too."""
    made = target.value.span
    labels = (Label(made, "computed here"),) if made is not None and made.line != target.span.line else ()
    return Diagnostic(code, message, target.span, labels)


def _refuse_undefined(target: _Target, answer: Estimate | Distribution) -> None:
    numbers = answer.value if isinstance(answer, Estimate) else answer.mean
    if not np.isfinite(numbers).all():
        raise NexortError(_at(target, "NX301", "this limit is infinite or not a number"))
