"""The core printer: what it prints reads back as the same core, or at least means the same at finite width."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from finite_reference import run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_averages import World, expressions, fits

from nexortlang.core.dependencies import reachable
from nexortlang.core.printer import to_nxt
from nexortlang.core.program import InitScalar, InitVector, MatMul, Program, Show, Value, operands
from nexortlang.core.surface_text import BUILTIN_NAMES, Names, array, as_name, number, rearranged
from nexortlang.core.verify import verify
from nexortlang.driver import Request, check
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.entrywise.ops import OPS
from nexortlang.source import Source, Span

ROOT = Path(__file__).parent.parent
FILES = [*sorted((ROOT / "examples").glob("*.nxt")), *sorted((ROOT / "tests" / "programs").glob("*.nxt"))]


def elaborated(text: str, folder: Path = ROOT) -> Program:
    outcome = check(Source("text.nxt", text), Request(folder=folder))
    assert outcome.program is not None, (
        "\n".join(f"{d.span.line if d.span else '?'}: {d.message}" for d in outcome.diagnostics) + "\n" + text
    )
    return outcome.program


def asked(program: Program) -> list[Value]:
    """What the program shows and asserts."""
    return [s.value for s in program.shows] + [side for a in program.assertions for side in (a.value, a.target)]


def signature(program: Program) -> list[str]:
    """What the program asks for as digests: equal for cores that differ in names, order and dead code only."""
    found: dict[int, str] = {}
    draws = 0
    values = reachable(asked(program))
    used = {v.matrix for v in values if isinstance(v, MatMul)}
    matrices = [m for m in program.matrices if m in used]
    for v in values:
        key: list[object] = [type(v).__name__, v.type.power, v.type.shape, [(s, w.ratio) for s, w in v.type.axes]]
        key += [found[a.id] for a in operands(v)]
        key += [
            getattr(v, attribute, None)
            for attribute in ("op", "spec", "axis", "slots", "exponent", "law", "transposed")
        ]
        arrays = [
            getattr(v, attribute, None) for attribute in ("array", "index", "members", "mean", "variance", "covariance")
        ]
        key += [None if a is None else a.tobytes() for a in arrays]
        if isinstance(v, InitVector | InitScalar):
            key.append(draws)
            draws += 1
        if isinstance(v, MatMul):
            key.append(matrices.index(v.matrix))
        found[v.id] = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
    return [found[v.id] for v in asked(program)]


def means_the_same(first: Program, second: Program, n: int = 12) -> None:
    """Both give the same numbers at a finite width, from the same draws."""
    results = []
    for program in (first, second):
        arrays = run(program, n, seed=3, values=reachable(asked(program)))
        results.append([arrays[v.id] for v in asked(program)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def reads_back(program: Program) -> tuple[str, Program]:
    """The text, and its core, which means the same and prints and reads back as itself."""
    assert verify(program) == []
    text = to_nxt(program)
    again = elaborated(text)
    assert verify(again) == []
    means_the_same(program, again)
    assert signature(elaborated(to_nxt(again))) == signature(again), text
    return text, again


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_programs_read_back_as_the_same_core(path: Path) -> None:
    program = elaborated(path.read_text().replace("const T = 100", "const T = 5"), path.parent)
    text, again = reads_back(program)
    if "transpose(" not in text:  # contractions in another order of axes come back with the transposition spelled out
        assert signature(again) == signature(program), text


TOUR = {
    "gathers": """
        U[n, 2, 3] ~ normal(0, 1)
        z[n] ~ normal(1, 2)
        show avg(U[1] * U[0, :, None] * U[:, 2:0:-1][0, 1])
        show avg(transpose(U, 1, 0) * reshape(U, 3, 2)^2)
        show avg(U[[[1, 0], [0, 0]]])
        show avg(U[:, [2, 0]])
        show avg(U[:, 0:3:2][None])
        show avg(reshape(U, 6)[5])
        show avg(z)[None]
    """,
    "stacks": """
        U[n, 2] ~ normal(1, 1)
        z[n] ~ normal(1, 2)
        h = zeros(n, 3)
        h[0] = z
        h[1:3] = relu(U)
        show avg([z, z^2])
        show avg(tanh(h))
        show [avg(z), 2, avg(z^2)]
        c = [avg(z), avg(abs(z))]
        c[1] = 5
        show c
    """,
    "reductions": """
        U[n, 2, 3] ~ normal(1, 1)
        show avg(max(U, axis=0)) + avg(min(U, axis=1))[:, None] as extremes
        show avg(argmax(U, axis=1))
        show sum(avg(softmax(U, 1)), axis=1)
        show <U|sum(U, axis=0)>
        show argmax(avg(U^2), axis=0)
    """,
    "contractions": """
        const A = randn(2, 3, seed=1)
        const B = randn(2, 4, 3, seed=2)
        U[n, 2] ~ normal(1, 1)
        V[n, 3, 2] ~ normal(0, 1)
        s = avg(U^2)
        show avg(tanh(U @ A))
        show avg((V @ B)^2)
        show s @ A
        show <U|V> @ A
        show avg(V^2) @ (A + s[:, None])
        show B @ transpose(avg(V^2), 0, 1)
        show avg(sum(V * U, axis=1) * V[:, 0])
    """,
    "functions": """
        x[n] ~ normal(0.5, 1)
        y[n] ~ uniform(0, 1)
        show avg(where((x < y) and not (x >= 0), leaky_relu(x, -0.1), clip(x, -1, 1)))
        show avg((x - y) / (1 + x^2) - (-2) * max(x, y) + min(-x, 1e-3) + (x == y) + (x != y) + (x <= 0))
        show avg(gelu(x) + silu(x) + softplus(x) + sigmoid(x) + erf(x) + exp(-x^2) + sqrt(abs(x)) + step(x) + sign(x) + sin(cos(x)))
        show avg(x^3 * (1 + x^2)^(-1.5))
    """,
    "draws": """
        width m = 3*n/2
        width k = n/4
        width l
        W[m, n, 2] ~ rademacher(0, [1, 2]/n)
        V[k, m] ~ normal(0, 1/k)
        O[l, n] ~ uniform(0, 1/n)
        b[n, 3] ~ bernoulli([0.1, 0.5, 0.9])
        z[n, 2, 2] ~ normal([1, 2], [[1, 0.5], [0.5, 1]])
        g[n, 2, 2] ~ laplace(0, 2)
        p[n, 2] ~ normal(0, [1, 4])
        c ~ normal(1, 0.1)
        d[2] ~ normal(0, 0.1)
        r[n] ~ normal(0, 1/n)
        x = z[:, 0] + g[0] + p + b[:2] * c + d + ones(n)
        h = W @ tanh(x)
        show <h|h>
        show avg((V @ h)^2)
        show avg(O @ (W.T @ h))
        show avg(W[1] @ z * h[:, None])
        show avg(W[[1, 1, 0]] @ b)
        show <n * r|r>
        show dist(c)
        show dist(h)
    """,
    "fluctuations": """
        width m = 4*n
        v[n] ~ normal(0, 1)
        u[m, 2] ~ normal(0, 1)
        w[m, 2] ~ normal(0, 1)
        x[n, 2] ~ normal(0, 1)
        c ~ normal(0, 1)
        f = sqrt(n) * <v|tanh(x)> + c
        g = sum(sqrt(n) * avg(u * relu(w)))
        show cov(f)
        show cov([f, [g, 2 * g]])
        show dist(g + c)
        show f^2 as square
    """,
    "outer": """
        width m = 2*n
        x[n, 2] ~ normal(0, 1)
        g[m, 2] ~ normal(0, 1)
        z[n] ~ normal(1, 1)
        W[m, n] ~ normal(0, 1/n)
        const chi = [0.5, -1]
        show avg[i, j](abs(x[i] - x[j]))
        show avg[i, j, k](max(max(x[i, 0], x[j, 0]), x[k, 1]))
        y[i] = avg[j](tanh(x[i] * z[j] + sum(x[j])) * z[j])
        show <y|y>
        G[i, j] = sign(sum(chi * g[i] * x[j])) + 0.1 * tanh(g[i, 0] * x[j, 1])
        W -= 0.1/n * G
        W *= 0.9
        W += |g><x|
        h = W @ z
        show <h|h>
        show avg((W.T @ tanh(h))^2)
        show avg(G^2)
        r[i] = avg[j](sqrt(G[i, j]^2 + 1))
        q[j] = avg[i](sqrt(G[i, j]^2 + 1))
        show avg(r * h)
        show <q|z>
        show avg[i, j](exp(-(tanh(g[i] + x[j]))[:, None] * G[i, j] * [1, 2, 3]))
        w[i] = avg[j, k](tanh(x[i, 0] * x[j, 0] * z[k] + x[k, 1] * avg[l](sin(z[l] * x[j, 0]))))
        show avg(w)
    """,
    "loops and asserts": """
        x[n] ~ normal(0, 1)
        for t in range(2):
            for k in range(2):
                show avg(x^2) + t + k as moment
        assert avg(x^2) ~= 1 within 0.5
        assert [avg(x^2), avg(x)] ~= [1, avg(x^3)] within [0.5, 1]
        show 3.5 as number
        show [1, inf] as arr
    """,
    "names": """
        x1[n] ~ normal(0, 1)
        x′[n] ~ normal(0, 1)
        i[n] ~ normal(0, 1)
        φ = tanh(x1 * x′ + i)
        def relu(x) = x * (x > 0)
        show avg(relu(φ)) as within_
        c1 = avg(φ^2)
        show c1
        show <φ|x1> as ξ₁
    """,
}


@pytest.mark.parametrize("case", TOUR)
def test_every_construct_reads_back(case: str) -> None:
    reads_back(elaborated("width n\n" + dedent(TOUR[case])))


@settings(max_examples=60, deadline=None)
@given(st.lists(expressions().filter(fits), min_size=1, max_size=3))
def test_random_cores_read_back(recipes: list[Callable[[World], Value]]) -> None:
    w = World()
    for make in recipes:
        x = make(w)
        value = w.b.scale(w.b.avg(x, x.type.slots), -x.type.power)
        w.b.program.shows.append(Show("scalar", "shown", value, 0, (), Span(Source("", ""), 0, 0)))
    assume(verify(w.b.program) == [])  # a nonlinearity of something whose power of n is not 0 is no program
    means_the_same(w.b.program, elaborated(to_nxt(w.b.program)), 6)


# ---------------------------------------------------------------------------- pieces of text


@given(st.floats(allow_nan=False))
def test_numbers_are_exact(value: float) -> None:
    program = elaborated(f"show {number(value)} as value")
    assert program.shows[0].value.array == value  # type: ignore[union-attr]


def test_nested_numbers() -> None:
    assert array(np.array([[1.0, -0.5], [np.inf, 1e-20]])) == "[[1, -0.5], [inf, 1e-20]]"


def test_names_are_unique_and_free() -> None:
    names = Names()
    given_out = [names.fresh(hint, "x") for hint in ["h", "h", "h1", "h1", "", "for", "tanh", "avg", "i", "a b"]]
    assert len(set(given_out)) == len(given_out)
    assert not set(given_out) & {"for", "tanh", "avg", "i", ""}
    assert given_out[:4] == ["h", "h2", "h1", "h1_2"]


def test_every_builtin_is_known_to_the_printer() -> None:
    assert set(BUILTINS) <= BUILTIN_NAMES | set(OPS)


def test_what_is_shown_keeps_a_readable_name() -> None:
    assert [as_name(t) for t in ["K", "<x|y>", "mean(f)^2", "2", "for"]] == ["K", "x_y", "mean_f_2", "shown_2", "for_"]


@given(st.data())
def test_rearranged_is_exact(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    entries = np.arange(prod(shape)).reshape(shape)
    items = tuple(
        data.draw(st.sampled_from([0, -1, slice(None), slice(0, 2), slice(None, None, 2), None])) for _ in shape
    )
    items = items if sum(k is not None for k in items) <= len(shape) else ()
    index = np.asarray(entries[items])
    if data.draw(st.booleans()):
        index = index.transpose()
    if index.ndim and data.draw(st.booleans()):
        index = index[data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, max_size=3))]
    text = rearranged("x", shape, index)
    found = eval(text, {"x": entries, "reshape": lambda x, *s: x.reshape(s), "transpose": lambda x, *o: x.transpose(o)})
    np.testing.assert_array_equal(found, index)


def test_shows_of_one_series_are_marked() -> None:
    text = to_nxt(
        elaborated("s = 1\nfor t in range(3):\n    s = s / 2\n    show s as a\n    show s^2 as b\nshow s as last\n")
    )
    lines = [line for line in text.splitlines() if line.startswith(("#", "show"))]
    assert [line for line in lines if line.startswith("#")] == [
        "# one series: the 3 values of a",
        "# one series: the 3 values of b",
    ]
    assert lines.index("# one series: the 3 values of a") == 0 and len(lines) == 9
