"""The finite-width engine against the dense reference, and what runs cost, draw and promise."""

from __future__ import annotations

import json
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from finite_reference import evaluate
from limits import command

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import InitScalar, InitVector, Matrix, Program, Width
from nexortlang.driver import Request, check
from nexortlang.finite import simulate as simulation
from nexortlang.finite.draws import Draws
from nexortlang.finite.plan import bytes_needed, plan
from nexortlang.finite.run import Run
from nexortlang.finite.simulate import Settings, Simulator
from nexortlang.finite.sizes import Sizes
from nexortlang.source import Source

EXAMPLES = Path(__file__).parent.parent / "examples"
DOUBLE = np.dtype(float)

ADAM = """
width n
const X = randn(4, 3)
const y = [1, -1, 0.5, 0]
U[n, 3] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n]    ~ normal(0, 1)
from optim import adam
def net(X) = <v | tanh(W @ tanh(U @ X.T))>
for t in range(4):
    f = net(X)
    L = mean((f - y)^2) / 2
    show f
    U -= 0.1   * adam(n * grad(L, U))
    W -= 0.1/n * adam(n * grad(L, W))
    v -= 0.1   * adam(n * grad(L, v))
"""

TUPLES = """
width n
width m = n/2
x[n, 2] ~ normal(0, 1)
u[m] ~ uniform(1, 2)
w[n] ~ normal(0, 1)
c ~ normal(0, 1)
A[n, m, 3] ~ rademacher(0, 1/m)
h = A @ u
k = A[1].T @ tanh(h[1] + c)
show avg[i, j, l](max(x[i, 0] * x[j], tanh(u[l]) - c))
z[i] = avg[j](sign(x[i] - 2 * u[j]) * k[j] * [1, 2])
show <z|h>
G[i, j] = tanh(x[i] * x[j, 1])
s[i] = avg[j, l](G[i, j] * max(G[j, l], 0))
show avg(s)
r[j] = avg[i](exp(-G[i, j]^2) + x[i])
show <r|s>
show sqrt(n) * avg(w * x * z) + c
show dist(s)
"""


def program(text: str, folder: Path = Path()) -> Program:
    outcome = check(Source("test.nxt", text), Request(folder=folder))
    assert outcome.program is not None, outcome.diagnostics
    return outcome.program


def reference(p: Program, draws: Draws) -> dict[int, np.ndarray]:
    """Every value that shows need, by the reference, with the engine's draws."""
    families = {}
    for k, m in enumerate(p.matrices):
        members = np.stack([draws.matrix(m, k, member) for member in range(m.variance.size)])
        families[m] = members.reshape(*m.shape, *members.shape[1:])
    arrays: dict[int, np.ndarray] = {}
    for v in reachable([s.value for s in p.shows]):
        drawn = isinstance(v, InitVector | InitScalar)
        arrays[v.id] = (
            draws.value(v) if drawn else evaluate(v, arrays, families, draws.sizes.n, np.random.default_rng())
        )
    return arrays


@pytest.mark.parametrize("store_pairs", [True, False])
@pytest.mark.parametrize("name", [*sorted(p.stem for p in EXAMPLES.glob("*.nxt")), "adam", "tuples"])
def test_every_instruction_is_the_references(name: str, store_pairs: bool) -> None:
    if name in ("adam", "tuples"):
        p = program(ADAM if name == "adam" else TUPLES)
    else:
        text = (EXAMPLES / f"{name}.nxt").read_text(encoding="utf-8")
        p = program(text.replace("const T = 100", "const T = 3"), EXAMPLES)
    draws = Draws(3, 1, Sizes(12), DOUBLE)
    expected = reference(p, draws)
    wanted = [s.value for s in p.shows]
    run = Run(plan(wanted, store_pairs), draws, {m: k for k, m in enumerate(p.matrices)})
    run.execute()
    for v in wanted:
        scale = 1.0 + np.abs(expected[v.id]).max(initial=0.0)
        np.testing.assert_allclose(run.fetch(v) / scale, expected[v.id] / scale, rtol=0, atol=1e-12)


