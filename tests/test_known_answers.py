"""Limits that can be had by hand, one test each: the list of known answers, moments of random matrices, dual activations, forward norms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from limits import limits
from scipy import integrate, special, stats

CATALAN = [1, 2, 5, 14, 42]


def narayana(k: int, j: int) -> int:
    return math.comb(k, j) * math.comb(k, j - 1) // k


def relu_dual(S: np.ndarray) -> np.ndarray:
    """E relu(u) relu(v), the arc-cosine kernel of order 1, for a covariance matrix."""
    norms = np.sqrt(np.diag(S))
    rho = np.clip(S / np.outer(norms, norms), -1, 1)
    return np.outer(norms, norms) * (np.sqrt(1 - rho**2) + (np.pi - np.arccos(rho)) * rho) / (2 * np.pi)


def erf_dual(S: np.ndarray) -> np.ndarray:
    d = np.diag(S) + 0.5
    return 2 / np.pi * np.arcsin(S / np.sqrt(np.outer(d, d)))


# ---------------------------------------------------------------------------- random matrices


def test_semicircle_moments_to_the_tenth(tmp_path: Path) -> None:
    shown = limits(
        """
width n
W[n, n] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
A = (W + W.T)/sqrt(2)
z = x
for k in range(10):
    z = A @ z
    show <x|z> as moment
""",
        tmp_path,
    )["moment"]
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value[0::2], 0, atol=1e-11)
    np.testing.assert_allclose(shown.value[1::2], CATALAN, rtol=1e-11)


@pytest.mark.parametrize(("ratio", "width"), [(1, "n"), (2, "n/2"), (0.5, "2*n"), (0.25, "4*n")])
def test_marchenko_pastur_moments(ratio: float, width: str, tmp_path: Path) -> None:
    """Rows over columns ρ, entry variance 1/columns: the moments of WᵀW are Σ_j N(k, j) ρʲ."""
    shown = limits(
        f"""
width n
width m = {width}
W[n, m] ~ normal(0, 1/m)
x[m] ~ normal(0, 1)
z = x
for k in range(5):
    z = W.T @ W @ z
    show <x|z> as moment
""",
        tmp_path,
    )["moment"]
    expected = [sum(narayana(k, j) * ratio**j for j in range(1, k + 1)) for k in range(1, 6)]
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value, expected, rtol=1e-11)


def test_variance_over_the_first_width(tmp_path: Path) -> None:
    """The variance may be a constant over the first width: only the ratio matters."""
    shown = limits(
        "width n\nwidth m = 2*n\nW[n, m] ~ normal(0, 3/n)\nx[m] ~ normal(0, 1)\nshow <x|W.T @ W @ x> as up\nshow <W @ x|W @ x> as norm\n",
        tmp_path,
    )
    # |Wx|²/n = 3 m/n = 6; ⟨x|WᵀWx⟩ = |Wx|²/m = 3.
    assert shown["norm"].value == pytest.approx(6, rel=1e-12)
    assert shown["up"].value == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize("law", ["uniform", "rademacher", "laplace"])
def test_universality(law: str, tmp_path: Path) -> None:
    shown = limits(
        f"width n\nW[n, n] ~ {law}(0, 1/n)\nx[n] ~ {law}(0, 1)\nshow <x|(W.T @ W) @ (W.T @ W) @ x> as second\n",
        tmp_path,
    )
    assert shown["second"].value == pytest.approx(2, rel=1e-11)


def test_members_of_a_family_are_independent(tmp_path: Path) -> None:
    """⟨A x|B x⟩ = 0, ⟨x|AᵀBᵀBA x⟩ = 1 and, drawn anew in a loop, ten matrices leave the norm alone."""
    shown = limits(
        """
width n
W[n, n, 2] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
show <W[0] @ x|W[1] @ x> as cross
show <x|W[0].T @ W[1].T @ W[1] @ W[0] @ x> as product
y = x
for t in range(10):
    V[n, n] ~ normal(0, 1/n)
    y = V @ y
