"""A program that grows text by text, as at a prompt.

In: sources, one after the other. Out: an `Outcome` for each: what it shows. Guarantees: those of `driver`; names stay, and so does what is known of the limit,
so that a text costs what it adds; a text that is wrong has changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from nexortlang.check.scopes import bound_names
from nexortlang.diagnostics import NexortError
from nexortlang.driver import Outcome, Progress, Request, take_limit
from nexortlang.elaborate.output import SPECIAL, Kind
from nexortlang.elaborate.program import Elaborator
from nexortlang.elaborate.values import Surface
from nexortlang.files import Files
from nexortlang.kets.engine import LimitEngine
from nexortlang.source import Source, Span
from nexortlang.syntax import ast
from nexortlang.syntax.parser import parse, parse_expression

if TYPE_CHECKING:
    from nexortlang.core.program import Program
    from nexortlang.derive.equations import Derivation


@dataclass(frozen=True, slots=True)
class Entry:
    """A text that the program consists of, and its statements."""

    source: Source
    body: tuple[ast.Stmt, ...]


class Session:
    """`request` may be replaced between texts: another tolerance holds from then on. Its folder and its settings stay those of the beginning."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.entries: list[Entry] = []
        self._elaborator = Elaborator(Files(request.folder), request.settings, request.max_steps, interactive=True)
        self._engine = LimitEngine(grows=True)

    @property
    def names(self) -> dict[str, Surface]:
        """What the next text may speak of: what the program binds, then the built-in functions that it leaves."""
        return self._elaborator.names

    @property
    def program(self) -> Program:
        """The core program of all texts."""
        return self._elaborator.program

    def run(self, source: Source, progress: Progress | None = None) -> Outcome:
        """What the text shows, or what is wrong with it."""
        module, mistakes = parse(source)
        outcome = Outcome(mistakes)
        if outcome.is_wrong:
            return outcome
        shown = self._asked()
        outcome.diagnostics += self._elaborator.run(module.body)
        if not outcome.is_wrong:
            self._limit(outcome, Entry(source, module.body), shown, progress)
        return outcome

    def limit(self, source: Source, kind: Kind | None = None, progress: Progress | None = None) -> Outcome:
        """The limit of one expression, as far as it is known at once; the program stays as it is."""
        outcome = self.asking(source, kind)
        if outcome.program is not None:
            take_limit(outcome, self._engine, self.request, progress)
        return outcome

    def asking(self, source: Source, kind: Kind | None = None) -> Outcome:
        """The core program that shows one expression, whose limit is not computed; the program of the session stays as it is."""
        expression, mistakes = parse_expression(source)
        outcome = Outcome(mistakes)
        if expression is None:
            return outcome
        shown = self._asked()
        outcome.diagnostics += self._elaborator.ask(expression, kind)
        if not outcome.is_wrong:
            outcome.program = self._since(shown)
            self._elaborator.undo()
        return outcome

    def derive(self, source: Source | None, steps: int | None = 2) -> tuple[Outcome, Derivation | None]:
        """The limit of one expression as equations, without one that of everything shown; of every loop the first `steps` passes (None: all)."""
        outcome = Outcome(program=self.program) if source is None else self.asking(source)
        if outcome.program is None:
            return outcome, None
        from nexortlang.derive.equations import derive

        targets = [show.value for show in outcome.program.shows]
        return outcome, derive(outcome.program, targets=targets, consts=self._elaborator.consts, steps=steps)

    def look(self, source: Source) -> Surface:
        """What an expression is. Raises NexortError if it is wrong."""
        expression, mistakes = parse_expression(source)
        if expression is None:
            raise NexortError(*mistakes)
        value, mistakes = self._elaborator.look(expression)
        if value is None:
            raise NexortError(*mistakes)
        return value

    def text(self) -> str:
        """The program so far, as a file: what stood alone is shown."""
        kinds = {show.span: show.kind for show in self.program.shows}
        consts: set[str] = set()
        parts = []
        for entry in self.entries:
            edits = [edit for s in _within(entry.body) if isinstance(s, ast.ExprStmt) for edit in _shown(s, kinds)]
            for s in entry.body:
                if isinstance(s, ast.ConstDecl):
                    if s.name.id in consts:  # a file declares a const once, and binds it anew with = alone
                        edits.append((s.span.start, s.name.span.start, ""))
                    consts.add(s.name.id)
            parts.append(_edited(entry.source.text, edits))
        return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)

    def _limit(self, outcome: Outcome, entry: Entry, shown: tuple[int, int], progress: Progress | None) -> None:
        """The limit of what a right text shows. If there is none, or it was interrupted, the text stays for the names that it binds."""
        outcome.program = self._since(shown)
        stays = any(True for s in entry.body for _ in bound_names(s))
        try:
            take_limit(outcome, self._engine, self.request, progress)
            stays = stays or not outcome.is_wrong
        finally:
            if stays:
                self.entries.append(entry)
            else:
                self._elaborator.undo()

    def _asked(self) -> tuple[int, int]:
        """How much the program asks for."""
        return len(self.program.shows), len(self.program.assertions)

    def _since(self, shown: tuple[int, int]) -> Program:
        """The program that asks only for what was added."""
        p, (shows, assertions) = self.program, shown
        return replace(p, shows=p.shows[shows:], assertions=p.assertions[assertions:])


Edit: TypeAlias = tuple[int, int, str]
"""The code points start ≤ i < end of a text, and what to write for them."""


def _shown(s: ast.ExprStmt, kinds: dict[Span, Kind]) -> Iterator[Edit]:
    """What makes a `show` of an expression that stood alone, if it showed something."""
    kind = kinds.get(s.span)
    if kind is None:
        return
    special = (
        isinstance(s.value, ast.Call) and isinstance(s.value.function, ast.Name) and s.value.function.id in SPECIAL
    )
    if kind == "distribution" and not special:
        yield s.span.start, s.span.start, "show dist("
        yield s.span.end, s.span.end, ")"
    else:
        yield s.span.start, s.span.start, "show "


def _within(body: Iterable[ast.Stmt]) -> Iterator[ast.Stmt]:
    """Statements and those of their blocks."""
    for s in body:
        yield s
        match s:
            case ast.For(body=inner) | ast.Def(body=inner) | ast.OptimizerDef(body=inner):
                yield from _within(inner)
            case ast.If(branches=branches, otherwise=otherwise):
                for block in (*(block for _, block in branches), otherwise):
                    yield from _within(block)


def _edited(text: str, edits: Iterable[Edit]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
