"""What an editor is told of a program: types, names, completion, signatures, renaming; of right programs, wrong ones and ones that are being typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_mutations import mutated
from random_programs import programs

from nexortlang.diagnostics import Fix, NexortError
from nexortlang.editor.analysis import Analysis, analyse, read
from nexortlang.editor.completion import Candidate, Signature, complete, signature_help
from nexortlang.editor.files import OpenFiles
from nexortlang.editor.formatting import format_edits
from nexortlang.editor.hover import Hover, hover
from nexortlang.editor.navigation import Refused, definition, references, rename
from nexortlang.editor.outline import inlay_hints, outline
from nexortlang.editor.vocabulary import BUILTINS, KEYWORDS, LAWS, STATEMENT_WORDS
from nexortlang.elaborate.program import elaborate
from nexortlang.format.formatter import formatted
from nexortlang.source import Source
from nexortlang.syntax import words
from nexortlang.syntax.parser import parse
from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import scan

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted([*(ROOT / "examples").glob("*.nxt"), *(ROOT / "stdlib").glob("*.nxt")])

TRAINING = """\
## One hidden layer, trained.
width n
const X = [[1, 0], [0.6, 0.8]]
const lr = 0.1
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
import optim as o
from optim import adam

## x times a sigmoid.
def swish(x, beta = 1):
    y = x * sigmoid(beta * x)
    return y

def net(X) = <v | swish(W @ tanh(U @ X.T), beta=2)>

for t in range(3):
    f = net(X)
    L = mean(f^2) / 2
    g = grad(L, W)
    W -= lr/n * adam(n * g, eps=1e-3)
    U -= lr * o.sgd(n * grad(L, U))
