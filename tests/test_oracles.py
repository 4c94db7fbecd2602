"""NNGP and tangent kernels of fully connected networks against kernels computed elsewhere: tests/oracles/README.md tells how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limits import array, limits

ORACLES = json.loads((Path(__file__).parent / "oracles" / "mlp_kernels.json").read_text(encoding="utf-8"))

FUNCTIONS = {
    "erf_affine": "0.7 * erf(x / sqrt(2)) + 0.2",
    "sigmoid_like": "0.5 * erf(x / 2.4020563531719796) + 0.5",
    "sin_abc": "1.3 * sin(0.8 * x + 0.4)",
    "rbf": "sqrt(2) * sin(x + pi/4)",
    "abrelu": "-0.5 * min(x, 0) + 1.5 * max(x, 0)",
    "leaky": "leaky_relu(x, 0.1)",
    "exp": "0.5 * exp(0.3 * x)",
    "gabor": "exp(-x^2) * sin(x)",
    "mono3": "x^3",
    "rectmono2": "(x >= 0) * x^2",
    "poly": "0.1 + 0.5*x - 0.3*x^2 + 0.2*x^3",
    "hermite3": "(x^3 - 3*x) / sqrt(6)",
    "num_elu": "where(x > 0, x, exp(min(x, 0)) - 1)",
}
BUILT_IN = {
    "relu",
    "erf",
    "gelu",
    "sin",
    "cos",
    "abs",
    "sign",
    "num_tanh",
    "num_sigmoid",
    "num_softplus",
    "num_silu",
    "num_relu",
    "num_gelu",
}


def program(config: dict[str, Any], inputs: np.ndarray) -> str:
    """The network as one would write it: standard deviations outside, every parameter of variance 1."""
    name = config["function"]
    function = f"{name.removeprefix('num_')}(x)" if name in BUILT_IN else FUNCTIONS[name]
    features = inputs.shape[1]
    lines = ["width n", f"const X = {inputs.tolist()}", f"def phi(x) = {function}"]
    x, fan_in = "X.T", f"{features}"
    for layer, (weight, bias) in enumerate(config["dense"][:-1], 1):
        lines += [f"W{layer}[n, {fan_in}] ~ normal(0, 1/{fan_in})", f"b{layer}[n] ~ normal(0, 1)"]
        lines += [f"x{layer} = phi({weight!r} * (W{layer} @ {x}) + {bias!r} * b{layer})"]
        x, fan_in = f"x{layer}", "n"
    weight, bias = config["dense"][-1]
    lines += [
        "v[n] ~ normal(0, 1)",
        "c ~ normal(0, 1)",
        f"f = {weight!r} * sqrt(n) * <v|{x}> + {bias!r} * c",
        "show cov(f) as kernel",
        "show ntk(f) as ntk",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("config", ORACLES["kernels"], ids=lambda c: c["id"])
def test_kernel(config: dict[str, Any], tmp_path: Path) -> None:
    parts = [array(ORACLES["inputs"][config[key]]) for key in ("inputs", "inputs2") if key in config]
    shown = limits(program(config, np.vstack(parts)), tmp_path)
    for name in ("kernel", "ntk"):
        kernel = shown[name]
        assert kernel.method in ("exact", "quadrature")
        value = kernel.value[: len(parts[0]), len(parts[0]) :] if len(parts) > 1 else kernel.value
        scale = np.sqrt(np.diag(kernel.value))
        scale = np.outer(scale[: len(parts[0])], scale[len(parts[0]) :]) if len(parts) > 1 else np.outer(scale, scale)
        assert np.max(np.abs(value - array(config[name])) / scale) < 1e-10
        assert np.all(kernel.stderr <= 1e-10 * np.max(scale))
    assert shown["kernel"].kind == "covariance"


def test_expected_entries() -> None:
    """The closed forms that are easy to see: hermite3 on unit inputs is the cube of their correlation."""
    (config,) = (c for c in ORACLES["kernels"] if c["function"] == "hermite3")
    x = array(ORACLES["inputs"][config["inputs"]])
    np.testing.assert_allclose(array(config["kernel"]), (x @ x.T / x.shape[1]) ** 3, rtol=0, atol=1e-12)
