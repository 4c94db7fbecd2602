"""What is asked of a session beyond its program: `:type e`, `:simulate e 1024`, `:save FILE`, and the words help, explain, quit.

In: a line. Out: what is told on the console. Guarantees: a command changes nothing of the program, :load and :reload apart; what is wrong with it is a NexortError.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nexortlang.cache import replace_file
from nexortlang.cli import lesson_of
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.driver import Outcome
from nexortlang.elaborate.output import Kind
from nexortlang.options import read_arguments
from nexortlang.repl.conversation import Conversation
from nexortlang.repl.help import general, topic
from nexortlang.repl.types import described
from nexortlang.source import Source

_LEAVE = frozenset({"exit", "exit()", "quit", "quit()"})
_ASK = frozenset({"help", "help()", "?"})
_WIDTH = re.compile(r"(?:^|\s)(\d+(?:\.\d+)?(?:[eE]\+?\d+)?)$")
OPTIONS = ("tol", "samples", "patience", "seed", "width", "seeds")
"""What :set sets."""


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets what stands after the name. `takes`: what that is; "" for nothing, in brackets where it may be missing."""

    name: str
    takes: str
    summary: str
    run: Callable[[Commands, str], None]
    aliases: tuple[str, ...] = ()


def is_command(text: str) -> bool:
    """No statement begins with a colon."""
    return text.lstrip().startswith(":")


