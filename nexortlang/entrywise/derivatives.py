"""Derivatives of the entrywise operations, as a table, and of expressions.

`PARTIALS[op][i](apply, args)` is ∂op/∂argsᵢ, built by `apply(op, *args)`, whose arguments are what `args` holds or plain floats. So the one table
serves scalar expressions and core programs alike; a builder that shares equal expressions computes tanh′ = 1 - tanh² from the tanh it has.
A derivative that is 0 everywhere is the float 0.0, one that is 1 everywhere 1.0.

Where a function has no derivative the value is PyTorch's: relu′(0) = 0, sign(0) = 0 for |x|′, sign′ = step′ = 0 also at the jump, ½ each where max
or min has a tie (so max(x, 0)′ = ½ at 0, unlike relu), 1 for clip at its bounds, slope a for leaky_relu at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any, TypeAlias

from nexortlang.entrywise.expression import Expression, build, constant, leaf, schedule

Apply: TypeAlias = Callable[..., Any]
Partial: TypeAlias = Callable[[Apply, tuple[Any, ...]], Any]


def _zero(apply: Apply, args: tuple[Any, ...]) -> float:
    return 0.0


def _one(apply: Apply, args: tuple[Any, ...]) -> float:
    return 1.0


def _minus_one(apply: Apply, args: tuple[Any, ...]) -> float:
    return -1.0


def _over_denominator(apply: Apply, args: tuple[Any, ...]) -> Any:
    return apply("div", 1.0, args[1])


def _of_denominator(apply: Apply, args: tuple[Any, ...]) -> Any:
    x, y = args
    return apply("neg", apply("div", apply("div", x, y), y))


def _of_base(apply: Apply, args: tuple[Any, ...]) -> Any:
    x, y = args
    return apply("mul", y, apply("pow", x, apply("sub", y, 1.0)))


def _of_exponent(apply: Apply, args: tuple[Any, ...]) -> Any:
    """x^y log x, and 0 where 0^y stays 0."""
    x, y = args
    constant_zero = apply("and", apply("eq", x, 0.0), apply("ge", y, 0.0))
    return apply("where", constant_zero, 0.0, apply("mul", apply("pow", x, y), apply("log", x)))


def _of_tan(apply: Apply, args: tuple[Any, ...]) -> Any:
    t = apply("tan", *args)
    return apply("add", 1.0, apply("mul", t, t))


def _of_tanh(apply: Apply, args: tuple[Any, ...]) -> Any:
    t = apply("tanh", *args)
    return apply("sub", 1.0, apply("mul", t, t))


def _of_sigmoid(apply: Apply, args: tuple[Any, ...]) -> Any:
    s = apply("sigmoid", *args)
    return apply("mul", s, apply("sub", 1.0, s))


def _gauss(apply: Apply, x: Any, scale: float, rate: float) -> Any:
    """scale · e^(-rate x²)."""
    return apply("mul", scale, apply("exp", apply("mul", -rate, apply("mul", x, x))))


def _of_gelu(apply: Apply, args: tuple[Any, ...]) -> Any:
    """Φ(x) + x φ(x)."""
    (x,) = args
    cdf = apply("add", 0.5, apply("mul", 0.5, apply("erf", apply("mul", sqrt(0.5), x))))
    return apply("add", cdf, apply("mul", x, _gauss(apply, x, 1.0 / sqrt(2.0 * pi), 0.5)))


def _of_silu(apply: Apply, args: tuple[Any, ...]) -> Any:
    """s (1 + x (1 - s))."""
    (x,) = args
    s = apply("sigmoid", x)
    return apply("mul", s, apply("add", 1.0, apply("mul", x, apply("sub", 1.0, s))))


def _wins(comparison: str, own: int) -> Partial:
    """1 where the own operand is the larger (smaller) one, ½ at a tie."""

    def partial(apply: Apply, args: tuple[Any, ...]) -> Any:
        mine, other = args[own], args[1 - own]
        return apply("add", apply(comparison, mine, other), apply("mul", 0.5, apply("eq", mine, other)))

    return partial


def _inside(apply: Apply, args: tuple[Any, ...]) -> Any:
    x, low, high = args
    return apply("and", apply("ge", x, low), apply("le", x, high))


def _below(apply: Apply, args: tuple[Any, ...]) -> Any:
    x, low, high = args
    return apply("and", apply("lt", x, low), apply("le", low, high))


def _above(apply: Apply, args: tuple[Any, ...]) -> Any:
    x, low, high = args
    return apply("or", apply("gt", x, high), apply("gt", low, high))


_flat1: tuple[Partial, ...] = (_zero,)
_flat2: tuple[Partial, ...] = (_zero, _zero)

PARTIALS: dict[str, tuple[Partial, ...]] = {
    "add": (_one, _one),
    "sub": (_one, _minus_one),
    "mul": (lambda apply, args: args[1], lambda apply, args: args[0]),
    "div": (_over_denominator, _of_denominator),
    "pow": (_of_base, _of_exponent),
    "neg": (_minus_one,),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne", "and", "or"), _flat2),
    **dict.fromkeys(("not", "sign", "step", "stop"), _flat1),
    "exp": (lambda apply, args: apply("exp", *args),),
    "log": (lambda apply, args: apply("div", 1.0, *args),),
    "sqrt": (lambda apply, args: apply("div", 0.5, apply("sqrt", *args)),),
    "abs": (lambda apply, args: apply("sign", *args),),
    "sin": (lambda apply, args: apply("cos", *args),),
    "cos": (lambda apply, args: apply("neg", apply("sin", *args)),),
    "tan": (_of_tan,),
    "tanh": (_of_tanh,),
    "sigmoid": (_of_sigmoid,),
    "erf": (lambda apply, args: _gauss(apply, args[0], 2.0 / sqrt(pi), 1.0),),
    "relu": (lambda apply, args: apply("gt", args[0], 0.0),),
    "leaky_relu": (
        lambda apply, args: apply("where", apply("gt", args[0], 0.0), 1.0, args[1]),
        lambda apply, args: apply("min", args[0], 0.0),
    ),
    "gelu": (_of_gelu,),
    "silu": (_of_silu,),
    "softplus": (lambda apply, args: apply("sigmoid", *args),),
    "max": (_wins("gt", 0), _wins("gt", 1)),
    "min": (_wins("lt", 0), _wins("lt", 1)),
    "where": (_zero, lambda apply, args: apply("ne", args[0], 0.0), lambda apply, args: apply("eq", args[0], 0.0)),
    "clip": (_inside, _below, _above),
}


def derivative(e: Expression, index: int) -> Expression:
    """∂e/∂x_index, simplified and sharing what it can with e. Terms whose factor is 0 everywhere are dropped, whatever the other factor is."""
    slope: dict[Expression, Expression] = {leaf(index): constant(1.0)}
    for node in schedule((e,)):
        total = constant(0.0)
        for arg, partial in zip(node.args, PARTIALS.get(node.op, ()), strict=True):
            inner, outer = slope[arg], partial(build, node.args)
            if not (_is_zero(inner) or _is_zero(outer)):
                total = build("add", total, build("mul", outer, inner))
        slope.setdefault(node, total)
    return slope[e]


def _is_zero(factor: Expression | float) -> bool:
    return factor == 0.0 or (isinstance(factor, Expression) and factor.is_const and factor.value == 0.0)
