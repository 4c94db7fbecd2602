"""What the exact evaluator says of a value, and the bookkeeping of finite axes.

A deterministic scalar is an `Answer` (expectation.py); a vector, or a random scalar, is a `Ket`: a linear form over Gaussian `Root`s and nonlinear atoms.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from nexortlang.core.program import Fluctuation, MatMul, Value
from nexortlang.kets.exact.atoms import NotStructured
from nexortlang.kets.exact.expectation import Answer
from nexortlang.kets.exact.linear import Dense, Lin, LinMap, Rows
from nexortlang.kets.results import Method, least_exact

RANDOM = -1  # the slot of Gaussian scalars
MAX_DENSE = 20_000_000  # entries of one dense linear map
MAX_SPREAD = 8  # basis entries that one entry of a nonlinear function's argument may mix


@dataclass(frozen=True, slots=True)
class Root:
    """A Gaussian family of mean 0: an initial vector, the hat of a MatMul, or a random scalar, in one slot."""

    value: Value
    slot: int


@dataclass(frozen=True, slots=True)
class AtomKey:
    """An atom as a basis element; equal keys are the same random variables."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Ket:
    """A vector's linear form, with the method and error of the numbers in it."""

    lin: Lin
    shape: tuple[int, ...]
    method: Method = "exact"
    error: float = 0.0


Result: TypeAlias = Answer | Ket


def group(key: Hashable) -> Hashable:
    """Roots of different groups are independent."""
    assert isinstance(key, Root)
    match key.value:
        case MatMul() as w:
            return ("hat", id(w.matrix), w.transposed, key.slot)
        case Fluctuation():
            return ("fluctuation", key.slot)
    return (key.value.id, key.slot)


def nothing(v: Value) -> Answer:
    """What a term of lower power contributes."""
    return Answer(np.zeros(v.type.shape))


def as_ket(r: Result) -> Ket:
    if isinstance(r, Ket):
        return r
    return Ket(Lin(r.value.reshape(-1), {}), r.value.shape, r.method, r.error)


def trusted(answer: Answer, *kets: Ket) -> Answer:
    """The answer with the method and error of the kets it came from."""
    method = least_exact(answer.method, *(k.method for k in kets))
    return replace(answer, method=method, error=answer.error + max(k.error for k in kets))


def trusted_ket(ket: Ket, *others: Ket) -> Ket:
    """The ket with the method and error of those it came from."""
    method = least_exact(ket.method, *(k.method for k in others))
    return replace(ket, method=method, error=max(ket.error, *(k.error for k in others)))


def flat(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(array, shape).reshape(-1)


def broadcast_index(shape: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """Flat indices into `shape` for every entry of the broadcast shape."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), target).reshape(-1)


def broadcast(ket: Ket, shape: tuple[int, ...]) -> Lin:
    return ket.lin if ket.shape == shape else ket.lin.rows(broadcast_index(ket.shape, shape))


def leaf_number(leaf: Lin, leaves: list[Lin]) -> int:
    """The number of an equal leaf, or of this one appended."""
    for k, other in enumerate(leaves):
        if leaf is other or equal(leaf, other):
            return k
    leaves.append(leaf)
    return len(leaves) - 1


def equal(a: Lin, b: Lin) -> bool:
    if a.terms.keys() != b.terms.keys() or not np.array_equal(a.constant, b.constant):
        return False
    for key, m in a.terms.items():
        w = b.terms[key]
        match m, w:
            case Rows(), Rows():
                if not (np.array_equal(m.index, w.index) and np.array_equal(m.coef, w.coef)):
                    return False
            case Dense(), Dense():
                if m is not w and not np.array_equal(m.matrix, w.matrix):
                    return False
            case _:
                return False
    return True


def spread(m: LinMap) -> list[tuple[np.ndarray, np.ndarray]]:
    """A linear map as a sum of single-entry maps (coefficient, index)."""
    if isinstance(m, Rows):
        return [(m.coef, m.index)]
    columns = np.nonzero(m.matrix.any(axis=0))[0]
    if len(columns) > MAX_SPREAD:
        raise NotStructured("a nonlinear function of sums over a large finite axis")
    return [(m.matrix[:, c], np.full(len(m.matrix), c)) for c in columns]


def sum_rows(lin: Lin, index: np.ndarray) -> Lin:
    """Σ_j of the rows index[j], index (summands × entries)."""
    if len(index) == 1:
        return lin.rows(index[0])
    count, entries = index.shape
    terms: dict[Hashable, LinMap] = {}
    for key, m in lin.terms.items():
        if entries * m.size > MAX_DENSE:
            raise NotStructured("a sum over a very large finite axis")
        total = np.zeros((entries, m.size))
        for row in index:
            part = m.rows(row)
            if isinstance(part, Rows):
                total[np.arange(entries), part.index] += part.coef
            else:
                total += part.matrix
        terms[key] = Dense(total)
    return Lin(lin.constant[index].sum(axis=0) if count else np.zeros(entries), terms)


def einsum_matrix(spec: str, array: np.ndarray, position: int, shape: tuple[int, ...]) -> np.ndarray:
    """einsum with one operand a number array, as a matrix on the other operand's flattened entries."""
    inputs, out = spec.split("->")
    labels = inputs.split(",")
    of_ket, of_array = labels[position], labels[1 - position]
    size = math.prod(shape)
    if size * math.prod(dict(zip(of_ket + of_array, shape + array.shape, strict=True))[c] for c in out) > MAX_DENSE:
        raise NotStructured("a contraction over very large finite axes")
    fresh = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    column: dict[str, str] = {}
    factors: list[np.ndarray] = [array]
    names = [of_array]
    for label, length in zip(of_ket, shape, strict=True):
        if label in column:
            raise NotStructured("a repeated label")
        if label in of_array and label not in out:
            column[label] = label
        else:
            column[label] = next(fresh)
            if label in out:
                factors.append(np.eye(length))
                names.append(label + column[label])
            else:
                factors.append(np.ones(length))
                names.append(column[label])
    full = np.einsum(f"{','.join(names)}->{out}{''.join(column[c] for c in of_ket)}", *factors)
    return full.reshape(math.prod(full.shape[: len(out)]), size)


class Joint:
    """Both operands of an einsum spread over the grid of all its labels; sums run over the labels that the result lacks."""

    def __init__(self, spec: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> None:
        inputs, out = spec.split("->")
        a, b = inputs.split(",")
        sizes = dict(zip(a + b, x_shape + y_shape, strict=True))
        summed = [c for c in dict.fromkeys(a + b) if c not in out]
        labels = [*summed, *out]
        self.shape = tuple(sizes[c] for c in labels)
        self.x_index = self._index(a, x_shape, labels)
        self.y_index = self._index(b, y_shape, labels)
        kept = math.prod(sizes[c] for c in out)
        self.summed_rows = np.arange(math.prod(self.shape)).reshape(math.prod(sizes[c] for c in summed), kept)

    def _index(self, own: str, shape: tuple[int, ...], labels: list[str]) -> np.ndarray:
        grid = np.indices(self.shape, sparse=True) if self.shape else []
        coordinates = [grid[labels.index(c)] for c in own]
        flat = np.ravel_multi_index(np.broadcast_arrays(*coordinates), shape) if own else np.zeros((), dtype=np.intp)
        full = [1] * len(labels)
        for c in own:
            full[labels.index(c)] = self.shape[labels.index(c)]
        return np.broadcast_to(np.asarray(flat).reshape(full), self.shape).reshape(-1)
