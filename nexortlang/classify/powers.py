"""Powers of n, and how they pass through entrywise functions.

A quantity of power p has entries of order n^p; one that is exactly 0 has power −∞. What is computed here is the *true* order: the type of a core value
knows that <v|x> is a mean of things of order 1, not that it is of order n^(−1/2) where v is fresh and of mean 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

from nexortlang.core.program import Avg, Const, Gather, Inner, Map, Reduce, Rename, Scale, Value
from nexortlang.entrywise.ops import OPS

Power: TypeAlias = Fraction | float
"""An exponent of n; the only float is NOTHING."""
NOTHING = float("-inf")
ONE: Power = Fraction(0)

_BOUNDED = frozenset({"tanh", "erf", "sigmoid", "sin", "cos"})
_DISCRETE = frozenset({"sign", "step", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})
_AT_ZERO = {name: float(OPS[name].numpy(0.0)) for name in (*_BOUNDED, "exp", "tan", "relu", "gelu", "silu", "softplus")}


def times(power: Power, factor: Fraction) -> Power:
    """The power of x^factor."""
    if power == NOTHING:
        return ONE if factor == 0 else NOTHING
    return power * factor


def ratio(above: Power, below: Power) -> Power:
    """The power of a quotient. What is divided by exactly 0 has none: nothing is built on it."""
    return NOTHING if NOTHING in (above, below) else above - below


def exponent_of(v: Map) -> Fraction | None:
    """The constant c of x^c."""
    c = v.args[1]
    return (
        Fraction(float(c.array.item())).limit_denominator(10**6) if isinstance(c, Const) and c.array.size == 1 else None
    )


def mapped(v: Map, powers: Sequence[Power]) -> Power:
    """The power of an entrywise function's value for arguments of these powers."""
    p = powers[0]
    match v.op:
        case "add" | "sub" | "where":
            return max(powers[-2:])
        case "mul":
            return p + powers[1]
        case "div":
            return ratio(p, powers[1])
        case "neg" | "abs" | "stop" | "leaky_relu":
            return p
        case "sqrt":
            return times(p, Fraction(1, 2))
        case "pow":
            c = exponent_of(v)
            return times(p, c) if c is not None else ONE
        case "max" | "min":
            return _extreme(v, powers)
        case "clip":
            return min(p, max(powers[1:]))
        case "sign":
            return NOTHING if p == NOTHING else ONE
        case op if op in _DISCRETE or op == "log":
            return ONE
        case op:
            if p < 0:
                return p if _AT_ZERO[op] == 0 else ONE
            return ONE if op in _BOUNDED else p


def moved(op: str, start: Power, change: Power) -> Power:
    """The change of a nonlinear function's value, for an argument of power `start` that changes by `change`."""
    if change == NOTHING:
        return NOTHING
    if op in _DISCRETE:
        return ONE if start == NOTHING else min(ONE, change - start)
    return min(ONE, change) if op in _BOUNDED else change


def _extreme(v: Map, powers: Sequence[Power]) -> Power:
    """max and min: which operand wins depends on signs, as far as they are known."""
    kept = [(a, p) for a, p in zip(v.args, powers, strict=True) if p != NOTHING]
    if len(kept) < 2:
        return kept[0][1] if kept else NOTHING
    smaller = v.op == "min"
    for (bound, q), (x, p) in (kept, kept[::-1]):
        if isinstance(bound, Const) and ((bound.array > 0) if smaller else (bound.array < 0)).all():
            return min(p, q) if smaller and is_nonnegative(x) else p
    if smaller and all(is_nonnegative(a) for a, _ in kept):
        return min(p for _, p in kept)
    return max(p for _, p in kept)


def is_nonnegative(v: Value) -> bool:
    """Whether v is known to be 0 or more, by its structure."""
    pending, seen = [v], {v.id}
    while pending:
        u = pending.pop()
        parts = _nonnegative_if(u)
        if parts is None:
            return False
        pending += [a for a in parts if a.id not in seen]
        seen.update(a.id for a in parts)
    return True


def _nonnegative_if(v: Value) -> tuple[Value, ...] | None:
    """What must be 0 or more for v to be; None if nothing helps."""
    match v:
        case Const(array=array) if (array >= 0).all():
            return ()
        case Map(op="abs" | "sqrt" | "exp" | "relu" | "softplus" | "sigmoid"):
            return ()
        case Map(op="pow") if (c := exponent_of(v)) is not None and c % 2 == 0:
            return ()
        case Inner(x=x, y=y) if x is y:
            return ()
        case Map(op="add" | "mul" | "div" | "max" | "min" | "stop", args=args):
            return args
        case Scale(x=x) | Gather(x=x) | Rename(x=x) | Avg(x=x) | Reduce(op="sum" | "max" | "min", x=x):
            return (x,)
        case _:
            return None
