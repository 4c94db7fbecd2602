"""What is written down of a training program whose powers of n are followed instead of required (`nexort classify`).

An elaborator that keeps a `Trace` refuses no power of n: matrices of any variance, updates and arguments of any order go through as they stand at
finite width. Gradients are opaque in it: a gradient is a value of its own, the operand of a `stop` that is noted here, so that no algebra mixes
what it was computed from with what is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nexortlang.core.build import Builder
from nexortlang.core.program import Const, Value
from nexortlang.source import Span

ParameterKind: TypeAlias = Literal["matrix", "vector", "scalar"]


@dataclass(frozen=True, slots=True)
class Gradient:
    """One grad(loss, name). `value` is what it was found to be; programs see a stop of it."""

    name: str
    kind: ParameterKind
    value: Value
    loss: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Optimized:
    """One call of an optimizer: the gradients that it was given, and what it made of them."""

    optimizer: str
    argument: Value
    result: Value
    span: Span


MOST_STEPS = 12
"""Losses that are followed. Powers of n repeat after a few steps: what grows has grown by then."""


@dataclass(slots=True)
class Trace:
    """`gradients` by the id of their stop; `shown`: what the program shows; `products`: ids of all A @ x with a named matrix A;
    `left_out`: passes of training loops that were not run."""

    gradients: dict[int, Gradient] = field(default_factory=dict)
    optimized: list[Optimized] = field(default_factory=list)
    shown: list[Value] = field(default_factory=list)
    products: set[int] = field(default_factory=set)
    left_out: int = 0

    @property
    def steps(self) -> int:
        """How many losses have been differentiated."""
        return len({g.loss.id for g in self.gradients.values()})

    def ends_loop(self, before: int, passes: int) -> bool:
        """Whether a loop in which gradients were taken (`before`: the steps when it began) needs its remaining passes no more."""
        if self.steps == before or self.steps < MOST_STEPS:
            return False
        self.left_out += passes
        return True

    def gradient(self, b: Builder, found: Gradient) -> Value:
        """The opaque value of a gradient, noted; a plain number (0, mostly) stays one."""
        if isinstance(found.value, Const):
            return found.value
        opaque = b.map("stop", found.value)
        self.gradients[opaque.id] = found
        return opaque
