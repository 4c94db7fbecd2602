"""Which numbers of a core program are consts of the source, and which functions of them.

The core has numbers where the source has names: −0.05 for −lr/2. In: a way to elaborate the source with other values for its consts. Out: a
program in which numbers that equal by chance are told apart, and a term for every number that depends on a const.
How: the source is elaborated twice with its consts moved a little, each by an amount of its own; what moves with them, and how, says where
it comes from. Guarantees: a term is kept only if it gives the number both times to rounding; where any number remains unexplained there are no terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from nexortlang.core.program import (
    Concat,
    Const,
    Einsum,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Matrix,
    Program,
    Value,
    operands,
)
from nexortlang.derive.algebra import add, mul, neg, power
from nexortlang.derive.terms import ONE, Label, Num, Sym, Term

Elaborate = Callable[[Mapping[str, np.ndarray]], Program | None]

_MOVES = (1e-3, 1.7e-3)
_SAME = 1e-11
_EXPONENTS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_MOST_CONSTS = 8
_MOST_VALUES = 20_000
_LONGEST = 12


@dataclass(frozen=True, slots=True)
class Symbolic:
    """`terms`: what is written for numbers, by const id, (draw id, parameter) or matrix. `used`: the consts that occur."""

    program: Program
    terms: Mapping[object, Term]
    used: Mapping[str, float]


def symbolic(program: Program, consts: Mapping[str, np.ndarray], elaborate: Elaborate) -> Symbolic:
    """The program with terms for its consts; without any where they cannot be told."""
    plain = Symbolic(program, {}, {})
    values = {n: float(a) for n, a in consts.items() if a.ndim == 0 and a != 0.0 and np.isfinite(a)}
    if not values or len(program.values) > _MOST_VALUES:
        return plain
    for chosen in (values, {n: v for n, v in values.items() if v != int(v)}):
        names = list(chosen)[:_MOST_CONSTS]
        if names and (found := _compared(program, {n: chosen[n] for n in names}, elaborate)) is not None:
            return found
    return plain


def _compared(program: Program, values: Mapping[str, float], elaborate: Elaborate) -> Symbolic | None:
    moved = [{n: v * (1.0 + size * (1.0 + 0.37 * k * k)) for k, (n, v) in enumerate(values.items())} for size in _MOVES]
    first, second = (elaborate({n: np.array(v) for n, v in m.items()}) for m in moved)
    if first is None or second is None:
        return None
    first, second = at_limits(first), at_limits(second)
    if not _is_alike(first, second) or len(first.shows) != len(program.shows):
        return None
    arrays: dict[object, np.ndarray] = {}
    terms: dict[object, Term] = {}
    used: dict[str, float] = {}
    for key, a, b in _numbers(first, second):
        if np.array_equal(a, b):
            continue
        form = next((f for f in _forms(list(values)) if f.explains(a, b, *moved)), None)
        if form is None:
            return None
        arrays[key] = a * (form.at(values) / form.at(moved[0]))
        if (a == a.reshape(-1)[0]).all():
            terms[key] = mul(Num(float(a.reshape(-1)[0] / form.at(moved[0]))), form.term())
            used |= {n: values[n] for n in form.names}
    restored, matrices = _with_arrays(first, arrays)
    return Symbolic(restored, {matrices.get(k, k): t for k, t in terms.items()}, used)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class _Form:
    """Π v^e · (1 − w^k), with (w, k) in `complement`, if any."""

    powers: tuple[tuple[str, float], ...]
    complement: tuple[str, int] | None = None

    @property
    def names(self) -> list[str]:
        return [n for n, _ in self.powers] + ([self.complement[0]] if self.complement else [])

    def at(self, values: Mapping[str, float]) -> float:
        result = 1.0
        for name, e in self.powers:
            if values[name] < 0 and e != int(e):
                return float("nan")
            result *= values[name] ** e
        if self.complement is not None:
            name, k = self.complement
            result *= 1.0 - values[name] ** k
        return result

    def explains(self, a: np.ndarray, b: np.ndarray, first: Mapping[str, float], second: Mapping[str, float]) -> bool:
        """Whether a and b are one array times the form's values."""
        x, y = self.at(first), self.at(second)
        if not x or not y or not np.isfinite(x + y):
            return False
        return bool((np.abs(a / x - b / y) <= _SAME * np.abs(a / x)).all())

    def term(self) -> Term:
        factors = [power(Sym(Label(name)), Num(e)) for name, e in self.powers]
        if self.complement is not None:
            name, k = self.complement
            factors.append(add(ONE, neg(power(Sym(Label(name)), Num(float(k))))))
        return mul(*factors)


