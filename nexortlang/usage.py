"""What `nexort --help` and `nexort COMMAND --help` print.

In: a command, or none, and the columns of the terminal. Out: text whose lines are no longer than that, but for words that cannot be broken.
"""

from __future__ import annotations

import argparse
from textwrap import fill

from nexortlang.options import ONLY_FOR, parser

_WIDEST = 100
_NARROW = 60
"""Below so many columns what is said of a name stands under it, not beside it."""
_NAMES = 23

_COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("FILE", "check the program, compute its limit, print a report"),
    "check": ("check FILE", "check it only"),
    "core": ("core FILE", "print the core program, itself valid .nxt"),
    "derive": ("derive FILE", "its limit as equations in bra-ket notation"),
    "simulate": ("simulate FILE", "run it at finite width, several times"),
    "verify": ("verify FILE", "compare its limit with runs at growing widths"),
    "classify": ("classify FILE", "sort its parametrization: powers of n, stable or not, which regime"),
    "fmt": ("fmt FILE…", "lay it out anew, its meaning untouched"),
    "explain": ("explain [CODE]", "the lesson behind a diagnostic, or the list of all"),
    "repl": ("[repl]", "type a program line by line"),
    "lsp": ("lsp", "the language server, which editors start"),
    "help": ("help [COMMAND]", "this, or what a command does and its options"),
}
_WITH_PROGRAM: tuple[str, ...] = ("run", "check", "core", "derive", "simulate", "verify", "classify", "repl")
_READ_BY: dict[str, tuple[str, ...]] = {
    "set": _WITH_PROGRAM,
    "max_steps": _WITH_PROGRAM,
    "tol": ("run", "verify", "repl"),
    "samples": ("run", "verify", "repl"),
    "patience": ("run", "verify", "repl"),
    "seed": ("run", "simulate", "verify", "repl"),
    "json": ("run", "check", "core", "simulate", "verify", "classify"),
    "version": (),
}
"""Options that only some commands have use for. They are accepted by all: they ask for nothing."""

_TITLE = "Tensor Programs, run at infinite width."
_FILE = "FILE is - for standard input; a file whose name is a command is reached as ./check."
_STATUS = """\
Exit status: 0 done; 1 the program is wrong, an assert or a verify failed; 2 the command line is wrong; 3 the tolerance was not reached."""


def help_text(command: str, columns: int) -> str:
    """Help on one command, or on all ("")."""
    width = max(1, min(columns, _WIDEST))
    words = _COMMANDS[command][0] if command else "[COMMAND] [FILE]"
    parts = [fill(f"usage: nexort {words} [options]", width)]
    if not command:
        parts.append(fill(_TITLE, width))
    parts.append("\n".join(_row(c, width) for c in ([command] if command else _COMMANDS)))
    if "FILE" in words:
        parts.append(fill(_FILE, width))
    return "\n\n".join([*parts, _options(command, width), fill(_STATUS, width)]) + "\n"


def _row(command: str, width: int) -> str:
    """A command and what it does."""
    words, about = _COMMANDS[command]
    name = f"  nexort {words}"
    if width < _NARROW:
        return f"{name}\n" + fill(about, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return fill(about, width, initial_indent=f"{name:<{_NAMES + 2}}", subsequent_indent=" " * (_NAMES + 2))


def _options(command: str, width: int) -> str:
    """What the options are, of one command those that it reads."""
    formatter = argparse.HelpFormatter("nexort", max_help_position=6 if width < _NARROW else _NAMES + 2, width=width)
    formatter.start_section("options")
    actions = [a for a in parser()._actions if a.option_strings and _is_read(a.dest, command)]
    for action in actions:
        action.help = _about(action.help or "", command)
    formatter.add_arguments(actions)
    formatter.end_section()
    return formatter.format_help().rstrip("\n")


def _is_read(option: str, command: str) -> bool:
    owners = {**_READ_BY, **ONLY_FOR}.get(option)
    return not command or owners is None or command in owners


def _about(text: str, command: str) -> str:
    """What is said of an option; in the help of a command without the names of those that have it."""
    owners, colon, rest = text.partition(": ")
    return rest if command and colon and set(owners.split(", ")) <= set(_COMMANDS) else text
