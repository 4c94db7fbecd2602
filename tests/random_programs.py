"""Random well-typed programs, as text: what the checker must accept and both engines must agree on.

In: a source of random choices. Out: the text of a program of up to 15 instructions that shows a few numbers of order one. Guarantees: well typed by the rules of
LANGUAGE.md; quantities stay of order one (what has grown is scaled or squashed), no function jumps where its argument may have an atom, and random
scalars enter vectors seldom, so that limits are well conditioned and finite widths approach them fast.

The generator follows types as a reader does: it knows of every name its width, finite shape, rough size, and how fast its tails fall (`degree`: 0 bounded, 1 Gaussian, 2 a square).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from random import Random

import numpy as np
from hypothesis import strategies as st

Shape = tuple[int, ...]

MOST_ENTRIES = 6
MOST_INSTRUCTIONS = 15
LAWS = ("uniform(0, {v})", "rademacher(0, {v})", "laplace(0, {v})")
UNARY = {
    "tanh({e})": 1.0,
    "erf({e})": 1.0,
    "relu({e})": 0.0,
    "sin({e})": 1.0,
    "cos({e})": 1.0,
    "abs({e})": 0.0,
    "sigmoid({e})": 1.0,
    "gelu({e})": 0.0,
    "silu({e})": 0.0,
    "leaky_relu({e}, 0.2)": 0.0,
    "0.5 * softplus({e})": 0.0,
    "clip({e}, -1, 1.5)": 1.0,
    "exp(-({e})^2)": 1.0,
    "({e}) / (1 + ({e})^2)": 1.0,
    "log(1 + ({e})^2)": 0.0,
}
"""Functions with their bound, 0 for none."""
JUMPS = ("sign({e})", "step({e})", "({e} > 0.3)", "where({e} > 0, {o}, 0.5)")


@dataclass(frozen=True, slots=True)
class Term:
    """An expression. `dense`: its coordinate has a density, so that a function may jump there. `solid`: its variance is far from 0."""

    text: str
    shape: Shape
    size: float = 1.0
    degree: int = 1
    dense: bool = False
    solid: bool = False

    @property
    def count(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Vector:
    """A named vector. `drawn`: an initial vector."""

    width: str
    term: Term
    drawn: bool = False

    @property
    def name(self) -> str:
        return self.term.text


@dataclass(frozen=True, slots=True)
class Operator:
    """A named matrix, rows × cols, or a family of them. `trainable`: updates may change it. `size` bounds what it does to a vector's size."""

    name: str
    rows: str
    cols: str
    family: int = 0
    size: float = 1.0
    trainable: bool = True


def programs(most: int = MOST_INSTRUCTIONS) -> st.SearchStrategy[str]:
    """Texts of well-typed programs, for hypothesis."""
    return st.randoms(use_true_random=False).map(lambda rng: program(rng, most))


def program(rng: Random, most: int = MOST_INSTRUCTIONS) -> str:
    """The text of one program."""
    return _Writer(rng).program(rng.randrange(1, most + 1))


