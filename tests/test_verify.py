"""The verdict: right limits are not called wrong by chance, wrong ones are found, and the command says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from limits import command

from nexortlang.compare.bias import bias_rate
from nexortlang.compare.statistics import Series, deviations, extrapolate, slope, threshold
from nexortlang.core.program import Program
from nexortlang.driver import Request, check
from nexortlang.kets import engine
from nexortlang.kets.results import Distribution, Estimate, LimitResult, Options
from nexortlang.source import Source

EXAMPLES = Path(__file__).parent.parent / "examples"
FIRST = str(EXAMPLES / "first.nxt")
WIDTHS = np.array([256.0, 512.0, 1024.0, 2048.0])


def program(text: str) -> Program:
    outcome = check(Source("test.nxt", text), Request())
    assert outcome.program is not None, outcome.diagnostics
    return outcome.program


# ---------------------------------------------------------------------------- statistics


def series(rng: np.random.Generator, bias: np.ndarray, seeds: int, numbers: int, rate: float = 0.5) -> Series:
    """Runs of numbers whose limit is 0: Gaussian scatter n^(−rate), and a bias per width."""
    spread = WIDTHS**-rate
    runs = bias[None, :, None] + spread[None, :, None] * rng.standard_normal((seeds, len(WIDTHS), numbers))
    return Series(WIDTHS, runs.mean(axis=0), runs.std(axis=0, ddof=1) / seeds**0.5, seeds - 1)


def judged(
    s: Series, rate: float = 1.0, limit: float = 0.0, error: float = 0.0, freedom: float = np.inf, spread: float = 0.5
) -> np.ndarray:
    count = s.means.shape[1]
    return deviations(
        extrapolate(s, rate, spread), np.full(count, limit), np.full(count, error), freedom, np.full(count, 1e-12)
    )


@pytest.mark.parametrize("seeds", [3, 10, 20])
@pytest.mark.parametrize(("size", "power"), [(0.0, 1.0), (3.0, 1.0), (0.5, 0.5)])
def test_a_right_program_of_a_hundred_numbers_is_not_called_wrong(seeds: int, size: float, power: float) -> None:
    rng = np.random.default_rng(seeds)
    families = 300
    off = judged(series(rng, size * WIDTHS**-power, seeds, 100 * families), power).reshape(families, 100)
    wrong = np.mean(np.abs(off).max(axis=1) > threshold(100))
    assert wrong <= 0.03  # 1 in 100, and the scatter of 300 families
    assert 0.6 < off.std() < 1.1


@pytest.mark.parametrize("seeds", [10, 20])
def test_a_limit_that_is_off_by_more_than_its_error_is_found(seeds: int) -> None:
    rng = np.random.default_rng(0)
    s = series(rng, 2.0 / WIDTHS, seeds, 1000)
    reported = float(np.median(extrapolate(s, 1.0).errors))
    found = np.abs(judged(s, limit=7 * reported)) > threshold(100)
    assert found.mean() > 0.9
    alone = np.abs(judged(s, limit=5 * reported)) > threshold(1)
    assert alone.mean() > 0.9


def test_the_limits_own_error_counts() -> None:
    s = series(np.random.default_rng(1), 0.0 * WIDTHS, 20, 500)
    assert np.all(np.abs(judged(s, limit=0.3, error=0.3, freedom=7.0)) < threshold(500))
    assert np.all(np.abs(judged(s, limit=0.3)) > threshold(500))


def test_numbers_without_scatter_are_extrapolated() -> None:
    """exp(1/n) + 1/n² tends to 1: what is left of the bias after the fit is no disagreement; another limit is one."""
    means = (np.exp(1 / WIDTHS) + WIDTHS**-2)[:, None]
    s = Series(WIDTHS, means, np.zeros_like(means), 9)
    assert abs(judged(s, limit=1.0)[0]) < threshold(1)
    assert abs(judged(s, limit=1.001)[0]) > threshold(1)


def test_random_scalars_spread_alike_at_all_widths() -> None:
    s = series(np.random.default_rng(2), 0.0 * WIDTHS, 20, 20_000, rate=0.0)
    assert 0.9 < judged(s, spread=0.0).std() < 1.1


def test_what_is_no_number_is_infinitely_far() -> None:
    nan = np.full((4, 2), np.nan)
    assert np.all(np.isinf(judged(Series(WIDTHS, nan, nan, 9))))


def test_what_differs_by_rounding_agrees_whatever_its_error() -> None:
    same = Series(WIDTHS, np.full((4, 2), 1e-13), np.zeros((4, 2)), 9)
    with np.errstate(invalid="ignore"):
        assert np.all(judged(same, error=np.inf, freedom=7.0) == 0.0)


def test_slopes() -> None:
    assert slope(WIDTHS, 3 * WIDTHS**-0.5) == pytest.approx(-0.5)
    assert slope(WIDTHS, np.zeros(4)) == -0.5
    assert threshold(1) == pytest.approx(2.5758, abs=1e-3) and threshold(100) == pytest.approx(3.8906, abs=1e-3)


@pytest.mark.parametrize(
    ("shown", "rate"),
    [
        ("<x|x>", 1.0),
        ("avg(relu(W @ x))", 1.0),
        ("avg(x + y/sqrt(n))", 0.5),
        ("avg(x + n^(-0.25) * y)", 0.25),
        ("1 + <x|x>/n", 1.0),
        ("abs(avg(x))", 0.5),
        ("max([avg(x), avg(y)])", 0.5),
        ("avg(relu(R @ x))", 0.5),
        ("avg(tanh(R @ x))", 1.0),
    ],
)
def test_the_rate_of_a_bias_is_read_off_the_program(shown: str, rate: float) -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ny[n] ~ normal(0, 1)\nW[n, n] ~ normal(0, 1/n)\nR[n, n] ~ rademacher(0, 1/n)\n"
    (show,) = program(f"{text}show {shown}\n").shows
    assert bias_rate([show.value]) == rate


# ---------------------------------------------------------------------------- the command

KINDS = """
width n
x[n] ~ normal(1, 1)
v[n] ~ normal(0, 1)
W[n, n] ~ laplace(0, 1/n)
c ~ uniform(0, 1)
h = tanh(W @ x)
f = sqrt(n) * <v|h> + c
for t in range(3):
    x = W.T @ h + x/2
    show <x|x> as norms
