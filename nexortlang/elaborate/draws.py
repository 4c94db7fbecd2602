"""Draws: `name[dims] ~ law(mean, variance)` makes an initial matrix, vector family or scalar, anew each time it runs.

In: the statement. Out: an Operator, or a core value. Guarantees: variances are not negative, covariances positive semidefinite, and the powers
of n are those the limit knows: constant/width for matrices, anything up to 1 for vectors and scalars (kept as a Scale around the draw).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import numpy as np

from nexortlang.check import suggest
from nexortlang.core.program import Law, Value, Width
from nexortlang.diagnostics import Fix, Label
from nexortlang.elaborate import operators
from nexortlang.elaborate.arithmetic import const, needs_const, number, require_memory
from nexortlang.elaborate.calls import Param, match_arguments
from nexortlang.elaborate.context import Context
from nexortlang.elaborate.describe import blame, error, power_text, shape_text
from nexortlang.elaborate.expressions import evaluate
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.subscripts import whole_number
from nexortlang.elaborate.values import At, ConstVal, Surface
from nexortlang.source import Span
from nexortlang.syntax import ast

LAWS: tuple[Law, ...] = get_args(Law)


_VARIANCE = (
    "a law is given by its mean and its variance, normal(0, 4): the variance is the square of the standard deviation"
)


@dataclass(frozen=True, slots=True)
class Moments:
    """What a law's arguments say: mean and variance with their powers of n."""

    law: Law
    mean: ConstVal
    variance: ConstVal
    span: Span
    variance_span: Span


def draw(cx: Context, statement: ast.Draw) -> Surface:
    """The value that a `~` statement binds."""
    widths, shape = _dims(cx, statement)
    m = _moments(cx, statement.law)
    cx.builder.span = statement.span
    if len(widths) == 2:
        return _matrix(cx, statement, widths, shape, m)
    covariance, variance = _covariance(m, shape)
    mean = _fit(m.mean.array, shape, m.span, "mean")
    _require_sane(m, mean, variance)
    if (m.variance.power > 0 or m.mean.power > 0) and cx.trace is None:
        power = max(m.variance.power, m.mean.power)
        raise error(
            "NX226",
            f"expected a mean and a variance of order 1 or less, found one that grows like {power_text(power)}",
            m.variance_span,
            hint="multiply by the power of n where the vector is used",
        )
    if m.law == "bernoulli" and m.mean.power:
        raise error("NX226", "expected a probability of order 1", m.variance_span)
    return _random(cx, statement.name.id, widths[0] if widths else None, m, mean, variance, covariance)


def _dims(cx: Context, statement: ast.Draw) -> tuple[list[Width], tuple[int, ...]]:
    """Widths first, then finite sizes."""
    ats = [evaluate(cx, e) for e in statement.dims]
    widths = [at.value for at in ats if isinstance(at.value, Width)]
    sizes: list[int] = []
    for k, at in enumerate(ats):
        if isinstance(at.value, Width):
            if k >= len(widths):
                raise error("NX201", "expected widths first, then finite sizes, as in U[n, 3]", at.span)
            continue
        if isinstance(at.value, ConstVal) and at.value.power:
            raise error(
                "NX201",
                f"expected a width or a finite size, found a number that grows like {power_text(at.value.power)}",
                at.span,
                hint=f"declare it as a width of its own: width m = {at.text}",
            )
        size = whole_number(at, "a finite size")
        if size < 1:
            raise error("NX212", f"expected a finite size of 1 or more, found {size}", at.span)
        sizes.append(size)
    if len(widths) > 2:
        raise error(
            "NX201", f"expected at most two widths, found {len(widths)}", statement.span, hint="a matrix has two widths"
        )
    require_memory(sizes, statement.span)
    return widths, tuple(sizes)


# ---------------------------------------------------------------------------- laws


def _moments(cx: Context, law: ast.Expr) -> Moments:
    if not isinstance(law, ast.Call) or not isinstance(law.function, ast.Name):
        raise error("NX228", "expected a law after ~, such as normal(0, 1)", law.span)
    name = law.function.id
    if name not in LAWS:
        close = suggest.closest(name, LAWS)
        fix = Fix(law.function.span, close) if close else None
        raise error("NX228", f"unknown law {name}", law.function.span, hint=f"the laws are {', '.join(LAWS)}", fix=fix)
    by_bounds = name == "uniform" and any(k.name in ("low", "high") for k in law.keywords)
    parameters = ["p"] if name == "bernoulli" else ["low", "high"] if by_bounds else ["mean", "variance"]
    exprs = match_arguments(name, [Param(p) for p in parameters], law)
    ats = [_const_argument(cx, exprs[p], f"the {p} of a law") for p in parameters]
    values = [at.value for at in ats if isinstance(at.value, ConstVal)]
    span = ats[-1].span
    if name == "bernoulli":
        p = values[0].array
        return Moments("bernoulli", values[0], const(p * (1 - p), values[0].power), law.span, span)
    if by_bounds:
        return _uniform(values[0], values[1], ats, law.span)
    return Moments(name, values[0], values[1], law.span, span)


def _const_argument(cx: Context, e: ast.Expr, what: str) -> At:
    at = number(evaluate(cx, e))
    if not isinstance(at.value, ConstVal):
        raise needs_const(at, f"{what} is known before the run")
    if not np.isfinite(at.value.array).all():
        raise error("NX227", f"expected finite numbers for {what}", at.span, *blame(at)[1:])
    return at


