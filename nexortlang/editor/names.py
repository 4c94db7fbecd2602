"""What every name in a file refers to, without running it.

In: the tree of a file. Out: `Names`: symbols with all their occurrences, and which of them are visible where. Guarantees: replacing all occurrences of
a symbol by another name that does not occur in its scope leaves the program's meaning as it is. Where it depends on the run which of two
bindings a name refers to (a def that reads a top-level name and then binds one of its own), they are one symbol.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from nexortlang.check.resolve import NOT_NAMES
from nexortlang.check.scopes import bound_names, imported_name
from nexortlang.editor.vocabulary import BUILTINS, LAWS
from nexortlang.source import Span
from nexortlang.syntax import ast

Kind = Literal[
    "width", "const", "draw", "variable", "function", "optimizer", "parameter", "state", "loop", "index", "module", "import", "builtin"
]  # fmt: skip
Use = Literal["bind", "update", "read"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One place where a symbol stands. `since`: from where on a binding holds. `alias_due`: an import without `as`, where another name needs one."""

    span: Span
    symbol: Symbol
    use: Use = "read"
    since: int = 0
    alias_due: bool = False


@dataclass(slots=True, eq=False)
class Symbol:
    """A name's meaning. `scope`: the text where it has this meaning. `statement`: what binds it first, if anything in the file does.
    `owner`: the definition that it belongs to."""

    name: str
    kind: Kind
    scope: Span | None = None
    statement: ast.Stmt | ast.Parameter | None = None
    owner: str = ""
    occurrences: list[Occurrence] = field(default_factory=list)

    @property
    def bindings(self) -> list[Occurrence]:
        return [o for o in self.occurrences if o.use == "bind"]

    @property
    def doc(self) -> str:
        """The documentation comment."""
        if isinstance(self.statement, ast.Def | ast.OptimizerDef | ast.ConstDecl):
            return self.statement.doc
        return BUILTINS[self.name].doc if self.kind == "builtin" and self.name in BUILTINS else ""

    def definition(self, offset: int) -> Span | None:
        """The binding that a use at this offset most likely sees: the last one before it, else the first; of a binding, itself."""
        bindings = self.bindings
        before = [o for o in bindings if o.since <= offset or o.span.start <= offset <= o.span.end]
        return (before or bindings)[-1 if before else 0].span if bindings else None


@dataclass(frozen=True, slots=True)
class Member:
    """A name that is looked up in something else: module.name, f(name=…), from module import name; or a module itself."""

    span: Span
    name: str
    owner: ast.Expr | ast.Name | ast.String
    kind: Literal["attribute", "keyword", "import", "module"]


@dataclass(slots=True, eq=False)
class Scope:
    """A file, or a definition: its text, its symbols, and what is visible only in a part of it (loop variables, indices)."""

    span: Span
    owner: str = ""
    symbols: dict[str, Symbol] = field(default_factory=dict)
    inner: list[Symbol] = field(default_factory=list)


