"""The prompt at real terminals: wide and narrow, with and without colours, with and without a place for its history."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from nexortlang.driver import Request
from nexortlang.repl import terminal
from nexortlang.repl.conversation import Conversation
from nexortlang.repl.loop import FIRST
from nexortlang.report.console import Console

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ASKED = "\x1b[?2004l"
"""What the prompt says to the terminal when a statement is read and begins to run."""
COLORS = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m")


class Terminal:
    """A process at a terminal of its own."""

    def __init__(self, columns: int, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "nexortlang", *arguments], environment)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.raw = ""
        self._read = 0

    @property
    def text(self) -> str:
        """All that came, without escapes."""
        return ESCAPES.sub("", self.raw)

    def read(self, text: str = "") -> str:
        """What comes up to a text, from where the last reading ended; without one, until the process ends."""
        begun = self._read
        self.wait(lambda: bool(text) and text in self.text[begun:], text)
        self._read = begun + self.text[begun:].index(text) + len(text) if text else len(self.text)
        return self.text[begun : self._read]

    def wait(self, is_there: Callable[[], bool], what: str = "") -> None:
        """Reads until a condition holds, or to the end, where there is nothing to wait for."""
        end = time.monotonic() + 30
        while not is_there():
            ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{what!r} does not come after {self.raw!r}"
            try:
                part = os.read(self._fd, 65536).decode("utf-8", "replace")
            except OSError:  # how Linux tells that the other side is closed
                part = ""
            if not part:
                assert not what, f"{what!r} does not come after {self.raw!r}"
                break
            self.raw += part

    def insist(self, keys: str, text: str) -> None:
        """Types keys every second until a text comes: a key that meets the terminal between two modes is lost."""
        begun = self._read
        for _ in range(30):
            self.type(keys)
            end = time.monotonic() + 1.0
            while time.monotonic() < end and text not in self.text[begun:]:
                if select.select([self._fd], [], [], 0.1)[0]:
                    self.raw += os.read(self._fd, 65536).decode("utf-8", "replace")
            if text in self.text[begun:]:
                break
        self.read(text)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def at_terminal(home: Path, columns: int = 80, *arguments: str, **environment: str) -> Iterator[Terminal]:
    base = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    base |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(home)}
    found = Terminal(columns, arguments, base | environment)
    try:
        yield found
        found.read("nexort>")
        found.type("\x04")
        found.read()
        assert found.status() == 0
    finally:
        os.close(found._fd)


def test_a_terminal(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as t:
        assert "Ctrl-D or quit leaves" in t.read("nexort>")
        t.type("width n\r")
        t.read("nexort>")
        t.type("x[n] ~ normal(0, 1)\r")
        t.read("nexort>")
        t.type("for t in range(2):\rshow t * <x|x> as c\r\r")  # the second line is indented by the prompt
        assert "c  (2 passes, exact)" in t.read("exact)")
        t.read("nexort>")
        t.type("1 + (")
        t.read("(")
        t.type("\x03")  # gives it up
        t.read("nexort>")
        t.type("nosuch\r")
        assert "unknown name nosuch" in t.read("nosuch\r\n")
        t.read("nexort>")
        t.type(":dis\t")
        t.read(":dist")
        t.type(" x\r")
        assert "█" in t.read("\r\n 2.5 ")
        t.read("nexort>")
        asked = t.raw.count(ASKED)
        t.type("for t in range(900000):\rx = tanh(x + t)\r\r")
        t.wait(lambda: t.raw.count(ASKED) > asked, "the end of the input")
        t.insist("\x03", "interrupted")
        t.read("nexort>")
        t.type("avg(x^2)\r")
        t.read("avg(x^2) =  1  (exact)")
    assert COLORS.search(t.raw)
    history = (tmp_path / "nexort" / "history").read_text()
    assert "+avg(x^2)\n" in history and "+for t in range(2):\n+    show t * <x|x> as c\n" in history


def test_the_history_is_there_the_next_time(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as t:
        t.read("nexort>")
        t.type("6 * 7\r")
        t.read("6 * 7 =  42")
        t.read("nexort>")
        t.type("2 * 4\r")
        t.read("=  8")
    with at_terminal(tmp_path) as t:
        t.read("nexort>")
        t.type("6")
        t.read("6 * 7")  # suggested
        t.type("\x1b[C\r")  # taken
        t.read("6 * 7 =  42")
        t.read("nexort>")
        t.type("\x122 *\r\r")  # Ctrl-R searches
        t.read("2 * 4 =  8")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}])
def test_terminals_without_colours_or_of_40_columns(tmp_path: Path, environment: dict[str, str]) -> None:
    with at_terminal(tmp_path, 40, **environment) as t:
        t.read("nexort>")
        for line, said in (("nosuch + 1", "NX101"), (":help", "quit leaves."), ("eye(9)", "exact)"), ("1 +", "NX016")):
            t.type(f"{line}\r" if "TERM" not in environment else f"{line}\n")
            t.read(said)
            t.read("nexort>")
        t.type("1\r" if "TERM" not in environment else "1\n")
        t.read("exact)")
    assert not COLORS.search(t.raw)
    lines = [line for line in t.text.replace("\r", "\n").split("\n") if "nexort>" not in line]
    assert max(map(len, lines)) <= 40 and any("unknown name nosuch" in line for line in lines)


def test_a_dumb_terminal_can_be_interrupted(tmp_path: Path) -> None:
    with at_terminal(tmp_path, 80, TERM="dumb") as t:
        t.read("nexort>")
        t.type("for t in range(2):\n")
        t.read("...")
        t.insist("\x03", "nexort>")
        t.type("1 + 1\n")
        t.read("1 + 1 =  2")
    assert "\x1b" not in t.raw


def test_no_place_for_the_history(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nexort" / "history").mkdir(parents=True)
    for place in (tmp_path / "file", tmp_path):
        with at_terminal(place, HOME=str(tmp_path / "file"), XDG_CACHE_HOME=str(tmp_path / "file")) as t:
            t.read("nexort>")
            t.type("1 + 1\r")
            t.read("1 + 1 =  2")
            t.read("nexort>")
            t.type("\x1b[A\r")
            t.read("1 + 1 =  2")
    assert (tmp_path / "file").read_text() == ""


# ---------------------------------------------------------------------------- keys, without a terminal


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("1 + 1\r", "1 + 1"),
        ("(1 +\r2)\r", "(1 +\n2)"),
        ("def f(x):\rreturn x\r\r", "def f(x):\n    return x\n"),
        (
            "def f(x):\rif 1:\rreturn x\r\x7f\x7f\x7f\x7freturn 2\r\r",
            "def f(x):\n    if 1:\n        return x\n    return 2\n",
        ),
        ("## About f.\rdef f(x) = x\r", "## About f.\ndef f(x) = x"),
        ("12\x1b[D\r", "12"),  # in the middle of a line, too
        ("(1)\x1b[D\x1b[D\r", "(1)"),
        (":type (\r", ":type ("),
        ("for t in range(2):\r\x7f\x7f\x7f\x7f\tshow t\r\r", "for t in range(2):\n    show t\n"),
        ("\x1b[200~for t in range(2):\n    show t\n\x1b[201~\r", "for t in range(2):\n    show t\n"),  # pasted
    ],
)
def test_enter_runs_what_is_complete(keys: PipeInput, typed: str, read: str) -> None:
    read_line = terminal.reader(Conversation(Request(), Console(color="always")))
    keys.send_text(f"{typed}\x03")  # Ctrl-C, where Enter did not run it
    assert read_line(FIRST) == read


def test_ends_and_interruptions(keys: PipeInput) -> None:
    read_line = terminal.reader(Conversation(Request(), Console()))
    for key, raised in (("\x03", KeyboardInterrupt), ("\x04", EOFError)):
        keys.send_text(key)
        with pytest.raises(raised):
            read_line(FIRST)


@pytest.mark.parametrize(
    "text", ["show <x|y> # so", ":type <x|", "for t in range(2):\n    show t\n", "", "\n\n", "⟨x|é\u0301 §"]
)
def test_colours_leave_the_text_as_it_is(text: str) -> None:
    line = terminal._Colors().lex_document(Document(text))
    lines = text.split("\n")
    assert ["".join(part[1] for part in line(i)) for i in range(len(lines))] == lines
    assert line(len(lines)) == []