def joint(*shapes: Shape) -> Shape | None:
    """The shape that finite shapes broadcast to; None if they do not, or to too much."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return shape if prod(shape) <= MOST_ENTRIES else None


class _Writer:
    """Writes one program, statement by statement, keeping what names mean. Choices are whole numbers, which shrink well."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lines: list[str] = []
        self._indent = ""
        self._count = 0
        self._widths: list[str] = []
        self._vectors: list[Vector] = []
        self._scalars: list[Term] = []
        self._gaussians: list[Term] = []
        self._matrices: list[Operator] = []
        self._functions: list[str] = []
        self._outers: list[tuple[str, str, str, Shape]] = []
        self._readout: list[str] = []
        self._random_scalars: list[Term] = []

    # -- choices

    def _one_in(self, k: int) -> bool:
        return self._rng.randrange(k) == k - 1

    def _pick(self, options: Sequence[object]) -> object:
        return options[self._rng.randrange(len(options))]

    def _number(self, *options: str) -> str:
        return str(self._pick(options or ("0.5", "0.3", "0.8", "-0.4", "1")))

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _say(self, line: str) -> None:
        self._lines.append(self._indent + line)

    # -- the program

    def program(self, instructions: int) -> str:
        self._declare()
        for _ in range(instructions):
            self._statement()
        self._shows()
        return "\n".join(self._lines) + "\n"

    def _declare(self) -> None:
        self._widths.append("n")
        self._say("width n")
        if self._one_in(3):
            self._widths.append("m")
            self._say(f"width m = {self._number('2*n', 'n/2', '1.5*n', 'n')}")
        if self._one_in(8):
            self._widths.append("p")
            self._say("width p")
        for width in self._widths:
            for _ in range(1 + self._one_in(2)):
                self._draw_vector(width)
        for _ in range(self._rng.randrange(1, 4)):
            self._draw_matrix()
        if self._one_in(3):
            width = str(self._pick(self._widths))
            name = self._name("v")
            self._say(f"{name}[{width}] ~ {self._number('normal(0, 1)', 'normal(0, 0.5)', 'rademacher(0, 1)')}")
            self._readout += [name, width]
        if self._one_in(6):
            name = self._name("c")
            self._say(f"{name} ~ normal(0.3, 0.04)")
            self._random_scalars.append(Term(name, (), 0.4))
        if self._one_in(4):
            name = self._name("act")
            self._say(
                str(
                    self._pick(
                        (
                            f"def {name}(u, a = 0.7) = tanh(a * u) + 0.1 * u",
                            f"def {name}(u) = relu(u) - 0.4 * relu(-u)",
                            f"def {name}(u) =\n    w = sin(u)\n    return w + 0.5 * w^2".replace(") =\n", "):\n"),
                        )
                    )
                )
            )
            self._functions.append(name)

    def _draw_vector(self, width: str) -> None:
        name = self._name("x")
        kind = self._rng.randrange(12)
        shape: Shape = ()
        dense = True
        match kind:
            case 0 | 1 | 2:
                law = f"[{width}] ~ normal(0, 1)"
            case 3:
                law = f"[{width}] ~ normal(0.4, 0.7)"
            case 4:
                law, shape = f"[{width}, 2] ~ normal(0, [[1, 0.5], [0.5, 0.8]])", (2,)
            case 5:
                law, shape = f"[{width}, 3] ~ normal([0.5, 0, -0.5], [0.5, 1, 0.2])", (3,)
            case 6:
                law, shape = f"[{width}, 2] ~ normal(0.2, 1)", (2,)
            case 7:
                law = f"[{width}] ~ uniform(low=-1, high=1.5)"
            case 8:
                law, dense = f"[{width}] ~ rademacher(0, 1)", False
            case 9:
                law = f"[{width}] ~ laplace(0.1, 0.5)"
            case 10:
                law, dense = f"[{width}] ~ bernoulli(0.4)", False
            case _:
                embedding = self._name("U")
                self._say(f"{embedding}[{width}, 3] ~ normal(0, 1/3)")
                self._say(f"{name} = {embedding} @ [[1, 0], [0.5, 1], [-1, 0.3]]")
                self._vectors.append(Vector(width, Term(name, (2,), 1.0, 1, True, True)))
                return
        self._say(name + law)
        self._vectors.append(Vector(width, Term(name, shape, 1.0, 1, dense, True), drawn=True))

    def _draw_matrix(self) -> None:
        rows, cols = (str(self._pick(self._widths)) for _ in range(2))
        name = self._name("W")
        over = cols if self._one_in(4) is False else rows
        family = self._rng.randrange(2, 4) if self._one_in(4) else 0
        variance = f"{self._number('1', '0.5', '1', '1.5')}/{over}"
        law = str(self._pick(LAWS)).format(v=variance) if self._one_in(4) else f"normal(0, {variance})"
        dims = ", ".join([rows, cols, *([str(family)] if family else [])])
        self._say(f"{name}[{dims}] ~ {law}")
        self._matrices.append(Operator(name, rows, cols, family, 1.5))

    # -- expressions

    def _vector_terms(self, width: str) -> list[Term]:
        return [v.term for v in self._vectors if v.width == width]

    def _scalar_terms(self) -> list[Term]:
        return self._scalars[-4:]

    def _expression(self, atoms: Sequence[Term], depth: int, within: Shape | None = None) -> Term:
        """A random entrywise expression of size about 1. `within`: a shape that its shape must broadcast into."""
        usable = [a for a in atoms if within is None or joint(a.shape, within) == within]
        if not usable:
            return Term("0.4", (), 0.4, 0)
        return self._normalised(self._free(usable, depth))

    def _free(self, atoms: Sequence[Term], depth: int) -> Term:
        atom = atoms[self._rng.randrange(len(atoms))]
        if depth == 0:
            return atom
        kind = self._rng.randrange(10)
        if kind <= 3:
            return self._applied(self._free(atoms, depth - 1))
        if kind == 4 and atom.dense:
            other = self._free(atoms, depth - 1)
            return self._jump(atom, other)
        if kind <= 7:
            return self._joined(self._free(atoms, depth - 1), self._free(atoms, depth - 1))
        e = self._free(atoms, depth - 1)
        number = self._number()
        if kind == 8:
            return replace(e, text=f"{number} * {_factor(e.text)}", size=abs(float(number)) * e.size)
        return Term(f"({e.text} + {_signed(number)})", e.shape, e.size + abs(float(number)), e.degree, e.dense, e.solid)

    def _applied(self, e: Term) -> Term:
        if self._functions and self._one_in(4):
            return Term(f"{self._functions[0]}({e.text})", e.shape, e.size * 1.5, e.degree)
        form = str(self._pick(list(UNARY)))
        bound = UNARY[form]
        solid = e.dense and form.startswith(("tanh", "erf", "relu", "abs", "cos", "leaky"))
        size = min(bound, e.size) if bound else e.size
        return Term(form.format(e=e.text), e.shape, max(size, 0.5), 0 if bound else e.degree, False, solid)

    def _jump(self, e: Term, other: Term) -> Term:
        form = str(self._pick(JUMPS))
        if "{o}" not in form:
            return Term(form.format(e=e.text), e.shape, 1.0, 0, False, True)
        shape = joint(e.shape, other.shape)
        if shape is None:
            return Term(f"sign({e.text})", e.shape, 1.0, 0, False, True)
        return Term(form.format(e=e.text, o=other.text), shape, max(0.5, other.size), other.degree)

    def _joined(self, a: Term, b: Term) -> Term:
        shape = joint(a.shape, b.shape)
        if shape is None:
            return a
        match self._rng.randrange(6):
            case 0 | 1:
                return Term(f"({a.text} + {b.text})", shape, a.size + b.size, max(a.degree, b.degree))
            case 2:
                return Term(f"({a.text} - {_factor(b.text)})", shape, a.size + b.size, max(a.degree, b.degree))
            case 3 | 4 if a.degree + b.degree <= 2:
                return Term(f"{_factor(a.text)} * {_factor(b.text)}", shape, a.size * b.size * 1.3, a.degree + b.degree)
            case 5:
                name = self._number("max", "min")
                return Term(f"{name}({a.text}, {b.text})", shape, max(a.size, b.size), max(a.degree, b.degree))
            case _:
                return Term(
                    f"({a.text} + {b.text}) / sqrt(1 + 0.5 * {_factor(b.text)}^2)",
                    shape,
                    a.size + 1.5,
                    max(1, a.degree),
                )

    def _normalised(self, e: Term) -> Term:
        if e.size <= 2.0 and e.degree <= 2:
            return e
        if e.degree > 1 or self._one_in(2):
            return Term(f"{self._number('tanh', 'erf', 'sin')}({e.text})", e.shape, 1.0, 0)
        return Term(f"({e.text}) / {e.size:.3g}", e.shape, 1.0, e.degree, e.dense)

    # -- statements

    def _statement(self) -> None:
        kinds: list[Callable[[], None]] = [
            *[self._matmul] * 6,
            *[self._nonlin] * 5,
            *[self._scalar] * 4,
            *[self._average_over_pairs] * 3,
            *[self._finite_axes] * 3,
            *[self._train] * 3,
            *[self._named_outer] * 2,
            *[self._operator] * 2,
            self._update_vector,
            self._loop,
            self._bilinear,
            self._gradient,
        ]
        self._rng.choice(kinds)()

    def _bind(self, width: str, e: Term, stem: str = "y") -> None:
        name = self._name(stem)
        self._say(f"{name} = {e.text}")
        self._vectors.append(Vector(width, replace(e, text=name)))

    def _any_vector(self, width: str | None = None) -> Vector:
        """Later ones more often."""
        pool = [v for v in self._vectors if width in (None, v.width)]
        return pool[-1 - min(self._rng.randrange(len(pool)), self._rng.randrange(len(pool)))]

    def _nonlin(self) -> None:
        width = self._any_vector().width
        atoms = self._vector_terms(width)[-4:]
        scalars = [s for s in self._scalar_terms() if s.size > 0]
        if self._random_scalars and self._one_in(6):
            scalars = [*scalars, *self._random_scalars]
        e = self._expression(atoms, self._rng.randrange(1, 3))
        if scalars and self._one_in(3):
            s = scalars[self._rng.randrange(len(scalars))]
            if joint(s.shape, e.shape) == e.shape:
                e = replace(
                    e,
                    text=f"{e.text} + {s.text}" if self._one_in(2) else f"(0.6 + {s.text}) * {_factor(e.text)}",
                    size=e.size + s.size,
                )
                e = self._normalised(replace(e, dense=False, solid=False))
        self._bind(width, e)

    def _action(self) -> tuple[str, str, str, Shape, float]:
        """Text of an operator, the widths of what it gives and takes, its family's shape, its size."""
        W = self._matrices[self._rng.randrange(len(self._matrices))]
        text, family = W.name, (W.family,) if W.family else ()
        if W.family and self._one_in(2):
            text, family = f"{W.name}[{self._rng.randrange(W.family)}]", ()
        if self._one_in(2):
            return f"{text}.T", W.cols, W.rows, family, W.size
        return text, W.rows, W.cols, family, W.size

    def _matmul(self) -> None:
        text, rows, cols, family, size = self._action()
        x = self._any_vector(cols).term
        operand = x.text if self._one_in(2) or x.degree > 1 else self._expression([x], 1).text
        solid = x.solid and operand == x.text
        shape = joint(x.shape, family)
        if shape is None:
            if prod(x.shape) * prod(family) > MOST_ENTRIES:
                return self._matmul_plain()
            operand, shape = f"{x.text}[:, None]", (*x.shape, *family)
        if self._one_in(8) and not family:
            back = f"{text[:-2]}" if text.endswith(".T") else f"{text}.T"
            self._bind(
                cols, Term(f"0.5 * ({back} @ {text} @ {_factor(operand)})", shape, x.size * 1.5, 1, solid, solid), "h"
            )
            return None
        self._bind(rows, Term(f"{text} @ {_factor(operand)}", shape, x.size * size * 0.9, 1, solid, solid), "h")
        return None

    def _matmul_plain(self) -> None:
        text, rows, cols, family, size = self._action()
        member = f"{text[:-2]}[0].T" if text.endswith(".T") else f"{text}[0]"
        text = member if family else text
        x = self._any_vector(cols).term
        self._bind(rows, Term(f"{text} @ {x.text}", x.shape, x.size * size * 0.9, 1, x.solid, x.solid), "h")

    def _operator(self) -> None:
        """A combination of matrices with a name."""
        square = [W for W in self._matrices if W.rows == W.cols and not W.family]
        if not square:
            return self._matmul()
        W = square[self._rng.randrange(len(square))]
        V = square[self._rng.randrange(len(square))]
        x = self._any_vector(W.rows)
        column = x.term.text if not x.term.shape else None
        forms = [f"({W.name} + {W.name}.T) / 2", f"0.6 * {W.name} - 0.3 * {W.name}.T"]
        if V.rows == W.rows:
            forms += [f"0.5 * {W.name} + 0.5 * {V.name}", f"0.6 * {V.name} @ {W.name}.T"]
        if column and x.term.degree <= 1:
            forms.append(f"0.3 * |{column}><{column}| + 0.6 * {W.name}")
        name = self._name("A")
        self._say(f"{name} = {self._pick(forms)}")
        self._matrices.append(Operator(name, W.rows, W.cols, 0, 1.2, trainable=False))
        return None

    def _scalar(self) -> None:
        name = self._name("c")
        x = self._any_vector()
        pool = self._vector_terms(x.width)[-4:]
        y = pool[self._rng.randrange(len(pool))]
        match self._rng.randrange(7):
            case 0 | 1:
                e = self._expression(pool, 2)
                text, shape, size = f"avg({e.text})", e.shape, e.size
            case 2 | 3 if x.term.count * y.count <= MOST_ENTRIES and x.term.degree + y.degree <= 2:
                text, shape, size = f"<{x.name}|{y.text}>", x.term.shape + y.shape, x.term.size * y.size
            case 4 if (forms := self._forms(x)) is not None:
                text, shape, size = forms
            case 5 if self._scalars:
                s = self._scalars[self._rng.randrange(len(self._scalars))]
                form = self._number(
                    "tanh({s})", "sqrt(0.5 + ({s})^2)", "exp(-({s})^2)", "0.5 * {s} + 0.1", "1 / (1 + ({s})^2)"
                )
                text, shape, size = form.format(s=s.text), s.shape, max(1.0, s.size)
            case 6 if x.term.shape:
                s = self._number("mean", "sum", "max", "min")
                text, shape, size = f"{s}(avg({x.name}))", (), 2 * x.term.size
            case _:
                text, shape, size = f"avg(tanh({x.name}))", x.term.shape, 1.0
        if size > 2:
            text, size = f"tanh({text})", 1.0
        self._say(f"{name} = {text}")
        self._scalars.append(Term(name, shape, size, 0))

    def _forms(self, x: Vector) -> tuple[str, Shape, float] | None:
        """<y|A|x> for a matrix that fits."""
        fitting = [W for W in self._matrices if W.cols == x.width and not W.family]
        if not fitting or x.term.shape or x.term.degree > 1:
            return None
        W = fitting[self._rng.randrange(len(fitting))]
        rows = [v for v in self._vectors if v.width == W.rows and not v.term.shape and v.term.degree <= 1]
        if not rows:
            return None
        y = rows[self._rng.randrange(len(rows))]
        return f"<{y.name}|{W.name}|{x.name}>", (), 1.5 * x.term.size * y.term.size

    def _average_over_pairs(self) -> None:
        """OuterNonlin of order 1 or, seldom, 2: in index notation."""
        x = self._any_vector()
        y, z = self._any_vector(), self._any_vector()
        pair = (_at(x.term, "i"), _at(y.term, "j"))
        body = self._pair_body(*pair)
        if self._one_in(5):
            body = self._pair_body(body, _at(z.term, "k"))
            body = self._normalised(body)
            form = self._number("avg[j](avg[k]({e}))", "avg[j, k]({e})")
        else:
            form = "avg[j]({e})"
            if y.term.degree + body.degree <= 2 and joint(body.shape, y.term.shape) == body.shape and self._one_in(2):
                body = replace(body, text=f"{body.text} * {y.name}[j]", size=body.size * y.term.size)
        if self._one_in(3):
            name = self._name("c")
            self._say(f"{name} = {form.format(e=body.text).replace('avg[j', 'avg[i, j', 1)}")
            self._scalars.append(Term(name, body.shape, body.size, 0))
            return
        name = self._name("y")
        self._say(f"{name}[i] = {form.format(e=body.text)}")
        self._vectors.append(Vector(x.width, Term(name, body.shape, body.size, body.degree)))

    def _pair_body(self, a: Term, b: Term) -> Term:
        shape = joint(a.shape, b.shape)
        if shape is None:
            b = replace(b, text=f"sum({b.text})", shape=(), size=2 * b.size)
            shape = joint(a.shape, b.shape) or a.shape
        bounded = self._number("tanh({e})", "erf({e})", "sin({e})", "cos({e})", "sigmoid({e})", "exp(-({e})^2)")
        linear = self._number("relu({e})", "abs({e})", "{e}", "gelu({e})")
        inside = self._number("{a} * {b}", "{a} + {b}", "0.7 * {a} - {b}").format(a=_factor(a.text), b=_factor(b.text))
        if self._one_in(3) and max(a.degree, b.degree) <= 1 and "*" not in inside[4:]:
            return Term(linear.format(e=f"({inside})"), shape, a.size + b.size, 1)
        if self._one_in(5) and a.dense and b.dense:
            return Term(f"sign({inside})", shape, 1.0, 0)
        return Term(bounded.format(e=inside), shape, 1.0, 0)

    def _named_outer(self) -> None:
        """A nonlinear outer product with a name, and what is made of it."""
        if not self._outers or self._one_in(2):
            g, x = self._any_vector(), self._any_vector()
            e = self._pair_body(_at(g.term, "i"), _at(x.term, "j"))
            if e.degree:
                e = Term(f"tanh({e.text})", e.shape, 1.0, 0)
            name = self._name("G")
            self._say(f"{name}[i, j] = {e.text}")
            self._outers.append((name, g.width, x.width, e.shape))
        name, rows, cols, shape = self._outers[self._rng.randrange(len(self._outers))]
        match self._rng.randrange(5):
            case 0:
                self._bind(rows, Term(f"({name} / {cols}) @ {_factor(self._plain(cols, shape).text)}", shape, 1.0, 0))
            case 1:
                self._bind(cols, Term(f"{name}.T @ {_factor(self._plain(rows, shape).text)} / {rows}", shape, 1.0, 0))
            case 2:
                c = self._name("c")
                self._say(f"{c} = avg({self._number(name, f'{name}^2', f'tanh(2 * {name})')})")
                self._scalars.append(Term(c, shape, 1.0, 0))
            case 3:
                y = self._name("y")
                self._say(f"{y}[i] = avg[j]({name}[i, j]^2)")
                self._vectors.append(Vector(rows, Term(y, shape, 1.0, 0)))
            case _:
                y, x = self._name("y"), self._plain(rows, shape)
                self._say(f"{y}[i] = avg[j](tanh({name}[i, j] + {x.text}[i]))")
                self._vectors.append(Vector(rows, Term(y, shape, 1.0, 0)))

    def _plain(self, width: str, within: Shape) -> Term:
        """A named vector whose shape broadcasts into `within`; a scalar-shaped one is made if there is none."""
        fitting = [t for t in self._vector_terms(width) if joint(t.shape, within) == within and t.degree <= 1]
        if fitting:
            return fitting[self._rng.randrange(len(fitting))]
        x = self._any_vector(width).term
        self._bind(width, Term(f"tanh(sum({x.text}))", (), 1.0, 0))
        return self._vectors[-1].term

    def _bilinear(self) -> None:
        """|x><y| @ z, or a combination of kets."""
        x = self._any_vector()
        if x.term.shape and len(x.term.shape) == 1:
            count = x.term.shape[0]
            matrix = [[0.5, -0.3, 0.2][: count - 1] for _ in range(count)]
            squared = [[0.4, 0.2, -0.5][:count] for _ in range(count)]
            text, shape = [(str(matrix), (count - 1,)), (str(squared), (count,)), (f"<{x.name}|{x.name}>", (count,))][
                self._rng.randrange(3)
            ]
            self._bind(x.width, self._normalised(Term(f"0.5 * ({x.name} @ {text})", shape, x.term.size * 2.1, 2)))
            return
        y, z = (self._plain(self._any_vector().width, ()) for _ in range(2))
        width = next(v.width for v in self._vectors if v.term.text == y.text)
        z = self._plain(width, ())
        flat = self._plain(x.width, ())
        self._bind(
            x.width, self._normalised(Term(f"|{flat.text}><{y.text}| @ {z.text}", (), flat.size * 1.5, flat.degree))
        )

    def _finite_axes(self) -> None:
        x = self._any_vector()
        shape, name = x.term.shape, x.name
        t = x.term
        if not shape:
            others = [v.term for v in self._vectors if v.width == x.width and not v.term.shape]
            y = others[self._rng.randrange(len(others))]
            self._bind(
                x.width,
                Term(f"[{name}, {y.text}]", (2,), max(t.size, y.size), max(t.degree, y.degree), t.dense and y.dense),
            )
            return
        d = shape[-1]
        options = [
            Term(f"{name}[0]", shape[1:], t.size, t.degree, t.dense, t.solid),
            Term(f"{name}[-1]", shape[1:], t.size, t.degree, t.dense, t.solid),
            Term(f"{name}[::-1]", shape, t.size, t.degree, t.dense, t.solid),
            Term(f"mean({name}, axis=0)", shape[1:], t.size, t.degree),
            Term(f"0.5 * sum({name}, axis=-1)", shape[:-1], t.size, t.degree),
            Term(f"max({name}, axis=0)", shape[1:], 1.3 * t.size, t.degree),
            Term(f"min({name}, axis=-1)", shape[:-1], 1.3 * t.size, t.degree),
            Term(f"{name} - mean({name})", shape, 1.5 * t.size, t.degree),
            Term(f"softmax({name}, {len(shape) - 1})", shape, 1.0, 0),
            Term(f"{name} * {[0.5, 1, -0.7][:d]}", shape, t.size, t.degree, t.dense, t.solid),
            Term(f"reshape({name}, -1)", (t.count,), t.size, t.degree, t.dense, t.solid),
        ]
        if len(shape) == 2:
            options.append(Term(f"transpose({name}, 1, 0)", shape[::-1], t.size, t.degree, t.dense, t.solid))
        if len(shape) == 1:
            options.append(Term(f"{name}[[0, 1, 0]]", (3,), t.size, t.degree, t.dense, t.solid))
            options.append(
                Term(f"0.5 * {name}[:, None] * {name}[:{4 - d}]", (d, min(d, 4 - d)), t.size**2, 2 * t.degree)
            )
        e = options[self._rng.randrange(len(options))]
        if e.count <= MOST_ENTRIES:
            self._bind(x.width, self._normalised(e))

    def _train(self) -> None:
        """An update of a matrix."""
        trainable = [W for W in self._matrices if W.trainable]
        W = trainable[self._rng.randrange(len(trainable))]
        target = f"{W.name}[{self._rng.randrange(W.family)}]" if W.family else W.name
        g, x = self._any_vector(W.rows), self._any_vector(W.cols)
        both = joint(g.term.shape, x.term.shape)
        match self._rng.randrange(5):
            case 0:
                self._say(f"{target} *= {self._number('0.9', '0.7')}")
                return
            case 1 if g.term.shape == x.term.shape and g.term.degree <= 1 and x.term.degree <= 1:
                sign = self._number("+=", "-=")
                self._say(f"{target} {sign} 0.3 * |{g.name}><{x.name}|")
            case 2 if fitting := [G for G in self._outers if G[1:] == (W.rows, W.cols, ())]:
                self._say(f"{target} -= 0.4/{W.cols} * {fitting[self._rng.randrange(len(fitting))][0]}")
            case 3 if not W.family:
                name = self._name("W")
                self._say(f"{name} = {W.name}")
                self._matrices.append(replace(W, name=name))
                return
            case _:
                a, b = _at(g.term, "i"), _at(x.term, "j")
                if both is None:
                    a, b = (Term(f"sum({t.text})", (), 2 * t.size, t.degree) if t.shape else t for t in (a, b))
                e = self._pair_body(a, b)
                if e.degree:
                    e = Term(f"tanh({e.text})", e.shape, 1.0, 0)
                body = f"sum({e.text})" if e.shape else e.text
                self._say(f"{target}[i, j] -= 0.3/{W.cols} * {_factor(body)}")
        self._matrices = [replace(V, size=min(2.0, V.size + 0.3)) if V.name == W.name else V for V in self._matrices]

    def _update_vector(self) -> None:
        x = self._any_vector()
        if x.term.shape and self._one_in(2):
            e = self._expression(self._vector_terms(x.width), 1, x.term.shape[1:])
            self._say(f"{x.name}[0] = {e.text}")
        else:
            e = self._expression(self._vector_terms(x.width), 1, x.term.shape)
            self._say(f"{x.name} {self._number('-=', '+=')} 0.3 * {_factor(e.text)}")
        grown = replace(
            x.term, size=x.term.size + 0.3 * e.size, degree=max(x.term.degree, e.degree, 1), dense=False, solid=False
        )
        self._vectors = [Vector(v.width, grown) if v.name == x.name else v for v in self._vectors]

    def _loop(self) -> None:
        """A short loop that carries a vector and shows a series."""
        if self._indent:
            return self._matmul()
        square = [W for W in self._matrices if W.rows == W.cols and not W.family]
        if not square:
            return self._nonlin()
        W = square[self._rng.randrange(len(square))]
        x = self._any_vector(W.rows)
        t = self._name("t")
        self._say(f"for {t} in range({self._number('2', '3')}):")
        self._indent = "    "
        e = self._expression(self._vector_terms(W.rows)[-3:], 1, x.term.shape)
        form = self._number(
            "{x} = tanh({W} @ {x} + {e})", "{x} = 0.5 * {x} + tanh({W}.T @ {x})", "{x} = erf({W} @ {x} / (1 + {t}))"
        )
        self._say(form.format(x=x.name, W=W.name, e=e.text, t=t))
        if self._one_in(2):
            self._say(f"if {t} > 0:")
            self._say(f"    {W.name} *= 0.8")
        if W.trainable and not x.term.shape and self._one_in(2):
            self._say(f"{W.name} -= 0.2 * |{x.name}><{x.name}|")
        if self._one_in(2):
            self._say(f"show avg({x.name}^2) as {self._name('series')}")
        self._indent = ""
        self._vectors = [
            Vector(v.width, replace(v.term, size=1.5, degree=1, dense=False, solid=False)) if v.name == x.name else v
            for v in self._vectors
        ]
        return None

    def _gradient(self) -> None:
        """A step along the gradient of a scalar."""
        x = self._any_vector()
        e = self._expression(self._vector_terms(x.width)[-2:], 1)
        loss = self._name("L")
        inside = f"sum({e.text})" if e.shape else e.text
        self._say(
            f"{loss} = avg(tanh({inside}) * {_factor(inside)})" if e.degree <= 1 else f"{loss} = avg(tanh({inside}))"
        )
        self._scalars.append(Term(loss, (), 1.0, 0))

    # -- what is shown

    def _shows(self) -> None:
        shown: list[str] = []
        self._gaussian_output(shown)
        last = self._vectors[-1]
        if last.term.degree <= 1 and last.term.count <= 3:
            shown.append(f"<{last.name}|{last.name}>")
        shown.append(f"avg(tanh({last.name}))")
        if self._one_in(3) and last.term.count <= 3:
            shown.append(f"dist({last.name})")
        shown += [s.text for s in self._scalars[-3:]]
        other = self._any_vector()
        shown.append(f"avg(sin({other.name}) + 0.5 * tanh({other.name})^2)")
        for k, e in enumerate(shown):
            self._say(f"show {e} as s{k}")

    def _gaussian_output(self, shown: list[str]) -> None:
        if not self._readout:
            return
        v, width = self._readout
        x = self._any_vector(width).term
        if x.degree > 1 or x.count > 3:
            return
        f = self._name("f")
        extra = f" + {self._random_scalars[0].text}" if self._random_scalars else ""
        self._say(f"{f} = sqrt(n) * <{v}|{x.text}>{extra}")
        shown.append(f"cov({f})")
        if self._one_in(2):
            shown.append(f"dist({f})" if self._one_in(2) else f"tanh({f})^2")


def _at(t: Term, index: str) -> Term:
    """A vector in index notation."""
    return replace(t, text=f"{t.text}[{index}]")


def _factor(text: str) -> str:
    """In parentheses if it is no name or call."""
    depth = 0
    for k, letter in enumerate(text):
        depth += letter in "([<"
        depth -= letter in ")]>"
        if depth == 0 and letter in " |" or (depth == 0 and letter in "+-"):
            return f"({text})"
        if depth == 0 and letter == ")" and k < len(text) - 1 and text[k + 1] not in "[":
            return f"({text})"
    return text


def _signed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number
