"""The `nexort` command.

In: the words of the command line. Out: an exit status: 0 done, 1 the program is wrong, an assert or a verify failed, 2 the command line is wrong, 3 the
tolerance was not reached; 130 and 141 as shells have it, interrupted and nobody reading. Guarantees: never a traceback, unless
NEXORT_DEBUG=1 asks for it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nexortlang import __version__, driver
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.accident import accident
from nexortlang.driver import Outcome, Request
from nexortlang.options import Arguments, read_arguments
from nexortlang.reading import read_source
from nexortlang.report import json
from nexortlang.report.console import Console, Progress, write, write_file
from nexortlang.settings import RECURSION_LIMIT

_COMMAND_LINE = frozenset({"NX112", "NX507", "NX508", "NX509"})
"""Codes of mistakes that stand in the command line, or in what is installed, not in the program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. `argv` is the command line without the program's name; without it, that of the process."""
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks Greek letters shows ? for them
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    try:
        return _guarded(words)
    except BrokenPipeError:
        return _nobody_reads()
    except KeyboardInterrupt:
        write(sys.stderr, "nexort: interrupted\n")
        return 130


def _guarded(words: Sequence[str]) -> int:
    """One command, whose every failure but an interruption becomes a diagnostic."""
    console = Console(json="--json" in words)
    try:
        arguments = read_arguments(words)
        console = Console(arguments.json, arguments.quiet, arguments.color)
        return _command(arguments, console)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except NexortError as error:
        return _refuse(error.diagnostics, console)
    except Exception as error:
        if os.environ.get("NEXORT_DEBUG"):
            raise
        return _refuse([accident(error)], console)


def _command(arguments: Arguments, console: Console) -> int:
    match arguments.command:
        case "run":
            _one_thread_per_product()
            return _run(arguments, console)
        case "check":
            return _check(arguments, console)
        case "core":
            return _core(arguments, console)
        case "derive":
            _one_thread_per_product()
            return _derive(arguments, console)
        case "simulate" | "verify":
            return _experiment(arguments, console)
        case "fmt":
            return _fmt(arguments, console)
        case "classify":
            return _classify(arguments, console)
        case "explain":
            console.answer(lesson_of(arguments.target, console.width))
        case "help":
            from nexortlang.usage import help_text

            console.answer(help_text(arguments.target, console.width))
        case "version":
            console.answer(f"nexort {__version__}\n")
        case "repl":
            from nexortlang.repl import repl

            _one_thread_per_product()
            repl(_request(arguments), console)
        case "lsp":
            _one_thread_per_product()
            _language_server(console)
    return 0


