"""Kets written out down to Gaussian ones, and what closed forms read off the result.

In: values. Out: terms whose kets are Gaussian of mean 0, where that is so, and the value behind each such ket. Raises TooLong where the program is
deeper than any closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nexortlang.core.program import InitVector, MatMul, Value
from nexortlang.derive.algebra import mul
from nexortlang.derive.numbers import Known
from nexortlang.derive.terms import (
    ONE,
    Applied,
    Call,
    Index,
    Ket,
    Label,
    Mean,
    Mul,
    Num,
    Over,
    Relation,
    Term,
    is_random,
    relabelled,
)
from nexortlang.derive.translate import Scope, Translator

_MOST_PARTS = 300


class TooLong(Exception):
    """What is unwound has become longer than any closed form would be."""


class Unwinding(Translator):
    """Writes values out down to Gaussian kets of mean 0, whose values it notes. Raises TooLong after some hundred parts."""

    def __init__(self, plain: Translator, known: Known) -> None:
        super().__init__(plain.names, plain.calls, plain.functions, symbols=plain.symbols)
        self.plain, self.known = plain, known
        self.values: dict[object, Value] = {}
        self.parts = 0

    def start(self) -> None:
        """Begins to count anew."""
        self.parts = 0

    def entry(self, v: Value, indices: Sequence[Index], scope: Scope) -> Term:
        self.parts += 1
        if self.parts > _MOST_PARTS:
            raise TooLong
        if v.type.is_scalar or isinstance(v, InitVector | MatMul) or v.id in self.names.labels:
            term = super().entry(v, indices, scope)
            gaussian = isinstance(term, Ket) and self.known.is_gaussian(v)
            if isinstance(term, Ket) and gaussian:
                self.values[stem(term)] = v
            if gaussian or v.type.is_scalar or isinstance(v, InitVector | MatMul):
                return term
        return self.written_out(v, indices, scope)

    def product(self, v: MatMul, indices: Sequence[Index], scope: Scope) -> Term:
        return self.plain.product(v, indices, scope)


def stem(k: Ket | Term) -> object:
    """A ket without its indices and copy: which value it is. Which member of a family of matrices acts is part of that."""
    assert isinstance(k, Ket)
    if isinstance(k.head, Applied):
        members = tuple(i.number for i in k.head.matrix.indices)
        return (
            k.head.matrix.name,
            k.head.matrix.step,
            members,
            k.head.transposed,
            k.head.operand.name,
            k.head.operand.step,
        )
    return (k.head.name, k.head.step)


def positions(v: Value, k: Ket) -> list[Index]:
    """The ket's indices on all finite axes of its value."""
    own = iter(k.head.operand.indices if isinstance(k.head, Applied) else k.head.indices)
    return [Index((), 0) if n == 1 else next(own, Index((), 0)) for n in v.type.shape]


def is_open(p: Term) -> bool:
    """What a closed form is not looked for in: optimizers' functions and expectations over copies."""
    return (isinstance(p, Call) and p.bar) or (isinstance(p, Mean) and bool(p.copies))


def function_of_ket(f: Term) -> tuple[str, Ket] | None:
    """A function of one ket."""
    match f:
        case Call(name=name, args=(Ket() as g,)):
            return name, g
        case Relation(op=">" | "≥", left=Ket() as g, right=Num(value=0.0)):
            return "step", g
    return None


def combination(t: Term | None) -> tuple[list[str], Term, Ket] | None:
    """Σ over letters of a factor times one ket."""
    names: list[str] = []
    factor: Term = ONE
    if t is None:
        return None
    if isinstance(t, Mul) and t.items and isinstance(t.items[-1], Over):
        factor, t = mul(*t.items[:-1]), t.items[-1]
        if is_random(factor):
            return None
    while isinstance(t, Over) and t.op == "sum":
        names.append(t.letter)
        t = t.body
    parts = t.items if isinstance(t, Mul) else (t,)
    kets = [p for p in parts if isinstance(p, Ket)]
    if len(kets) != 1 or any(is_random(p) for p in parts if not isinstance(p, Ket)):
        return None
    return names, mul(factor, *(p for p in parts if not isinstance(p, Ket))), kets[0]


def relettered(t: Term, change: dict[str, str]) -> Term:
    def index(i: Index) -> Index:
        return replace(i, parts=tuple((change.get(name, name), f) for name, f in i.parts))

    def label(x: Label) -> Label:
        return replace(x, indices=tuple(map(index, x.indices)))

    return relabelled(t, label)
