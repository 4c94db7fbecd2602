"""A derivation as Unicode text.

In: a derivation, the columns there are. Out: lines no longer than that where a line can be broken. Notation: |x⟩ a ket, |W x⟩^ its hat, |W x⟩•
its dot, |x⟩⁽¹⁾ an independent copy, ⟨x|y⟩ = E |x⟩|y⟩; h₁,ᵢ is the value at step 1 of entry i.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nexortlang.derive.algebra import mul
from nexortlang.derive.equations import Derivation, Equation, Operator
from nexortlang.derive.render import ATOM, POWER, PRODUCT, Writer
from nexortlang.derive.terms import Act, Applied, Bracket, Call, Div, Index, Ket, Label, Num, Sym, Term
from nexortlang.derive.writing import decimal

_DOWN = dict(zip("0123456789+−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)) | {
    "′": "′",
    ",": ",",
}
_UP = dict(zip("0123456789()−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁻", strict=True))
_HALVES = {(1, 2): "½", (1, 3): "⅓", (2, 3): "⅔", (1, 4): "¼", (3, 4): "¾", (1, 8): "⅛"}
_SIGNS = {"hat": "^", "dot": "•", "": ""}
_MOST_NUMBERS = 12
_INDENT = 4


def text(d: Derivation, width: int = 80) -> str:
    """The whole derivation, ending in a line break."""
    blocks = ["\n".join(block) for block in _blocks(d, width) if block]
    return "\n\n".join(blocks or ["Nothing is shown or asserted, so there is nothing to derive."]) + "\n"


def equation(e: Equation, width: int = 80, indent: str = "") -> list[str]:
    """One equation, broken where it is too long."""
    w = _Plain()
    sides = dict.fromkeys((sign, w.write(side)) for sign, side in e.sides)
    line = w.write(e.left) + "".join(f" {sign} {side}" for sign, side in sides)
    return _broken(line + (f"    ({e.note})" if e.note else ""), width, indent)


def _blocks(d: Derivation, width: int) -> Iterator[list[str]]:
    yield [line for o in d.operators for line in _operator(o, width)] + [
        line for e in d.draws for line in equation(e, width)
    ]
    numbers = [*(f"{name} = {decimal(value)}" for name, value in d.consts.items())]
    numbers += [f"{name} = {array(a)}" for name, a in d.arrays.items()]
    numbers += [f"{name} = {array(t)}" for name, t in d.tables.items()]
    yield [line for n in numbers for line in _broken(n, width, "")]
    yield [line for e in d.functions for line in equation(e, width)]
    for section in d.sections:
        if section.omitted:
            yield _broken(f"… {section.omitted}", width, "")
        else:
            heading = [section.title] if section.title else []
            yield heading + [line for e in section.equations for line in equation(e, width, "  " if heading else "")]
    if d.kernels:
        rest = _broken("… and so on, down to the draws", width, "  ") if d.has_more_kernels else []
        yield ["where", *(line for e in d.kernels for line in equation(e, width, "  ")), *rest]


def _operator(o: Operator, width: int) -> Iterator[str]:
    w, m = _Plain(), o.matrix
    name = w.symbol(o.label)
    spread = w.write(o.variance, PRODUCT)
    entries = f"{spread}/{m.cols.name}"
    names = name if o.last is None else f"{name}, …, {w.symbol(o.last)}"
    yield from _broken(
        f"{names}: {m.rows.name} × {m.cols.name}, independent entries of mean 0 and variance {entries}", width, ""
    )
    each = "" if o.last is None else "    (and so for each)"
    for used, symbol, ratio in ((o.forward, name, 1.0), (o.backward, f"{name}ᵀ", float(o.ratio))):
        if used:
            law = mul(Num(ratio), o.variance, Bracket(*o.kets))
            x, y = map(w.head, o.kets)
            yield from _broken(f"Cov(|{symbol} {x}⟩^, |{symbol} {y}⟩^) = {w.write(law)}{each}", width, "  ")


def array(a: np.ndarray) -> str:
    """Nested brackets; of a large array its shape."""
    if a.size > _MOST_NUMBERS:
        return f"{' × '.join(map(str, a.shape))} numbers"
    if a.ndim == 0:
        return decimal(float(a))
    return f"[{', '.join(array(row) for row in a)}]"


def _broken(line: str, width: int, indent: str) -> list[str]:
    """A line in pieces that fit, broken at blanks, before = and + rather than elsewhere."""
    room = max(width - len(indent), 20)
    lines: list[str] = []
    hang = ""
    while len(hang) + len(line) > room and (cut := _cut(line, room - len(hang))):
        lines.append(indent + hang + line[:cut].rstrip())
        line, hang = line[cut:].lstrip(), " " * _INDENT
    return [*lines, indent + hang + line]


def _cut(line: str, room: int) -> int:
    """Where to break a line so that what comes before fits: the outermost place, the last of several; 0 if there is none."""
    best, place, depth = 9, 0, 0
    for k, c in enumerate(line):
        if c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == " " and 1 < k <= room:
            sign = line[k + 1 : k + 3]
            cost = 2 * depth + (0 if sign in ("= ", "≈ ", "~ ") else 1 if sign in ("+ ", "− ") else 3)
            if cost <= best and (k > _INDENT or cost < best):
                best, place = cost, k
    return place


class _Plain(Writer):
    """Unicode."""

    def parentheses(self, text: str) -> str:
        return f"({text})"

    def digits(self, value: float) -> str:
        return decimal(value)

    def name(self, label: Label) -> str:
        """Step and indices below: h₁,ᵢ; in brackets where there are no small letters for them."""
        steps = [] if label.step is None else [str(label.step)]
        parts = [*steps, *(self.index(i) for i in label.indices)]
        if not parts:
            return label.name
        below = ("," if (steps or any(p.isdigit() for p in parts)) and len(parts) > 1 else "").join(parts)
        if any(len(p) > 1 and not p.isdigit() for p in parts) and len(parts) > 1:
            below = ",".join(parts)
        if all(c in _DOWN for c in below):
            return label.name + "".join(_DOWN[c] for c in below)
        return f"{label.name}[{', '.join(parts)}]"

    def index(self, i: Index) -> str:
        parts = [name if f == 1 else f"{f}{name}" for name, f in i.parts]
        if i.offset or not parts:
            parts.append(str(i.offset))
        inner = "+".join(parts).replace("+-", "−").replace("-", "−")
        return f"{i.table}({inner})" if i.table else inner

    def symbol(self, label: Label) -> str:
        return self.name(label)

    def head(self, k: Ket) -> str:
        if isinstance(k.head, Applied):
            matrix = self.name(k.head.matrix) + ("ᵀ" if k.head.transposed else "")
            return f"{matrix} {self.name(k.head.operand)}"
        return self.name(k.head)

    def ket(self, k: Ket) -> str:
        copy = "".join(_UP[c] for c in f"({k.copy})") if k.copy else ""
        return f"|{self.head(k)}⟩{_SIGNS[k.part]}{copy}"

    def bracket(self, a: Ket, b: Ket) -> str:
        return f"⟨{self.head(a)}|{self.head(b)}⟩"

    def outer(self, a: Ket, b: Ket) -> str:
        return f"|{self.head(a)}⟩⟨{self.head(b)}|"

    def acting(self, operator: str, ket: Ket) -> str:
        return f"{operator} {self.ket(ket)}"

    def fraction(self, a: Term, b: Term) -> tuple[str, int]:
        if isinstance(a, Num) and isinstance(b, Num) and (key := (int(a.value), int(b.value))) in _HALVES:
            return _HALVES[key], ATOM
        below = self.write(b, PRODUCT + 1)
        return f"{self.write(a, PRODUCT)}/{below}", PRODUCT

    def power(self, base: Term, exponent: Term) -> str:
        text = self.write(exponent)
        small = "".join(_UP.get(c, "") for c in text)
        bottom = self.write(base, POWER if isinstance(base, Call) else ATOM)
        if isinstance(base, Sym) and base.label.indices:
            bottom = f"({bottom})"
        if isinstance(base, Ket) and base.part:
            bottom = f"({bottom})"
        return bottom + small if len(small) == len(text) else f"{bottom}^{self.write(exponent, ATOM)}"

    def call(self, c: Call) -> str:
        if c.name == "sqrt":
            return f"√{self.write(c.args[0], ATOM)}"
        if c.name == "abs":
            return f"abs({self.write(c.args[0])})" if _has_bars(c.args[0]) else f"|{self.write(c.args[0])}|"
        name = c.name if c.step is None else self.name(Label(c.name, c.step))
        return f"{name}({', '.join(self.write(a) for a in c.args)})"

    def indicator(self, condition: str) -> str:
        return f"1[{condition}]"

    def over(self, op: str, name: str) -> str:
        symbol = "Σ" if op == "sum" else op
        small = "".join(_DOWN[c] for c in name) if all(c in _DOWN for c in name) else f"_{name}"
        return f"{symbol}{small} "

    def steps(self, first: int, last: int) -> str:
        return f"Σ{''.join(_DOWN[c] for c in f's={first}')}{''.join(_UP[c] for c in str(last))} "

    def mean(self, body: Term, copies: Sequence[int]) -> str:
        above = "".join(_UP[c] for c in "".join(f"({k})" for k in copies))
        if isinstance(body, Ket) and not copies:
            return f"E{self.ket(body)}"
        return f"E{above}[{self.write(body)}]"

    def slope(self, ket: Ket, hat: Ket) -> str:
        return f"∂{self.ket(ket)}/∂{self.ket(hat)}"

    def entry(self, items: Sequence[str], index: Index) -> str:
        return self.name(Label(f"({'; '.join(items)})", None, (index,)))

    def joined(self, items: Sequence[Term]) -> str:
        text = ""
        for k, item in enumerate(items):
            loose = isinstance(item, Num) if k == 0 else k == len(items) - 1 and not isinstance(item, Div)
            part = self.write(item, PRODUCT if loose else PRODUCT + 1)
            if isinstance(item, Act) and k < len(items) - 1:
                part = f"({part})"
            touching = (text.endswith("⟩") and part.startswith(("⟨", "|"))) or _touches(
                items[k - 1] if k else None, item
            )
            text += part if not text or touching else f" {part}"
        return text


def _touches(before: Term | None, item: Term) -> bool:
    """A small number stands close to a letter: 2θ."""
    return (
        isinstance(before, Num)
        and isinstance(item, Sym)
        and len(item.label.name) == 1
        and before.value == int(before.value)
    )


def _has_bars(t: Term) -> bool:
    return not isinstance(t, Sym | Num)
