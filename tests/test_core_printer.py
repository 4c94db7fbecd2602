"""The core printer: what it prints reads back as the same core, or at least means the same at finite width."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
from finite_reference import run

from nexortlang.core.dependencies import reachable
from nexortlang.core.printer import to_nxt
from nexortlang.core.program import Const, InitScalar, InitVector, MatMul, Program, Value, operands
from nexortlang.core.surface_text import BUILTIN_NAMES, Names, array, as_name, number, rearranged
from nexortlang.core.verify import verify
from nexortlang.driver import Request, check
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.entrywise.ops import OPS
from nexortlang.source import Source

ROOT = Path(__file__).parent.parent
FILES = [*sorted((ROOT / "examples").glob("*.nxt")), *sorted((ROOT / "tests" / "programs").glob("*.nxt"))]


def elaborated(text: str, folder: Path = ROOT) -> Program:
    outcome = check(Source("text.nxt", text), Request(folder=folder))
    assert outcome.program is not None, (
        "\n".join(f"{d.span.line if d.span else '?'}: {d.message}" for d in outcome.diagnostics) + "\n" + text
    )
    return outcome.program


def asked(program: Program) -> list[Value]:
    """What the program shows and asserts."""
    return [s.value for s in program.shows] + [side for a in program.assertions for side in (a.value, a.target)]


def signature(program: Program) -> list[int]:
    """What the program asks for as numbers: equal for cores that differ in names and dead code only."""
    numbers: dict[Hashable, int] = {}
    found: dict[int, int] = {}
    draws: list[Value] = []
    matrices = list(
        dict.fromkeys(m for m in program.matrices for v in program.values if isinstance(v, MatMul) and v.matrix is m)
    )
    for v in reachable(asked(program)):
        key: list[Hashable] = [type(v).__name__, v.type.power, v.type.shape, [a for a, _ in v.type.axes].__repr__()]
        key += [found[a.id] for a in operands(v)]
        if isinstance(v, InitVector | InitScalar):
            draws.append(v)
            key += [len(draws), v.law, v.mean.tobytes(), v.variance.tobytes()]
        if isinstance(v, MatMul):
            key += [matrices.index(v.matrix), v.members.tobytes(), v.transposed]
        if isinstance(v, Const):
            key.append(v.array.tobytes())
        for attribute in ("op", "spec", "axis", "slots", "exponent"):
            key.append(getattr(v, attribute, None))
        if hasattr(v, "index"):
            key.append(v.index.tobytes())
        found[v.id] = numbers.setdefault(tuple(key), len(numbers))
    return [found[v.id] for v in asked(program)] + [len(numbers)]


def means_the_same(first: Program, second: Program, n: int = 12) -> None:
    """Both give the same numbers at a finite width, from the same draws."""
    results = []
    for program in (first, second):
        arrays = run(program, n, seed=3, values=reachable(asked(program)))
        results.append([arrays[v.id] for v in asked(program)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_programs_read_back_as_the_same_core(path: Path) -> None:
    program = elaborated(path.read_text(), path.parent)
    assert verify(program) == []
    text = to_nxt(program)
    again = elaborated(text)
    assert verify(again) == []
    means_the_same(program, again)
    assert signature(again) == signature(program), text