h[i] = avg[j](tanh(v[i] * v[j]) * v[j])
s = sqrt(n) * <v|v>
show f as out
"""


def analysis(text: str, folder: Path = ROOT / "examples", **open_texts: str) -> Analysis:
    texts = {(folder / f"{name}.nxt").resolve(): other for name, other in open_texts.items()}
    return analyse(read(Source(str(folder / "a.nxt"), text)), OpenFiles(folder, texts))


KNOWN = analysis(TRAINING)


def place(text: str, mark: str, nth: int = 0) -> int:
    """Where «‸» stands in the mark, which occurs in the text without it."""
    plain, offset = mark.replace("‸", ""), mark.index("‸")
    start = -1
    for _ in range(nth + 1):
        start = text.index(plain, start + 1)
    return start + offset


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


# ---------------------------------------------------------------------------- wrong and unfinished programs


def test_a_wrong_line_takes_only_itself_away() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ny = (x\nz = tahn(x)\nw = relu(x)\nu = w + z\nshow <w|w>\n"
    known = analysis(text)
    assert [d.code for d in known.diagnostics] == ["NX002"]
    found = hover(known, text.index("w = "))
    assert found is not None and found.code == "w: vector(n)"
    unknown = hover(known, text.index("u = "))
    assert unknown is not None and unknown.code == "u"


def test_diagnostics_are_those_of_check() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ny = tahn(x)\nif 0:\n    z = unknown\nshow y\n"
    module, _ = parse(Source("a", text))
    _, expected = elaborate(module, OpenFiles(ROOT))
    assert [(d.code, d.message) for d in analysis(text).diagnostics] == [(d.code, d.message) for d in expected]
    assert [d.code for d in expected] == ["NX101", "NX101"]


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


def with_changes(text: str, fixes: Sequence[Fix]) -> str:
    for fix in sorted(fixes, key=lambda f: -f.span.start):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    return text


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


# ---------------------------------------------------------------------------- completion


def candidates(line: str, before: str = TRAINING) -> list[Candidate]:
    return complete(KNOWN, before + line, len(before + line)).candidates


def texts(line: str, before: str = TRAINING) -> list[str]:
    return [c.text for c in candidates(line, before)]


def likely(line: str) -> set[str]:
    return {c.text for c in candidates(line) if c.rank == 0}


def test_completion_by_place() -> None:
    assert texts("c ~ ") == ["bernoulli", "laplace", "normal", "rademacher", "uniform"]
    assert {"optim", "params"} <= likely("import ")
    assert texts("from optim ") == ["import"]
    assert {"sgd", "adam", "lion"} <= set(texts("from optim import sgd, "))
    assert "sgd" in texts("y = o.") and "tanh" not in texts("y = o.")
    assert texts("show X.") == ["T", "shape"]
    assert texts("show X ") == ["and", "as", "or"]
    assert texts("for k ") == ["in"]
    assert texts("# comment ") == [] and texts("width ") == []
    assert {"width", "show", "for", "lr"} <= set(texts("")) and "tanh" not in texts("")
    assert "tanh" in texts("y = ") and "width" not in texts("y = ")


def test_completion_by_type() -> None:
    assert likely("y = <") == {"U", "v", "W", "h"}
    assert likely("for k in range(") == {"X", "lr"}
    assert likely("z[") == {"X", "lr", "n"}


def test_completion_of_parameters() -> None:
    assert texts("y = swish(v, ")[0] == "beta="
    assert {"beta1=", "eps="} <= set(texts("y = adam(v, "))
    assert {"beta1=", "eps="} & set(texts("y = adam(v, eps=1, ")) == {"beta1="}
    assert {"beta=", "alpha="} & set(texts("y = o.momentum(v, ")) == {"beta="}


def test_completion_by_scope() -> None:
    inside = TRAINING[: TRAINING.index("    return y")]
    assert {"x", "beta", "y", "lr", "W", "f"} & set(texts("    z = ", inside)) == {"x", "beta", "y", "lr", "W"}
    assert {"x", "beta", "y"} & set(texts("z = ", inside)) == set()
    assert "f" not in texts("z = ", TRAINING[: TRAINING.index("for t")])
    assert "return" in texts("    ", inside)


def test_completion_of_files() -> None:
    assert "data/" in texts('const A = load("')
    assert texts('const A = load("data/') and all(t.endswith((".csv", ".npy")) for t in texts('const A = load("data/'))
    assert "first.nxt" in texts('import "') and texts('import "../') == []
    found = complete(KNOWN, TRAINING + 'const A = load("data/di', len(TRAINING) + 23)
    assert found.start == len(TRAINING) + 21


def test_every_candidate_explains_itself() -> None:
    assert all(c.detail for c in candidates("y = ") if c.kind in ("builtin", "draw", "const", "function"))


# ---------------------------------------------------------------------------- signatures


def signature(line: str) -> Signature:
    found = signature_help(KNOWN, TRAINING + line, len(TRAINING + line))
    assert found is not None
    return found


def test_signatures() -> None:
    assert signature("y = swish(").label == "def swish(x, beta = 1)"
    assert signature("y = swish(v, be").active == 1
    assert signature("y = adam(v, eps=").parameters[signature("y = adam(v, eps=").active or 0] == "eps = 1e-8"
    assert signature("y = o.sgd(").label == "optimizer sgd(g)"
    assert signature("y = where(v > 0, [1, 2], ").active == 2
    assert signature("y = where(v > 0,\n  tanh(v), ").active == 2
    assert signature("y = zeros(n, 2, ").active == 0
    assert signature("y = sum(f, axis=").active == 1
    assert signature("c ~ normal(0, ").active == 1
    assert signature("y = avg[i, j](").label == "avg(x)"
    assert signature("y = tanh(v, ").active is None


@pytest.mark.parametrize("line", ["y = tanh(v)", "y = v * (", "y = unknown(", "y = X[", "# tanh(", ""])
def test_no_signature(line: str) -> None:
    assert signature_help(KNOWN, TRAINING + line, len(TRAINING + line)) is None


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
