"""The words of a command line, read.

In: the arguments of `nexort`. Out: `Arguments`, all values checked, or NexortError (NX507 a bad option, NX508 a bad --set). Nothing here looks at
the file system.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Literal, NoReturn, TypeVar

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.report.console import ColorChoice
from nexortlang.settings import DEFAULT_MAX_STEPS, PATIENCE

Command = Literal[
    "run",
    "check",
    "core",
    "derive",
    "simulate",
    "verify",
    "classify",
    "fmt",
    "explain",
    "repl",
    "lsp",
    "help",
    "version",
]
Dtype = Literal["float64", "float32"]
_WITH_FILE = ("check", "core", "derive", "simulate", "verify", "classify")
_NAMED = (*_WITH_FILE, "fmt", "explain", "repl", "lsp", "help")
_TAKES = {"explain": "one code", "repl": "no file", "lsp": "no file", "help": "one command"}
ONLY_FOR = {
    "width": ("simulate",),
    "widths": ("verify",),
    "seeds": ("simulate", "verify"),
    "dtype": ("simulate", "verify"),
    "plot": ("run", "verify"),
    "check": ("fmt",),
    "diff": ("fmt",),
    "stdio": ("lsp",),
    "latex": ("derive",),
    "output": ("derive",),
    "steps": ("derive",),
    "all": ("derive",),
}
"""Options that only some commands have."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """One command. `target` is its file or code ("" for none), of help the command that it is about; `files` all those of fmt; `settings` what --set gave, in order."""

    command: Command
    target: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    tol: float = 1e-3
    samples: int | None = None
    patience: float = PATIENCE
    seed: int = 0
    max_steps: int = DEFAULT_MAX_STEPS
    json: bool = False
    quiet: bool = False
    color: ColorChoice = "auto"
    width: int | None = None
    widths: tuple[int, ...] | None = None
    seeds: int | None = None
    dtype: Dtype = "float64"
    plot: str = ""
    files: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    latex: bool = False
    output: str = ""
    steps: int | None = 2


def read_arguments(words: Sequence[str]) -> Arguments:
    """What the command line asks for."""
    found, unknown = parser().parse_known_intermixed_args(list(words))
    names: list[str] = found.words
    if unknown:
        raise _bad(
            f"there is no option {unknown[0]}", _suggestion(unknown[0], [o for o in _option_names() if o != "-h"])
        )
    command: Command
    command, target = ("version", "") if found.version else ("help", _helped(names)) if found.help else _command(names)
    _require_fitting(command, found)
    return Arguments(
        command,
        target,
        tuple(found.set),
        found.tol,
        found.samples,
        found.patience,
        found.seed,
        found.max_steps,
        found.json,
        found.quiet,
        found.color,
        found.width,
        found.widths,
        found.seeds,
        found.dtype or "float64",
        found.plot or "",
        tuple(names[1:]) if command == "fmt" else (),
        bool(found.check),
        bool(found.diff),
        bool(found.latex),
        found.output or "",
        None if found.all else found.steps or 2,
    )


def _helped(names: Sequence[str]) -> str:
    """The command that help is asked of, "" for all."""
    return names[0] if names and names[0] in _NAMED else ""


def _command(names: Sequence[str]) -> tuple[Command, str]:
    """The command and what it is about."""
    match names:
        case [] | ["repl"]:
            return "repl", ""
        case ["explain"]:
            return "explain", ""
        case ["explain", code]:
            return "explain", code
        case ["lsp"]:
            return "lsp", ""
        case ["help"]:
            return "help", ""
        case ["help", word] if word in _NAMED:
            return "help", word
        case [("check" | "core" | "derive" | "simulate" | "verify" | "classify") as command, file]:
            return command, file
        case ["fmt", file, *_]:
            return "fmt", file
        case [("check" | "core" | "derive" | "simulate" | "verify" | "classify" | "fmt") as command]:
            raise _bad(f"`nexort {command}` takes a file", f"nexort {command} program.nxt")
        case [file]:
            return "run", file
        case [word, *_] if word in _NAMED:
            wanted = "one file" if word in _WITH_FILE else _TAKES[word]
            raise _bad(f"`nexort {word}` takes {wanted}, found {' '.join(names[1:])}")
        case _:
            raise _bad(
                f"expected one file, found {' '.join(names)}",
                _suggestion(names[0], _NAMED),
            )


def _require_fitting(command: Command, found: argparse.Namespace) -> None:
    """Refuses options of other commands, and what cannot be compared."""
    for option, commands in ONLY_FOR.items():
        if getattr(found, option) is not None and command not in commands:
            instead = "--widths" if option == "width" else "--width" if option == "widths" else ""
            hint = f"`nexort {command}` has {instead}" if instead and command in ("simulate", "verify") else ""
            owners = " and ".join(f"`nexort {'FILE' if c == 'run' else c}`" for c in commands)
            raise _bad(f"--{option} is an option of {owners}", hint)
    if command == "verify" and found.seeds == 1:
        raise _bad("--seeds: expected at least 2 to verify, found 1", "one run does not tell how much runs differ")
    if command == "verify" and found.widths is not None and len(found.widths) < 2:
        raise _bad(
            f"--widths: expected at least two widths, found {found.widths[0]}",
            "how results change with the width is what tells their limit: --widths 256,512,1024",
        )


# ---------------------------------------------------------------------------- options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _bad(message.removeprefix("argument "))


def parser() -> _Parser:
    p = _Parser(prog="nexort", add_help=False, allow_abbrev=False)
    p.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    add = p.add_argument_group("options").add_argument
    add(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="another value for a top-level const: a number or […]",
    )
    add(
        "--tol",
        type=_positive,
        default=1e-3,
        metavar="E",
        help="target standard error of what is sampled (default 1e-3)",
    )
    add("--samples", type=_count, metavar="N", help="particles (default: as many as --tol asks for)")
    add(
        "--patience",
        type=_positive,
        default=PATIENCE,
        metavar="M",
        help=f"about how many minutes sampling may take for --tol (default {PATIENCE:g})",
    )
    add("--seed", type=_seed, default=0, metavar="S", help="of the randomness (default 0): same seed, same numbers")
    add(
        "--max-steps",
        type=_count,
        default=DEFAULT_MAX_STEPS,
        metavar="N",
        help=f"statements a program may run (default {DEFAULT_MAX_STEPS})",
    )
    add("--json", action="store_true", help="print one JSON object; diagnostics too")
    add(
        "--width",
        type=_count,
        metavar="N",
        help="simulate: the size of the first width (default 1024); others in ratio",
    )
    add(
        "--widths",
        type=_counts,
        metavar="N,N,…",
        help="verify: sizes of the first width (default 256,512,1024,2048)",
    )
    add("--seeds", type=_count, metavar="N", help="simulate, verify: runs at each width (default 10 and 20)")
    add(
        "--dtype",
        choices=["float64", "float32"],
        help="simulate, verify: the numbers to compute with (default float64)",
    )
    add(
        "--plot",
        type=_picture,
        metavar="FILE",
        help="results, or of verify the convergence, as an .svg or .png picture",
    )
    add("--check", action="store_const", const=True, help="fmt: write nothing; exit status 1 if a file would change")
    add("--diff", action="store_const", const=True, help="fmt: write nothing; print what would change")
    add("--stdio", action="store_const", const=True, help=argparse.SUPPRESS)  # as many editors start a server
    add("--latex", action="store_const", const=True, help="derive: a LaTeX document")
    add("-o", "--output", metavar="FILE", help="derive: write it to a file")
    add("--steps", type=_count, metavar="N", help="derive: passes of each loop that are written out (default 2)")
    add("--all", action="store_const", const=True, help="derive: write out every pass")
    add("--quiet", action="store_true", help="no report, no progress, no warnings: errors and the exit status only")
    add(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="colours in diagnostics (default auto; NO_COLOR is honoured)",
    )
    add("--version", action="store_true", help="print the version")
    add("-h", "--help", action="store_true", help="print this")
    return p


def _option_names() -> list[str]:
    return [name for action in parser()._actions for name in action.option_strings]


def _setting(text: str) -> tuple[str, str]:
    """name=value, the value still a text."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip().isidentifier() and value.strip()):
        raise NexortError(
            Diagnostic(
                "NX508", f"--set: expected name=value, found {text or 'nothing'}", hint="for example --set lr=0.2"
            )
        )
    return name.strip(), value.strip()


