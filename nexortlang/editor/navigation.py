"""Where a name comes from, where it is used, and how to give it another.

In: an analysis and a place in its text. Out: places, and changes of the text. Guarantees: a renaming leaves the meaning of the program as it is, or is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from nexortlang.diagnostics import Fix
from nexortlang.editor.analysis import Analysis, Reading
from nexortlang.editor.names import Symbol
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


def references(analysis: Analysis, offset: int, *, with_bindings: bool = True) -> list[Span]:
    """All places in this text where the symbol at an offset stands."""
    found = target(analysis, offset)
    if found is None:
        return []
    _, symbol, _ = found
    spans = [
        o.span for o in symbol.occurrences if o.span.source is analysis.source and (with_bindings or o.use != "bind")
    ]
    return sorted({*spans, *_named(analysis, symbol)}, key=lambda s: s.start)


def _named(analysis: Analysis, symbol: Symbol) -> Iterable[Span]:
    """Where a parameter is named in a call, and a module's name after a dot."""
    for member in analysis.names.members:
        if member.name == symbol.name and member.kind in ("attribute", "keyword"):
            found = analysis.member(member)
            if found is not None and found[1] is symbol:
                yield member.span


# ---------------------------------------------------------------------------- renaming


def renameable(analysis: Analysis, offset: int) -> Span:
    """The name at an offset, if it can be given another. Raises Refused."""
    return _own(analysis, offset)[1]


def rename(analysis: Analysis, offset: int, name: str) -> list[Fix]:
    """The changes that give the symbol at an offset another name. Raises Refused."""
    symbol, _ = _own(analysis, offset)
    tokens = [t for t in scan(name) if (t.start, t.end) == (0, len(name))]
    if not tokens or tokens[0].kind != "NAME":
        reserved = name in table().reserved
        raise Refused(
            f"{name} is reserved"
            if reserved
            else f"{name or 'nothing'} is no name: names hold letters, digits, _, ₀…₉ and ′"
        )
    if name == symbol.name:
        return []
    _require_free(analysis, symbol, name)
    changes = [Fix(o.span, f"{o.span.text} as {name}" if o.alias_due else name) for o in symbol.occurrences]
    return changes + [Fix(span, name) for span in _named(analysis, symbol)]


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


def _own(analysis: Analysis, offset: int) -> tuple[Symbol, Span]:
    found = target(analysis, offset)
    if found is None:
        raise Refused("there is no name here")
    reading, symbol, span = found
    if symbol.kind == "builtin":
        raise Refused(f"{symbol.name} is built in")
    if reading is not analysis.reading:
        raise Refused(f"{symbol.name} is defined in {reading.source.name}")
    if not symbol.bindings:
        raise Refused(f"{symbol.name} is a word of the language here")
    return symbol, span
