"""Dots: what a matrix that has been applied the other way round adds to a ket (THEORY.md §2).

|Wx⟩• = s Σ_k |y_k⟩ E[∂|x⟩/∂ẑ_k] over the hats ẑ_k of Wᵀy_k, and with a factor n/m for the transpose. Expected derivatives of atoms by Stein's lemma.
"""

from __future__ import annotations

import math

import numpy as np

from nexortlang.core.program import MatMul
from nexortlang.kets.exact.atoms import Atom, Monomial, expand
from nexortlang.kets.exact.expectation import Answer, mean_of_product
from nexortlang.kets.exact.forms import AtomKey, Ket, Root, broadcast_index
from nexortlang.kets.exact.linear import add
from nexortlang.kets.exact.moments import Moments
from nexortlang.kets.results import Method, least_exact


def with_dots(moments: Moments, hat: Ket, v: MatMul, x: Ket) -> Ket:
    """The hat of W x and all its dots."""
    for earlier in _opposite_uses(moments, v, x):
        hat = _add_dot(moments, hat, v, x, earlier)
    return hat


def _opposite_uses(moments: Moments, v: MatMul, x: Ket) -> list[MatMul]:
    """Uses of the same matrix in the other orientation whose hats x depends on."""
    found: dict[int, MatMul] = {}
    for key in x.lin.terms:
        leaves = moments.atom(key).leaves if isinstance(key, AtomKey) else (x.lin,)
        for leaf in leaves:
            for root in leaf.terms:
                if isinstance(root, Root) and isinstance(root.value, MatMul):
                    w = root.value
                    if w.matrix is v.matrix and w.transposed != v.transposed:
                        found[w.id] = w
    return [found[k] for k in sorted(found)]


def _add_dot(moments: Moments, result: Ket, v: MatMul, x: Ket, earlier: MatMul) -> Ket:
    """The dot of W x from an earlier Wᵀ y: s Σ_k |y_k⟩ E[∂|x⟩/∂ẑ_k], ẑ the hat of Wᵀ y (times n/m for the transpose)."""
    members = np.broadcast_to(v.members, v.type.shape).reshape(-1)
    earlier_members = np.broadcast_to(earlier.members, earlier.type.shape).reshape(-1)
    same = members[:, None] == earlier_members[None, :]
    if not same.any():
        return result
    theta, method, error = expected_derivative(moments, x, earlier)
    x_index = broadcast_index(x.shape, v.type.shape)
    weights = theta[x_index] * same
    if not weights.any():
        return result
    weights = weights * v.matrix.variance.reshape(-1)[members][:, None]
    if v.transposed:
        weights = weights * float(v.matrix.rows.ratio / v.matrix.cols.ratio)
    y = moments.ket_of(earlier.x)
    spread = y.lin.rows(broadcast_index(y.shape, earlier.type.shape))
    lin = add(result.lin, spread.times(weights))
    return Ket(lin, result.shape, least_exact(result.method, method, y.method), max(result.error, error, y.error))


def expected_derivative(moments: Moments, x: Ket, hat: MatMul) -> tuple[np.ndarray, Method, float]:
    """E[∂x_a/∂ẑ_b] (entries of x × entries of the hat). Atoms by Stein's lemma over their own leaves: Σ E[∂F] = E[(g − μ) F]."""
    root = Root(hat, 0)
    theta = np.zeros((x.lin.size, math.prod(hat.type.shape)))
    method, error = x.method, x.error
    for key, m in x.lin.terms.items():
        if key == root:
            theta += m.dense()
        elif isinstance(key, AtomKey):
            atom = moments.atom(key)
            if any(root in leaf.terms for leaf in atom.leaves):
                slopes, trust = _mean_gradient(moments, atom)
                method, error = least_exact(method, trust.method), max(error, trust.error)
                total = np.zeros((atom.entries, theta.shape[1]))
                for slope, leaf in zip(slopes, atom.leaves, strict=True):
                    if root in leaf.terms:
                        total += slope[:, None] * leaf.terms[root].dense()
                theta += m.times(total)
    return theta, method, error


def _mean_gradient(moments: Moments, atom: Atom) -> tuple[list[np.ndarray], Answer]:
    """E[∂F/∂g_i] per leaf, arrays (K,), by the pseudo-inverse of the leaves' covariance."""
    d = len(atom.leaves)
    frame = moments.frame_aligned(atom.leaves, atom.entries)
    monomials = expand(atom.node)
    gradient = np.empty((atom.entries, d))
    covariance = np.empty((atom.entries, d, d))
    trust = Answer(np.zeros(()))
    mean = mean_of_product(frame, [monomials])
    for i in range(d):
        moment = mean_of_product(frame, [[Monomial(np.ones(()), ((i, 1),), ())], monomials])
        gradient[:, i] = moment.value - frame.mean(i) * mean.value
        trust = Answer(np.zeros(()), least_exact(trust.method, moment.method), max(trust.error, moment.error))
        for j in range(d):
            covariance[:, i, j] = frame.cov(i, j)
    slopes = np.einsum("kij,kj->ki", np.linalg.pinv(covariance, rcond=1e-12, hermitian=True), gradient)
    return [slopes[:, i] for i in range(d)], trust
