"""Numbers as text, with as many digits as they deserve.

In: a value and its error. Out: `0.1234(5)` when the error matters (the digits in parentheses are one standard error in
the last digits shown), else up to 12 significant digits. Guarantees: 0.5 prints as 0.5, never more digits than are known.
"""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import Any

DIGITS = 12
"""Significant digits of what is exact."""

_ROUNDING = 1e-12
_NOISE = 100.0
"""How many errors a rounding error may be, where errors are rounding errors themselves: a moment that holds in the sample is 0 to 1e-18."""


def number(value: float, error: float = 0.0) -> str:
    """A value as the report prints it."""
    if not isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    if not isfinite(error):
        return f"{value:.3g}(?)"
    if matters(value, error):
        return _with_error(value, error)
    return "0" if abs(value) <= _NOISE * error else _plain(value)


def matters(value: Any, error: Any) -> Any:
    """Whether an error (a number or an array) is to be told: above the last digit shown, and more than the rounding of a 0."""
    return (error > 0.5 * abs(value) * 10.0**-DIGITS) & ((error > _ROUNDING) | (abs(value) > error) & (error > 1e-16))


def _plain(value: float, digits: int = DIGITS) -> str:
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def rough(value: float, digits: int = 4) -> str:
    """A value that is known no better than this."""
    return _plain(value, digits) if isfinite(value) else number(value)


def _with_error(value: float, error: float) -> str:
    place = floor(log10(error))
    if error < 1.95 * 10.0**place:  # a leading 1 gets a second digit: 0.1234(15)
        place -= 1
    shown = round(error / 10.0**place)
    if shown == 10 and error >= 1.95 * 10.0**place:
        place, shown = place + 1, 1
    top = floor(log10(abs(value))) if value else place
    if place > 0 or max(top, place) < -4:
        exponent = max(top, place)
        return f"{value / 10.0**exponent:.{exponent - place}f}({shown})e{exponent:+03d}"
    return f"{value:.{-place}f}({shown})"
