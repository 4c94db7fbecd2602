"""Every program of examples/ runs, and its own asserts hold; its numbers say how they were obtained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from limits import Shown, command, limits_of_file

EXAMPLES = Path(__file__).parent.parent / "examples"
ALL = sorted(EXAMPLES.glob("*.nxt"))
EXACT = [
    "first",
    "rnn_nngp",
    "layer_norm",
    "attention",
    "resnet20",
    "bottleneck",
    "semicircle",
    "marchenko_pastur",
    "gia_counterexample",
    "trained_sgd",
]
FEW_STEPS = {"diabetes_adam": ("--set", "T=10", "--samples", "256", "--tol", "5e-3")}
"""What takes minutes is run for fewer steps."""


def results(name: str) -> dict[str, Shown]:
    return {s.name: s for s in limits_of_file(EXAMPLES / f"{name}.nxt")}


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_example_runs_and_its_asserts_hold(path: Path) -> None:
    shown = limits_of_file(path, *FEW_STEPS.get(path.stem, ()))
    assert shown
    for s in shown:
        assert np.all(np.isfinite(s.value)) and np.all(s.stderr >= 0)
        assert s.method != "exact" or np.all(s.stderr == 0)


@pytest.mark.parametrize("name", EXACT)
def test_closed_forms_are_found(name: str) -> None:
    assert {s.method for s in results(name).values()} == {"exact"}


def test_first_program() -> None:
    shown = results("first")
    kernel, distribution = shown["K"], shown["dist(h2)"]
    assert kernel.kind == "scalar" and kernel.record["shape"] == [2, 2] and kernel.line == 13
    np.testing.assert_allclose(
        kernel.value, [[1 / 3, 0.227968550299569], [0.227968550299569, 1 / 3]], rtol=0, atol=1e-14
    )
    assert distribution.kind == "distribution" and distribution.record["shape"] == [2] and distribution.line == 14
    np.testing.assert_allclose(distribution.record["variance"], [2 / 3, 2 / 3], rtol=1e-13)
    np.testing.assert_allclose(distribution.record["quantiles"]["0.95"], 1.6448536269514722 * (2 / 3) ** 0.5, rtol=1e-9)


def test_rnn_covariance_of_the_readout() -> None:
    """⟨h|h⟩ plus the variance of the output bias."""
    shown = results("rnn_nngp")
    assert shown["nngp"].kind == "covariance"
    np.testing.assert_allclose(shown["nngp"].value, shown["q"].value + 0.2, rtol=1e-13)


def test_series_have_the_loops_axis_first() -> None:
    norms = results("resnet20")["norms"]
    assert norms.record["shape"] == [20, 2]
    np.testing.assert_allclose(norms.value[:, 0], 2 / 3 * (1 + 1 / 20) ** np.arange(1, 21), rtol=1e-13)
    np.testing.assert_allclose(results("semicircle")["even"].value, [1, 2, 5, 14, 42], rtol=1e-11)


def test_trained_network_against_the_closed_recursion() -> None:
    """Tensor Programs IV, theorem D.1: f = 0, 0.2, 0.36288, …; with a hidden matrix, free probability on words in W and Wᵀ."""
    shown = results("trained_sgd")
    np.testing.assert_allclose(
        shown["shallow"].value, [0, 0.2, 0.36288, 0.4979524861064, 0.6095535674448], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        shown["deep"].value, [0, 0.3, 0.52436687, 0.6970654149382, 0.8205261748979], rtol=0, atol=1e-12
    )


def test_power_iteration() -> None:
    expected = [1 / 2**0.5, 5 / 6, 0.848528137423857, 0.868926669545238, 0.866341875713067, 0.870590645236956]
    np.testing.assert_allclose(results("power_iteration")["overlap"].value, expected, rtol=1e-9)


def test_amp_follows_its_state_evolution() -> None:
    shown = results("amp")
    for name, expected in [
        ("tau2", [0.21, 0.0942291798076, 0.0564369147038]),
        ("mse", [0.0421145899038, 0.0232184573519, 0.0152880244575]),
    ]:
        assert np.all(np.abs(shown[name].value - expected) < 2e-3 + 3 * shown[name].stderr)


def test_counterexample_has_the_law_two_plus_two_normals() -> None:
    shown = results("gia_counterexample")["dist(dx)"]
    np.testing.assert_allclose(shown.record["mean"], 2, rtol=1e-12)
    np.testing.assert_allclose(shown.record["variance"], 4, rtol=1e-12)
    np.testing.assert_allclose(shown.record["quantiles"]["0.95"], 2 + 2 * 1.6448536269514722, rtol=1e-6)


def test_a_network_learns_from_the_diabetes_data() -> None:
    """Both losses fall, and a run of finite networks of width 256 falls along the same curve, up to its fluctuations."""
    shown = {s.name: s for s in limits_of_file(EXAMPLES / "diabetes_adam.nxt", *FEW_STEPS["diabetes_adam"])}
    train, test = shown["train"], shown["test"]
    assert train.value.shape == (10,) and test.value.shape == (1,)
    assert train.value[0] == pytest.approx(1, abs=1e-12) and np.all(np.diff(train.value) < -0.01)
    assert np.all(train.stderr <= 5e-3)
    status, out, _ = command(
        "simulate", str(EXAMPLES / "diabetes_adam.nxt"), "--width", "256", "--seeds", "4", "--set", "T=10", "--json"
    )
    assert status == 0
    runs = {r["name"]: np.array(r["value"]) for r in json.loads(out)["results"]}
    np.testing.assert_allclose(runs["train"], train.value, atol=0.1)


@pytest.mark.parametrize("name", ["ntp", "mup"])
def test_the_paper_s_experiment(name: str) -> None:
    """One step of each program: outputs start at 0 and move."""
    shown = limits_of_file(EXAMPLES / "paper_figures" / f"{name}.nxt", "--set", "T=1", "--samples", "256", "--tol", "1")
    f = next(s for s in shown if s.name == "f")
    assert f.value.shape == (2, 4) and not f.value[0].any() and f.value[1].all()