def _forms(names: Sequence[str]) -> Iterator[_Form]:
    """The simplest first."""
    singles = [((n, e),) for e in _EXPONENTS for n in names]
    complements = [(n, k) for k in range(1, _LONGEST + 1) for n in names]
    yield from (_Form(s) for s in singles)
    yield from (_Form((), c) for c in complements)
    yield from (_Form(((n, e), (m, f))) for n, m in combinations(names, 2) for e, f in product(_EXPONENTS, _EXPONENTS))
    yield from (_Form(s, c) for s in singles for c in complements)


def at_limits(program: Program) -> Program:
    """The program with what its limit is taken of in place of what is shown and asserted."""
    limit = program.limit_of
    return replace(
        program,
        shows=[replace(s, value=limit(s.value)) for s in program.shows],
        assertions=[replace(a, value=limit(a.value), target=limit(a.target)) for a in program.assertions],
        limits={},
    )


def _is_alike(a: Program, b: Program) -> bool:
    """Whether two programs differ in numbers only."""
    return len(a.values) == len(b.values) and all(
        type(v) is type(w)
        and v.type == w.type
        and [x.id for x in operands(v)] == [x.id for x in operands(w)]
        and getattr(v, "op", "") == getattr(w, "op", "")
        for v, w in zip(a.values, b.values, strict=True)
    )


def _numbers(a: Program, b: Program) -> Iterator[tuple[object, np.ndarray, np.ndarray]]:
    """The numbers of both programs, by what they belong to in the first."""
    for v, w in zip(a.values, b.values, strict=True):
        if isinstance(v, Const) and isinstance(w, Const):
            yield v.id, v.array, w.array
        elif isinstance(v, InitVector | InitScalar) and isinstance(w, InitVector | InitScalar):
            yield (v.id, "mean"), v.mean, w.mean
            yield (v.id, "variance"), v.variance, w.variance
    for m, k in zip(a.matrices, b.matrices, strict=True):
        yield m, m.variance, k.variance


def _with_arrays(program: Program, arrays: Mapping[object, np.ndarray]) -> tuple[Program, Mapping[Matrix, Matrix]]:
    """The program with other numbers, and its new matrices for the old ones."""
    matrices = {m: replace(m, variance=arrays[m]) if m in arrays else m for m in program.matrices}
    new: dict[int, Value] = {}
    for v in program.values:
        match v:
            case Const():
                new[v.id] = replace(v, array=arrays.get(v.id, v.array))
            case InitVector() | InitScalar():
                mean, variance = (
                    arrays.get((v.id, what), a) for what, a in (("mean", v.mean), ("variance", v.variance))
                )
                new[v.id] = replace(v, mean=mean, variance=variance)
            case MatMul():
                new[v.id] = replace(v, x=new[v.x.id], matrix=matrices[v.matrix])
            case Map() | Concat():
                new[v.id] = replace(v, args=tuple(new[a.id] for a in v.args))
            case Inner() | Einsum():
                new[v.id] = replace(v, x=new[v.x.id], y=new[v.y.id])
            case _:
                new[v.id] = replace(v, x=new[v.x.id])
    restored = replace(
        program,
        matrices=list(matrices.values()),
        values=list(new.values()),
        shows=[replace(s, value=new[s.value.id]) for s in program.shows],
        assertions=[replace(a, value=new[a.value.id], target=new[a.target.id]) for a in program.assertions],
        optimizer_calls=[
            replace(c, gradients=tuple(new[g.id] for g in c.gradients), result=new[c.result.id])
            for c in program.optimizer_calls
        ],
        trained={matrices[m] for m in program.trained},
    )
    return restored, matrices
