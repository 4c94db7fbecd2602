"""The prompt's commands and transcripts; a session computes what is new and nothing else; streams of every kind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import replay

from nexortlang import driver
from nexortlang.cli import main
from nexortlang.core.program import Value
from nexortlang.driver import Outcome, Request
from nexortlang.elaborate.context import Context
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.particles import replicates
from nexortlang.kets.results import CURVE, Distribution
from nexortlang.repl import loop
from nexortlang.repl.commands import COMMANDS
from nexortlang.repl.completion import completions
from nexortlang.repl.conversation import Conversation
from nexortlang.report.console import Console
from nexortlang.report.histogram import histogram
from nexortlang.session import Session
from nexortlang.source import Source

TRANSCRIPTS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))
ROOT = Path(__file__).resolve().parent.parent
SAMPLED = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\ny = tanh(W.T @ tanh(W @ tanh(x)))\n"

Typed = Callable[..., tuple[str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """stdout and stderr of a session whose input is the text."""

    def run(text: str, *options: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["repl", *options]) == 0
        return tuple(capsys.readouterr())  # type: ignore[return-value]

    return run


def answer(session: Session, text: str) -> Outcome:
    return session.run(Source("<input>", text))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: p.stem)
def test_transcript(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert replay(text) == text


# ---------------------------------------------------------------------------- nothing twice


def test_no_value_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    real = ExactLimit._compute

    def compute(self: ExactLimit, v: Value):  # type: ignore[no-untyped-def]
        computed.append(v.id)
        return real(self, v)

    monkeypatch.setattr(ExactLimit, "_compute", compute)
    session = Session(Request())
    answer(session, "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nh = W @ relu(x)\n<h|h>\n")
    first = len(computed)
    assert not answer(session, "show <h|x>\nz = relu(h)\n<z|z>\n").is_wrong and len(computed) > first
    before = len(computed)
    assert not answer(session, "<h|h>\n<z|z>\n").is_wrong
    assert len(computed) == before
    assert len(set(computed)) == len(computed)


def test_nothing_is_sampled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = replicates.run

    def run(program, targets, *arguments):  # type: ignore[no-untyped-def]
        asked.append(len(targets))
        return real(program, targets, *arguments)

    monkeypatch.setattr(replicates, "run", run)
    session = Session(Request(samples=64, tol=1.0))
    answer(session, SAMPLED)
    first = answer(session, "show <y|y> as a\n").shown
    assert answer(session, "c = 2\nshow c\n").shown is not None and asked == [1]
    again = answer(session, "show <y|y> as b\n").shown
    assert asked == [1] and first is not None and again is not None and first[0].answer == again[0].answer
    both = answer(session, "show <y|y>\nshow <y|tanh(y)>\nshow <y|tanh(y)>\n").shown
    assert asked == [1, 1] and both is not None and both[1].answer == both[2].answer
    session.request = Request(samples=128, tol=1.0)
    answer(session, "show <y|y>\n")
    assert asked == [1, 1, 1]


def test_a_session_says_what_the_file_says() -> None:
    """Statement by statement, or all at once."""
    text = (ROOT / "examples" / "first.nxt").read_text(encoding="utf-8")
    whole = driver.run(Source("f", text), Request()).shown
    session = Session(Request())
    parts = [s for line in text.splitlines() for s in answer(session, line + "\n").shown or []]
    assert whole is not None and [s.name for s in parts] == [s.name for s in whole]
    for a, b in zip(parts, whole, strict=True):
        left, right = ((s.answer.mean if isinstance(s.answer, Distribution) else s.answer.value) for s in (a, b))
        assert np.array_equal(left, right)


# ---------------------------------------------------------------------------- what stays


def test_an_interrupted_statement_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Request())
    answer(session, "a = 1\n")
    steps = iter(range(6))
    real = Context.step

    def step(self: Context, span) -> None:  # type: ignore[no-untyped-def]
        if next(steps, None) is None:
            raise KeyboardInterrupt
        real(self, span)

    monkeypatch.setattr(Context, "step", step)
    with pytest.raises(KeyboardInterrupt):
        answer(session, "for t in range(9):\n    a = a + 1\n    show a\n")
    monkeypatch.undo()
    assert session.text() == "a = 1\n" and not session.program.shows
    found = answer(session, "a\n").shown
    assert found is not None and float(found[0].answer.value) == 1  # type: ignore[union-attr]


def test_an_interrupted_limit_leaves_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Request())

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nexortlang.session.take_limit", interrupted)
    for text in ("b = 2\nshow b\n", "3\n"):
        with pytest.raises(KeyboardInterrupt):
            answer(session, text)
    monkeypatch.undo()
    assert session.text() == "b = 2\nshow b\n" and [s.name for s in session.program.shows] == ["b"]


def test_a_limit_that_fails_leaves_the_names_that_were_bound() -> None:
    session = Session(Request())
    answer(session, "width n\nx[n] ~ normal(0, 1)\n")
    assert answer(session, "avg(exp(x^2))\n").is_wrong and session.text().count("\n") == 2
    assert answer(session, "y = x\nassert avg(y^2) ~= 2\n").is_wrong and "y" in session.names


def test_asking_changes_nothing() -> None:
    session = Session(Request())
    answer(session, "width n\nx[n] ~ normal(0, 1)\n")
    for ask in (session.limit, session.asking, session.look):
        ask(Source("<input>", "<x|x>"))
    assert session.limit(Source("<input>", "<x|")).is_wrong and session.limit(Source("<input>", "y")).is_wrong
    assert not session.program.shows and session.text() == "width n\nx[n] ~ normal(0, 1)\n"


def test_saving_and_loading(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.nxt").write_text("show 7\n")
    out, err = typed(
        "width n\nx[n, 2] ~ normal(0, 1)\nconst a = 1\nconst a = 2\nx\ndist(x)\navg(x^2)\nnosuch\n"
        "def f(y):\n    avg(y)\n\nf(x)\nfor t in range(2):\n    t + a\n\n1 ; 2\n"
        ":save other.nxt\n:save a.nxt\n:save 'a.nxt'\n:save! other.nxt\n:save absent/a.nxt\n"
    )
    text = (tmp_path / "a.nxt").read_text()
    assert text == (
        "width n\nx[n, 2] ~ normal(0, 1)\nconst a = 1\na = 2\nshow dist(x)\nshow dist(x)\nshow avg(x^2)\n"
        "def f(y):\n    show avg(y)\n\nf(x)\nfor t in range(2):\n    show t + a\n\n"
    )
    assert (tmp_path / "other.nxt").read_text() == text and err.count("NX501") == 2 and "other.nxt exists" in err
    shown = out[: out.index("saved to")]
    assert main(["a.nxt"]) == 0
    out, err = typed(":load a.nxt\nn\n:limit a\n:reload\n:load absent.nxt\n:limit a\n")
    assert "t + a  (2 passes, exact)" in shown and out.count("t + a  (2 passes, exact)") == 3
    assert out.count("a =  2  (exact)") == 2 and "NX501" in err


def test_a_wrong_file_leaves_the_session(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.nxt").write_text("b = c\n")
    (tmp_path / "latin.nxt").write_bytes(b"# \xe9\n")
    (tmp_path / "fails.nxt").write_text("b = 5\nassert b ~= 4\n")
    out, err = typed("a = 1\n:load wrong.nxt\n:load latin.nxt\n:load .\na\n:load fails.nxt\nb\na\n")
    assert out == "a =  1  (exact)\nb =  5  (exact)\n"
    assert [code for code in ("NX101", "NX502", "NX501", "NX304") if code in err] == [
        "NX101",
        "NX502",
        "NX501",
        "NX304",
    ]


def test_data_beside_a_loaded_file(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.csv").write_text("1\n3\n")
    (tmp_path / "deep" / "a.nxt").write_text('const x = load("x.csv")\n')
    monkeypatch.chdir(tmp_path)
    out, err = typed(':load deep/a.nxt\nmean(x)\nsum(load("x.csv"))\n')
    assert out.count("(exact)") == 2 and err == ""


# ---------------------------------------------------------------------------- other ways to speak


def test_json(typed: Typed) -> None:
    out, _ = typed("width n\nx[n] ~ normal(0, 1)\n:limit <x|x>\n:simulate <x|x> 8\n:dist x\n", "--json")
    *_, limit, runs, dist = (json.loads(line) for line in out.splitlines())
    assert limit["results"][0]["value"] == 1 and runs["width"] == 8
    assert dist["results"][0]["kind"] == "distribution"


def test_quiet_leaves_answers_and_errors(typed: Typed) -> None:
    out, err = typed("1\n:type 1\n:limit 1\n:dist 1\n", "--quiet")
    assert out == "1 : const = 1\n" and "NX234" in err


def test_settings_and_options(typed: Typed) -> None:
    out, err = typed("const a = 1\na\n:set\n", "--set", "a=7", "--tol", "0.01", "--seed", "5")
    assert "a =  7" in out and "tol      0.01\n" in out and "seed     5\n" in out and err == ""


def test_statements_of_many_lines_take_linear_time() -> None:
    """The parser is asked at the end only."""
    rows = "[1, 2],\n" * 400
    body = "    x = x + 1\n" * 400
    asked: list[int] = []
    real = loop.is_complete

    def is_complete(text: str) -> bool:
        asked.append(len(text))
        return real(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "is_complete", is_complete)
        text = f"const X = [\n{rows}]\ndef f(x):\n{body}    return x\n\nf(1)\n(1 +\nshow 2\n"
        lines = iter(text.splitlines())

        def read_line(prompt: str) -> str:
            for line in lines:
                return line
            raise EOFError

        found = list(loop._statements(read_line))
    assert [f.count("\n") for f in found] == [402, 403, 1, 2] and len(asked) < 12


@given(st.text(st.sampled_from("a1+()[]:#\n \t\"'~<|>."), max_size=40))
def test_every_text_is_read(text: str) -> None:
    lines = iter(text.split("\n"))

    def read_line(prompt: str) -> str:
        for line in lines:
            return line
        raise EOFError

    read = "".join(loop._statements(read_line))
    assert "".join(read.split()) == "".join(text.split())


_PIECES = [*(f":{name} " for name in COMMANDS), ":save! ", "show ", "def f(x) = ", "for t in range(2): "]
_OPERANDS = [
    "x",
    "W",
    "<x|x>",
    "relu(x)",
    "W @ x",
    "sqrt(n) * <x|x>",
    "f",
    "optim",
    "adam",
    "n",
    "1",
    "[1, 2]",
    "dist(x)",
    "cov(x)",
    "c",
    "nosuch",
    "+",
    "(",
    "1024",
    "8",
    "tol",
    "'",
    "\0",
    "é",
    "-",
    "=",
    "/",
    "~",
    "NX203",
    "print",
]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(_PIECES), st.lists(st.sampled_from(_OPERANDS), max_size=3)), min_size=1, max_size=3
    )
)
def test_nothing_that_is_typed_is_a_bug(lines: list[tuple[str, list[str]]]) -> None:
    begun = [
        "width n",
        "W[n, n] ~ normal(0, 1/n)",
        "x[n] ~ normal(0, 1)",
        "c ~ normal(0, 1)",
        "import optim",
        ":set width 8",
    ]
    typed = [*begun, *(f"{piece}{' '.join(words)}" for piece, words in lines), "", "avg(x^2)", ""]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        said = replay("\n".join(f"nexort> {line}" for line in typed), strict=False)
    assert "error[NX901]" not in said and "Traceback" not in said
    ends = any((piece == ":quit " and not words) or "(" in words for piece, words in lines)
    assert ends or "avg(x^2) =  1  (exact)" in said


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "quit"])
@pytest.mark.parametrize("begun", ["", "width n\nx[n] ~ normal(0, 1)\navg(x^2)\n"])
def test_commands_without_an_argument(typed: Typed, name: str, begun: str) -> None:
    out, err = typed(f"{begun}:{name}\n1\n")
    assert "error[NX901]" not in err and out.endswith("1 =  1  (exact)\n")


# ---------------------------------------------------------------------------- streams


def process(text: bytes, *arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "nexortlang", *arguments]
    if shell:
        command = ["sh", "-c", shell.format(f'"{sys.executable}" -m nexortlang repl')]
    return subprocess.run(command, input=text, capture_output=True, timeout=120, env={**os.environ, **environment})


def test_a_pipe() -> None:
    done = process(b"a = 2\na + 1\nnosuch\n:type a\n")
    assert done.returncode == 0 and done.stdout == b"a + 1 =  3  (exact)\na : const = 2\n"
    assert done.stderr.startswith(b"error[NX101]")


def test_a_pipe_that_is_not_utf8() -> None:
    done = process(b"\xff\xfe = 3\n1 + 1\n", "repl")
    assert done.returncode == 0 and done.stdout == b"1 + 1 =  2  (exact)\n" and b"NX008" in done.stderr


def test_a_pipe_in_another_locale() -> None:
    done = process("ξ = 3\nξ\n".encode(), "repl", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0 and b"=  3  (exact)" in done.stdout and done.stderr == b""


def test_a_reader_that_leaves() -> None:
    done = process(b"1\n2\n3\n" * 2000, shell="{} | head -n 1")
    assert done.stdout == b"1 =  1  (exact)\n" and done.stderr == b""


def test_closed_streams() -> None:
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        assert process(b"1\nnosuch\n", shell="{} " + closed).returncode == 0


def test_a_statement_without_end(
    typed: Typed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_SOURCE_BYTES", 100)
    for text in ("1 + " * 100, "(\n" + "1 +\n" * 100):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["repl"]) == 1
        assert "NX501" in capsys.readouterr().err


# ---------------------------------------------------------------------------- completion


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    (tmp_path / "digits.csv").write_text("1\n")
    (tmp_path / "layers.nxt").write_text("def dense(W, x) = W @ x\n")
    (tmp_path / "inner").mkdir()
    found = Conversation(Request(folder=tmp_path), Console())
    answer(
        found.session,
        "width n\nconst lr = 0.1\nW[n, n] ~ normal(0, 1/n)\nxi[n, 2] ~ normal(0, 1)\n"
        "def swish(x, beta = 1) = x * sigmoid(beta * x)\nimport optim\n",
    )
    return found


@pytest.mark.parametrize(
    ("text", "first", "never"),
    [
        ("sh", "show", "swish"),
        ("W @ x", "xi", "W"),
        ("<", "W", "show"),
        ("tan", "tan", "show"),
        ("t", "tan", "dist"),
        ("x[n] ~ n", "normal", "n"),
        ("from op", "optim", "normal"),
        ("from optim import adamw", "adamw", "avg"),
        ("from layers import ", "dense", "avg"),
        ("optim.sg", "sgd", "sign"),
        ('const X = load("d', "digits.csv", "layers.nxt"),
        ('import "', "layers.nxt", "digits.csv"),
        ("swish(xi, b", "beta=", "bernoulli"),
        ("W.", "T", "W"),
        ("for t in range(3):\n    sh", "show", "lr"),
        (":ty", "type", "tanh"),
        (":", "type", "tanh"),
        (":type x", "xi", "type"),
        (":set to", "tol", "type"),
        (":help si", "simulate", "xi"),
        ("width ", "", "n"),
    ],
)
def test_completion(conversation: Conversation, text: str, first: str, never: str) -> None:
    start, found = completions(conversation, text)
    texts = [c.text for c in found]
    assert never not in texts and (texts[0] if texts else "") == first
    assert all(t.lower().startswith(text[start:].lower()) for t in texts)


def test_completion_knows_types(conversation: Conversation) -> None:
    _, found = completions(conversation, "x")
    assert [(c.text, c.detail) for c in found] == [("xi", "vector(n)[2]")]


def test_completion_of_programs(conversation: Conversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [c.text for c in completions(conversation, ":load ")[1]] == ["inner/", "layers.nxt"]
    (tmp_path / "inner" / "a.nxt").touch()
    start, found = completions(conversation, ":load inner/")
    assert start == len(":load inner/") and [c.text for c in found] == ["a.nxt"]
    assert completions(conversation, ":load nosuch/")[1] == []


# ---------------------------------------------------------------------------- histograms


@given(
    st.lists(st.floats(-10, 10), max_size=4),
    st.integers(0, len(CURVE)),
    st.integers(-300, 300),
    st.floats(-1e3, 1e3),
    st.integers(20, 120),
    st.booleans(),
)
def test_bars_fit_and_their_bins_are_what_they_say(
    atoms: list[float], continuous: int, power: int, shift: float, width: int, unicode: bool
) -> None:
    rng = np.random.default_rng(continuous)
    smooth = rng.standard_normal(continuous if atoms else len(CURVE))
    values = np.append(smooth, np.resize(atoms or [0.0], len(CURVE) - len(smooth)))
    curve = np.sort((values + shift) * 10.0**power)
    lines = histogram(_distribution(curve), width, unicode)
    assert lines and (width < 40 or max(map(len, lines)) <= width)
    assert all("nan" not in line for line in lines)
    if lines[0].startswith("always"):
        return
    begins = [float(line.split()[0]) for line in lines]
    step = begins[1] - begins[0] if len(begins) > 1 else np.inf
    for begin, line in zip(begins, lines, strict=True):
        slack = 1e-6 * step + 1e-15 * abs(begin)  # values on an edge may be told on either side
        least = np.mean((curve >= begin + slack) & (curve < begin + step - slack))
        most = np.mean((curve >= begin - slack) & (curve < begin + step + slack))
        told = float(line.split()[-1].rstrip("%")) / 100 if line.endswith("%") and "<" not in line else 0.0
        assert least - 0.02 <= told <= most + 0.02  # the steps of two hundred quantiles, and rounding


def test_histograms_of_atoms() -> None:
    coin = histogram(_distribution(np.repeat([0.0, 1.0], len(CURVE) // 2)), 40)
    assert coin[0].endswith("50%") and coin[-1].endswith("50%") and not any("%" in line for line in coin[1:-1])
    assert histogram(_distribution(np.full(len(CURVE), 3.0))) == ["always 3"]
    assert histogram(_distribution(np.array([np.nan] * len(CURVE)))) == []


def _distribution(curve: np.ndarray) -> Distribution:
    zero = np.zeros(())
    return Distribution(zero, zero, {}, zero, zero, zero, "exact", curve)
