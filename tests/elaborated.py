"""Elaborated programs for tests: what names are bound to, and the arrays that they are at a finite width.

`Finite(text)` runs the core of a program with dense NumPy arrays (finite_reference), so that a test can compare every name with what the same
draws give in plain NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from finite_reference import draw, evaluate, size

from nexortlang.core.program import InitScalar, InitVector, Program, Type, Value
from nexortlang.core.verify import verify
from nexortlang.diagnostics import Diagnostic
from nexortlang.elaborate import operators
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.program import Elaborator, elaborate
from nexortlang.elaborate.values import ConstVal, Surface, is_core
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax import ast
from nexortlang.syntax.parser import parse


def tree(text: str) -> ast.Module:
    module, mistakes = parse(Source("test.nxt", text))
    assert not mistakes, mistakes
    return module


def elaborated(
    text: str, folder: Path = Path(), settings: Mapping[str, object] | None = None, **options: int
) -> tuple[Program, list[Diagnostic]]:
    return elaborate(tree(text), Files(folder), settings or {}, **options)


def program(text: str, folder: Path = Path(), settings: Mapping[str, object] | None = None) -> Program:
    """The core of a program without mistakes, verified."""
    found, mistakes = elaborated(text, folder, settings)
    assert not mistakes, [(d.code, d.message) for d in mistakes]
    assert not verify(found)
    return found


def codes(text: str, folder: Path = Path()) -> list[tuple[str, int]]:
    """(code, line) of every mistake."""
    _, mistakes = elaborated(text, folder)
    return [(d.code, d.span.line if d.span else 0) for d in mistakes]


class Names:
    """What the names of a program are bound to."""

    def __init__(self, text: str, folder: Path = Path()) -> None:
        self.elaborator = Elaborator(Files(folder))
        mistakes = self.elaborator.run(tree(text).body)
        assert not mistakes, [(d.code, d.message) for d in mistakes]
        assert not verify(self.program)

    @property
    def program(self) -> Program:
        return self.elaborator.program

    def __getitem__(self, name: str) -> Surface:
        return self.elaborator._context.frame.names[name].value

    def value(self, name: str) -> Value:
        """The core value of a name, that of an outer product's entries included."""
        found = self[name]
        if isinstance(found, Operator):
            found = operators.entries(self.elaborator._context.builder, found)
        assert is_core(found), found
        return found

    def type(self, name: str) -> Type:
        return self.value(name).type

    def const(self, name: str) -> np.ndarray:
        found = self[name]
        assert isinstance(found, ConstVal) and found.power == 0
        return found.array


class Finite(Names):
    """The same at width n: `run[name]`, and the draws by the names they have in the source."""

    def __init__(self, text: str, n: int = 4, folder: Path = Path()) -> None:
        super().__init__(text, folder)
        self.n = n
        rng = np.random.default_rng(1)
        matrices, self.draws = {}, {}
        for m in self.program.matrices:
            shape = (*m.shape, size(m.rows, n), size(m.cols, n))
            deviation = np.sqrt(m.variance / size(m.cols, n))[..., None, None]
            matrices[m] = self.draws[m.name] = deviation * draw(m.law, np.zeros(()), np.ones(()), shape, rng)
        self._matrices, self._rng = matrices, rng
        self._arrays: dict[int, np.ndarray] = {}
        self._catch_up()

    def _catch_up(self) -> None:
        for v in self.program.values[len(self._arrays) :]:
            self._arrays[v.id] = evaluate(v, self._arrays, self._matrices, self.n, self._rng)
            if isinstance(v, InitVector | InitScalar) and v.variance.any():
                self.draws[v.name] = self._arrays[v.id]

    def array(self, name: str) -> np.ndarray:
        found = self[name]
        if isinstance(found, ConstVal):
            return found.array * float(self.n) ** float(found.power)
        v = self.value(name)
        self._catch_up()
        return self._arrays[v.id]
