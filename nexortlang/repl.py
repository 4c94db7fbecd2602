"""The prompt: a program typed line by line.

In: lines from a terminal, or from a pipe. Out: what each statement shows, as soon as it is complete; an expression alone shows its limit.
Guarantees: neither a mistake nor Ctrl-C ends the session; Ctrl-D, quit and the end of the pipe do. What the program binds is never taken for a command. prompt_toolkit
is imported only when a terminal is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from nexortlang import __version__
from nexortlang.cli import lesson_of, tell
from nexortlang.diagnostics import NexortError
from nexortlang.diagnostics.accident import accident
from nexortlang.driver import Request, Session
from nexortlang.report.console import Console, Progress
from nexortlang.source import Source
from nexortlang.syntax.parser import is_complete
from nexortlang.syntax.table import table

_FIRST, _MORE = "nexort> ", "   ...  "
_LEAVE = frozenset({"exit", "exit()", "quit", "quit()", ":quit", ":exit", ":q"})
_ASK = frozenset({"help", "help()", ":help", ":h", "?"})
_HELP = """\
A statement runs when it is complete; a block ends with an empty line.
An expression alone shows its limit, a vector its distribution.

  width n                      begins a program
  W[n, n] ~ normal(0, 1/n)     draws a matrix, x[n] ~ normal(0, 1) a vector
  <x|y>  avg(x)                a number that has a limit

explain NX203 tells more about a diagnostic, explain alone lists all of them.
Ctrl-C gives up what is typed; Ctrl-D or quit leaves.
"""

ReadLine = Callable[[str], str]
"""Asks for a line with a prompt. Raises EOFError at the end, KeyboardInterrupt when the line is given up."""


def repl(request: Request, console: Console) -> None:
    """One session, until the input ends."""
    session = Session(request)
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty():
        console.say(f"nexort {__version__}. An expression shows its limit. Ctrl-D or quit leaves, help helps.\n")
        read_line = _terminal(session)
    else:
        read_line = _pipe
    for text in _statements(read_line, console):
        word, _, rest = text.strip().partition(" ")
        if word.removesuffix("()") not in session.names:
            if text.strip() in _LEAVE:
                return
            if _is_answered(word, rest.strip(), console):
                continue
        try:
            with Progress(console.quiet) as progress:
                outcome = session.run(Source("<input>", text), progress)
            tell(outcome, console, "<input>", request.seed)
        except KeyboardInterrupt:
            console.note("interrupted")
        except BrokenPipeError:
            raise
        except Exception as error:
            console.complain([accident(error)])


def _is_answered(word: str, rest: str, console: Console) -> bool:
    """Whether the line asked for help or a lesson, which is then told."""
    if word in _ASK and not rest:
        console.answer(_HELP)
    elif word in ("explain", ":explain") and (not rest or rest.isalnum()):
        try:
            console.answer(lesson_of(rest, console.width))
        except NexortError as problem:
            console.complain(problem.diagnostics)
    else:
        return False
    return True


def _statements(read_line: ReadLine, console: Console) -> Iterator[str]:
    """Complete statements, each with its line break."""
    lines: list[str] = []
    while True:
        try:
            lines.append(read_line(_MORE if lines else _FIRST))
        except KeyboardInterrupt:
            lines = []
            console.note("")
            continue
        except EOFError:
            if lines:
                yield "\n".join(lines) + "\n"
            return
        text = "\n".join(lines)
        if is_complete(text):
            lines = []
            if text.strip():
                yield text + "\n"


def _pipe(prompt: str) -> str:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def _terminal(session: Session) -> ReadLine:
    """Lines with history, and names completed."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter

    completer = WordCompleter(lambda: [*session.names, *sorted(table().reserved)])
    prompt: PromptSession[str] = PromptSession(completer=completer, complete_while_typing=False)
    return prompt.prompt
