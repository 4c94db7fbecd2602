"""The neural tangent (operator) regime: derived for any program, against the papers' formulas, against finite width, and what is refused.

The formulas are those of Tensor Programs IVb, Thm 2.4.7 and its extensions (memory, weight decay), evaluated here by means of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elaborated import codes, program
from limits import command, limits

from nexortlang.core.printer import to_nxt
from nexortlang.core.program import MatMul
from nexortlang.kets.particles.plan import plan

X = np.array([[1.0, 0.5, -1.0], [0.0, 1.0, 1.0], [1.0, -1.0, 0.5]])
Y = np.array([1.0, -1.0, 0.5])

NETWORK = """
width n
const X = [[1, 0.5, -1], [0, 1, 1], [1, -1, 0.5]]
const y = [1, -1, 0.5]
U[n, 3] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
"""

TWO_LAYERS = NETWORK + "def net(X) = sqrt(n) * <v|PHI(W @ PHI(U @ X.T))>\n"
ONE_LAYER = NETWORK + "def net(X) = sqrt(n) * <v|PHI(U @ X.T)>\n"


def steps(count: int, updates: str, before: str = "") -> str:
    """A training loop. `updates` has one line a parameter; Q stands for the optimizer on a gradient of order 1, LR for its rate."""
    body = "".join(f"    {line.strip()}\n" for line in updates.strip().splitlines())
    return f"{before}\nfor t in range({count}):\n    f = net(X) - f0\n    show f\n    L = mean((f - y)^2) / 2\n{body}"


SGD = "U -= 0.5 * grad(L, U)\nW -= 0.5/n * grad(L, W)\nv -= 0.5 * grad(L, v)"


def adaptive(rule: str, rate: float, names: str = "UWv") -> str:
    lines = []
    for name in names:
        power = "n^1.5" if name in "WV" else "sqrt(n)"
        lines.append(f"{name} -= {rate}/{power} * {rule.replace('G', f'sqrt(n) * grad(L, {name})')}")
    return "\n".join(lines)


CENTRED = "f0 = stop(net(X))"

# ---------------------------------------------------------------------------- closed forms


def relu_kernels(k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E relu relu and E relu′ relu′ for Gaussians of covariance k (arc-cosine kernels)."""
    s = np.sqrt(np.diag(k))
    c = np.clip(k / np.outer(s, s), -1, 1)
    np.fill_diagonal(c, 1.0)  # exactly: arccos is steep there
    angle = np.arccos(c)
    return np.outer(s, s) * (np.sin(angle) + (np.pi - angle) * c) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def relu_tangent_kernel() -> tuple[np.ndarray, np.ndarray]:
    """The NNGP and the tangent kernel of the two-layer relu network with all entries of variance 1 (W of 1/n)."""
    k0 = X @ X.T
    k1, d1 = relu_kernels(k0)
    k2, d2 = relu_kernels(k1)
    return k2, k2 + k1 * d2 + k0 * d1 * d2


def test_gradient_descent_follows_the_tangent_kernel(tmp_path: Path) -> None:
    found = limits(TWO_LAYERS.replace("PHI", "relu") + steps(5, SGD, CENTRED), tmp_path)["f"]
    _, theta = relu_tangent_kernel()
    curve = [np.zeros(3)]
    for _ in range(4):
        curve.append(curve[-1] - 0.5 / 3 * theta @ (curve[-1] - Y))
    assert found.method == "exact"
    np.testing.assert_allclose(found.value, curve, rtol=1e-10, atol=1e-12)


def test_the_outputs_are_a_gaussian_process_where_the_first_one_stays(tmp_path: Path) -> None:
    text = TWO_LAYERS.replace("PHI", "relu") + steps(3, SGD, "f0 = 0") + "    show cov(f)\n"
    found = limits(text, tmp_path)
    nngp, theta = relu_tangent_kernel()
    decay = np.eye(3) - 0.5 / 3 * theta
    mean, covariance = [np.zeros(3)], [nngp]
    for _ in range(2):
        mean.append(mean[-1] - 0.5 / 3 * theta @ (mean[-1] - Y))
        covariance.append(decay @ covariance[-1] @ decay.T)
    np.testing.assert_allclose(found["f"].value, mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found["cov(f)"].value, covariance, rtol=1e-10, atol=1e-12)


