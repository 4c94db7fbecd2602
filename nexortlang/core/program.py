"""The core program: the language of THEORY.md §1 in SSA form, with batch axes.

A value is the instruction that makes it. Its type says over which width axes it extends, its finite shape, and its power of n:

    scalar            axes ()                 one number (per finite entry)
    vector(n)         axes ((0, n),)          one number per coordinate
    outer(n, m)       axes ((0, n), (1, m))   one number per pair: x[i] * y[j], sign(g[i] * x[j]), …

An axis is (slot, width). Slots are the indices of index notation: `Rename` turns vector x (slot 0) into x[j] (slot 1, say), `Map` joins the
axes of its operands, `Avg` averages slots out. OuterNonlin of order r is a Map over r + 1 slots followed by an Avg over r of them.

Powers: a value of power p stands for n^p times an array of order 1, its *normalised* form, which is what the limit engine computes.
A sum has its largest term's power; in the limit, terms of lower power vanish. At finite width every factor of n is applied.

The whole grammar:

    v ::= Const | InitVector | InitScalar | MatMul(W, v) | Map(op, v…) | Avg(v) | Inner(spec, v, v) | Fluctuation(v) | FirstOrder(v)
        | Rename(v) | Gather(v) | Concat(v…) | Reduce(op, v) | Einsum(spec, v, v) | Scale(v)

Const, InitVector, InitScalar, MatMul, Map, Avg and Rename are the paper's instructions (Map is Nonlin). The others act on finite axes (Gather,
Concat, Reduce, Einsum), are a fused common case (Inner = Avg of an Einsum), multiply by a power of n (Scale), or name
the Gaussian limit of a centred sum (Fluctuation), or multiply what is small by a power of n that brings it back (FirstOrder).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.source import Span

Shape: TypeAlias = tuple[int, ...]
ZERO = Fraction(0)

Law: TypeAlias = Literal["normal", "uniform", "rademacher", "laplace", "bernoulli"]


@dataclass(frozen=True, slots=True)
class Width:
    """A dimension that tends to infinity: `ratio` times the program's first width. Widths of one ratio but two names do not mix."""

    name: str
    ratio: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Type:
    """`axes`: (slot, width) pairs in increasing slot order. `shape`: the finite axes. `power`: of n."""

    axes: tuple[tuple[int, Width], ...]
    shape: Shape
    power: Fraction = ZERO

    @property
    def is_scalar(self) -> bool:
        return not self.axes

    @property
    def is_vector(self) -> bool:
        return len(self.axes) == 1 and self.axes[0][0] == 0

    @property
    def slots(self) -> tuple[int, ...]:
        return tuple([slot for slot, _ in self.axes]) if self.axes else ()

    @property
    def width(self) -> Width:
        """The width of a vector."""
        ((_, width),) = self.axes
        return width


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """An initial matrix, or a family of independent ones: rows × cols, independent entries of mean 0.

    `variance` has the family's shape: entry variance is variance / (size of `cols`). Members are numbered in C order.
    `law` matters at finite width only (universality).
    """

    name: str
    rows: Width
    cols: Width
    variance: np.ndarray
    law: Law
    span: Span | None = None

    @property
    def shape(self) -> Shape:
        return self.variance.shape


