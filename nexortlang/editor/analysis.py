"""A program as far as it is known while it is being written.

In: a text, with or without mistakes, and the files beside it. Out: `Reading`, the tree and its names, at once; `Analysis`, with all diagnostics and the values that a
run on abstract values has shown at each place, within a given time. Guarantees: never raises; a statement with a mistake takes away nothing but itself and
what depends on it; a run that is given up leaves what it has found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from time import monotonic

import numpy as np

from nexortlang.check.resolve import resolve
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.accident import accident
from nexortlang.editor.describe import typed
from nexortlang.editor.files import OpenFiles
from nexortlang.editor.names import Kind, Member, Names, Occurrence, Symbol
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.elaborate.context import Stopped
from nexortlang.elaborate.program import Elaborator
from nexortlang.elaborate.values import ConstVal, Function, Surface
from nexortlang.source import Source, Span
from nexortlang.syntax import ast
from nexortlang.syntax.parser import parse

SECONDS = 2.0
"""How long a program is run while it is being edited."""

MAX_PLACES = 200_000
MAX_KINDS = 4


@dataclass(slots=True)
class Seen:
    """What a run showed of a place: the last value, and the different types in the order they came (the first few). `varies`: a const had several values."""

    value: Surface
    kinds: list[str]
    varies: bool = False


class Recorder:
    """Told by the elaborator; ends the run when its time is over, or when nobody wants to know any more."""

    def __init__(self, source: Source, seconds: float, is_stale: Callable[[], bool]) -> None:
        self.seen: dict[tuple[int, int], Seen] = {}
        self.stopped_at: Span | None = None
        self._source = source
        self._end = monotonic() + seconds
        self._is_stale = is_stale

    def __call__(self, span: Span, value: Surface) -> None:
        here = span.source is self._source
        if monotonic() > self._end or self._is_stale():
            if self.stopped_at is None or here:
                self.stopped_at = span
            raise Stopped
        if not here:
            return
        key = (span.start, span.end)
        before = self.seen.get(key)
        if before is None:
            if len(self.seen) < MAX_PLACES:
                self.seen[key] = Seen(value, [typed(value)])
        elif before.value is not value:
            before.varies = before.varies or not _is_same(before.value, value)
            before.value = value
            if len(before.kinds) < MAX_KINDS and (kind := typed(value)) not in before.kinds:
                before.kinds.append(kind)


def _is_same(a: Surface, b: Surface) -> bool:
    """Whether two consts are equal; of other values nothing is said."""
    if not isinstance(a, ConstVal) or not isinstance(b, ConstVal):
        return True
    return a.power == b.power and np.array_equal(a.array, b.array)


@dataclass(slots=True)
class Reading:
    """What a text says without being run."""

    source: Source
    module: ast.Module
    mistakes: list[Diagnostic]
    names: Names

    @property
    def doc(self) -> str:
        """The file's documentation comment."""
        return self.module.doc


def read(source: Source) -> Reading:
    """The tree and the names of a text."""
    module, mistakes = parse(source)
    return Reading(source, module, mistakes, Names(module))


@lru_cache(maxsize=32)
def _read_module(name: str, text: str) -> Reading:
    return read(Source(name, text))


