"""Terms as text: what both renderers share.

In: terms. Out: text with as few parentheses as it needs. A `Writer` knows precedence; its subclasses know how labels, kets and fractions look.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexortlang.derive.algebra import coefficient, mul
from nexortlang.derive.terms import (
    LOCAL,
    ONE,
    Act,
    Add,
    Applied,
    Bracket,
    Call,
    Div,
    Entry,
    Index,
    Ket,
    Label,
    Mean,
    Mul,
    Num,
    Outer,
    Over,
    Pow,
    Relation,
    Slope,
    Steps,
    Sym,
    Term,
    at_index,
    position,
)
from nexortlang.derive.writing import short_reciprocal, written

SUM, PRODUCT, POWER, ATOM = range(1, 5)
_MOST_ENTRIES = 8


class Writer:
    """`write` gives a term's text, in parentheses if it binds more weakly than `level`."""

    minus = "−"

    def write(self, t: Term, level: int = SUM) -> str:
        text, own = self._written(t)
        return text if own >= level else self.parentheses(text)

    def _written(self, t: Term) -> tuple[str, int]:
        match t:
            case Num(value=value):
                return self._number(value)
            case Sym(label=label):
                return self.symbol(label), ATOM
            case Ket():
                return self.ket(t), ATOM
            case Bracket(bra=a, ket=b):
                return self.bracket(a, b), ATOM
            case Outer(ket=a, bra=b):
                return self.outer(a, b), ATOM
            case Act(operator=operator, ket=ket):
                return self.acting(self.write(operator, PRODUCT), ket), PRODUCT
            case Add(items=items):
                return self._sum(items), SUM
            case Mul():
                return self._product(t)
            case Div(above=a, below=b):
                return self.fraction(a, b)
            case Pow(base=base, exponent=exponent):
                return self.power(base, exponent), POWER
            case Call():
                return self.call(t), POWER
            case Relation(op=op, left=a, right=b):
                return self.indicator(f"{self.write(a)} {self.operator(op)} {self.write(b)}"), ATOM
            case Over(op=op, letter=name, body=body):
                return f"{self.over(op, name)}{self.write(body, PRODUCT)}", PRODUCT
            case Steps(first=first, last=last, body=body):
                return f"{self.steps(first, last)}{self.write(body, PRODUCT)}", PRODUCT
            case Mean(body=body, copies=copies):
                return self.mean(body, copies), ATOM
            case Slope(ket=ket, hat=hat):
                return self.slope(ket, hat), PRODUCT
            case Entry(index=index):
                return self.entry([self.write(i) for i in _entries(t)], index), ATOM
        raise AssertionError(t)

    def _number(self, value: float) -> tuple[str, int]:
        if value < 0:
            text, level = self._number(-value)
            return f"{self.minus}{text}", SUM if level > SUM else level
        form = written(value)
        if not isinstance(form, Num):
            return self._written(form)
        return self.digits(value), ATOM

    def _sum(self, items: Sequence[Term]) -> str:
        text = ""
        for item in _in_order(items):
            factor, rest = coefficient(item)
            sign = self.minus if factor < 0 else "+"
            part = self.write(mul(Num(abs(factor)), rest), PRODUCT)
            text += f" {sign} {part}" if text else f"{self.minus}{part}" if factor < 0 else part
        return text

    def _product(self, t: Term) -> tuple[str, int]:
        number, rest = coefficient(t)
        if number < 0:
            return f"{self.minus}{self.write(mul(Num(-number), rest), PRODUCT)}", SUM
        items = list(rest.items) if isinstance(rest, Mul) else [rest]
        if number == 1.0:
            return self.joined(items), PRODUCT
        form = written(number)
        if (divisor := short_reciprocal(number)) is not None:
            form = Div(ONE, Num(divisor))
        if len(items) == 1 and isinstance(items[0], Div):
            above, below = (form.above, form.below) if isinstance(form, Div) else (Num(number), ONE)
            return self.fraction(mul(above, items[0].above), mul(below, items[0].below))
        if isinstance(form, Div) and isinstance(form.below, Num) and form.below.value != int(form.below.value):
            return self.fraction(rest, form.below)
        return self.joined([Num(number), *items]), PRODUCT

    # -- what differs between renderers

    def parentheses(self, text: str) -> str:
        raise AssertionError

    def symbol(self, label: Label) -> str:
        raise AssertionError

    def ket(self, k: Ket) -> str:
        raise AssertionError

    def bracket(self, a: Ket, b: Ket) -> str:
        raise AssertionError

    def outer(self, a: Ket, b: Ket) -> str:
        raise AssertionError

    def acting(self, operator: str, ket: Ket) -> str:
        raise AssertionError

    def fraction(self, a: Term, b: Term) -> tuple[str, int]:
        raise AssertionError

    def power(self, base: Term, exponent: Term) -> str:
        raise AssertionError

    def call(self, c: Call) -> str:
        raise AssertionError

    def operator(self, op: str) -> str:
        return op

    def indicator(self, condition: str) -> str:
        raise AssertionError

    def over(self, op: str, name: str) -> str:
        raise AssertionError

    def steps(self, first: int, last: int) -> str:
        raise AssertionError

    def mean(self, body: Term, copies: Sequence[int]) -> str:
        raise AssertionError

    def slope(self, ket: Ket, hat: Ket) -> str:
        raise AssertionError

    def entry(self, items: Sequence[str], index: Index) -> str:
        raise AssertionError

    def digits(self, value: float) -> str:
        raise AssertionError

    def joined(self, items: Sequence[Term]) -> str:
        raise AssertionError


def _in_order(items: Sequence[Term]) -> list[Term]:
    """A product with an initial matrix first, a number last; something positive before what is negative."""

    def rank(t: Term) -> int:
        if isinstance(t, Ket) and isinstance(t.head, Applied):
            return 0
        return 2 if isinstance(t, Num) else 1

    order = sorted(items, key=rank)
    first = next((k for k, t in enumerate(order) if coefficient(t)[0] > 0), 0)
    return [order[first], *order[:first], *order[first + 1 :]]


def _entries(e: Entry) -> list[Term]:
    """Every entry; of many the first ones and the last."""
    every = [
        at_index(item, LOCAL, position(k))
        for item, n in zip(e.items, e.layout, strict=True)
        for k in range(min(n, _MOST_ENTRIES + 1))
    ]
    return every if len(every) <= _MOST_ENTRIES else [every[0], every[1], Sym(Label("…")), every[-1]]
