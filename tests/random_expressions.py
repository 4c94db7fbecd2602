"""Random entrywise expressions, as text, with what is known of them.

In: a source of random choices and the terms that may occur. Out: a `Term`. Guarantees: finite shapes broadcast; sizes stay of order one (what has grown is scaled or
squashed), tails fall as fast as a Gaussian's square at least, and no function jumps where its argument may have an atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from random import Random
from typing import TypeVar

import numpy as np

T = TypeVar("T")

Shape = tuple[int, ...]

MOST_ENTRIES = 6
UNARY = {
    "tanh({e})": 1.0,
    "erf({e})": 1.0,
    "relu({e})": 0.0,
    "sin({e})": 1.0,
    "cos({e})": 1.0,
    "abs({e})": 0.0,
    "sigmoid({e})": 1.0,
    "gelu({e})": 0.0,
    "silu({e})": 0.0,
    "leaky_relu({e}, 0.2)": 0.0,
    "0.5 * softplus({e})": 0.0,
    "clip({e}, -1, 1.5)": 1.0,
    "exp(-({e})^2)": 1.0,
    "({e}) / (1 + ({e})^2)": 1.0,
    "log(1 + ({e})^2)": 0.0,
}
"""Functions with their bound, 0 for none."""
JUMPS = ("sign({e})", "step({e})", "({e} > 0.3)", "where({e} > 0, {o}, 0.5)")


@dataclass(frozen=True, slots=True)
class Term:
    """An expression. `dense`: its coordinate has a density, so that a function may jump there. `solid`: its variance is far from 0."""

    text: str
    shape: Shape
    size: float = 1.0
    degree: int = 1
    dense: bool = False
    solid: bool = False

    @property
    def count(self) -> int:
        return prod(self.shape)


def joint(*shapes: Shape) -> Shape | None:
    """The shape that finite shapes broadcast to; None if they do not, or to too much."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return shape if prod(shape) <= MOST_ENTRIES else None


class Expressions:
    """Writes expressions. Choices are whole numbers, which shrink well. `functions`: names of entrywise definitions."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._functions: list[str] = []

    # -- choices

    def _one_in(self, k: int) -> bool:
        return self._rng.randrange(k) == k - 1

    def _pick(self, options: Sequence[T]) -> T:
        return options[self._rng.randrange(len(options))]

    def _number(self, *options: str) -> str:
        return self._pick(options or ("0.5", "0.3", "0.8", "-0.4", "1"))

    def _expression(self, atoms: Sequence[Term], depth: int, within: Shape | None = None) -> Term:
        """A random entrywise expression of size about 1. `within`: a shape that its shape must broadcast into."""
        usable = [a for a in atoms if within is None or joint(a.shape, within) == within]
        if not usable:
            return Term("0.4", (), 0.4, 0)
        return self._normalised(self._free(usable, depth))

    def _free(self, atoms: Sequence[Term], depth: int) -> Term:
        atom = atoms[self._rng.randrange(len(atoms))]
        if depth == 0:
            return atom
        kind = self._rng.randrange(10)
        if kind <= 3:
            return self._applied(self._free(atoms, depth - 1))
        if kind == 4 and atom.dense:
            other = self._free(atoms, depth - 1)
            return self._jump(atom, other)
        if kind <= 7:
            return self._joined(self._free(atoms, depth - 1), self._free(atoms, depth - 1))
        e = self._free(atoms, depth - 1)
        number = self._number()
        if kind == 8:
            return replace(e, text=f"{number} * {factor(e.text)}", size=abs(float(number)) * e.size)
        return Term(f"({e.text} + {signed(number)})", e.shape, e.size + abs(float(number)), e.degree, e.dense, e.solid)

    def _applied(self, e: Term) -> Term:
        if self._functions and self._one_in(4):
            return Term(f"{self._functions[0]}({e.text})", e.shape, e.size * 1.5, e.degree)
        form = self._pick(list(UNARY))
        bound = UNARY[form]
        solid = e.dense and form.startswith(("tanh", "erf", "relu", "abs", "cos", "leaky"))
        size = min(bound, e.size) if bound else e.size
        return Term(form.format(e=e.text), e.shape, max(size, 0.5), 0 if bound else e.degree, False, solid)

    def _jump(self, e: Term, other: Term) -> Term:
        form = self._pick(JUMPS)
        if "{o}" not in form:
            return Term(form.format(e=e.text), e.shape, 1.0, 0, False, True)
        shape = joint(e.shape, other.shape)
        if shape is None:
            return Term(f"sign({e.text})", e.shape, 1.0, 0, False, True)
        return Term(form.format(e=e.text, o=other.text), shape, max(0.5, other.size), other.degree)

    def _joined(self, a: Term, b: Term) -> Term:
        shape = joint(a.shape, b.shape)
        if shape is None:
            return a
        match self._rng.randrange(6):
            case 0 | 1:
                return Term(f"({a.text} + {b.text})", shape, a.size + b.size, max(a.degree, b.degree))
            case 2:
                return Term(f"({a.text} - {factor(b.text)})", shape, a.size + b.size, max(a.degree, b.degree))
            case 3 | 4 if a.degree + b.degree <= 2:
                return Term(f"{factor(a.text)} * {factor(b.text)}", shape, a.size * b.size * 1.3, a.degree + b.degree)
            case 5:
                name = self._number("max", "min")
                return Term(f"{name}({a.text}, {b.text})", shape, max(a.size, b.size), max(a.degree, b.degree))
            case _:
                return Term(
                    f"({a.text} + {b.text}) / sqrt(1 + 0.5 * {factor(b.text)}^2)",
                    shape,
                    a.size + 1.5,
                    max(1, a.degree),
                )

    def _normalised(self, e: Term) -> Term:
        if e.size <= 2.0 and e.degree <= 2:
            return e
        if e.degree > 1 or self._one_in(2):
            return Term(f"{self._number('tanh', 'erf', 'sin')}({e.text})", e.shape, 1.0, 0)
        return Term(f"({e.text}) / {e.size:.3g}", e.shape, 1.0, e.degree, e.dense)

    def _pair_body(self, a: Term, b: Term) -> Term:
        shape = joint(a.shape, b.shape)
        if shape is None:
            b = replace(b, text=f"sum({b.text})", shape=(), size=2 * b.size)
            shape = joint(a.shape, b.shape) or a.shape
        bounded = self._number("tanh({e})", "erf({e})", "sin({e})", "cos({e})", "sigmoid({e})", "exp(-({e})^2)")
        linear = self._number("relu({e})", "abs({e})", "{e}", "gelu({e})")
        inside = self._number("{a} * {b}", "{a} + {b}", "0.7 * {a} - {b}").format(a=factor(a.text), b=factor(b.text))
        if self._one_in(3) and max(a.degree, b.degree) <= 1 and "*" not in inside[4:]:
            return Term(linear.format(e=f"({inside})"), shape, a.size + b.size, 1)
        if self._one_in(5) and a.dense and b.dense:
            return Term(f"sign({inside})", shape, 1.0, 0)
        return Term(bounded.format(e=inside), shape, 1.0, 0)


def at(t: Term, index: str) -> Term:
    """A vector in index notation."""
    return replace(t, text=f"{t.text}[{index}]")


def factor(text: str) -> str:
    """In parentheses if it is no name or call."""
    depth = 0
    for k, letter in enumerate(text):
        depth += letter in "([<"
        depth -= letter in ")]>"
        if depth == 0 and letter in " |+-":
            return f"({text})"
        if depth == 0 and letter == ")" and k < len(text) - 1 and text[k + 1] not in "[":
            return f"({text})"
    return text


def signed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number
