"""From rules to the tree: one method per rule of the grammar.

In: the label of a rule that has been read, its span, its parts in order (nodes, lists of nodes, None for an optional part that is
missing). Out: the node. Raises NexortError for the few mistakes that the grammar lets through, to say them better.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeAlias

from nexortlang.diagnostics import Diagnostic, Label, NexortError
from nexortlang.source import Source, Span
from nexortlang.syntax import ast
from nexortlang.syntax.ast import Expr, Keyword, Name, Parameter, Slice, Stmt, String
from nexortlang.syntax.lexical import FOREIGN

Builder: TypeAlias = Callable[..., Any]
Body: TypeAlias = tuple[Stmt, ...]

_BINARY: dict[str, ast.BinaryOp] = {
    "or_": "or", "and_": "and",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
    "add": "+", "subtract": "-",
    "multiply": "*", "divide": "/", "floor_divide": "//", "modulo": "%", "matmul": "@",
    "power": "^",
}  # fmt: skip
_UNARY: dict[str, Literal["-", "+", "not"]] = {"negate": "-", "plus": "+", "not_": "not"}
_AUGMENTED: dict[str, Literal["+", "-", "*", "/"]] = {"increase": "+", "decrease": "-", "scale": "*", "shrink": "/"}


_LAW = "write a law such as normal(0, 1): mean and variance"


class TreeBuilder:
    """`docs`: the documentation comments, by the offset of the statement below them; the parser fills it as it goes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.docs: dict[int, str] = {}

    def builder(self, label: str) -> Builder:
        """What makes the node of a label."""
        if label in _BINARY:
            op = _BINARY[label]
            return lambda span, left, right: ast.Binary(op, left, right, span)
        if label in _UNARY:
            sign = _UNARY[label]
            return lambda span, operand: ast.Unary(sign, operand, span)
        if label in _AUGMENTED:
            sum_or_product = _AUGMENTED[label]
            return lambda span, target, value: ast.AugAssign(target, sum_or_product, value, span)
        method: Builder = getattr(self, label)
        return method

    # ------------------------------------------------------------------------ words

    def word(self, kind: str, span: Span) -> Any:
        """The value of a single word: a node for names, numbers and strings, None for the rest."""
        match kind:
            case "NAME":
                return Name(_same(span.text), span)
            case "NUMBER":
                text = span.text
                return ast.Number(float(text), text.isdigit(), span)
            case "STRING":
                return String(span.text[1:-1], span)
        return None

    # ------------------------------------------------------------------------ expressions

    def call(self, span: Span, function: Expr, arguments: list[Expr | Keyword] | None) -> ast.Call:
        args: list[Expr] = []
        keywords: list[Keyword] = []
        seen: dict[str, Span] = {}
        for argument in arguments or ():
            if isinstance(argument, Keyword):
                _unique(argument.name, argument.span, seen, "argument")
                keywords.append(argument)
            elif keywords:
                _refuse(
                    "NX023",
                    "expected only name=value after a keyword argument, found an argument without a name",
                    argument.span,
                    "put it before the keyword arguments, or name it",
                    Label(keywords[-1].span, "the keyword arguments begin here"),
                )
            else:
                args.append(argument)
        return ast.Call(function, tuple(args), tuple(keywords), span)

    def arguments(self, span: Span, *items: Expr | Keyword) -> list[Expr | Keyword]:
        return list(items)

    def keyword(self, span: Span, name: Name, value: Expr) -> Keyword:
        return Keyword(name.id, value, span)

    def subscript(self, span: Span, value: Expr, items: tuple[Expr | Slice, ...]) -> ast.Subscript:
        return ast.Subscript(value, items, span)

    def subscripts(self, span: Span, *items: Expr | Slice) -> tuple[Expr | Slice, ...]:
        return items

    def slice(self, span: Span, start: Expr | None, stop: Expr | None, step: Expr | None) -> Slice:
        return Slice(start, stop, step, span)

    def attribute(self, span: Span, value: Expr, name: Name) -> Expr:
        return ast.Transpose(value, span) if name.id == "T" else ast.Attribute(value, name.id, span)

    def transpose(self, span: Span, value: Expr) -> Expr:
        return ast.Transpose(value, span)

    def ellipsis(self, span: Span) -> Name:
        return Name("...", span)

    def tuple_(self, span: Span, *items: Expr) -> ast.Tuple:
        return ast.Tuple(items, span)

    def array(self, span: Span, *items: Expr) -> ast.Array:
        return ast.Array(items, span)

    def inner_product(self, span: Span, bra: Expr, ket: Expr) -> ast.BraKet:
        return ast.BraKet(bra, None, ket, span)

    def matrix_element(self, span: Span, bra: Expr, operator: Expr, ket: Expr) -> ast.BraKet:
        return ast.BraKet(bra, operator, ket, span)

    def outer_product(self, span: Span, ket: Expr, bra: Expr) -> ast.KetBra:
        return ast.KetBra(ket, bra, span)

    # ------------------------------------------------------------------------ statements

    def width(self, span: Span, name: Name, value: Expr | None) -> ast.WidthDecl:
        return ast.WidthDecl(name, value, span)

    def const(self, span: Span, name: Name, value: Expr) -> ast.ConstDecl:
        return ast.ConstDecl(name, value, self.docs.get(span.start, ""), span)

    def draw(self, span: Span, target: Expr, law: Expr) -> ast.Draw:
        if not isinstance(law, ast.Call):
            _refuse("NX019", "expected a law with its parameters after ~, found something else", law.span, _LAW)
        if isinstance(target, Name):
            return ast.Draw(target, (), law, span)
        assert isinstance(target, ast.Subscript)  # `target` lets nothing else through
        if not isinstance(target.value, Name):
            _refuse(
                "NX018", "expected one list of widths and sizes, found two", span, "write W[n, n, 3] ~ normal(0, 1/n)"
            )
        for item in target.items:
            if isinstance(item, Slice):
                hint = "write for example W[n, n, 3] ~ normal(0, 1/n)"
                _refuse("NX018", "expected a width or a size, found a slice", item.span, hint)
        return ast.Draw(target.value, tuple(i for i in target.items if not isinstance(i, Slice)), law, span)

    def target(self, span: Span, target: Expr) -> Expr:
        match target:
            case Name(id=word) if word not in ("None", "..."):
                return target
            case ast.Subscript(value=Name()):
                return target
            case ast.Subscript(value=ast.Subscript() as whole):
                self.target(span, whole)
                return target
        what = {ast.Call: "a call", ast.Number: "a number", ast.Transpose: "a transpose", ast.Array: "an array"}.get(
            type(target), "an expression"
        )
        hint = "bind a name, x = …, or a member, x[t] = …"
        if isinstance(target, ast.Call):
            hint = "a function is defined by def f(x) = …; an entry by index by y[i] = …"
        _refuse("NX018", f"expected a name or a name with subscripts on the left, found {what}", span, hint)

    def targets(self, span: Span, *targets: Expr) -> tuple[Expr, ...]:
        return targets

    def values(self, span: Span, *values: Expr) -> Expr:
        return values[0] if len(values) == 1 else ast.Tuple(values, span)

    def assign(self, span: Span, targets: tuple[Expr, ...], value: Expr) -> ast.Assign:
        return ast.Assign(targets, value, span)

    def show(self, span: Span, value: Expr, alias: Name | None) -> ast.Show:
        return ast.Show(value, alias, span)

    def check(self, span: Span, value: Expr, target: Expr, tolerance: Expr | None) -> ast.Assert:
        return ast.Assert(value, target, tolerance, span)

    def give(self, span: Span, value: Expr) -> ast.Return:
        return ast.Return(value, span)

    def state(self, span: Span, name: Name, value: Expr) -> ast.State:
        return ast.State(name, value, span)

    def expression_statement(self, span: Span, value: Expr) -> ast.ExprStmt:
        if isinstance(value, Name) and value.id in ("pass", "break", "continue"):
            hint = f"`{value.id}` is not part of the language: {FOREIGN[value.id]}"
            _refuse("NX027", f"expected a statement, found the name `{value.id}`", span, hint)
        return ast.ExprStmt(value, span)

    def bad(self, span: Span) -> None:
        return None

    # ------------------------------------------------------------------------ imports

    def import_(self, span: Span, module: Name | String, alias: Name | None) -> ast.Import:
        return ast.Import(module, alias, span)

    def from_import(self, span: Span, module: Name | String, names: Any) -> ast.FromImport:
        return ast.FromImport(module, names, span)

    def imported(self, span: Span, *names: Any) -> tuple[tuple[Name, Name | None], ...]:
        return names

    def import_name(self, span: Span, name: Name, alias: Name | None) -> Any:
        return name, alias

    # ------------------------------------------------------------------------ definitions, loops, conditions

    def def_block(self, span: Span, name: Name, parameters: tuple[Parameter, ...] | None, body: Body) -> ast.Def:
        return ast.Def(name, parameters or (), body, self.docs.get(span.start, ""), span)

    def def_line(self, span: Span, name: Name, parameters: tuple[Parameter, ...] | None, value: Expr) -> ast.Def:
        return self.def_block(span, name, parameters, (ast.Return(value, value.span),))

    def optimizer_block(
        self, span: Span, name: Name, parameters: tuple[Parameter, ...] | None, body: Body
    ) -> ast.OptimizerDef:
        return ast.OptimizerDef(name, parameters or (), body, self.docs.get(span.start, ""), span)

    def optimizer_line(
        self, span: Span, name: Name, parameters: tuple[Parameter, ...] | None, value: Expr
    ) -> ast.OptimizerDef:
        return self.optimizer_block(span, name, parameters, (ast.Return(value, value.span),))

    def parameters(self, span: Span, *parameters: Parameter) -> tuple[Parameter, ...]:
        seen: dict[str, Span] = {}
        for i, parameter in enumerate(parameters):
            _unique(parameter.name.id, parameter.span, seen, "parameter")
            if i and parameter.default is None and parameters[i - 1].default is not None:
                _refuse(
                    "NX023",
                    f"expected a default for `{parameter.name.id}`, since one before it has one, found none",
                    parameter.span,
                    "put the parameters without defaults first",
                    Label(parameters[i - 1].span, "this parameter has a default"),
                )
        return parameters

    def parameter(self, span: Span, name: Name, default: Expr | None) -> Parameter:
        return Parameter(name, default, span)

    def for_(self, span: Span, variable: Name, iterable: Expr, body: Body) -> ast.For:
        return ast.For(variable, iterable, body, span)

    def if_(self, span: Span, condition: Expr, body: Body, *rest: Any) -> ast.If:
        *others, otherwise = rest
        return ast.If(((condition, body), *others), otherwise or (), span)

    def elif_(self, span: Span, condition: Expr, body: Body) -> tuple[Expr, Body]:
        return condition, body

    def block(self, span: Span, *statements: Stmt | None) -> Body:
        return tuple(s for s in statements if s is not None)

    def module(self, span: Span, *statements: Stmt | None) -> Body:
        return self.block(span, *statements)

    def expression(self, span: Span, value: Expr) -> Expr:
        return value


def _same(word: str) -> str:
    """Names that look alike are alike: é as one character or as two."""
    if word.isascii():
        return word
    from unicodedata import normalize

    return normalize("NFC", word)


def _unique(name: str, span: Span, seen: dict[str, Span], what: str) -> None:
    if name in seen:
        message = f"expected each {what} once, found `{name}` again"
        _refuse("NX023", message, span, "take one of the two out", Label(seen[name], f"`{name}` stands here already"))
    seen[name] = span


def _refuse(code: str, message: str, span: Span, hint: str, *labels: Label) -> NoReturn:
    raise NexortError(Diagnostic(code, message, span, labels, hint))