show <y|y> as norm
show <x|y> as overlap
""",
        tmp_path,
    )
    for name, expected in {"cross": 0, "product": 1, "norm": 1, "overlap": 0}.items():
        assert shown[name].value == pytest.approx(expected, abs=1e-11)


def test_fuss_catalan_moments(tmp_path: Path) -> None:
    """Products of two independent square matrices: the moments of (BA)ᵀBA are 1, 3, 12 (Fuss–Catalan)."""
    shown = limits(
        """
width n
A[n, n] ~ normal(0, 1/n)
B[n, n] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
z = x
for k in range(3):
    z = A.T @ (B.T @ (B @ (A @ z)))
    show <x|z> as moment
""",
        tmp_path,
    )["moment"]
    np.testing.assert_allclose(shown.value, [1, 3, 12], rtol=1e-11)


def test_jacobian_of_a_relu_layer(tmp_path: Path) -> None:
    """⟨g|J Jᵀ g⟩ for J = D W, D = relu′(h): E relu′ = ½; h = Wx and Wᵀ share W, which adds no bias here."""
    shown = limits(
        "width n\nW[n, n] ~ normal(0, 2/n)\nx[n] ~ normal(0, 1)\ng[n] ~ normal(0, 1)\nh = W @ x\nb = W.T @ (step(h) * g)\nshow <b|b> as norm\n",
        tmp_path,
    )
    assert shown["norm"].value == pytest.approx(1, rel=1e-12)


# ---------------------------------------------------------------------------- dual activations

A, B, C = 1.3, 0.7, 0.6
RHO = C / math.sqrt(A * B)
DUALS = {
    "relu(u) * relu(v)": math.sqrt(A * B) / (2 * math.pi) * (math.sqrt(1 - RHO**2) + (math.pi - math.acos(RHO)) * RHO),
    "relu(u)^2": A / 2,
    "relu(v)": math.sqrt(B / (2 * math.pi)),
    "step(u) * step(v)": (math.pi - math.acos(RHO)) / (2 * math.pi),
    "sign(u) * sign(v)": 2 / math.pi * math.asin(RHO),
    "abs(u) * abs(v)": 2 * math.sqrt(A * B) / math.pi * (math.sqrt(1 - RHO**2) + RHO * math.asin(RHO)),
    "erf(u) * erf(v)": 2 / math.pi * math.asin(2 * C / math.sqrt((1 + 2 * A) * (1 + 2 * B))),
    "erf(u)^2": 2 / math.pi * math.asin(2 * A / (1 + 2 * A)),
    "u * erf(v)": 2 * C / math.sqrt(math.pi * (1 + 2 * B)),
    "exp(u) * exp(v)": math.exp((A + 2 * C + B) / 2),
    "u * exp(v)": C * math.exp(B / 2),
    "sin(u) * sin(v)": math.exp(-(A + B) / 2) * math.sinh(C),
    "cos(u) * cos(v)": math.exp(-(A + B) / 2) * math.cosh(C),
    "u * sin(v)": C * math.exp(-B / 2),
    "sign(u) * v": C * math.sqrt(2 / (math.pi * A)),
    "u * relu(v)": C / 2,
    "u^2 * v^2": A * B + 2 * C**2,
    "u^4 * v^4": 9 * A**2 * B**2 + 72 * A * B * C**2 + 24 * C**4,
    "(u^3 - 3*u) * v": 3 * A * C - 3 * C,
    "exp(-u^2/2) * exp(-v^2/2)": 1 / math.sqrt((1 + A) * (1 + B) - C**2),
    "(u > 0) * (v > 1)": integrate.quad(
        lambda v: stats.norm.pdf(v, scale=B**0.5) * stats.norm.cdf(C / B * v / math.sqrt(A - C**2 / B)),
        1,
        12,
        epsabs=1e-15,
    )[0],
}


@pytest.mark.parametrize("product", DUALS)
def test_dual_activation(product: str, tmp_path: Path) -> None:
    shown = limits(
        f"width n\nz[n, 2] ~ normal(0, [[{A}, {C}], [{C}, {B}]])\nu = z[0]\nv = z[1]\nshow avg({product}) as dual\n",
        tmp_path,
    )["dual"]
    tolerance = 1e-12 if shown.method == "exact" else 1e-9
    assert shown.method in ("exact", "quadrature")
    assert float(shown.value) == pytest.approx(DUALS[product], rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    "product",
    [
        "relu(u) * relu(v)",
        "erf(u) * erf(v)",
        "sign(u) * sign(v)",
        "abs(u) * abs(v)",
        "exp(u) * exp(v)",
        "u^4 * v^4",
        "sin(u) * sin(v)",
    ],
)
def test_dual_activations_with_a_closed_form_are_exact(product: str, tmp_path: Path) -> None:
    shown = limits(
        f"width n\nz[n, 2] ~ normal(0, [[{A}, {C}], [{C}, {B}]])\nu = z[0]\nv = z[1]\nshow avg({product}) as dual\n",
        tmp_path,
    )["dual"]
    assert shown.method == "exact" and float(shown.value) == pytest.approx(DUALS[product], rel=1e-12)


SMOOTH = {
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x * special.expit(x),
    "gelu": lambda x: x * special.ndtr(x),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_duals_by_quadrature(name: str, tmp_path: Path) -> None:
    """Against the trapezoidal rule on a fine grid, which converges faster than any power for analytic functions."""
    t = np.linspace(-11, 11, 1201)
    weight = stats.norm.pdf(t) * (t[1] - t[0])
    u, v = math.sqrt(A) * t[:, None], C / math.sqrt(A) * t[:, None] + math.sqrt(B - C**2 / A) * t
    expected = float(np.einsum("i,j,ij->", weight, weight, SMOOTH[name](u) * SMOOTH[name](v)))
    shown = limits(
        f"width n\nz[n, 2] ~ normal(0, [[{A}, {C}], [{C}, {B}]])\nshow <{name}(z[0])|{name}(z[1])> as dual\n", tmp_path
    )["dual"]
    assert shown.method in ("exact", "quadrature")
    assert float(shown.value) == pytest.approx(expected, rel=1e-10)
    assert abs(float(shown.value) - expected) <= 3 * float(shown.stderr) + 1e-12


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_tanh_at_small_and_large_variances(scale: float, tmp_path: Path) -> None:
    """E tanh² where tanh is nearly linear, and where it is nearly a step."""
    expected, _ = integrate.quad(
        lambda x: stats.norm.pdf(x) * math.tanh(scale * x) ** 2,
        -14,
        14,
        epsabs=0,
        epsrel=1e-13,
        limit=2000,
        points=[0.0, 1 / scale, -1 / scale],
    )
    shown = limits(f"width n\nx[n] ~ normal(0, {scale}^2)\nshow avg(tanh(x)^2) as second\n", tmp_path)["second"]
    assert float(shown.value) == pytest.approx(expected, rel=1e-9)


# ---------------------------------------------------------------------------- deep networks


def test_deep_relu_keeps_its_norm(tmp_path: Path) -> None:
    shown = limits(
        """