def _uniform(low: ConstVal, high: ConstVal, ats: list[At], span: Span) -> Moments:
    powers = {v.power for v in (low, high) if v.array.any()}
    if len(powers) > 1:
        raise error("NX236", "expected both bounds with one power of n", span, *blame(*ats))
    power = powers.pop() if powers else Fraction(0)
    try:
        length = high.array - low.array
    except ValueError:
        raise error("NX209", "expected bounds that broadcast", span, *blame(*ats)) from None
    if (length < 0).any():
        raise error("NX227", "expected low ≤ high", span, *blame(*ats))
    return Moments(
        "uniform", const((low.array + high.array) / 2, power), const(length**2 / 12, 2 * power), span, ats[1].span
    )


def _fit(array: np.ndarray, shape: tuple[int, ...], span: Span, what: str) -> np.ndarray:
    try:
        return np.array(np.broadcast_to(array, shape))
    except ValueError:
        raise error(
            "NX209",
            f"expected a {what} that broadcasts to {shape_text(shape) or 'a single number'}, "
            f"found shape {shape_text(array.shape)}",
            span,
            hint="a draw has one law for all entries, or one for each place along its finite axes: x[n, 2] ~ normal(0, [1, 4])",
        ) from None


def _covariance(m: Moments, shape: tuple[int, ...]) -> tuple[np.ndarray | None, np.ndarray]:
    """(covariance of the last axis or None, variance per entry). A d × d array is a covariance, d the last finite axis."""
    array = m.variance.array
    if array.ndim != 2 or not shape or array.shape != (shape[-1], shape[-1]):
        return None, _fit(array, shape, m.variance_span, "variance")
    if m.law != "normal":
        raise error("NX227", f"a covariance belongs to the normal law, found {m.law}", m.variance_span)
    if (
        not np.allclose(array, array.T, rtol=1e-10, atol=0)
        or np.linalg.eigvalsh(array).min() < -1e-10 * abs(array).max()
    ):
        raise error(
            "NX227",
            "expected a covariance, which is symmetric and positive semidefinite",
            m.variance_span,
            hint="a variance per column is a list, [1, 4]",
        )
    return array, _fit(np.diag(array), shape, m.variance_span, "variance")


def _require_sane(m: Moments, mean: np.ndarray, variance: np.ndarray) -> None:
    if m.law == "bernoulli":
        if (mean < 0).any() or (mean > 1).any():
            raise error("NX227", f"expected a probability between 0 and 1, found {mean.reshape(-1)[0]:g}", m.span)
    elif (variance < 0).any():
        raise error(
            "NX227", f"expected a variance of 0 or more, found {variance.min():g}", m.variance_span, hint=_VARIANCE
        )


# ---------------------------------------------------------------------------- what is drawn


def _matrix(cx: Context, statement: ast.Draw, widths: list[Width], shape: tuple[int, ...], m: Moments) -> Operator:
    rows, cols = widths
    if m.mean.array.any():
        raise error(
            "NX225",
            "expected mean 0 for a matrix",
            m.span,
            hint=f"add the mean as an outer product, W + c * n * |ones({rows.name})><ones({cols.name})|",
        )
    variance = m.variance.array
    excess = m.variance.power + 1 if variance.any() else Fraction(0)
    if excess and cx.trace is None:
        found = power_text(m.variance.power) if m.variance.power else "1"
        raise error(
            "NX225",
            f"expected a constant over a width as the variance of a matrix, found a variance of order {found}",
            m.variance_span,
            Label(statement.name.span, f"{statement.name.id} is a matrix({rows.name}, {cols.name})"),
            hint=f"write {statement.name.id}[…] ~ {m.law}(0, s/{cols.name}): then W @ x is of the order of x",
        )
    if (variance < 0).any():
        raise error(
            "NX227", f"expected a variance of 0 or more, found {variance.min():g}", m.variance_span, hint=_VARIANCE
        )
    over_cols = _fit(variance * float(cols.ratio), shape, m.variance_span, "variance")
    name = statement.name.id
    matrix = cx.builder.matrix(name, rows, cols, over_cols, m.law)
    return operators.initial(cx.builder, matrix, name in cx.frame.targets, excess / 2)


def _random(
    cx: Context,
    name: str,
    width: Width | None,
    m: Moments,
    mean: np.ndarray,
    variance: np.ndarray,
    covariance: np.ndarray | None,
) -> Value:
    """An initial vector or scalar: n^(p/2) times one of order 1, plus the mean where that has another power."""
    b = cx.builder
    power = m.variance.power / 2
    law, inside = m.law, m.mean.power == power or not mean.any() or m.law == "bernoulli"
    centre = mean if inside else np.zeros_like(mean)
    v: Value
    if width is not None:
        v = b.init_vector(name, width, law, centre, variance, covariance)
    elif covariance is None:
        v = b.init_scalar(name, law, centre, variance)
    else:
        v = _correlated_scalars(cx, name, mean if inside else centre, covariance)
    if name in cx.frame.targets:
        cx.parameters.add(v.id)
    v = b.scale(v, power)
    return v if inside else b.add(v, b.scale(b.const(mean), m.mean.power))


def _correlated_scalars(cx: Context, name: str, mean: np.ndarray, covariance: np.ndarray) -> Value:
    """mean + z R with independent z and RᵀR the covariance of the last axis."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))).T
    b = cx.builder
    z = b.init_scalar(name, "normal", np.zeros(mean.shape), np.ones(mean.shape))
    batch = "abcdefghijklmnopqrstuvw"[: mean.ndim - 1]
    correlated = b.einsum(f"{batch}x,xy->{batch}y", z, b.const(root))
    return b.add(correlated, b.const(mean)) if mean.any() else correlated
