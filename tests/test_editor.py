"""What an editor is told of a program: types, diagnostics, outline, formatting; of right programs, wrong ones and any text."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from editor_program import KNOWN, PROGRAMS, ROOT, TRAINING, WRONG, analysis, place, with_changes
from hypothesis import given, settings
from hypothesis import strategies as st
from random_mutations import mutated
from random_programs import programs

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.driver import Request, check
from nexortlang.editor.analysis import analyse, read
from nexortlang.editor.completion import complete, signature_help
from nexortlang.editor.files import OpenFiles
from nexortlang.editor.formatting import format_edits
from nexortlang.editor.hover import Hover, hover
from nexortlang.editor.navigation import definition, references
from nexortlang.editor.outline import inlay_hints, outline
from nexortlang.editor.vocabulary import BUILTINS, KEYWORDS, LAWS, STATEMENT_WORDS
from nexortlang.elaborate.program import Elaborator
from nexortlang.format.formatter import formatted
from nexortlang.source import Source, Span
from nexortlang.syntax import words
from nexortlang.syntax.parser import parse
from nexortlang.syntax.table import table


def told(mark: str, nth: int = 0) -> Hover:
    found = hover(KNOWN, place(TRAINING, mark, nth))
    assert found is not None
    return found


# ---------------------------------------------------------------------------- the words


def test_the_vocabulary_is_the_languages() -> None:
    assert BUILTINS.keys() == words.FUNCTIONS | words.CONSTANTS - {"None"}
    assert LAWS.keys() == words.LAWS
    assert KEYWORDS.keys() == table().reserved and KEYWORDS.keys() >= set(STATEMENT_WORDS)


# ---------------------------------------------------------------------------- hover


@pytest.mark.parametrize(
    ("mark", "code", "note"),
    [
        ("width ‸n", "width n", "tends to infinity"),
        ("const ‸X", "X: const[2, 2]", "= [[1. , 0. ], [0.6, 0.8]]"),
        ("‸U[n", "U: vector(n)[2]", "initial vectors, normal"),
        ("‸W[n", "W: matrix(n, n)", "initial matrix"),
        ("‸W -=", "W: matrix(n, n)", "trained matrix, 3 updates"),
        ("‸f = net", "f: scalar[2]", "⟨x|y⟩"),
        ("‸g = grad", "g: outer(n, n) × 1/n", "power of n: −1 (multiply by n for order 1)"),
        ("‸h[i]", "h: vector(n)", "OuterNonlin"),
        ("h[‸i]", "i", "an index"),
        ("‸s = sqrt", "s: scalar × n^(1/2)", "power of n: 1/2 (divide by sqrt(n) for order 1)"),
        ("‸y = x", "y: vector(n)[2]", "Nonlin (*)"),
        ("swish(‸x,", "x: vector(n)[2]", "Nonlin (+)"),
        ("(‸beta * x", "beta: const", "= 2"),
        ("| ‸swish(W", "def swish(x, beta = 1)", "gives vector(n)[2]"),
        ("U ‸@ X", "vector(n)[2]", "Nonlin"),
        ("‸<v | swish", "scalar[2]", "⟨x|y⟩"),
        ("for ‸t in", "t: const", "= 2, the last of several values"),
        ("* ‸sigmoid", "sigmoid(x)", ""),
        ("~ ‸normal", "normal(mean, variance)", ""),
        ("‸for t", "for t in range(T):", ""),
        ("‸adam(n", "optimizer adam(g, beta1 = 0.9, beta2 = 0.999, eps = 1e-8)", ""),
        ("o.‸sgd", "optimizer sgd(g)", ""),
        ("‸eps=", "eps = 1e-8", "a parameter of adam"),
        ("‸beta=2", "beta = 1", "a parameter of swish"),
        ("‸o.sgd", "import o", ""),
    ],
)
def test_hover(mark: str, code: str, note: str) -> None:
    found = told(mark)
    assert found.code == code
    assert note in " | ".join(found.notes)


def test_hover_tells_documentation() -> None:
    assert told("| ‸swish").doc == "x times a sigmoid."
    assert told("‸adam(n").doc.startswith("Adam (Kingma")
    assert told("import ‸optim").doc.startswith("Entrywise optimizers")
    assert "Gaussian" in told("~ ‸normal").doc


def test_nothing_to_say_of_spaces_and_comments() -> None:
    assert hover(KNOWN, TRAINING.index("One hidden")) is None
    assert hover(KNOWN, TRAINING.index("\n\ndef net") + 1) is None


def test_a_name_with_several_types_has_them_all() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ndef twice(a) = 2 * a\ny = twice(x)\nz = twice(3)\nshow z\nshow avg(y)\n"
    found = hover(analysis(text), text.index("a) ="))
    assert found is not None and found.code == "a: vector(n) or const"
    assert found.notes == ("several types, from different calls or passes",)


# ---------------------------------------------------------------------------- wrong and unfinished programs


def test_a_wrong_line_takes_only_itself_away() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ny = (x\nz = tahn(x)\nw = relu(x)\nu = w + z\nshow <w|w>\n"
    known = analysis(text)
    assert [d.code for d in known.diagnostics] == ["NX002"]
    found = hover(known, text.index("w = "))
    assert found is not None and found.code == "w: vector(n)"
    unknown = hover(known, text.index("u = "))
    assert unknown is not None and unknown.code == "u"


def described(d: Diagnostic) -> list[object]:
    """A diagnostic, its places by file name: a module is read once per run."""
    places = [(s.source.name, s.start, s.end) if s else None for s in (d.span, *(label.span for label in d.labels))]
    return [d.code, d.message, d.hint, d.severity, *(label.text for label in d.labels), *places]


@pytest.mark.parametrize("file", [*WRONG, *PROGRAMS], ids=lambda p: p.stem)
def test_diagnostics_are_those_of_check(file: Path) -> None:
    source = Source(str(file), file.read_text("utf-8"))
    known = analyse(read(source), OpenFiles(file.parent), seconds=60)
    assert known.stopped_at is None
    expected = check(source, Request(file.parent)).diagnostics
    assert [described(d) for d in known.diagnostics] == [described(d) for d in expected]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda p: p.stem)
def test_watching_a_run_changes_nothing_of_it(file: Path) -> None:
    module, _ = parse(Source(str(file), file.read_text("utf-8")))
    watched: list[Span] = []
    runs = [
        Elaborator(OpenFiles(file.parent), observe=observe) for observe in (None, lambda span, _: watched.append(span))
    ]
    assert runs[0].run(module.body) == runs[1].run(module.body)
    first, second = (run.program for run in runs)
    assert [repr(v) for v in first.values] == [repr(v) for v in second.values] and len(first.shows) == len(second.shows)
    assert len(watched) >= len(first.shows)


def test_a_long_run_is_given_up_and_keeps_what_it_found() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nfor t in range(10^5):\n    x = tanh(x + t)\ny = unknown\nshow <x|x>\n"
    known = analyse(read(Source("a", text)), OpenFiles(ROOT), seconds=0.2)
    assert known.stopped_at is not None and known.stopped_at.line in (3, 4)
    assert [d.code for d in known.diagnostics] == ["NX101"]
    found = hover(known, text.index("x = tanh"))
    assert found is not None and found.code == "x: vector(n)"


def test_a_stale_run_ends_at_once() -> None:
    known = analyse(read(Source("a", TRAINING)), OpenFiles(ROOT), is_stale=lambda: True)
    assert known.stopped_at is not None and len(known.seen) <= 1


# ---------------------------------------------------------------------------- the file at a glance


def test_outline() -> None:
    items = outline(KNOWN)
    assert [(i.name, i.kind, i.detail) for i in items] == [
        ("n", "width", "width"),
        ("X", "const", "const[2, 2]"),
        ("lr", "const", "const"),
        ("U", "draw", "vector(n)[2]"),
        ("W", "draw", "matrix(n, n)"),
        ("v", "draw", "vector(n)"),
        ("o", "module", "module"),
        ("adam", "import", "function"),
        ("swish", "function", "(x, beta = 1)"),
        ("net", "function", "(X)"),
        ("f", "variable", "scalar[2]"),
        ("L", "variable", "scalar"),
        ("g", "variable", "outer(n, n) × 1/n"),
        ("h", "variable", "vector(n)"),
        ("s", "variable", "scalar × n^(1/2)"),
        ("out", "result", "scalar[2]"),
    ]
    assert [c.name for i in items for c in i.children] == ["y"]


def test_inlay_hints() -> None:
    hints = inlay_hints(KNOWN, 0, len(TRAINING))
    shown = {TRAINING[: h.offset].rpartition("\n")[2].strip(): h.text for h in hints}
    assert shown == {
        "y": ": vector(n)[2]",
        "f": ": scalar[2]",
        "L": ": scalar",
        "g": ": outer(n, n) × 1/n",
        "s": ": scalar × n^(1/2)",
    }
    assert inlay_hints(KNOWN, 0, TRAINING.index("import")) == []


# ---------------------------------------------------------------------------- files


def test_an_open_module_counts_as_it_is_in_the_editor(tmp_path: Path) -> None:
    (tmp_path / "lib.nxt").write_text("const one = 1\n")
    text = "import lib\nshow lib.two\n"
    assert [d.code for d in analysis(text, tmp_path).diagnostics] == ["NX107"]
    known = analysis(text, tmp_path, lib="const two = 2\n")
    assert known.diagnostics == []


def test_a_table_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    table_ = tmp_path / "x.csv"
    files = OpenFiles(tmp_path)
    table_.write_text("1,2\n3,4\n")
    first = files.load_array("x.csv")
    assert files.load_array("x.csv") is first
    table_.write_text("1,2\n3,4\n5,6\n")
    assert files.load_array("x.csv").shape == (3, 2)


# ---------------------------------------------------------------------------- formatting


@settings(max_examples=30, deadline=None)
@given(programs(6), st.randoms(use_true_random=False))
def test_the_changes_of_formatting_are_those_of_the_formatter(text: str, rng: Random) -> None:
    loose = "".join(c * rng.choice((1, 1, 1, 3)) if c == " " else c for c in text)
    source = Source("a", loose)
    try:
        expected = formatted(source)
    except NexortError:
        expected = loose
    assert with_changes(loose, format_edits(source)) == expected


# ---------------------------------------------------------------------------- any text


@settings(max_examples=15, deadline=None)
@given(programs(6), st.randoms(use_true_random=False))
def test_any_text_has_answers(text: str, rng: Random) -> None:
    for _ in range(rng.randrange(4)):
        text = mutated(text, rng)
    cut = rng.randrange(len(text) + 1)
    for program in (text, text[:cut]):
        known = analysis(program)
        assert all(d.code != "NX901" for d in known.diagnostics)
        outline(known), inlay_hints(known, 0, len(program))
        for offset in rng.sample(range(len(program) + 1), min(10, len(program) + 1)):
            hover(known, offset), definition(known, offset), references(known, offset)
            complete(known, program, offset), signature_help(known, program, offset)
