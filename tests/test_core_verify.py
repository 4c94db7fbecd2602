"""The verifier finds what is broken, and the table of instructions has a row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest

from nexortlang.core.build import Builder
from nexortlang.core.program import Map, Program, Show, Type, Value, Width
from nexortlang.core.table import BY_NAME
from nexortlang.core.verify import verify
from nexortlang.source import Source, Span

n, m = Width("n"), Width("m")
SPAN = Span(Source("", ""), 0, 0)


def sound() -> Program:
    """A small program with most instructions."""
    b = Builder()
    b.program.widths += [n, m]
    W = b.matrix("W", m, n, np.ones(2), "normal")
    x = b.init_vector("x", n, "normal", np.zeros(2), np.ones(2))
    h = b.matmul(W, np.arange(2), False, x)
    g = b.map("tanh", b.einsum("a,ab->b", h, b.const(np.eye(2))))
    c = b.inner("a,b->ab", g, b.concat([b.gather(g, np.array([1])), b.gather(g, np.array([0]))]))
    y = b.avg(b.map("tanh", b.mul(x, b.rename(g, {0: 1}))), [1])
    f = b.fluctuation(b.scale(b.scale(y, Fraction(-1, 2)), Fraction(1, 2)))
    b.program.shows.append(Show("scalar", "c", b.add(b.reduce("max", c, 0), f), 0, (), SPAN))
    return b.program


def test_a_sound_program_has_no_violations() -> None:
    assert verify(sound()) == []


def swapped(program: Program) -> None:
    program.values[-1], program.values[-2] = program.values[-2], program.values[-1]


def wrong_type(program: Program) -> None:
    program.values[-1] = replace(program.values[-1], type=Type((), (5,)))


def growing_show(program: Program) -> None:
    b = Builder(program)
    value = b.scale(program.shows[0].value, Fraction(1, 2))
    program.shows.append(replace(program.shows[0], value=value))


def nonlinearity_of_a_power(program: Program) -> None:
    b = Builder(program)
    b.map("tanh", b.scale(program.values[0], Fraction(1)))


def two_widths_on_a_slot(program: Program) -> None:
    vectors = {v.type.width: v for v in program.values if v.type.is_vector}
    t = Type(((0, n),), (2,))
    program.values.append(Map(type=t, op="add", args=(vectors[n], vectors[m]), id=len(program.values)))


def undeclared(program: Program) -> None:
    program.widths.remove(m)


def lost_matrix(program: Program) -> None:
    program.matrices.clear()


BREAKS: list[tuple[Callable[[Program], None], str]] = [
    (swapped, "do not stand before it"),
    (wrong_type, "by the rules it is"),
    (growing_show, "power 1/2"),
    (nonlinearity_of_a_power, "tanh of an operand whose power of n is not 0"),
    (two_widths_on_a_slot, "slot 0 ranges over n and m"),
    (undeclared, "not declared"),
    (lost_matrix, "W is not of the program"),
]


@pytest.mark.parametrize(("damage", "said"), BREAKS, ids=lambda p: getattr(p, "__name__", ""))
def test_a_broken_program_is_found_out(damage: Callable[[Program], None], said: str) -> None:
    program = sound()
    damage(program)
    assert any(said in line for line in verify(program)), verify(program)


def test_every_instruction_has_a_row() -> None:
    assert set(BY_NAME) == {c.__name__ for c in get_args(Value)}