def test_what_averages_share_is_stored_and_freed() -> None:
    wanted = [s.value for s in program(ADAM).shows]
    stored, lazy = plan(wanted), plan(wanted, store_pairs=False)
    assert len(stored.pairs) > 4 and not lazy.pairs
    freed = [i for ids in stored.done.values() for i in ids]
    assert len(freed) == len(set(freed)) and stored.pairs <= set(freed)
    assert {v.id for v in stored.order} - set(freed) == {v.id for v in wanted}


@pytest.mark.parametrize("law", ["normal", "uniform", "rademacher", "laplace"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_laws_of_matrices(law: str, dtype: str) -> None:
    n = Width("n")
    m = Matrix("W", n, Width("m", Fraction(1, 2)), np.array([4.0, 0.0]), law)  # type: ignore[arg-type]
    draws = Draws(0, 0, Sizes(1000), np.dtype(dtype))
    entries = draws.matrix(m, 0, 0)
    assert entries.shape == (1000, 500) and entries.dtype == dtype
    scaled = entries.astype(float) * (500 / 4) ** 0.5
    assert abs(scaled.mean()) < 5e-3 and abs(scaled.var() - 1) < 1e-2
    fourth = {"normal": 3.0, "uniform": 1.8, "rademacher": 1.0, "laplace": 6.0}[law]
    assert abs((scaled**4).mean() - fourth) < 0.1
    assert not draws.matrix(m, 0, 1).any()
    assert np.array_equal(entries, draws.matrix(m, 0, 0))
    assert not np.array_equal(entries, Draws(0, 1, Sizes(1000), np.dtype(dtype)).matrix(m, 0, 0))


def test_jointly_drawn_columns_and_bernoulli() -> None:
    p = program(
        "width n\nz[n, 3] ~ normal([1, 2, 3], [[2, 1, 1], [1, 1, 0], [1, 0, 1]])\nb[n] ~ bernoulli(0.25)\nshow <z|z>\nshow avg(b)\n"
    )
    draws = Draws(1, 0, Sizes(100_000), DOUBLE)
    z, b = (draws.value(v) for v in p.values if isinstance(v, InitVector))
    np.testing.assert_allclose(np.cov(z.T), [[2, 1, 1], [1, 1, 0], [1, 0, 1]], atol=0.03)
    np.testing.assert_allclose(z.mean(axis=0), [1, 2, 3], atol=0.02)
    assert set(np.unique(b)) == {0.0, 1.0} and abs(b.mean() - 0.25) < 0.01


@pytest.mark.parametrize(("n", "expected"), [(1, (1, 1)), (7, (7, 2)), (1023, (1023, 256)), (8, (8, 2))])
def test_sizes_keep_their_ratios(n: int, expected: tuple[int, int]) -> None:
    widths = [Width("n"), Width("k", Fraction(1, 4))]
    sizes = Sizes(n)
    assert tuple(sizes.of(w) for w in widths) == expected
    assert [w.name for w in sizes.rounded(widths)] == (["k"] if n % 4 else [])


def test_runs_are_reproducible_and_few_runs_are_the_first_of_many() -> None:
    p = program(TUPLES)
    few, many, again = (Simulator(p, Settings(seeds, 5)).simulate(8) for seeds in (2, 4, 4))
    for a, b, c in zip(few.samples, many.samples, again.samples, strict=True):
        assert np.array_equal(b.values, c.values)
        assert np.array_equal(a.values, b.values[:2])
    other = Simulator(p, Settings(2, 6)).simulate(8)
    assert not np.array_equal(few.samples[0].values, other.samples[0].values)


def test_draws_do_not_depend_on_what_else_is_shown() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nW[n, n] ~ normal(0, 1/n)\nshow <x|W @ x>\n"
    alone = Simulator(program(text), Settings(1)).simulate(16).samples[0]
    together = Simulator(program(text + "show <W @ x|W @ tanh(x)>\nshow avg(W.T @ x)\n"), Settings(1)).simulate(16)
    assert np.array_equal(alone.values, together.samples[0].values)


def test_float32_is_close_to_float64_in_law() -> None:
    p = program((EXAMPLES / "first.nxt").read_text(encoding="utf-8"))
    single, double = (Simulator(p, Settings(20, 0, d)).simulate(256) for d in ("float32", "float64"))
    a, b = single.samples[0].values, double.samples[0].values
    error = np.hypot(a.std(axis=0), b.std(axis=0)) / 20**0.5
    assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error)
    assert np.all(a == a.astype(np.float32).astype(float)) or a.dtype == float


def test_a_fluctuation_is_root_m_times_the_average_of_its_own_width() -> None:
    p = program("width n\nwidth m = 4*n\nx[m] ~ normal(0, 1)\nshow sqrt(n) * avg(x)\n")
    values = Simulator(p, Settings(400)).simulate(64).samples[0].values
    assert abs(values.std() - 0.5) < 0.06


# ---------------------------------------------------------------------------- covariances

OUTPUTS = """
width n
const X = [[1, 0], [1, 1]]
U[n, 2] ~ normal(0, 1)
v[n] ~ normal(0, 2)
w[n] ~ normal(0, 1)
c[2] ~ normal(0, [0.5, 1])
x = tanh(U @ X.T)
f = sqrt(n) * <v|x> + c
g = sum(3 * f) + sqrt(n) * avg(w * x[0]) - 1
show cov([f[0], f[1], g])
show cov(f^2)
show dist(f)
"""


def test_covariance_of_linear_outputs_is_taken_given_the_rest() -> None:
    linear, square, _ = Simulator(program(OUTPUTS), Settings(8)).simulate(2000).samples
    assert linear.conditional and not square.conditional
    z = np.random.default_rng(0).standard_normal((2, 400_000))
    x = np.tanh(np.array([[1, 0], [1, 1]]) @ z)
    k = 2 * x @ x.T / 400_000 + np.diag([0.5, 1])
    t = np.array([[1, 0], [0, 1], [3, 3]])
    expected = t @ k @ t.T
    expected[2, 2] += (x[0] ** 2).mean()
    error = linear.values.std(axis=0, ddof=1) / 8**0.5
    assert np.all(np.abs(linear.values.mean(axis=0) - expected) < 5 * error + 1e-2)
    assert np.all(error < 0.05 * np.sqrt(np.multiply.outer(np.diag(expected), np.diag(expected))))


def test_values_that_share_their_parts_are_taken_once() -> None:
    """A doubling that is written as a sum sixty times over: 2^60 paths, sixty values."""
    text = "width n\nv[n] ~ normal(0, 1)\nf = sqrt(n) * avg(v)\nfor t in range(60):\n    f = f / 2 + where(t < 3, f, 0) / 2 + f / 2 * (t >= 3)\nshow cov(f)\n"
    (sample,) = Simulator(program(text), Settings(20)).simulate(500).samples
    assert sample.conditional and abs(sample.values.mean() - 1) < 0.1


def test_other_covariances_are_sample_covariances() -> None:
    _, square, draws = Simulator(program(OUTPUTS), Settings(50)).simulate(32).samples
    assert square.random and draws.random
    f = draws.values[:, 0]
    np.testing.assert_allclose(square.values.mean(axis=0), np.cov((f**2).T), rtol=1e-10)


# ---------------------------------------------------------------------------- memory


def test_no_copy_of_a_matrix_and_no_array_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    p = program("""width n
W[n, n] ~ normal(0, 1/n)
V[n, n] ~ uniform(0, 1/n)
x[n] ~ normal(0, 1)
h = W.T @ tanh(W @ x)
g = V @ h
z[i] = avg[j](tanh(g[i] * x[j]) * h[j])
show <z|g>
""")
    n = 2000
    simulator = Simulator(p, Settings(1))
    simulator.simulate(16)
    tracemalloc.start()
    simulator.simulate(n)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    needed = bytes_needed(plan([p.shows[0].value]), Sizes(n), 8)
    matrix = 8 * n * n
    assert matrix < most < 2 * matrix + 8e6  # one matrix at a time, or two while the second is drawn; blocks are 4 MB
    assert most < 1.05 * needed


def test_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = command("simulate", str(EXAMPLES / "first.nxt"), "--width", "1e6")
    assert status == 1 and not out
    assert "NX505" in err and "TiB" not in err and "needs" in err and "has" in err
    monkeypatch.setattr(simulation, "available_memory", lambda: 1000)
    status, _, err = command("verify", str(EXAMPLES / "first.nxt"), "--widths", "16,32")
    assert status == 1 and "NX505" in err


def test_pairs_are_computed_again_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    p = program(ADAM)
    roomy = Simulator(p, Settings(1)).simulate(64)
    small = bytes_needed(plan([s.value for s in p.shows], False), Sizes(64), 8)
    monkeypatch.setattr(simulation, "available_memory", lambda: int((small + 2000) / simulation.MEMORY_SHARE))
    tight = Simulator(p, Settings(1)).simulate(64)
    for a, b in zip(roomy.samples, tight.samples, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------------- the command


def test_simulate_prints_means_errors_and_deviations() -> None:
    status, out, err = command("simulate", str(EXAMPLES / "bottleneck.nxt"), "--width", "102", "--seeds", "3")
    assert status == 0 and not err
    assert out.startswith("n = 102, k = 26 (rounded from 25.5); 3 runs\n") and "sd over runs" in out


def test_simulate_as_json() -> None:
    status, out, _ = command("simulate", str(EXAMPLES / "rnn_nngp.nxt"), "--width", "64", "--seeds", "4", "--json")
    answer = json.loads(out)
    assert status == 0 and answer["width"] == 64 and answer["seeds"] == 4 and answer["widths"] == {"n": 64}
    kernel, covariance = answer["results"]
    assert kernel["method"] == "simulated" and np.shape(kernel["value"]) == np.shape(kernel["deviation"]) == (2, 2)
    np.testing.assert_allclose(np.array(kernel["deviation"]) / 2, kernel["stderr"])
    assert covariance["kind"] == "covariance" and covariance["estimator"] == "conditional"
    status, out, _ = command("simulate", str(EXAMPLES / "first.nxt"), "--width", "32", "--seeds", "1", "--json")
    shown = json.loads(out)["results"]
    assert status == 0 and shown[0]["stderr"] == [[None, None], [None, None]]
    assert set(shown[1]["quantiles"]) == {"0.05", "0.25", "0.5", "0.75", "0.95"}


def test_a_series_has_the_loops_axis_first() -> None:
    _, out, _ = command("simulate", str(EXAMPLES / "resnet20.nxt"), "--width", "16", "--seeds", "2", "--json")
    assert json.loads(out)["results"][0]["shape"] == [20, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "--width", "0"], "at least 1"),
        (["simulate", "--width", "1.5"], "whole number"),
        (["simulate", "--width", "many"], "whole number"),
        (["simulate", "--seeds", "0"], "at least 1"),
        (["simulate", "--dtype", "int8"], "float32"),
        (["simulate", "--widths", "16,32"], "`nexort verify`"),
        (["simulate", "--plot", "a.svg"], "`nexort verify`"),
        (["verify", "--width", "16"], "`nexort simulate`"),
        (["verify", "--widths", "16"], "at least two"),
        (["verify", "--widths", "16,0"], "at least 1"),
        (["verify", "--widths", "16,,32"], "whole number"),
        (["verify", "--widths", "16,16"], "at least two"),
        (["verify", "--seeds", "1"], "at least 2"),
        (["check", "--seeds", "3"], "`nexort simulate`"),
    ],
)
def test_bad_options(words: list[str], message: str) -> None:
    status, _, err = command(words[0], str(EXAMPLES / "first.nxt"), *words[1:])
    assert status == 2 and "NX507" in err and message in " ".join(err.split())


def test_a_wrong_program_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.nxt").write_text("width n\nshow x\n")
    for name in ("simulate", "verify"):
        status, out, err = command(name, str(tmp_path / "a.nxt"))
        assert status == 1 and not out and "NX101" in err
