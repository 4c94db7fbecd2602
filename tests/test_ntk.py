"""The neural tangent kernel: known values, kernels computed elsewhere, recursions written out in NumPy, and Jacobians by finite differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from elaborated import Finite
from finite_reference import evaluate, size
from limits import limits, limits_of_file

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import InitScalar, InitVector, Map, MatMul, Value

PROGRAMS = Path(__file__).parent / "syntax_programs"

# ---------------------------------------------------------------------------- at finite width: Σ_ω of squared differences


class Brute:
    """f as a function of the standard-normal ω of chosen draws, at width n, and its kernel by central differences."""

    def __init__(self, names: Finite, f: Value) -> None:
        self.names, self.f = names, f
        self.values = reachable([f])
        self.arrays: dict[int, np.ndarray] = {}
        self.vectors = [v for v in self.values if isinstance(v, InitVector | InitScalar)]
        self.matrices = list(dict.fromkeys(v.matrix for v in self.values if isinstance(v, MatMul)))
        self.stopped = {v.id: names._arrays[v.id] for v in self.values if isinstance(v, Map) and v.op == "stop"}
        for v in self.vectors:
            self.arrays[v.id] = np.array(names._arrays[v.id])

    def output(self) -> np.ndarray:
        arrays = {v.id: self.arrays[v.id] for v in self.vectors} | self.stopped
        for v in self.values:
            if v.id not in arrays:
                arrays[v.id] = evaluate(v, arrays, self.names._matrices, self.names.n, np.random.default_rng(0))
        return arrays[self.f.id].reshape(-1)

    def slopes(self, target: np.ndarray) -> np.ndarray:
        """∂f/∂entry for every entry of an array that f reads, (outputs, entries)."""
        flat, step = target.reshape(-1), 1e-5
        found = []
        for k in range(flat.size):
            kept = flat[k]
            flat[k] = kept + step
            above = self.output()
            flat[k] = kept - step
            found.append((above - self.output()) / (2 * step))
            flat[k] = kept
        return np.array(found).T

    def kernel(self, *parameters: str) -> np.ndarray:
        """With respect to names (`W`) and members (`W[0]`) of draws; all of them if there are none."""
        n, total = self.names.n, np.zeros(((self.f.type.shape and int(np.prod(self.f.type.shape))) or 1,) * 2)
        for m in self.matrices:
            if (counts := chosen(m.name, m.shape, parameters)).any():
                J = self.slopes(self.names._matrices[m])
                variance = m.variance.reshape(-1) * counts / size(m.cols, n)
                total += (J * np.repeat(variance, size(m.rows, n) * size(m.cols, n))) @ J.T
        for v in self.vectors:
            if (counts := chosen(v.name, v.type.shape, parameters)).any() and v.variance.any():
                J = self.slopes(self.arrays[v.id])
                J = J.reshape(len(J), -1, v.variance.size) * counts
                covariance = np.diag(v.variance.reshape(-1))
                if isinstance(v, InitVector) and v.covariance is not None:
                    covariance = np.kron(np.eye(v.variance.size // len(v.covariance)), v.covariance)
                total += np.einsum("ank,kl,bnl->ab", J, covariance, J)
        return total


def chosen(name: str, shape: tuple[int, ...], parameters: Sequence[str]) -> np.ndarray:
    """1 for the entries of a draw that the parameters name."""
    counts = np.zeros(shape) if parameters else np.ones(shape)
    for parameter in parameters:
        if parameter == name:
            counts[...] = 1
        elif parameter.startswith(f"{name}["):
            counts[eval(f"np.s_{parameter.removeprefix(name)}")] = 1
    return counts.reshape(-1)


NETWORK = """
width n
const X = [[1, 0, 2], [0.5, 1, 1], [-1, 0.3, 1]]
U[n, 3] ~ normal(0.2, [0.3, 0.5, 1])
W[n, n] ~ normal(0, 1.5/n)
b[n] ~ normal(0, 0.2)
c ~ normal(0.5, 0.09)
v[n] ~ normal(0, 2)
"""

FINITE = {
    "network": (NETWORK, "sqrt(n) * <v|tanh(W @ tanh(U @ X.T) + b)> + c", ["", "U", "W", "b", "c", "v", "U, v"]),
    "not a Gaussian scalar": (NETWORK, "<tanh(W @ b)|tanh(W @ tanh(U @ X.T))>", ["", "W", "b"]),
    "transposed": (NETWORK, "sqrt(n) * <v|tanh(W @ tanh(W.T @ tanh(U @ X.T)))>", ["", "W", "U"]),
    "scalars inside": (NETWORK, "sqrt(n) * <v|tanh(W @ tanh(U @ X.T + c) * c)>", ["", "c"]),
    "layer norm": (
        NETWORK + "h = U @ X.T\nz = (h - avg(h)) / sqrt(avg(h^2) - avg(h)^2 + 0.1)\n",
        "sqrt(n) * <v|W @ tanh(z)>",
        ["", "U"],
    ),
    "over the batch": (NETWORK + "h = W @ tanh(U @ X.T)\n", "sqrt(n) * <v|tanh(h - mean(h))>", ["", "W", "U"]),
    "a maximum": (
        NETWORK + "h = tanh(U @ X.T)\n",
        "[sqrt(n) * <v|max(h)>, sqrt(n) * avg(v * min(h) * h[0])]",
        ["", "U"],
    ),
    "two axes": (NETWORK, "reshape(sqrt(n) * <v|tanh(U @ X.T)>, 3, 1) * [[1, 2]] + [c, c]", ["", "v", "c"]),
    "of a Gaussian scalar": (NETWORK, "tanh(sqrt(n) * <v|tanh(W @ tanh(U @ X.T))>)", ["", "v", "W"]),
    "index notation": (
        NETWORK + "x = tanh(U @ X.T)\ny[i] = avg[j](tanh(x[i] * b[j]) * x[j])\n",
        "sqrt(n) * <v|W @ y>",
        ["", "b", "U"],
    ),
    "a family": (
        """
