"""Compiled kernels: the same numbers as NumPy, a cache that outlives the process, and no numba where it does not pay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from expressions import SPECIAL_VALUES, expressions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nexortlang.entrywise.derivatives import derivative
from nexortlang.entrywise.expression import Expression, build, constant, evaluate, leaf, schedule
from nexortlang.entrywise.ops import OPS
from nexortlang.jit import Engine, costs, entrywise, evaluate_all, loader, outer_mean
from nexortlang.jit.kernels import LANES

X, Y, Z = map(leaf, range(3))
ENGINES: tuple[Engine, ...] = ("numba", "numpy")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXORT_CACHE", str(folder))
        yield folder


def agree(found: np.ndarray, expected: np.ndarray, terms: float = 0.0) -> bool:
    """Equal to rounding, in infinities and nan exactly. `terms`: the size of what a sum adds, whose rounding stays when it cancels."""
    atol = max(1e-307, 1e-15 * terms)
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-15, atol=atol, equal_nan=True)


# ---------------------------------------------------------------------------- entrywise


@pytest.mark.parametrize("ops", [sorted(OPS)[k::4] for k in range(4)])
def test_every_operation_agrees_with_numpy(ops: list[str]) -> None:
    """One kernel for many operations, at special values and all over the line."""
    rng = np.random.default_rng(0)
    spread = np.concatenate([rng.normal(size=2000), rng.uniform(-745, 712, 500), 10.0 ** rng.uniform(-300, 300, 500)])
    values = np.concatenate([SPECIAL_VALUES, spread])
    operands = [values, rng.permutation(values), rng.permutation(values)]
    grid = np.meshgrid(*[SPECIAL_VALUES] * 3)
    at = [np.concatenate([g.ravel(), v]) for g, v in zip(grid, operands, strict=True)]
    roots = [build(op, *(X, Y, Z)[: OPS[op].arity]) for op in ops]
    for op, found, expected in zip(ops, evaluate_all(roots, at, "numba"), evaluate(roots, at), strict=True):
        assert agree(found, expected), op


_ROUNDED = frozenset(["exp", "tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "log", "sin", "cos", "tan", "pow"])


def shaken(roots: list[Expression], at: list[np.ndarray]) -> list[np.ndarray]:
    """The roots' values when every operation that the engines round differently is off by 1e-14, up or down."""
    rng = np.random.default_rng(1)
    values: dict[Expression, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for e in schedule(roots):
            if e.is_leaf or e.is_const:
                values[e] = at[e.index] if e.is_leaf else np.full(at[0].shape, e.value)
            else:
                values[e] = OPS[e.op].numpy(*(values[a] for a in e.args))
                if e.op in _ROUNDED:
                    values[e] = values[e] * (1.0 + 1e-14 * rng.choice([-1.0, 1.0], at[0].shape))
    return [values[r] for r in roots]


@settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(expressions(), min_size=6, max_size=8))
def test_expressions_and_derivatives_agree_with_numpy(found: list[Expression]) -> None:
    """Functions differ in the last place (test_every_operation…); where a change a little larger than that blows up, nothing can be said."""
    at = list(np.random.default_rng(0).uniform(-2.0, 2.0, (2, 3000)))
    roots = [r for e in found for r in (e, derivative(e, 0))]
    values = evaluate_all(roots, at, "numba"), evaluate(roots, at), shaken(roots, at)
    for root, value, expected, moved in zip(roots, *values, strict=True):
        sure = np.isclose(expected, moved, rtol=1e-10, atol=0.0, equal_nan=True)
        assert np.allclose(value[sure], expected[sure], rtol=1e-9, atol=1e-300, equal_nan=True), root


