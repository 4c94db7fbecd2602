"""A file at a glance: its symbols as a tree, and types written beside the names that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from nexortlang.editor.analysis import Analysis
from nexortlang.editor.describe import parameters
from nexortlang.editor.names import Kind
from nexortlang.source import Span
from nexortlang.syntax import ast


@dataclass(frozen=True, slots=True)
class Item:
    """A symbol of the outline: its whole statement, and the part that names it."""

    name: str
    kind: Kind | Literal["result"]
    detail: str
    span: Span
    place: Span
    children: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hint:
    """A text to show at an offset, which is not part of the program."""

    offset: int
    text: str


def outline(analysis: Analysis) -> list[Item]:
    """What a file declares, binds first, defines and shows, in the order of the text."""
    return list(_items(analysis, analysis.reading.module.body, set()))


def _items(analysis: Analysis, body: Iterable[ast.Stmt], known: set[str]) -> Iterator[Item]:
    """`known`: names that are listed already."""
    for s in body:
        match s:
            case ast.For(body=inner):
                yield from _items(analysis, inner, known)
            case ast.If(branches=branches, otherwise=otherwise):
                for _, inner in branches:
                    yield from _items(analysis, inner, known)
                yield from _items(analysis, otherwise, known)
            case ast.Def() | ast.OptimizerDef():
                known.add(s.name.id)
                kind: Kind = "function" if isinstance(s, ast.Def) else "optimizer"
                children = list(_items(analysis, s.body, {p.name.id for p in s.parameters}))
                detail = f"({', '.join(parameters(s))})"
                yield Item(s.name.id, kind, detail, s.span, s.name.span, children)
            case ast.Show(value=value, alias=alias):
                name = alias.id if alias is not None else " ".join(value.span.text.split())
                yield Item(name, "result", _type(analysis, value.span), s.span, (alias or value).span)
            case _:
                for occurrence in analysis.names.occurrences_in(s.span):
                    symbol = occurrence.symbol
                    if occurrence.use == "bind" and symbol.kind != "index" and symbol.name not in known:
                        known.add(symbol.name)
                        detail = _type(analysis, occurrence.span)
                        yield Item(symbol.name, symbol.kind, detail, s.span, occurrence.span)


def _type(analysis: Analysis, span: Span) -> str:
    seen = analysis.at(span)
    return " or ".join(k for k in seen.kinds if k) if seen is not None else ""


def inlay_hints(analysis: Analysis, start: int, end: int) -> list[Hint]:
    """The inferred type after each name that `=` binds between two offsets, where the right side does not show it."""
    found: list[Hint] = []
    for s in _assignments(analysis.reading.module.body):
        if s.span.end < start or s.span.start > end or isinstance(s.value, ast.Number | ast.Array):
            continue
        for target in s.targets:
            text = _type(analysis, target.span) if isinstance(target, ast.Name) else ""
            if text:
                found.append(Hint(target.span.end, f": {text}"))
    return found


def _assignments(body: Iterable[ast.Stmt]) -> Iterator[ast.Assign]:
    for s in body:
        match s:
            case ast.Assign():
                yield s
            case ast.For(body=inner) | ast.Def(body=inner) | ast.OptimizerDef(body=inner):
                yield from _assignments(inner)
            case ast.If(branches=branches, otherwise=otherwise):
                for _, inner in branches:
                    yield from _assignments(inner)
                yield from _assignments(otherwise)