width n
x[n] ~ normal(0, 1)
h = x
for l in range(50):
    W[n, n] ~ normal(0, 2/n)
    h = W @ relu(h)
    show <h|h> as norm
""",
        tmp_path,
    )["norm"]
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value, np.ones(50), rtol=1e-12)


def test_deep_tanh_decays_like_one_over_depth(tmp_path: Path) -> None:
    """q ← E tanh(√q Z)² = q − 2q² + …, so 1/q grows by 2 a layer in the end: q ≈ 1/(2l)."""
    shown = limits(
        "width n\nh[n] ~ normal(0, 1)\nfor l in range(200):\n    W[n, n] ~ normal(0, 1/n)\n    h = W @ tanh(h)\n    show <h|h> as norm\n",
        tmp_path,
    )["norm"]
    q, expected = 1.0, []
    t = np.linspace(-10, 10, 2001)
    weight = stats.norm.pdf(t) * (t[1] - t[0])
    for _ in range(200):
        q = float(weight @ np.tanh(math.sqrt(q) * t) ** 2)
        expected.append(q)
    np.testing.assert_allclose(shown.value, expected, rtol=1e-9)
    assert 1 / shown.value[-1] - 1 / shown.value[-2] == pytest.approx(2, rel=0.03)


def test_forward_norms_of_the_biased_relu_network(tmp_path: Path) -> None:
    """Two hidden relu layers with biases, all variances 1, |x|²/m = q: |x¹|²/n = ½q + ½, |x²|²/n = ¼q + ¾; at q = 1 the output has variance 1."""
    for q in (1.0, 0.25):
        shown = limits(
            f"""
