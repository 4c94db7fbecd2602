"""The terms that equations are made of.

In: parts. Out: terms, immutable and compared by structure; `algebra` makes them in a normal form. Guarantees: nothing here knows of text or LaTeX.

A ket's `copy` says which of the independent copies of the program's kets it belongs to: 0 is the ket itself, 1, 2, … are averaged out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

Part = Literal["", "hat", "dot"]


@dataclass(frozen=True, slots=True)
class Index:
    """A position on a finite axis: Σ factor · letter + offset, or, for `table`, what a table of whole numbers says of that."""

    parts: tuple[tuple[str, int], ...] = ()
    offset: int = 0
    table: str = ""

    @property
    def number(self) -> int | None:
        return None if self.parts or self.table else self.offset

    @property
    def letters(self) -> frozenset[str]:
        return frozenset(letter for letter, _ in self.parts)


def letter(name: str) -> Index:
    return Index(((name, 1),))


def position(k: int) -> Index:
    return Index((), k)


@dataclass(frozen=True, slots=True)
class Label:
    """A name of the source, which of its values it is, and the positions on its finite axes.

    `step` is None if there is one value only, and a text, s or s+1, under a sum over steps.
    """

    name: str
    step: int | str | None = None
    indices: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """W x or Wᵀ x, an initial matrix at work on what a label names."""

    matrix: Label
    transposed: bool
    operand: Label


@dataclass(frozen=True, slots=True)
class Num:
    value: float


@dataclass(frozen=True, slots=True)
class Sym:
    """A scalar, or an entry of an array of them."""

    label: Label


@dataclass(frozen=True, slots=True)
class Ket:
    head: Label | Applied
    copy: int = 0
    part: Part = ""


@dataclass(frozen=True, slots=True)
class Add:
    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Div:
    above: Term
    below: Term


@dataclass(frozen=True, slots=True)
class Pow:
    base: Term
    exponent: Term


@dataclass(frozen=True, slots=True)
class Call:
    """A function of terms. `step`: which of an optimizer's functions it is; then `bar` says that it is one."""

    name: str
    args: tuple[Term, ...]
    step: int | None = None
    bar: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """1 where a op b holds, else 0."""

    op: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Over:
    """sum, max, min or argmax over a letter."""

    op: str
    letter: str
    body: Term


@dataclass(frozen=True, slots=True)
class Steps:
    """The sum of `body` over its step s from `first` to `last`."""

    first: int
    last: int
    body: Term


@dataclass(frozen=True, slots=True)
class Mean:
    """The expectation: of everything (`copies` empty), or over some copies."""

    body: Term
    copies: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bracket:
    bra: Ket
    ket: Ket


@dataclass(frozen=True, slots=True)
class Outer:
    """|a⟩⟨b| within a function: the entries a_α b_β of an outer product."""

    ket: Ket
    bra: Ket


@dataclass(frozen=True, slots=True)
class Act:
    """An operator, a function of outer products, applied to a ket."""

    operator: Term
    ket: Ket


@dataclass(frozen=True, slots=True)
class Slope:
    """∂ket/∂hat."""

    ket: Ket
    hat: Ket


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of what is joined of blocks, by its position. A block of several entries stands as one of them, at the letter LOCAL."""

    items: tuple[Term, ...]
    index: Index
    sizes: tuple[int, ...] = ()

    @property
    def layout(self) -> tuple[int, ...]:
        """The sizes of the blocks."""
        return self.sizes or (1,) * len(self.items)


Term: TypeAlias = (
    Num
    | Sym
    | Ket
    | Add
    | Mul
    | Div
    | Pow
    | Call
    | Relation
    | Over
    | Steps
    | Mean
    | Bracket
    | Outer
    | Act
    | Slope
    | Entry
)

ZERO, ONE = Num(0.0), Num(1.0)
LOCAL = "∗"


# ---------------------------------------------------------------------------- looking into terms


def children(t: Term) -> Iterator[Term]:
    """The terms that a term is made of."""
    for field in fields(t):
        value = getattr(t, field.name)
        if isinstance(value, tuple):
            yield from (v for v in value if isinstance(v, _TERMS))
        elif isinstance(value, _TERMS):
            yield value


_TERMS = (Num, Sym, Ket, Add, Mul, Div, Pow, Call, Relation, Over, Steps, Mean, Bracket, Outer, Act, Slope, Entry)


def walk(t: Term) -> Iterator[Term]:
    yield t
    for c in children(t):
        yield from walk(c)


def size(t: Term) -> int:
    """How many terms it is made of."""
    return 1 + sum(size(c) for c in children(t))


def labels(t: Term) -> Iterator[Label]:
    """Every label that occurs."""
    for part in walk(t):
        if isinstance(part, Sym):
            yield part.label
        elif isinstance(part, Ket):
            yield from labels_of_ket(part)


def labels_of_ket(k: Ket) -> tuple[Label, ...]:
    return (k.head.matrix, k.head.operand) if isinstance(k.head, Applied) else (k.head,)


def letters(t: Term) -> frozenset[str]:
    """The index letters that occur free."""
    own = frozenset(name for label in labels(t) for i in label.indices for name in i.letters)
    own |= frozenset(name for part in walk(t) if isinstance(part, Entry) for name in part.index.letters)
    return own - frozenset(part.letter for part in walk(t) if isinstance(part, Over)) - {LOCAL}


def is_random(t: Term, copies: frozenset[int] | None = None) -> bool:
    """Whether a term is a random variable, of these copies if they are given."""
    match t:
        case Ket(copy=copy):
            return copies is None or copy in copies
        case Bracket():
            return False
        case Mean(copies=()):
            return False
        case Outer():
            return True
        case Act(ket=ket):
            return is_random(ket, copies) or (copies is None or 0 in copies)
    return any(is_random(c, copies) for c in children(t))


def at_index(t: Term, name: str, index: Index) -> Term:
    """The term with the index in place of a letter."""

    def moved(i: Index) -> Index:
        factor = dict(i.parts).get(name)
        if factor is None:
            return i
        parts = dict(p for p in i.parts if p[0] != name)
        for other, f in index.parts:
            parts[other] = parts.get(other, 0) + factor * f
        return replace(i, parts=tuple(parts.items()), offset=i.offset + factor * index.offset)

    return relabelled(t, lambda label: replace(label, indices=tuple(map(moved, label.indices))), moved)


def relabelled(t: Term, change: Callable[[Label], Label], move: Callable[[Index], Index] | None = None) -> Term:
    """The term with every label changed, and the positions of entries moved."""

    def at(value: object) -> object:
        match value:
            case Label():
                return change(value)
            case Applied(matrix=matrix, operand=operand):
                return replace(value, matrix=change(matrix), operand=change(operand))
            case tuple():
                return tuple(map(at, value))
            case Index() if move is not None:
                return move(value)
        return relabelled(value, change, move) if isinstance(value, _TERMS) else value

    return replace(t, **{f.name: at(getattr(t, f.name)) for f in fields(t)})  # type: ignore[arg-type]
