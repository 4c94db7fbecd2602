"""Which numbers of a core program are consts of the source, and which functions of them.

The core has numbers where the source has names: −0.05 for −lr/2. In: a way to elaborate the source with other values for its consts. Out: a
program in which numbers that equal by chance are told apart, and a term for every number that depends on a const.
How: the source is elaborated again with its consts moved a little, each by an amount of its own; what moves with them, and how, says where
it comes from. Guarantees: a term is kept only if moving it back gives a number of the program to rounding; where any number remains unexplained there are no
terms.
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
)
from nexortlang.derive.algebra import add, mul, neg, power
from nexortlang.derive.terms import ONE, Label, Num, Sym, Term

Elaborate = Callable[[Mapping[str, np.ndarray]], Program | None]

_MOVE = 1e-3
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
    moves = {n: v * (1.0 + _MOVE * (1.0 + 0.37 * k * k)) for k, (n, v) in enumerate(values.items())}
    moved = elaborate({n: np.array(v) for n, v in moves.items()})
    if moved is None or len(moved.shows) != len(program.shows):
        return None
    moved = at_limits(moved)
    origins = _origins(program, moved, values, moves)
    if origins is None:
        return None
    arrays = {key: array for key, (array, _) in origins.items()}
    terms: dict[object, Term] = {}
    used: dict[str, float] = {}
    for key, (array, form) in origins.items():
        if (array == array.reshape(-1)[0]).all():
            terms[key] = mul(Num(float(array.reshape(-1)[0] / form.at(values))), form.term())
            used |= {n: values[n] for n in form.names}
    restored, matrices = _with_arrays(moved, arrays)
    return Symbolic(restored, {matrices.get(k, k): t for k, t in terms.items()}, used)  # type: ignore[call-overload]


def _origins(
    program: Program, moved: Program, values: Mapping[str, float], moves: Mapping[str, float]
) -> Mapping[object, tuple[np.ndarray, _Form]] | None:
    """What each number that has moved was, and its form: the simplest that takes it back to a number of the program. None if one has none."""
    known: dict[tuple[int, ...], list[np.ndarray]] = {}
    for _, a in _numbers(program):
        known.setdefault(a.shape, []).append(a)
    stacks = {shape: np.stack(arrays) for shape, arrays in known.items()}
    factors = [(form, form.at(values) / form.at(moves)) for form in _forms(list(values)) if form.at(moves)]
    origins: dict[object, tuple[np.ndarray, _Form]] = {}
    for key, a in _numbers(moved):
        if _nearest(stacks, a, 0.0) is not None:
            continue
        back = ((_nearest(stacks, a * factor, _SAME), form) for form, factor in factors if np.isfinite(factor))
        origin = next(((array, form) for array, form in back if array is not None), None)
        if origin is None:
            return None
        origins[key] = origin
    return origins


def _nearest(stacks: Mapping[tuple[int, ...], np.ndarray], a: np.ndarray, tolerance: float) -> np.ndarray | None:
    """An array of these that a is, to a relative tolerance."""
    stack = stacks.get(a.shape)
    if stack is None or not a.size:
        return a if not a.size else None
    is_near = (np.abs(stack - a) <= tolerance * np.abs(a)).reshape(len(stack), -1).all(axis=1)
    return np.asarray(stack[int(np.argmax(is_near))]) if is_near.any() else None


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


def _numbers(program: Program) -> Iterator[tuple[object, np.ndarray]]:
    """The numbers of a program, by what they belong to."""
    for v in program.values:
        if isinstance(v, Const):
            yield v.id, v.array
        elif isinstance(v, InitVector | InitScalar):
            yield (v.id, "mean"), v.mean
            yield (v.id, "variance"), v.variance
    for m in program.matrices:
        yield m, m.variance


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