def test_sign_descent_on_one_sample_in_closed_form(tmp_path: Path) -> None:
    """K_ab = Σ_l ⟨dh_a|sign dh_b⟩⟨x_a|sign x_b⟩ (TENSOR_PROGRAMS erratum 13), not symmetric; relu, one hidden layer."""
    text = ONE_LAYER.replace("PHI", "relu") + (
        f"{CENTRED}\nfor t in range(3):\n    f = net(X) - f0\n    show f\n    L = (f[1] + 1)^2 / 2\n"
        "    U -= 0.25/sqrt(n) * sign(sqrt(n) * grad(L, U))\n    v -= 0.25/sqrt(n) * sign(sqrt(n) * grad(L, v))\n"
    )
    found = limits(text, tmp_path)["f"]
    k = X @ X.T
    s = np.sqrt(np.diag(k))
    angle = np.arccos(np.clip(k / np.outer(s, s), -1, 1))
    first = X @ np.sign(X).T * np.sqrt(2 / np.pi) * (np.pi - angle) / (2 * np.pi)
    last = s[:, None] * (1 + np.cos(angle)) / (2 * np.sqrt(2 * np.pi))
    step = -0.25 * np.sign(1.0) * (first + last)[:, 1]
    assert found.value[1, 1] > -1.0, "the error changes its sign in this test"
    np.testing.assert_allclose(found.value[:2], [np.zeros(3), step], atol=max(1e-12, 3 * found.stderr.max()))


# ---------------------------------------------------------------------------- formulas evaluated by sampling


