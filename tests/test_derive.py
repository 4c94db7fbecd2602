"""Derivations: what people read, golden; closed forms, against the engine; LaTeX, compiled where there is a TeX."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexortlang import driver
from nexortlang.cli import main
from nexortlang.derive.algebra import add, div, mul, neg, power, root
from nexortlang.derive.equations import Derivation, Equation
from nexortlang.derive.latex import latex
from nexortlang.derive.terms import (
    Add,
    Bracket,
    Call,
    Div,
    Entry,
    Index,
    Ket,
    Label,
    Mean,
    Mul,
    Num,
    Over,
    Pow,
    Sym,
    Term,
    walk,
)
from nexortlang.derive.text import equation, text
from nexortlang.derive.writing import is_written_exactly, written
from nexortlang.diagnostics import Diagnostic
from nexortlang.driver import Request
from nexortlang.elaborate.program import Elaborator
from nexortlang.session import Session
from nexortlang.source import Source
from nexortlang.syntax import ast

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "derivations"
PROGRAMS = {
    **{name: GOLDEN / f"{name}.nxt" for name in ("two_layers", "sgd_step", "adam_step", "hats_and_dots", "ntk")},
    **{
        name: ROOT / "examples" / f"{name}.nxt"
        for name in ("first", "semicircle", "gia_counterexample", "outer_nonlin")
    },
    "sampled_tanh_update": ROOT / "tests" / "programs" / "sampled_tanh_update.nxt",
}
EXAMPLES = sorted((ROOT / "examples").glob("*.nxt")) + sorted(GOLDEN.glob("*.nxt"))


def derived(path: Path, steps: int | None = 2) -> Derivation:
    outcome, found = driver.derive(Source(str(path), path.read_text("utf-8")), Request(folder=path.parent), steps)
    assert found is not None, outcome.diagnostics
    return found


def derived_text(program: str, steps: int | None = 2) -> str:
    outcome, found = driver.derive(Source("a.nxt", program), Request(), steps)
    assert found is not None, outcome.diagnostics
    return text(found, 100)


# ---------------------------------------------------------------------------- what people read


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name: str) -> None:
    """To accept new text: nexort derive PROGRAM -o tests/derivations/NAME.txt, and read it."""
    assert text(derived(PROGRAMS[name])) == (GOLDEN / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "|h2₀,ᵢ⟩ = |W2₀ x1₀,ᵢ⟩ = |W2₀ x1₀,ᵢ⟩^",
        "|W2₀ x1₁,ᵢ⟩ = |W2₀ x1₁,ᵢ⟩^ + |W2₀ x1₁,ᵢ⟩•",
        "|W2₀ x1₁,ᵢ⟩• = Σⱼ |dh2₀,ⱼ⟩ E[∂|x1₁,ᵢ⟩/∂|W2₀ᵀ dh2₀,ⱼ⟩^]",
        "|v₁⟩ = |v₀⟩ − η |dv₀⟩",
        "|h2₁,ᵢ⟩ = |W2₀ x1₁,ᵢ⟩ − η Σⱼ χ₀,ⱼ |dh2₀,ⱼ⟩⟨x1₀,ⱼ|x1₁,ᵢ⟩",
        "χ₀,ᵢ = ½ (f₀,ᵢ − yᵢ) = (−½; ½)ᵢ",
        "|h1₁,ᵢ⟩ = Σⱼ ξᵢⱼ |W1₁,ⱼ⟩",
    ],
)
def test_a_step_of_sgd_reads_like_the_paper(line: str) -> None:
    assert line in re.split(r"\n +|\n", text(derived(PROGRAMS["sgd_step"]), 200))


def test_a_step_of_adam_is_a_nonlinear_outer_product() -> None:
    page = text(derived(PROGRAMS["adam_step"]), 200)
    assert "|h2₁,ᵢ⟩ = |W2₀ x1₁,ᵢ⟩ − η adam₀(Σⱼ χ₀,ⱼ |dh2₀,ⱼ⟩⟨x1₀,ⱼ|) |x1₁,ᵢ⟩" in page
    assert "|dx1₁,ᵢ⟩ = |W2₀ᵀ dh2₁,ᵢ⟩ − η adam₀(Σⱼ χ₀,ⱼ |x1₀,ⱼ⟩⟨dh2₀,ⱼ|) |dh2₁,ᵢ⟩" in page
    assert "adam₀(g) = g/(|g| + 1e−8)" in page
    assert "−0.09" not in page and "t = 2" in page


def test_later_steps_are_sums_over_steps() -> None:
    program = (GOLDEN / "sgd_step.nxt").read_text("utf-8").replace("range(2)", "range(4)")
    page = derived_text(program, None)
    assert "|h2₃,ᵢ⟩ = |W2₀ x1₃,ᵢ⟩ − η Σₛ₌₀² Σⱼ χₛ,ⱼ |dh2ₛ,ⱼ⟩⟨x1ₛ,ⱼ|x1₃,ᵢ⟩" in page
    few = derived_text(program, 2)
    assert "… t = 2 to t = 3: the same equations, one step on each time" in few and "x1₂" not in few
    assert "… t = 1 to t = 3: 36 more equations" in derived_text(program, 1)  # they do not read like those of t = 0


def test_every_inner_product_of_a_tangent_kernel_has_an_equation() -> None:
    relu = PROGRAMS["ntk"].read_text("utf-8")
    for program in (relu, relu.replace("relu", "tanh"), relu.replace("relu", "erf"), relu.replace("relu", "exp")):
        outcome, found = driver.derive(Source("ntk.nxt", program), Request(), 2)
        assert found is not None, outcome.diagnostics
        equations = [*(e for s in found.sections for e in s.equations), *found.kernels]
        told = {_heads(e.left) for e in equations if isinstance(e.left, Bracket)}
        spoken = {_heads(t) for e in equations for _, side in e.sides for t in walk(side) if isinstance(t, Bracket)}
        assert len(spoken) >= 3 and spoken <= told, spoken - told


def _heads(t: Bracket) -> frozenset[str]:
    """A bracket without its indices, in either order."""
    return frozenset(re.sub("[ᵢⱼ]", "", line) for k in (t.bra, t.ket) for line in equation(Equation(k, ())))


def test_what_is_shown_has_a_line() -> None:
    page = derived_text(
        "width n\nx[n] ~ normal(0, 1)\nshow avg(tanh(x)^4)\nshow <x|tanh(tanh(x))>\nshow dist(x * tanh(x))\n"
        "show avg(tanh(x)^4) + avg(relu(x)) as c\n"
    )
    lines = page.splitlines()
    assert {"E[tanh(|x⟩)⁴]", "E[|x⟩ tanh(tanh(|x⟩))]", "|x⟩ tanh(|x⟩)"} <= set(lines)
    assert "c = E[tanh(|x⟩)⁴] + E[relu(|x⟩)]" in lines and "  E[relu(|x⟩)] = √(1/(2π))" in lines


def test_a_program_is_elaborated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once more with its consts moved, where there are some that may be told."""
    runs: list[int] = []
    real = Elaborator.run

    def run(self: Elaborator, statements: tuple[ast.Stmt, ...]) -> list[Diagnostic]:
        runs.append(len(statements))
        return real(self, statements)

    monkeypatch.setattr(Elaborator, "run", run)
    derived_text("width n\nx[n] ~ normal(0, 0.5)\nshow avg(abs(x))\n")
    assert runs == [3]
    page = derived_text("width n\nconst lr = 0.5\nx[n] ~ normal(0, lr)\nshow avg(abs(x))\n")
    assert runs == [3, 4, 4] and "N(0, lr)" in page
    page = derived_text("width n\nconst lr = 0.5\nx[n] ~ normal(0, lr)\nshow 2 * lr * avg(abs(x))\n")
    assert runs == [3, 4, 4, 4, 4] and "2 lr E[abs(|x⟩)]" in page
    assert "a = 0.3" in derived_text(
        "width n\nconst b = 0.9\nif b > 0.5:\n    const a = 0.3\nx[n] ~ normal(0, a)\nshow avg(abs(x))\n"
    )