width n
const X = [{math.sqrt(3 * q)}, 0, 0]
U[n, 3] ~ normal(0, 1/3)
W[n, n] ~ normal(0, 1/n)
b[n, 2] ~ normal(0, 1)
v[n] ~ normal(0, 1)
h1 = U @ X + b[0]
x1 = relu(h1)
h2 = W @ x1 + b[1]
x2 = relu(h2)
show <h1|h1> as h1h1
show <x1|x1> as x1x1
show <h2|h2> as h2h2
show <x2|x2> as x2x2
show cov(sqrt(n) * <v|x2>) as out
dh2 = step(h2) * v
dh1 = step(h1) * (W.T @ dh2)
show <dh2|dh2> as d2
show <dh1|dh1> as d1
""",
            tmp_path,
        )
        expected = {
            "h1h1": q + 1,
            "x1x1": (q + 1) / 2,
            "h2h2": (q + 3) / 2,
            "x2x2": q / 4 + 3 / 4,
            "out": q / 4 + 3 / 4,
            "d2": 1 / 2,
            "d1": 1 / 4,
        }
        for name, value in expected.items():
            assert shown[name].method == "exact"
            assert float(np.squeeze(shown[name].value)) == pytest.approx(value, rel=1e-12), name


def test_rnn_recursion(tmp_path: Path) -> None:
    """Shared weights over time: Σ_t = σ_w² V(Σ_{t−1}) + ⟨x_t|x_t′⟩ σ_u²/d + σ_b², states at unequal times included."""
    rng = np.random.default_rng(1)
    data = rng.standard_normal((2, 4, 3)).round(3)
    shown = limits(
        f"""
width n
const X = {data.tolist()}
U[n, 3] ~ normal(0, 1.1/3)
W[n, n] ~ normal(0, 1.4/n)
b[n] ~ normal(0, 0.2)
h = zeros(n, 2)
S = zeros(n, 4, 2)
for t in range(4):
    h = erf(W @ h + U @ X[:, t].T + b)
    S[t] = h
show <S|S> as K
""",
        tmp_path,
    )["K"]
    tokens = data.transpose(1, 0, 2).reshape(8, 3)  # (time, sequence)
    drive = 1.1 * tokens @ tokens.T / 3 + 0.2
    state = np.zeros((8, 8))
    for _ in range(4):  # after k passes every pair of times ≤ k is right
        previous = np.zeros((8, 8))
        previous[2:, 2:] = state[:-2, :-2]
        state = erf_dual(1.4 * previous + drive)
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value.reshape(8, 8), state, rtol=1e-12)


def test_ten_relu_layers_on_a_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    data = rng.standard_normal((6, 5)).round(3)
    shown = limits(
        f"""
width n
const X = {data.tolist()}
U[n, 5] ~ normal(0, 2/5)
W[n, n, 9] ~ normal(0, 2/n)
x = relu(U @ X.T)
for l in range(9):
    x = relu(W[l] @ x)
show <x|x> as K
""",
        tmp_path,
    )["K"]
    K = 2 * data @ data.T / 5
    for _ in range(10):
        K = 2 * relu_dual(K)
    assert shown.method == "exact"
    np.testing.assert_allclose(shown.value, K / 2, rtol=1e-12)


def test_weight_sharing_across_layers_is_seen(tmp_path: Path) -> None:
    """The same W in two layers: states at different depths correlate as the recursion of a recurrent network says; fresh matrices do not."""
    shown = limits(
        """