def kets(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """x and dh of the one-layer tanh network: independent draws of its coordinates."""
    h = rng.standard_normal((count, 3)) @ X.T
    return np.tanh(h), rng.standard_normal((count, 1)) * (1 - np.tanh(h) ** 2)


def adam(gradients: list[np.ndarray], eps: float = 0.1) -> np.ndarray:
    """Adam with ε inside the root, of all gradients so far."""
    t = len(gradients)
    m = sum(0.1 * 0.9 ** (t - 1 - s) * g for s, g in enumerate(gradients)) / (1 - 0.9**t)
    v = sum(0.001 * 0.999 ** (t - 1 - s) * g**2 for s, g in enumerate(gradients)) / (1 - 0.999**t)
    return np.asarray(m / np.sqrt(v + eps**2))


def operator_curve(count: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """f_{t+1} − f_t = −η Σ_l ⟨dh|Q_t(|dh⟩_χ⟨x|, …)|x⟩ for one hidden layer, eqs. (2.10)–(2.12), by plain sampling."""
    x, dh = kets(rng, 200_000)
    f, errors, curve = np.zeros(3), [], []
    for _ in range(count):
        curve.append(f)
        errors.append((f - Y) / 3)
        inner = [dh * chi @ X for chi in errors]
        outer = [x @ chi for chi in errors]
        f = f - rate * (np.einsum("na,nk,ak->a", dh, adam(inner), X) + x.T @ adam(outer)) / len(x)
    return np.array(curve)


def test_adam_with_its_memory(tmp_path: Path) -> None:
    text = ONE_LAYER.replace("PHI", "tanh") + "from optim import adam_inside\n"
    text += steps(4, adaptive("adam_inside(G, eps=0.1)", 0.2, "Uv"), CENTRED)
    found = limits(text, tmp_path, "--tol", "1e-3")["f"]
    runs = [operator_curve(4, 0.2, np.random.default_rng(seed)) for seed in range(4)]
    mean, scatter = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / 2
    assert (np.abs(found.value - mean) < 4 * np.hypot(found.stderr, scatter) + 1e-9).all()
    assert np.abs(mean[-1]).min() > 0.1


def test_weight_decay(tmp_path: Path) -> None:
    """f_t − g_t = −η Σ_s (1−λ)^(t−1−s) Σ_l ⟨dh_t|dh_s χ_s⟩⟨x_t|x_s⟩, g_t the network of decayed initial weights (§7.4 with its errata)."""
    text = ONE_LAYER.replace("PHI", "tanh") + (
        "U0 = U\nv0 = v\nfor t in range(4):\n"
        "    g = sqrt(n) * <v0|tanh(U0 @ X.T)>\n    f = net(X) - stop(g)\n    show f\n    L = mean((f - y)^2) / 2\n"
        "    dU = grad(L, U)\n    dv = grad(L, v)\n    U *= 0.8\n    v *= 0.8\n    U0 *= 0.8\n    v0 *= 0.8\n"
        "    U -= 0.5 * dU\n    v -= 0.5 * dv\n"
    )
    found = limits(text, tmp_path)["f"]
    z = np.linspace(-9, 9, 601)  # the trapezoidal rule is exact to rounding for such functions
    w = np.exp(-(z**2) / 2)
    w /= w.sum()

    def kernel(s: float, t: float) -> np.ndarray:
        """⟨dh_t|dh_s⟩ ⟨ξ|ξ⟩ + ⟨x_t|x_s⟩ for weights decayed by s and t."""
        K = np.empty((3, 3))
        for a in range(3):
            for b in range(3):
                c = np.array([[X[a] @ X[a], X[a] @ X[b]], [X[a] @ X[b], X[b] @ X[b]]])
                root = np.linalg.cholesky(c + 1e-15 * np.eye(2))
                u = root[0, 0] * z[:, None]
                p = root[1, 0] * z[:, None] + root[1, 1] * z[None, :]
                x = np.tanh(t * u) * np.tanh(s * p)
                d = s * t * (1 - np.tanh(t * u) ** 2) * (1 - np.tanh(s * p) ** 2)
                K[a, b] = w @ (x + d * (X[a] @ X[b])) @ w
        return K

    curve, errors = [np.zeros(3)], []
    for t in range(1, 4):
        errors.append((curve[-1] - Y) / 3)
        change = sum(0.8 ** (t - 1 - s) * kernel(0.8**s, 0.8**t) @ chi for s, chi in enumerate(errors))
        curve.append(-0.5 * np.asarray(change))
    np.testing.assert_allclose(found.value, curve, rtol=1e-7, atol=1e-8)


# ---------------------------------------------------------------------------- any architecture, against finite width

LAYER_NORM = "def ln(h) = (h - avg(h)) / sqrt(avg((h - avg(h))^2) + 1e-5)\n"
ARCHITECTURES = {
    "layer norm": NETWORK
    + LAYER_NORM
    + "def net(X) = sqrt(n) * <v|relu(ln(W @ relu(ln(U @ X.T)) + 0.3))>\n"
    + steps(3, SGD, CENTRED),
    "tied, momentum": NETWORK
    + "from optim import momentum\ndef net(X) = sqrt(n) * <v|tanh(W.T @ tanh(W @ tanh(W @ tanh(U @ X.T))))>\n"
    + steps(
        2,
        "U -= 0.5 * momentum(grad(L, U))\nW -= 0.5/n * momentum(grad(L, W))\nv -= 0.5 * momentum(grad(L, v))",
        CENTRED,
    ),
    "centred by subtraction": NETWORK.replace("v[n] ~ normal(0, 1)\n", "")
    + "def net(X):\n    h = W @ tanh(U @ X.T) + 0.2\n    return sqrt(n) * avg(tanh(h - avg(h)))\n"
    + steps(3, "\n".join(SGD.splitlines()[:2]), CENTRED),
    "scalars in every slot": NETWORK
    + "def net(X):\n    h = W @ tanh(U @ X.T)\n    g[i] = avg[j](tanh(h[i] + h[j]) * h[j])\n    return sqrt(n) * <v|g * avg(h^2)>\n"
    + steps(2, SGD, CENTRED),
    "weight decay": TWO_LAYERS.replace("PHI", "tanh")
    + "f0 = 0\n"
    + steps(
        3,
        "dU = grad(L, U)\ndW = grad(L, W)\ndv = grad(L, v)\nU *= 0.8\nW *= 0.8\nv *= 0.8\nU -= 0.5 * dU\nW -= 0.5/n * dW\nv -= 0.5 * dv",
    )
    + "    show cov(f)\n",
    "two widths": NETWORK.replace("width n\n", "width n\nwidth m = n/2\n")
    .replace("U[n, 3]", "U[m, 3]")
    .replace("W[n, n] ~ normal(0, 1/n)", "W[n, m] ~ normal(0, 1/m)")
    + "def net(X) = sqrt(n) * <v|tanh(W @ tanh(U @ X.T))>\n"
    + steps(3, SGD, CENTRED),
    "a smaller power of n": NETWORK
    + "def net(X) = n^0.25 * <v|tanh(W @ tanh(U @ X.T))>\n"
    + steps(
        3, "U -= 0.5 * sqrt(n) * grad(L, U)\nW -= 0.5/sqrt(n) * grad(L, W)\nv -= 0.5 * sqrt(n) * grad(L, v)", "f0 = 0"
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_finite_width_agrees(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.nxt"
    path.write_text(ARCHITECTURES[name], encoding="utf-8")
    status, out, err = command("verify", str(path), "--widths", "128,512", "--seeds", "12", "--samples", "1024")
    assert status == 0, out + err


@pytest.mark.parametrize("name", ["two widths", "weight decay"])
def test_the_printed_core_has_the_same_limit(name: str, tmp_path: Path) -> None:
    text = ARCHITECTURES[name]
    printed = to_nxt(program(text))
    path = tmp_path / "core.nxt"
    path.write_text(printed, encoding="utf-8")
    status, out, err = command(str(path), "--json")
    first = command("check", str(path))
    assert first[0] == 0 and status == 0, err
    (tmp_path / "net.nxt").write_text(text, encoding="utf-8")
    a = limits(text, tmp_path)["f"].value
    series = [s.value for name, s in limits(printed, tmp_path).items() if name == "f"]
    np.testing.assert_allclose(series[-1], a[-1], atol=1e-9)
    assert out


def test_a_step_costs_as_much_late_as_early() -> None:
    for rule in ("momentum(G)", "adam_inside(G)"):
        text = TWO_LAYERS.replace("PHI", "tanh") + f"from optim import {rule[:-3]}\n"
        sizes = [len(program(text + steps(count, adaptive(rule, 0.1), CENTRED)).values) for count in (6, 12, 18)]
        assert sizes[2] - sizes[1] <= 1.2 * (sizes[1] - sizes[0])


def test_matrices_meet_the_same_kets_in_every_step() -> None:
    """Error signals stay in front of the backward pass, so that its leading part is one value for all steps, not W.T @ (chi_t * x)."""
    text = NETWORK + "V[n, n] ~ normal(0, 1/n)\ndef net(X) = sqrt(n) * <v|tanh(V @ tanh(W @ tanh(U @ X.T)))>\n"
    text += "from optim import adam_inside\n"
    counts = []
    for count in (2, 5):
        p = program(text + steps(count, adaptive("adam_inside(G)", 0.1, "UWVv"), CENTRED))
        limit = plan([p.limit_of(s.value) for s in p.shows])
        counts.append(sum(isinstance(v, MatMul) for v in limit.order))
    assert counts[0] == counts[1]


# ---------------------------------------------------------------------------- what is refused

FRESH = "width n\nU[n, 3] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nh = U @ [1, 2, 3]\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("show sqrt(n) * avg(tanh(h - avg(h)))\n", "NX221"),
        ("show sqrt(n) * (avg(tanh(h)) - avg(tanh(2 * h)))\n", "NX221"),
        ("f = sqrt(n) * <v|h>\nU -= 1/n * grad((f - 1)^2, U)\nshow f\n", "NX224"),
        ("f = sqrt(n) * <v|h>\nU -= sqrt(n) * grad((f - 1)^2, U)\nshow sqrt(n) * <v|U @ [1, 2, 3]>\n", "NX221"),
    ],
)
def test_refusals(text: str, code: str) -> None:
    assert [c for c, _ in codes(FRESH + text)] == [code]


def test_a_refusal_says_why(tmp_path: Path) -> None:
    path = tmp_path / "net.nxt"
    path.write_text(FRESH + "show sqrt(n) * avg(tanh(h - avg(h)))\n", encoding="utf-8")
    status, _, err = command(str(path), "--color", "never")
    assert status == 1 and "not of order 1 by itself" in err


def test_what_cancels_is_zero(tmp_path: Path) -> None:
    text = FRESH + "a = sqrt(n) * avg(tanh(h)^2)\nshow a - stop(a) as z\nshow sqrt(n) * <v|h> - sqrt(n) * <v|h> as g\n"
    found = limits(text, tmp_path)
    assert found["z"].value == 0.0 and found["g"].value == 0.0 and found["z"].method == "exact"


def test_a_functional_inside_another_of_the_same_draws(tmp_path: Path) -> None:
    """√n⟨v|x f⟩ with f = √n⟨v|x⟩ is f², of mean 1: for every value of a scalar in it a functional is Gaussian, not over all of them."""
    text = "width n\nv[n] ~ normal(0, 1)\nx[n] ~ normal(0, 1)\nf = sqrt(n) * <v|x>\ng = sqrt(n) * <v|x * f>\nshow g\nshow cov(g)\n"
    found = limits(text, tmp_path, "--tol", "5e-2", "--samples", "256")
    for name, truth in (("g", 1.0), ("cov(g)", 2.0)):
        assert abs(found[name].value - truth) < 4 * found[name].stderr + 1e-9


def test_scalars_brought_back_inside_the_network_move(tmp_path: Path) -> None:
    """√n⟨q|Kx⟩ is of order 1, random, and moves in training: it enters the features of the next step."""
    text = NETWORK.replace("W[n, n]", "K[n, n]") + (
        "q[n] ~ normal(0, 1)\ndef net(X):\n    x = tanh(U @ X.T)\n    s = sqrt(n) * <q|K @ x>\n    return sqrt(n) * <v|tanh(x * s)>\n"
        "for t in range(2):\n    f = net(X)\n    L = mean((f - y)^2) / 2\n    show f\n    show cov(f)\n"
        "    dv = grad(L, v)\n    dq = grad(L, q)\n    dK = grad(L, K)\n    dU = grad(L, U)\n"
        "    v -= 2 * dv\n    q -= 2 * dq\n    K -= 2/n * dK\n    U -= 2 * dU\n"
    )
    path = tmp_path / "net.nxt"
    path.write_text(text, encoding="utf-8")
    status, out, err = command(
        "verify", str(path), "--widths", "128,512", "--seeds", "60", "--tol", "2e-2", "--samples", "256"
    )
    assert status == 0, out + err
