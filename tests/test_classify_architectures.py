"""Architectures beyond multilayer perceptrons: the table for matrix, vector and scalar parameters (Tensor Programs IVb, Def. 2.9.11 and 2.9.12), and finite
networks, whose entries must scale with the width as `nexort classify` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from classified import classified, parameter, traced
from finite_reference import run

from nexortlang.classify.classification import Analysis
from nexortlang.classify.powers import NOTHING, Power
from nexortlang.classify.remedies import remedies
from nexortlang.core.program import Value

# Learning rate and gain for the weight itself: n^(−a−c) and n^(d−a) of the table.
NEURAL_TANGENT = {
    "out": "sqrt(n)",
    "matrix": ("n^(-3/2)", "sqrt(n)"),
    "vector": ("n^(-1/2)", "sqrt(n)"),
    "scalar": ("1", "1"),
}
MAXIMAL_UPDATE = {"out": "1", "matrix": ("1/n", "n"), "vector": ("1", "n"), "scalar": ("1", "1")}

TABLES = {"neural tangent": NEURAL_TANGENT, "maximal update": MAXIMAL_UPDATE}


@dataclass(frozen=True)
class Architecture:
    """`text`: draws and a def net(X) with OUT for the output's power of n. `kinds`: of parameters."""

    text: str
    kinds: dict[str, str]

    def program(self, table: str, optimizer: str = "adam", rate: float = 0.1, steps: int = 2) -> str:
        t = TABLES[table]
        lines = ["width n", "const X = [[1, 0.5], [0.3, 1]]", "const y = [1, -1]", f"from optim import {optimizer}"]
        lines += [self.text.replace("OUT", str(t["out"])).strip(), f"for t in range({steps}):"]
        lines += ["    f = net(X)", "    L = mean((f - y)^2)"]
        for name, kind in self.kinds.items():
            lr, gain = t[kind]
            lines.append(f"    {name} -= {rate} * {lr} * {optimizer}({gain} * grad(L, {name}))")
        return "\n".join(lines) + "\n"


BIASES = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
b[n] ~ normal(0, 1)
c ~ normal(0, 1)
v[n] ~ normal(0, 1)
def net(X) = OUT * <v | tanh(W @ tanh(U @ X.T) + b)> + c
""",
    {"U": "vector", "W": "matrix", "b": "vector", "c": "scalar", "v": "vector"},
)
SHARED = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
def net(X) = OUT * <v | tanh(W @ tanh(W @ tanh(U @ X.T)))>
""",
    {"U": "vector", "W": "matrix", "v": "vector"},
)
TRANSPOSED = Architecture(SHARED.text.replace("tanh(W @ tanh(W @", "tanh(W.T @ tanh(W @"), SHARED.kinds)
LAYER_NORM = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
g = ones(n)
s = zeros(n)
v[n] ~ normal(0, 1)
def ln(x) = (x - avg(x)) / sqrt(avg((x - avg(x))^2) + 1e-5)
def net(X) = OUT * <v | tanh(g * ln(W @ tanh(U @ X.T)) + s)>
""",
    {"U": "vector", "W": "matrix", "g": "vector", "s": "vector", "v": "vector"},
)
RECURRENT = Architecture(
    """
const S = [[[1, 0], [0, 1], [1, 1]], [[0, 1], [1, 1], [1, 0]]]
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
b[n] ~ normal(0, 0.1)
v[n] ~ normal(0, 1)
def net(X):
    h = zeros(n, 2)
    for t in range(3):
        h = tanh(W @ h + U @ S[:, t].T + b)
    return OUT * <v|h>
""",
    {"U": "vector", "W": "matrix", "b": "vector", "v": "vector"},
)
RESIDUAL = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n, 3] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
def net(X):
    x = U @ X.T
    for l in range(3):
        x += W[l] @ relu(x) / sqrt(3)
    return OUT * <v|x>
""",
    {"U": "vector", "W": "matrix", "v": "vector"},
)
CENTRED = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
U0 = U
W0 = W
v0 = v
def net(X) = OUT * <v | tanh(W @ tanh(U @ X.T))> - stop(OUT * <v0 | tanh(W0 @ tanh(U0 @ X.T))>)
""",
    SHARED.kinds,
)
MEANS = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
def net(X) = OUT * avg(tanh(W @ relu(U @ X.T) - avg(W @ relu(U @ X.T))))
""",
    {"U": "vector", "W": "matrix"},
)
LINEAR = Architecture(SHARED.text.replace("tanh(W @ tanh(W @ tanh(U @ X.T)))", "W @ (U @ X.T)"), SHARED.kinds)
RATIO = Architecture(
    """
width m = n/2
U[m, 2] ~ normal(0, 1)
W[n, m] ~ normal(0, 1/m)
v[n] ~ normal(0, 1)
def net(X) = OUT * <v | tanh(W @ tanh(U @ X.T))>
""",
    SHARED.kinds,
)
SCALAR_GAIN = Architecture(
    """
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
g ~ normal(1, 0.1)
v[n] ~ normal(0, 1)
def net(X) = OUT * <v | tanh(W @ tanh(g * U @ X.T))>
""",
    {"U": "vector", "W": "matrix", "g": "scalar", "v": "vector"},
)
ATTENTION = Architecture(
    """
const tokens = [[0, 1, 1], [2, 0, 2]]
E[n, 3] ~ normal(0, 1)
Q[n, n] ~ normal(0, 1/n)
K[n, n] ~ normal(0, 1/n)
V[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
def net(X):
    x = E[tokens]
    q = Q @ x
    k = K @ x
    A = softmax(avg(q[:, :, None] * k[:, None]), axis=2)
    o = x + sum(A * (V @ x)[:, None], axis=2)
    return OUT * <v | mean(tanh(o), axis=1)>
""",
    {"E": "vector", "Q": "matrix", "K": "matrix", "V": "matrix", "v": "vector"},
)
BOTH = [BIASES, SHARED, TRANSPOSED, LAYER_NORM, RECURRENT, RESIDUAL, CENTRED, MEANS, LINEAR, RATIO]
NAMES = ["biases", "shared", "transposed", "layer_norm", "recurrent", "residual", "centred", "means", "linear", "ratio"]