_T = TypeVar("_T", int, float)


def _number(convert: Callable[[str], _T], text: str, expected: str, holds: Callable[[_T], bool]) -> _T:
    try:
        value = convert(text)
    except (ValueError, OverflowError):
        value = None
    if value is None or not holds(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
    return value


def _whole(text: str) -> int:
    """Also 1e6."""
    value = float(text)
    if value != int(value):
        raise ValueError(text)
    return int(text) if text.isdecimal() else int(value)


def _positive(text: str) -> float:
    return _number(float, text, "a positive number", lambda x: isfinite(x) and x > 0)


def _count(text: str) -> int:
    return _number(_whole, text, "a whole number of at least 1", lambda k: k >= 1)


def _counts(text: str) -> tuple[int, ...]:
    """Whole numbers between commas, in increasing order, each once."""
    return tuple(sorted({_count(part.strip()) for part in text.split(",")}))


def _picture(text: str) -> str:
    if not text.lower().endswith((".svg", ".png")):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .svg or .png, found {text}")
    return text


def _seed(text: str) -> int:
    return _number(_whole, text, "a whole number of at least 0", lambda k: k >= 0)


def _bad(message: str, hint: str = "") -> NexortError:
    return NexortError(Diagnostic("NX507", message, hint=hint or "nexort --help lists commands and options"))


def _suggestion(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word.partition("=")[0], known, n=1)
    return f"did you mean {near[0]}?" if near else ""
