"""Types, powers of n and consts: each rule of LANGUAGE.md's section Types alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from elaborated import Names, codes, elaborated, program

from nexortlang.core.program import Fluctuation, InitScalar, InitVector, Scale, Show
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import ConstVal

DECLARED = """
width n
width m = n/4
width k
x[n] ~ normal(0, 1)
X[n, 2] ~ normal(0, 1)
y[m] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
F[m, n, 3] ~ normal(0, 1/n)
c ~ normal(0, 0.09)
small[n] ~ normal(0, 1/n)
"""

TYPES = {
    "x": "vector(n) 0",
    "X": "vector(n)[2] 0",
    "small": "vector(n) -1/2",
    "c": "scalar 0",
    "c * X": "vector(n)[2] 0",
    "F @ x": "vector(m)[3] 0",
    "F[1:] @ x": "vector(m)[2] 0",
    "F.T @ y": "vector(n)[3] 0",
    "<X|x>": "scalar[2] 0",
    "<X|X>": "scalar[2, 2] 0",
    "avg(small)": "scalar -1/2",
    "<small|x>": "scalar -1/2",
    "small * small": "vector(n) -1",
    "small + x": "vector(n) 0",
    "n * small": "vector(n) 1/2",
    "small^2": "vector(n) -1",
    "sqrt(abs(small))": "vector(n) -1/4",
    "abs(small)": "vector(n) -1/2",
    "x / small": "vector(n) 1/2",
    "|x><y|": "outer(n, m) -1",
    "n * |x><y|": "outer(n, m) 0",
    "|x><y| @ y": "vector(n) 0",
    "sqrt(n) * <x|x>": "scalar 1/2",
    "n^(-1/3) * x": "vector(n) -1/3",
    "sum(X)": "vector(n) 0",
    "zeros(n, 4)": "vector(n)[4] 0",
    "ones(m)": "vector(m) 0",
    "zeros(n, m)": "outer(n, m) 0",
    "n * grad(avg(x^2), x)": "vector(n) 0",
    "grad(avg(x^2), x)": "vector(n) -1",
    "grad(<x|W|x>, W)": "outer(n, n) -1",
    "grad(sqrt(n) * <x|tanh(W @ X[0])>, W)": "outer(n, n) -1/2",
    "grad(c * avg(x^2), c)": "scalar 0",
    "grad(<small|x>, small)": "vector(n) -1",
}


def text_of(names: Names, name: str) -> str:
    t = names.type(name)
    kind = ("scalar", "vector", "outer")[len(t.axes)]
    widths = f"({', '.join(w.name for _, w in t.axes)})" if t.axes else ""
    return f"{kind}{widths}{list(t.shape) if t.shape else ''} {t.power}"


@pytest.mark.parametrize(("expression", "expected"), TYPES.items(), ids=list(TYPES))
def test_type_and_power(expression: str, expected: str) -> None:
    assert text_of(Names(f"{DECLARED}r = {expression}\n"), "r") == expected


CONSTS = {
    "1 + 2 * 3": 7,
    "-2^2": -4,
    "2**3": 8,
    "7 // 2": 3,
    "-7 % 3": 2,
    "1 / 4": 0.25,
    "[1, 2] @ [3, 4]": 11,
    "[[1, 2], [3, 4]] @ [1, 1]": [3, 7],
    "[[1, 2], [3, 4]].T": [[1, 3], [2, 4]],
    "eye(2) @ arange(2)": [0, 1],
    "arange(2, 8, 3)": [2, 5],
    "zeros(2, 3)": np.zeros((2, 3)),
    "ones((2, 2))": np.ones((2, 2)),
    "len([4, 5, 6])": 3,
    "X.shape": [2],
    "zeros(2, 3).shape[1]": 3,
    "reshape(arange(6), 2, -1)": [[0, 1, 2], [3, 4, 5]],
    "transpose(zeros(1, 2, 3), 2, 0, 1).shape": [3, 1, 2],
    "randn(2, 2, seed=3)": np.random.default_rng(3).standard_normal((2, 2)),
    "randn(2)": np.random.default_rng(0).standard_normal(2),
    "[1, 2, 3] > 2": [0, 0, 1],
    "not 3": 0,
    "1 and 0 or 2": 1,
    "sum([[1, 2], [3, 4]], axis=0)": [4, 6],
    "mean([[1, 2], [3, 4]])": 2.5,
    "max([[1, 5], [3, 4]], axis=-1)": [5, 4],
    "max([1, 5], 3)": [3, 5],
    "argmax([1, 5, 3])": 1,
    "softmax([0, 0], 0)": [0.5, 0.5],
    "where([1, 0], 2, 3)": [2, 3],
    "relu([-1, 1]) + step(0) + sign(0)": [1, 2],
    "tanh(inf)": 1,
    "cos(pi)": -1,
    "n / m": 4,
    "n * (1 / n)": 1,
    "sqrt(n) / n^0.5": 1,
    "arange(5)[-1]": 4,
    "arange(5)[1:4:2]": [1, 3],
    "eye(3)[[0, 2]]": [[1, 0, 0], [0, 0, 1]],
    "eye(2)[:, None].shape": [2, 1, 2],
    "[[1, 2], [3, 4]][1, 0]": 3,
    ".5 + 1e-1": 0.6,
    "0 * n + 2": 2,
    "(-8)^(1/3) > 0": 0,
}


@pytest.mark.parametrize(("expression", "expected"), CONSTS.items(), ids=list(CONSTS))
def test_const_arithmetic_is_numpy(expression: str, expected: object) -> None:
    found = Names(f"{DECLARED}r = {expression}\n").const("r")
    np.testing.assert_allclose(found, np.asarray(expected, dtype=float), rtol=1e-12)
    assert found.shape == np.shape(expected)


def test_powers_of_consts() -> None:
    found = Names(f"{DECLARED}r = 3 * n^(-3/2) * m\n")["r"]
    assert isinstance(found, ConstVal) and found.power == Fraction(-1, 2) and found.array == 0.75


def test_what_is_computed_from_consts_alone_is_a_const_also_when_bound_by_equals() -> None:
    assert not elaborated("T = 2 + 1\nfor t in range(T):\n    x = t\nshow x\n")[1]


# ---------------------------------------------------------------------------- draws


def test_laws_have_the_mean_and_variance_they_say() -> None:
    names = Names(
        "width n\n"
        "a[n] ~ uniform(low=-1, high=3)\nb[n] ~ bernoulli(0.25)\nc[n, 2] ~ laplace(1, [1, 4])\n"
        "d[n] ~ rademacher(0, 2)\ne[n, 2] ~ normal([1, 2], [[1, 0.5], [0.5, 1]])\n"
    )
    a, b, c, d, e = (names.value(name) for name in "abcde")
    assert all(isinstance(v, InitVector) for v in (a, b, c, d, e))
    assert (a.law, float(a.mean), float(a.variance)) == ("uniform", 1.0, pytest.approx(16 / 12))
    assert (b.law, float(b.mean), float(b.variance)) == ("bernoulli", 0.25, pytest.approx(0.1875))
    assert (c.law, c.mean.tolist(), c.variance.tolist()) == ("laplace", [1, 1], [1, 4])
    assert (d.law, float(d.variance)) == ("rademacher", 2.0)
    assert e.mean.tolist() == [1, 2] and e.covariance.tolist() == [[1, 0.5], [0.5, 1]] and e.variance.tolist() == [1, 1]


def test_a_vector_of_variance_1_over_n_is_a_scaled_one() -> None:
    v = Names("width n\nv[n] ~ normal(0, 4/n)\n").value("v")
    assert isinstance(v, Scale) and v.exponent == Fraction(-1, 2)
    assert isinstance(v.x, InitVector) and v.x.variance == 4.0


@pytest.mark.parametrize(
    ("rows", "variance", "expected"),
    [("m, n", "2/n", 2.0), ("n, m", "2/n", 0.5), ("n, m", "2/m", 2.0), ("m, m", "3/(2*n)", 0.375), ("n, n", "0", 0.0)],
)
def test_a_matrix_has_its_variance_over_the_second_width(rows: str, variance: str, expected: float) -> None:
    names = Names(f"width n\nwidth m = n/4\nA[{rows}] ~ normal(0, {variance})\n")
    (matrix,) = names.program.matrices
    assert matrix.variance == pytest.approx(expected)


def test_a_family_has_a_variance_for_each_member() -> None:
    names = Names("width n\nconst s = [1, 2, 3]\nW[n, n, 3] ~ uniform(0, s/n)\n")
    (matrix,) = names.program.matrices
    assert matrix.variance.tolist() == [1, 2, 3] and matrix.law == "uniform"
    family = names["W"]
    assert isinstance(family, Operator) and family.shape == (3,)


def test_tilde_draws_anew_each_time() -> None:
    text = "width n\nx[n] ~ normal(0, 1)\ndef layer(h):\n    W[n, n] ~ normal(0, 1/n)\n    return tanh(W @ h)\n"
    names = Names(text + "for t in range(3):\n    x = layer(x)\n")
    assert len(names.program.matrices) == 3
    two = Names("width n\nfor t in range(2):\n    x[n] ~ normal(0, 1)\n")
    assert sum(isinstance(v, InitVector) for v in two.program.values) == 2


def test_correlated_scalars_are_a_combination_of_independent_ones() -> None:
    c = Names("c[2] ~ normal(0, [[1, .5], [.5, 1]])\n").value("c")
    (z, root) = c.x, c.y
    assert isinstance(z, InitScalar)
    np.testing.assert_allclose(root.array.T @ root.array, [[1, 0.5], [0.5, 1]])


def test_ones_are_one_vector_and_no_randomness() -> None:
    names = Names("width n\na = ones(n)\nb = ones(n)\n")
    v = names.value("a")
    assert v is names.value("b") and isinstance(v, InitVector) and v.mean == 1 and v.variance == 0


# ---------------------------------------------------------------------------- √n and updates


def test_an_output_of_root_n_is_a_fluctuation() -> None:
    names = Names("width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nf = sqrt(n) * <v|tanh(x)>\n")
    assert isinstance(names.value("f"), Fluctuation) and names.type("f").power == 0


@pytest.mark.parametrize(
    "readout",
    [
        "v[n] ~ normal(0, 1/n)\nf = n * <v|x>",
        "v[n] ~ normal(0, 1/n^2)\nf = n^1.5 * <v|x>",
        "v[n] ~ normal(0, 1)\nf = 3 * sqrt(n) * avg(2 * v * x)",
        "v[n, 2] ~ normal(0, 1)\nf = sum(sqrt(n) * avg(v * x))",
        "v[n] ~ normal(0, 1)\nw[n] ~ normal(0, 1)\nf = sqrt(n) * (<v|x> - <w|x^2>)",
        "v[n] ~ normal(0, 1)\ns = sqrt(n) * avg(x^2)\nf = s * <v|x>",
    ],
)
def test_outputs_of_order_1_however_they_are_written(readout: str) -> None:
    names = Names(f"width n\nx[n] ~ normal(0, 1)\n{readout}\n")
    assert names.type("f").power == 0
    assert any(isinstance(v, Fluctuation) for v in names.program.values)


def test_the_power_of_an_update_of_a_matrix() -> None:
    start = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\n"
    tangent = "f = sqrt(n) * <v|tanh(W @ x)>\n"
    assert codes(start + "W[i, j] -= x[i] * x[j] / n\n") == []
    assert codes(start + "W[i, j] -= x[i] * x[j]\n") == [("NX222", 5)]
    assert codes(start + "W[i, j] -= x[i] * x[j] / n^1.5\n") == [("NX223", 5)]
    assert codes(start + tangent + "W[i, j] -= x[i] * x[j] / n^1.5\n") == []
    assert codes(start + tangent + "W[i, j] -= x[i] * x[j] / n^2\n") == [("NX223", 6)]
    assert codes(start + "x += x / n\n") == [("NX224", 5)]
    assert codes(start + "x += n * x\n") == [("NX224", 5)]
    assert codes(start + tangent + "x += x / sqrt(n)\n") == []
    assert codes(start + "W *= n\n") == [("NX222", 5)]
    family = "width n\nF[n, n, 3] ~ normal(0, 1/n)\nG[n, n, 2] ~ normal(0, 1/n)\nX[n, 2] ~ normal(0, 1)\n"
    assert codes(family + "F[i, j] += X[i] * X[j] / n\n") == [("NX209", 5)]
    assert codes(family + "F *= [1, 2]\n") == [("NX209", 5)]
    assert codes(family + "F[0:2] = F\n") == [("NX209", 5)]
    assert codes(family + "F = F + G\n") == [("NX209", 5)]
    assert codes(family + "F[ll] *= 2\n") == [("NX101", 5)]
    assert codes(family + "X = F[ll] @ X\n") == [("NX101", 5)]


# ---------------------------------------------------------------------------- shows


def shows(text: str) -> list[Show]:
    return program(text).shows


def test_a_show_says_what_where_and_in_which_pass() -> None:
    found = shows(
        "width n\nx[n, 2] ~ normal(0, 1)\nfor a in range(2):\n    for b in range(2):\n        show <x|x> as K\n"
        "    show  dist( x )\nshow avg(x)\n"
    )
    assert [(s.kind, s.name, s.statement, s.path) for s in found] == [
        ("scalar", "K", 0, (0, 0)),
        ("scalar", "K", 0, (0, 1)),
        ("distribution", "dist( x )", 1, (0,)),
        ("scalar", "K", 0, (1, 0)),
        ("scalar", "K", 0, (1, 1)),
        ("distribution", "dist( x )", 1, (1,)),
        ("scalar", "avg(x)", 2, ()),
    ]
    assert found[0].span.line == 5


def test_an_assertion_has_its_tolerance() -> None:
    found = program("width n\nx[n] ~ normal(0, 1)\nassert avg(x^2) ~= 1 within 1e-6\nassert [avg(x), 1] ~= [0, 1]\n")
    first, second = found.assertions
    assert first.tolerance == 1e-6 and second.tolerance == 1e-3 and second.value.type.shape == (2,)
