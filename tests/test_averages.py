"""Averages taken apart, and fluctuations, against the plain instructions at a finite width."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from finite_reference import run
from hypothesis import given, settings
from hypothesis import strategies as st

from nexortlang.core.build import Builder
from nexortlang.core.program import Avg, Fluctuation, Inner, Scale, Value, Width
from nexortlang.elaborate.averages import average, inner
from nexortlang.elaborate.fluctuations import scaled, why_not

n = Width("n")
m = Width("m", Fraction(1, 2))
N = 6


class World:
    """A program with vectors on three slots."""

    def __init__(self) -> None:
        self.b = Builder()
        self.b.program.widths += [n, m]

    def vector(
        self, name: str = "x", shape: tuple[int, ...] = (), slot: int = 0, mean: float = 0.3, width: Width = n
    ) -> Value:
        law = self.b.init_vector(name, width, "normal", np.full(shape, mean), np.ones(shape))
        return self.b.rename(law, {0: slot})

    def const(self, shape: tuple[int, ...] = ()) -> Value:
        return self.b.const(np.random.default_rng(3).uniform(0.5, 1.5, shape))

    def check(self, x: Value, slots: set[int]) -> Value:
        """average(x) is what the Avg instruction gives."""
        result = average(self.b, x, slots)
        plain = self.b.avg(x, slots)
        assert result.type == plain.type
        arrays = run(self.b.program, N, seed=1)
        scale = np.abs(arrays[x.id]).mean() + 1e-12
        np.testing.assert_allclose(arrays[result.id], arrays[plain.id], rtol=1e-9, atol=1e-9 * scale)
        return result


@pytest.fixture
def world() -> World:
    return World()


# ---------------------------------------------------------------------------- random expressions

SHAPES = [(), (2,), (3,), (2, 3), (1, 3), (2, 1)]
UNARY = ["neg", "tanh", "sign", "abs", "square", "cube", "relu"]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Callable[[World], Value]:
    """A recipe for a value over slots 0, 1, 2, of a shape that broadcasts against (2, 3)."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        shape, slot = draw(st.sampled_from(SHAPES)), draw(st.integers(0, 2))
        if draw(st.booleans()):
            return lambda w: w.vector("x", shape, slot)
        return lambda w: w.const(shape)
    kind = draw(
        st.sampled_from(
            ["mul", "mul", "mul", "add", "sub", "div", "unary", "sum", "einsum", "gather", "rename", "scale", "where"]
        )
    )
    a = draw(expressions(depth=depth - 1))
    c = draw(expressions(depth=depth - 1))
    match kind:
        case "mul" | "add" | "sub":
            return lambda w: w.b.map(kind, a(w), c(w))
        case "div":
            return lambda w: w.b.map("div", a(w), w.b.add(w.b.const(2.0), w.b.map("abs", c(w))))
        case "where":
            return lambda w: w.b.map("where", w.b.map("step", c(w)), a(w), w.b.const(0.5))
        case "unary":
            op = draw(st.sampled_from(UNARY))
            if op in ("square", "cube"):
                return lambda w: w.b.map("pow", a(w), w.b.const(2.0 if op == "square" else 3.0))
            return lambda w: w.b.map(op, a(w))
        case "sum":
            return lambda w: summed(w, a(w))
        case "einsum":
            return lambda w: w.b.einsum("ab,cb->ac", spread(w, a(w)), w.b.broadcast(c(w), (2, 3)))
        case "gather":
            index = np.array(draw(st.lists(st.integers(0, 5), min_size=6, max_size=6))).reshape(2, 3)
            return lambda w: w.b.gather(w.b.broadcast(a(w), (2, 3)), index)
        case "rename":
            order = draw(st.permutations([0, 1, 2]))
            return lambda w: renamed(w, a(w), order)
        case _:
            return lambda w: w.b.scale(a(w), Fraction(1, 2))


def spread(w: World, x: Value) -> Value:
    return w.b.gather(w.b.broadcast(x, (2, 3)), np.array([[0, 1, 2], [3, 4, 5], [2, 1, 0]]))


