"""Kets as linear forms: what the exact evaluator knows a vector to be.

A vector with finite shape of K entries is, entry by entry, a constant plus a linear combination of *basis* entries: of Gaussian roots (initial
vectors, hats, Gaussian scalars) and of nonlinear atoms. `Lin` holds one linear map per basis element; a linear map is sparse (`Rows`: one basis
entry per row, which is what indexing, broadcasting and scaling make) or dense (`Dense`: sums over finite axes, x @ A).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Row k is coef[k] · basis[index[k]]."""

    index: np.ndarray
    coef: np.ndarray
    size: int  # entries of the basis element

    @property
    def entries(self) -> int:
        return len(self.index)

    def rows(self, index: np.ndarray) -> Rows:
        return Rows(self.index[index], self.coef[index], self.size)

    def scaled(self, factor: np.ndarray) -> Rows:
        return Rows(self.index, self.coef * factor, self.size)

    def dense(self) -> np.ndarray:
        matrix = np.zeros((len(self.index), self.size))
        matrix[np.arange(len(self.index)), self.index] = self.coef
        return matrix

    def times(self, right: np.ndarray) -> np.ndarray:
        """This map times a matrix (size × c); a view of it where nothing is to be multiplied."""
        index = self.index
        consecutive = len(index) > 0 and bool((np.diff(index) == 1).all())
        picked = right[index[0] : index[0] + len(index)] if consecutive else right[index]
        return picked if (self.coef == 1.0).all() else picked * self.coef[:, None]

    @property
    def is_identity(self) -> bool:
        return _is_range(self.index, self.size) and bool((self.coef == 1.0).all())


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """Row k is Σ_r matrix[k, r] · basis[r]."""

    matrix: np.ndarray

    @property
    def size(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def entries(self) -> int:
        return len(self.matrix)

    @property
    def is_identity(self) -> bool:
        return False

    def rows(self, index: np.ndarray) -> Dense:
        return Dense(self.matrix[index])

    def scaled(self, factor: np.ndarray) -> Dense:
        return Dense(self.matrix * np.broadcast_to(factor, (len(self.matrix),))[:, None])

    def dense(self) -> np.ndarray:
        return self.matrix

    def times(self, right: np.ndarray) -> np.ndarray:
        return self.matrix @ right


LinMap: TypeAlias = Rows | Dense


def _is_range(index: np.ndarray, size: int) -> bool:
    return len(index) == size and bool((index == np.arange(size)).all())


def identity(size: int) -> Rows:
    return Rows(np.arange(size), np.ones(size), size)


def add_maps(a: LinMap, b: LinMap) -> LinMap:
    if isinstance(a, Rows) and isinstance(b, Rows) and np.array_equal(a.index, b.index):
        return Rows(a.index, a.coef + b.coef, a.size)
    return Dense(a.dense() + b.dense())


def left_multiply(matrix: np.ndarray, m: LinMap) -> Dense:
    """matrix (K′ × K) composed with the map m (K × R)."""
    if m.is_identity:
        return Dense(matrix)
    if isinstance(m, Rows):
        out = np.zeros((len(matrix), m.size))
        np.add.at(out.T, m.index, (matrix * m.coef).T)
        return Dense(out)
    return Dense(matrix @ m.matrix)


def _times_diagonal(m: LinMap, diagonal: np.ndarray) -> LinMap:
    if isinstance(m, Rows):
        return Rows(m.index, m.coef * diagonal[m.index], m.size)
    return Dense(m.matrix * diagonal)


def sandwich(a: LinMap, gram: np.ndarray | None, b: LinMap) -> np.ndarray:
    """a · gram · bᵀ; gram None is the identity, one axis a diagonal."""
    if gram is not None and gram.ndim == 1:
        return sandwich(a, None, _times_diagonal(b, gram))
    if gram is None:
        if isinstance(a, Dense) and isinstance(b, Dense):
            return a.matrix @ b.matrix.T
        return a.times(b.dense().T)
    return b.times(a.times(gram).T).T


def sandwich_aligned(a: LinMap, gram: np.ndarray | None, b: LinMap) -> np.ndarray:
    """The diagonal of a · gram · bᵀ."""
    if gram is not None and gram.ndim == 1:
        return sandwich_aligned(a, None, _times_diagonal(b, gram))
    if gram is None and isinstance(a, Dense) and isinstance(b, Dense):
        return np.einsum("kr,kr->k", a.matrix, b.matrix)
    if isinstance(a, Rows) and isinstance(b, Rows):
        values = (a.index == b.index).astype(float) if gram is None else gram[a.index, b.index]
        return values * a.coef * b.coef
    right = b.dense().T if gram is None else gram @ b.dense().T
    return np.einsum("kr,rk->k", a.dense(), right)


@dataclass(frozen=True, slots=True, eq=False)
class Lin:
    """constant + Σ terms[key] · basis[key], K = len(constant) entries (finite axes flattened in C order)."""

    constant: np.ndarray
    terms: dict[Hashable, LinMap]

    @property
    def size(self) -> int:
        return len(self.constant)

    def rows(self, index: np.ndarray) -> Lin:
        flat = index.reshape(-1)
        if _is_range(flat, self.size):
            return self
        return Lin(self.constant[flat], {k: m.rows(flat) for k, m in self.terms.items()})

    def scaled(self, factor: np.ndarray) -> Lin:
        return Lin(self.constant * factor, {k: m.scaled(factor) for k, m in self.terms.items()})

    def times(self, matrix: np.ndarray) -> Lin:
        """matrix (K′ × K) applied to the entries."""
        return Lin(matrix @ self.constant, {k: left_multiply(matrix, m) for k, m in self.terms.items()})

    def split(self, keep: Iterable[Hashable]) -> tuple[Lin, Lin]:
        """The part over the given keys, with the constant, and the rest, without it."""
        kept = set(keep)
        inside = {k: m for k, m in self.terms.items() if k in kept}
        outside = {k: m for k, m in self.terms.items() if k not in kept}
        return Lin(self.constant, inside), Lin(np.zeros(self.size), outside)


def add(a: Lin, b: Lin) -> Lin:
    terms = dict(a.terms)
    for key, m in b.terms.items():
        terms[key] = add_maps(terms[key], m) if key in terms else m
    return Lin(a.constant + b.constant, terms)


def composed(m: LinMap, form: Lin) -> Lin:
    """The map applied to a form's entries."""
    return form.rows(m.index).scaled(m.coef) if isinstance(m, Rows) else form.times(m.matrix)


def concatenate(parts: list[Lin]) -> Lin:
    constant = np.concatenate([p.constant for p in parts])
    keys = list(dict.fromkeys(k for p in parts for k in p.terms))
    return Lin(constant, {k: _concatenate_maps([(p.terms.get(k), p.size) for p in parts]) for k in keys})


def _concatenate_maps(parts: list[tuple[LinMap | None, int]]) -> LinMap:
    size = next(m.size for m, _ in parts if m is not None)
    if all(m is None or isinstance(m, Rows) for m, _ in parts):
        index = [m.index if isinstance(m, Rows) else np.zeros(n, dtype=np.intp) for m, n in parts]
        coef = [m.coef if isinstance(m, Rows) else np.zeros(n) for m, n in parts]
        return Rows(np.concatenate(index), np.concatenate(coef), size)
    return Dense(np.concatenate([m.dense() if m is not None else np.zeros((n, size)) for m, n in parts]))