width n
width m = 2*n
W[m, n, 2, 3] ~ normal(0, [1, 2, 0.5]/n)
Z[n, m] ~ normal(0, 1/m)
z[n, 2, 3] ~ normal(0, [[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 2]])
u[m, 2] ~ normal(0, 1/n)
v[m] ~ normal(0, 1)
a[2] ~ normal(0, [[1, 0.3], [0.3, 2]])
y = sum(tanh(W @ z), axis=-1)
x = tanh(Z.T @ tanh(Z @ tanh(y))) + sqrt(n) * u
""",
        "sqrt(m) * <v|x> * a",
        ["", "W", "W[0]", "W[1, 2]", "z", "z[:, 1]", "u", "Z", "a", "v"],
    ),
    "a stop and an update": (
        NETWORK + "x = tanh(W @ tanh(U @ X.T))\nW -= 0.3 * |x[0]><stop(b)|\nU *= 2\n",
        "sqrt(n) * <v|stop(x) + tanh(W @ tanh(U @ X.T))>",
        ["", "W", "U"],
    ),
}


@pytest.mark.parametrize("case", FINITE)
def test_it_is_the_kernel_at_every_width(case: str) -> None:
    text, f, parameters = FINITE[case]
    kernels = "".join(f"k{i} = ntk({', '.join(filter(None, ['f', p]))})\n" for i, p in enumerate(parameters))
    names = Finite(f"{text}f = {f}\n{kernels}", n=4)
    brute = Brute(names, names.value("f"))
    shape = names.value("f").type.shape
    for i, p in enumerate(parameters):
        given = re.findall(r"\w+(?:\[.*?\])?", p)
        wanted = brute.kernel(*given).reshape(shape * 2)
        np.testing.assert_allclose(names.array(f"k{i}"), wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max(), err_msg=p)


# ---------------------------------------------------------------------------- in the limit: known values


def test_two_relu_layers_with_biases(tmp_path: Path) -> None:
    """Θ = ¾ q + 7/4, q = |x|²/m, readout without bias (TENSOR PROGRAMS II, appendix): 2.5 at q = 1."""
    shown = limits(
        "width n\nU[n, 4] ~ normal(0, 1/4)\nW[n, n] ~ normal(0, 1/n)\na[n] ~ normal(0, 1)\nb[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\n"
        "f = sqrt(n) * <v|relu(W @ relu(U @ [1, 1, -1, 1] + a) + b)>\nshow ntk(f) as theta\nshow cov(f) as nngp\n",
        tmp_path,
    )
    assert shown["theta"].method == "exact"
    assert float(np.squeeze(shown["theta"].value)) == pytest.approx(2.5, rel=1e-12)
    assert float(np.squeeze(shown["nngp"].value)) == pytest.approx(1.0, rel=1e-12)


def arc_cosine(k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E relu relu and E relu′ relu′."""
    size = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    cos = np.clip(k / size, -1.0, 1.0)
    angle = np.arccos(cos)
    return size * (np.sin(angle) + (np.pi - angle) * cos) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def test_residual_network_of_twenty_blocks() -> None:
    """The recursion of its kernel: blocks x += W relu(x)/√L, readout v, first layer U."""
    shown = {s.name: s.value for s in limits_of_file(PROGRAMS / "resnet20.nxt")}
    inputs = np.array([[1, 0, 1], [0, 1, 1]], dtype=float)
    k = inputs @ inputs.T / 3
    theta = k.copy()  # of U, propagated forward: each block multiplies what lies below by 1 + 2/L E relu′relu′
    for _ in range(20):
        features, slopes = arc_cosine(k)
        theta = theta * (1 + 2 / 20 * slopes) + 2 / 20 * features
        k = k + 2 / 20 * features
    np.testing.assert_allclose(shown["nngp"], k, rtol=1e-12)
    np.testing.assert_allclose(shown["theta"], theta + k, rtol=1e-10)
