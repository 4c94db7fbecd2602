"""Where a name comes from, where it is used, and how to give it another.

In: an analysis and a place in its text. Out: places, and changes of the text. Guarantees: a renaming leaves the meaning of the program as it is, or is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from nexortlang.diagnostics import Fix
from nexortlang.editor.analysis import Analysis, Reading
from nexortlang.editor.names import Member, Symbol
from nexortlang.editor.project import Project
from nexortlang.editor.vocabulary import BUILTINS
from nexortlang.source import Span
from nexortlang.syntax import ast
from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import scan


class Refused(Exception):
    """Why there is no answer, in words for the user."""


def target(analysis: Analysis, offset: int) -> tuple[Reading, Symbol, Span] | None:
    """The symbol that the name at an offset stands for, the file that this symbol belongs to, and the name's place."""
    member = analysis.names.member_at(offset)
    if (
        member is not None
        and member.kind in ("attribute", "keyword")
        and (found := analysis.member(member)) is not None
    ):
        return *found, member.span
    occurrence = analysis.names.at(offset)
    return (analysis.reading, occurrence.symbol, occurrence.span) if occurrence is not None else None


def definition(analysis: Analysis, offset: int) -> Span | None:
    """Where the name at an offset is bound: for what is imported, in the module."""
    member = analysis.names.member_at(offset)
    if member is not None and member.kind == "module" and isinstance(member.owner, ast.Name | ast.String):
        module = analysis.module(member.owner)
        return Span(module.source, 0, 0) if module is not None else None
    if member is not None and (found := analysis.member(member)) is not None:
        return _first(found[1])
    occurrence = analysis.names.at(offset)
    if occurrence is None:
        return None
    symbol = occurrence.symbol
    if symbol.kind == "module" and (module := analysis.module_of(symbol)) is not None:
        return Span(module.source, 0, 0)
    _, origin = analysis.origin(symbol)
    return _first(origin) if origin is not symbol else symbol.definition(offset)


def _first(symbol: Symbol) -> Span | None:
    return symbol.bindings[0].span if symbol.bindings else None


def references(
    analysis: Analysis, offset: int, project: Project | None = None, *, with_bindings: bool = True
) -> list[Span]:
    """All places where the symbol at an offset stands: in this text, then in the others of the project."""
    found = target(analysis, offset)
    if found is None:
        return []
    reading, symbol, _ = found
    spans = [
        o.span for o in symbol.occurrences if o.span.source is analysis.source and (with_bindings or o.use != "bind")
    ]
    here = sorted({*spans, *_named(analysis, symbol)}, key=lambda s: s.start)
    there = [member.span for _, member in _elsewhere(project, analysis, reading, symbol)]
    return here + (there if reading is analysis.reading else [])


def _named(analysis: Analysis, symbol: Symbol) -> Iterable[Span]:
    """Where a parameter is named in a call, and a module's name after a dot."""
    for member in analysis.names.members:
        if member.name == symbol.name and member.kind in ("attribute", "keyword"):
            found = analysis.member(member)
            if found is not None and found[1] is symbol:
                yield member.span


def _elsewhere(
    project: Project | None, analysis: Analysis, home: Reading, symbol: Symbol
) -> Iterator[tuple[Analysis, Member]]:
    """Where other files than `home` speak of a name that it defines; `analysis` stands for its own file."""
    is_parameter = symbol.kind == "parameter" and symbol.owner in home.names.top.symbols
    if project is None or not (is_parameter or symbol is home.names.top.symbols.get(symbol.name)):
        return
    place = Path(home.source.name).resolve()
    for other in project.analyses(symbol.name):
        path = Path(other.source.name).resolve()
        if path == place:
            continue
        if path == Path(analysis.source.name).resolve():
            other = analysis
        for member in other.names.members:
            found = other.member(member) if member.name == symbol.name and member.kind != "module" else None
            if found is not None and Path(found[0].source.name).resolve() == place and _same(found[1], symbol):
                yield other, member


def _same(a: Symbol, b: Symbol) -> bool:
    """Whether two readings of a file mean the same symbol."""
    return (a.name, a.kind, a.owner) == (b.name, b.kind, b.owner)


# ---------------------------------------------------------------------------- renaming


def renameable(analysis: Analysis, offset: int, project: Project | None = None) -> Span:
    """The name at an offset, if it can be given another. Raises Refused."""
    return _own(analysis, offset, project)[2]


def rename(analysis: Analysis, offset: int, name: str, project: Project | None = None) -> list[Fix]:
    """The changes that give the symbol at an offset another name, in all files of the project. Raises Refused."""
    home, symbol, _ = _own(analysis, offset, project)
    tokens = [t for t in scan(name) if (t.start, t.end) == (0, len(name))]
    if not tokens or tokens[0].kind != "NAME":
        if name in table().reserved:
            raise Refused(f"{name} is reserved")
        raise Refused(f"{name or 'nothing'} is no name: names hold letters, digits, _, ₀…₉ and ′")
    if name == symbol.name:
        return []
    _require_free(home, symbol, name)
    changes = [Fix(o.span, f"{o.span.text} as {name}" if o.alias_due else name) for o in symbol.occurrences]
    changes += [Fix(span, name) for span in _named(home, symbol)]
    for other, member in _elsewhere(project, analysis, home.reading, symbol):
        local = other.names.at(member.span.start) if member.kind == "import" else None
        keeps = local is not None and local.alias_due and local.span == member.span
        changes.append(Fix(member.span, f"{name} as {symbol.name}" if keeps else name))
    return changes


def _require_free(analysis: Analysis, symbol: Symbol, name: str) -> None:
    """Refuses a name that would catch, or be caught by, another meaning."""
    scope = symbol.scope or analysis.reading.module.span
    for other in analysis.names.occurrences:
        if other.symbol.name == name and scope.start <= other.span.start < scope.end:
            raise Refused(f"{name} has another meaning here already (line {other.span.line})")
    if symbol.kind != "parameter" and name in analysis.names.top.symbols:
        raise Refused(f"{name} has another meaning in this file already")
    if symbol.kind == "index" and name in BUILTINS:
        raise Refused(f"{name} is built in, and an index is a name without other meaning")


def _own(analysis: Analysis, offset: int, project: Project | None) -> tuple[Analysis, Symbol, Span]:
    """The symbol at an offset, in the file that defines it, which is this one or another of the project."""
    found = target(analysis, offset)
    if found is None:
        raise Refused("there is no name here")
    reading, symbol, span = found
    if symbol.kind == "builtin":
        raise Refused(f"{symbol.name} is built in")
    if not symbol.bindings or (symbol.name == "step" and isinstance(symbol.statement, ast.OptimizerDef)):
        raise Refused(f"{symbol.name} is a word of the language here")
    if reading is analysis.reading:
        return analysis, symbol, span
    path = Path(reading.source.name)
    if project is None or not project.holds(path):
        raise Refused(f"{symbol.name} is defined in {reading.source.name}")
    return Analysis(reading, project.files(path.parent)), symbol, span