def test_consts_are_told_apart_from_equal_numbers() -> None:
    page = derived_text(
        "width n\nconst lr = 0.5\nconst β = 0.9\nx[n] ~ normal(0, lr)\n"
        "show (1 - β) * lr * avg(x^2) as a\nshow 0.5 * avg(abs(x)) as b\nshow avg(x^2) / lr^2 as c\n"
    )
    assert "|x⟩ ~ N(0, lr)" in page
    assert "a = lr (1 − β) E[|x⟩²]" in page.replace("⟨x|x⟩", "E[|x⟩²]")
    assert "b = ½ E[abs(|x⟩)]" in page
    assert "c = ⟨x|x⟩/lr²" in page
    assert "lr = 0.5\nβ = 0.9" in page


def test_one_value_is_derived_in_a_session() -> None:
    session = Session(Request())
    for line in ("width n", "W[n, n] ~ normal(0, 2/n)", "x[n] ~ normal(0, 1)", "y = relu(W @ x)"):
        assert not session.run(Source("<input>", f"{line}\n")).is_wrong
    _, found = session.derive(Source("<input>", "<y|y>\n"))
    assert found is not None and "⟨y|y⟩ = E[relu(|W x⟩)²] = ½ ⟨W x|W x⟩ = 1" in text(found)
    assert session.derive(Source("<input>", "nosuch\n"))[1] is None
    assert session.run(Source("<input>", "avg(y)\n")).shown is not None


