"""How an optimizer answers to a gradient that is scaled: by a power of the scale, or in another way.

SGD's update is of degree 1, that of SignSGD of degree 0: gradients of any order serve them, since their power of n passes into the learning rate, or
nowhere. Adam with eps > 0 has no degree: eps is a scale of its own, and its argument must be of order 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

from nexortlang.classify.powers import exponent_of
from nexortlang.core.build import is_zero
from nexortlang.core.program import Concat, Const, Einsum, Inner, Map, Reduce, Value, operands

Degree: TypeAlias = Fraction | None
"""The exponent k with Q(c·g) = c^k Q(g) for c > 0, or None."""

_ADDITIVE = frozenset({"add", "sub", "max", "min", "clip"})
_SCALE_FREE = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


def degrees(values: Iterable[Value], gradients: frozenset[int], pure: set[int]) -> dict[int, Degree]:
    """The degree in all gradients of every value that was computed from them alone. Everything else counts as constant."""
    found: dict[int, Degree] = {}
    for v in values:
        if v.id in gradients:
            found[v.id] = Fraction(1)
        elif v.id in pure:
            found[v.id] = _degree(v, [found.get(a.id, Fraction(0)) for a in operands(v)])
    return found


def _degree(v: Value, parts: Sequence[Degree]) -> Degree:
    known = [d for d in parts if d is not None]
    if len(known) < len(parts):
        return None
    match v:
        case Map(op="mul") | Einsum() | Inner():
            return sum(known, start=Fraction(0))
        case Map(op="div"):
            return known[0] - known[1]
        case Map(op="sqrt"):
            return known[0] / 2
        case Map(op="pow"):
            c = exponent_of(v)
            return None if c is None or known[1] else known[0] * c
        case Map(op="neg" | "abs" | "stop"):
            return known[0]
        case Map(op="sign") | Reduce(op="argmax"):
            return Fraction(0)
        case Map(op=op, args=args) if op in _ADDITIVE | _SCALE_FREE:
            common = _common(args, known)
            return Fraction(0) if common is not None and op in _SCALE_FREE else common
        case Map(op="where", args=args):
            return None if known[0] else _common(args[1:], known[1:])
        case Map():
            return Fraction(0) if not any(known) else None
        case Concat(args=args):
            return _common(args, known)
        case _:
            return known[0]


def _common(args: Sequence[Value], parts: Sequence[Fraction]) -> Degree:
    """The one degree of all terms; zeros have any."""
    distinct = {d for a, d in zip(args, parts, strict=True) if not (isinstance(a, Const) and is_zero(a))}
    return distinct.pop() if len(distinct) == 1 else None
