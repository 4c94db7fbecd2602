"""Programs put through `nexort classify`'s stages, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from nexortlang.classify.classification import Activity, Classification, Training, classify
from nexortlang.core.program import Program, Scale, Value
from nexortlang.elaborate.program import elaborate
from nexortlang.elaborate.trace import Trace
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax.parser import parse


def traced(text: str) -> tuple[Program, Trace]:
    module, mistakes = parse(Source("net.nxt", text))
    trace = Trace()
    program, more = elaborate(module, Files(Path()), trace=trace)
    assert mistakes + more == []
    return program, trace


def classified(text: str) -> Classification:
    return classify(*traced(text))


def parameter(found: Classification, name: str) -> Training:
    return next(p for p in found.parameters if p.name == name)


def activity(found: Classification, label: str) -> Activity:
    return next(a for a in found.activities if a.quantity.label == label)


# ---------------------------------------------------------------------------- one program, other exponents

DIGIT = 1 << 12
T = TypeVar("T")


def symbol(k: int) -> int:
    """Stands for the k-th exponent (k ≥ 1) of a program whose exponents are put in later: sums of halves of up to 2 000 times each are told apart."""
    return DIGIT**k


class Template:
    """A program with symbols for exponents, elaborated once. Powers of n are exact in it, so that other exponents can be put in place of the symbols."""

    def __init__(self, text: str) -> None:
        self.program, self.trace = traced(text)
        self.values = list(self.program.values)

    def classified(self, exponents: list[Fraction]) -> Classification:
        """With these exponents for symbol(1), symbol(2), …"""
        return classify(*self._filled(lambda e: _meaning(e, exponents)))

    def _filled(self, meaning: Callable[[Fraction], Fraction]) -> tuple[Program, Trace]:
        new: list[Value] = []
        for v in self.values:
            changes: dict[str, Any] = {f.name: _moved(getattr(v, f.name), new) for f in fields(v)}
            if isinstance(v, Scale):
                changes["exponent"] = meaning(v.exponent)
            new.append(type(v)(**changes))
        t = self.trace
        gradients = {k: replace(g, value=new[g.value.id], loss=new[g.loss.id]) for k, g in t.gradients.items()}
        optimized = [replace(o, argument=new[o.argument.id], result=new[o.result.id]) for o in t.optimized]
        trace = Trace(gradients, optimized, [new[v.id] for v in t.shown], set(t.products))
        return Program(widths=self.program.widths, matrices=self.program.matrices, values=new), trace


def _moved(part: Any, new: list[Value]) -> Any:
    """A field of an instruction, with the operands that have been made anew."""
    if isinstance(part, tuple) and part and hasattr(part[0], "id"):
        return tuple(new[a.id] for a in part)
    return new[part.id] if hasattr(part, "id") and hasattr(part, "type") else part


def _meaning(e: Fraction, exponents: list[Fraction]) -> Fraction:
    """The combination of symbols and a constant, all with halves as coefficients, that e is, with other exponents for the symbols."""
    rest = 2 * e
    assert rest.denominator == 1
    total = Fraction(0)
    number = int(rest)
    for value in (Fraction(1), *exponents):
        digit = (number + DIGIT // 2) % DIGIT - DIGIT // 2
        total += Fraction(digit, 2) * value
        number = (number - digit) // DIGIT
    assert number == 0
    return total
