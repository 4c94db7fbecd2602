"""Colours: every character of any text has a class, and every word of the language its own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_programs import programs

from nexortlang.core.program import Law
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.elaborate.values import Builtin
from nexortlang.syntax.highlight import CLASSES, highlight
from nexortlang.syntax.table import table
from nexortlang.syntax.words import CONSTANTS, DECLARATIONS, FUNCTIONS, LAWS, LOGIC

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("examples/*.nxt"), *ROOT.glob("stdlib/*.nxt"), *ROOT.glob("tests/programs/**/*.nxt")])
PIECES = [
    "<",
    "|",
    ">",
    "⟨",
    "⟩",
    "(",
    ")",
    "[",
    "]",
    "x",
    "f(",
    "=",
    "~",
    " ",
    "\n",
    "# a\n",
    "## b\n",
    "def ",
    "show ",
]
PIECES += [
    '"a',
    "'",
    "1e",
    "0.5",
    "ᵀ",
    ".",
    "...",
    "\t",
    "\r\n",
    "\r",
    "\ufeff",
    "½",
    "avg",
    "normal",
    "²",
    "\0",
    "𝒳",
    ">=",
    "==",
]


def words(text: str) -> list[tuple[str, str]]:
    """The words with their classes, spaces left out."""
    return [(text[r.start : r.end], r.kind) for r in highlight(text) if r.kind != "text"]


def classes(text: str) -> str:
    return " ".join(kind for _, kind in words(text))


def test_the_words_are_the_languages() -> None:
    assert {name for name, value in BUILTINS.items() if isinstance(value, Builtin)} == FUNCTIONS
    assert set(BUILTINS) - FUNCTIONS | {"None"} == CONSTANTS
    assert set(get_args(Law)) == LAWS
    assert table().reserved >= DECLARATIONS | LOGIC
    assert not table().reserved & (FUNCTIONS | CONSTANTS | LAWS)


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_every_character_has_one_class(text: str) -> None:
    regions = highlight(text)
    assert [r.start for r in regions] == [0, *[r.end for r in regions]][: len(regions)]
    assert (regions[-1].end if regions else 0) == len(text)
    assert all(r.start < r.end and r.kind in CLASSES for r in regions)


@given(programs())
def test_programs_have_no_errors(program: str) -> None:
    assert "error" not in {r.kind for r in highlight(program)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_files_have_no_errors(path: Path) -> None:
    assert "error" not in {r.kind for r in highlight(path.read_text("utf-8"))}


@pytest.mark.parametrize("word", sorted(table().reserved))
def test_reserved_words(word: str) -> None:
    wanted = "declaration" if word in DECLARATIONS else "logic" if word in LOGIC else "keyword"
    assert words(word) == [(word, wanted)]


FORMS = [
    ("# a", "comment"),
    ("## a", "doc"),
    ("x = relu(h)", "name operator builtin punctuation name punctuation"),
    ("f(h, relu)", "function punctuation name punctuation builtin punctuation"),
    (
        "def f(x, a = 1) = x",
        "declaration function punctuation name punctuation argument operator number punctuation operator name",
    ),
    ("optimizer o(g):", "declaration function punctuation name punctuation punctuation"),
    ("lr = 1", "name operator number"),
    ("sum(A, axis=0)", "builtin punctuation name punctuation argument operator number punctuation"),
    ("avg[i](x)", "builtin punctuation name punctuation punctuation name punctuation"),
    ("c ~ normal(0, 1)", "name operator law punctuation number punctuation number punctuation"),
    ("normal = 1", "name operator number"),
    ("c ~= normal", "name operator name"),
    ("W.T", "name punctuation property"),
    ("Wᵀ", "name operator"),
    ("layers.relu(x)", "name punctuation function punctuation name punctuation"),
    ("x[:, None]", "name punctuation punctuation punctuation constant punctuation"),
    ("x[...]", "name punctuation constant punctuation"),
    ('load("a.csv")', "builtin punctuation string punctuation"),
    ("<x|y>", "braket name braket name braket"),
    ("⟨x|A|y⟩", "braket name braket name braket name braket"),
    ("a < b", "name operator name"),
    ("<x|(a > b)>", "braket name braket punctuation name operator name punctuation braket"),
    ("<x|y> > <x|x>", "braket name braket name braket operator braket name braket name braket"),
    ("<x|y> >= 1", "braket name braket name braket operator number"),
    ("2 * |x><y| + A", "number operator braket name braket braket name braket operator name"),
    ("|x><y| @ z < 1", "braket name braket braket name braket operator name operator number"),
    ("<u||x><y|@v>", "braket name braket braket name braket braket name braket operator name braket"),
    ("show <x|x>", "keyword braket name braket name braket"),
    ("x = <x|\ny > 1", "name operator braket name braket name operator number"),
    ("x = [<x|\ny>]", "name operator punctuation braket name braket name braket punctuation"),
    ("x = f(a\nshow b = 1", "name operator function punctuation name keyword name operator number"),
    ("⟩ x", "error name"),
    ("x; 1_000 'a", "name error error error"),
    ("x₁ ξ′ = 1", "name name operator number"),
]


@pytest.mark.parametrize(("text", "found"), FORMS)
def test_words_have_their_classes(text: str, found: str) -> None:
    assert classes(text) == found