def summed(w: World, x: Value) -> Value:
    return w.b.reduce("sum", x, len(x.type.shape) - 1) if x.type.shape else x


def renamed(w: World, x: Value, order: list[int]) -> Value:
    return w.b.rename(x, {s: order[s] for s in x.type.slots})


def fits(make: Callable[[World], Value]) -> bool:
    """Whether the recipe's shapes fit (einsum and sums change them)."""
    try:
        make(World())
    except ValueError:
        return False
    return True


@settings(max_examples=100, deadline=None)
@given(expressions().filter(fits), st.sets(st.integers(0, 2), min_size=1))
def test_average_is_the_average(make: Callable[[World], Value], slots: set[int]) -> None:
    w = World()
    with np.errstate(all="ignore"):
        w.check(make(w), slots)


# ---------------------------------------------------------------------------- structure


def test_outer_applied_to_a_vector_is_low_rank(world: World) -> None:
    b = world.b
    G = b.reduce("sum", b.mul(world.vector("dh", (4,)), world.vector("x", (4,), 1)), 0)
    y = world.check(b.mul(G, world.vector("z", (), 1)), {1})
    assert y.type.slots == (0,)
    assert [type(v) for v in (y.x, y.y)].count(Inner) == 1


def test_square_of_a_sum_of_products(world: World) -> None:
    b = world.b
    G = b.reduce("sum", b.mul(world.vector("dh", (4,)), world.vector("x", (4,), 1)), 0)
    start = len(b.program.values)
    world.check(b.map("pow", G, b.const(2.0)), {0, 1})
    assert sum(isinstance(v, Inner) for v in b.program.values[start:]) == 2
    assert sum(isinstance(v, Avg) for v in b.program.values[start:]) == 1, (
        "only the plain average that is compared with"
    )


def test_multiplicative_functions_split(world: World) -> None:
    b = world.b
    x, y = world.vector("x"), world.vector("y", (), 1)
    for op in ("sign", "abs"):
        split = world.check(b.map(op, b.map("div", b.mul(b.const(-2.0), x), y)), {1})
        assert split.type.slots == (0,) and not isinstance(split, Avg)
    assert average(b, b.map("tanh", b.mul(x, y)), {0, 1}) is b.avg(b.map("tanh", b.mul(x, y)), {0, 1})


def test_equal_averages_are_shared(world: World) -> None:
    b = world.b
    x = world.vector("x", (3,))
    moved = b.rename(x, {0: 2})
    assert average(b, b.mul(x, x), {0}) is average(b, b.mul(moved, moved), {2})
    assert average(b, b.map("pow", x, b.const(2.0)), {0}) is average(b, b.mul(x, x), {0})
    assert average(b, x, {0}) is average(b, moved, {2})


def test_broadcast_axes_need_no_large_arrays(world: World) -> None:
    """avg(q[:, :, None] * k[:, None]) is one inner product of q and k."""
    b = world.b
    q, k = world.vector("q", (2, 3)), world.vector("k", (2, 3))
    left, right = b.reshape(q, (2, 3, 1)), b.reshape(k, (2, 1, 3))
    result = world.check(b.mul(left, right), {0})
    assert isinstance(result, Inner) and (result.x, result.y) == (q, k)


def test_deep_sums_do_not_recurse(world: World) -> None:
    b = world.b
    x, y, z = world.vector("x"), world.vector("y", (), 1), world.vector("z", (), 1)
    momentum = b.mul(x, y)
    for _ in range(3000):
        momentum = b.add(b.mul(b.const(0.9), momentum), b.mul(b.map("tanh", x), y))
    average(b, momentum, {0, 1})
    average(b, b.mul(momentum, z), {1})


def test_products_of_many_sums_do_not_explode(world: World) -> None:
    b = world.b
    product = world.vector("x")
    for _ in range(30):
        product = b.mul(product, b.add(world.vector("x"), world.vector("y", (), 1)))
    assert isinstance(average(b, product, {0, 1}), Avg)