def test_arithmetic_is_exactly_that_of_numpy() -> None:
    """No fused multiply-add between the operations of a program: a sign would tell."""
    x, y = np.random.default_rng(0).normal(size=(2, 5000))
    product = build("mul", X, Y)
    roots = (build("sign", build("sub", product, product)), build("add", product, build("mul", X, build("sqrt", Z))))
    for found, expected in zip(evaluate_all(roots, [x, y, x**2], "numba"), evaluate(roots, [x, y, x**2]), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "shapes",
    [
        ((5000,), (5000,), ()),
        ((600, 4), (4,), (600, 1)),
        ((100, 4, 5), (4, 1), (100, 1, 1)),
        ((10, 1, 50), (1, 20, 50), (10, 20, 1)),
        ((1, 60), (60, 1), ()),
        ((3,), (1,), (1, 1)),
        ((0, 3), (3,), ()),
        ((), (), ()),
    ],
)
def test_broadcasting(shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes]
    arrays[0].flags.writeable = False
    roots = (build("add", build("tanh", build("mul", X, Y)), build("exp", Z)), build("sin", Y), constant(3.0))
    for found, expected in zip(evaluate_all(roots, arrays, "numba"), evaluate(roots, arrays), strict=True):
        assert agree(np.asarray(found), np.asarray(expected), terms=np.exp(4.0))


def test_strides_do_not_matter() -> None:
    a = np.random.default_rng(0).normal(size=(40, 60, 2))
    e = build("add", X, build("exp", Y))
    found = entrywise(e, "numba")(a[:, ::-1, 0].T, a[:, :, 1].T)
    assert agree(found, (a[:, ::-1, 0] + np.exp(a[:, :, 1])).T, terms=np.exp(4.0))


# ---------------------------------------------------------------------------- outer means


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [1, 5, LANES, 700])
def test_outer_mean(engine: Engine, n: int) -> None:
    g, x, z, w = np.random.default_rng(n).normal(size=(4, n))
    e = build("mul", build("tanh", build("mul", X, Y)), build("exp", Z))
    values = np.tanh(g[:, None] * x) * np.exp(z)
    assert outer_mean(e, {0: g}, {1: x, 2: z}, engine=engine) == pytest.approx(
        values.mean(axis=1), rel=1e-13, abs=1e-15
    )
    w = np.abs(w)
    weighted = outer_mean(e, {0: g}, {1: x, 2: z}, weights=w, engine=engine)
    assert weighted == pytest.approx(values @ w / w.sum(), rel=1e-13, abs=1e-15)
    if n > 1:
        rest = values * w
        np.fill_diagonal(rest, 0.0)
        found = outer_mean(e, {0: g}, {1: x, 2: z}, weights=w, skip_same=True, engine=engine)
        assert found == pytest.approx(rest.sum(axis=1) / (w.sum() - w), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("engine", ENGINES)
def test_outer_mean_leaves_out_a_singular_diagonal(engine: Engine) -> None:
    x = np.random.default_rng(0).normal(size=600)
    found = outer_mean(build("div", 1.0, build("sub", X, Y)), {0: x}, {1: x}, skip_same=True, engine=engine)
    with np.errstate(divide="ignore"):
        values = 1.0 / (x[:, None] - x)
    np.fill_diagonal(values, 0.0)
    assert found == pytest.approx(values.sum(axis=1) / 599, rel=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_outer_mean_with_finite_axes_and_pairs(engine: Engine) -> None:
    """Q(Σₛ aᵢₛ bⱼₛ + c x) y: what a trained matrix does."""
    rng = np.random.default_rng(0)
    rows, terms = 530, 1100
    a, b = rng.normal(size=(rows, 7)), rng.normal(size=(terms, 7))
    x, y, c = rng.normal(size=(rows, 2, 1)), rng.normal(size=(terms, 3)), rng.normal(size=(2, 1))
    e = build("mul", build("tanh", build("add", leaf(3), build("mul", Z, X))), Y)
    found = outer_mean(e, {0: x}, {1: y}, {2: c}, {3: (a, b)}, engine=engine)
    inner = np.tanh((a @ b.T)[:, :, None, None] + (c * x)[:, None])
    assert found == pytest.approx((inner * y[:, None, :]).mean(axis=1), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_outer_mean_of_what_depends_on_one_index(engine: Engine) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3000))
    assert outer_mean(X, {0: x}, {1: y}, engine=engine) == pytest.approx(x, rel=1e-13)
    assert outer_mean(Y, {0: x}, {1: y}, engine=engine) == pytest.approx(np.full(3000, y.mean()), rel=1e-12)
    assert outer_mean(constant(2.0), {0: x}, {1: y}, skip_same=True, engine=engine) == pytest.approx(np.full(3000, 2.0))


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_and_infinity_stay_in_their_rows(engine: Engine) -> None:
    x = np.array([1.0, np.nan, np.inf, -1.0] * 50)
    found = outer_mean(build("mul", build("exp", X), Y), {0: x}, {1: np.ones(300)}, engine=engine)
    assert np.allclose(found, np.exp(x), equal_nan=True)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="lengths"):
        outer_mean(build("mul", X, Y), {0: np.ones(3), 2: np.ones(4)}, {1: np.ones(3)})
    with pytest.raises(ValueError, match="skip_same"):
        outer_mean(build("mul", X, Y), {0: np.ones(3)}, {1: np.ones(4)}, skip_same=True)


