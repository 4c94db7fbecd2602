"""What a training program would compute if nothing had been trained, and its order in n.

In: a program whose gradients are opaque (elaborate.trace). Out: for every value its *start*, the same computation with every gradient replaced by
0, rebuilt as a value, so that equal computations before and after training are one value; and the power of n that it really has. An average
is of order n^(−1/2) of what it averages where the symmetry of a draw makes its limit 0: where it changes its sign with an initial vector or matrix
(Master theorem: averages are within n^(−1/2) of their limits). So <v|x> with v fresh and of mean 0, and the logits <Q x|K x> of attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nexortlang.classify.powers import NOTHING, ONE, Power, exponent_of, mapped
from nexortlang.core.build import Builder
from nexortlang.core.dependencies import Root
from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
    Fluctuation,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Program,
    Reduce,
    Rename,
    Scale,
    Type,
    Value,
    Width,
    operands,
)
from nexortlang.entrywise.ops import OPS

HALF = Fraction(1, 2)
_ODD = frozenset({"tanh", "sin", "tan", "erf", "sign"})
_LINEAR = frozenset({"neg", "stop"})


@dataclass(frozen=True, slots=True)
class Parity:
    """How a vector answers when the sign of a draw is turned: `odd` draws turn its sign, `mixed` ones do something else, the others nothing.

    Scalars count as constants, whatever they were computed from: in the limit a vector sees numbers, 0 where they vanish.
    """

    odd: frozenset[Root] = frozenset()
    mixed: frozenset[Root] = frozenset()


EVEN = Parity()


class Start:
    """The starts of a program's values. `gradients`: ids of gradients; `pure`: ids of what is computed from gradients and constants alone."""

    def __init__(self, program: Program, gradients: frozenset[int]) -> None:
        self._b = Builder(program)
        self._values = list(program.values)
        self._ones: dict[Width, Value] = {}
        self._starts: dict[int, Value | None] = {}
        self._parities: dict[int, Parity] = {}
        self._powers: dict[int, Power] = {}
        self.pure: set[int] = set()
        for v in self._values:
            if v.id in gradients or self._is_pure(v):
                self.pure.add(v.id)
                self._starts[v.id] = None
            else:
                self._starts[v.id] = self._rebuilt(v, [self._starts[a.id] for a in operands(v)])

    def power(self, v: Value) -> Power:
        """The power of v before training."""
        start = self._starts[v.id]
        return NOTHING if start is None else self._power(start)

    def power_beside(self, v: Value, centred: Iterable[Value]) -> Power:
        """The power of v before training, if averages were of the order of what they average, those among `centred` excepted."""
        start = self._starts[v.id]
        if start is None:
            return NOTHING
        kept = {self.identity(a) for a in centred}
        known: dict[int, Power] = {}
        for u in self._missing(start, known):
            known[u.id] = self._own_power(u, [known[a.id] for a in operands(u)], u.id in kept)
        return known[start.id]

    def identity(self, v: Value) -> int | None:
        """A number that values with the same start share; None for a start of 0."""
        start = self._starts[v.id]
        return None if start is None else start.id

    def is_centred(self, v: Value) -> bool:
        """Whether the limit of v before training, an average, is 0 by symmetry."""
        start = self._starts[v.id]
        return start is not None and self._is_centred(start)

    def _is_centred(self, v: Value) -> bool:
        match v:
            case Avg(x=x):
                return bool(self._parity(x).odd)
            case Inner(x=x, y=y):
                return bool(_product([self._parity(x), self._parity(y)]).odd)
            case _:
                return False

    def _is_pure(self, v: Value) -> bool:
        reads = operands(v)
        return any(a.id in self.pure for a in reads) and all(a.id in self.pure or isinstance(a, Const) for a in reads)

    # -- rebuilding; None is 0

    def _rebuilt(self, v: Value, parts: list[Value | None]) -> Value | None:
        b = self._b
        match v:
            case Const(array=array):
                return b.const(array) if array.any() else None
            case InitVector(mean=mean, variance=variance) | InitScalar(mean=mean, variance=variance):
                return v if mean.any() or variance.any() else None
            case Map():
                return self._map(v, parts)
            case Concat(args=args):
                if all(p is None for p in parts):
                    return None
                return b.concat(
                    [self._filled(a.type, 0.0) if p is None else p for a, p in zip(args, parts, strict=True)]
                )
        if any(p is None for p in parts):
            return None
        x, *more = (p for p in parts if p is not None)
        match v:
            case MatMul(matrix=matrix, members=members, transposed=transposed):
                used = matrix.variance.reshape(-1)[members.reshape(-1)]
                return b.matmul(matrix, members, transposed, x) if used.any() else None
            case Avg(slots=slots):
                return b.avg(x, slots)
            case Inner(spec=spec):
                if x.id <= more[0].id:
                    return b.inner(spec, x, more[0])
                inputs, out = spec.split("->")
                return b.inner(f"{','.join(inputs.split(',')[::-1])}->{out}", more[0], x)
            case Fluctuation():
                return b.fluctuation(x)
            case Rename(slots=slots):
                return b.rename(x, dict(slots))
            case Gather(index=index):
                return b.gather(x, index)
            case Reduce(op=op, axis=axis):
                return b.reduce(op, x, axis)
            case Einsum(spec=spec):
                return b.einsum(spec, x, more[0])
            case Scale(exponent=exponent):
                return b.scale(x, exponent)
        raise AssertionError(f"{type(v).__name__} has no start")

    def _map(self, v: Map, parts: Sequence[Value | None]) -> Value | None:
        b = self._b
        match v.op, parts:
            case "stop", [x]:
                return x
            case (("neg" | "abs" | "sqrt" | "sign"), [None]):
                return None
            case (("add" | "sub"), [None, None]):
                return None
            case (("add" | "sub"), [x, None]):
                return self._spread(x, v.type)
            case "add", [None, y]:
                return self._spread(y, v.type)
            case "sub", [None, y]:
                return self._spread(b.map("neg", y), v.type) if y is not None else None
            case "sub", [x, y] if x is y:
                return None
            case (("mul" | "div"), _) if None in parts:
                return None
            case "pow", [None, _]:
                c = exponent_of(v)
                return self._filled(v.type, 1.0) if c == 0 else None
        full = [self._filled(a.type, 0.0) if p is None else p for a, p in zip(v.args, parts, strict=True)]
        if all(p is None for p in parts):
            with np.errstate(all="ignore"):
                found = float(OPS[v.op].numpy(*[0.0] * len(parts)))
            return self._filled(v.type, found) if found else None
        return b.map(v.op, *full)

    def _spread(self, v: Value | None, t: Type) -> Value | None:
        """v with all the axes and the finite shape of t."""
        if v is None:
            return None
        missing = tuple(axis for axis in t.axes if axis not in v.type.axes)
        v = self._b.mul(v, self._filled(Type(missing, ()), 1.0)) if missing else v
        return v if v.type.shape == t.shape else self._b.broadcast(v, t.shape)

    def _filled(self, t: Type, value: float) -> Value:
        """A constant of the type: over width axes, a multiple of vectors of ones."""
        b = self._b
        v: Value = b.const(np.full(t.shape, value))
        for slot, width in t.axes:
            if width not in self._ones:
                self._ones[width] = b.init_vector("one", width, "normal", np.array(1.0), np.array(0.0))
            v = b.mul(v, b.rename(self._ones[width], {0: slot}))
        return v

    # -- symmetry

    def _parity(self, v: Value) -> Parity:
        for u in self._missing(v, self._parities):
            self._parities[u.id] = self._own_parity(u, [self._parities[a.id] for a in operands(u)])
        return self._parities[v.id]

    def _own_parity(self, v: Value, parts: list[Parity]) -> Parity:
        if v.type.is_scalar:
            return EVEN
        match v:
            case InitVector():
                if not v.variance.any():
                    return EVEN
                is_symmetric = not v.mean.any() and v.law != "bernoulli"
                return Parity(odd=frozenset((v,))) if is_symmetric else Parity(mixed=frozenset((v,)))
            case MatMul(matrix=matrix):
                return _product([parts[0], Parity(odd=frozenset((matrix,)))])
            case Map(op="mul" | "div") | Einsum():
                return _product(parts)
            case Map(op="add" | "sub", args=args) | Concat(args=args):
                return _sum([p for a, p in zip(args, parts, strict=True) if not self._vanishes(a)])
            case Map(op="pow"):
                c = exponent_of(v)
                if c is None or c.denominator != 1:
                    return _other(parts)
                return parts[0] if c % 2 else Parity(mixed=parts[0].mixed)
            case Map(op="abs" | "cos"):
                return Parity(mixed=parts[0].mixed)
            case Map(op=op) if op not in _ODD | _LINEAR:
                return _other(parts)
            case Reduce(op="max" | "min" | "argmax"):
                return _other(parts)
            case _:
                return parts[0]

    def _vanishes(self, v: Value) -> bool:
        """Whether v is 0 as a vector sees it."""
        return _is_zero(v) or (v.type.is_scalar and self._power(v) < 0)

    # -- powers

    def _power(self, v: Value) -> Power:
        for u in self._missing(v, self._powers):
            self._powers[u.id] = self._own_power(u, [self._powers[a.id] for a in operands(u)], True)
        return self._powers[v.id]

    def _own_power(self, v: Value, parts: list[Power], is_halved: bool) -> Power:
        match v:
            case Const() | InitVector() | InitScalar():
                return NOTHING if _is_zero(v) else ONE
            case Map():
                return mapped(v, parts)
            case Scale(exponent=exponent):
                return parts[0] + exponent
            case Concat():
                return max(parts)
            case Einsum():
                return parts[0] + parts[1]
            case Inner() | Avg():
                return sum(parts, ONE) - (HALF if is_halved and v.type.is_scalar and self._is_centred(v) else 0)
            case Reduce(op="argmax"):
                return ONE
            case _:
                return parts[0]

    @staticmethod
    def _missing(v: Value, known: Mapping[int, object]) -> list[Value]:
        """v and what it is computed from, as far as it is not known, in program order."""
        found: dict[int, Value] = {}
        pending = [v]
        while pending:
            u = pending.pop()
            if u.id not in known and u.id not in found:
                found[u.id] = u
                pending.extend(operands(u))
        return [found[k] for k in sorted(found)]


def _is_zero(v: Value) -> bool:
    match v:
        case Const(array=array):
            return not array.any()
        case InitVector() | InitScalar():
            return not (v.mean.any() or v.variance.any())
        case _:
            return False


def _product(parts: Sequence[Parity]) -> Parity:
    odd: frozenset[Root] = frozenset()
    for p in parts:
        odd = odd ^ p.odd
    mixed = frozenset[Root]().union(*(p.mixed for p in parts))
    return Parity(odd - mixed, mixed)


def _sum(parts: Sequence[Parity]) -> Parity:
    if not parts:
        return EVEN
    common = frozenset.intersection(*(p.odd for p in parts))
    anywhere = frozenset[Root]().union(*(p.odd for p in parts))
    mixed = frozenset[Root]().union(*(p.mixed for p in parts))
    return Parity(common - mixed, mixed | (anywhere - common))


def _other(parts: Sequence[Parity]) -> Parity:
    """Of a function without symmetry."""
    return Parity(mixed=frozenset[Root]().union(*(p.odd | p.mixed for p in parts)))
