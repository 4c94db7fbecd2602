"""Gradients against finite differences at finite width, for every instruction and for random programs; powers of n; size of what is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from finite_reference import evaluate, size

from nexortlang.core.build import Builder
from nexortlang.core.program import InitScalar, InitVector, Matrix, Type, Value, Width
from nexortlang.elaborate.gradient import gradient, matrix_gradient
from nexortlang.entrywise.ops import OPS

N = Width("n")
M = Width("m", Fraction(3, 2))
SIZE = 4


@dataclass(frozen=True)
class Use:
    result: Value
    operand: Value
    transposed: bool
    members: np.ndarray


def draws(b: Builder, seed: int = 0) -> tuple[dict[int, np.ndarray], dict[Matrix, np.ndarray]]:
    """Arrays for all that is initial, all entries standard normal (so that nothing is at a kink)."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for v in b.program.values:
        if isinstance(v, InitVector | InitScalar):
            shape = tuple(size(w, SIZE) for _, w in v.type.axes) + v.type.shape
            noise = rng.standard_normal(shape) if np.any(v.variance) else np.zeros(shape)
            arrays[v.id] = v.mean + noise
    matrices = {m: rng.standard_normal((*m.shape, size(m.rows, SIZE), size(m.cols, SIZE))) for m in b.program.matrices}
    return arrays, matrices


def run(b: Builder, given: dict[int, np.ndarray], matrices: dict[Matrix, np.ndarray]) -> dict[int, np.ndarray]:
    """All values of the program; those `given` are not computed."""
    arrays: dict[int, np.ndarray] = {}
    for v in b.program.values:
        found = given.get(v.id)
        arrays[v.id] = evaluate(v, arrays, matrices, SIZE, np.random.default_rng(0)) if found is None else found
    return arrays


