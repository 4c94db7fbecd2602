"""The limit engine: every shown and asserted thing by the best evaluator that serves it.

In: a core program and options. Out: a `LimitResult`. The exact evaluator (closed forms and quadrature) is asked first, target by target; what it
declines goes to the particles, all of it in one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

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

if TYPE_CHECKING:
    from nexortlang.kets.particles.hats import Hats
    from nexortlang.kets.particles.randomisation import Kept

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
    """For one program. If it `grows`, what the exact evaluator has computed, what was sampled and the particles themselves are kept, so that they are not computed anew."""

    def __init__(self, grows: bool = False) -> None:
        self.exact = ExactLimit()
        self._grows = grows
        self._kept: Kept | None = None
        self._hats: Hats | None = None
        self._known: dict[tuple[Kind, int, Options], tuple[Estimate | Distribution, bool]] = {}

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
            sampled, reached = self._sampled(program, [targets[k] for k in left], options, progress)
            for k, answer in zip(left, sampled, strict=True):
                found[k] = answer
        answers = [a for a in found if a is not None]
        for target, answer in zip(targets, answers, strict=True):
            _refuse_undefined(target, answer)
        return answers, reached

    def _sampled(
        self, program: Program, targets: list[_Target], options: Options, progress: Progress | None
    ) -> tuple[list[Estimate | Distribution], bool]:
        """What was sampled with these options before is not sampled again."""
        from nexortlang.kets.particles import replicates
        from nexortlang.kets.particles.hats import Hats
        from nexortlang.kets.particles.randomisation import Kept

        if self._hats is None:
            self._hats = Hats(self.exact)
        if self._grows and self._kept is None:
            self._kept = Kept()
        wanted = {(t.kind, t.value.id, options): replicates.Target(t.kind, t.value) for t in targets}
        new = [key for key in wanted if key not in self._known]
        if new:
            with np.errstate(all="ignore"):
                answers, reached = replicates.run(
                    program, [wanted[key] for key in new], options, progress, self._kept, self._hats
                )
            self._known.update((key, (answer, reached)) for key, answer in zip(new, answers, strict=True))
        found = [self._known[t.kind, t.value.id, options] for t in targets]
        return [answer for answer, _ in found], all(reached for _, reached in found)

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
