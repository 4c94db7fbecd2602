"""Numbers as people write them: 1/2, √2, 2/π, 0.1, and six digits of what is none of these.

In: floats. Out: a term, for either renderer. Guarantees: what is written with =, is the number to rounding.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite, pi

from nexortlang.derive.terms import Call, Div, Label, Mul, Num, Sym, Term

DIGITS = 6
_ROUNDING = 4e-15
_NOISE = 1e-12
_MOST_BELOW = 16
_POWERS_OF_2 = (32, 64)
_MOST_ABOVE = 10_000
_PI = Sym(Label("π"))


def is_written_exactly(value: float) -> bool:
    """Whether the text of a number is the number."""
    return _form(value) is not None


def written(value: float) -> Term:
    """A number as a term of whole numbers, roots and π, or as itself. Its sign is on the outside: callers write it."""
    return _form(value) or Num(value)


def decimal(value: float, digits: int = DIGITS) -> str:
    """A number in digits; few ones if they are exact."""
    if not isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "nan"
    exact = repr(float(f"{value:.14g}")).removesuffix(".0")
    text = exact if len(exact.lstrip("-").replace(".", "")) <= digits + 1 else f"{value:.{digits}g}"
    return re.sub(r"e\+?(-?)0*", r"e\1", text).replace("-", "−")


def short_reciprocal(value: float) -> float | None:
    """b where a factor 1/b is better written as a divisor b of few digits."""
    if value == 0.0 or is_written_exactly(value):
        return None
    below = float(f"{1.0 / value:.{DIGITS}g}")
    return below if abs(below * value - 1.0) <= _NOISE else None


def _form(value: float) -> Term | None:
    """±p/q, short decimals, p√r/q, p/(qπ), √(p/(qπ)) …; None for other numbers."""
    if not isfinite(value):
        return None
    if value < 0:
        positive = _form(-value)
        return None if positive is None else Mul((Num(-1.0), positive))
    if (q := _fraction(value)) is not None:
        return _quotient(Num(float(q.numerator)), q.denominator)
    if _is_short(value):
        return Num(value)
    if (q := _fraction(value * value)) is not None:
        return _root(q)
    for factor, above in ((1.0 / pi, True), (pi, False)):
        if (q := _fraction(value * factor)) is not None:
            return _with_pi(q, above)
        if (q := _fraction(value * value * factor)) is not None:
            return _root_with_pi(q, above)
    return None


def _fraction(value: float) -> Fraction | None:
    """p/q with a small q that has no factor 5, for whose multiples decimals are shorter."""
    if not 0 <= value < _MOST_ABOVE:
        return None
    candidates = [
        Fraction(value).limit_denominator(_MOST_BELOW),
        *(Fraction(round(value * k), k) for k in _POWERS_OF_2),
    ]
    close = (q for q in candidates if abs(float(q) - value) <= _ROUNDING * max(value, 1e-300))
    return next((q for q in close if q.denominator % 5), None)


def _is_short(value: float) -> bool:
    """Whether a few decimal digits are the number."""
    short = float(f"{value:.{DIGITS}g}")
    return abs(short - value) <= _ROUNDING * value


def _quotient(above: Term, below: int) -> Term:
    return above if below == 1 else Div(above, Num(float(below)))


def _root(q: Fraction) -> Term:
    """√(p/q) as √p/√q without roots of squares."""
    above, below = _whole_root(q.numerator), _whole_root(q.denominator)
    return above if q.denominator == 1 else Div(above, below)


def _whole_root(k: int) -> Term:
    outside, inside = 1, k
    for d in range(2, int(k**0.5) + 1):
        while inside % (d * d) == 0:
            outside, inside = outside * d, inside // (d * d)
    if inside == 1:
        return Num(float(outside))
    rest = Call("sqrt", (Num(float(inside)),))
    return rest if outside == 1 else Mul((Num(float(outside)), rest))


def _root_with_pi(q: Fraction, above: bool) -> Term:
    """√(qπ), or √(q/π) with a whole number above where there is one."""
    top = _whole_root(q.numerator)
    if above or not isinstance(top, Num):
        return Call("sqrt", (_with_pi(q, above),))
    below = _PI if q.denominator == 1 else Mul((Num(float(q.denominator)), _PI))
    return Div(top, Call("sqrt", (below,)))


def _with_pi(q: Fraction, above: bool) -> Term:
    p, below = Num(float(q.numerator)), Num(float(q.denominator))
    if above:
        top = _PI if q.numerator == 1 else Mul((p, _PI))
        return _quotient(top, q.denominator)
    return Div(p, _PI if q.denominator == 1 else Mul((below, _PI)))
