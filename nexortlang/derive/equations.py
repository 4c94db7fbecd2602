"""A program's limit as declarations and equations.

In: a core program, what of it is asked for, the named consts. Out: a `Derivation`: the draws, the optimizers' functions, and in program order one
equation for every value that matters and has a name, by passes of loops. Guarantees: what is derived is what shown and asserted
values depend on; hats and dots by THEORY.md §2; a dot is said to be 0 only where its coefficients are computed and are 0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from math import prod
from typing import Literal

import numpy as np

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import (
    Avg,
    Const,
    Fluctuation,
    InitScalar,
    InitVector,
    Inner,
    Mark,
    MatMul,
    Matrix,
    Program,
    Show,
    Value,
)
from nexortlang.derive.algebra import add, collected, mean, mul, over, power, rebuilt
from nexortlang.derive.closed import Kernels
from nexortlang.derive.names import Names, named
from nexortlang.derive.numbers import Known
from nexortlang.derive.symbols import Elaborate, Symbolic, at_limits, symbolic
from nexortlang.derive.terms import Add, Applied, Call, Index, Ket, Label, Mean, Num, Slope, Term, letter
from nexortlang.derive.translate import LETTERS, Functions, Scope, Translator, aligned

Relation = Literal["=", "≈", "~"]
_ANY_TWO = (
    ("x", "y"),
    ("u", "v"),
    ("a", "b"),
    ("p", "q"),
    ("φ", "ψ"),
    ("x′", "y′"),
    ("any", "other"),
    ("one_ket", "other_ket"),
)
_MOST_KERNELS = 30
_SHORTEST_RUN = 3
STEPS = 2
"""Passes of a loop that are written out."""


@dataclass(frozen=True, slots=True)
class Equation:
    """left = right = …; each side with its relation. Laws, after ~, are Calls: N(mean, variance). `note` says more, in words."""

    left: Term
    sides: tuple[tuple[Relation, Term], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The equations of one pass (`title` is empty outside loops). `omitted`: what is said of passes that are not written out."""

    title: str
    equations: tuple[Equation, ...]
    omitted: str = ""


@dataclass(frozen=True, slots=True)
class Operator:
    """An initial operator: what it maps, its variance constants, which orientations are used, and names for any two kets.

    With `last` it stands for a run of like ones, one name at several steps.
    """

    label: Label
    matrix: Matrix
    variance: Term
    forward: bool
    backward: bool
    kets: tuple[Ket, Ket]
    last: Label | None = None

    def is_like(self, other: Operator) -> bool:
        """Whether two operators differ in their step alone."""
        mine, theirs = (
            (o.label.name, o.matrix.rows, o.matrix.cols, o.matrix.shape, o.variance, o.forward, o.backward)
            for o in (self, other)
        )
        return mine == theirs

    @property
    def ratio(self) -> Fraction:
        """n/m for an n × m matrix."""
        return self.matrix.rows.ratio / self.matrix.cols.ratio


@dataclass(frozen=True, slots=True)
class Derivation:
    """`kernels`: the covariances that the equations of the sections speak of; `has_more_kernels`: some are left out.

    `consts`, `arrays` and `tables`: what is written by name, of numbers, arrays and lists of positions.
    """

    operators: tuple[Operator, ...]
    draws: tuple[Equation, ...]
    arrays: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray]
    functions: tuple[Equation, ...]
    sections: tuple[Section, ...]
    kernels: tuple[Equation, ...]
    consts: Mapping[str, float] = field(default_factory=dict)
    has_more_kernels: bool = False


def derive(
    program: Program,
    *,
    targets: Sequence[Value] | None = None,
    consts: Mapping[str, np.ndarray] | None = None,
    elaborate: Elaborate | None = None,
    steps: int | None = STEPS,
) -> Derivation:
    """The derivation of what is shown and asserted, or of the targets. `steps` None: every pass is written out.

    `consts` are written by their names: arrays always, numbers if `elaborate` says what the program is for other values of them.
    """
    if targets is not None:
        targets = [program.limit_of(v) for v in targets]
    program = at_limits(program)
    found = Symbolic(program, {}, {})
    if elaborate is not None and targets is None:
        found = symbolic(program, consts or {}, elaborate)
    return _Derivation(found, targets, consts or {}, steps).result()


