"""The table of entrywise functions: one row each, used by the checker, both engines, the compiler of kernels and the reference.

Conventions (LANGUAGE.md): sign(0) = 0, step(x) = 1 for x ≥ 0 else 0, relu′(0) = 0; comparisons give 1 or 0; nan counts as true.
`Op.numpy` may warn (1/0, log 0): callers wrap it in `np.errstate(all="ignore")`. Derivatives stand in entrywise/derivatives.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nexortlang.entrywise import special

PowerRule = Literal["zero", "sum", "difference", "largest", "same", "half", "exponent"]


@dataclass(frozen=True, slots=True)
class Op:
    """An entrywise function.

    `power`: how powers of n pass through it. "zero": every operand must have power 0; "sum" and "difference" (×, ÷); "largest" (+, −);
    "same" (odd linear and |x|: the operand's); "half" (√); "exponent" (x^c, c a const: c times x's).
    `kinks`: for unary functions, the points where it or its derivative jumps. `smooth`: infinitely differentiable away from kinks is
    always true; `smooth` says there are none (for binary ones, too).
    """

    name: str
    arity: int
    numpy: Callable[..., Any]
    power: PowerRule = "zero"
    smooth: bool = True
    kinks: tuple[float, ...] = ()
    infix: str = ""


def _sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x) with e^x in place of 1 / e^-x for x < 0: small values keep their digits, nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(np.less(x, 0.0), e, 1.0) / (1.0 + e)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _power(x: Any, y: Any) -> Any:
    """x^y; squares, cubes and fourth powers by multiplication, ten times as fast."""
    x = np.asarray(x, dtype=float)
    if np.ndim(y) == 0 and y in (2.0, 3.0, 4.0):
        square = x * x
        return square if y == 2.0 else square * x if y == 3.0 else square * square
    return np.power(x, y)


def _bool(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: ufunc(*args).astype(float)


def _table(*ops: Op) -> dict[str, Op]:
    return {op.name: op for op in ops}


OPS: dict[str, Op] = _table(
    Op("add", 2, np.add, "largest", infix="+"),
    Op("sub", 2, np.subtract, "largest", infix="-"),
    Op("mul", 2, np.multiply, "sum", infix="*"),
    Op("div", 2, np.divide, "difference", infix="/"),
    Op("pow", 2, _power, "exponent", infix="^"),
    Op("neg", 1, np.negative, "same"),
    Op("lt", 2, _bool(np.less), smooth=False, infix="<"),
    Op("le", 2, _bool(np.less_equal), smooth=False, infix="<="),
    Op("gt", 2, _bool(np.greater), smooth=False, infix=">"),
    Op("ge", 2, _bool(np.greater_equal), smooth=False, infix=">="),
    Op("eq", 2, _bool(np.equal), smooth=False, infix="=="),
    Op("ne", 2, _bool(np.not_equal), smooth=False, infix="!="),
    Op("and", 2, _bool(np.logical_and), smooth=False, infix="and"),
    Op("or", 2, _bool(np.logical_or), smooth=False, infix="or"),
    Op("not", 1, _bool(np.logical_not), smooth=False, kinks=(0.0,)),
    Op("exp", 1, np.exp),
    Op("log", 1, np.log),
    Op("sqrt", 1, np.sqrt, "half"),
    Op("abs", 1, np.abs, "same", smooth=False, kinks=(0.0,)),
    Op("sign", 1, np.sign, smooth=False, kinks=(0.0,)),
    Op("step", 1, lambda x: np.greater_equal(x, 0.0).astype(float), smooth=False, kinks=(0.0,)),
    Op("sin", 1, np.sin),
    Op("cos", 1, np.cos),
    Op("tan", 1, np.tan),
    Op("tanh", 1, np.tanh),
    Op("sigmoid", 1, _sigmoid),
    Op("erf", 1, special.erf),
    Op("relu", 1, lambda x: np.maximum(x, 0.0), smooth=False, kinks=(0.0,)),
    Op("leaky_relu", 2, lambda x, a: np.where(np.asarray(x) > 0.0, x, np.multiply(a, x)), smooth=False),
    Op("gelu", 1, lambda x: np.multiply(x, special.normal_cdf(x))),
    Op("silu", 1, lambda x: np.multiply(x, _sigmoid(x))),
    Op("softplus", 1, _softplus),
    Op("max", 2, np.maximum, smooth=False),
    Op("min", 2, np.minimum, smooth=False),
    Op("where", 3, lambda c, a, b: np.where(np.not_equal(c, 0.0), a, b), smooth=False),
    Op("clip", 3, lambda x, low, high: np.minimum(np.maximum(x, low), high), smooth=False),
    Op("stop", 1, np.positive, "same"),  # x, as a constant for gradients
)
