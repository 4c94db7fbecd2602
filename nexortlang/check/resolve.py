"""What can be said about names and places without running anything.

In: the statements of a file and the names known before it. Out: diagnostics for names that nothing in the file ever binds, also in branches and
definitions that a run does not reach, and for statements that stand where they may not. Only what is certain is reported: the order
of binding, and indices, are left to the elaborator, which runs the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass

from nexortlang.check import suggest
from nexortlang.check.scopes import bound_names
from nexortlang.diagnostics import Diagnostic
from nexortlang.syntax import ast

NOT_NAMES = frozenset({"None", "..."})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands. `inside`: "" at the top level, else "def" or "optimizer". `nested`: within a loop or a branch."""

    inside: str = ""
    is_module: bool = False
    in_loop: bool = False
    nested: bool = False


def resolve(statements: Sequence[ast.Stmt], known: AbstractSet[str], *, is_module: bool = False) -> list[Diagnostic]:
    """Unknown names and misplaced statements of a file, in the order of the text."""
    top = frozenset(known).union(name.id for s in statements for name in bound_names(s))
    return list(_block(statements, top, top, Place(is_module=is_module)))


def _block(
    body: Iterable[ast.Stmt], visible: frozenset[str], top: frozenset[str], place: Place
) -> Iterator[Diagnostic]:
    for statement in body:
        yield from _misplaced(statement, place)
        yield from _statement(statement, visible, top, place)


def _statement(s: ast.Stmt, visible: frozenset[str], top: frozenset[str], place: Place) -> Iterator[Diagnostic]:
    match s:
        case ast.For(variable=variable, iterable=iterable, body=body):
            yield from _names(iterable, visible)
            inner = Place(place.inside, place.is_module, True, True)
            yield from _block(body, visible | {variable.id}, top, inner)
        case ast.If(branches=branches, otherwise=otherwise):
            inner = Place(place.inside, place.is_module, place.in_loop, True)
            for condition, body in branches:
                yield from _names(condition, visible)
                yield from _block(body, visible, top, inner)
            yield from _block(otherwise, visible, top, inner)
        case ast.Def(parameters=parameters, body=body) | ast.OptimizerDef(parameters=parameters, body=body):
            kind = "def" if isinstance(s, ast.Def) else "optimizer"
            own = {p.name.id for p in parameters} | {name.id for inner in body for name in bound_names(inner)}
            own |= {"step"} if kind == "optimizer" else set()
            for p in parameters:
                yield from _names(p.default, top | own)
            yield from _block(body, top | own, top, Place(kind, place.is_module))
        case ast.Assign(targets=targets, value=value):
            indices: frozenset[str] = frozenset()
            for target in targets:
                indices |= _free_items(target, visible)
                yield from _names(target, visible)
            yield from _names(value, visible | indices)
        case ast.AugAssign(target=target, value=value):
            yield from _names(target, visible)
            yield from _names(value, visible | _free_items(target, visible))
        case ast.Draw(dims=dims, law=law):
            yield from _names(dims, visible)
            if isinstance(law, ast.Call):
                yield from _names((law.args, law.keywords), visible)
        case ast.Import() | ast.FromImport():
            return
        case ast.WidthDecl(value=e) | ast.ConstDecl(value=e) | ast.State(value=e) | ast.Return(value=e):
            yield from _names(e, visible)
        case ast.Show(value=e) | ast.ExprStmt(value=e):
            yield from _names(e, visible)
        case ast.Assert(value=e, target=target, tolerance=tolerance):
            yield from _names((e, target, tolerance), visible)


def _free_items(e: object, visible: AbstractSet[str]) -> frozenset[str]:
    """The names in a subscript that mean nothing else: they may be indices."""
    if not isinstance(e, ast.Subscript):
        return frozenset()
    free = {item.id for item in e.items if isinstance(item, ast.Name) and item.id not in visible | NOT_NAMES}
    return frozenset(free)


def _names(node: object, visible: frozenset[str]) -> Iterator[Diagnostic]:
    """Unknown names in any part of an expression."""
    match node:
        case ast.Name(id=name, span=span):
            if name not in visible and name not in NOT_NAMES:
                hint, fix = suggest.remedy(node, visible, "nothing in this file binds it")
                yield Diagnostic("NX101", f"unknown name {name}", span, hint=hint, fix=fix)
        case ast.Call(function=ast.Subscript() as function, args=args, keywords=keywords):
            yield from _names(function, visible)
            yield from _names((args, keywords), visible | _free_items(function, visible))
        case ast.Subscript(value=value, items=items):
            yield from _names(value, visible)
            free = _free_items(node, visible)
            yield from _names(tuple(i for i in items if not (isinstance(i, ast.Name) and i.id in free)), visible)
        case ast.Attribute(value=value):
            yield from _names(value, visible)
        case ast.Keyword(value=value):
            yield from _names(value, visible)
        case tuple():
            for part in node:
                yield from _names(part, visible)
        case _ if is_dataclass(node) and not isinstance(node, type):
            for field in fields(node):
                if field.name != "span":
                    yield from _names(getattr(node, field.name), visible)


def _misplaced(s: ast.Stmt, place: Place) -> Iterator[Diagnostic]:
    """NX111: statements that may not stand here."""
    reason = hint = ""
    match s:
        case ast.Return() if not place.inside:
            reason, hint = "return stands only in a def", "bind the value to a name, or show it"
        case ast.State() if place.inside != "optimizer":
            reason, hint = "state stands only in an optimizer", "a loop carries values in ordinary names"
        case ast.State() if place.nested:
            reason, hint = "state stands at the outer level of an optimizer", "move it before the loop or branch"
        case ast.WidthDecl() if place.inside or place.in_loop:
            reason, hint = "a width is declared at the top level of a program", "pass it to the def as an argument"
        case ast.Def() | ast.OptimizerDef() if place.inside:
            reason, hint = "a definition stands at the top level of its file", "arguments may be functions"
        case ast.Import() | ast.FromImport() if place.inside:
            reason, hint = "an import stands at the top level of its file", "move it there"
        case ast.ConstDecl() | ast.Def() | ast.OptimizerDef() | ast.Import() | ast.FromImport():
            return
        case _ if place.is_module and not place.inside:
            reason, hint = (
                "a module holds const, def, optimizer and imports only",
                "move it into a def, or into the program",
            )
    if reason:
        yield Diagnostic("NX111", reason, s.span, hint=hint)