class Names:
    """All names of a file."""

    def __init__(self, module: ast.Module) -> None:
        self.top = Scope(module.span)
        self.definitions: list[Scope] = []
        self.members: list[Member] = []
        self.occurrences: list[Occurrence] = []
        self._builtins: dict[str, Symbol] = {}
        self._declare(self.top, module.body)
        self._block(module.body, self.top, {})
        self.occurrences.sort(key=lambda o: o.span.start)
        for symbol in self.symbols():
            symbol.occurrences.sort(key=lambda o: o.span.start)
        self._starts = [o.span.start for o in self.occurrences]
        self.members.sort(key=lambda m: m.span.start)

    def symbols(self) -> Iterator[Symbol]:
        """Every symbol once, the file's first."""
        for scope in (self.top, *self.definitions):
            yield from scope.symbols.values()
            yield from scope.inner
        yield from self._builtins.values()

    def at(self, offset: int) -> Occurrence | None:
        """The occurrence that holds this offset or ends there."""
        for o in reversed(self.occurrences[: bisect_right(self._starts, offset)][-2:]):
            if o.span.start <= offset <= o.span.end:
                return o
        return None

    def occurrences_in(self, span: Span) -> list[Occurrence]:
        """The occurrences within a part of the text, in order."""
        first, last = bisect_left(self._starts, span.start), bisect_right(self._starts, span.end)
        return [o for o in self.occurrences[first:last] if o.span.end <= span.end]

    def member_at(self, offset: int) -> Member | None:
        return next((m for m in self.members if m.span.start <= offset <= m.span.end), None)

    def scope_at(self, offset: int) -> Scope:
        """The definition that holds this offset, or the file."""
        return next((d for d in self.definitions if d.span.start <= offset <= d.span.end), self.top)

    def visible(self, offset: int) -> dict[str, Symbol]:
        """The symbols of the file that can be spoken of at this offset: in a definition its own and the file's, else what is bound before."""
        here = self.scope_at(offset)
        found: dict[str, Symbol] = {}
        for scope in dict.fromkeys((self.top, here)):
            for symbol in scope.symbols.values():
                first = min((o.span.start for o in symbol.bindings), default=offset)
                if first < offset or (scope is self.top and here is not self.top):
                    found[symbol.name] = symbol
            for symbol in scope.inner:
                if symbol.scope is not None and symbol.scope.start <= offset <= symbol.scope.end:
                    found[symbol.name] = symbol
        return found

    # ------------------------------------------------------------------------ declaring

    def _declare(self, scope: Scope, body: Sequence[ast.Stmt], merged: frozenset[str] = frozenset()) -> None:
        """A symbol for every name that the statements bind at this level, those of `merged` apart."""
        for statement in _flat(body):
            for name in bound_names(statement):
                if name.id not in merged:
                    kind = _KINDS.get(type(statement), "variable")
                    scope.symbols.setdefault(name.id, Symbol(name.id, kind, scope.span, statement, scope.owner))

    def _definition(self, s: ast.Def | ast.OptimizerDef) -> None:
        scope = Scope(s.span, s.name.id)
        for p in s.parameters:
            scope.symbols[p.name.id] = Symbol(p.name.id, "parameter", s.span, p, s.name.id)
        if isinstance(s, ast.OptimizerDef):
            scope.symbols["step"] = Symbol("step", "state", s.span, s, s.name.id)
        bound = {n.id for inner in s.body for n in bound_names(inner)} - scope.symbols.keys()
        shared = bound & self.top.symbols.keys()
        defaults = _names(tuple(p.default for p in s.parameters))
        early = _read_early(s.body, shared, set(scope.symbols)) | (defaults & shared)
        self._declare(scope, s.body, early)
        self.definitions.append(scope)
        for p in s.parameters:
            self._add(scope.symbols[p.name.id], p.name.span, "bind")
            self._expression(p.default, scope, {})
        self._block(s.body, scope, {})

    # ------------------------------------------------------------------------ statements

    def _block(self, body: Iterable[ast.Stmt], scope: Scope, inner: dict[str, Symbol]) -> None:
        for statement in body:
            self._statement(statement, scope, inner)

    def _statement(self, s: ast.Stmt, scope: Scope, inner: dict[str, Symbol]) -> None:
        """`inner`: loop variables and indices that are visible here."""
        match s:
            case ast.For(variable=variable, iterable=iterable, body=body):
                self._expression(iterable, scope, inner)
                symbol = Symbol(variable.id, "loop", s.span, s, scope.owner)
                scope.inner.append(symbol)
                self._add(symbol, variable.span, "bind")
                self._block(body, scope, inner | {variable.id: symbol})
            case ast.If(branches=branches, otherwise=otherwise):
                for condition, body in branches:
                    self._expression(condition, scope, inner)
                    self._block(body, scope, inner)
                self._block(otherwise, scope, inner)
            case ast.Def(name=name) | ast.OptimizerDef(name=name):
                self._name(name, scope, inner, "bind")
                self._definition(s)
            case ast.Assign(targets=targets, value=value):
                inside = inner
                for target in targets:
                    inside = inside | self._indices(target, s.span, scope, inside)
                for target in targets:
                    use: Use = "bind" if isinstance(target, ast.Name) else "update"
                    self._target(target, scope, inside, use, s.span.end)
                self._expression(value, scope, inside)
            case ast.AugAssign(target=target, value=value):
                inside = inner | self._indices(target, s.span, scope, inner)
                self._target(target, scope, inside, "update")
                self._expression(value, scope, inside)
            case ast.Draw(name=name, dims=dims, law=law):
                self._name(name, scope, inner, "bind")
                self._expression(dims, scope, inner)
                if isinstance(law, ast.Call) and isinstance(law.function, ast.Name) and law.function.id in LAWS:
                    self._add(self._builtin(law.function.id), law.function.span)
                    self._expression((law.args, tuple(k.value for k in law.keywords)), scope, inner)
                else:
                    self._expression(law, scope, inner)
            case ast.Import(module=module, alias=alias):
                self.members.append(Member(module.span, module.span.text, module, "module"))
                for name in imported_name(module, alias):
                    self._name(name, scope, inner, "bind", alias_due=alias is None)
            case ast.FromImport(module=module, names=names):
                self.members.append(Member(module.span, module.span.text, module, "module"))
                for name, alias in names:
                    self.members.append(Member(name.span, name.id, module, "import"))
                    self._name(alias or name, scope, inner, "bind", alias_due=alias is None)
            case _:
                own = getattr(s, "name", None)
                if isinstance(own, ast.Name):
                    self._name(own, scope, inner, "bind")
                for part in fields(s):
                    if part.name not in ("span", "name", "doc", "alias"):
                        self._expression(getattr(s, part.name), scope, inner)

    def _target(self, target: ast.Expr, scope: Scope, inner: dict[str, Symbol], use: Use, since: int = 0) -> None:
        """x, x[t], y[i] on the left side."""
        if isinstance(target, ast.Name):
            self._name(target, scope, inner, use, since)
        elif isinstance(target, ast.Subscript):
            whole = self._defines(target, inner) and since
            self._target(target.value, scope, inner, "bind" if whole else use, since)
            self._expression(target.items, scope, inner)
        else:
            self._expression(target, scope, inner)

    def _defines(self, target: ast.Subscript, inner: dict[str, Symbol]) -> bool:
        """y[i] = … binds y as a whole."""
        first = target.items[0] if target.items else None
        symbol = inner.get(first.id) if isinstance(first, ast.Name) else None
        return symbol is not None and symbol.kind == "index"

    def _indices(self, e: ast.Expr, extent: Span, scope: Scope, inner: dict[str, Symbol]) -> dict[str, Symbol]:
        """New indices: the names in the subscripts of a left side, or of avg[…], that mean nothing else."""
        found: dict[str, Symbol] = {}
        if isinstance(e, ast.Subscript):
            for item in e.items:
                if isinstance(item, ast.Name) and self._find(item.id, scope, inner) is None:
                    found[item.id] = Symbol(item.id, "index", extent, None, scope.owner)
        for symbol in found.values():
            scope.inner.append(symbol)
            names = [i for i in e.items if isinstance(i, ast.Name) and i.id == symbol.name]  # type: ignore[union-attr]
            self._add(symbol, names[0].span, "bind")
        return found

    # ------------------------------------------------------------------------ expressions

    def _expression(self, node: object, scope: Scope, inner: dict[str, Symbol]) -> None:
        match node:
            case ast.Name():
                self._name(node, scope, inner, "read")
            case ast.Call(function=ast.Subscript() as function, args=args, keywords=keywords):
                inside = inner | self._indices(function, node.span, scope, inner)
                self._expression((function, args), scope, inside)
                self._keywords(function, keywords, scope, inside)
            case ast.Call(function=called, args=args, keywords=keywords):
                self._expression((called, args), scope, inner)
                self._keywords(called, keywords, scope, inner)
            case ast.Attribute(value=value, name=name, span=span):
                self._expression(value, scope, inner)
                self.members.append(Member(Span(span.source, span.end - len(name), span.end), name, value, "attribute"))
            case tuple():
                for part in node:
                    self._expression(part, scope, inner)
            case _ if is_dataclass(node) and not isinstance(node, type):
                for part in fields(node):
                    if part.name != "span":
                        self._expression(getattr(node, part.name), scope, inner)

    def _keywords(
        self, called: ast.Expr, keywords: Iterable[ast.Keyword], scope: Scope, inner: dict[str, Symbol]
    ) -> None:
        for k in keywords:
            span = Span(k.span.source, k.span.start, k.span.start + len(k.name))
            self.members.append(Member(span, k.name, called, "keyword"))
            self._expression(k.value, scope, inner)

    # ------------------------------------------------------------------------ names

    def _find(self, name: str, scope: Scope, inner: dict[str, Symbol]) -> Symbol | None:
        if name in NOT_NAMES:
            return None
        found = inner.get(name) or scope.symbols.get(name) or self.top.symbols.get(name)
        return found or (self._builtin(name) if name in BUILTINS else None)

    def _builtin(self, name: str) -> Symbol:
        return self._builtins.setdefault(name, Symbol(name, "builtin"))

    def _name(
        self,
        name: ast.Name,
        scope: Scope,
        inner: dict[str, Symbol],
        use: Use,
        since: int = 0,
        *,
        alias_due: bool = False,
    ) -> None:
        symbol = self._find(name.id, scope, inner)
        if symbol is not None and not any(o.span == name.span for o in symbol.occurrences[:1]):
            self._add(symbol, name.span, use, since, alias_due)

    def _add(self, symbol: Symbol, span: Span, use: Use = "read", since: int = 0, alias_due: bool = False) -> None:
        occurrence = Occurrence(span, symbol, use, since or span.start, alias_due)
        symbol.occurrences.append(occurrence)
        self.occurrences.append(occurrence)


