"""The names of a random program: widths, draws, matrices and definitions, and what is known of each.

In: a source of random choices. Out: lines of declarations, and tables of names by kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from random_expressions import Expressions, Shape, Term

LAWS = ("uniform(0, {v})", "rademacher(0, {v})", "laplace(0, {v})")


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


class Declarations(Expressions):
    """Writes one program, statement by statement, keeping what names mean. Choices are whole numbers, which shrink well."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._lines: list[str] = []
        self._indent = ""
        self._count = 0
        self._widths: list[str] = []
        self._vectors: list[Vector] = []
        self._scalars: list[Term] = []
        self._gaussians: list[Term] = []
        self._matrices: list[Operator] = []
        self._outers: list[tuple[str, str, str, Shape]] = []
        self._readout: list[str] = []
        self._random_scalars: list[Term] = []

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _say(self, line: str) -> None:
        self._lines.append(self._indent + line)

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
