"""Recovery: one mistake does not hide the next, good statements are kept, and no text whatever makes the parser raise or hang."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexortlang.source import Source
from nexortlang.syntax import ast
from nexortlang.syntax.parser import is_complete, parse, parse_expression
from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import scan

PROGRAMS = [p.read_text(encoding="utf-8") for p in sorted((Path(__file__).parent / "syntax_programs").glob("*.nxt"))]


def read(text: str) -> tuple[list[str], list[tuple[str, int]]]:
    """The types of the statements that were kept, and code and line of each mistake."""
    tree, mistakes = parse(Source("", text))
    return [type(s).__name__ for s in tree.body], [(m.code, m.span.line) for m in mistakes if m.span]


def test_two_mistakes_are_both_told_and_the_rest_is_kept() -> None:
    kept, mistakes = read("width n\nx[n] ~ normal(0, 1\nshow x x\ny = 2 *\nshow y\n")
    assert mistakes == [("NX002", 2), ("NX017", 3), ("NX016", 4)]
    assert kept == ["WidthDecl", "Show"]


def test_mistakes_inside_blocks() -> None:
    text = (
        "for t in range(3):\n    x = 1 +\n    y = 2\n    if a:\n        z = 3 3\n    else:\n        w = 4\nshow y y\n"
    )
    kept, mistakes = read(text)
    assert mistakes == [("NX016", 2), ("NX017", 5), ("NX017", 8)]
    assert kept == ["For"]
    (loop,) = parse(Source("", text))[0].body
    assert isinstance(loop, ast.For) and [type(s) for s in loop.body] == [ast.Assign, ast.If]


def test_a_bad_header_takes_its_block_along() -> None:
    assert read("for t range(3):\n    x = = 1\n    y = 2\nshow y") == (["Show"], [("NX001", 1)])
    assert read("if a = 1:\n    x = 1\nelif b:\n    x = 2\nelse:\n    x = 3\nshow x") == (["Show"], [("NX014", 1)])
    assert read("def f(x, x):\n    return = x\nshow 1") == (["Show"], [("NX023", 1)])


def test_a_header_that_lacks_only_its_colon_keeps_its_block() -> None:
    kept, mistakes = read("for t in range(3)\n    x = 1\n    y = 2 2\nshow y")
    assert kept == ["For", "Show"] and mistakes == [("NX015", 1), ("NX017", 3)]
    assert read("def f(x)\nshow 1") == (["Show"], [("NX015", 1)])


def test_a_bad_else_keeps_its_if() -> None:
    assert read("if a:\n    x = 1\nelse b:\n    x = 2\nshow 1") == (["If", "Show"], [("NX001", 3)])
    assert read("if a:\n    x = 1\nelif:\n    x = 2\nelse:\n    x = 3\nshow 1") == (["If", "Show"], [("NX016", 3)])


def test_indentation_mistakes_do_not_spread() -> None:
    assert read("x = 1\n    y = 2\n    z = 3\nw = 4") == (["Assign"] * 4, [("NX005", 2)])
    assert read("if a:\n    x = 1\n  y = 2\n  z = 3\nw = 4") == (["If", "Assign", "Assign", "Assign"], [("NX006", 3)])
    assert read("if a:\nx = 1\ny = 2") == (["Assign", "Assign"], [("NX007", 1)])
    assert read("if a:\n\tx = 1\n\ty = 2\nelse:\n\tz = 3\n") == (["If"], [("NX004", 2)])
    assert read("  x = 1\n  y = 2\n") == (["Assign", "Assign"], [("NX005", 1)])


def test_open_brackets_do_not_swallow_the_program() -> None:
    assert read("x = f(1,\ny = 2\nz = [3\nshow 4\n") == (["Assign", "Show"], [("NX002", 1), ("NX002", 3)])
    assert read("x = [1,\n     2\nshow x\n\ndef f(x) = (x\nshow f(1)") == (
        ["Show", "Show"],
        [("NX002", 1), ("NX002", 5)],
    )
    assert read("x = 1]\ny = 2") == (["Assign"], [("NX003", 1)])
    assert read("for t in range(2):\n    x = (1\n    y = 2\nz = 3") == (["For", "Assign"], [("NX002", 2)])


def test_stray_characters_spoil_their_line_only() -> None:
    assert read('x = 1 ? 2\ny = "abc\nz = 1e\nw = 1') == (["Assign"], [("NX008", 1), ("NX009", 2), ("NX010", 3)])


def test_mistakes_come_in_the_order_of_the_text() -> None:
    _, mistakes = read("x = 1\n    y = 2 2\nif a:\n\tz = 1 1\nw = (\n")
    assert mistakes == sorted(mistakes, key=lambda m: m[1])


# ---------------------------------------------------------------------------- any text

WORDS = sorted(table().reserved) + list("()[]<>|⟨⟩,:=~+-*/%^@.ᵀ#\"' \n\t")
WORDS += ["+=", "-=", "**", "//", "==", "!=", "<=", ">=", "~=", "...", "##", "\r\n", "\n    ", "\n  "]
WORDS += ["x", "f", "n", "T", "ξ₁", "x′", "1", ".5", "1e3", "1e", "²", "\0", "\ufeff", "\u2028", "None", "while"]


def survives(text: str) -> None:
    """Parsing ends; what it says is sound: a broken text has a mistake, each mistake has a place and a remedy."""
    source = Source("any", text)
    tree, mistakes = parse(source)
    assert tree.span.end == len(text)
    for mistake in mistakes:
        assert mistake.span is not None and 0 <= mistake.span.start <= mistake.span.end <= len(text)
        assert re.fullmatch(r"NX0\d\d", mistake.code)
        assert mistake.message.startswith("expected ") and ", found " in mistake.message and mistake.hint
        assert "_" not in re.sub(r"`[^`]*`", "", mistake.message)  # no symbol of the grammar slips out
    assert len(mistakes) <= 60
    parse_expression(source)
    is_complete(text)


def check_spans(node: object, inside: tuple[int, int]) -> None:
    """Every node stands within its parent."""
    if isinstance(node, tuple):
        for item in node:
            check_spans(item, inside)
    elif hasattr(node, "span"):
        start, end = node.span.start, node.span.end
        assert inside[0] <= start <= end <= inside[1]
        for field in node.__dataclass_fields__:  # type: ignore[attr-defined]
            if field != "span":
                check_spans(getattr(node, field), (start, end))


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_random_text(text: str) -> None:
    survives(text)


@settings(max_examples=600)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map("".join))
def test_random_words(text: str) -> None:
    survives(text)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_words_cover_the_text(text: str) -> None:
    end = 0
    for token in scan(text):
        assert token.start >= end and not text[end : token.start].strip(" \t")
        assert token.end > token.start
        end = token.end
    assert not text[end:].strip(" \t")


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A program with some of its text cut out, put twice, or replaced by a word."""
    text = draw(st.sampled_from(PROGRAMS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        middle = draw(st.sampled_from(["", text[start:end] * 2, *WORDS]))
        text = text[:start] + middle + text[end:]
    return text


@settings(max_examples=400)
@given(mutated())
def test_mutated_programs(text: str) -> None:
    survives(text)


@settings(max_examples=100)
@given(mutated())
def test_spans_nest(text: str) -> None:
    tree, _ = parse(Source("", text))
    check_spans(tree, (0, len(text)))


@settings(max_examples=60)
@given(st.data())
def test_a_bad_line_costs_only_itself(data: st.DataObject) -> None:
    """A mistake between the statements of a program leaves them all."""
    lines = data.draw(st.sampled_from([p for p in PROGRAMS if p[:2] != "##"])).splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line[0] not in " #\n" and not lines[i - 1].startswith("##")]
    place = data.draw(st.sampled_from(places))
    bad = data.draw(
        st.sampled_from(["x = = 1\n", "show 1 1\n", "width 3\n", "c ~ 3\n", "x = ²\n", "x = 'a\n", "1e = x\n"])
    )
    good, none = parse(Source("", "".join(lines)))
    tree, mistakes = parse(Source("", "".join(lines[:place]) + bad + "".join(lines[place:])))
    assert none == [] and len(mistakes) == 1
    assert tree.body == good.body


@pytest.mark.parametrize("text", PROGRAMS)
def test_programs_cut_anywhere(text: str) -> None:
    for end in range(0, len(text), 7):
        survives(text[:end])