_KINDS: dict[type, Kind] = {
    ast.WidthDecl: "width",
    ast.ConstDecl: "const",
    ast.Draw: "draw",
    ast.Def: "function",
    ast.OptimizerDef: "optimizer",
    ast.State: "state",
    ast.Import: "module",
    ast.FromImport: "import",
}


def _flat(body: Iterable[ast.Stmt]) -> Iterator[ast.Stmt]:
    """The statements, with those of loops and branches in place of these."""
    for s in body:
        match s:
            case ast.For(body=inner, variable=variable):
                yield from (t for t in _flat(inner) if all(n.id != variable.id for n in bound_names(t)))
            case ast.If(branches=branches, otherwise=otherwise):
                for _, branch in branches:
                    yield from _flat(branch)
                yield from _flat(otherwise)
            case _:
                yield s


# ---------------------------------------------------------------------------- names that a definition reads before it binds them


def _read_early(body: Iterable[ast.Stmt], wanted: set[str], bound: set[str]) -> frozenset[str]:
    """Names of `wanted` that may be read before the body binds them, and then mean the file's."""
    found: set[str] = set()
    _reads(body, wanted, set(bound), found)
    return frozenset(found)


def _reads(body: Iterable[ast.Stmt], wanted: set[str], bound: set[str], found: set[str]) -> set[str]:
    """Adds to `found`; what is bound after the statements, whichever way they run."""
    for s in body:
        match s:
            case ast.For(variable=variable, iterable=iterable, body=inner):
                found |= (_names(iterable) & wanted) - bound
                _reads(inner, wanted - {variable.id}, set(bound), found)
            case ast.If(branches=branches, otherwise=otherwise):
                ends = []
                for condition, inner in branches:
                    found |= (_names(condition) & wanted) - bound
                    ends.append(_reads(inner, wanted, set(bound), found))
                ends.append(_reads(otherwise, wanted, set(bound), found))
                bound = set.intersection(*ends)
            case ast.Assign(targets=targets, value=value):
                found |= (_names((value, *(t for t in targets if not isinstance(t, ast.Name)))) & wanted) - bound
                bound |= {name.id for name in bound_names(s)}
            case _:
                skipped = s.name if isinstance(s, ast.Draw | ast.ConstDecl | ast.State | ast.WidthDecl) else None
                parts = tuple(getattr(s, f.name) for f in fields(s) if f.name != "span")
                found |= (_names(tuple(p for p in parts if p is not skipped)) & wanted) - bound
                bound |= {name.id for name in bound_names(s)}
    return bound


def _names(node: object) -> set[str]:
    """All names in a part of the tree."""
    match node:
        case ast.Name(id=name):
            return {name}
        case tuple():
            return set().union(*(_names(part) for part in node)) if node else set()
        case _ if is_dataclass(node) and not isinstance(node, type | Span):
            return set().union(*(_names(getattr(node, f.name)) for f in fields(node) if f.name != "span"), set())
    return set()
