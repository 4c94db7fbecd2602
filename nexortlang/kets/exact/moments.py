"""Second moments and means of kets: bilinear over basis elements, each Gram matrix computed once.

`Moments` keeps the atoms and what is known of them. It asks for the kets that matrices were applied to through `ket_of`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from nexortlang.core.program import Fluctuation, InitScalar, InitVector, MatMul, Value
from nexortlang.kets.exact.atoms import Atom, Node, expand, transform
from nexortlang.kets.exact.expectation import Answer, Frame, mean_of_product
from nexortlang.kets.exact.forms import AtomKey, Ket, Root, broadcast_index, group, trusted
from nexortlang.kets.exact.linear import Lin, LinMap, identity, sandwich, sandwich_aligned
from nexortlang.kets.results import least_exact


class Moments:
    """Means, variances and Gram matrices of linear forms."""

    def __init__(self, ket_of: Callable[[Value], Ket], multiply: Callable[[Lin, Lin], Ket]) -> None:
        self.ket_of = ket_of
        self.multiply = multiply
        self.atoms: list[Atom] = []
        self._means: dict[int, Answer] = {}
        self._grams: dict[tuple[int, int], Answer] = {}
        self._moments: dict[tuple[int, int], Answer] = {}
        self._covariances: dict[tuple[int, int], Answer | None] = {}
        self._kept: list[Lin] = []  # keeps alive what memo keys identify by id

    def atom(self, key: AtomKey) -> Atom:
        return self.atoms[key.number]

    def new_key(self, atom: Atom) -> AtomKey:
        self.atoms.append(atom)
        return AtomKey(len(self.atoms) - 1)

    def slots(self, key: Hashable) -> frozenset[int]:
        """The slots that a basis element depends on."""
        if isinstance(key, Root):
            return frozenset((key.slot,))
        assert isinstance(key, AtomKey)
        return frozenset(k.slot for leaf in self.atom(key).leaves for k in leaf.terms if isinstance(k, Root))

    def second_moment(self, x: Ket, y: Ket) -> Answer:
        """E[x_a y_b], an array (entries of x × entries of y)."""
        key = (id(x.lin), id(y.lin))
        if key not in self._moments:
            self._kept += [x.lin, y.lin]
            if (key[1], key[0]) in self._moments:
                found = self._moments[key[1], key[0]]
                self._moments[key] = replace(found, value=found.value.T)
            else:
                self._moments[key] = trusted(self._second_moment(x.lin, y.lin), x, y)
        return self._moments[key]

    def _second_moment(self, x: Lin, y: Lin) -> Answer:
        parts = [Answer(np.multiply.outer(x.constant, y.constant))] if x.constant.any() and y.constant.any() else []
        for key, m in x.terms.items():
            if y.constant.any():
                parts.append(self._mean_outer(key, m, y.constant))
            for other, w in y.terms.items():
                gram = self._gram(key, other)
                if gram is None:
                    parts.append(Answer(sandwich(m, None, w)))
                elif gram.value.any():
                    parts.append(replace(gram, value=sandwich(m, gram.value, w)))
        if x.constant.any():
            transposed = [self._mean_outer(other, w, x.constant) for other, w in y.terms.items()]
            parts += [replace(p, value=p.value.T) for p in transposed]
        return reduce(Answer.plus, parts) if parts else Answer(np.zeros((x.size, y.size)))

    def _mean_outer(self, key: Hashable, m: LinMap, constant: np.ndarray) -> Answer:
        """E[m · basis] times a constant, the outer product."""
        if isinstance(key, Root):
            return Answer(np.zeros((m.entries, len(constant))))
        assert isinstance(key, AtomKey)
        mean = self.mean(key)
        return replace(mean, value=np.multiply.outer(m.times(mean.value[:, None])[:, 0], constant))

    def aligned_moment(self, x: Lin, y: Lin) -> Answer:
        """E[x_k y_k], entry by entry."""
        if x.size * y.size <= 250_000 and any(isinstance(k, AtomKey) for k in (*x.terms, *y.terms)):
            # Few entries: the grams of whole basis elements are shared with other products.
            moment = self._second_moment(x, y)
            return replace(moment, value=np.diagonal(moment.value).copy())
        if not any(isinstance(k, AtomKey) for k in (*x.terms, *y.terms)):
            return Answer(x.constant * y.constant + self._aligned_covariance(x, y))
        return self.mean_of(self.multiply(x, y))

    def mean_of(self, ket: Ket) -> Answer:
        """E of every entry, (K,)."""
        total = Answer(ket.lin.constant, ket.method, ket.error)
        for key, m in ket.lin.terms.items():
            if isinstance(key, AtomKey):
                mean = self.mean(key)
                total = total.plus(replace(mean, value=m.times(mean.value[:, None])[:, 0]))
        return total

    def variance(self, lin: Lin) -> np.ndarray:
        """The variances of a Gaussian form, (K,)."""
        return self._aligned_covariance(lin, lin)

    def variance_of(self, ket: Ket, mean: Answer) -> Answer:
        """The variance of every entry, (K,), given the means."""
        moment = self.aligned_moment(ket.lin, ket.lin)
        error = moment.error + 2.0 * mean.error * float(np.abs(mean.value).max(initial=0.0))
        return Answer(moment.value - mean.value**2, least_exact(moment.method, mean.method), error)

    def mean(self, key: AtomKey) -> Answer:
        """E of an atom's entries, (K,)."""
        if key.number not in self._means:
            atom = self.atom(key)
            frame = self.frame_aligned(atom.leaves, atom.entries)
            answer = mean_of_product(frame, [expand(atom.node)])
            self._means[key.number] = replace(answer, value=np.broadcast_to(answer.value, (atom.entries,)))
        return self._means[key.number]

    def _gram(self, key: Hashable, other: Hashable) -> Answer | None:
        """E[basis_k basis_l] between two basis elements; None for the identity."""
        if isinstance(key, Root) and isinstance(other, Root):
            return self._root_covariance(key, other)
        if isinstance(other, Root):
            answer = self._root_atom_gram(other, key)
            return replace(answer, value=answer.value.T)
        if isinstance(key, Root):
            return self._root_atom_gram(key, other)
        assert isinstance(key, AtomKey) and isinstance(other, AtomKey)
        pair = (key.number, other.number)
        if pair not in self._grams:
            if pair[::-1] in self._grams:
                found = self._grams[pair[::-1]]
                self._grams[pair] = replace(found, value=found.value.T)
            else:
                self._grams[pair] = self._product_moment(self.atom(key), self.atom(other))
        return self._grams[pair]

    def _root_atom_gram(self, root: Root, key: Hashable) -> Answer:
        assert isinstance(key, AtomKey)
        size = math.prod(root.value.type.shape)
        atom = self.atom(key)
        groups = {group(r) for leaf in atom.leaves for r in leaf.terms if isinstance(r, Root)}
        if group(root) not in groups:
            return Answer(np.zeros((size, atom.entries)))
        alone = Atom(size, (Lin(np.zeros(size), {root: identity(size)}),), Node("leaf", leaf=0))
        return self._product_moment(alone, atom)

    def _product_moment(self, a: Atom, b: Atom) -> Answer:
        """E[F_a G_b] over the outer grid."""
        frame = self._frame_outer(a, b)
        shift = len(a.leaves)
        left = expand(transform(a.node, lambda i: i, lambda c: c[:, None]))
        right = expand(transform(b.node, lambda i: i + shift, lambda c: c[None, :]))
        answer = mean_of_product(frame, [left, right])
        return replace(answer, value=np.broadcast_to(answer.value, frame.grid))

    # ------------------------------------------------------------------ Gaussian leaves

    def frame_aligned(self, leaves: Sequence[Lin], entries: int) -> Frame:
        return Frame(
            (entries,),
            lambda i: leaves[i].constant,
            lambda i, j: self._aligned_covariance(leaves[i], leaves[j]),
            [None] * len(leaves),
        )

    def _frame_outer(self, a: Atom, b: Atom) -> Frame:
        leaves = [*a.leaves, *b.leaves]
        sides = [0] * len(a.leaves) + [1] * len(b.leaves)

        def mean(i: int) -> np.ndarray:
            return leaves[i].constant[:, None] if sides[i] == 0 else leaves[i].constant[None, :]

        def covariance(i: int, j: int) -> np.ndarray:
            if sides[i] != sides[j]:
                return self._covariance(leaves[i], leaves[j])
            aligned = self._aligned_covariance(leaves[i], leaves[j])
            return aligned[:, None] if sides[i] == 0 else aligned[None, :]

        return Frame((a.entries, b.entries), mean, covariance, sides, symmetric=a is b)

    def _covariance(self, x: Lin, y: Lin) -> np.ndarray:
        """Cov of two Gaussian forms, all entries with all."""
        parts = []
        for r, m in x.terms.items():
            for q, w in y.terms.items():
                if group(r) == group(q):
                    assert isinstance(r, Root) and isinstance(q, Root)
                    gram = self._root_covariance(r, q)
                    parts.append(sandwich(m, None if gram is None else gram.value, w))
        return reduce(np.add, parts) if parts else np.zeros((1, 1))

    def _aligned_covariance(self, x: Lin, y: Lin) -> np.ndarray:
        """Cov of two Gaussian forms, entry by entry. Rounding left by terms that cancel counts as 0."""
        total, size = np.zeros(x.size), np.zeros(x.size)
        for r, m in x.terms.items():
            for q, w in y.terms.items():
                if group(r) == group(q):
                    assert isinstance(r, Root) and isinstance(q, Root)
                    gram = self._root_covariance(r, q)
                    part = sandwich_aligned(m, None if gram is None else gram.value, w)
                    total += part
                    size += np.abs(part)
        return np.where(np.abs(total) <= 1e-15 * size, 0.0, total)

    def _root_covariance(self, r: Root, q: Root) -> Answer | None:
        """Cov of two root families, None for the identity, one axis for a diagonal (a hat's by the rule s⟨x|x′⟩, ×n/m for transposes)."""
        if group(r) != group(q):
            return Answer(np.zeros((math.prod(r.value.type.shape), math.prod(q.value.type.shape))))
        pair = (r.value.id, q.value.id)
        if pair not in self._covariances:
            self._covariances[pair] = self._same_group_covariance(r, q)
        return self._covariances[pair]

    def _same_group_covariance(self, r: Root, q: Root) -> Answer | None:
        match r.value, q.value:
            case (InitVector() | InitScalar()) as a, _:
                if r.value.law != "normal":
                    return None
                return _initial_covariance(a)
            case MatMul() as a, MatMul() as b:
                return self._hat_covariance(a, b)
            case Fluctuation() as a, Fluctuation() as b:
                return self.second_moment(self.ket_of(a.x), self.ket_of(b.x))
        raise AssertionError("roots of one group are of one kind")

    def _hat_covariance(self, a: MatMul, b: MatMul) -> Answer:
        x, y = self.ket_of(a.x), self.ket_of(b.x)
        moment = self.second_moment(x, y)
        rows, cols = broadcast_index(x.shape, a.type.shape), broadcast_index(y.shape, b.type.shape)
        value = moment.value
        if len(rows) != value.shape[0] or len(cols) != value.shape[1]:
            value = value[np.ix_(rows, cols)]
        ratio = float(a.matrix.rows.ratio / a.matrix.cols.ratio) if a.transposed else 1.0
        variance = a.matrix.variance.reshape(-1)
        if len(variance) == 1:
            return replace(moment, value=value * (float(variance[0]) * ratio))
        left = np.broadcast_to(a.members, a.type.shape).reshape(-1)
        right = np.broadcast_to(b.members, b.type.shape).reshape(-1)
        same = left[:, None] == right[None, :]
        return replace(moment, value=value * same * (variance[left] * ratio)[:, None])


def _initial_covariance(v: InitVector | InitScalar) -> Answer | None:
    if isinstance(v, InitVector) and v.covariance is not None:
        blocks = v.mean.size // len(v.covariance)
        return Answer(np.kron(np.eye(blocks), v.covariance))
    variance = v.variance.reshape(-1)
    return None if (variance == 1.0).all() else Answer(variance)
