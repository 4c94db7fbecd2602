"""Random well-typed programs, as text: what the checker must accept and both engines must agree on.

In: a source of random choices. Out: the text of a program of up to 15 instructions that shows a few numbers of order one. Guarantees: well typed by the rules of
LANGUAGE.md; quantities stay of order one (what has grown is scaled or squashed), no function jumps where its argument may have an atom, and random
scalars enter vectors seldom, so that limits are well conditioned and finite widths approach them fast.

The generator follows types as a reader does: it knows of every name its width, finite shape, rough size, and how fast its tails fall (`degree`: 0 bounded, 1 Gaussian, 2 a square).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from random import Random

from hypothesis import strategies as st
from random_declarations import Declarations, Operator, Vector
from random_expressions import MOST_ENTRIES, Shape, Term, at, factor, joint

MOST_INSTRUCTIONS = 15


def programs(most: int = MOST_INSTRUCTIONS) -> st.SearchStrategy[str]:
    """Texts of well-typed programs, for hypothesis."""
    return st.randoms(use_true_random=False).map(lambda rng: program(rng, most))


def program(rng: Random, most: int = MOST_INSTRUCTIONS) -> str:
    """The text of one program."""
    return _Writer(rng).program(rng.randrange(1, most + 1))


class _Writer(Declarations):
    """Writes one program, statement by statement."""

    # -- the program

    def program(self, instructions: int) -> str:
        self._declare()
        for _ in range(instructions):
            self._statement()
        self._shows()
        return "\n".join(self._lines) + "\n"

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
            *[self._gradient] * 2,
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
                    text=f"{e.text} + {s.text}" if self._one_in(2) else f"(0.6 + {s.text}) * {factor(e.text)}",
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
                cols, Term(f"0.5 * ({back} @ {text} @ {factor(operand)})", shape, x.size * 1.5, 1, solid, solid), "h"
            )
            return None
        self._bind(rows, Term(f"{text} @ {factor(operand)}", shape, x.size * size * 0.9, 1, solid, solid), "h")
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
        pair = (at(x.term, "i"), at(y.term, "j"))
        body = self._pair_body(*pair)
        if self._one_in(5):
            body = self._pair_body(body, at(z.term, "k"))
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

    def _named_outer(self) -> None:
        """A nonlinear outer product with a name, and what is made of it."""
        if not self._outers or self._one_in(2):
            g, x = self._any_vector(), self._any_vector()
            e = self._pair_body(at(g.term, "i"), at(x.term, "j"))
            if e.degree:
                e = Term(f"tanh({e.text})", e.shape, 1.0, 0)
            name = self._name("G")
            self._say(f"{name}[i, j] = {e.text}")
            self._outers.append((name, g.width, x.width, e.shape))
        name, rows, cols, shape = self._outers[self._rng.randrange(len(self._outers))]
        match self._rng.randrange(5):
            case 0:
                self._bind(rows, Term(f"({name} / {cols}) @ {factor(self._plain(cols, shape).text)}", shape, 1.0, 0))
            case 1:
                self._bind(cols, Term(f"{name}.T @ {factor(self._plain(rows, shape).text)} / {rows}", shape, 1.0, 0))
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
        single = f"sum({x.text})" if x.shape else x.text
        self._bind(width, Term(f"tanh({single})", (), 1.0, 0))
        return self._vectors[-1].term

    def _bilinear(self) -> None:
        """|x><y| @ z, or a combination of kets."""
        x = self._any_vector()
        if len(x.term.shape) == 1 and x.term.count > 1:
            count = x.term.shape[0]
            fewer = max(1, count - 1)
            matrix = [[0.5, -0.3, 0.2][:fewer] for _ in range(count)]
            squared = [[0.4, 0.2, -0.5][:count] for _ in range(count)]
            text, shape = [(str(matrix), (fewer,)), (str(squared), (count,)), (f"<{x.name}|{x.name}>", (count,))][
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
            options.append(Term(f"{name}{[[0, min(1, d - 1), 0]]}", (3,), t.size, t.degree, t.dense, t.solid))
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
                a, b = at(g.term, "i"), at(x.term, "j")
                if both is None:
                    a, b = (Term(f"sum({t.text})", (), 2 * t.size, t.degree) if t.shape else t for t in (a, b))
                e = self._pair_body(a, b)
                if e.degree:
                    e = Term(f"tanh({e.text})", e.shape, 1.0, 0)
                body = f"sum({e.text})" if e.shape else e.text
                self._say(f"{target}[i, j] -= 0.3/{W.cols} * {factor(body)}")
        self._matrices = [replace(V, size=min(2.0, V.size + 0.3)) if V.name == W.name else V for V in self._matrices]

    def _update_vector(self) -> None:
        x = self._any_vector()
        if x.term.shape and self._one_in(2):
            e = self._expression(self._vector_terms(x.width), 1, x.term.shape[1:])
            self._say(f"{x.name}[0] = {e.text}")
        else:
            e = self._expression(self._vector_terms(x.width), 1, x.term.shape)
            self._say(f"{x.name} {self._number('-=', '+=')} 0.3 * {factor(e.text)}")
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
        """A loss of one layer, and a step along its gradient."""
        trainable = [W for W in self._matrices if W.trainable and not W.family]
        if not trainable:
            return self._nonlin()
        W = self._pick(trainable)
        x = self._plain(W.cols, ())
        h, loss = self._name("h"), self._name("L")
        in_loop = not self._indent and self._one_in(3)
        if in_loop:
            t = self._name("t")
            self._say(f"for {t} in range(2):")
            self._indent = "    "
        self._say(f"{h} = {W.name} @ {x.text}")
        self._vectors.append(Vector(W.rows, Term(h, (), 1.5 * x.size, 1)))
        target = self._expression([v.term for v in self._vectors if v.width == W.rows and not v.term.shape], 1, ())
        loss_of = self._pick(
            (
                "avg(log(1 + ({h} - {e})^2))",
                "(avg(tanh({h})) - 0.3)^2",
                "avg(tanh({h}) * tanh({e}))",
                "avg(({h} - tanh({e}))^2) / 4",
            )
        )
        self._say(f"{loss} = {loss_of.format(h=h, e=target.text)}")
        step = self._pick(
            (
                "0.3 * {g}",
                "0.2/{n} * tanh({n} * {g})",
                "0.2/{n} * {n} * {g} / (0.3 + abs({n} * {g}))",
                "0.1/{n} * adam({n} * {g}, eps = 0.5)",
            )
        )
        if "adam" in step and "from optim import adam" not in self._lines:
            self._lines.insert(0, "from optim import adam")
        self._say(f"{W.name} -= {step.format(g=f'grad({loss}, {W.name})', n=W.cols)}")
        if self._one_in(3):
            drawn = [v for v in self._vectors if v.term.text == x.text and v.drawn]
            if drawn:
                self._say(f"{x.text} -= 0.3 * {W.cols} * grad({loss}, {x.text})")
                self._vectors.append(Vector(W.cols, replace(x, size=x.size + 0.5)))
                self._vectors = [v for v in self._vectors if v.term.text != x.text or not v.drawn]
        if in_loop and self._one_in(2):
            self._say(f"show {loss} as {self._name('series')}")
        self._indent = "    " if self._indent and not in_loop else ""
        self._scalars.append(Term(loss, (), 1.0, 0))
        return None

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
