"""Reading and answering, until the input ends."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Callable, Iterator

from nexortlang import __version__
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.accident import accident
from nexortlang.driver import Request
from nexortlang.repl.commands import Commands, is_command
from nexortlang.repl.conversation import Conversation
from nexortlang.report.console import Console
from nexortlang.settings import MAX_SOURCE_BYTES
from nexortlang.syntax.parser import is_complete
from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import CLOSING, scan

FIRST, MORE = "nexort> ", "   ...  "

ReadLine = Callable[[str], str]
"""Asks for a line, or for several of one statement, with a prompt. Raises EOFError at the end, KeyboardInterrupt when the lines are given up."""


def repl(request: Request, console: Console) -> None:
    """One session on the process's own streams."""
    conversation = Conversation(request, console)
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        from nexortlang.repl.terminal import reader

        welcome = f"nexort {__version__}. An expression shows its limit. Ctrl-D or quit leaves, help helps."
        console.say("\n".join(textwrap.wrap(welcome, console.width)) + "\n")
        converse(conversation, reader(conversation))
    else:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # what is not UTF-8 is no word of the language
        converse(conversation, _pipe)


def converse(conversation: Conversation, read_line: ReadLine) -> None:
    """Answers one statement or command after the other."""
    console, commands = conversation.console, Commands(conversation)
    for text in _statements(read_line):
        try:
            if commands.leaves(text):
                return
            if not commands.answers(text):
                conversation.run(text)
        except KeyboardInterrupt:
            console.note("interrupted")
        except BrokenPipeError:
            raise
        except NexortError as problem:
            console.complain(problem.diagnostics)
        except Exception as error:
            console.complain([accident(error)])


def _statements(read_line: ReadLine) -> Iterator[str]:
    """Commands, and complete statements, each with its line break."""
    pending = _Pending()
    while True:
        try:
            pending.add(read_line(MORE if pending.lines else FIRST))
        except KeyboardInterrupt:
            pending = _Pending()
            continue
        except EOFError:
            if pending.lines:
                yield pending.text
            return
        if pending.is_whole():
            if pending.text.strip():
                yield pending.text
            pending = _Pending()


class _Pending:
    """The lines of a statement that may go on. The parser is asked only about lines that could end it, so that long statements take linear time."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = self._size = 0
        self._could_end = True

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def add(self, line: str) -> None:
        """Raises NexortError, NX501, where it becomes more than a program may have."""
        self._size += len(line)
        if self._size > MAX_SOURCE_BYTES:
            raise NexortError(Diagnostic("NX501", f"a statement has at most {MAX_SOURCE_BYTES / 1e6:.0f} MB"))
        words = [token.kind for token in scan(line) if token.kind != "COMMENT"]
        before, self._depth = self._depth, self._depth + sum((w in CLOSING) - (w in CLOSING.values()) for w in words)
        if before > 0:
            self._could_end = self._depth <= 0 or (bool(words) and words[0] in table().reserved)
        else:
            self._could_end = not (self.lines and words and line[0] in " \t")
        self.lines.append(line)

    def is_whole(self) -> bool:
        return self._could_end and is_whole("\n".join(self.lines))


def is_whole(text: str) -> bool:
    """Whether Enter runs what was typed. A documentation comment waits for its definition."""
    documents = text.rpartition("\n")[2].lstrip().startswith("##")
    return is_command(text) or (is_complete(text) and not documents)


def _pipe(prompt: str) -> str:
    """A line, or as much of it as is too much already."""
    line = sys.stdin.readline(MAX_SOURCE_BYTES + 2) if sys.stdin is not None else ""
    if not line:
        raise EOFError
    return line.rstrip("\r\n")
