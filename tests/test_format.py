"""The formatter: same words, same meaning, one layout."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layouts import laid_out
from random_programs import program

from nexortlang.diagnostics import NexortError
from nexortlang.format.breaking import LIMIT
from nexortlang.format.formatter import formatted
from nexortlang.source import Source
from nexortlang.syntax.parser import parse
from nexortlang.syntax.tokens import scan

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    p
    for folder in ("examples", "stdlib", "tests/programs", "tests/syntax_programs")
    for p in (ROOT / folder).rglob("*.nxt")
)
TEXTS = [p.read_text("utf-8") for p in FILES]


def fmt(text: str) -> str:
    return formatted(Source("test.nxt", text))


def words(text: str) -> list[str]:
    return [text[t.start : t.end].rstrip(" \t") for t in scan(text) if t.kind != "LINE_END"]


def tree(text: str) -> object:
    found, mistakes = parse(Source("test.nxt", text))
    assert not mistakes
    return found


def assert_well_formatted(text: str) -> None:
    once = fmt(text)
    assert words(once) == words(text)
    assert tree(once) == tree(text)
    assert fmt(once) == once
    rows = once.splitlines()
    assert all(row == row.rstrip() and "\t" not in row.partition("#")[0] for row in rows)
    assert "\n\n\n\n" not in once.replace("\r", "") and not once.startswith(("\n", "\r"))
    assert once.endswith("\n") or not words(text)


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 1 << 32), st.booleans(), st.booleans())
def test_any_layout(seed: int, is_random: bool, breaks: bool) -> None:
    rng = Random(seed)
    text = program(rng) if is_random else rng.choice(TEXTS)
    assert_well_formatted(laid_out(rng, text, breaks=breaks))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 32), st.sampled_from(TEXTS))
def test_any_text(seed: int, text: str) -> None:
    """A text with something wrong in it is refused with the reason, or formatted like any other."""
    rng = Random(seed)
    start = rng.randrange(len(text))
    text = text[start : start + 400]
    for _ in range(rng.randrange(4)):
        k = rng.randrange(len(text) + 1)
        text = text[:k] + rng.choice(["", "\n    ", *"()[]<>|~=-*^.,:#'0₀ᵀ′⟨e\t\r"]) + text[k + rng.randrange(3) :]
    try:
        fmt(text)
    except NexortError as refused:
        assert all(d.code < "NX9" for d in refused.diagnostics)
        return
    assert_well_formatted(text)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 32))
def test_any_table(seed: int) -> None:
    """Arrays of numbers over several lines, some of them aligned, and their comments."""
    rng = Random(seed)
    rows = [
        [rng.choice(["1", "-2", "10", "0.5", "-1e-3", "x", "n/2"]) for _ in range(rng.choice([2, 3, 40]))]
        for _ in range(4)
    ]
    width = rng.choice([0, 4, 5])
    cells = (", ".join(cell.rjust(width) if rng.random() < 0.9 else cell.ljust(width) for cell in row) for row in rows)
    lines = (f"[{row}],{' ' * rng.choice([0, 0, 2])}{rng.choice(['', '# c'])}" for row in cells)
    assert_well_formatted("const X = [" + f"\n{' ' * rng.choice([10, 11, 11])}".join(lines) + "\n]\n")


@pytest.mark.parametrize("text", TEXTS)
def test_squeezed_programs(text: str) -> None:
    """Without any space that can go, and blocks indented by one."""
    assert_well_formatted(laid_out(Squeeze(0), text, breaks=False))


class Squeeze(Random):
    """Chooses the least of everything."""

    def random(self) -> float:
        return 0.39

    def choice(self, seq: Any) -> Any:
        return seq[0]


FORMS = [
    ("", ""),
    ("\n\n", ""),
    ("\ufeffx=1", "x = 1\n"),
    ("x=1\r\ny=2\n", "x = 1\r\ny = 2\r\n"),
    ("width  n", "width n\n"),
    ("const lr=.1", "const lr = .1\n"),
    ("W[n,n]~normal(0,2/n)", "W[n, n] ~ normal(0, 2/n)\n"),
    ("x = -a^-2+ +b ** 3", "x = -a^-2 + +b**3\n"),
    ("x=a*b / c+d@e%2", "x = a*b / c + d @ e%2\n"),
    ("x = lr/n *g", "x = lr/n * g\n"),
    ("x=not a<b and(c>=d or e!=f)", "x = not a < b and (c >= d or e != f)\n"),
    ("show< x|y >as  K", "show <x|y> as K\n"),
    ("K=<v |tanh(W@x)>", "K = <v | tanh(W @ x)>\n"),
    ("K = ⟨x|A |y⟩", "K = ⟨x|A | y⟩\n"),
    ("A=2*| x > < y |+W ᵀ", "A = 2*|x><y| + Wᵀ\n"),
    ("A = <u||x><y|@v>", "A = <u | |x><y| @ v>\n"),
    ("y = <x|(a>b)> >1", "y = <x|(a > b)> > 1\n"),
    ("y = x [ : , None ] [ 1 : 2 ] . T", "y = x[:, None][1:2].T\n"),
    ("y = 1 .T", "y = 1 .T\n"),
    ("y = sum ( A , axis = 0 )", "y = sum(A, axis=0)\n"),
    ("def f ( x , a=1 ) = g(x, b = a)", "def f(x, a = 1) = g(x, b=a)\n"),
    ("y = f((a ,), [ ], [1,2 ,])", "y = f((a,), [], [1, 2,])\n"),
    ("assert x~=1 within 1e-3", "assert x ~= 1 within 1e-3\n"),
    ("W[i,j]-=g[i]*x[j]", "W[i, j] -= g[i]*x[j]\n"),
    ("from a import(b,c as d)", "from a import (b, c as d)\n"),
    ("def f(x):\n  return x\n\n\n\n\ny=1", "def f(x):\n    return x\n\n\ny = 1\n"),
    ("if a:\n x=1\nelif b:\n   x=2\nelse:\n  for t in range(3):\n    ...", None),
    ("if a:\n  x=1\n  # in\n # in no block\n# out\ny=2", "if a:\n    x = 1\n    # in\n# in no block\n# out\ny = 2\n"),
    ("if a:\n# in, although it is not deeper\n  x=1", "if a:\n    # in, although it is not deeper\n    x = 1\n"),
    ("x=1 #a\t \n   # b", "x = 1  #a\n# b\n"),
    ("x = 1    # a\nyy = 2   # b", "x = 1    # a\nyy = 2   # b\n"),
    ("x=1  # a\nyyyy = 2 # b\n\nz=1  # c", "x = 1  # a\nyyyy = 2  # b\n\nz = 1  # c\n"),
    ("x = 1  # a\n       # goes on\n", "x = 1  # a\n       # goes on\n"),
    ("x=1   # a\nf(a,b)# b\nz=1   # a", "x = 1    # a\nf(a, b)  # b\nz = 1    # a\n"),
    ("U[n,3]  ~ normal(0, 1)\nW[n, n]~ normal(0, 1)\n", "U[n, 3] ~ normal(0, 1)\nW[n, n] ~ normal(0, 1)\n"),
    ("v[n]    ~ normal(0, 1)\nW[n, n] ~ normal(0, 1)\n", "v[n]    ~ normal(0, 1)\nW[n, n] ~ normal(0, 1)\n"),
    ("x    = 1\n\nlong = 2", "x = 1\n\nlong = 2\n"),
    ("x  = a  * b\nyy = ab * c", "x  = a  * b\nyy = ab * c\n"),
    ("A = [[ 1, 20],\n     [-1,  2]]", "A = [[ 1, 20],\n     [-1,  2]]\n"),
    ("A = [[1,   20],\n     [100, 2]]", "A = [[1,   20],\n     [100, 2]]\n"),
    ("A = [[1,2],\n[3,4]]", "A = [[1, 2],\n     [3, 4]]\n"),
    ("A=[\n[1,2],# one\n\n# two\n[3,4]\n ]", "A = [\n    [1, 2],  # one\n\n    # two\n    [3, 4]\n]\n"),
    ("x = f(a,\n  b)", "x = f(a,\n      b)\n"),
    ("  # alone", "# alone\n"),
    ("## doc\ndef f(x)=x", "## doc\ndef f(x) = x\n"),
    ("## doc of the file\n\ndef f(x)=x", "## doc of the file\n\ndef f(x) = x\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), FORMS)
def test_forms(text: str, wanted: str | None) -> None:
    if wanted is None:
        wanted = "if a:\n    x = 1\nelif b:\n    x = 2\nelse:\n    for t in range(3):\n        ...\n"
    assert fmt(text) == wanted
    assert fmt(wanted) == wanted


def test_long_lines_break_in_brackets() -> None:
    terms = [f"beta{k} * tanh(x{k})" for k in range(12)]
    text = f"y = sqrt({' + '.join(terms)}) + 1  # {'a long comment ' * 9}\n"
    once = fmt(text)
    rows = once.splitlines()
    assert len(rows) > 1 and all(len(row.partition("  #")[0]) <= LIMIT for row in rows)
    assert all(row.startswith("         + ") for row in rows[1:])
    assert_well_formatted(text)


def test_long_arrays_break_between_rows() -> None:
    matrix = [[k / 7 for k in range(6)] for _ in range(5)]
    rows = fmt(f"const A = {matrix}").splitlines()
    assert all(row.strip().startswith(("const A = [[", "[")) for row in rows) and max(map(len, rows)) <= LIMIT
    assert_well_formatted(f"const A = {matrix}")


def test_lines_without_brackets_stay() -> None:
    text = "y = " + " + ".join(f"x{k}" for k in range(60)) + "\n"
    assert fmt(text) == text
    braket = f"y = <{' + '.join(f'x{k}' for k in range(60))}|z>\n"
    assert fmt(braket) == braket


def test_large_programs() -> None:
    assert_well_formatted(f"const A = [{', '.join(str(k % 1000) for k in range(4000))}]")
    assert_well_formatted("".join(f"x{k}{' ' * (4 - len(str(k)))} = 1  # {k}\n" for k in range(600)))


def test_mistakes_are_told_with_their_places() -> None:
    with pytest.raises(NexortError) as found:
        fmt("x = (1 +\nshow y\nz = )\n")
    assert [(d.code, d.span.line if d.span else 0) for d in found.value.diagnostics] == [("NX002", 1), ("NX003", 3)]


BLOCK = re.compile(r"^```nxt\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_manual_is_formatted() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [match[1] for page in pages for match in BLOCK.finditer(page.read_text("utf-8"))]
    correct = [block for block in blocks if not parse(Source("", block))[1]]
    assert len(correct) > 10
    assert [block for block in correct if fmt(block) != block] == []