# ---------------------------------------------------------------------------- numba: when, and its cache


def python(code: str, **environment: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SETUP = """
import sys, numpy as np
from nexortlang.entrywise.expression import build, leaf
from nexortlang.jit import entrywise, outer_mean, loader
e = build("tanh", build("mul", leaf(0), build("sigmoid", leaf(1))))
def run(engine, n=5000):
    a = np.linspace(-3, 3, n)
    value = outer_mean(e, {0: a}, {1: a}, engine=engine) if n < 5000 else entrywise(e, engine)(a, a)
    assert np.allclose(value, entrywise(e, "numpy")(a, a)) or n < 5000
"""


def test_small_problems_do_not_import_numba() -> None:
    code = SETUP + "run('auto'); run('auto', 300); run('auto', 100_000); print('numba' in sys.modules)"
    assert python(code) == "False"


def test_a_second_process_finds_the_kernel(tmp_path: Path) -> None:
    code = SETUP + "run('numba'); k = next(iter(loader._loaded.values())); print(sum(k.stats.cache_hits.values()))"
    assert python(code, NEXORT_CACHE=str(tmp_path)) == "0"
    files = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.is_file()}
    assert any(f.suffix == ".nbc" for f in files)
    assert python(code, NEXORT_CACHE=str(tmp_path)) == "1"
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.is_file()} == files


def test_no_cache_folder_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert python(SETUP + "run('numba'); print('fine')", NEXORT_CACHE=str(blocked / "below")) == "fine"


def test_a_damaged_module_file_is_replaced(own_cache: Path) -> None:
    e = build("tanh", build("add", X, 0.123))
    entrywise(e, "numba")(np.ones(3))
    source = list(loader._loaded)[-1]
    path = own_cache / "kernels" / f"{loader.module_name(source)}.py"
    assert path.read_text(encoding="utf-8") == source
    path.write_text("raise SystemError", encoding="utf-8")
    del loader._loaded[source]
    assert agree(entrywise(e, "numba")(np.ones(3)), np.tanh(np.full(3, 1.123)))
    assert path.read_text(encoding="utf-8") == source


def test_without_numba_everything_runs_on_numpy() -> None:
    code = "import sys; sys.modules['numba'] = None\n" + SETUP + "run('numba'); run('numba', 400); print('fine')"
    assert python(code) == "fine"


def test_kernels_are_compiled_once_they_would_have_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = costs.Ledger()
    monkeypatch.setattr(loader, "is_on_disk", lambda source: False)
    roots = (build("erf", X),)
    decisions = [ledger.compiled_pays("a kernel", roots, numpy=0.3, jit=0.1) for _ in range(8)]
    assert decisions[0] is False and decisions[-1] is True
    assert decisions == sorted(decisions)
    assert not costs.Ledger().compiled_pays("another", roots, numpy=0.1, jit=0.3)
