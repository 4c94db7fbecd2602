"""Hats with the covariance that the exact evaluator knows, where matrices meet nothing else: initial kets, as in the tangent regime.

In: values, the exact evaluator. Out: for each MatMul the coordinates of its columns over innovations. Guarantees: the coordinates of one matrix, in one
orientation, have the hats' exact covariance as their Gram matrix, to the errors of the kernels.

A hat made from the particles of its input has their sample covariance instead. That errs by N^(−1/2), layer upon layer, and what is not linear in it is biased. But it is adjoint to the transpose
in the sample, which dots are made of: so this serves only where no ket has dots, and all matrices or none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import numpy as np

from nexortlang.core.program import MatMul, Matrix, Value
from nexortlang.kets.exact.atoms import NotStructured
from nexortlang.kets.exact.evaluator import ExactLimit
from nexortlang.kets.exact.expectation import Answer, JumpAtAtom
from nexortlang.kets.exact.forms import Ket, Root
from nexortlang.kets.exact.quadrature import Divergent

ERROR = 1e-9
"""The largest error of a kernel, relative to its largest entry, that lets it count as known."""

RANK = 1e-12
"""A direction with less than this part of the largest variance, or ten times the kernel's error, is none."""

Family: TypeAlias = tuple[Matrix, int, bool]
"""A matrix (by its number in its family) in one orientation."""


class Part(NamedTuple):
    """Columns of a MatMul, by their number in its flattened shape, as combinations of a family's innovations: (columns, innovations)."""

    family: Family
    columns: np.ndarray
    coordinates: np.ndarray


class Hats:
    """Coordinates of all hats asked for so far; what a hat has it keeps."""

    def __init__(self, exact: ExactLimit) -> None:
        self._exact = exact
        self._parts: dict[int, list[Part] | None] = {}
        self._families: dict[Family, _Known] = {}

    def know(self, values: Iterable[Value]) -> bool:
        """Whether the MatMuls among these values make hats of known covariance and nothing else; `of` tells their coordinates."""
        return all(self._found(v) is not None for v in values if isinstance(v, MatMul))

    def of(self, v: MatMul) -> list[Part]:
        """The parts of a MatMul that is known."""
        parts = self._parts[v.id]
        assert parts is not None, "known before it is asked for"
        return parts

    def _found(self, v: MatMul) -> list[Part] | None:
        if v.id not in self._parts:
            try:
                self._parts[v.id] = self._attempt(v)
            except (NotStructured, Divergent, JumpAtAtom):
                self._parts[v.id] = None
        return self._parts[v.id]

    def _attempt(self, v: MatMul) -> list[Part] | None:
        x, result = self._exact.evaluate(v.x), self._exact.evaluate(v)
        if not isinstance(x, Ket) or not isinstance(result, Ket) or not _is_hat(result, v):
            return None
        own = self._exact.moments.second_moment(x, x)
        if not own.error <= ERROR * np.max(np.abs(own.value), initial=0.0):
            return None
        members = np.broadcast_to(v.members, v.type.shape).reshape(-1)
        sources = np.broadcast_to(np.arange(x.lin.size).reshape(v.x.type.shape), v.type.shape).reshape(-1)
        parts = []
        for member in np.unique(members):
            here = np.flatnonzero(members == member)
            used, place = np.unique(sources[here], return_inverse=True)
            family = v.matrix, int(member), v.transposed
            coordinates = self._families.setdefault(family, _Known(self._exact)).coordinates(x, used)
            parts.append(Part(family, here, _deviation(family) * coordinates[place]))
        return parts


class _Known:
    """What one family has met: columns of kets, and their coordinates, of which there are as many as directions."""

    def __init__(self, exact: ExactLimit) -> None:
        self._moments = exact.moments
        self._met: list[tuple[Ket, np.ndarray]] = []
        self._coordinates = np.empty((0, 0))

    def coordinates(self, x: Ket, used: np.ndarray) -> np.ndarray:
        """Of some columns of x, (columns, directions): least squares on the directions there are, and new ones for the rest."""
        own = self._moment(x, used, x, used)
        across = [self._moment(y, theirs, x, used).value for y, theirs in self._met]
        before, directions = self._coordinates.shape
        with_old = np.concatenate(across) if across else np.empty((0, len(used)))
        old = np.linalg.lstsq(self._coordinates, with_old, rcond=None)[0] if before else np.empty((0, len(used)))
        weights, axes = np.linalg.eigh(own.value - old.T @ old)
        scale = np.max(np.diag(own.value), initial=0.0)
        kept = weights > max(RANK * scale, 10.0 * own.error)
        new = axes[:, kept] * np.sqrt(weights[kept])
        grown = np.zeros((before + len(used), directions + new.shape[1]))
        grown[:before, :directions] = self._coordinates
        grown[before:] = np.concatenate([old.T, new], axis=1)
        self._met.append((x, used))
        self._coordinates = grown
        return grown[before:]

    def _moment(self, x: Ket, rows: np.ndarray, y: Ket, columns: np.ndarray) -> Answer:
        found = self._moments.second_moment(x, y)
        return Answer(found.value[np.ix_(rows, columns)], found.method, found.error)


def _is_hat(ket: Ket, v: MatMul) -> bool:
    """Whether this is the hat of v, or 0, without any dot."""
    keys = list(ket.lin.terms)
    return not ket.lin.constant.any() and (
        not keys
        or (
            len(keys) == 1
            and isinstance(keys[0], Root)
            and isinstance(keys[0].value, MatMul)
            and keys[0].value.x is v.x
        )
    )


def _deviation(family: Family) -> float:
    """√s, and √(n/m) with it for a transpose."""
    matrix, member, transposed = family
    ratio = float(matrix.rows.ratio / matrix.cols.ratio) if transposed else 1.0
    return math.sqrt(ratio * float(matrix.variance.reshape(-1)[member]))