show dist(relu(x))
show dist(f)
show cov(f)
show cov(f^2)
show f^2 as squared
one[n] ~ normal(1, 0)
show <one|one> + 1/n as almost_one
show dist(one)
show dist(one * avg(h))
"""


def verified(folder: Path, text: str, *options: str) -> tuple[int, dict]:  # type: ignore[type-arg]
    (folder / "a.nxt").write_text(text, encoding="utf-8")
    status, out, _ = command("verify", str(folder / "a.nxt"), "--json", *options)
    return status, json.loads(out)


def test_every_kind_of_show_agrees(tmp_path: Path) -> None:
    status, answer = verified(tmp_path, KINDS, "--widths", "64,128,256", "--seeds", "20")
    assert status == 0 and answer["agree"], [(r["name"], r["deviation"]) for r in answer["results"]]
    by_name = {r["name"]: r for r in answer["results"]}
    assert by_name["norms"]["shape"] == [3] and np.shape(by_name["norms"]["parts"][0]["mean"]) == (3, 3)
    assert abs(by_name["norms"]["spread_rate"] + 0.5) < 0.4
    assert abs(by_name["squared"]["spread_rate"]) < 0.4
    assert [p["part"] for p in by_name["dist(relu(x))"]["parts"]][-1] == "distance"
    assert [p["part"] for p in by_name["dist(f)"]["parts"]][2] == "share below 5%"
    assert answer["numbers"] == sum(np.size(p["limit"]) for r in answer["results"] for p in r["parts"])


def test_quantiles_at_an_atom_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.limit

    def without_density(*arguments: object) -> LimitResult:
        """The limit with the error that division by no density gives."""
        found = real(*arguments)  # type: ignore[arg-type]
        (answer,) = found.shows
        assert isinstance(answer, Distribution) and answer.curve is not None
        return replace(found, shows=[replace(answer, curve_stderr=np.full(answer.curve.shape, np.inf))])

    monkeypatch.setattr(engine, "limit", without_density)
    text = "width n\nm[n, 2] ~ bernoulli(0.8)\nshow dist(m)\n"
    _, answer = verified(tmp_path, text, "--widths", "256,512,1024", "--seeds", "10")
    quantiles = [p for p in answer["results"][0]["parts"] if "quantile" in p["part"]]
    assert len(quantiles) == 5 and all(abs(d) < answer["threshold"] for p in quantiles for d in p["deviation"])
    assert quantiles[0]["deviation"] == quantiles[-1]["deviation"] == [0.0, 0.0]


SMALL = """
width n
x[n] ~ normal(0, 1)
W[n, n] ~ normal(0, 2/n)
v[n] ~ normal(0, 1)
h = W @ tanh(x)
show <h|h> as k
show dist(h)
show cov(sqrt(n) * <v|relu(h)>) as nngp
"""


def falsified(result: LimitResult, kind: str) -> LimitResult:
    """A limit that is wrong in one way."""
    scalar, distribution, covariance = result.shows
    assert isinstance(scalar, Estimate) and isinstance(distribution, Distribution) and isinstance(covariance, Estimate)
    match kind:
        case "scalar":
            scalar = Estimate(scalar.value * 1.08, scalar.stderr, "exact")
        case "covariance":
            covariance = Estimate(covariance.value * 1.4, covariance.stderr, "exact")
        case "distribution":  # a uniform law of the same mean and variance
            assert distribution.curve is not None
            width = (12.0 * distribution.variance) ** 0.5
            p = (np.arange(200) + 0.5) / 200
            distribution = Distribution(
                distribution.mean,
                distribution.variance,
                {q: (q - 0.5) * width for q in distribution.quantiles},
                distribution.skewness,
                distribution.kurtosis,
                distribution.stderr,
                "exact",
                (p - 0.5) * width,
            )
    return LimitResult([scalar, distribution, covariance], [], True)


@pytest.mark.parametrize("kind", ["right", "scalar", "distribution", "covariance"])
def test_a_wrong_limit_is_found(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = engine.limit(program(SMALL), Options())

    def limit(*_: object) -> LimitResult:
        return right if kind == "right" else falsified(right, kind)

    monkeypatch.setattr(engine, "limit", limit)
    status, answer = verified(tmp_path, SMALL, "--widths", "128,256,512", "--seeds", "20")
    wrong = [
        k for k, r in zip(("scalar", "distribution", "covariance"), answer["results"], strict=True) if not r["agrees"]
    ]
    assert wrong == ([] if kind == "right" else [kind])
    assert status == (0 if kind == "right" else 1)
    codes = [d["code"] for d in answer.get("diagnostics", [])]
    assert codes == ([] if kind == "right" else ["NX306"])


def test_the_report_says_what_was_found() -> None:
    status, out, err = command("verify", FIRST, "--widths", "32,64,128", "--seeds", "5")
    assert status == 0 and not err
    assert "K  (exact): agrees" in out and "rate" in out and "extrapolated" in out
    assert "24 numbers, 5 runs at each of 3 widths: limit and finite widths agree" in " ".join(out.split())
    status, out, _ = command("verify", FIRST, "--widths", "32,64", "--seeds", "2", "--quiet")
    assert status == 0 and not out


def test_a_failed_assert_counts(tmp_path: Path) -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nshow <x|x>\nassert <x|x> ~= 2 within 1e-3\n"
    status, answer = verified(tmp_path, text, "--widths", "32,64", "--seeds", "3")
    assert status == 1 and [d["code"] for d in answer["diagnostics"]] == ["NX304"] and answer["agree"]


def test_nothing_to_compare(tmp_path: Path) -> None:
    status, answer = verified(tmp_path, "width n\nx[n] ~ normal(0, 1)\n", "--widths", "32,64", "--seeds", "3")
    assert status == 0 and answer["results"] == [] and answer["agree"]


def test_the_plot(tmp_path: Path) -> None:
    file = tmp_path / "out.svg"
    status, _, _ = command("verify", FIRST, "--widths", "32,64,128", "--seeds", "4", "--plot", str(file))
    assert status == 0
    root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    texts = ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"32", "64", "128", "K", "dist(h2)", "width n", "slope n^(−1/2)"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 6
    status, _, err = command(
        "verify", FIRST, "--widths", "8,16", "--seeds", "2", "--plot", str(tmp_path / "no" / "a.svg")
    )
    assert status == 1 and "NX501" in err


def test_the_same_seed_gives_the_same_verdict() -> None:
    once, again = (command("verify", FIRST, "--widths", "16,32", "--seeds", "3", "--seed", "7", "--json") for _ in "ab")
    assert once == again


def test_widths_that_do_not_approach_the_limit_are_found(tmp_path: Path) -> None:
    """What Adam does to a gradient that tends to 0: 0 in the limit, a sign at every width that a machine can hold."""
    text = "width n\nx[n] ~ normal(0, 1)\ng = avg(x)\nshow (g / (abs(g) + 1e-8))^2 as step\n"
    status, answer = verified(tmp_path, text, "--widths", "32,64,128", "--seeds", "5")
    (diagnostic,) = answer["diagnostics"]
    assert (
        status == 1
        and diagnostic["code"] == "NX306"
        and "expected step to tend to 0, found 0.999" in diagnostic["message"]
    )


def test_runs_that_scatter_around_the_limit_at_every_width_are_found(tmp_path: Path) -> None:
    """A sign of what tends to 0: the mean over runs is the limit, no run is near it."""
    text = "width n\nx[n] ~ normal(0, 1)\ng = avg(x)\nshow g / (abs(g) + 1e-8) as step\nshow g\n"
    status, answer = verified(tmp_path, text, "--widths", "32,64,128", "--seeds", "5")
    step, mean = answer["results"]
    value, square = step["parts"]
    assert status == 1 and not step["agrees"] and mean["agrees"]
    assert square["part"] == "squared distance" and square["deviation"] > answer["threshold"] > abs(value["deviation"])


@pytest.mark.parametrize("seeds", [3, 20])
@pytest.mark.parametrize("rate", [0.5, 0.25])
def test_squared_distances_that_fall_are_not_called_wrong(seeds: int, rate: float) -> None:
    rng = np.random.default_rng(seeds)
    squares = (WIDTHS[None, :, None] ** -rate * rng.standard_normal((seeds, 4, 100 * 300))) ** 2
    s = Series(WIDTHS, squares.mean(axis=0), squares.std(axis=0, ddof=1) / seeds**0.5, seeds - 1)
    wrong = judged(s, rate=0.5, spread=1.0).reshape(300, 100).max(axis=1) > threshold(100)
    assert wrong.mean() <= 0.03


def test_one_run_is_shown_without_errors(tmp_path: Path) -> None:
    (tmp_path / "a.nxt").write_text(
        "width n\nx[n] ~ normal(0, 1)\nf = sqrt(n) * avg(x)\nshow exp(1000 * f^2) as big\nshow cov(f^2)\n"
    )
    status, out, err = command("simulate", str(tmp_path / "a.nxt"), "--width", "16", "--seeds", "1", "--json")
    assert status == 0 and not err
    assert all(np.all(np.equal(r["deviation"], None)) for r in json.loads(out)["results"])


def test_executions_of_a_show_that_are_measured_differently_are_joined(tmp_path: Path) -> None:
    """cov(f) is linear in the fluctuation at first, so that each run says it; then it is the scatter of the runs."""
    path = tmp_path / "scalar.nxt"
    text = "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nf = sqrt(n) * <v|tanh(x)>\nfor t in range(2):\n    show cov(f)\n    f = sin(f)\n"
    path.write_text(text, encoding="utf-8")
    status, out, err = command("verify", str(path), "--json", "--widths", "64,128,256", "--seeds", "20")
    assert status == 0, (out, err)
    (shown,) = json.loads(out)["results"]
    assert [part["part"] for part in shown["parts"]] == ["covariance"] and shown["shape"][0] == 2


def test_adam_on_a_gradient_that_vanishes_in_the_limit_disagrees_unless_eps_is_larger(tmp_path: Path) -> None:
    """Adam's first step along a gradient of mean 0 is 0 in the limit; ±1 at every width if eps is far below its fluctuation, as NX306 tells."""
    text = """
width n
from optim import adam
x[n] ~ normal(0, 1)
c ~ normal(1, 0)
L = c * avg(x)
c -= 0.1 * adam(grad(L, c), eps = {eps})
show (c - 1)^2 as moved
"""
    found = {}
    for eps in ("1e-8", "10"):
        path = tmp_path / "vanishing.nxt"
        path.write_text(text.replace("{eps}", eps), encoding="utf-8")
        found[eps], _, _ = command("verify", str(path), "--json", "--widths", "64,128,256", "--seeds", "10")
    assert found == {"1e-8": 1, "10": 0}
