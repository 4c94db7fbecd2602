"""Expressions: identity by structure, simplification that keeps every value, evaluation, derivatives by finite differences."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from expressions import SPECIAL_VALUES, expressions
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nexortlang.core.build import Builder
from nexortlang.core.expressions import expressions_of
from nexortlang.core.program import Width
from nexortlang.entrywise.derivatives import PARTIALS, derivative
from nexortlang.entrywise.expression import (
    Expression,
    apply,
    build,
    constant,
    evaluate,
    leaf,
    leaves,
    schedule,
    separate,
    simplify,
    substitute,
)
from nexortlang.entrywise.ops import OPS

X, Y = leaf(0), leaf(1)


def test_equal_structure_is_one_object() -> None:
    assert apply("add", X, 1.0) is apply("add", leaf(0), constant(1.0))
    assert apply("add", X, Y) is not apply("add", Y, X)
    assert constant(0.0) is not constant(-0.0)
    assert constant(float("nan")) is constant(float("nan"))


def test_digest_is_the_same_in_every_process() -> None:
    program = (
        "from nexortlang.entrywise.expression import *; print(build('tanh', build('mul', leaf(0), 2.0)).digest.hex())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert told == build("tanh", build("mul", X, 2.0)).digest.hex()


@pytest.mark.parametrize(
    ("raw", "simple"),
    [
        (apply("mul", X, 1.0), X),
        (apply("add", 0.0, X), X),
        (apply("neg", apply("neg", X)), X),
        (apply("add", X, apply("neg", Y)), apply("sub", X, Y)),
        (apply("mul", apply("add", 1.0, 2.0), X), apply("mul", 3.0, X)),
        (apply("pow", X, 2.0), apply("mul", X, X)),
        (apply("where", 1.0, X, Y), X),
        (apply("mul", 0.0, X), apply("mul", 0.0, X)),  # 0 · inf is nan
        (apply("sub", X, X), apply("sub", X, X)),
    ],
)
def test_simplify(raw: Expression, simple: Expression) -> None:
    assert simplify(raw) is simple


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_simplification_keeps_values(e: Expression) -> None:
    """At infinities and nan too. The sign of a zero may change, so division and powers, which tell it, are left out."""
    assume(not {"div", "pow"} & {node.op for node in schedule((e,))})
    grid = [g.ravel() for g in np.meshgrid(SPECIAL_VALUES, SPECIAL_VALUES)]
    (raw,), (simple,) = evaluate((e,), grid), evaluate((simplify(e),), grid)
    assert np.allclose(raw, simple, rtol=1e-9, atol=0.0, equal_nan=True)


def test_depth_is_not_limited() -> None:
    e = X
    for _ in range(20_000):
        e = build("add", build("mul", e, 0.5), X)
    assert evaluate((e,), [np.array([1.0, 2.0])])[0] == pytest.approx([2.0, 4.0])
    assert evaluate((derivative(e, 0),), [np.array([1.0])])[0] == pytest.approx(2.0)


def test_evaluate_broadcasts_in_blocks() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3000, 7, 2)), rng.normal(size=(7, 1)), rng.normal()
    e = build("tanh", build("add", build("mul", X, Y), leaf(2)))
    assert np.array_equal(evaluate((e,), [a, b, c])[0], np.tanh(a * b + c))
    copied, filled = evaluate((X, constant(2.0)), [a])
    assert copied is not a and np.array_equal(copied, a) and np.array_equal(filled, np.full(a.shape, 2.0))


def test_substitute_and_separate() -> None:
    e = build("mul", build("tanh", X), build("exp", build("add", X, Y)))
    assert leaves(e) == (0, 1)
    assert substitute((e,), {X: Y})[0] is build("mul", build("tanh", Y), build("exp", build("add", Y, Y)))
    i, j = frozenset("i"), frozenset("j")
    (body,), parts = separate((e,), {0: i, 1: j}, i | j)
    assert set(parts) == {build("tanh", X), X, Y}
    assert substitute((body,), {leaf(k): p for k, p in enumerate(parts)})[0] is e


def test_expressions_of_core_values() -> None:
    b = Builder()
    n = Width("n")
    x = b.init_vector("x", n, "normal", np.zeros(3), np.ones(3))
    y = b.map("tanh", b.map("mul", x, b.const(2.0)))
    z = b.map("add", y, b.const([1.0, 2.0, 3.0]))
    (e, f), found = expressions_of((z, y))
    assert found[0] is x and len(found) == 2
    assert f is build("tanh", build("mul", leaf(0), 2.0)) and e is build("add", f, leaf(1))
    (g,), found = expressions_of((z,), is_leaf=lambda v: v is y)
    assert g is build("add", leaf(0), leaf(1)) and found[0] is y


# ---------------------------------------------------------------------------- derivatives


def test_every_operation_has_its_partial_derivatives() -> None:
    assert {op: len(p) for op, p in PARTIALS.items()} == {name: op.arity for name, op in OPS.items()}


def slope(e: Expression, k: int, at: list[np.ndarray], h: float = 1e-5) -> np.ndarray:
    """Central differences, extrapolated once."""

    def central(step: float) -> np.ndarray:
        up, down = ([a + s * step if i == k else a for i, a in enumerate(at)] for s in (1, -1))
        return (evaluate((e,), up)[0] - evaluate((e,), down)[0]) / (2 * step)

    return (4 * central(h / 2) - central(h)) / 3


@pytest.mark.parametrize("op", sorted(set(OPS) - {"stop"}))
def test_partial_derivatives(op: str) -> None:
    rng = np.random.default_rng(1)
    operands = [leaf(k) for k in range(OPS[op].arity)]
    e = build(op, *operands)
    at = [rng.uniform(0.2, 0.9, 200) + 0.03 * k for k in range(len(operands))]
    if op not in ("log", "sqrt", "pow"):
        at = [a * rng.choice([-1.0, 1.0], a.size) for a in at]
    for k in range(len(operands)):
        found = evaluate((derivative(e, k),), at)[0]
        assert found == pytest.approx(slope(e, k, at), rel=1e-7, abs=1e-8)


@settings(max_examples=100, deadline=None)
@given(expressions(smooth=True))
def test_derivatives_of_expressions(e: Expression) -> None:
    rng = np.random.default_rng(2)
    at = list(rng.uniform(-1.0, 1.0, (2, 50)))
    for k in (0, 1):
        found, fine, coarse = evaluate((derivative(e, k),), at)[0], slope(e, k, at), slope(e, k, at, 1e-4)
        sure = np.abs(fine - coarse) < 1e-6 * (1 + np.abs(fine))  # where finite differences know what they say
        assert np.allclose(np.broadcast_to(found, sure.shape)[sure], fine[sure], rtol=1e-4, atol=1e-5)


def test_values_where_there_is_no_derivative() -> None:
    def at_tie(op: str, *args: Expression | float, k: int = 0) -> float:
        return float(evaluate((derivative(build(op, *args), k),), [np.zeros(1), np.zeros(1)])[0][0])

    assert at_tie("relu", X) == at_tie("abs", X) == at_tie("sign", X) == at_tie("step", X) == 0.0
    assert at_tie("max", X, Y) == at_tie("max", X, Y, k=1) == at_tie("min", X, Y) == 0.5
    assert at_tie("clip", X, 0.0, 1.0) == 1.0
    assert at_tie("leaky_relu", X, 0.1) == 0.1
    assert derivative(build("stop", X), 0) is constant(0.0)


# ---------------------------------------------------------------------------- operations near their edges


def test_operations_keep_their_digits() -> None:
    x = np.array([-700.0, -300.0, -40.0, -1e-9, 1e-9, 30.0])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        sigmoid, softplus, silu = (OPS[name].numpy(x) for name in ("sigmoid", "softplus", "silu"))
    assert sigmoid[:3] == pytest.approx(np.exp(x[:3]), rel=1e-15)
    assert softplus[:3] == pytest.approx(np.exp(x[:3]), rel=1e-15)
    assert silu[:3] == pytest.approx(x[:3] * np.exp(x[:3]), rel=1e-15)
    assert OPS["gelu"].numpy(-30.0) == pytest.approx(-30 * 4.906713927148187e-198, rel=1e-14)
    assert OPS["softplus"].numpy(1000.0) == 1000.0 and OPS["sigmoid"].numpy(1000.0) == 1.0


@pytest.mark.parametrize("y", [2.0, 3.0, 4.0, 0.5, -1.0, 2.5])
@given(st.floats(0.01, 100.0))
def test_powers(y: float, x: float) -> None:
    assert OPS["pow"].numpy(x, y) == pytest.approx(x**y, rel=1e-15)