width n
W[n, n] ~ normal(0, 1/n)
V[n, n] ~ normal(0, 1/n)
x[n] ~ normal(1, 1)
h1 = W @ x
h2 = W @ tanh(h1)
g2 = V @ tanh(h1)
show <h1|h2> as tied
show <h1|g2> as fresh
show <x|tanh(h1)> as none
""",
        tmp_path,
    )
    for name in ("tied", "fresh", "none"):  # ⟨x|tanh(h1)⟩ = E x · E tanh(h1) = 0
        assert float(shown[name].value) == pytest.approx(0, abs=1e-12)


def test_gia_counterexample(tmp_path: Path) -> None:
    """dx = 2WᵀW1 has the law 2 + 2G: mean 2, where independent transposes would give mean 0."""
    shown = limits(
        "width n\nW[n, n] ~ normal(0, 1/n)\nx = ones(n)\nd = 2 * (W.T @ (W @ x))\nshow avg(d) as mean\nshow avg(d^2) as second\nshow avg(d^3) as third\n",
        tmp_path,
    )
    for name, value in {"mean": 2, "second": 8, "third": 2**3 + 3 * 2 * 4}.items():
        assert shown[name].method == "exact" and float(shown[name].value) == pytest.approx(value, rel=1e-12)


def test_dot_of_a_nonsmooth_function(tmp_path: Path) -> None:
    """⟨x|Wᵀ sign(Wx)⟩ = E|h| = √(2/π); Wᵀ sign(h) = hat + √(2/π) x."""
    shown = limits(
        "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nb = W.T @ sign(W @ x)\nshow <x|b> as overlap\nshow <b|b> as norm\n",
        tmp_path,
    )
    assert float(shown["overlap"].value) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-12)
    assert float(shown["norm"].value) == pytest.approx(1 + 2 / math.pi, rel=1e-12)


def test_dots_with_repeated_hats(tmp_path: Path) -> None:
    """W applied to dependent vectors: a, b and a + b; the dot must not depend on how often a direction was seen."""
    shown = limits(
        """
width n
W[n, n] ~ normal(0, 1/n)
a[n] ~ normal(0, 1)
b[n] ~ normal(0, 1)
ha = W @ a
hb = W @ b
hs = W @ (a + b)
back = W.T @ relu(hs)
show <a|back> as along_a
show <back|back> as norm
again = W.T @ (relu(ha) + hs)
show <b|again> as along_b
""",
        tmp_path,
    )
    # hs has variance 2, relu(hs) = hat: dot ½(a + b); norm = E relu(hs)² + ¼·2 = 1.5. again: dot ½a + (a + b).
    for name, value in {"along_a": 0.5, "norm": 1.5, "along_b": 1.0}.items():
        assert float(shown[name].value) == pytest.approx(value, rel=1e-12), name


# ---------------------------------------------------------------------------- training by hand, several widths, OuterNonlin


def test_one_step_of_sgd_by_hand(tmp_path: Path) -> None:
    """One sample, one step on f = ⟨v|W u⟩ at learning rate η, target 1: f = 0 → 3η + η³ (all of u, W, v move)."""
    eta = 0.3
    shown = limits(
        f"""
width n
const eta = {eta}
u[n] ~ normal(0, 1)
v[n] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
h = W @ u
back = W.T @ v
show <v|h> as before
W += eta * |v><u|
u += eta * back
v += eta * h
show <v|W @ u> as after
""",
        tmp_path,
    )
    assert shown["before"].value == pytest.approx(0, abs=1e-12)
    # W u₁ = W₀u + ηW₀W₀ᵀv + η v⟨u|u₁⟩, ⟨u|u₁⟩ = 1: ⟨v₁|·⟩ = η(⟨v|W₀W₀ᵀv⟩ + 1) + η + η³⟨W₀u|W₀W₀ᵀv⟩ + η²·0 = 3η + 0.
    assert shown["after"].value == pytest.approx(3 * eta, rel=1e-12)


def test_sign_update_through_two_widths(tmp_path: Path) -> None:
    """W is n × m, m = n/2. The factor is over the second width: W u loses (lr/m)·m E|x| sign(g), its transpose carries n/m."""
    shown = limits(
        """
