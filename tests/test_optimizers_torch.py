"""stdlib/optim.nxt on explicit sequences of gradients against torch.optim: equal trajectories, to rounding.

tests/oracles/torch_optimizers.py makes torch's; what torch does not have is held against its definition. The parameter is an array of
scalars in one program and a vector family in the other, whose gradients come from `grad` of a linear loss.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from elaborated import Finite
from test_optimizers import UPDATES

ORACLE = json.loads((Path(__file__).parent / "oracles" / "torch_optimizers.json").read_text(encoding="utf-8"))
START, GRADIENTS = np.array(ORACLE["start"]), np.array(ORACLE["gradients"])

PARAMETERS = {
    "scalars": ("p[{k}] ~ normal({start}, 0)", "sum(p * G[t])", "grad(L, p)", "p"),
    "vectors": ("p[n, {k}] ~ normal({start}, 0)", "avg(p @ G[t])", "n * grad(L, p)", "avg(p)"),
}


def trajectory(call: str, lr: float, kind: str, decay: float = 0.0) -> np.ndarray:
    """The parameter after every step, at width 3."""
    drawn, loss, gradient, seen = PARAMETERS[kind]
    name = call.split("(")[0]
    lines = [
        "width n",
        f"from optim import {name}",
        f"const G = {GRADIENTS.tolist()}",
        drawn.format(k=len(START), start=START.tolist()),
        f"all = zeros{GRADIENTS.shape}",
        "for t in range(len(G)):",
        f"    L = {loss}",
        f"    g = {gradient}",
        *([f"    p *= 1 - {lr!r} * {decay!r}"] if decay else []),
        f"    p -= {lr!r} * {call}",
        f"    all[t] = {seen}",
    ]
    return Finite("\n".join(lines) + "\n", n=3).array("all")


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-12 of each number; parameters that have come near 0 to the rounding of numbers of order 1."""
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("run", ORACLE["runs"], ids=lambda run: run["nexort"])
def test_against_torch(run: dict, kind: str) -> None:  # type: ignore[type-arg]
    # decay is a line of its own in .nxt; in torch it belongs to AdamW, whose default is 0.01
    found = trajectory(run["nexort"], run["lr"], kind, run["arguments"].get("weight_decay", 0.0))
    assert_equal(found, np.array(run["trajectory"]))


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("name", ["sign_sgd", "smooth_sign_sgd", "adam_inside", "lion"])
def test_against_the_definition(name: str, kind: str) -> None:
    state, p, expected = SimpleNamespace(), START, []
    for t, g in enumerate(GRADIENTS, 1):
        p = p - 0.1 * UPDATES[name](g, state, t)
        expected.append(p)
    assert_equal(trajectory(f"{name}(g)", 0.1, kind), np.array(expected))


def test_every_optimizer_has_a_reference() -> None:
    called = {run["nexort"].split("(")[0] for run in ORACLE["runs"]}
    assert called | {"sign_sgd", "smooth_sign_sgd", "adam_inside", "lion"} == set(UPDATES)