def test_a_long_recursion_is_cut() -> None:
    deep = "width n\nx[n] ~ normal(0, 1)\nfor l in range(30):\n    W[n, n] ~ normal(0, 1/n)\n    x = erf(W @ x)\nshow <x|x> as K\n"
    page, whole = derived_text(deep), derived_text(deep, None)
    assert page.startswith("W₀, …, W₂₉: n × n, independent entries of mean 0 and variance 1/n\n  Cov(|W₀ u⟩^")
    assert page.endswith("  … and so on, down to the draws\n")
    assert len(whole.splitlines()) > 2 * len(page.splitlines()) and "and so on" not in whole


def test_nothing_asked_for() -> None:
    assert derived_text("width n\nx[n] ~ normal(0, 1)\n").startswith("Nothing is shown or asserted")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_lines_fit_a_narrow_terminal(path: Path) -> None:
    """Where a line is longer there is no blank in it to break it at."""
    for line in text(derived(path), 40).splitlines():
        assert len(line) <= 40 or " " not in line.strip()[2:]


PAGE = (ROOT / "docs" / "derive.md").read_text("utf-8")


@pytest.mark.parametrize(("program", "printed"), re.findall(r"```nxt\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL))
def test_the_manual_shows_what_is_printed(program: str, printed: str) -> None:
    _, d = driver.derive(Source("a.nxt", program), Request(), 2)
    assert d is not None and text(d, 80) == printed


# ---------------------------------------------------------------------------- closed forms are right

FUNCTIONS = {
    "sqrt": math.sqrt,
    "arccos": lambda x: math.acos(min(1.0, max(-1.0, x))),
    "arcsin": lambda x: math.asin(min(1.0, max(-1.0, x))),
    "abs": abs,
    **{name: getattr(math, name) for name in ("sin", "cos", "exp", "sinh", "cosh")},
}


class Values:
    """Terms as numbers: brackets and symbols by their equations."""

    def __init__(self, d: Derivation) -> None:
        self.arrays, self.consts = d.arrays, d.consts
        everything = [*(e for s in d.sections for e in s.equations), *d.kernels]
        self.equations = {
            self.stem(e.left): e for e in everything if isinstance(e.left, Bracket | Sym) and self.is_general(e.left)
        }

    def stem(self, t: Term) -> object:
        if isinstance(t, Sym):
            return t.label.name, t.label.step
        assert isinstance(t, Bracket)
        return tuple(re.sub(r"indices=\(.*?\)\)", "", repr(k.head)) for k in (t.bra, t.ket))

    def is_general(self, t: Term) -> bool:
        """Whether it is an equation for all entries."""
        return all(i.number is None for i in self.indices(t))

    def indices(self, t: Term) -> list[Index]:
        labels = [t.label] if isinstance(t, Sym) else []
        if isinstance(t, Bracket):
            labels = [k.head if isinstance(k.head, Label) else k.head.operand for k in (t.bra, t.ket)]
        return [i for label in labels for i in label.indices]

    def value(self, t: Term, at: Mapping[str, int]) -> float:
        match t:
            case Num(value=x):
                return x
            case Sym(label=Label(name="π")):
                return math.pi
            case Add(items=items):
                return math.fsum(self.value(i, at) for i in items)
            case Mul(items=items):
                return math.prod(self.value(i, at) for i in items)
            case Div(above=a, below=b):
                return self.value(a, at) / self.value(b, at)
            case Pow(base=a, exponent=b):
                return self.value(a, at) ** self.value(b, at)
            case Call(name=name, args=(a,)):
                return FUNCTIONS[name](self.value(a, at))
            case Over(op="sum", letter=name, body=body):
                return math.fsum(self.value(body, {**at, name: k}) for k in range(self.size(body, name)))
            case Entry(items=items, index=index):
                return self.value(items[self.position(index, at)], at)
        return self.looked_up(t, [self.position(i, at) for i in self.indices(t)])

    def position(self, index: Index, at: Mapping[str, int]) -> int:
        assert not index.table
        return index.offset + sum(factor * at[name] for name, factor in index.parts)

    def size(self, body: Term, name: str) -> int:
        for part in walk(body):
            if isinstance(part, Sym) and part.label.name in self.arrays:
                for axis, index in enumerate(part.label.indices):
                    if name in index.letters:
                        return self.arrays[part.label.name].shape[axis]
        raise AssertionError(f"the range of {name} in {body}")

    def looked_up(self, t: Term, at: list[int]) -> float:
        if isinstance(t, Sym) and t.label.name in self.arrays:
            return float(self.arrays[t.label.name][tuple(at)])
        if isinstance(t, Sym) and t.label.name in self.consts:
            return self.consts[t.label.name]
        e = self.equations.get(self.stem(t))
        if e is None and isinstance(t, Bracket):
            e = self.equations[self.stem(Bracket(t.ket, t.bra))]
            half = len(at) // 2
            at = at[half:] + at[:half]
        assert e is not None, t
        names = [next(iter(i.letters), "") for i in self.indices(e.left)]
        return self.of(e, dict(zip(names, at, strict=True)))

    def of(self, e: Equation, at: Mapping[str, int]) -> float:
        """By the last side that is not a number, so that no computed value stands for a formula."""
        formulas = [side for sign, side in e.sides if not isinstance(side, Num | Entry) and sign == "="]
        sides = [side for side in formulas if not any(isinstance(part, Mean) for part in walk(side))]
        return self.value(sides[-1] if sides else e.sides[-1][1], at)


PAIRS = """
width n
const C = [[1.3, 0.6], [0.6, 0.7]]
z[n, 2] ~ normal(0, C)
u = z[0]
v = z[1]
show avg(relu(u) * relu(v)) as a1
show avg(step(u) * step(v)) as a2
show avg(sign(u) * sign(v)) as a3
show avg(abs(u) * abs(v)) as a4
show avg(erf(u) * erf(v)) as a5
show avg(exp(u) * exp(v)) as a6
show avg(sin(u) * sin(v)) as a7
show avg(cos(u) * cos(v)) as a8
show avg(relu(u)) as b1
show avg(abs(u)) as b2
show avg(step(u)) as b3
show avg(exp(u)) as b4
show avg(cos(u)) as b5
show avg(relu(u)^2) as b6
show avg(erf(u)^2) as b7
show avg(abs(u)^2) as b8
show avg(u * relu(v)) as d1
show avg(u * sign(v)) as d2
show avg(u * step(v)) as d3
show avg(u * erf(v)) as d4
show avg(u * exp(v)) as d5
show avg(u * sin(v)) as d6
show avg(u^2 * v^2) as e1
show avg(u^3 * v) as e2
show avg(u^4) as e3
"""


def test_closed_forms_against_the_engine() -> None:
    source = Source("pairs.nxt", PAIRS)
    outcome = driver.run(source, Request())
    _, d = driver.derive(source, Request(), 2)
    assert d is not None and outcome.shown is not None
    values = Values(d)
    formulas = {e.left: e for s in d.sections for e in s.equations}
    for shown in outcome.shown:
        e = formulas[Sym(Label(shown.name))]
        assert any(sign == "=" and not isinstance(side, Num) for sign, side in e.sides[1:]) or len(e.sides) > 1, e
        assert values.of(e, {}) == pytest.approx(float(np.asarray(shown.answer.value)), rel=1e-12, abs=1e-14), (
            shown.name
        )  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["first", "two_layers"])
def test_kernels_by_their_equations(name: str) -> None:
    """The kernel that comes out of the printed recursion is the one that the engine computes."""
    path = PROGRAMS[name]
    outcome = driver.run(Source(str(path), path.read_text("utf-8")), Request(folder=path.parent))
    assert outcome.shown is not None
    K = next(s.answer.value for s in outcome.shown if s.name == "K")  # type: ignore[union-attr]
    values = Values(derived(path))
    found = [
        [values.looked_up(Sym(Label("K", None, (Index((), i), Index((), j)))), [i, j]) for j in range(len(K))]
        for i in range(len(K))
    ]
    assert np.allclose(found, K, rtol=1e-12, atol=1e-14)


TWICE = """
width n
W[n, n] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
h = W @ x
"""


@pytest.mark.parametrize(
    "rest",
    [
        "show <h|h> as c\n",
        "back = W.T @ h\nshow <back|back> as c\n",
        "back = W.T @ relu(h)\nshow <back|back> as c\n",
        "y = (h + W.T @ x) / 2 + x\nshow <y|y> as c\nshow <y|h> as d\n",
        "z = W @ (x + W.T @ h)\nshow <z|h> as c\n",
        "W2[n, n, 2] ~ normal(0, [2, 0.5]/n)\ny = W2[0] @ relu(h) / 3 + h\nz = W2[1] @ y - y\nshow avg(relu(z)^2) as c\nshow avg(relu(y) * y) as d\n",
        "W2[n, n, 2] ~ normal(0, 2/n)\nshow avg(relu(W2[0] @ x) * relu(W2[1] @ x)) as c\nshow avg(relu(W2[1] @ x)^2) as d\n",
        "const a = [1, -2]\nU[n, 2] ~ normal(0, 3)\nb[n] ~ normal(0, 0.2)\ny = U @ a + b + h\nshow avg(relu(y)^2) as c\n",
    ],
)
def test_what_follows_under_where_is_true(rest: str) -> None:
    """Whatever equation there is for ⟨a|b⟩ gives the number that the engine has for it."""
    source = Source("twice.nxt", TWICE + rest)
    outcome = driver.run(source, Request())
    _, d = driver.derive(source, Request(), 2)
    assert d is not None and outcome.shown is not None
    values = Values(d)
    for s in outcome.shown:
        e = next(e for section in d.sections for e in section.equations if e.left == Sym(Label(s.name)))
        try:
            found = values.of(e, {})
        except KeyError:  # an inner product without an equation
            continue
        assert found == pytest.approx(float(s.answer.value), rel=1e-12, abs=1e-14)  # type: ignore[union-attr]


def test_dots_of_the_semicircle() -> None:
    page = text(derived(PROGRAMS["semicircle"]), 100)
    assert "|W z₀⟩• = 1/√2 |x⟩" in page and "even₁ = ⟨x|z₃⟩ = 2" in page and "odd₁ = ⟨x|z₂⟩ = 0" in page


# ---------------------------------------------------------------------------- numbers and terms


@given(st.integers(-500, 500), st.integers(1, 16))
def test_fractions_are_found(p: int, q: int) -> None:
    d = Derivation((), (), {}, {}, (), (), ())
    assert Values(d).value(written(p / q), {}) == pytest.approx(p / q, rel=1e-14, abs=0)


@given(st.floats(1e-6, 1e6))
def test_a_number_that_is_written_exactly_is_what_is_written(x: float) -> None:
    d = Derivation((), (), {}, {}, (), (), ())
    if is_written_exactly(x):
        assert Values(d).value(written(x), {}) == pytest.approx(x, rel=1e-14, abs=0)


LEAVES = st.sampled_from([Sym(Label("a")), Sym(Label("b")), Num(2.0), Num(-0.5), Num(3.0)])
TERMS = st.recursive(
    LEAVES,
    lambda t: st.one_of(
        st.builds(lambda a, b: ("add", a, b), t, t),
        st.builds(lambda a, b: ("mul", a, b), t, t),
        st.builds(lambda a, b: ("div", a, b), t, t),
        st.builds(lambda a: ("neg", a), t),
        st.builds(lambda a: ("square", a), t),
        st.builds(lambda a: ("root", a), t),
    ),
    max_leaves=8,
)


@given(TERMS)
def test_the_normal_form_keeps_the_value(made: object) -> None:
    """What the constructors simplify has the value that plain arithmetic gives."""
    d = Derivation((), (), {}, {}, (), (), (), {"a": 1.7, "b": 0.4})
    values = Values(d)

    def both(x: object) -> tuple[Term, float]:
        if not isinstance(x, tuple):
            return x, values.value(x, {})  # type: ignore[arg-type, return-value]
        parts = [both(p) for p in x[1:]]
        (t, a), (u, b) = parts[0], parts[-1]
        match x[0]:
            case "add":
                return add(t, u), a + b
            case "mul":
                return mul(t, u), a * b
            case "div":
                return (div(t, u), a / b) if abs(b) > 1e-3 else (t, a)
            case "neg":
                return neg(t), -a
            case "square":
                return power(t, Num(2.0)), a * a
            case _:
                return (root(t), math.sqrt(a)) if a >= 0 else (t, a)

    term, expected = both(made)
    assert values.value(term, {}) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_signs_and_parentheses() -> None:
    x, y = Ket(Label("x")), Ket(Label("y"))
    e = Equation(x, (("=", mul(Num(-0.5), add(x, neg(y)), Call("tanh", (y,)))),))
    assert equation(e) == ["|x⟩ = −½ (|x⟩ − |y⟩) tanh(|y⟩)"]
    e = Equation(x, (("=", div(add(x, Num(1.0)), add(y, Num(-2.0)))),))
    assert equation(e) == ["|x⟩ = (|x⟩ + 1)/(|y⟩ − 2)"]


# ---------------------------------------------------------------------------- LaTeX


def structure_is_sound(document: str) -> None:
    """Braces balance, environments nest, \\left meets \\right."""
    depth = 0
    for c in re.sub(r"\\[{}]", "", document):
        depth += {"{": 1, "}": -1}.get(c, 0)
        assert depth >= 0
    assert depth == 0
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", document):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert len(re.findall(r"\\left\b", document)) == len(re.findall(r"\\right\b", document))
    assert document.isascii()


NAMES = "width n\nconst ξ = [1, 2]\nμ₁[n] ~ normal(0, 1)\né[n] ~ normal(0, 1)\n中[n] ~ normal(0, 1)\nx′[n] ~ normal(0, 1)\nmy_vector2[n] ~ normal(0, 1)\n"
NAMES += "show avg(μ₁ * é * 中) as φ\nshow ξ * avg(abs(x′ * my_vector2)) as 答\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_latex_structure(path: Path) -> None:
    structure_is_sound(latex(derived(path), path.name))


def test_latex_of_strange_names() -> None:
    _, d = driver.derive(Source("a_b%c.nxt", NAMES), Request(), 2)
    assert d is not None
    document = latex(d, "a_b%c^d~é.nxt")
    structure_is_sound(document)
    assert r"\xi" in document and r"\mu^{1}" in document and r"\acute{e}" in document and "x'" in document


def test_latex_of_an_optimizer_step_has_bars() -> None:
    program = (GOLDEN / "adam_step.nxt").read_text("utf-8").replace("range(3)", "range(2)")
    _, d = driver.derive(Source("a.nxt", program), Request(), 2)
    assert d is not None
    document = latex(d)
    assert r"\overline{g} &= \operatorname{adam}_{0}\left(g\right) = \frac{g}{" in document
    assert (
        r"\overline{\sum_{j} \chi_{0,j} \ket{\mathrm{d}h^{2}_{0,j}}\bra{x^{1}_{0,j}}}\, \ket{x^{1}_{1,i}}" in document
    )


TEX = next((name for name in ("pdflatex", "xelatex", "lualatex") if shutil.which(name)), None)


@pytest.mark.parametrize("name", [*PROGRAMS, "names"] if TEX else [])
def test_latex_compiles(name: str, tmp_path: Path) -> None:
    source = Source("a.nxt", NAMES) if name == "names" else None
    d = driver.derive(source, Request(), 2)[1] if source else derived(PROGRAMS[name])
    assert d is not None
    (tmp_path / "a.tex").write_text(latex(d, "a_b.nxt"), encoding="utf-8")
    done = subprocess.run(
        [str(TEX), "-interaction=nonstopmode", "-halt-on-error", "a.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]


# ---------------------------------------------------------------------------- the command


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = str(PROGRAMS["first"])
    assert main(["derive", first, "-o", str(tmp_path / "d.txt")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "d.txt").read_text("utf-8") == (GOLDEN / "first.txt").read_text("utf-8")
    assert main(["derive", first, "--latex"]) == 0
    assert capsys.readouterr().out.startswith("\\documentclass")
    assert main(["derive", first, "--set", "X=[[1, 1, 1]]"]) == 1  # K[0, 1] is beyond one input
    assert "NX212" in capsys.readouterr().err
    assert main(["derive", str(PROGRAMS["semicircle"]), "--all"]) == 0
    assert "k = 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["derive"], 2, "NX507"),
        (["derive", "first", "second"], 2, "NX507"),
        (["derive", "nosuch.nxt"], 1, "NX501"),
        (["derive", "FIRST", "--steps", "0"], 2, "NX507"),
        (["derive", "FIRST", "-o", "no/such/folder/a.tex"], 1, "NX501"),
        (["FIRST", "--latex"], 2, "NX507"),
        (["core", "FIRST", "--all"], 2, "NX507"),
    ],
)
def test_what_can_be_wrong(capsys: pytest.CaptureFixture[str], words: list[str], status: int, code: str) -> None:
    assert main([str(PROGRAMS["first"]) if w == "FIRST" else w for w in words]) == status
    err = capsys.readouterr().err
    assert f"[{code}]" in err and "Traceback" not in err