# ---------------------------------------------------------------------------- the table


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("net", BOTH, ids=NAMES)
def test_the_neural_tangent_table_is_the_operator_regime(net: Architecture, optimizer: str) -> None:
    found = classified(net.program("neural tangent", optimizer))
    assert found.regime == "operator"
    output = {"v", "c"}
    assert {p.effect for p in found.parameters if p.name not in output} == {-0.5}
    assert {p.effect for p in found.parameters if p.name in output} <= {0}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("net", [*BOTH, ATTENTION, SCALAR_GAIN], ids=[*NAMES, "attention", "gain"])
def test_the_maximal_update_table_is_the_maximal_update(net: Architecture, optimizer: str) -> None:
    steps = 3 if optimizer == "sgd" else 2
    found = classified(net.program("maximal update", optimizer, steps=steps))
    assert found.regime == "feature learning"
    assert remedies(found) == []
    if net not in (ATTENTION, SCALAR_GAIN):
        assert {p.effect for p in found.parameters} == {0}


@pytest.mark.parametrize("kind", ["matrix", "vector", "scalar"])
@pytest.mark.parametrize(("power", "regime"), [("sqrt(n)", "unstable"), ("1/sqrt(n)", "feature learning")])
def test_each_kind_has_its_own_power(kind: str, power: str, regime: str) -> None:
    """Half a power more blows up, half a power less is told, for one kind alone."""
    name = next(k for k, v in BIASES.kinds.items() if v == kind)
    text = BIASES.program("maximal update").replace(f"    {name} -= ", f"    {name} -= {power} * ")
    found = classified(text)
    assert found.regime == regime
    if regime == "feature learning":
        assert [(c.what, c.name, c.power) for c in remedies(found)] == [("learning rate", name, 0.5)]


def test_queries_and_keys_start_without_a_gradient() -> None:
    """Their first gradient vanishes because <do|V x> does, in the maximal update only before training; the logits grow out of noise."""
    found = classified(ATTENTION.program("maximal update", steps=3))
    q = parameter(found, "Q")
    assert (q.gradient, q.lacking, q.later) == (-0.5, 0.5, 0)
    logits = next(a for a in found.activities if not a.quantity.is_vector and a.quantity.is_argument)
    assert (logits.start, logits.change) == (-0.5, 0)


def test_queries_and_keys_never_have_one_in_the_neural_tangent_table() -> None:
    found = classified(ATTENTION.program("neural tangent", steps=3))
    assert found.regime == "unfaithful"
    assert [p.name for p in found.parameters if not p.is_faithful] == ["Q", "K"]


def test_a_scalar_inside_the_network_moves_features_in_the_neural_tangent_table() -> None:
    """What the paper's theorem on the operator regime excludes; the output stays of order 1, since v is independent of what the scalar moves."""
    found = classified(SCALAR_GAIN.program("neural tangent"))
    assert (found.regime, found.stable) == ("feature learning", True)


# ---------------------------------------------------------------------------- finite networks

WIDTHS, SEEDS, HALF_A_STEP = (32, 256), 24, 0.25


def predictions(analysis: Analysis) -> Iterator[tuple[str, Power, Value, Value | None]]:
    """Label, predicted power, and the value to measure, less another one where a change is meant."""
    first, *later = analysis.quantities.evaluations
    for q, v in first.found.items():
        yield f"{q.label} at first", analysis.sizes[v].start, v, None
    for e in later:
        for q, v in e.found.items():
            yield f"{q.label} by training", analysis.sizes[v].change, v, first.found[q]
    for c in analysis.trace.optimized:
        yield f"argument of {c.span.text}", analysis.sizes[c.argument].total, c.argument, None


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "net",
    [BIASES, LAYER_NORM, ATTENTION, SCALAR_GAIN, MEANS, TRANSPOSED],
    ids=["biases", "layer_norm", "attention", "gain", "means", "transposed"],
)
def test_finite_networks_scale_so(net: Architecture, table: str) -> None:
    program, trace = traced(net.program(table, rate=1.0 if net is ATTENTION else 0.3))
    values = list(program.values)
    predicted = list(predictions(Analysis(program, trace)))
    squares = np.zeros((2, len(predicted)))
    for row, n in zip(squares, WIDTHS, strict=True):
        for seed in range(SEEDS):
            arrays = run(program, n, seed, values)
            for k, (_, _, v, less) in enumerate(predicted):
                x = arrays[v.id] if less is None else arrays[v.id] - arrays[less.id]
                row[k] += np.mean(x**2)
    for (label, power, _, _), (narrow, wide) in zip(predicted, squares.T, strict=True):
        if power == NOTHING:
            assert narrow == wide == 0, label
        else:
            slope = 0.5 * np.log(wide / narrow) / np.log(WIDTHS[1] / WIDTHS[0])
            assert abs(slope - float(power)) < HALF_A_STEP, (label, power, slope)