width n
width m = n/2
W[n, m] ~ normal(0, 1/m)
x[m] ~ normal(0, 1)
g[n] ~ normal(0, 1)
W[i, j] -= 0.5/m * sign(g[i] * x[j])
y = W @ x
b = W.T @ g
show <g|y> as forward
show <y|y> as ynorm
show <x|b> as backward
show <b|b> as bnorm
""",
        tmp_path,
    )
    c = 0.5 * math.sqrt(2 / math.pi)
    expected = {
        "forward": -c * math.sqrt(2 / math.pi),
        "ynorm": 1 + c**2,
        "backward": -2 * c * math.sqrt(2 / math.pi),
        "bnorm": 2 + 4 * c**2,
    }
    for name, value in expected.items():
        assert abs(float(shown[name].value) - value) < 3 * float(shown[name].stderr) + 1e-9, name


OUTER = {
    "avg[i, j](abs(x[i] - x[j]))": 2 / math.sqrt(math.pi),
    "avg[i, j](max(x[i], y[j]))": 1 / math.sqrt(math.pi),
    "avg[i, j, k](max(max(x[i], x[j]), x[k]))": 1.5 / math.sqrt(math.pi),
    "avg[i, j]((x[i] - x[j])^2)": 2.0,
    "avg[i](abs(x[i] - x[i]))": 0.0,
    "avg[i, j](sign(x[i]) * sign(x[j] + x[i]) * y[i]^2)": 0.5,
}


@pytest.mark.parametrize("expression", OUTER)
def test_outer_nonlin(expression: str, tmp_path: Path) -> None:
    """An index of its own is an independent copy. The last: for s = sign(x) and z = x + x′, E s sign(z) = (2/π) arcsin(1/√2) = ½."""
    shown = limits(f"width n\nx[n] ~ normal(0, 1)\ny[n] ~ normal(0, 1)\nc = {expression}\nshow c\n", tmp_path)["c"]
    assert abs(float(shown.value) - OUTER[expression]) <= 4 * float(shown.stderr) + 1e-9


def test_order_one_keeps_what_it_does_not_average(tmp_path: Path) -> None:
    shown = limits(
        "width n\nx[n] ~ normal(0, 1)\ny[n] ~ normal(0, 1)\nz[i] = avg[j](sign(x[i] * y[j]) * y[j])\nshow <z|z> as norm\nshow <z|x> as overlap\n",
        tmp_path,
    )
    for name, value in {"norm": 2 / math.pi, "overlap": 2 / math.pi}.items():
        assert abs(float(shown[name].value) - value) <= 4 * float(shown[name].stderr) + 1e-9


def test_state_evolution(tmp_path: Path) -> None:
    """Approximate message passing without a nonlinearity's help: with soft threshold at θ = 1.5 τ the limit is the scalar recursion."""
    delta, noise, sparsity = 0.5, 0.01, 0.1
    tau2, expected = noise + sparsity / delta, []
    for _ in range(3):
        tau = math.sqrt(tau2)
        theta = 1.5 * tau
        mse = 0.0
        for weight, variance, signal in [(1 - sparsity, tau2, 0.0), (sparsity, 1 + tau2, 1.0)]:
            a = theta / math.sqrt(variance)
            second = 2 * variance * ((1 + a * a) * stats.norm.cdf(-a) - a * stats.norm.pdf(a))
            mse += weight * (second + signal * (1 - 4 * stats.norm.cdf(-a)))
        expected.append(mse)
        tau2 = noise + mse / delta
    (path,) = (Path(__file__).parent / "programs").glob("sampled_amp.nxt")
    shown = limits(path.read_text(encoding="utf-8"), tmp_path)["avg((x - x0)^2)"]
    assert abs(float(shown.value) - expected[-1]) <= 4 * float(shown.stderr) + 1e-9


# ---------------------------------------------------------------------------- initial laws and scalars


def test_initial_laws(tmp_path: Path) -> None:
    shown = limits(
        """
width n
a[n] ~ normal(2, 9)
b[n] ~ uniform(2, 9)
c[n] ~ rademacher(2, 9)
d[n] ~ laplace(2, 9)
e[n] ~ bernoulli(0.3)
f[n] ~ uniform(low=-1, high=3)
g[n, 2] ~ normal([0, 1], [1, 4])
show [avg(a), avg(b), avg(c), avg(d), avg(e), avg(f)] as means
show [avg(a^2), avg(b^2), avg(c^2), avg(d^2), avg(e^2), avg(f^2)] as seconds
show [avg((b-2)^4), avg((c-2)^4), avg((d-2)^4)] as fourths
show <g|g> as G
""",
        tmp_path,
    )
    np.testing.assert_allclose(shown["means"].value, [2, 2, 2, 2, 0.3, 1], rtol=1e-9)
    np.testing.assert_allclose(shown["seconds"].value, [13, 13, 13, 13, 0.3, 16 / 12 + 1], rtol=1e-9)
    np.testing.assert_allclose(shown["fourths"].value, [81 * 1.8, 81, 81 * 6], rtol=1e-9)
    np.testing.assert_allclose(shown["G"].value, [[1, 0], [0, 5]], rtol=1e-9, atol=1e-12)