def test_inner_takes_all_axes_of_the_bra_first(world: World) -> None:
    x, y = world.vector("x", (2,)), world.b.scale(world.vector("y", (3, 1)), Fraction(-1, 2))
    result = inner(world.b, x, y)
    assert result.type.shape == (2, 3, 1) and isinstance(result, Scale)
    arrays = run(world.b.program, N)
    np.testing.assert_allclose(arrays[result.id], np.einsum("ia,ibc->abc", arrays[x.id], arrays[y.id]) / N)


# ---------------------------------------------------------------------------- fluctuations

HALF = Fraction(1, 2)


def fluctuation_cases(w: World) -> dict[str, Value]:
    b = w.b
    v, U = w.vector("v", mean=0.0), w.vector("U", (3,), mean=0.0)
    g, k = w.vector("g", (3,), mean=0.0, width=m), w.vector("k", (3,), mean=0.0, width=m)
    x = b.map("tanh", b.einsum("a,ab->b", U, b.const(np.arange(6.0).reshape(3, 2))))
    f = inner(b, v, x)
    return {
        "readout": f,
        "ket first": inner(b, x, v),
        "sum and multiple": b.map("sub", b.mul(b.const([2.0, 3.0]), f), f),
        "with a smaller term": b.add(f, b.scale(b.avg(v, (0,)), -HALF)),
        "pairs over another width": average(b, b.reduce("sum", b.mul(g, b.map("tanh", k)), 0), (0,)),
        "times a scalar": b.mul(f, average(b, b.mul(x, x), (0,))),
        "member": b.gather(f, np.array(1)),
        "stack": b.concat([f, average(b, v, (0,))]),
        "scaled inside": inner(b, b.scale(v, Fraction(-1)), x),
    }


@pytest.mark.parametrize("case", sorted(fluctuation_cases(World())))
def test_centred_functionals_fluctuate(world: World, case: str) -> None:
    scalar = fluctuation_cases(world)[case]
    result = scaled(world.b, scalar, HALF - scalar.type.power)
    assert result.type.power == 0
    assert why_not(world.b, scalar) == ""
    arrays = run(world.b.program, 40)
    np.testing.assert_allclose(
        arrays[result.id], 40.0 ** float(HALF - scalar.type.power) * arrays[scalar.id], rtol=1e-9
    )
    assert any(isinstance(v, Fluctuation) for v in world.b.program.values)


def test_what_does_not_fluctuate_says_why(world: World) -> None:
    b = world.b
    v, one, x = world.vector("v", mean=0.0), world.vector("one", mean=1.0), world.vector("x")
    h = b.map("tanh", v)
    for scalar, reason in [
        (inner(b, v, h), "v is used inside"),
        (inner(b, one, h), "mean that is not 0"),
        (inner(b, h, b.map("tanh", x)), "no factor that is an initial vector of mean 0"),
        (b.add(average(b, v, (0,)), b.const(1.0)), "not an average of something linear"),
    ]:
        result = scaled(b, scalar, HALF)
        assert isinstance(result, Scale) and result.type.power == HALF
        assert reason in why_not(b, scalar)


@pytest.mark.parametrize(
    ("output", "mean"),
    [
        ("sqrt(n) * <v | h + v/sqrt(n)>", "1"),
        ("sqrt(n) * <v + 2*h/sqrt(n) | h - 3*v/sqrt(n)>", "2*<h|h> - 3"),
        ("sqrt(n) * sum(avg((v - w/sqrt(n)) * [h, w]))", "-1"),
    ],
)
def test_terms_of_lower_power_are_brought_back(
    output: str, mean: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """√n<v|x> multiplies what vanishes in x beside its other terms: it counts again, at every width and in the limit."""
    from nexortlang.cli import main

    file = tmp_path / "program.nxt"
    file.write_text(
        "width n\nx[n] ~ normal(0, 1)\nW[n, n] ~ normal(0, 1/n)\nv[n] ~ normal(0, 1)\nw[n] ~ normal(0, 1)\nh = tanh(W @ x)\n"
        f"f = {output}\nassert f ~= {mean} within 1e-9\n"
    )
    assert main([str(file)]) == 0, capsys.readouterr().err
