"""Terms in a normal form.

In: terms. Out: terms: products flat, with one number in front and equal factors as powers; sums flat; what does not depend on an index or a copy
outside its sum or expectation; sums of what differs by steps alone as sums over steps. Guarantees: the value is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from nexortlang.derive.terms import (
    LOCAL,
    ONE,
    ZERO,
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
    Over,
    Pow,
    Relation,
    Slope,
    Steps,
    Sym,
    Term,
    at_index,
    is_random,
    labels,
    letter,
    letters,
    position,
    relabelled,
    walk,
)

_MOST_BELOW = 1024


def add(*items: Term) -> Term:
    """A flat sum without zeros, its numbers together, equal terms counted."""
    number, rest = 0.0, dict[Term, float]()
    for item in items:
        for part in item.items if isinstance(item, Add) else (item,):
            if isinstance(part, Num):
                number += part.value
            else:
                factor, base = coefficient(part)
                rest[base] = rest.get(base, 0.0) + factor
    parts = [mul(Num(factor), base) for base, factor in rest.items() if factor]
    if number:
        parts.insert(0, Num(number))
    return parts[0] if len(parts) == 1 else Add(tuple(parts)) if parts else ZERO


def neg(t: Term) -> Term:
    return mul(Num(-1.0), t)


def coefficient(t: Term) -> tuple[float, Term]:
    """A term as a number times the rest."""
    match t:
        case Num(value=value):
            return value, ONE
        case Mul(items=(Num(value=value), *rest)):
            return value, rest[0] if len(rest) == 1 else Mul(tuple(rest))
        case Over(op="sum", body=body):
            factor, inner = coefficient(body)
            return factor, replace(t, body=inner)
    return 1.0, t


def mul(*items: Term) -> Term:
    """A flat product: the number, scalars, sums and functions, kets, brackets; equal factors as powers."""
    number, powers = 1.0, dict[Term, float]()
    below: list[Term] = []
    for item in items:
        factor, rest = coefficient(item)
        number *= factor
        for part in rest.items if isinstance(rest, Mul) else (rest,):
            if isinstance(part, Div):
                below.append(part.below)
                part = part.above
            for piece in part.items if isinstance(part, Mul) else (part,):
                match piece:
                    case Num(value=value):
                        number *= value
                    case Pow(base=base, exponent=Num(value=value)) if value > 0:
                        powers[base] = powers.get(base, 0.0) + value
                    case _:
                        powers[piece] = powers.get(piece, 0.0) + 1.0
    if number == 0.0:
        return ZERO
    factors = sorted((power(base, Num(e)) for base, e in powers.items()), key=_rank)
    if below:
        return div(_product(number, factors), mul(*below))
    return _product(number, factors)


def _product(number: float, factors: list[Term]) -> Term:
    if not factors:
        return Num(number)
    if number != 1.0:
        return Mul((Num(number), *factors))
    return factors[0] if len(factors) == 1 else Mul(tuple(factors))


def _rank(t: Term) -> int:
    match t:
        case Sym() | Entry() | Pow(base=Sym()):
            return 0
        case Ket() | Pow(base=Ket()):
            return 3
        case Act():
            return 4
        case Bracket():
            return 4
        case Over() | Steps():
            return 5
        case Mean(body=Slope()):
            return 4
        case Mean():
            return 2 if not is_random(t) else 5
    return 2 if not is_random(t) else 3


def div(a: Term, b: Term) -> Term:
    """a / b; a number below becomes a factor, equal factors cancel."""
    number, above = coefficient(a)
    factor, below = coefficient(b)
    if factor == 0.0:
        return Div(a, b)
    if isinstance(above, Div):
        below = mul(above.below, below)
        above = above.above
    if isinstance(below, Div):
        above = mul(above, below.below)
        below = below.above
    mine: list[Term] = list(above.items) if isinstance(above, Mul) else [above]
    theirs: list[Term] = list(below.items) if isinstance(below, Mul) else [below]
    for part in list(theirs):
        if part in mine:
            mine.remove(part)
            theirs.remove(part)
    number /= factor
    if number == 0.0:
        return ZERO
    if all(part == ONE for part in theirs):
        return mul(Num(number), *mine)
    quotient = Div(mul(*mine), mul(*theirs))
    return quotient if number == 1.0 else Mul((Num(number), quotient))


def power(a: Term, b: Term) -> Term:
    match a, b:
        case _, Num(value=1.0):
            return a
        case _, Num(value=0.0):
            return ONE
        case Num(value=x), Num(value=y) if x > 0 or y == int(y):
            return Num(x**y)
        case Mul(), Num(value=y) if y == int(y) and y > 0:
            number, rest = coefficient(a)
            return mul(Num(number**y), *(power(i, b) for i in (rest.items if isinstance(rest, Mul) else (rest,))))
        case Pow(base=base, exponent=Num(value=x)), Num(value=y) if y == int(y):
            return power(base, Num(x * y))
        case Call(name="sqrt", args=(inner,)), Num(value=2.0):
            return inner
        case Call(name="abs", args=(inner,)), Num(value=2.0):
            return power(inner, b)
    return Pow(a, b)


def root(a: Term) -> Term:
    """√a, with √x² = |x| and squares of fractions taken out."""
    if isinstance(a, Num) and a.value >= 0:
        return Num(a.value**0.5)
    number, rest = coefficient(a)
    outside = number**0.5 if number > 0 else 0.0
    if not outside or Fraction(outside).limit_denominator(_MOST_BELOW) != outside:
        return Call("sqrt", (a,))
    match rest:
        case Pow(base=base, exponent=Num(value=2.0)):
            return mul(Num(outside), Call("abs", (base,)))
    return mul(Num(outside), Call("sqrt", (rest,)))


def over(op: str, name: str, body: Term) -> Term:
    """op over a letter; a sum lets out what does not depend on it."""
    if op != "sum":
        return Over(op, name, body)
    if body == ZERO:
        return ZERO
    if (blocks := _by_blocks(name, body)) is not None:
        return blocks
    parts = body.items if isinstance(body, Mul) else (body,)
    outside = [p for p in parts if name not in letters(p)]
    inside = [p for p in parts if name in letters(p)]
    return mul(*outside, Over(op, name, mul(*inside))) if inside else Over(op, name, body)


def _by_blocks(name: str, body: Term) -> Term | None:
    """A sum over what is joined of blocks, block by block; None if nothing is, or not all of it alike."""
    joined = [e for e in walk(body) if isinstance(e, Entry) and e.index == letter(name)]
    if not joined or len({e.layout for e in joined}) > 1:
        return None
    terms: list[Term] = []
    start = 0
    for k, count in enumerate(joined[0].layout):
        own = position(0) if count == 1 else letter(name)
        moved = replace(own, offset=start)

        def change(t: Term, k: int = k, own: Index = own, moved: Index = moved) -> Term | None:
            if isinstance(t, Entry) and t.index == letter(name):
                return at_index(t.items[k], LOCAL, own)
            return at_index(t, name, moved) if isinstance(t, Sym | Ket | Bracket) and name in letters(t) else None

        block = rebuilt(body, change)
        terms.append(block if count == 1 else over("sum", name, block))
        start += count
    return add(*terms)


def mean(body: Term, copies: tuple[int, ...] = ()) -> Term:
    """E[body], numbers outside; of one or two kets a bracket; over copies, what does not belong to them outside."""
    wanted = frozenset(copies) if copies else None
    if isinstance(body, Add):
        return add(*(mean(i, copies) for i in body.items))
    if isinstance(body, Over) and body.op == "sum":
        return over("sum", body.letter, mean(body.body, copies))
    parts = body.items if isinstance(body, Mul) else (body,)
    outside = [p for p in parts if not is_random(p, wanted)]
    inside = [p for p in parts if is_random(p, wanted)]
    if not inside:
        return body
    found = _bracket(inside) if not copies else None
    return mul(*outside, found if found is not None else Mean(mul(*inside), copies))


def _bracket(parts: list[Term]) -> Term | None:
    match parts:
        case [Ket() as a, Ket() as b] if a.copy == b.copy:
            return bracket(a, b)
        case [Ket() as a, Ket() as b]:
            return mul(Mean(replace(a, copy=0)), Mean(replace(b, copy=0)))
        case [Pow(base=Ket() as a, exponent=Num(value=2.0))]:
            return bracket(a, a)
    return None


def bracket(a: Ket, b: Ket) -> Bracket:
    """⟨a|b⟩, the earlier one as the bra."""
    a, b = replace(a, copy=0), replace(b, copy=0)
    return Bracket(b, a) if _age(b) < _age(a) else Bracket(a, b)


def _age(k: Ket) -> int:
    label = k.head.operand if isinstance(k.head, Applied) else k.head
    return label.step if isinstance(label.step, int) else -1


def rebuilt(t: Term, change: Callable[[Term], Term | None]) -> Term:
    """The term with every part that `change` gives another for replaced, in normal form."""
    new = change(t)
    if new is not None:
        return new
    match t:
        case Add(items=items):
            return add(*(rebuilt(i, change) for i in items))
        case Mul(items=items):
            return mul(*(rebuilt(i, change) for i in items))
        case Div(above=a, below=b):
            return div(rebuilt(a, change), rebuilt(b, change))
        case Pow(base=a, exponent=b):
            return power(rebuilt(a, change), rebuilt(b, change))
        case Call(args=args):
            return replace(t, args=tuple(rebuilt(a, change) for a in args))
        case Relation(left=a, right=b):
            return replace(t, left=rebuilt(a, change), right=rebuilt(b, change))
        case Over(op=op, letter=name, body=body):
            return over(op, name, rebuilt(body, change))
        case Mean(body=body, copies=copies):
            return mean(rebuilt(body, change), copies)
        case Steps(body=body):
            return replace(t, body=rebuilt(body, change))
        case Entry(items=items):
            return replace(t, items=tuple(rebuilt(i, change) for i in items))
    return t


# ---------------------------------------------------------------------------- sums over steps


def collected(t: Term) -> Term:
    """The term with runs of addends that differ by one step each written as sums over steps."""
    return rebuilt(t, lambda part: _collected(part) if isinstance(part, Add) else None)


def _collected(total: Add) -> Term:
    items = [rebuilt(i, lambda part: _collected(part) if isinstance(part, Add) else None) for i in total.items]
    found: list[Term] = []
    while items:
        first, run = items[0], 1
        while run < len(items) and _by_steps(first, items[run], run):
            run += 1
        if run > 1:
            base = _moving(first, items[1])[0]
            assert base is not None
            found.append(_steps(base, base + run - 1, _with_letter(first, items[1])))
        else:
            found.append(first)
        items = items[run:]
    return found[0] if len(found) == 1 else Add(tuple(found))


def _by_steps(a: Term, b: Term, distance: int) -> bool:
    """Whether b is a with some of its steps, all of them equal in a, later by the distance."""
    if relabelled(a, _without_step) != relabelled(b, _without_step):
        return False
    base, moves = _moving(a, b)
    return base is not None and moves == {distance}


def _moving(a: Term, b: Term) -> tuple[int | None, set[int]]:
    """The step of what moves between a and b, and by how much; None if steps differ otherwise."""
    pairs = [(x.step, y.step) for x, y in zip(labels(a), labels(b), strict=True) if x.step != y.step]
    if not pairs or not all(isinstance(x, int) and isinstance(y, int) for x, y in pairs):
        return None, set()
    bases = {x for x, _ in pairs}
    return (pairs[0][0] if len(bases) == 1 else None), {y - x for x, y in pairs}  # type: ignore[operator,return-value]


def _with_letter(a: Term, b: Term) -> Term:
    """a with s for the steps that move."""
    moving = iter([x.step != y.step for x, y in zip(labels(a), labels(b), strict=True)])
    return relabelled(a, lambda label: replace(label, step="s") if next(moving) else label)


def _steps(first: int, last: int, body: Term) -> Term:
    """The sum over steps, without what does not depend on them."""
    factor, rest = coefficient(body)
    parts = rest.items if isinstance(rest, Mul) else (rest,)
    inside = [p for p in parts if any(label.step == "s" for label in labels(p))]
    return mul(Num(factor), *(p for p in parts if p not in inside), Steps(first, last, mul(*inside)))


def _without_step(label: Label) -> Label:
    return replace(label, step=None)