def test_small_initial_vectors(tmp_path: Path) -> None:
    """normal(0, 1/n) is n^(−1/2) times normal(0, 1): √n ⟨v|x⟩ of it has to be multiplied by n in all."""
    shown = limits(
        "width n\nv[n] ~ normal(0, 4/n)\nx[n] ~ normal(0, 1)\nshow cov(n * <v|tanh(x)^2>) as c\nshow n * <v|v> as q\n",
        tmp_path,
    )
    expected, _ = integrate.quad(lambda x: stats.norm.pdf(x) * math.tanh(x) ** 4, -12, 12, epsabs=1e-13)
    assert float(np.squeeze(shown["c"].value)) == pytest.approx(4 * expected, rel=1e-9)
    assert float(shown["q"].value) == pytest.approx(4, rel=1e-12)


def test_readouts_that_share_weights_and_a_bias(tmp_path: Path) -> None:
    """Cov(√n⟨v|x⟩ + c, √n⟨v|y⟩ + c) = ⟨x|y⟩ + Var c; twice the same scales it fourfold; an independent readout adds nothing."""
    shown = limits(
        """
width n
x[n] ~ normal(0, 1)
v[n] ~ normal(0, 1)
w[n] ~ normal(0, 1)
c ~ normal(0, 0.3)
f = sqrt(n) * <v|relu(x)> + c
g = sqrt(n) * <v|x> + c
k = sqrt(n) * <w|x>
show cov([f, g, k, 2 * f]) as K
show f as mean
""",
        tmp_path,
    )
    expected = [[0.8, 0.8, 0, 1.6], [0.8, 1.3, 0, 1.6], [0, 0, 1, 0], [1.6, 1.6, 0, 3.2]]
    np.testing.assert_allclose(shown["K"].value, expected, rtol=1e-12, atol=1e-12)
    assert float(shown["mean"].value) == pytest.approx(0, abs=1e-12)


def test_functions_of_a_gaussian_scalar(tmp_path: Path) -> None:
    """f ~ N(0, ½): the mean of f², relu(f) and the quantiles of exp(f)."""
    shown = limits(
        "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nf = sqrt(n) * <v|relu(x)>\nshow f^2 as square\nshow relu(f) as half\nshow dist(f) as law\n",
        tmp_path,
    )
    assert abs(float(shown["square"].value) - 0.5) <= 4 * float(shown["square"].stderr) + 1e-9
    assert abs(float(shown["half"].value) - math.sqrt(0.5 / (2 * math.pi))) <= 4 * float(shown["half"].stderr) + 1e-9
    assert float(np.squeeze(shown["law"].record["variance"])) == pytest.approx(0.5, rel=1e-6)
    assert float(np.squeeze(shown["law"].record["quantiles"]["0.75"])) == pytest.approx(
        math.sqrt(0.5) * stats.norm.ppf(0.75), rel=1e-6
    )


def test_distribution_of_relu_has_an_atom(tmp_path: Path) -> None:
    """relu of a standard normal: mean 1/√(2π), variance ½ − 1/2π, half of its mass at 0."""
    shown = limits("width n\nx[n] ~ normal(0, 1)\nshow dist(relu(x)) as law\n", tmp_path)["law"].record
    tolerance = 4 * float(np.squeeze(shown["stderr"])) + 1e-9
    assert float(np.squeeze(shown["mean"])) == pytest.approx(1 / math.sqrt(2 * math.pi), abs=tolerance)
    assert float(np.squeeze(shown["variance"])) == pytest.approx(0.5 - 1 / (2 * math.pi), abs=5 * tolerance)
    assert float(np.squeeze(shown["quantiles"]["0.25"])) == pytest.approx(0, abs=1e-12)
    assert float(np.squeeze(shown["quantiles"]["0.75"])) == pytest.approx(stats.norm.ppf(0.75), abs=5e-3)
