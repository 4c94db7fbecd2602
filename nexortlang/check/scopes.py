"""Which names a statement binds. In: statements. Out: the names, with their places."""

from __future__ import annotations

from collections.abc import Iterator

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
