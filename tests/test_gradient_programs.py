"""Gradients of whole programs: their form, their powers of n, what is constant for them, random programs, and what they cost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gradient import M, N, check, check_matrix, scalar, total, vector

from nexortlang.core.build import Builder
from nexortlang.core.program import Einsum, Fluctuation, Map, MatMul, Scale, Value, Width
from nexortlang.elaborate import fluctuations, operators
from nexortlang.elaborate.averages import average, inner
from nexortlang.elaborate.gradient import depends, gradient, matrix_gradient
from nexortlang.elaborate.members import family_gradient
from nexortlang.elaborate.operators import Operator

INPUTS = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
TARGETS = np.array([1.0, -1.0])


def matrix(b: Builder, rows: Width = N, cols: Width = N, shape: tuple[int, ...] = ()) -> Operator:
    return operators.initial(b, b.matrix("W", rows, cols, np.ones(shape), "normal"))


def mean_square(b: Builder, f: Value) -> Value:
    """mean((f - y)^2) / 2"""
    squares = b.map("pow", b.map("sub", f, b.const(TARGETS)), b.const(2.0))
    return b.map("div", b.reduce("sum", squares, 0), b.const(4.0))


def network(b: Builder, U: Value, W: Operator, v: Value) -> Value:
    """<v | tanh(W @ tanh(U @ X.T))>"""
    x1 = b.map("tanh", b.einsum("k,bk->b", U, b.const(INPUTS)))
    return inner(b, v, b.map("tanh", operators.apply(b, W, x1)))


# ---------------------------------------------------------------------------- form


def test_the_gradient_of_a_matrix_is_a_sum_of_outer_products_over_the_batch() -> None:
    """∂L/∂W[i, j] = Σ_b χ_b dh_b[i] x_b[j] / n with dh = v · tanh′(h), χ = (f − y)/2."""
    b = Builder()
    U, W, v = vector(b, 3), matrix(b), vector(b)
    loss = mean_square(b, network(b, U, W, v))
    g = matrix_gradient(b, loss, operators.uses(b, W.variable), ())
    assert isinstance(g, Scale) and g.exponent == -1
    outer = g.x
    assert isinstance(outer, Einsum) and outer.type.slots == (0, 1)
    chi_dh, x = outer.x, outer.y
    assert x.type.slots == (1,) and chi_dh.type.slots == (0,) and chi_dh.type.shape == x.type.shape == (2,)
    assert isinstance(chi_dh, Map) and chi_dh.op == "mul"
    chi, dh = chi_dh.args
    assert chi.type.is_scalar and isinstance(dh, Map) and dh.args[0] is v


def test_a_second_loss_shares_the_backward_pass_of_the_network() -> None:
    """Error signals stand outside: W.T is applied to one and the same dh, whatever the loss."""
    b = Builder()
    U, W, v = vector(b, 3), matrix(b), vector(b)
    f = network(b, U, W, v)
    gradient(b, mean_square(b, f), [U])
    before = sum(isinstance(value, MatMul) for value in b.program.values)
    gradient(b, b.reduce("sum", b.map("tanh", f), 0), [U])
    assert sum(isinstance(value, MatMul) for value in b.program.values) == before == 2


def test_targets_of_one_loss_share_one_sweep() -> None:
    b = Builder()
    U, W, v = vector(b, 3), matrix(b), vector(b)
    loss = mean_square(b, network(b, U, W, v))
    start = len(b.program.values)
    gradient(b, loss, [U])
    size = len(b.program.values) - start
    gradient(b, loss, [v])
    matrix_gradient(b, loss, operators.uses(b, W.variable), ())
    assert len(b.program.values) - start - size <= 6
    assert size <= 18


def test_size_is_linear_in_the_program() -> None:
    def built(depth: int) -> int:
        b = Builder()
        W, x = matrix(b), vector(b, 2)
        h = x
        for _ in range(depth):
            h = b.add(h, b.map("tanh", operators.apply(b, W, h)))
        loss = b.reduce("sum", b.avg(h, (0,)), 0)
        gradient(b, loss, [x])
        matrix_gradient(b, loss, operators.uses(b, W.variable), ())
        return len(b.program.values)

    assert built(40) - built(20) == 2 * (built(20) - built(10))


# ---------------------------------------------------------------------------- powers of n


def test_powers_of_a_network_with_averaged_output() -> None:
    """LANGUAGE.md: for L = mean((<v|x2> - y)^2)/2 all gradients are of order 1/n."""
    b = Builder()
    U, W, v = vector(b, 3), matrix(b), vector(b)
    loss = mean_square(b, network(b, U, W, v))
    g_w = matrix_gradient(b, loss, operators.uses(b, W.variable), ())
    for g in [*gradient(b, loss, [U, v]), g_w]:
        assert g is not None and g.type.power == -1


def test_powers_in_standard_parametrization() -> None:
    """f = n <v|x> / sqrt(n) with v of order n^(-1/2), W of order n^(-1/2): ∂L/∂v is of order n^(-1/2), the others of order 1/n."""
    b = Builder()
    U, W = vector(b, 3), matrix(b)
    v = b.scale(vector(b), Fraction(-1, 2))
    f = b.scale(network(b, U, W, v), Fraction(1, 2))
    loss = b.reduce("sum", b.map("tanh", f), 0)
    g_u, g_v = gradient(b, loss, [U, v])
    assert g_u is not None and g_v is not None
    assert (g_u.type.power, g_v.type.power) == (Fraction(-1), Fraction(-1, 2))
    g_w = matrix_gradient(b, loss, operators.uses(b, W.variable), ())
    assert g_w is not None and g_w.type.power == -1


def test_powers_of_scalars_and_fluctuations() -> None:
    b = Builder()
    x, v, c = vector(b, 2), vector(b), scalar(b, 2)
    y = b.map("tanh", b.add(x, c))
    g_c, g_x = gradient(b, b.reduce("sum", b.avg(y, (0,)), 0), [c, x])
    assert g_c is not None and g_x is not None
    assert (g_c.type.power, g_x.type.power) == (0, -1)
    (g_v,) = gradient(b, b.reduce("sum", b.fluctuation(b.mul(v, y)), 0), [v])
    assert g_v is not None and g_v.type.power == Fraction(-1, 2)


def test_centring_over_the_width_keeps_the_power() -> None:
    b = Builder()
    x = vector(b)
    centred = b.map("sub", x, b.avg(x, (0,)))
    (g,) = gradient(b, b.avg(b.map("tanh", centred), (0,)), [x])
    assert g is not None and g.type.power == -1


# ---------------------------------------------------------------------------- what is constant


def test_gradients_are_constants_for_later_gradients() -> None:
    b = Builder()
    x = vector(b)
    first = b.avg(b.map("pow", x, b.const(3.0)), (0,))
    (g,) = gradient(b, first, [x])
    assert g is not None
    second = average(b, b.mul(g, x), (0,))
    (h,) = gradient(b, second, [x])
    assert h is not None
    assert not depends(b, b.avg(g, (0,)), x)
    assert isinstance(h, Scale) and h.x is (g.x if isinstance(g, Scale) else g)


def test_a_gradient_that_the_program_has_computed_too_is_constant_but_the_program_is_not() -> None:
    b = Builder()
    x, y = vector(b), vector(b)
    own = b.scale(b.map("tanh", y), Fraction(-1))
    (g,) = gradient(b, b.inner(",->", x, b.map("tanh", y)), [x])
    assert g is not None
    assert not depends(b, b.avg(g, (0,)), y)
    assert depends(b, b.avg(own, (0,)), y)
    later = b.mul(b.map("sin", y), b.map("sin", y))
    (gradient_of_square,) = gradient(b, b.avg(b.map("pow", b.map("sin", y), b.const(3.0)), (0,)), [b.map("sin", y)])
    assert gradient_of_square is not None
    assert depends(b, b.avg(later, (0,)), y)
    assert not depends(b, b.avg(gradient_of_square, (0,)), y)


def test_stop() -> None:
    b = Builder()
    x = vector(b)
    stopped = b.map("stop", b.map("tanh", x))
    assert gradient(b, b.avg(stopped, (0,)), [x]) == [None]
    (g,) = gradient(b, b.avg(b.mul(stopped, x), (0,)), [x])
    assert g is not None and isinstance(g, Scale) and g.x is stopped


def test_the_gradient_with_respect_to_a_gradient() -> None:
    """A gradient is a leaf: a loss may be differentiated by it."""
    b = Builder()
    x = vector(b)
    (g,) = gradient(b, b.avg(b.map("sin", x), (0,)), [x])
    assert g is not None
    g = b.scale(g, -g.type.power)
    loss = b.avg(b.mul(b.map("tanh", g), b.const(2.0)), (0,))
    check(b, loss, g)


def test_the_version_that_the_loss_was_computed_from() -> None:
    b = Builder()
    x0 = vector(b)
    loss0 = b.avg(b.map("tanh", x0), (0,))
    (g,) = gradient(b, loss0, [x0])
    assert g is not None
    x1 = b.map("sub", x0, g)
    loss1 = b.avg(b.map("tanh", x1), (0,))
    x2 = b.mul(x1, b.const(0.5))
    whole = np.zeros((), dtype=int)
    for loss, x in ((loss0, x0), (loss1, x1)):
        found, expected = family_gradient(b, loss, [x2, x1, x0], whole), gradient(b, loss, [x])[0]
        assert isinstance(found, Scale) and isinstance(expected, Scale) and found.x is expected.x
    assert family_gradient(b, loss1, [x2], whole) is None


def test_a_loss_that_does_not_depend_and_one_that_does_by_a_jump() -> None:
    b = Builder()
    x, y = vector(b, 2), vector(b)
    loss = b.avg(b.map("sign", b.reduce("sum", x, 0)), (0,))
    zero, nothing = gradient(b, loss, [x, y])
    assert nothing is None and zero is not None and zero.type.shape == (2,) and zero.type.is_vector
    check(b, loss, x)


# ---------------------------------------------------------------------------- names that algebra sees through


def test_a_sum_that_an_average_takes_apart() -> None:
    """avg(h) is avg(x) + avg(y) in the program, and yet depends on h = x + y."""
    b = Builder()
    x, y = vector(b, 2), vector(b)
    h = b.add(x, y)

    def loss(mean: Value) -> Value:
        nonlinear = b.avg(b.map("sin", h), (0,))
        return b.reduce("sum", b.add(b.map("tanh", mean), nonlinear), 0)

    apart = average(b, h, (0,))
    assert isinstance(apart, Map) and apart.op == "add"
    check(b, loss(apart), h, x, y, plain=loss(b.avg(h, (0,))))


def test_a_multiple_of_n_that_was_pulled_out() -> None:
    b = Builder()
    x, v = vector(b), vector(b)
    h = b.scale(b.map("tanh", x), Fraction(1))
    pulled_out = b.scale(inner(b, v, h), Fraction(-1))
    plain = b.scale(b.inner(",->", v, h), Fraction(-1))
    check(b, b.map("sin", pulled_out), h, x, plain=b.map("sin", plain))


def test_a_scalar_that_becomes_a_fluctuation() -> None:
    b = Builder()
    x, v, w = vector(b), vector(b), vector(b)
    c = average(b, b.mul(v, b.map("sin", b.add(x, w))), (0,))
    f = fluctuations.scaled(b, c, Fraction(1, 2))
    assert isinstance(f, Fluctuation)
    check(b, b.map("sin", f), c, x, v, plain=b.map("sin", b.scale(c, Fraction(1, 2))))


def test_a_trained_layer_that_an_average_takes_apart() -> None:
    """The use h = (W + Q) @ x is W @ x + Q @ x, and avg(h) the sum of two averages."""
    b = Builder()
    W, x, g = matrix(b), vector(b, 2), vector(b)
    signs = b.scale(b.map("sign", b.mul(g, b.rename(b.reduce("sum", x, 0), {0: 1}))), Fraction(-1))
    W = operators.updated(b, W, signs)
    h = operators.apply(b, W, x)
    loss = b.reduce("sum", b.map("tanh", average(b, h, (0,))), 0)
    assert W.variable is not None
    check_matrix(b, loss, list(operators.uses(b, W.variable)), b.program.matrices[0])


# ---------------------------------------------------------------------------- trained matrices, shared and in both orientations


def test_trained_matrices() -> None:
    """W − Q with Q an outer value, low-rank or not, applied in both orientations, decayed, inside a composite: one gradient."""
    b = Builder()
    W, x, g = matrix(b), vector(b, 2), vector(b, 2)
    outer = b.scale(b.einsum("b,b->", g, b.rename(x, {0: 1})), Fraction(-1))
    signs = b.scale(b.map("sign", b.einsum("b,b->", g, b.rename(b.map("tanh", x), {0: 1}))), Fraction(-1))
    W = operators.retained(b, operators.updated(b, operators.updated(b, W, outer), signs), b.const(0.9))
    h = operators.apply(b, W, x)
    back = operators.apply(b, operators.transpose(b, W), b.map("tanh", h))
    composite = operators.scale(b, operators.add(b, W, operators.transpose(b, W)), b.const(0.5))
    loss = total(b, operators.apply(b, composite, back))
    check(b, loss, x, g, h, back)
    assert W.variable is not None
    uses = operators.uses(b, W.variable)
    assert len(uses) == 4
    # The trained matrix is 0.9 (W₀ + …): a difference in W₀ is 0.9 of one in W.
    found = matrix_gradient(b, loss, uses, ())
    assert found is not None
    scaled = b.mul(b.const(0.9), found)
    check_gradient_value(b, loss, scaled)


def check_gradient_value(b: Builder, loss: Value, found: Value) -> None:
    from test_gradient import differences, draws, run

    (initial,) = b.program.matrices
    given, matrices = draws(b)
    expected = differences(lambda w: float(run(b, given, {initial: w})[loss.id]), matrices[initial])
    np.testing.assert_allclose(run(b, given, matrices)[found.id], expected, rtol=1e-5, atol=1e-7)


def test_families_of_matrices_between_widths() -> None:
    b = Builder()
    W = matrix(b, N, M, (3,))
    x = vector(b, 2, 1, width=M)
    h = operators.apply(b, W, x)
    one = operators.apply(b, operators.member(b, W, np.array(1)), b.map("tanh", b.reduce("sum", x, 1)))
    back = operators.apply(b, operators.transpose(b, W), b.map("tanh", b.add(h, b.reshape(one, (2, 1)))))
    loss = total(b, b.map("tanh", back))
    check(b, loss, x)
    assert W.variable is not None
    check_matrix(b, loss, list(operators.uses(b, W.variable)), b.program.matrices[0])


# ---------------------------------------------------------------------------- random programs


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    return draw(
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 50), st.integers(0, 50)), min_size=3, max_size=10)
    )


@settings(max_examples=40, deadline=None)
@given(steps())
def test_random_programs(plan: list[tuple[int, int, int]]) -> None:
    """Vectors over one width with shape [2], built by one of a dozen smooth instructions from earlier ones."""
    b = Builder()
    W, x0, c0 = matrix(b), vector(b, 2), scalar(b, 2)
    vectors, scalars = [x0], [c0]
    for kind, i, j in plan:
        x, y, c = vectors[i % len(vectors)], vectors[j % len(vectors)], scalars[j % len(scalars)]
        match kind:
            case 0:
                vectors.append(b.map("tanh", b.mul(x, y)))
            case 1:
                vectors.append(b.map("sin", b.add(x, c)))
            case 2:
                vectors.append(b.map("tanh", operators.apply(b, W, x)))
            case 3:
                vectors.append(b.map("tanh", operators.apply(b, operators.transpose(b, W), x)))
            case 4:
                scalars.append(b.avg(b.mul(x, y), (0,)))
            case 5:
                scalars.append(b.inner("a,b->a", x, y))
            case 6:
                pair = b.map("tanh", b.mul(b.add(x, c), b.rename(y, {0: 1})))
                vectors.append(average(b, pair, (1,)))
            case 7:
                vectors.append(b.einsum("a,ba->b", x, b.const([[0.5, 1.0], [-1.0, 0.3]])))
            case 8:
                vectors.append(b.gather(b.concat([x, y]), np.array([[1, 3], [0, 1]])[j % 2]))
            case 9:
                vectors.append(b.map("sub", x, b.reshape(b.reduce("sum", y, 0), (1,))))
            case 10:
                vectors.append(b.einsum("a,a->a", b.map("tanh", x), c))
            case _:
                triple = b.map("sin", b.add(b.mul(x, b.rename(y, {0: 1})), b.rename(x, {0: 2})))
                scalars.append(average(b, b.mul(triple, b.rename(y, {0: 2})), (0, 1, 2)))
    loss = b.add(total(b, vectors[-1]), b.reduce("sum", b.map("tanh", scalars[-1]), 0))
    targets = [v for v in (x0, c0, *vectors[1:3]) if depends(b, loss, v)]
    check(b, loss, *targets)
    assert W.variable is not None
    uses = [use for use in operators.uses(b, W.variable) if depends(b, loss, use.result)]
    if uses:
        check_matrix(b, loss, list(uses), b.program.matrices[0])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_is_multiplied_by_a_constant(weight: float) -> None:
    b = Builder()
    x = vector(b, 2)
    check(b, b.reduce("sum", b.avg(b.mul(b.const([weight, 2.0]), b.map("tanh", x)), (0,)), 0), x)