@dataclass
class Analysis:
    """A reading, and what a run of it has shown. `stopped_at`: where the run was when its time was over."""

    reading: Reading
    files: OpenFiles
    diagnostics: list[Diagnostic] = field(default_factory=list)
    seen: dict[tuple[int, int], Seen] = field(default_factory=dict)
    stopped_at: Span | None = None

    @property
    def source(self) -> Source:
        return self.reading.source

    @property
    def names(self) -> Names:
        return self.reading.names

    # ------------------------------------------------------------------------ values

    def at(self, span: Span) -> Seen | None:
        """What the run showed at exactly this place."""
        return self.seen.get((span.start, span.end))

    def of(self, occurrence: Occurrence) -> Seen | None:
        """The value of a name there; where the run did not come by, at the binding that it sees, or at any other."""
        spans = [occurrence.span]
        if (definition := occurrence.symbol.definition(occurrence.span.start)) is not None:
            spans.append(definition)
        spans += [o.span for o in occurrence.symbol.bindings]
        return next((seen for span in spans if (seen := self.at(span)) is not None), None)

    @cached_property
    def types(self) -> dict[tuple[str, Kind, str], str]:
        """The last type of every name that the run bound, by its name, its kind and the definition that it belongs to."""
        found: dict[tuple[str, Kind, str], str] = {}
        for symbol in self.names.symbols():
            seen = self.of(symbol.bindings[-1]) if symbol.bindings else None
            if seen is not None:
                found[symbol.name, symbol.kind, symbol.owner] = seen.kinds[-1]
        return found

    @cached_property
    def _expressions(self) -> list[tuple[int, int]]:
        """The places with values, the definitions' results apart."""
        definitions = {(d.span.start, d.span.end) for d in self.names.definitions}
        return sorted(self.seen.keys() - definitions)

    def smallest(self, offset: int) -> Span | None:
        """The smallest expression with a known value around an offset."""
        around = [(start, end) for start, end in self._expressions if start <= offset < end]
        if not around:
            return None
        start, end = min(around, key=lambda place: place[1] - place[0])
        return Span(self.source, start, end)

    # ------------------------------------------------------------------------ modules and members

    def module(self, module: ast.Name | ast.String) -> Reading | None:
        """The file that an import names."""
        name, is_path = (module.value, True) if isinstance(module, ast.String) else (module.id, False)
        try:
            source, _ = self.files.module_source(name, is_path)
        except NexortError:
            return None
        return _read_module(source.name, source.text)

    def module_of(self, symbol: Symbol) -> Reading | None:
        """The file that a symbol was imported from."""
        statement = symbol.statement
        return self.module(statement.module) if isinstance(statement, ast.Import | ast.FromImport) else None

    def origin(self, symbol: Symbol) -> tuple[Reading, Symbol]:
        """What an imported name is in its own file; anything else is what it is here."""
        statement = symbol.statement
        if isinstance(statement, ast.FromImport) and (module := self.module(statement.module)) is not None:
            names = [name.id for name, alias in statement.names if (alias or name).id == symbol.name]
            found = module.names.top.symbols.get(names[0]) if names else None
            if found is not None:
                return module, found
        return self.reading, symbol

    def member(self, member: Member) -> tuple[Reading, Symbol] | None:
        """What module.name, f(name=…) and from module import name refer to."""
        if member.kind == "keyword":
            return self._parameter(member)
        owner = member.owner
        if member.kind == "attribute":
            symbol = self._symbol(owner)
            module = self.module_of(symbol) if symbol is not None and symbol.kind == "module" else None
        else:
            module = self.module(owner) if isinstance(owner, ast.Name | ast.String) else None
        found = module.names.top.symbols.get(member.name) if module is not None else None
        return (module, found) if module is not None and found is not None else None

    def _symbol(self, e: ast.Expr) -> Symbol | None:
        occurrence = self.names.at(e.span.start) if isinstance(e, ast.Name) else None
        return occurrence.symbol if occurrence is not None else None

    def callee(self, function: ast.Expr) -> tuple[Reading, ast.Def | ast.OptimizerDef] | None:
        """The definition that is called, and its file."""
        seen = self.at(function.span)
        if seen is not None and isinstance(seen.value, Function):
            node = seen.value.node
            if node.name.span.source is self.source:
                return self.reading, node
            module = _read_module(node.name.span.source.name, node.name.span.source.text)
            same = module.names.top.symbols.get(node.name.id)
            statement = same.statement if same is not None else None
            return (module, statement) if isinstance(statement, ast.Def | ast.OptimizerDef) else None
        if isinstance(function, ast.Attribute):
            place = Span(function.span.source, function.span.end - len(function.name), function.span.end)
            found = self.member(Member(place, function.name, function.value, "attribute"))
        else:
            symbol = self._symbol(function)
            found = self.origin(symbol) if symbol is not None else None
        if (
            found is None
            or len(found[1].bindings) != 1
            or not isinstance(found[1].statement, ast.Def | ast.OptimizerDef)
        ):
            return None
        return found[0], found[1].statement

    def _parameter(self, member: Member) -> tuple[Reading, Symbol] | None:
        called = self.callee(member.owner)
        if called is None:
            return None
        reading, node = called
        scope = next((d for d in reading.names.definitions if d.span == node.span), None)
        symbol = scope.symbols.get(member.name) if scope is not None else None
        return (reading, symbol) if symbol is not None and symbol.kind == "parameter" else None


def analyse(
    reading: Reading, files: OpenFiles, seconds: float = SECONDS, is_stale: Callable[[], bool] = lambda: False
) -> Analysis:
    """A reading, run for so long at most, or until it is stale."""
    recorder = Recorder(reading.source, seconds, is_stale)
    body = reading.module.body
    try:
        found = Elaborator(files, observe=recorder).run(body)
        if recorder.stopped_at is not None:
            known = {(d.code, d.span) for d in found}
            found += [d for d in resolve(body, known=BUILTINS.keys()) if (d.code, d.span) not in known]
    except Exception as error:
        found = [accident(error)]
    mistakes = list(reading.mistakes)
    if not any(d.severity == "error" for d in mistakes):
        mistakes += found
    return Analysis(reading, files, mistakes, recorder.seen, recorder.stopped_at)
