"""Operators against dense matrices at a finite width."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from finite_reference import evaluate, size

from nexortlang.core.build import Builder
from nexortlang.core.program import Avg, Matrix, Value, Width, operands
from nexortlang.elaborate import operators
from nexortlang.elaborate.operators import Entries, Initial, Operator

n = Width("n")
m = Width("m", Fraction(1, 2))
N = 12


class Bench:
    """A builder with a width-N world: draws are fixed, so that operators can be made dense and compared."""

    def __init__(self) -> None:
        self.b = Builder()
        self.b.program.widths += [n, m]
        self.rng = np.random.default_rng(5)
        self.dense_matrices: dict[Matrix, np.ndarray] = {}

    def vector(self, name: str, width: Width = n, shape: tuple[int, ...] = ()) -> Value:
        return self.b.init_vector(name, width, "normal", np.full(shape, 0.3), np.ones(shape))

    def matrix(self, name: str, rows: Width = n, cols: Width = n, shape: tuple[int, ...] = ()) -> Operator:
        raw = self.b.matrix(name, rows, cols, np.ones(shape), "normal")
        self.dense_matrices[raw] = self.rng.standard_normal((*shape, size(rows, N), size(cols, N)))
        return operators.initial(self.b, raw)

    def row(self, x: Value) -> Value:
        return self.b.rename(x, {0: 1})

    def arrays(self) -> dict[int, np.ndarray]:
        arrays: dict[int, np.ndarray] = {}
        rng = np.random.default_rng(7)
        for v in self.b.program.values:
            arrays[v.id] = evaluate(v, arrays, self.dense_matrices, N, rng)
        return arrays

    def dense(self, A: Operator, arrays: dict[int, np.ndarray]) -> np.ndarray:
        """The family as an array (*shape, rows, cols)."""
        total = np.zeros((*A.shape, size(A.rows, N), size(A.cols, N)))
        for term in A.terms:
            factors = [self.dense_factor(f, arrays) for f in term.factors]
            value = factors[0]
            for f in factors[1:]:
                value = value @ f
            value = arrays[term.coefficient.id][..., None, None] * value
            if term.positions is None:
                total = total + value
            else:
                flat = total.reshape(-1, *total.shape[-2:])
                spread = np.broadcast_to(value, (*term.positions.shape, *total.shape[-2:]))
                flat[term.positions.reshape(-1)] += spread.reshape(-1, *total.shape[-2:])
        return total

    def dense_factor(self, factor: operators.Factor, arrays: dict[int, np.ndarray]) -> np.ndarray:
        match factor:
            case Initial(matrix, members, _):
                raw = self.dense_matrices[matrix]
                value = raw.reshape(-1, *raw.shape[-2:])[members]
            case Entries(entries, _):
                value = np.moveaxis(arrays[entries.id], (0, 1), (-2, -1))
            case _:
                value = self.dense(factor.body, arrays)
        return value.swapaxes(-1, -2) if factor.transposed else value

    def check(self, A: Operator, x: Value) -> None:
        """A @ x is the dense product."""
        y = operators.apply(self.b, A, x)
        arrays = self.arrays()
        dense = self.dense(A, arrays)
        np.testing.assert_allclose(
            np.moveaxis(arrays[y.id], 0, -1),
            np.einsum("...ij,...j->...i", dense, np.moveaxis(arrays[x.id], 0, -1)),
            atol=1e-9,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_initial_and_transpose(bench: Bench) -> None:
    A = bench.matrix("W", n, m)
    bench.check(A, bench.vector("x", m, (3,)))
    bench.check(operators.transpose(bench.b, A), bench.vector("y", n))


def test_linear_combinations_and_products(bench: Bench) -> None:
    b = bench.b
    W, V = bench.matrix("W"), bench.matrix("V", n, m)
    A = operators.scale(b, operators.add(b, W, operators.transpose(b, W)), b.const(0.5**0.5))
    x = bench.vector("x", n, (2,))
    bench.check(A, x)
    bench.check(operators.compose(b, A, operators.compose(b, W, A)), x)
    bench.check(operators.compose(b, operators.transpose(b, V), A), x)


def test_families_broadcast_as_in_matmul(bench: Bench) -> None:
    b = bench.b
    W = bench.matrix("W", n, n, (2, 3))
    bench.check(W, bench.vector("x", n, (3,)))
    bench.check(W, bench.vector("y", n, (4, 1, 1)))
    bench.check(operators.member(b, W, np.array([[5, 0, 1, 2]])), bench.vector("z", n, (4,)))
    bench.check(operators.scale(b, W, b.const([[1.0], [2.0]])), bench.vector("z"))


def outer_values(bench: Bench, rows: Width, cols: Width) -> dict[str, Value]:
    b = bench.b
    dh, x = bench.vector("dh", rows, (4,)), bench.row(bench.vector("x", cols, (4,)))
    products = b.mul(dh, x)
    low_rank = b.reduce("sum", products, 0)
    return {
        "low rank": low_rank,
        "family": products,
        "sign": b.map("sign", low_rank),
        "sign of a product": b.map("sign", products),
        "mixed sum": b.add(b.mul(b.const(0.3), low_rank), b.map("tanh", low_rank)),
        "scaled": b.scale(b.mul(b.const(2.0), low_rank), Fraction(-1)),
    }


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "cols"), list(product([n, m], repeat=2)))
def test_outer_values(bench: Bench, rows: Width, cols: Width, transposed: bool) -> None:
    for value in outer_values(bench, rows, cols).values():
        A = operators.outer(bench.b, value)
        assert A.is_outer
        if transposed:
            A = operators.transpose(bench.b, A)
        bench.check(A, bench.vector("z", A.cols))


def test_low_rank_needs_no_pairs(bench: Bench) -> None:
    b = bench.b
    values = outer_values(bench, n, n)
    z = bench.vector("z")
    start = len(b.program.values)
    operators.apply(b, operators.outer(b, values["low rank"]), z)
    made = b.program.values[start:]
    pairs = {v.id for v in made if len(v.type.axes) == 2}
    assert not any(a.id in pairs for v in made if v.id not in pairs for a in operands(v)), "no outer array is read"


def test_trained_matrix(bench: Bench) -> None:
    b = bench.b
    values = outer_values(bench, n, m)
    W = bench.matrix("W", n, m)
    old = operators.copy(b, W, "V")
    W1 = operators.updated(b, W, b.scale(values["sign"], Fraction(-1)))
    W2 = operators.updated(b, operators.retained(b, W1, b.const(0.9)), b.scale(values["low rank"], Fraction(-1)))
    x, y = bench.vector("x", m, (2,)), bench.vector("y", n)
    for A in (W1, W2, old):
        bench.check(A, x)
        bench.check(operators.transpose(b, A), y)
    assert W2.variable is W.variable
    assert W.variable is not old.variable


def test_updates_of_members(bench: Bench) -> None:
    b = bench.b
    values = outer_values(bench, n, n)
    W = bench.matrix("W", n, n, (3,))
    second = operators.member(b, W, np.array(1))
    W1 = operators.set_member(b, W, np.array(1), operators.updated(b, second, values["sign"]))
    assert W1.variable is W.variable
    W2 = operators.set_member(b, W1, np.array([0, 2]), operators.outer(b, values["low rank"]))
    W3 = operators.updated(b, W2, b.mul(values["sign"], b.const([1.0, 2.0, 3.0])))
    for A in (W1, W2, W3):
        bench.check(A, bench.vector("x", n, (3,)))
        bench.check(operators.transpose(b, A), bench.vector("x", n, (2, 1)))
        for k in range(3):
            bench.check(operators.member(b, A, np.array(k)), bench.vector("x"))
        bench.check(operators.member(b, A, np.array([[2, 1], [1, 0]])), bench.vector("x"))
        bench.check(operators.compose(b, A, operators.member(b, A, np.array(1))), bench.vector("x"))


def test_entries(bench: Bench) -> None:
    b = bench.b
    values = outer_values(bench, n, n)
    G = operators.outer(b, values["family"])
    H = operators.outer(b, b.scale(values["sign"], Fraction(-1)))
    A = operators.add(
        b, operators.scale(b, G, b.const([1.0, 2.0, 3.0, 4.0])), operators.compose(b, H, operators.transpose(b, G))
    )
    A = operators.set_member(b, A, np.array([2]), H)
    value = operators.entries(b, A)
    arrays = bench.arrays()
    np.testing.assert_allclose(np.moveaxis(arrays[value.id], (0, 1), (-2, -1)), bench.dense(A, arrays), atol=1e-9)


def test_members_of_stacked_updates_stay_apart(bench: Bench) -> None:
    """The update of a family, a stack of products, applied to one member costs an inner product."""
    b = bench.b
    stack = b.concat([b.mul(bench.vector(f"d{k}"), bench.row(bench.vector(f"x{k}"))) for k in range(3)])
    W = operators.updated(b, bench.matrix("W", n, n, (3,)), b.scale(b.mul(b.const(-0.1), stack), Fraction(-1)))
    z = bench.vector("z")
    start = len(b.program.values)
    y = operators.apply(b, operators.member(b, W, np.array(1)), z)
    bench.check(operators.member(b, W, np.array(1)), z)
    assert not any(isinstance(v, Avg) for v in b.program.values[start:])
    assert y.type.power == 0


def test_uses_are_noted(bench: Bench) -> None:
    b = bench.b
    W = bench.matrix("W")
    A = operators.copy(b, operators.scale(b, operators.add(b, W, operators.transpose(b, W)), b.const(0.5**0.5)), "A")
    V = operators.copy(b, W, "V")
    x = bench.vector("x")
    first, second, third = (operators.apply(b, M, x) for M in (W, A, V))
    operators.apply(b, W, x)
    assert W.variable is not None and A.variable is not None and V.variable is not None
    noted = operators.uses(b, W.variable)
    assert [(u.transposed, u.operand, u.result) for u in noted[:2]] == [(False, x, first), (True, x, noted[1].result)]
    assert [u.result for u in operators.uses(b, A.variable)] == [second]
    assert [u.result for u in operators.uses(b, V.variable)] == [third]
    assert third is not first, "a copy's uses are its own"
    assert third in [u.result for u in noted]