class _Derivation:
    def __init__(
        self, source: Symbolic, targets: Sequence[Value] | None, consts: Mapping[str, np.ndarray], steps: int | None
    ) -> None:
        self.program, self.steps, self.used = source.program, steps, source.used
        program = source.program
        if targets is None:
            targets = [s.value for s in program.shows]
            targets += [side for a in program.assertions for side in (a.value, a.target)]
        self.targets = targets
        self.live = reachable(targets)
        arrays = {name: a for name, a in consts.items() if a.ndim and a.size > 1}
        self.names: Names = named(program, self.live, arrays)
        self.functions = Functions()
        calls = {c.result.id: c for c in program.optimizer_calls if c.result not in c.gradients}
        self.translator = Translator(self.names, calls, self.functions, symbols=source.terms)
        self.known = Known(self.live)
        self.kernels = Kernels(self.translator, self.known)
        self.shown: dict[int, Show] = {s.value.id: s for s in program.shows}
        self.told: set[Equation] = set()
        self.products: set[Ket] = set()
        self.asked = {v.id for v in targets}

    def result(self) -> Derivation:
        sections = tuple(self._sections())
        known = {e.left for s in sections for e in s.equations}
        stated = (Equation(left, tuple(sides)) for left, sides in self.kernels.stated() if left not in known)
        kernels = tuple(islice(stated, None if self.steps is None else _MOST_KERNELS))
        more = next(stated, None) is not None
        functions = tuple(
            Equation(Call(name, args, step), (("=", body),))
            for (name, step), (args, body) in self.functions.stated.items()
        )
        operators, draws = tuple(_runs(self._operators())), tuple(self._draws())
        return Derivation(
            operators, draws, self.names.arrays, self.names.tables, functions, sections, kernels, self.used, more
        )

    # -- declarations

    def _operators(self) -> Iterable[Operator]:
        first, second = next((p for p in _ANY_TWO if not self.names.taken & set(p)), _ANY_TWO[0])
        any_two = Ket(Label(first)), Ket(Label(second))
        used: dict[Matrix, set[bool]] = {}
        for v in self.live:
            if isinstance(v, MatMul):
                used.setdefault(v.matrix, set()).add(v.transposed)
        for m, orientations in sorted(used.items(), key=lambda item: self.program.matrices.index(item[0])):
            indices = [letter(name) for name in LETTERS[: len(m.shape)]]
            variance = self.translator.spread(m, indices)
            yield Operator(
                replace(self.names.matrices[m], indices=tuple(indices)),
                m,
                variance,
                False in orientations,
                True in orientations,
                any_two,
            )

    def _draws(self) -> Iterable[Equation]:
        for v in self.live:
            if isinstance(v, InitVector | InitScalar) and (v.variance.any() or v.law == "bernoulli"):
                yield self._draw(v)

    def _draw(self, v: InitVector | InitScalar) -> Equation:
        indices = [letter(name) for name in LETTERS[: len(v.type.shape)]]
        left = self.translator.entry(v, indices, Scope())
        center = self.translator.number(v, "mean", v.mean, indices)
        if v.law == "bernoulli":
            return Equation(left, (("~", Call("bernoulli", (center,))),))
        covariance = v.covariance if isinstance(v, InitVector) else None
        if covariance is not None:
            other = letter(LETTERS[len(indices)])
            spread = self.translator.constant(covariance, [indices[-1], other])
            note = f"covariance over {indices[-1].parts[0][0]} and {LETTERS[len(indices)]}"
            return Equation(left, (("~", Call("N", (center, spread))),), note)
        spread = self.translator.number(v, "variance", v.variance, indices)
        name = "N" if v.law == "normal" else v.law
        return Equation(left, (("~", Call(name, (center, spread))),), "independent" if prod(v.type.shape) > 1 else "")

    # -- sections

    def _sections(self) -> Iterable[Section]:
        """The equations between marks; of the passes of a loop, the first ones."""
        values = [v for v in self.live if self._has_equation(v)]
        ids = [v.id for v in values]
        marks = [Mark(0, ()), *self.program.marks]
        groups: list[tuple[tuple[tuple[str, int], ...], list[Value]]] = []
        for k, mark in enumerate(marks):
            end = marks[k + 1].first if k + 1 < len(marks) else len(self.program.values)
            inside = values[bisect_left(ids, mark.first) : bisect_left(ids, end)]
            if inside and groups and groups[-1][0] == mark.passes:
                groups[-1][1].extend(inside)
            elif inside:
                groups.append((mark.passes, inside))
        skipped: list[tuple[tuple[tuple[str, int], ...], list[Value]]] = []
        last: list[Value] = []
        for passes, inside in groups:
            if self.steps is not None and any(k >= self.steps for _, k in passes):
                skipped.append((passes, inside))
                continue
            if skipped:
                yield Section("", (), self._omitted(skipped, last))
                skipped = []
            equations = tuple(e for v in inside for e in self._equations(v) if self._is_new(e))
            if equations:
                yield Section(", ".join(f"{name} = {k}" for name, k in passes), equations)
            last = inside
        if skipped:
            yield Section("", (), self._omitted(skipped, last))

    def _omitted(
        self, skipped: Sequence[tuple[tuple[tuple[str, int], ...], list[Value]]], last: Sequence[Value]
    ) -> str:
        """What is said of passes that are left out: that they read alike only if the same names get equations in the same order,
        as far as they are needed."""
        count = sum(len(inside) for _, inside in skipped)
        first, final = (", ".join(f"{name} = {k}" for name, k in skipped[i][0]) for i in (0, -1))
        span = first if first == final else f"{first} to {final}"
        pattern = [self._base(v) for v in last]
        if all(_is_part([self._base(v) for v in inside], pattern) for _, inside in skipped):
            return f"{span}: the same equations, one step on each time"
        return f"{span}: {count} more equations"

    def _is_new(self, e: Equation) -> bool:
        """Equal products of a matrix are several values where they belong to versions of it."""
        new = e not in self.told and not isinstance(e.left, Num)
        self.told.add(e)
        return new

    def _base(self, v: Value) -> str:
        label = self.names.labels.get(v.id)
        return "" if label is None else label.name.rstrip("0123456789") if label.step is None else label.name

    def _has_equation(self, v: Value) -> bool:
        if isinstance(v, Const | InitVector | InitScalar):
            return False
        return v.id in self.names.labels or isinstance(v, MatMul) or v.id in self.asked

    def _equations(self, v: Value) -> Iterable[Equation]:
        indices = [letter(name) for name in LETTERS[: len(v.type.shape)]]
        indices = [Index((), 0) if n == 1 else i for n, i in zip(v.type.shape, indices, strict=True)]
        scope = Scope(frozenset(LETTERS[: len(indices)]))
        left = self.translator.entry(v, indices, scope)
        if isinstance(v, MatMul):
            yield from self._product(v, left, indices, scope)
            return
        right = collected(self.translator.written_out(v, indices, scope))
        sides: list[tuple[Relation, Term]] = [("=", right)] if right != left else []
        if isinstance(v, Inner | Avg) and not v.type.axes:
            sides += self.kernels.evaluated(v, indices, right)
        else:
            self.kernels.speak_of(v)
        if isinstance(v, Fluctuation):
            law, note = self._fluctuation(v, indices)
            yield Equation(left, (*sides, ("~", law)), note)
            return
        if not v.type.axes:
            sides += self.known.value(v, indices)
        if v.type.is_vector and v.id in self.shown:
            sides += self.kernels.law(v, indices)
        if sides or v.id in self.asked:
            yield Equation(left, tuple(_without_repeats(sides)))

    def _fluctuation(self, v: Fluctuation, indices: Sequence[Index]) -> tuple[Term, str]:
        """N(0, E x x′), where the fresh initial vectors' variances are numbers."""
        other = [letter(name) for name in LETTERS[len(indices) : 2 * len(indices)]]
        scope = Scope(frozenset(LETTERS[: 2 * len(indices)]))
        x, y = (self.translator.entry(v.x, at, scope) for at in (indices, other))
        fresh = {
            power(self.translator.entry(u, (), scope), Num(2.0)): self.translator.number(u, "variance", u.variance, ())
            for u in self.live
            if isinstance(u, InitVector) and not u.type.shape and not u.mean.any() and u.variance.any()
        }
        covariance = mean(rebuilt(mul(x, y), fresh.get))
        note = "" if not indices else f"covariance over {_names(indices)} and {_names(other)}"
        return Call("N", (Num(0.0), covariance)), note

    # -- matrices

    def _product(self, v: MatMul, left: Term, indices: Sequence[Index], scope: Scope) -> Iterable[Equation]:
        """|W x⟩ = |W x⟩^ + |W x⟩•, and the dot where there is one."""
        ket = self.translator.product(v, indices, scope)
        sides: list[tuple[Relation, Term]] = [] if ket == left else [("=", ket)]
        if not isinstance(ket, Ket) or (ket == left and ket in self.products):  # of zeros, or told of another version
            return
        self.products.add(ket)
        hat, dot = replace(ket, part="hat"), replace(ket, part="dot")
        opposite = self.known.opposite_uses(v)
        terms = [t for u in opposite if (t := self._dot(v, u, ket, indices, scope)) is not None]
        if not opposite:
            law = self.kernels.law(v, indices) if v.id in self.shown else []
            yield Equation(left, (*sides, ("=", hat), *law))
        elif not terms:
            law = self.kernels.law(v, indices) if v.id in self.shown else []
            yield Equation(left, (*sides, ("=", hat), *law), "its dot is 0")
        else:
            yield Equation(left, (*sides, ("=", Add((hat, dot)))))
            yield Equation(dot, (("=", collected(add(*terms))),))

    def _dot(self, v: MatMul, u: MatMul, ket: Ket, indices: Sequence[Index], scope: Scope) -> Term | None:
        """What an earlier use u of the other orientation adds: s Σ_k |y_k⟩ E[∂|x⟩/∂hat_k]; None where all coefficients are 0."""
        coefficients = self.known.slopes(v, u)
        if coefficients is not None and not coefficients.any():
            return None
        assert isinstance(ket.head, Applied)
        ratio = v.matrix.rows.ratio / v.matrix.cols.ratio if v.transposed else Fraction(1)
        scale = mul(Num(float(ratio)), self._variance(v, indices))
        big = [n != 1 for n in u.type.shape]
        fresh, inside = scope.fresh(len(big))
        at = [letter(f) if b else Index((), 0) for f, b in zip(fresh, big, strict=True)]
        y = self.translator.entry(u.x, aligned(u.x.type.shape, u.type.shape, at), inside)
        hat = self.translator.product(u, at, inside)
        assert isinstance(hat, Ket)
        if coefficients is not None and coefficients.size == 1:
            return mul(scale, Num(float(coefficients.flat[0])), y)
        term = mul(scale, y, Mean(Slope(Ket(ket.head.operand), replace(hat, part="hat"))))
        for f, b in zip(fresh, big, strict=True):
            term = over("sum", f, term) if b else term
        return term

    def _variance(self, v: MatMul, indices: Sequence[Index]) -> Term:
        """The variance constant of the member that acts."""
        if (v.matrix.variance == v.matrix.variance.flat[0]).all():
            return self.translator.spread(v.matrix, [Index((), 0)] * v.matrix.variance.ndim)
        spread = v.matrix.variance.reshape(-1)[np.broadcast_to(v.members, v.type.shape)]
        return self.translator.constant(spread, list(indices))


def _runs(operators: Iterable[Operator]) -> Iterable[Operator]:
    """Three and more like operators in a row as one."""
    run: list[Operator] = []
    for o in [*operators, None]:
        if run and (o is None or not o.is_like(run[0])):
            yield from run if len(run) < _SHORTEST_RUN else [replace(run[0], last=run[-1].label)]
            run = []
        if o is not None:
            run.append(o)


def _names(indices: Sequence[Index]) -> str:
    return ", ".join(name for i in indices for name, _ in i.parts)


def _is_part(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the names stand in the pattern, in this order."""
    rest = iter(pattern)
    return all(name in rest for name in names)


def _without_repeats(sides: Sequence[tuple[Relation, Term]]) -> list[tuple[Relation, Term]]:
    found: list[tuple[Relation, Term]] = []
    for side in sides:
        if all(side[1] != known for _, known in found):
            found.append(side)
    return found
