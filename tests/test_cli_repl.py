"""The prompt: statements as they come, from a pipe and from a terminal; nothing but the end of the input ends it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from nexortlang import driver
from nexortlang.cli import main
from nexortlang.driver import Request
from nexortlang.repl.commands import COMMANDS
from nexortlang.session import Session
from nexortlang.source import Source


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """stdout and stderr of a session whose input is the text."""

    def run(text: str, *options: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["repl", *options]) == 0
        return tuple(capsys.readouterr())  # type: ignore[return-value]

    return run


def test_an_expression_shows_its_limit(typed) -> None:  # type: ignore[no-untyped-def]
    out, err = typed("width n\nx[n] ~ normal(0, 4)\navg(x^2)\nx\n")
    assert out.startswith("avg(x^2) =  4  (exact)\nx  (exact)\n  mean") and err == ""


def test_blocks_end_with_an_empty_line(typed) -> None:  # type: ignore[no-untyped-def]
    out, err = typed("def f(x):\n    y = x + 1\n    return y\n\nf(2)\nfor t in range(2):\n    show t\n\n(1 +\n 2)\n")
    assert "f(2) =  3" in out and "t  (2 passes, exact)" in out and "=  3  (exact)\n" in out and err == ""


def test_a_mistake_does_not_end_the_session(typed) -> None:  # type: ignore[no-untyped-def]
    out, err = typed("a = 1 +\nshow b\na = 2\nassert a ~= 3 within 0.1\na\n")
    assert out == "a =  2  (exact)\n"
    assert all(code in err for code in ("NX0", "NX101", "NX304"))


def test_a_wrong_statement_changes_nothing(typed) -> None:  # type: ignore[no-untyped-def]
    out, _ = typed("a = 1\nfor t in range(2):\n    a = 5\n    show nosuch\n\na\n")
    assert out == "a =  1  (exact)\n"


def test_an_unfinished_statement_at_the_end_is_run(typed) -> None:  # type: ignore[no-untyped-def]
    out, _ = typed("for t in range(2):\n    show t")
    assert "t  (2 passes, exact)" in out


def test_json_and_settings(typed) -> None:  # type: ignore[no-untyped-def]
    out, _ = typed("const a = 1\nshow a\n", "--json", "--set", "a=7")
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["results"] == [] and second["results"][0]["value"] == 7


def test_accidents_and_interruptions_do_not_end_the_session(typed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    real, accidents = Session.run, iter([KeyboardInterrupt(), ZeroDivisionError("in a stage")])

    def run(self: Session, *arguments: object) -> driver.Outcome:
        for accident in accidents:
            raise accident
        return real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "run", run)
    out, err = typed("1\n2\n3\n")
    assert out == "3 =  3  (exact)\n" and "interrupted" in err and "NX901" in err and "Traceback" not in err


@pytest.mark.parametrize("word", ["exit", "quit", "exit()", "quit()", ":quit", ":q"])
def test_words_that_leave(typed, word: str) -> None:  # type: ignore[no-untyped-def]
    assert typed(f"1\n{word}\n2\n") == ("1 =  1  (exact)\n", "")


@pytest.mark.parametrize("word", ["help", "help()", ":help", "?"])
def test_help(typed, word: str) -> None:  # type: ignore[no-untyped-def]
    out, err = typed(f"{word}\n1\n")
    assert (
        "quit leaves" in out
        and "expression alone" in out
        and "explain NX203" in out
        and out.endswith("=  1  (exact)\n")
    )
    assert err == ""


def test_help_fits_the_terminal(typed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "40")
    topics = ["", *COMMANDS, "tanh", "normal", "show", "for", "nx203"]
    out, err = typed("".join(f":help {topic}\n" for topic in topics))
    assert err == "" and "  width n\n      begins a program\n" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("    ")) <= 40


def test_lessons_at_the_prompt(typed) -> None:  # type: ignore[no-untyped-def]
    out, err = typed("explain nx203\nexplain NX999\nexplain\n")
    assert "NX203: a function of a matrix" in out and "NX101  " in out and "NX507" in err


def test_names_of_the_program_are_no_commands(typed) -> None:  # type: ignore[no-untyped-def]
    assert typed("quit = 1\nhelp = 2\nquit + help\nquit\nhelp\n")[0].count("exact") == 3


def test_a_session_keeps_what_it_knows() -> None:
    session = Session(Request())
    source = "width n\nW[n, n] ~ normal(0, 1)\n"
    assert not session.run(Source("<input>", source.replace("1)", "1/n)"))).is_wrong
    assert "W" in session.names and "relu" in session.names
    assert [d.code for d in session.run(Source("<input>", "y = relu(W)\n")).diagnostics] == ["NX203"]
    assert "y" not in session.names


def test_the_session_reads_files_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1\n3\n")
    session = Session(Request(folder=tmp_path))
    outcome = session.run(Source("<input>", 'const x = load("x.csv")\nmean(x)\n'))
    assert outcome.shown is not None and float(outcome.shown[0].answer.stderr) == 0


def test_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("1 + (\rgiven up\x03")  # Ctrl-C gives up what is typed
        keys.send_text("for t in range(2):\r    show t\r\r2 * 3\r\x04")
        assert main([]) == 0
    out, _ = capsys.readouterr()
    assert "Ctrl-D or quit leaves, help helps" in out and "t  (2 passes, exact)" in out and "2 * 3 =  6  (exact)" in out
