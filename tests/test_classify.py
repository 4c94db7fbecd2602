"""`nexort classify` as a user meets it: named tables, what it prints, JSON, mistakes; and the rules for orders of magnitude that are not in the grid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from classified import activity, classified, parameter

from nexortlang.classify.remedies import remedies
from nexortlang.cli import main

DOCS = Path(__file__).resolve().parent.parent / "docs" / "classify.md"

NAMED = """\
width n
from params import standard, neural_tangent, maximal_update, variance, rate, gain, input, hidden, output
from optim import OPTIMIZER
const P = TABLE
U[n] ~ normal(0, variance(n, P[input]))
W[n, n] ~ normal(0, variance(n, P[hidden]))
v[n] ~ normal(0, variance(n, P[output]))
for t in range(3):
    f = n * <v | tanh(W @ tanh(U))>
    L = (f - 1)^2
    U -= 0.1 * rate(n, P[input]) * OPTIMIZER(gain(n, P[input]) * grad(L, U))
    W -= 0.1 * rate(n, P[hidden]) * OPTIMIZER(gain(n, P[hidden]) * grad(L, W))
    v -= 0.1 * rate(n, P[output]) * OPTIMIZER(gain(n, P[output]) * grad(L, v))
"""
OPTIMIZERS = [
    "sgd",
    "momentum",
    "nesterov",
    "sign_sgd",
    "smooth_sign_sgd",
    "rmsprop",
    "adagrad",
    "adadelta",
    "adam",
    "adam_inside",
    "amsgrad",
    "adamw",
    "nadam",
    "adamax",
    "lion",
]


def named(table: str, optimizer: str) -> str:
    return NAMED.replace("TABLE", table).replace("OPTIMIZER", optimizer)


# ---------------------------------------------------------------------------- stdlib/params.nxt, stdlib/optim.nxt


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("table", "regime"), [("neural_tangent", "operator"), ("maximal_update", "feature learning")])
def test_named_tables(table: str, regime: str, optimizer: str) -> None:
    found = classified(named(table, optimizer))
    assert found.regime == regime
    assert (remedies(found) == []) == (regime == "feature learning")


@pytest.mark.parametrize(
    ("optimizer", "regime"), [("sgd", "unstable"), ("sign_sgd", "unstable"), ("adam", "unfaithful")]
)
def test_the_standard_table(optimizer: str, regime: str) -> None:
    assert classified(named("standard", optimizer)).regime == regime


def test_the_standard_table_with_sign_descent_moves_features_and_is_unstable() -> None:
    """c = 1 everywhere: features move by order 1, the output by sqrt(n) (an erratum of the paper's Remark 2.2.7). With (1/2, 3/2, 1) it is stable."""
    table = "[[0, 0, {}, 0], [0, 1/2, {}, 0], [0, 1/2, {}, 0]]"
    found = classified(named(table.format(0, 1, 1), "sign_sgd"))
    assert (found.regime, found.features_move, activity(found, "f").change) == ("unstable", True, 0.5)
    found = classified(named(table.format("1/2", "3/2", 1), "sign_sgd"))
    assert (found.regime, activity(found, "f").change) == ("operator", 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_are_homogeneous_or_not(optimizer: str) -> None:
    degree = parameter(classified(named("maximal_update", optimizer)), "W").degree
    known = {"sgd": 1, "momentum": 1, "nesterov": 1, "sign_sgd": 0, "lion": 0}
    assert degree == known.get(optimizer)


# ---------------------------------------------------------------------------- what programs may do

NET = """\
width n
from optim import adam
U[n] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
for t in range(3):
    f = <v | tanh(W @ tanh(U))>
    L = (f - 1)^2
    U -= 0.1 * adam(n * grad(L, U))
    W -= 0.1/n * adam(n * grad(L, W))
    v -= 0.1 * adam(n * grad(L, v))
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v -= 0.1 * adam", "v = v - 0.1 * adam"),
        ("W -= 0.1/n * adam", "W = 0.9 * W - 0.1/n * adam"),
        ("    U -=", "    U *= 0.9\n    W *= 0.9\n    U -="),
        ("    W -= 0.1/n * adam(n * grad(L, W))", "    G = n * grad(L, W)\n    W[i, j] -= 0.1/n * sign(G[i, j])"),
        ("adam(n * grad(L, W))", "adam(n * grad(L, W) / sqrt(avg((n * grad(L, W))^2)))"),
        ("adam(n * grad(L, W))", "adam(min(1, 1 / sqrt(avg((n * grad(L, W))^2))) * n * grad(L, W))"),
        ("f = <v", "f = <v | tanh(W @ tanh(0.5 * U))> + <v"),
        ("W[n, n] ~ normal", "W[n, n] ~ rademacher"),
    ],
)
def test_the_maximal_update_in_other_words(old: str, new: str) -> None:
    assert old in NET
    found = classified(NET.replace(old, new))
    assert found.regime == "feature learning"
    assert remedies(found) == []


def test_an_update_without_an_optimizer_is_judged_by_what_it_compares() -> None:
    text = NET.replace("0.1/n * adam(n * grad(L, W))", "0.1/n * (n * grad(L, W)) / (abs(n * grad(L, W)) + 1)")
    assert classified(text).regime == "feature learning"
    found = classified(text.replace("abs(n *", "abs("))
    assert found.regime == "unfaithful"
    assert parameter(found, "W").gradient == -1


def test_a_readout_that_starts_at_zero() -> None:
    found = classified(NET.replace("v[n] ~ normal(0, 1)", "v = zeros(n)"))
    assert (found.regime, remedies(found)) == ("feature learning", [])
    assert activity(found, "f").start == float("-inf")


def test_a_trained_program_may_be_shown_after_one_step() -> None:
    once = NET.replace("range(3)", "range(1)")
    shown = classified(once + "show <v | tanh(W @ tanh(U))>\n")
    assert shown.regime == "feature learning"


def test_frozen_layers_have_no_row_among_parameters() -> None:
    text = "\n".join(line for line in NET.splitlines() if not line.strip().startswith(("U -=", "W -=")))
    found = classified(text + "\n")
    assert [p.name for p in found.parameters] == ["v"]
    assert found.regime == "operator"


def test_a_long_run_is_followed_as_long_as_powers_change() -> None:
    found = classified(NET.replace("range(3)", "range(1000)") + "show <v | tanh(W @ tanh(U))> as last\n")
    assert (found.regime, found.left_out) == ("feature learning", 988)
    assert classified(NET.replace("range(3)", "range(12)")).left_out == 0


def test_loops_within_loops_are_left_together() -> None:
    lines = NET.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("for"))
    nested = [*lines[:start], "for epoch in range(5):", *("    " + line for line in lines[start:])]
    found = classified("\n".join(nested).replace("range(3)", "range(9)") + "\n")
    assert (found.regime, found.left_out) == ("feature learning", 6 + 3)


# ---------------------------------------------------------------------------- the command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.nxt"
    path.write_text(named("neural_tangent", "adam"), encoding="utf-8")
    return path


def test_the_report(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(file)]) == 0
    assert capsys.readouterr().out == GOLDEN


GOLDEN = """\
                     before training  change by training
activations
  U                  1                1/sqrt(n)
  W @ tanh(U)        1                1/sqrt(n)
  tanh(W @ tanh(U))  1                1/sqrt(n)
outputs
  f                  1                1

parameters   gradient seen at first  later  effect of updates  on
  U, vector  1 by adam               1      1/sqrt(n)          U
  W, matrix  1 by adam               1      1/sqrt(n)          W @ tanh(U)
  v, vector  1 by adam               1      1                  f

Operator regime: outputs change by order 1, activations by 1/sqrt(n); features
stay as they are drawn.

To get the maximal update:
  multiply f by 1/sqrt(n)
  multiply the gradient of U that the optimizer sees by sqrt(n)
  multiply the learning rate of U by sqrt(n)
  multiply the gradient of W that the optimizer sees by sqrt(n)
  multiply the learning rate of W by sqrt(n)
  multiply the gradient of v that the optimizer sees by sqrt(n)
  multiply the learning rate of v by sqrt(n)
"""


def test_the_manual_shows_what_its_program_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, printed = re.findall(r"```text\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)[:2]
    (tmp_path / "net.nxt").write_text(program, encoding="utf-8")
    assert main(["classify", str(tmp_path / "net.nxt")]) == 0
    assert capsys.readouterr().out == printed


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["regime"] == "operator"
    flags = ["stable_at_start", "faithful_at_start", "stable", "faithful", "nontrivial", "maximal"]
    assert found["passes_left_out"] == 0
    assert [found[k] for k in flags] == [True, True, True, True, True, False]
    assert found["quantities"][-1] == {
        "name": "f",
        "role": "output",
        "argument_of_nonlinearity": False,
        "start": "0",
        "change": "0",
    }
    assert found["parameters"][1] == {
        "name": "W",
        "kind": "matrix",
        "optimizer": "adam",
        "gradient": "0",
        "gradient_later": "0",
        "degree": None,
        "faithful": True,
        "effect": "-1/2",
        "on": "W @ tanh(U)",
    }
    assert found["changes"][0] == {"what": "output", "name": "f", "multiply_by": "-1/2"}


def test_settings_reach_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.nxt"
    path.write_text(NET.replace("width n\n", "width n\nconst c = 1\n").replace("0.1/n", "n^(-c)"), encoding="utf-8")
    for c, regime in ((1, "feature learning"), (0.5, "unstable")):
        assert main(["classify", str(path), "--json", "--set", f"c={c}"]) == 0
        assert json.loads(capsys.readouterr().out)["regime"] == regime


@pytest.mark.parametrize("line", ["no gradient", "x = <v|v>"])
def test_a_program_that_trains_nothing(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.nxt"
    path.write_text("width n\nv[n] ~ normal(0, 1)\n" + (line + "\n" if "=" in line else "show <v|v>\n"))
    assert main(["classify", str(path), "--json"]) == 1
    assert [d["code"] for d in json.loads(capsys.readouterr().out)["diagnostics"]] == ["NX245"]


def test_updates_that_nothing_comes_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.nxt"
    path.write_text(NET.replace("range(3)", "range(1)"))
    assert main(["classify", str(path)]) == 1
    answer = capsys.readouterr().err
    assert "NX245" in answer and "two steps" in answer


def test_other_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.nxt"
    path.write_text(NET.replace("tanh(U)", "tanh(Z)"))
    assert main(["classify", str(path)]) == 1
    assert "NX101" in capsys.readouterr().err
    assert main(["classify"]) == 2
    assert main(["classify", str(path), "--widths", "64,128"]) == 2


def test_a_scalar_beside_a_vector_that_starts_at_zero() -> None:
    """What is left of b + c before training is a constant vector."""
    text = NET.replace("v[n] ~", "c ~ normal(0, 1)\nb = zeros(n)\nv[n] ~").replace(
        "tanh(U))>", "tanh(U) + tanh(b + c))>"
    )
    found = classified(text + "    b -= 0.1 * adam(n * grad(L, b))\n    c -= 0.1 * adam(grad(L, c))\n")
    assert (found.regime, remedies(found)) == ("feature learning", [])
    assert (activity(found, "b + c").start, activity(found, "b + c").change) == (0, 0)