# ---------------------------------------------------------------------------- instructions


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class _Value:
    """`id` counts up in program order. `name` is a hint from the source, for printing; it need not be unique."""

    type: Type
    id: int = -1
    name: str = ""
    span: Span | None = None

    def __repr__(self) -> str:
        """Short: operands by number, since a value's whole history can be endless."""
        parts = ", ".join(f"#{a.id}" for a in operands(self))  # type: ignore[arg-type]
        return f"<#{self.id} {type(self).__name__}({parts}) {self.name}>"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Const(_Value):
    """A finite array of plain numbers (float64), type shape = array.shape, power 0."""

    array: np.ndarray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class InitVector(_Value):
    """An initial vector family: coordinates iid over the width, power 0 (a declared n^(-1/2) stands in a Scale around it).

    `mean` and `variance` have the finite shape. `covariance` (d × d, law normal) is that of the last finite axis, or None when the
    columns are independent; then `variance` is its diagonal. uniform, laplace, rademacher are scaled to this mean and variance;
    bernoulli is 1 with probability `mean`, else 0.
    """

    law: Law
    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class InitScalar(_Value):
    """Initial random numbers: one draw for the whole run, independent entries. Fields as for InitVector."""

    law: Law
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class MatMul(_Value):
    """W @ x or W.T @ x with an initial matrix.

    `members` (integers) says which member of the family acts where; its shape broadcasts against x's finite shape, and the result
    has the joint shape. For a single matrix it is array(0).
    """

    matrix: Matrix
    members: np.ndarray
    transposed: bool
    x: Value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Map(_Value):
    """An entrywise function (a name of entrywise.OPS). Finite axes broadcast as in NumPy; width axes are joined by slot."""

    op: str
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Avg(_Value):
    """The average over the given slots, all of them axes of x."""

    x: Value
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Inner(_Value):
    """Avg over slot 0 of Einsum(spec, x, y), x and y vectors of one width: <x|y> is spec "a,b->ab", avg(x*y) is "a,a->a"."""

    spec: str
    x: Value
    y: Value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Fluctuation(_Value):
    """√m · avg(x), m the size of x's width, where x is linear in initial vectors of mean 0 that the rest of x does not depend on.

    Power 0: in the limit a centred Gaussian scalar, Cov = E[x x′] (Gaussian by the central limit theorem given the rest).
    """

    x: Value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class FirstOrder(_Value):
    """n^exponent · x, of order 1 although its nominal power is p, 0 < p ≤ 1/2 (scalars only).

    The leading part of x cancels, or is a centred Gaussian functional; what is smaller by n^(-p) in what x was computed from has moved x by
    n^(-p). `limit`, another core value, is what the limit engine computes for it; None is 0 (THEORY.md §4, neural tangent limit).
    """

    x: Value
    exponent: Fraction
    limit: Value | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Rename(_Value):
    """Other slots for x's axes, as (old, new) pairs for all of them."""

    x: Value
    slots: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Gather(_Value):
    """Finite entries rearranged: result[k] = x.flat[index[k]], index an integer array of the result's shape.

    Indexing, slicing, reshape, transpose and broadcasting of finite axes all are this.
    """

    x: Value
    index: np.ndarray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Concat(_Value):
    """The finite entries of all args, flattened and joined into one finite axis. Args have the same axes."""

    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Reduce(_Value):
    """sum, max, min or argmax over one finite axis (≥ 0), which is dropped."""

    op: Literal["sum", "max", "min", "argmax"]
    x: Value
    axis: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Einsum(_Value):
    """A contraction over finite axes, entrywise over the width axes, which are joined by slot. `spec` as in numpy.einsum, two operands."""

    spec: str
    x: Value
    y: Value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Scale(_Value):
    """n^exponent · x, n the program's first width."""

    x: Value
    exponent: Fraction


Value: TypeAlias = (
    Const
    | InitVector
    | InitScalar
    | MatMul
    | Map
    | Avg
    | Inner
    | Fluctuation
    | FirstOrder
    | Rename
    | Gather
    | Concat
    | Reduce
    | Einsum
    | Scale
)


def operands(v: Value) -> tuple[Value, ...]:
    """The values an instruction reads."""
    match v:
        case Map(args=args) | Concat(args=args):
            return args
        case Const() | InitVector() | InitScalar():
            return ()
        case Inner(x=x, y=y) | Einsum(x=x, y=y):
            return (x, y)
        case _:
            return (v.x,)


# ---------------------------------------------------------------------------- what a program asks for


@dataclass(frozen=True, slots=True, eq=False)
class Show:
    """One execution of a `show`.

    `statement` numbers the `show` in the source (in order of first execution); `path` counts the passes of the loops around this execution, outermost first,
    and is () outside loops. `kind`: "scalar" shows a scalar's limit, "distribution" a vector's coordinate (or a random scalar) distribution,
    "covariance" that of Gaussian scalars.
    """

    kind: Literal["scalar", "distribution", "covariance"]
    name: str
    value: Value
    statement: int
    path: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Assertion:
    """assert value ~= target within tolerance (arrays broadcast). target may be random or computed too."""

    value: Value
    target: Value
    tolerance: np.ndarray
    text: str
    span: Span


# ---------------------------------------------------------------------------- where values come from, for people


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """From value number `first` on, values were made in this pass of the loops around them: ("t", 3) is the fourth pass of a loop over t."""

    first: int
    passes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class OptimizerCall:
    """One call of an optimizer: result = Q(gradients so far), entry by entry.

    `gradients`: what this call and the ones before it, for the same target, were given. The values `first` … `last` − 1 were made by it.
    """

    name: str
    gradients: tuple[Value, ...]
    result: Value
    first: int
    last: int


@dataclass(slots=True)
class Program:
    """`values` in program order: operands come first. `widths` in order of declaration; the first is n.

    `limits`: by id, what the limit engine computes for a shown or asserted value, where that is another one (`limit_of`).
    `marks`, `optimizer_calls` and `trained`, the initial matrices that were updated, say how the source came to these values; no limit depends on them.
    """

    widths: list[Width] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    shows: list[Show] = field(default_factory=list)
    assertions: list[Assertion] = field(default_factory=list)
    limits: dict[int, Value] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    optimizer_calls: list[OptimizerCall] = field(default_factory=list)
    trained: set[Matrix] = field(default_factory=set)

    def limit_of(self, v: Value) -> Value:
        """The value whose limit is that of a shown or asserted one: its leading part."""
        return self.limits.get(v.id, v)