class Commands:
    """The commands of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._at = conversation
        self._console = conversation.console

    def leaves(self, text: str) -> bool:
        """Whether the line ends the session."""
        word = text.strip()
        if is_command(word):
            return _ALIASES.get(word[1:].strip(), word[1:].strip()) == "quit"
        return word in _LEAVE and not self._is_bound(word)

    def answers(self, text: str) -> bool:
        """Whether the line was a command, which is then done."""
        word, _, rest = text.strip().partition(" ")
        if is_command(text):
            self._command(text.strip()[1:].strip())
        elif self._is_bound(word):
            return False
        elif word in _ASK and not rest.strip():
            self._console.answer(general(SUMMARIES, self._console.width))
        elif word == "explain" and (not rest.strip() or rest.strip().isalnum()):
            self._console.answer(lesson_of(rest.strip(), self._console.width))
        else:
            return False
        return True

    def _is_bound(self, word: str) -> bool:
        return word.removesuffix("()") in self._at.session.names

    def _command(self, text: str) -> None:
        name, rest = _split(text)
        command = COMMANDS.get(_ALIASES.get(name, name))
        if command is None:
            near = get_close_matches(name, [*COMMANDS, *_ALIASES], n=1)
            raise _bad(
                f"there is no command :{name}", f"did you mean :{near[0]}?" if near else ":help lists the commands"
            )
        if not rest and command.takes and not command.takes.startswith("["):
            raise _bad(f":{command.name} takes {_WORDS[command.takes]}", f":{command.name} {_EXAMPLES[command.takes]}")
        if rest and not command.takes:
            raise _bad(f":{command.name} stands alone, found {rest}")
        command.run(self, rest)

    # -- of an expression

    def type(self, text: str) -> None:
        self._console.answer(f"{text} : {described(self._at.session.look(_source(text)))}\n")

    def limit(self, text: str) -> None:
        self._at.tell(self._limit(text))

    def distribution(self, text: str) -> None:
        """The report, and a histogram below it."""
        outcome = self._limit(text, "distribution")
        self._at.tell(outcome)
        if outcome.shown is None or self._console.json or self._console.quiet:
            return
        from nexortlang.kets.results import Distribution
        from nexortlang.report.histogram import histogram

        for shown in outcome.shown:
            if isinstance(shown.answer, Distribution):
                lines = histogram(shown.answer, self._console.width, self._console.has_unicode)
                self._console.answer("".join(f"{line}\n" for line in ["", *lines]))

    def simulate(self, text: str) -> None:
        text, width = self._width_of(text)
        checked = self._asking(text)
        from nexortlang import experiments
        from nexortlang.finite.simulate import Settings
        from nexortlang.report import simulation

        settings = Settings(self._at.seeds, self._at.session.request.seed)
        with self._at.working() as progress:
            found = experiments.simulate(checked, settings, width, progress)
        if found.program is not None and found.simulation is not None:
            if self._console.json:
                told = simulation.as_json(found.program, found.simulation, settings, "<input>", found.diagnostics)
                self._console.answer(told)
            else:
                self._console.say(simulation.report(found.program, found.simulation, settings, self._console.width))
        self._console.complain(found.diagnostics)

    def core(self, text: str) -> None:
        program = self._asking(text).program
        from nexortlang.core.printer import to_nxt

        if program is not None:
            self._console.answer(to_nxt(program))

    def derive(self, text: str) -> None:
        self._require_something(text)
        outcome, derivation = self._at.session.derive(_source(text) if text else None)
        if derivation is None:
            raise NexortError(*outcome.diagnostics)
        from nexortlang.derive.text import text as written

        self._console.answer(written(derivation, self._console.width))

    def _require_something(self, text: str) -> None:
        """An expression, or something that was shown."""
        program = self._at.session.program
        if not (text or program.shows or program.assertions):
            raise _bad("nothing is shown so far", "give an expression, as in <x|x>")

    def _asking(self, text: str) -> Outcome:
        """The program that shows an expression; without one, that of everything shown so far."""
        self._require_something(text)
        session = self._at.session
        outcome = session.asking(_source(text)) if text else Outcome(program=session.program)
        if outcome.program is None:
            raise NexortError(*outcome.diagnostics)
        return outcome

    def _limit(self, text: str, kind: Kind | None = None) -> Outcome:
        with self._at.working() as progress:
            return self._at.session.limit(_source(text), kind, progress)

    def _width_of(self, text: str) -> tuple[str, int]:
        """An expression and the width behind it."""
        found = _WIDTH.search(text)
        before = text[: found.start()].strip() if found else ""
        if found and (not before or self._is_expression(before)):
            return before, _option("width", found[1])
        return text, self._at.width

    def _is_expression(self, text: str) -> bool:
        from nexortlang.syntax.parser import parse_expression

        return parse_expression(_source(text))[0] is not None

    # -- of the session

    def set(self, text: str) -> None:
        name, value = _split(text.replace("=", " ", 1))
        request = self._at.session.request
        samples = "as many as tol asks for" if request.samples is None else str(request.samples)
        limit = (f"{request.tol:g}", samples, f"{request.patience:g} minutes", request.seed)
        now = dict(zip(OPTIONS, (*limit, self._at.width, self._at.seeds), strict=True))
        if name and name not in OPTIONS:
            near = get_close_matches(name, OPTIONS, n=1)
            raise _bad(
                f"there is no option {name}", f"did you mean {near[0]}?" if near else f":set {' | '.join(OPTIONS)}"
            )
        if not value:
            self._console.answer("".join(f"{n:<9}{v}\n" for n, v in now.items() if name in ("", n)))
        elif name in ("width", "seeds"):
            setattr(self._at, name, _option(name, value))
        else:
            found: Any = None if (name, value) == ("samples", "auto") else _option(name, value)
            changed: dict[str, Any] = {name: found}
            self._at.session.request = replace(request, **changed)

    def load(self, text: str) -> None:
        self._at.load(_file(text))

    def reload(self, text: str) -> None:
        if not self._at.file:
            raise _bad("no file was loaded", ":load program.nxt loads one")
        self._at.load(self._at.file)

    def save(self, text: str) -> None:
        name, force = _file(text.removeprefix("!").strip()), text.startswith("!")
        path = Path(name)
        if not force and path.resolve() not in self._at.own and path.exists():
            raise NexortError(Diagnostic("NX501", f"{name} exists", hint=f":save! {name} overwrites it"))
        try:
            replace_file(path, self._at.session.text())
        except OSError as error:
            raise NexortError(Diagnostic("NX501", f"cannot write {name}: {error.strerror or error}")) from None
        self._at.own.add(path.resolve())
        self._console.say(f"saved to {name}\n")

    def time(self, text: str) -> None:
        if text:
            self._at.run(f"{text}\n")
        if self._at.seconds is None:
            raise _bad("nothing was computed so far", ":time e computes e and tells how long it took")
        self._console.answer(f"{self._at.seconds:.3f} s\n")

    def help(self, text: str) -> None:
        width = self._console.width
        told = topic(text, SUMMARIES, self._at.session, width) if text else general(SUMMARIES, width)
        self._console.answer(told)

    def explain(self, text: str) -> None:
        self._console.answer(lesson_of(text, self._console.width))


_WORDS = {"e": "an expression", "x": "a vector", "FILE": "a file"}
_EXAMPLES = {"e": "<x|x>", "x": "W @ x", "FILE": "program.nxt"}

_ALL = (
    Command("type", "e", "the type of an expression, and its power of n", Commands.type, ("t",)),
    Command("limit", "e", "the limit of an expression", Commands.limit),
    Command("dist", "x", "the distribution of a coordinate, with a histogram", Commands.distribution),
    Command(
        "simulate", "[e] [WIDTH]", "runs at finite width, of everything shown or of an expression", Commands.simulate
    ),
    Command("core", "[e]", "the core program of everything shown or of an expression", Commands.core),
    Command("derive", "[e]", "the limit as equations, of everything shown or of an expression", Commands.derive),
    Command("set", "[NAME VALUE]", "tol, samples, patience, seed; width and seeds of :simulate", Commands.set),
    Command("load", "FILE", "begin anew with the program in a file", Commands.load, ("l",)),
    Command("reload", "", "the same file again", Commands.reload, ("r",)),
    Command("save", "FILE", "the program so far, as a file", Commands.save),
    Command("time", "[e]", "how long the last answer took, or e takes", Commands.time),
    Command("explain", "[CODE]", "the lesson behind a diagnostic, or the list of all", Commands.explain),
    Command("help", "[TOPIC]", "this; more about a command, a function, a code", Commands.help, ("h", "?")),
    Command("quit", "", "leaves; so does Ctrl-D", Commands.explain, ("q", "exit")),
)
COMMANDS = {c.name: c for c in _ALL}
_ALIASES = {alias: c.name for c in _ALL for alias in c.aliases}
SUMMARIES = {f":{c.name} {c.takes}".strip(): c.summary for c in _ALL}
"""How each command is written, and what it does."""


def _split(text: str) -> tuple[str, str]:
    """The first word, and the rest."""
    word, rest = re.match(r"(\w*|\S)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return word, rest.strip()


def _source(text: str) -> Source:
    return Source("<input>", text)


def _file(text: str) -> str:
    """A file's name, with or without quotes; never standard input, which the session reads itself."""
    name = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
    if not name or "\0" in name:
        raise _bad("expected the name of a file", ":load program.nxt")
    return "./-" if name == "-" else os.path.expanduser(name)


def _option(name: str, value: str) -> Any:
    """The value that a command line's option of this name would have. Raises NexortError, NX507."""
    try:
        return getattr(read_arguments(["simulate", "-", f"--{name}={value}"]), name)
    except NexortError as error:
        raise _bad(error.diagnostics[0].message.replace("--", ""), ":set alone tells the values") from None


def _bad(message: str, hint: str = "") -> NexortError:
    return NexortError(Diagnostic("NX507", message, hint=hint))
