"""What names mean: definitions, references, renaming, within a file and across files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from editor_program import KNOWN, PROGRAMS, ROOT, TRAINING, analysis, place, with_changes
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import programs

from nexortlang.core.program import Const
from nexortlang.diagnostics import Fix
from nexortlang.editor.analysis import Analysis, analyse, read
from nexortlang.editor.files import OpenFiles
from nexortlang.editor.navigation import Refused, definition, references, rename
from nexortlang.editor.project import Project
from nexortlang.elaborate.program import elaborate
from nexortlang.source import Source
from nexortlang.syntax.parser import parse
from nexortlang.syntax.tokens import scan

# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda p: p.stem)
def test_every_name_of_a_right_program_is_known(file: Path) -> None:
    text = file.read_text("utf-8")
    names = read(Source(str(file), text)).names
    before = ""
    for token in scan(text):
        word = text[token.start : token.end]
        if token.kind == "NAME" and before not in ("as", "from") and word not in ("None", "T"):
            assert names.at(token.start) or names.member_at(token.start), word
        before = word


def test_definition() -> None:
    def line(mark: str, nth: int = 0) -> tuple[str, int]:
        span = definition(KNOWN, place(TRAINING, mark, nth))
        assert span is not None
        return Path(span.source.name).name, span.line

    assert line("‸lr/n") == ("a.nxt", 4)
    assert line("‸L, W") == ("a.nxt", 20)
    assert line("show ‸f") == ("a.nxt", 19)
    assert line("(‸beta * x") == ("a.nxt", 12)
    assert line("‸beta=2") == ("a.nxt", 12)
    adam = next(
        k for k, t in enumerate((ROOT / "stdlib/optim.nxt").read_text().splitlines(), 1) if "optimizer adam(" in t
    )
    assert line("‸adam(n") == line("import ‸adam") == line("‸eps=") == ("optim.nxt", adam)
    assert line("import ‸optim") == line("‸o.sgd") == ("optim.nxt", 1)
    assert definition(KNOWN, TRAINING.index("tanh")) is None


def test_a_name_that_is_bound_again_has_the_binding_before_it() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ny = x\ny = tanh(y)\nshow <y|y>\n"
    known = analysis(text)
    spans = [definition(known, place(text, mark)) for mark in ("tanh(‸y", "<‸y")]
    assert [s and s.line for s in spans] == [3, 4]


def test_references() -> None:
    def lines(mark: str) -> list[int]:
        return [s.line for s in references(KNOWN, place(TRAINING, mark))]

    assert lines("‸W[n") == [6, 16, 21, 22]
    assert lines("swish(x, ‸beta") == [12, 13, 16]
    assert lines("def net(‸X") == [16, 16]
    assert lines("const ‸X") == [3, 19]
    assert lines("avg[‸j") == [24, 24, 24]


def test_loops_definitions_and_indices_have_names_of_their_own() -> None:
    text = "const t = 2\ndef f(x):\n    t = x\n    return t\nfor t in range(3):\n    y = f(t)\nshow t + y\n"
    known = analysis(text)
    assert [s.line for s in references(known, 6)] == [1, 7]
    assert [s.line for s in references(known, text.index("t in"))] == [5, 6]
    assert [s.line for s in references(known, text.index("t = x"))] == [3, 4]


def test_a_definition_that_may_read_the_files_name_shares_it() -> None:
    text = "const a = 2\ndef f(x):\n    if x:\n        a = 3\n    return a\nshow f(0) + f(1)\n"
    known = analysis(text)
    assert [s.line for s in references(known, 6)] == [1, 4, 5]


# ---------------------------------------------------------------------------- renaming


def changed(text: str, known: Analysis, offset: int, name: str) -> str:
    return with_changes(text, rename(known, offset, name))


def meaning(text: str, folder: Path) -> tuple[list[object], list[str]]:
    """What a program computes, names apart."""
    module, _ = parse(Source("a", text))
    program, mistakes = elaborate(module, OpenFiles(folder))
    return [(type(v).__name__, v.type.shape, v.type.power) for v in program.values], [d.code for d in mistakes]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda p: p.stem)
def test_renaming_keeps_the_meaning(file: Path) -> None:
    text = file.read_text("utf-8")
    known = analysis(text, file.parent)
    expected = meaning(text, file.parent)
    symbols = [s for s in known.names.symbols() if s.bindings]
    fixes = [f for k, s in enumerate(symbols) for f in rename(known, s.bindings[0].span.start, f"new_{k}")]
    renamed = with_changes(text, fixes)
    assert meaning(renamed, file.parent) == expected
    assert renamed != text or not symbols


@settings(max_examples=25, deadline=None)
@given(programs(), st.randoms(use_true_random=False))
def test_renaming_in_random_programs(text: str, rng: Random) -> None:
    known = analysis(text)
    symbol = rng.choice([s for s in known.names.symbols() if s.bindings])
    other = rng.choice([s.name for s in known.names.symbols()] + ["other"])
    try:
        renamed = changed(text, known, symbol.bindings[0].span.start, other)
    except Refused:
        return
    assert meaning(renamed, ROOT) == meaning(text, ROOT)


NAMES = ("a", "b", "c")


def block(rng: Random, depth: int) -> list[str]:
    """Random statements that bind, update and read a few names."""
    lines: list[str] = []
    for _ in range(rng.randrange(1, 4)):
        x, y, z = (rng.choice(NAMES) for _ in range(3))
        inner = ["    " + line for line in block(rng, depth - 1)] if depth else []
        lines += rng.choice(
            [
                [f"{x} = {y} + 2 * {z}"],
                [f"{x}, {y} = [{z}, 3]"],
                [f"{x} {rng.choice('+-*')}= {y}"],
                [f"if {x} > {rng.randrange(9)}:", *inner, "else:", f"    {y} = {z}"] if depth else [f"{x} = {y}"],
                [f"if {x} > {rng.randrange(9)}:", *inner] if depth else [f"{x} = 2"],
                [f"for {x} in range({rng.randrange(3)}):", *inner] if depth else [f"{x} = 5"],
            ]
        )
    return lines


@st.composite
def scoped(draw: st.DrawFn) -> str:
    """Programs of numbers whose definitions shadow, read and update what is outside."""
    rng = draw(st.randoms(use_true_random=False))
    body = ["    " + line for line in block(rng, 2)]
    parameter = rng.choice(("p", "a"))
    default = rng.choice(("", " = b"))
    top = [
        "a = 1",
        "b = 2",
        "c = 3",
        f"def f({parameter}{default}):",
        *body,
        f"    return a + 10 * b + 100 * {parameter}",
    ]
    more = block(rng, 2)
    calls = f"show f({rng.randrange(9)}) + f(a)" + (" + f()" if default else "")
    return "\n".join([*top, *more, calls, "show a + 10 * b + 100 * c", ""])


@settings(max_examples=60, deadline=None)
@given(scoped(), st.randoms(use_true_random=False))
def test_renaming_where_names_shadow_each_other(text: str, rng: Random) -> None:
    known = analysis(text)
    symbol = rng.choice([s for s in known.names.symbols() if s.bindings])
    offset = rng.choice(symbol.occurrences).span.start
    try:
        renamed = changed(text, known, offset, rng.choice((*NAMES, "p", "f", "new")))
    except Refused:
        return
    assert shown(renamed) == shown(text)


def shown(text: str) -> tuple[list[object], list[str]]:
    """The numbers that a program of consts shows, and its mistakes."""
    module, _ = parse(Source("a", text))
    program, mistakes = elaborate(module, OpenFiles(ROOT))
    return [s.value.array.tolist() for s in program.shows if isinstance(s.value, Const)], [d.code for d in mistakes]


@pytest.mark.parametrize(
    ("mark", "name", "reason"),
    [
        ("‸lr/n", "for", "reserved"),
        ("‸lr/n", "2x", "no name"),
        ("‸lr/n", "W", "another meaning"),
        ("‸tanh", "th", "built in"),
        ("o.‸sgd", "x", "defined in"),
        ("‸= 0.1", "x", "no name here"),
        ("avg[‸j", "lr", "another meaning"),
        ("avg[‸j", "relu", "built in"),
        ("‸y = x", "x", "another meaning"),
    ],
)
def test_what_cannot_be_renamed(mark: str, name: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        rename(KNOWN, place(TRAINING, mark), name)


def test_imported_names_get_an_alias() -> None:
    text = changed(TRAINING, KNOWN, place(TRAINING, "‸adam(n"), "opt")
    assert "from optim import adam as opt\n" in text and "opt(n * g, eps" in text
    text = changed(TRAINING, KNOWN, place(TRAINING, "‸o.sgd"), "lib")
    assert "import optim as lib\n" in text and "lib.sgd(" in text
    text = 'import "layers.nxt"\nshow layers.one\n'
    known = analysis(text, layers="const one = 1\n")
    assert changed(text, known, text.index("layers.one"), "l") == 'import "layers.nxt" as l\nshow l.one\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/layers.nxt").write_text(
        "## A layer.\ndef dense(W, x, scale = 1) = scale * tanh(W @ x)\nconst one = 1\n"
    )
    head = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\n"
    for name, text in {
        "a.nxt": f'import "nets/layers.nxt" as layers\n{head}h = layers.dense(W, x, scale=2)\nshow <h|h>\n',
        "b.nxt": f'from "nets/layers.nxt" import dense\n{head}h = dense(W, x)\nshow <h|h>\n',
        "c.nxt": f'from "nets/layers.nxt" import dense as d, one\n{head}h = d(W, one * x)\nshow <h|h>\n',
        "d.nxt": f"def dense(W, x) = W @ x\n{head}h = dense(W, x)\nshow <h|h>\n",
    }.items():
        (tmp_path / name).write_text(text)
    return Project(tmp_path, OpenFiles)


def opened(project: Project, name: str) -> Analysis:
    path = project.root / name
    return analyse(read(Source(str(path), path.read_text())), OpenFiles(path.parent))


def apply(project: Project, fixes: Sequence[Fix]) -> None:
    for source in {f.span.source.name for f in fixes}:
        text = Path(source).read_text()
        Path(source).write_text(with_changes(text, [f for f in fixes if f.span.source.name == source]))


@pytest.mark.parametrize("start", ["nets/layers.nxt", "a.nxt"])
def test_what_a_module_defines_is_renamed_where_it_is_imported(project: Project, start: str) -> None:
    before = {name: meaning((project.root / name).read_text(), project.root) for name in ("a.nxt", "b.nxt", "c.nxt")}
    known = opened(project, start)
    apply(project, rename(known, known.source.text.index("dense"), "layer", project))
    known = opened(project, start)
    apply(project, rename(known, known.source.text.index("scale"), "s", project))
    after = {name: meaning((project.root / name).read_text(), project.root) for name in before}
    assert after == before and not any(mistakes for _, mistakes in after.values())
    texts = [(project.root / name).read_text() for name in ("nets/layers.nxt", "a.nxt", "b.nxt", "c.nxt", "d.nxt")]
    assert "def layer(W, x, s = 1) = s * " in texts[0] and "layers.layer(W, x, s=2)" in texts[1]
    assert "import layer as dense\n" in texts[2] and "import layer as d, one\n" in texts[3]
    assert "def dense(W, x)" in texts[4]


def test_references_in_other_files(project: Project) -> None:
    known = opened(project, "nets/layers.nxt")
    spans = references(known, known.source.text.index("dense"), project)
    assert [Path(s.source.name).name for s in spans] == ["layers.nxt", "a.nxt", "b.nxt", "c.nxt"]


def test_the_library_is_not_renamed(project: Project) -> None:
    text = "from optim import adam\n"
    (project.root / "e.nxt").write_text("import optim as o\ndef f(g) = o.adam(g)\n" + text)
    known = opened(project, "e.nxt")
    with pytest.raises(Refused, match="defined in"):
        rename(known, known.source.text.index("adam"), "x", project)
