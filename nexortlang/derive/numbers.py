"""What the exact evaluator knows of a program: values of scalars, which hats a ket depends on, the coefficients of dots.

In: live values. Out: numbers, where they are exact; nothing where they are not, or where computing them would be long.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.core.program import (
    Concat,
    Einsum,
    Gather,
    InitVector,
    Map,
    MatMul,
    Reduce,
    Scale,
    Value,
    operands,
)
from nexortlang.derive.terms import Entry, Index, Num, Term
from nexortlang.derive.writing import is_written_exactly
from nexortlang.diagnostics import NexortError
from nexortlang.kets.exact.atoms import NotStructured
from nexortlang.kets.exact.dots import expected_derivative
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer, JumpAtAtom
from nexortlang.kets.exact.forms import Ket, Root

MOST_VALUES = 2000
MOST_ENTRIES = 400
_ZERO = 1e-12
_MOST_IN_A_ROW = 6

Family: TypeAlias = tuple[int, bool | None, int]
Relation = Literal["=", "≈", "~"]


class Known:
    """Asks the exact evaluator, of programs that are small enough."""

    def __init__(self, live: Sequence[Value]) -> None:
        self._exact = ExactLimit()
        self._small = len(live) <= MOST_VALUES and all(prod(v.type.shape) <= MOST_ENTRIES for v in live)
        self._families: dict[int, frozenset[Family] | None] = {}
        self._hats: dict[int, frozenset[MatMul]] = {}
        self.live = live

    def result(self, v: Value) -> Answer | Ket | None:
        """The exact evaluator's answer, None if it has none."""
        if not self._small:
            return None
        try:
            return self._exact.evaluate(v)
        except (NotStructured, JumpAtAtom, NexortError):
            return None

    def value(self, v: Value, indices: Sequence[Index]) -> list[tuple[Relation, Term]]:
        """= 1/2, or ≈ 0.227969, for one number, for a few in a row, or for an array that is 0, if it is exact."""
        found = self.result(v)
        if not isinstance(found, Answer) or found.method != "exact" or not np.isfinite(found.value).all():
            return []
        scale = max(1.0, float(np.abs(found.value).max(initial=0.0)))
        if found.value.size and (np.abs(found.value) < _ZERO * scale).all():
            return [("=", Num(0.0))]
        numbers = [0.0 if abs(x) < _ZERO * scale else float(x) for x in found.value.reshape(-1)]
        if len(numbers) == 1:
            return [(_sign(numbers), Num(numbers[0]))]
        if found.value.ndim != 1 or len(numbers) > _MOST_IN_A_ROW:
            return []
        return [(_sign(numbers), Entry(tuple(map(Num, numbers)), indices[0]))]

    def opposite_uses(self, v: MatMul) -> list[MatMul]:
        """Uses of the same matrix in the other orientation whose hats the operand of v depends on, in program order."""
        uses = self.hats(v.x)
        return sorted((u for u in uses if u.matrix is v.matrix and u.transposed != v.transposed), key=lambda u: u.id)

    def hats(self, v: Value) -> frozenset[MatMul]:
        """The products with matrices that a ket depends on, through kets alone."""
        pending = [v]
        while pending:
            top = pending[-1]
            parts = [] if top.type.is_scalar else [a for a in operands(top) if not a.type.is_scalar]
            missing = [a for a in parts if a.id not in self._hats]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            own = frozenset((top,)) if isinstance(top, MatMul) else frozenset[MatMul]()
            self._hats[top.id] = own.union(*(self._hats[a.id] for a in parts))
        return self._hats[v.id]

    def slopes(self, v: MatMul, u: MatMul) -> np.ndarray | None:
        """E[∂x/∂hat of u], entries of v's operand x by entries of u; None where it is not known exactly.

        Zeros are exact whatever the method: they come of a factor that is one.
        """
        x = self.result(v.x)
        if not isinstance(x, Ket) or self.result(u) is None:
            return None
        try:
            theta, method, _ = expected_derivative(self._exact.moments, x, u)
        except (NotStructured, JumpAtAtom, NexortError):
            return None
        if method != "exact" and theta.any():
            return None
        return np.where(np.abs(theta) < _ZERO, 0.0, theta)

    def is_gaussian(self, v: Value) -> bool:
        """Whether the ket of v is known to be Gaussian of mean 0, and not 0."""
        return bool(self.families(v))

    def families(self, v: Value) -> frozenset[Family] | None:
        """The independent Gaussian families that the ket of v is a combination of, None if it is not known to be one.

        By what the program says where that is enough, so for programs of any size; else by the exact evaluator, which also sees that dots are 0.
        """
        if v.id not in self._families:
            found = self._combined(v)
            self._families[v.id] = self._by_evaluator(v) if found is None else found
        return self._families[v.id]

    def is_hat(self, v: MatMul) -> bool:
        """Whether a product with a matrix is known to be its hat alone."""
        if not self.opposite_uses(v):
            return True
        found = self.result(v)
        return isinstance(found, Ket) and len(found.lin.terms) == 1 and not found.lin.constant.any()

    def _combined(self, v: Value) -> frozenset[Family] | None:
        """By the instruction: draws, hats without dots, and what is linear in them."""
        match v:
            case InitVector() if v.law == "normal" and not v.mean.any():
                return _own_families(v) if v.variance.any() else frozenset()
            case MatMul() if not self.opposite_uses(v):
                return _own_families(v)
            case Map(op="add" | "sub" | "neg" | "stop", args=args):
                parts = [self.families(a) for a in args if a.type.power == v.type.power]
            case Map(op="mul", args=(a, b)) if a.type.is_scalar:
                parts = [self.families(b)]
            case Map(op="mul" | "div", args=(a, b)) if b.type.is_scalar:
                parts = [self.families(a)]
            case Einsum(x=x, y=y) if x.type.is_scalar or y.type.is_scalar:
                parts = [self.families(y if x.type.is_scalar else x)]
            case Gather(x=x) | Scale(x=x) | Reduce(op="sum", x=x):
                parts = [self.families(x)]
            case Concat(args=args):
                parts = [self.families(a) for a in args]
            case _:
                return None
        return (
            None if any(p is None for p in parts) else frozenset[Family]().union(*(p for p in parts if p is not None))
        )

    def _by_evaluator(self, v: Value) -> frozenset[Family] | None:
        found = self.result(v)
        if not isinstance(found, Ket) or found.lin.constant.any():
            return None
        roots = [key for key in found.lin.terms if isinstance(key, Root) and _is_normal(key.value)]
        if len(roots) < len(found.lin.terms):
            return None
        return frozenset[Family]().union(*(_own_families(r.value) for r in roots))


def _own_families(v: Value) -> frozenset[Family]:
    """What is of different families is independent: draws, and hats of one matrix in one orientation."""
    if isinstance(v, MatMul):
        return frozenset((id(v.matrix), v.transposed, int(m)) for m in np.unique(v.members))
    return frozenset(((v.id, None, 0),))


def _is_normal(v: Value) -> bool:
    return not isinstance(v, InitVector) or v.law == "normal"


def _sign(numbers: Sequence[float]) -> Relation:
    return "=" if all(map(is_written_exactly, numbers)) else "≈"
