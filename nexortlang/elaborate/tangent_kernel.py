"""The neural tangent kernel, from core to core: Σ_ω ∂f[a]/∂ω · ∂f[b]/∂ω over the standard-normal entries ω of draws.

In: outputs f and the draws. Out: a scalar array of shape f.shape + f.shape, appended to the program. Guarantees: it is the kernel at every finite
width, at the values that f was computed at; its power of n is that of the kernel. Nothing of the size of a gradient is formed: a
matrix contributes Σ over its uses and uses' of <dh_a|dh_b><x_a|x_b>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeAlias

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.dependencies import Root
from nexortlang.core.program import Const, Gather, InitVector, MatMul, Matrix, Value, Width
from nexortlang.elaborate.adjoints import extended, multiply, plus, scaled_einsum, split, spread_index
from nexortlang.elaborate.averages import inner
from nexortlang.elaborate.jacobian import Jacobian, Leaf, leaves, taken
from nexortlang.elaborate.parameters import Selected, family_size

WASTE = 4  # inner products of all that a vector is picked from are taken when that is at most so many times as much


def tangent_kernel(b: Builder, f: Value, draws: Selected) -> Value:
    """The kernel of f with respect to the draws; a constant for gradients."""
    size = prod(f.type.shape)
    with b.constants():
        kernel = _Kernel(b, size)
        terms: dict[Root, list[_Term]] = {}
        for leaf in leaves(b, f, draws.keys()):
            root = leaf.value.matrix if isinstance(leaf.value, MatMul) else leaf.value
            terms.setdefault(root, []).extend(kernel.terms(leaf))
        total: Value = b.const(np.zeros((size, size)))
        for root, own in terms.items():
            total = plus(b, total, kernel.contribution(own, _covariance(root, draws[root]), _scale_of(root)))
        return b.reshape(total, f.type.shape * 2)


def _covariance(root: Root, selected: np.ndarray) -> np.ndarray:
    """Of the entries of a draw, those that do not count left out. A matrix's is per member, to be divided by its columns."""
    size = family_size(root)
    if isinstance(root, InitVector) and root.covariance is not None:
        covariance = np.kron(np.eye(size // len(root.covariance)), root.covariance)
    else:
        covariance = np.diag(root.variance.reshape(-1))
    counts = np.isin(np.arange(size), selected)
    return covariance * np.outer(counts, counts)


def _scale_of(root: Root) -> Width | None:
    """The width that a matrix's entry variances are divided by."""
    return root.cols if isinstance(root, Matrix) else None


_Vectors: TypeAlias = tuple[Fraction, Value, Value]
"""n^exponent · coefficient · vectors, as `split` gives them."""


@dataclass(frozen=True, slots=True)
class _Side:
    """The vectors value.flat[index], over slot 0."""

    value: Value
    index: np.ndarray


@dataclass(frozen=True, slots=True)
class _Term:
    """Part of the derivatives of f by a draw: Σ_r weights[r, e] · n^exponent · coefficient[r] · the outer product of the vectors r of `sides`.

    Row r belongs to the entry outputs[r] of f; e counts the draw's entries or members. No sides for a scalar, two for a matrix.
    """

    outputs: np.ndarray
    weights: np.ndarray
    exponent: Fraction
    coefficient: Value | None
    sides: tuple[_Side, ...]


class _Kernel:
    """Inner products of the gradients of `size` outputs."""

    def __init__(self, b: Builder, size: int) -> None:
        self.b, self.size = b, size

    # -- gradients

    def terms(self, leaf: Leaf) -> list[_Term]:
        v = leaf.value
        if isinstance(v, MatMul):
            return [self._of_use(v, j) for j in leaf.parts]
        return [self._term(j, j.entries, prod(v.type.shape), self._vectors(v, j)) for j in leaf.parts]

    def _of_use(self, v: MatMul, j: Jacobian) -> _Term:
        """The gradient of one use h = W x: ∂f/∂h ⊗ x, rows of W first."""
        shape = v.type.shape
        members = np.broadcast_to(v.members, shape).reshape(-1)[j.entries]
        x = taken(self.b, v.x, spread_index(v.x.type.shape, shape)[j.entries])
        sides = [self._vectors(v, j), split(self.b, x)]
        return self._term(j, members, prod(v.matrix.shape), *(sides[::-1] if v.transposed else sides))

    def _vectors(self, v: Value, j: Jacobian) -> _Vectors:
        """∂f/∂v with all of v's width axes."""
        return split(self.b, extended(self.b, j.body, v.type.axes))

    def _term(self, j: Jacobian, entries: np.ndarray, size: int, *factors: _Vectors) -> _Term:
        b, count = self.b, len(entries)
        exponent = sum((e for e, _, _ in factors), start=j.exponent)
        coefficient: Value = b.const(1.0)
        for _, c, _ in factors:
            coefficient = multiply(b, coefficient, c)
        sides = tuple(_side(b.broadcast(v, (count,))) for _, _, v in factors if v.type.axes)
        rows = np.stack([j.outputs, *(side.index for side in sides)])
        if not isinstance(coefficient, Const):
            weights = np.zeros((count, size))
            weights[np.arange(count), entries] = 1.0
            return _Term(j.outputs, weights, exponent, b.broadcast(coefficient, (count,)), sides)
        rows, inverse = np.unique(rows, axis=1, return_inverse=True)
        weights = np.zeros((rows.shape[1], size))
        np.add.at(weights, (inverse.reshape(-1), entries), np.broadcast_to(coefficient.array, (count,)))
        return _Term(rows[0], weights, exponent, None, tuple(map(_Side, (s.value for s in sides), rows[1:])))

    # -- inner products

    def contribution(self, terms: Sequence[_Term], covariance: np.ndarray, over: Width | None) -> Value:
        """Σ over pairs of terms, an array of shape (size, size)."""
        b = self.b
        total: Value = b.const(np.zeros((self.size, self.size)))
        transposed = np.arange(self.size**2).reshape(self.size, self.size).T
        for k, s in enumerate(terms):
            for t in terms[k:]:
                weights = s.weights @ covariance @ t.weights.T
                if weights.any():
                    part = self._pair(s, t, weights, over)
                    total = plus(b, total, part)
                    if t is not s:
                        total = plus(b, total, taken(b, part, transposed))
        return total

    def _pair(self, s: _Term, t: _Term, weights: np.ndarray, over: Width | None) -> Value:
        """Σ_rows weights · the inner products of the vectors of s with those of t, for every pair of outputs."""
        b = self.b
        exponent = s.exponent + t.exponent
        found: Value = b.const(1.0)
        ratio = Fraction(1)
        for x, y in zip(s.sides, t.sides, strict=True):
            found = multiply(b, found, _products(b, x, y))
            exponent, ratio = exponent + 1, ratio * x.value.type.width.ratio
        if over is not None:
            exponent, ratio = exponent - 1, ratio / over.ratio
        found = multiply(b, b.const(weights * float(ratio)), found)
        if s.coefficient is not None:
            found = multiply(b, taken(b, s.coefficient, np.arange(len(s.outputs))[:, None]), found)
        if t.coefficient is not None:
            found = multiply(b, t.coefficient, found)
        found = self._per_output(found, s.outputs, "ar,rs->as")
        return b.scale(self._per_output(found, t.outputs, "bs,as->ab"), exponent)

    def _per_output(self, v: Value, outputs: np.ndarray, spec: str) -> Value:
        """The sum over the rows of each output."""
        if np.array_equal(outputs, np.arange(self.size)):
            return v
        b = self.b
        return scaled_einsum(b, spec, b.const((outputs == np.arange(self.size)[:, None]).astype(float)), v)


def _side(v: Value) -> _Side:
    """The vectors of v, by way of what v repeats or picks from, unless that is much more."""
    if isinstance(v, Gather) and prod(v.x.type.shape) <= WASTE * v.index.size:
        return _Side(v.x, v.index)
    return _Side(v, np.arange(prod(v.type.shape)))


def _products(b: Builder, x: _Side, y: _Side) -> Value:
    """<x_r|y_s> for all rows."""
    whole = inner(b, x.value, y.value)
    return taken(b, whole, x.index[:, None] * prod(y.value.type.shape) + y.index)