def differences(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of f in every entry."""
    out = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        out[index] = (f(up) - f(down)) / (2 * step)
    return out


def full(array: np.ndarray, t: Type) -> np.ndarray:
    return np.broadcast_to(array, tuple(size(w, SIZE) for _, w in t.axes) + t.shape)


def check(b: Builder, loss: Value, *targets: Value, plain: Value | None = None) -> None:
    """∂loss/∂target for every target against differences, where the target is perturbed as a value of its own.

    `plain` is the loss without algebra that goes past the targets, if there is some in `loss`.
    """
    perturbed = plain or loss
    found = gradient(b, loss, targets)
    given, matrices = draws(b)
    arrays = run(b, given, matrices)
    for target, g in zip(targets, found, strict=True):
        assert g is not None and g.type.axes == target.type.axes and g.type.shape == target.type.shape
        base = full(arrays[target.id], target.type)
        expected = differences(lambda x, t=target: float(run(b, {**given, t.id: x}, matrices)[perturbed.id]), base)
        np.testing.assert_allclose(full(arrays[g.id], g.type), expected, rtol=1e-5, atol=1e-7)


def check_matrix(b: Builder, loss: Value, uses: list[Use], matrix: Matrix) -> Value:
    g = matrix_gradient(b, loss, uses, matrix.shape)
    assert g is not None and g.type.axes == ((0, matrix.rows), (1, matrix.cols)) and g.type.shape == matrix.shape
    given, matrices = draws(b)
    found = np.moveaxis(full(run(b, given, matrices)[g.id], g.type), (0, 1), (-2, -1))
    expected = differences(lambda w: float(run(b, given, {**matrices, matrix: w})[loss.id]), matrices[matrix])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    return g


def vector(b: Builder, *shape: int, width: Width = N) -> Value:
    return b.init_vector("v", width, "normal", np.zeros(shape), np.ones(shape))


def scalar(b: Builder, *shape: int) -> Value:
    return b.init_scalar("c", "normal", np.zeros(shape), np.ones(shape))


def total(b: Builder, x: Value) -> Value:
    """A number that depends on every entry of x in its own way."""
    rng = np.random.default_rng(7)
    x = b.mul(b.const(rng.uniform(0.5, 1.5, x.type.shape)), x)
    for slot, width in x.type.axes:
        x = b.mul(x, b.rename(b.init_vector("t", width, "normal", np.ones(()), np.ones(())), {0: slot}))
    x = b.avg(x, x.type.slots)
    return b.reduce("sum", b.map("sin", b.reshape(x, (int(np.prod(x.type.shape)),))), 0)


UNARY = [
    "neg",
    "exp",
    "abs",
    "sign",
    "step",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "erf",
    "relu",
    "gelu",
    "silu",
    "softplus",
    "not",
]


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    b = Builder()
    x = vector(b, 2)
    check(b, total(b, b.map(op, x)), x)


@pytest.mark.parametrize("op", ["log", "sqrt"])
def test_unary_of_what_is_positive(op: str) -> None:
    b = Builder()
    x = vector(b, 2)
    y = b.add(b.const(0.5), b.mul(x, x))
    check(b, total(b, b.map(op, y)), x, y)


BINARY = ["add", "sub", "mul", "div", "max", "min", "leaky_relu", "lt", "le", "gt", "ge", "eq", "ne", "and", "or"]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((3, 1), (2,)), ((), (2, 1)), ((1, 2), (3, 2))])
def test_binary_broadcasts_finite_axes(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    b = Builder()
    x, y = vector(b, *shapes[0]), vector(b, *shapes[1])
    check(b, total(b, b.map(op, x, y)), x, y)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "max"])
def test_binary_broadcasts_a_scalar_over_a_width(op: str) -> None:
    b = Builder()
    x, c = vector(b, 3, width=M), scalar(b, 2, 1)
    check(b, total(b, b.map(op, x, c)), x, c)
    check(b, total(b, b.map(op, c, x)), x, c)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0, -1.0, 0.5])
def test_pow_with_a_constant(exponent: float) -> None:
    b = Builder()
    x = vector(b, 2)
    y = b.add(b.const(0.5), b.mul(x, x))
    check(b, total(b, b.map("pow", y, b.const(exponent))), x)


def test_pow_with_a_variable_exponent() -> None:
    b = Builder()
    x, c = vector(b, 2), scalar(b)
    y = b.add(b.const(0.5), b.mul(x, x))
    check(b, total(b, b.map("pow", y, c)), x, c)


def test_where_and_clip() -> None:
    b = Builder()
    x, y, z = vector(b, 2), vector(b), scalar(b, 3, 1)
    check(b, total(b, b.map("where", b.map("gt", x, y), b.mul(x, y), z)), x, y, z)
    b = Builder()
    x, low, high = vector(b, 4), scalar(b), vector(b, 1)
    check(b, total(b, b.map("clip", x, low, b.add(low, b.map("exp", high)))), x, low, high)


def test_averages_over_every_slot() -> None:
    b = Builder()
    x, z, c = vector(b, 2), vector(b, 1, width=M), scalar(b)
    pair = b.map("tanh", b.add(b.mul(x, b.rename(z, {0: 1})), c))
    triple = b.map("sin", b.add(pair, b.rename(x, {0: 2})))
    check(b, total(b, b.avg(triple, [1, 2])), x, z, c)
    check(b, total(b, b.avg(pair, [0])), x, z, c)
    check(b, total(b, pair), x, z, c, pair)


def test_one_vector_in_all_slots_of_an_outer_nonlinearity() -> None:
    b = Builder()
    x = vector(b)
    y = b.avg(b.map("max", b.map("max", x, b.rename(x, {0: 1})), b.rename(b.map("tanh", x), {0: 2})), [1, 2])
    check(b, total(b, y), x)


@pytest.mark.parametrize(
    "spec", ["ab,cb->ac", "a,b->ab", "a,a->a", "ab,b->a", "ab,c->", "aa,b->ab", ",a->a", "ab,cd->bd"]
)
@pytest.mark.parametrize("kind", ["inner", "einsum", "outer"])
def test_contractions(spec: str, kind: str) -> None:
    sizes = {"a": 2, "b": 3, "c": 2, "d": 1}
    left, right = spec.split("->")[0].split(",")
    b = Builder()
    x, y = (vector(b, *(sizes[k] for k in labels)) for labels in (left, right))
    if kind == "inner":
        loss = total(b, b.inner(spec, x, y))
    elif kind == "einsum":
        loss = total(b, b.einsum(spec, x, y))
    else:
        loss = total(b, b.einsum(spec, x, b.rename(y, {0: 1})))
    check(b, loss, x, y)


def test_contraction_of_a_vector_with_an_array() -> None:
    b = Builder()
    x, c = vector(b, 2, 3), scalar(b, 3, 2)
    check(b, total(b, b.einsum("ab,bc->ac", x, c)), x, c)


INDICES = {
    "transpose": np.arange(6).reshape(2, 3).T,
    "slice": np.arange(6).reshape(2, 3)[:, 1:],
    "broadcast": np.broadcast_to(np.arange(6).reshape(2, 3), (4, 2, 3)),
    "repeat": np.array([[0, 5, 5], [5, 3, 3]]),
    "often one": np.r_[np.zeros(60, int), 1, 1, 4],
    "one": np.array(2),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("factored", [False, True])
def test_gather(name: str, factored: bool) -> None:
    b = Builder()
    x, c = vector(b, 2, 3), scalar(b, 2, 3)
    y = b.gather(x, INDICES[name])
    if factored:
        y = b.mul(y, b.gather(c, INDICES[name]))
        check(b, b.reduce("sum", b.reshape(b.avg(y, [0]), (y_size(y),)), 0), x, c)
    else:
        check(b, total(b, y), x)


def y_size(v: Value) -> int:
    return int(np.prod(v.type.shape))


def test_concat_and_reduce() -> None:
    b = Builder()
    x, y, c = vector(b, 2, 2), vector(b), scalar(b, 3)
    z = b.concat([x, y, b.mul(c, y)])
    check(b, total(b, z), x, y, c)
    for op in ("sum", "max", "min", "argmax"):
        for axis in (0, 1):
            check(b, total(b, b.reduce(op, b.add(x, b.reshape(b.gather(c, np.array([0, 2])), (2, 1))), axis)), x, c)


def test_a_tie_is_shared() -> None:
    b = Builder()
    x = vector(b, 3)
    y = b.gather(x, np.array([0, 1, 1]))
    (g,) = gradient(b, b.avg(b.reduce("max", b.mul(y, b.const([0.0, 1.0, 1.0])), 0), [0]), [y])
    given, matrices = draws(b)
    arrays = run(b, given, matrices)
    assert g is not None
    top = arrays[x.id][:, 1] > 0
    np.testing.assert_allclose(arrays[g.id], np.where(top[:, None], [0, 0.5, 0.5], 0) / SIZE)


def test_scale_and_fluctuation() -> None:
    b = Builder()
    x, y = vector(b, 2, width=M), vector(b, width=M)
    check(b, total(b, b.scale(b.avg(b.map("tanh", x), [0]), Fraction(3, 2))), x)
    check(b, total(b, b.fluctuation(b.mul(x, y))), x, y)


@pytest.mark.parametrize("transposed", [False, True])
def test_matmul(transposed: bool) -> None:
    b = Builder()
    w = b.matrix("W", N, M, np.array(1.0), "normal")
    x = vector(b, 2, width=N if transposed else M)
    h = b.matmul(w, np.array(0), transposed, x)
    loss = total(b, b.map("tanh", h))
    check(b, loss, x, h)
    check_matrix(b, loss, [Use(h, x, transposed, np.array(0))], w)


@pytest.mark.parametrize("members", [np.array([0, 1, 2]), np.array([[0], [2]]), np.array([[2, 1, 2]]), np.array([1])])
@pytest.mark.parametrize("shape", [(2, 3), (2, 1), (3,), ()])
def test_families(members: np.ndarray, shape: tuple[int, ...]) -> None:
    b = Builder()
    w = b.matrix("W", N, N, np.ones(3), "normal")
    x = vector(b, *shape)
    h = b.matmul(w, members, False, x)
    g = b.matmul(w, members, True, b.map("tanh", h))
    loss = total(b, g)
    check(b, loss, x)
    check_matrix(b, loss, [Use(h, x, False, members), Use(g, b.map("tanh", h), True, members)], w)


def test_a_matrix_used_many_times_in_both_orientations() -> None:
    b = Builder()
    w = b.matrix("W", N, N, np.array(1.0), "normal")
    x, uses = vector(b, 2), []
    for t in range(4):
        h = b.matmul(w, np.array(0), t % 2 == 1, x)
        uses.append(Use(h, x, t % 2 == 1, np.array(0)))
        x = b.map("tanh", h)
    check_matrix(b, b.avg(b.reduce("sum", x, 0), [0]), uses, w)


def test_a_result_that_is_constant_over_a_width() -> None:
    b = Builder()
    w = b.matrix("W", N, M, np.array(1.0), "normal")
    x = vector(b, width=M)
    h = b.matmul(w, np.array(0), False, x)
    loss = b.avg(h, [0])
    check(b, loss, x, h)
    check_matrix(b, loss, [Use(h, x, False, np.array(0))], w)


def test_layer_norm_and_softmax() -> None:
    b = Builder()
    x = vector(b, 3)
    centred = b.map("sub", x, b.avg(x, [0]))
    normed = b.map("div", centred, b.map("sqrt", b.add(b.inner("a,a->a", centred, centred), b.const(1e-5))))
    logits = b.inner("a,b->ab", normed, b.map("tanh", x))
    e = b.map("exp", b.map("sub", logits, b.reshape(b.reduce("max", logits, 1), (3, 1))))
    a = b.map("div", e, b.reshape(b.reduce("sum", e, 1), (3, 1)))
    check(b, total(b, b.einsum("ab,b->a", a, normed)), x)


def test_every_entrywise_operation_has_a_test_here() -> None:
    others = {"log", "sqrt", "pow", "where", "clip"}
    assert {*UNARY, *BINARY, *others} == set(OPS) - {"stop"}, "stop is in test_gradient_programs"