def _one_thread_per_product() -> None:
    """Keeps BLAS, which NumPy is yet to load, from threads of its own: the limit's matrices are thin, and its particles run on threads already.

    Measured on two cores: a training program takes 3 s so, and up to 50 s when both kinds of threads compete.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


# ---------------------------------------------------------------------------- commands


def _run(arguments: Arguments, console: Console) -> int:
    source, asked = read_source(arguments.target), _request(arguments)
    if arguments.plot:
        from nexortlang.plots.page import require_matplotlib

        require_matplotlib("--plot")  # before the work, not after it
    with Progress(console.quiet) as progress:
        outcome = driver.run(source, asked, progress)
    status = tell(outcome, console, source.name, arguments.seed)
    if arguments.plot and outcome.shown is not None:
        from nexortlang.plots.page import kind_of, results

        write_file(arguments.plot, results(outcome.shown, Path(source.name).name, kind_of(arguments.plot)))
    return status


def _check(arguments: Arguments, console: Console) -> int:
    source = read_source(arguments.target)
    outcome = driver.check(source, _request(arguments))
    if outcome.is_wrong:
        return _refuse(outcome.diagnostics, console)
    if console.json:
        console.answer(json.mistakes(outcome.diagnostics))
    else:
        console.say(f"{source.name}: no mistakes found\n")
    console.complain(outcome.diagnostics)
    return _status(outcome.diagnostics)


def _core(arguments: Arguments, console: Console) -> int:
    outcome = driver.check(read_source(arguments.target), _request(arguments))
    if outcome.program is None:
        return _refuse(outcome.diagnostics, console)
    from nexortlang.core.printer import to_nxt

    console.answer(to_nxt(outcome.program))
    console.complain(outcome.diagnostics)
    return _status(outcome.diagnostics)


def _derive(arguments: Arguments, console: Console) -> int:
    """The limit as equations, printed or written to a file."""
    source = read_source(arguments.target)
    outcome, derivation = driver.derive(source, _request(arguments), arguments.steps)
    if derivation is None:
        return _refuse(outcome.diagnostics, console)
    if arguments.latex:
        from nexortlang.derive.latex import latex

        answer = latex(derivation, Path(source.name).name)
    else:
        from nexortlang.derive.text import text

        answer = text(derivation, 80 if arguments.output else console.width)
    if arguments.output:
        write_file(arguments.output, answer)
    else:
        console.answer(answer)
    console.complain(outcome.diagnostics)
    return _status(outcome.diagnostics)


def _experiment(arguments: Arguments, console: Console) -> int:
    """Runs at finite width, alone or against the limit."""
    from nexortlang import cli_finite

    source, asked = read_source(arguments.target), _request(arguments)
    command = cli_finite.simulate if arguments.command == "simulate" else cli_finite.verify
    found = command(source, asked, arguments, console)
    if found.simulation is None and found.comparison is None:
        return _refuse(found.diagnostics, console)
    console.complain(found.diagnostics)
    return _status(found.diagnostics)


def _fmt(arguments: Arguments, console: Console) -> int:
    from nexortlang.cli_fmt import fmt

    found = fmt(arguments, console)
    console.complain(found.diagnostics)
    return _status(found.diagnostics) or int(arguments.check and found.changes)


def _classify(arguments: Arguments, console: Console) -> int:
    from nexortlang.report import classification

    source = read_source(arguments.target)
    found, diagnostics = driver.classify(source, _request(arguments))
    if found is None:
        return _refuse(diagnostics, console)
    if console.json:
        console.answer(classification.as_json(found, source.name))
    else:
        console.say(classification.report(found, console.width))
    console.complain(diagnostics)
    return _status(diagnostics)


def lesson_of(code: str, width: int) -> str:
    """The lesson of a code; without one, the list of all."""
    from nexortlang.diagnostics.catalogue import LESSONS
    from nexortlang.report.lessons import index, lesson

    if not code:
        return index(LESSONS, width)
    if (wanted := code.upper()) not in LESSONS:
        raise NexortError(
            Diagnostic("NX507", f"there is no diagnostic {code}", hint="nexort explain, alone, lists all of them")
        )
    return lesson(wanted, LESSONS[wanted], width)


def _language_server(console: Console) -> None:
    """Serves one editor, until it leaves. NX509 without pygls."""
    try:
        from nexortlang.lsp.server import serve
    except ImportError:
        message = "the language server needs pygls 2, which is not installed"
        raise NexortError(Diagnostic("NX509", message, hint="pip install 'nexort[lsp]'")) from None
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty():
        console.note(
            "nexort lsp talks to an editor over standard input and output; docs/editors.md says how to set it up"
        )
    if sys.stdin is not None and sys.stdout is not None:
        serve()


# ---------------------------------------------------------------------------- what commands share


def tell(outcome: Outcome, console: Console, name: str, seed: int) -> int:
    """Results and diagnostics of a run; the exit status."""
    if outcome.shown is None or outcome.program is None:
        return _refuse(outcome.diagnostics, console)
    if console.json:
        console.answer(json.results(outcome.shown, name, seed, outcome.diagnostics))
    else:
        from nexortlang.report.sparkline import BARS, PLAIN_BARS
        from nexortlang.report.text import report

        failed = sum(d.code == "NX304" for d in outcome.diagnostics)
        bars = BARS if console.draws_bars else PLAIN_BARS
        console.say(report(outcome.shown, len(outcome.program.assertions) - failed, console.width, bars))
    console.complain(outcome.diagnostics)
    return _status(outcome.diagnostics)


def _request(arguments: Arguments) -> Request:
    """What the options ask of a program; a --set value that is no number or array is refused (NX508)."""
    settings: dict[str, object] = {}
    if arguments.settings:
        from nexortlang.setvalues import value

        settings = {name: value(name, text) for name, text in arguments.settings}
    return Request(
        folder=_folder(arguments.target),
        settings=settings,
        tol=arguments.tol,
        samples=arguments.samples,
        patience=arguments.patience,
        seed=arguments.seed,
        max_steps=arguments.max_steps,
    )


def _folder(target: str) -> Path:
    return Path() if target in ("", "-") else Path(target).parent


def _refuse(diagnostics: Sequence[Diagnostic], console: Console) -> int:
    """Nothing but diagnostics to tell."""
    if console.json:
        console.answer(json.mistakes(diagnostics))
    console.complain(diagnostics)
    return _status(diagnostics)


def _status(diagnostics: Sequence[Diagnostic]) -> int:
    errors = {d.code for d in diagnostics if d.severity == "error"}
    if errors:
        return 2 if errors <= _COMMAND_LINE else 1
    return 3 if any(d.code == "NX305" for d in diagnostics) else 0


def _nobody_reads() -> int:
    """The reader of a pipe left. Its descriptor is replaced, so that the interpreter's own flush at the end finds nothing broken."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return 141
