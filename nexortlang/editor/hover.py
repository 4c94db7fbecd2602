"""What there is to say of the thing at a place: its type, its power of n, the rule that made it, its documentation."""

from __future__ import annotations

from dataclasses import dataclass

from nexortlang.editor.analysis import Analysis, Seen
from nexortlang.editor.context import typing_at
from nexortlang.editor.describe import const_text, order, rule, signature
from nexortlang.editor.names import Member, Occurrence, Symbol
from nexortlang.editor.vocabulary import BUILTINS, KEYWORDS, LAWS
from nexortlang.elaborate.values import ConstVal
from nexortlang.source import Span
from nexortlang.syntax import ast
from nexortlang.syntax.table import table


@dataclass(frozen=True, slots=True)
class Hover:
    """`code`: a line of the language, or a type. `notes`: what else is known, in words. `doc`: the documentation comment."""

    span: Span
    code: str
    notes: tuple[str, ...] = ()
    doc: str = ""


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """What to say at an offset; None where nothing is known."""
    member = analysis.names.member_at(offset)
    if member is not None and member.kind == "module":
        return _module(analysis, member)
    if member is not None and (found := analysis.member(member)) is not None:
        return _definition(analysis, found[1], member.span) or _member(analysis, found[1], member.span)
    occurrence = analysis.names.at(offset)
    if occurrence is not None:
        return _name(analysis, occurrence)
    word = _word(analysis, offset)
    if word is not None and word.text in table().reserved:
        entry = KEYWORDS[word.text]
        return Hover(word, entry.form, (), entry.doc)
    span = analysis.smallest(offset)
    seen = analysis.at(span) if span is not None else None
    return (
        Hover(span, _types(seen), _facts(seen)) if span is not None and seen is not None and any(seen.kinds) else None
    )


def _module(analysis: Analysis, member: Member) -> Hover | None:
    module = analysis.module(member.owner) if isinstance(member.owner, ast.Name | ast.String) else None
    return Hover(member.span, f"import {member.name}", (), module.doc) if module is not None else None


def _member(analysis: Analysis, symbol: Symbol, span: Span) -> Hover:
    """A parameter that is named in a call, or a const of a module."""
    statement, binding = symbol.statement, symbol.bindings[0]
    code = " ".join(statement.span.text.split()) if statement is not None else symbol.name
    seen = analysis.at(binding.span) if binding.span.source is analysis.source else None
    notes: tuple[str, ...] = (_types(seen),) if seen is not None and any(seen.kinds) else ()
    if symbol.kind == "parameter":
        notes += (f"a parameter of {symbol.owner}",)
    return Hover(span, code, notes, symbol.doc)


def _word(analysis: Analysis, offset: int) -> Span | None:
    """The name or the reserved word at an offset."""
    text = analysis.source.text
    end = offset
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    typing = typing_at(text, end)
    return Span(analysis.source, typing.start, end) if not typing.inside and typing.start < end else None


def _name(analysis: Analysis, occurrence: Occurrence) -> Hover:
    symbol, span = occurrence.symbol, occurrence.span
    if symbol.kind == "builtin":
        entry = (BUILTINS | LAWS)[symbol.name]
        return Hover(span, entry.form, (), entry.doc)
    origin = analysis.origin(symbol)[1]
    defined = _definition(analysis, origin, span)
    if defined is not None:
        return defined
    if symbol.kind == "module":
        module = analysis.module_of(symbol)
        return Hover(span, f"import {symbol.name}", (), module.doc if module is not None else "")
    if symbol.kind == "index":
        return Hover(span, symbol.name, ("an index: it ranges over the width of the vectors that carry it",))
    seen = analysis.of(occurrence)
    if symbol.kind == "width":
        statement = symbol.statement
        return Hover(
            span,
            statement.span.text if statement is not None else f"width {symbol.name}",
            ("a dimension that tends to infinity",),
        )
    if seen is None or not any(seen.kinds):
        return Hover(span, symbol.name, (_kind(symbol),), symbol.doc)
    return Hover(span, f"{symbol.name}: {_types(seen)}", _facts(seen), symbol.doc)


def _definition(analysis: Analysis, symbol: Symbol, span: Span) -> Hover | None:
    """The signature of a def or an optimizer, and what its calls have given."""
    statement = symbol.statement
    if not isinstance(statement, ast.Def | ast.OptimizerDef) or symbol.kind not in ("function", "optimizer"):
        return None
    here = statement.span.source is analysis.source
    seen = analysis.at(statement.span) if here else None
    notes = (f"gives {_types(seen)}",) if seen is not None and any(seen.kinds) else ()
    return Hover(span, signature(statement), notes, statement.doc)


def _kind(symbol: Symbol) -> str:
    return {"draw": "an initial value", "loop": "a loop variable", "import": "imported"}.get(
        symbol.kind, f"a {symbol.kind}"
    )


def _types(seen: Seen) -> str:
    return " or ".join(k for k in seen.kinds if k)


def _facts(seen: Seen) -> tuple[str, ...]:
    value = seen.value
    if len(seen.kinds) > 1:
        return ("several types, from different calls or passes",)
    facts = [rule(value), order(value)]
    if isinstance(value, ConstVal):
        text = const_text(value)
        last = ", the last of several values" if seen.varies else ""
        facts = [f"= {text}{last}" if text else "", order(value) if value.power else ""]
    return tuple(f for f in facts if f)
