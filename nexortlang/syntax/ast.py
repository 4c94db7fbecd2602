"""The abstract syntax tree: what the parser makes and the elaborator walks.

Nodes are frozen; `span` is last and outside equality, so two trees compare by meaning. The parser accepts a little more than the
language (any expression may stand as an assignment target's subscript, any call after `~`), and elaboration says why not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nexortlang.source import Span


def _span() -> Span:
    return field(compare=False, repr=False)


# ---------------------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Number:
    """3, 0.5, .5, 1e-3. `is_integer`: written without point or exponent."""

    value: float
    is_integer: bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class String:
    """A file name in quotes."""

    value: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Array:
    """[a, b, …]"""

    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Tuple:
    """a, b: only after `return` and `=`; or (a, b) as an argument, as in softmax's and zeros' shapes."""

    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Unary:
    op: Literal["-", "+", "not"]
    operand: Expr
    span: Span = _span()


BinaryOp: TypeAlias = Literal["+", "-", "*", "/", "//", "%", "^", "@", "<", "<=", ">", ">=", "==", "!=", "and", "or"]


@dataclass(frozen=True, slots=True)
class Binary:
    """`**` is written "^" here."""

    op: BinaryOp
    left: Expr
    right: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Keyword:
    """name=value in a call."""

    name: str
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """f(a, b, k=c). `avg[j](…)` is a Call whose function is a Subscript of the Name avg."""

    function: Expr
    args: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Slice:
    """start:stop:step in a subscript; each part may be missing."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Subscript:
    """x[a, b:c, None]. `None` parses as Name("None"), `...` as Name("...")."""

    value: Expr
    items: tuple[Expr | Slice, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Attribute:
    """A.shape, layers.dense. Not `.T`: that is Transpose."""

    value: Expr
    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Transpose:
    """W.T or Wᵀ"""

    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class BraKet:
    """<x|y>, or <x|A|y> with `operator` A."""

    bra: Expr
    operator: Expr | None
    ket: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class KetBra:
    """|x><y|"""

    ket: Expr
    bra: Expr
    span: Span = _span()


Expr: TypeAlias = (
    Number | String | Name | Array | Tuple | Unary | Binary | Call | Subscript | Attribute | Transpose | BraKet | KetBra
)

# ---------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class WidthDecl:
    """width n, or width m = 2*n."""

    name: Name
    value: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ConstDecl:
    """const lr = 0.1"""

    name: Name
    value: Expr
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Draw:
    """name[dims] ~ law(args), or name ~ law(args) with no dims."""

    name: Name
    dims: tuple[Expr, ...]
    law: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assign:
    """targets = value. Several targets unpack; a target is a Name or a Subscript (x[t] = e, y[i] = e, G[i, j] = e)."""

    targets: tuple[Expr, ...]
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class AugAssign:
    """target op= value"""

    target: Expr
    op: Literal["+", "-", "*", "/"]
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Parameter:
    name: Name
    default: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Def:
    """def f(x, a = 1) = e, or with an indented body. A one-line definition has the body (Return(e),)."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: tuple[Stmt, ...]
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class OptimizerDef:
    """optimizer name(g, …): body, which may hold State statements."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: tuple[Stmt, ...]
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class State:
    """state m = 0"""

    name: Name
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class For:
    variable: Name
    iterable: Expr
    body: tuple[Stmt, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class If:
    """Branches in order, as (condition, body); `otherwise` is empty without an else."""

    branches: tuple[tuple[Expr, tuple[Stmt, ...]], ...]
    otherwise: tuple[Stmt, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Import:
    """import optim, import optim as o, import "layers.nxt" as layers. `module` is a Name or a String."""

    module: Name | String
    alias: Name | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class FromImport:
    """from optim import adam, sgd as s: names as (name, alias)."""

    module: Name | String
    names: tuple[tuple[Name, Name | None], ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Show:
    """show e [as name]. `show dist(x)` and `show cov(f)` are Calls of the Names dist and cov."""

    value: Expr
    alias: Name | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assert:
    """assert e ~= target [within tolerance]."""

    value: Expr
    target: Expr
    tolerance: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ExprStmt:
    """An expression alone: the REPL shows it; in a file it is a mistake (NX2xx: nothing is done with it)."""

    value: Expr
    span: Span = _span()


Stmt: TypeAlias = (
    WidthDecl
    | ConstDecl
    | Draw
    | Assign
    | AugAssign
    | Def
    | OptimizerDef
    | State
    | Return
    | For
    | If
    | Import
    | FromImport
    | Show
    | Assert
    | ExprStmt
)


@dataclass(frozen=True, slots=True)
class Module:
    """A whole file. `doc` is its leading documentation comment."""

    body: tuple[Stmt, ...]
    doc: str
    span: Span = _span()
