"""The formatter: same words, same meaning, one layout."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_layouts import laid_out
from random_programs import programs

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


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(programs(), st.sampled_from(TEXTS)), st.randoms(use_true_random=False), st.booleans())
def test_any_layout(program: str, rng: Random, breaks: bool) -> None:
    assert_well_formatted(laid_out(rng, program, breaks=breaks))
