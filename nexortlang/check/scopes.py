"""Which names a statement binds, and which names gradients are taken with respect to. In: statements. Out: names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass

from nexortlang.syntax import ast


def bound_names(statement: ast.Stmt) -> Iterator[ast.Name]:
    """The names a statement binds or updates in its frame, those of its blocks included; a loop variable ends with its loop."""
    match statement:
        case ast.WidthDecl(name=name) | ast.ConstDecl(name=name) | ast.Draw(name=name) | ast.State(name=name):
            yield name
        case ast.Def(name=name) | ast.OptimizerDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from root_name(target)
        case ast.AugAssign(target=target):
            yield from root_name(target)
        case ast.Import(module=module, alias=alias):
            yield from imported_name(module, alias)
        case ast.FromImport(names=names):
            for name, alias in names:
                yield alias or name
        case ast.For(variable=variable, body=body):
            for inner in body:
                yield from (name for name in bound_names(inner) if name.id != variable.id)
        case ast.If(branches=branches, otherwise=otherwise):
            for body in (*(body for _, body in branches), otherwise):
                for inner in body:
                    yield from bound_names(inner)
        case _:
            return


def root_name(target: ast.Expr) -> Iterator[ast.Name]:
    """x for x, x[t] and x[i][t]."""
    while isinstance(target, ast.Subscript):
        target = target.value
    if isinstance(target, ast.Name):
        yield target


def imported_name(module: ast.Name | ast.String, alias: ast.Name | None) -> Iterator[ast.Name]:
    """What `import` binds: the alias, the module's name, or the file name without its ending."""
    if alias is not None:
        yield alias
    elif isinstance(module, ast.Name):
        yield module
    else:
        yield ast.Name(module_name(module), module.span)


def module_name(module: ast.Name | ast.String) -> str:
    """layers for `layers` and for "nets/layers.nxt"."""
    if isinstance(module, ast.Name):
        return module.id
    return module.value.replace("\\", "/").rpartition("/")[2].removesuffix(".nxt")


def gradient_targets(body: Iterable[ast.Stmt], definitions: Iterable[ast.Stmt] = ()) -> frozenset[str]:
    """The names that stand as W in grad(L, W) in a body, its definitions apart, or are given to a definition for a parameter that does.

    At the top level, pass the file's statements as `definitions` too: names that a `def` takes from there count.
    """
    definitions = tuple(definitions)
    defs = {d.name.id: d for d in definitions if isinstance(d, ast.Def)}
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.Def | ast.OptimizerDef):
            if statement in definitions:
                own = {p.name.id for p in statement.parameters}
                found |= gradient_targets(statement.body) - own - {n.id for s in statement.body for n in bound_names(s)}
            continue
        for call in calls(statement):
            found |= _targets_of_call(call, defs)
    return frozenset(found)


def _targets_of_call(call: ast.Call, defs: dict[str, ast.Def]) -> set[str]:
    if not isinstance(call.function, ast.Name):
        return set()
    given = {k.name: k.value for k in call.keywords}
    if call.function.id == "grad":
        chosen = [*call.args[1:2], *(e for name, e in given.items() if name == "target")]
    elif (callee := defs.get(call.function.id)) is not None:
        wanted = gradient_targets(callee.body)
        names = [p.name.id for p in callee.parameters]
        given |= dict(zip(names, call.args, strict=False))
        chosen = [e for name, e in given.items() if name in wanted]
    else:
        return set()
    return {name.id for e in chosen for name in root_name(e)}


def calls(node: object) -> Iterator[ast.Call]:
    """All calls in a part of the tree."""
    if isinstance(node, ast.Call):
        yield node
    if isinstance(node, tuple):
        for part in node:
            yield from calls(part)
    elif is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            if field.name != "span":
                yield from calls(getattr(node, field.name))
