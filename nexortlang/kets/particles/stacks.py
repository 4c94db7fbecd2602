"""Stacks on particles: the factors of what SGD has added to a matrix, hundreds of vectors that span few directions.

In: joined vectors (Concat) of which each was fed to one initial matrix in one orientation, whose basis Q spans them up to its tolerance. Out: their inner
products with other vectors and their linear combinations, each through r directions instead of T·M vectors. Guarantees: what a crowded basis does not span is
kept beside it; each use is of the same vectors, so that a trained matrix and its transpose stay adjoint.

A vector is replaced by its projection on Q, as in its matrix's hat: what is lacking there is orthogonal to Q.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TypeAlias

import numpy as np

from nexortlang.core.build import vanishes
from nexortlang.core.program import Concat, Einsum, Inner, MatMul, Matrix, Value, operands
from nexortlang.kets.particles.innovations import Rows, Side, norms, overlaps

Fed: TypeAlias = tuple[Matrix, bool]
"""A matrix without family, and whether what is fed to it is fed to its transpose."""


class Stack:
    """R vectors as `coordinates` (members, R, r) along the first r rows of a side's basis, plus `rests`, one row for each of the vectors at `places`."""

    def __init__(self, side: Side, coordinates: np.ndarray, rests: Rows, places: np.ndarray) -> None:
        self.side = side
        self.coordinates = coordinates
        self._rests = rests
        self._places = places

    @staticmethod
    def of(side: Side, coordinates: np.ndarray, x: np.ndarray) -> Stack:
        """The rows of x, (members, R, N), whose coordinates are known."""
        rests = Rows(len(x), x.shape[-1])
        places = np.empty(0, int)
        if side.lacking:
            rest = x - coordinates @ side.basis.array
            lost = norms(rest) > side.tolerance * norms(x)
            places = np.flatnonzero(np.any(lost, axis=0))
            rests.append(rest[:, places])
        return Stack(side, coordinates, rests, places)

    @staticmethod
    def joined(parts: Sequence[Stack]) -> Stack:
        """One below the other, all of one side."""
        first = parts[0]
        sizes = np.cumsum([0, *(p.coordinates.shape[1] for p in parts)])
        rank = max(p.coordinates.shape[2] for p in parts)
        members, _, count = first._rests.array.shape
        coordinates = np.zeros((members, sizes[-1], rank))
        rests = Rows(members, count)
        for start, p in zip(sizes, parts, strict=False):
            _, rows, own = p.coordinates.shape
            coordinates[:, start : start + rows, :own] = p.coordinates
            rests.append(p._rests.array)
        places = np.concatenate([start + p._places for start, p in zip(sizes, parts, strict=False)])
        return Stack(first.side, coordinates, rests, places)

    @property
    def bytes(self) -> int:
        return self.coordinates.nbytes + self._rests.bytes

    @property
    def array(self) -> np.ndarray:
        """The vectors, (members, N, R)."""
        return self.combined(np.eye(self.coordinates.shape[1])).swapaxes(1, 2)

    def overlaps(self, x: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Inner products with the rows of x, (members, R, rows of x), given those of the basis with x, (members, rows of x, r or more)."""
        found = self.coordinates @ directions[..., : self.coordinates.shape[2]].swapaxes(1, 2)
        if len(self._places):
            found[:, self._places] += overlaps(self._rests.array, x)
        return found

    def combined(self, weights: np.ndarray) -> np.ndarray:
        """weights @ the vectors, (members, rows of weights, N); weights for each member, or for all."""
        y = (weights @ self.coordinates) @ self.side.basis.array[:, : self.coordinates.shape[2]]
        if len(self._places):
            y += weights[..., self._places] @ self._rests.array
        return y


def is_whole(v: MatMul) -> bool:
    """Whether a matrix without family acts on all columns, each once and in their order."""
    return v.matrix.shape == () and v.type.shape == v.x.type.shape


def find_stacks(order: Sequence[Value], read_elsewhere: Set[int]) -> dict[int, Fed]:
    """Which joined vectors are to be kept as stacks, and what all of their parts were fed to.

    Only those that serve inner products, linear combinations and longer stacks; `read_elsewhere`: ids of values that are read whole, or may be.
    """
    fed: dict[int, dict[Fed, None]] = {}
    for v in order:
        if isinstance(v, MatMul) and is_whole(v):
            fed.setdefault(v.x.id, {})[v.matrix, v.transposed] = None
        elif isinstance(v, Concat) and v.type.axes:
            sources = [fed.get(a.id, {}) for a in v.args]
            fed[v.id] = {key: None for key in sources[0] if all(key in s for s in sources)}
    found: dict[int, Fed] = {}
    unfit = _read_whole(order) | read_elsewhere
    for v in reversed(order):
        if isinstance(v, Concat) and fed.get(v.id) and v.id not in unfit:
            key = found.setdefault(v.id, next(iter(fed[v.id])))
            for a in v.args:
                if isinstance(a, Concat) and found.setdefault(a.id, key) != key:
                    return {}  # a beginning of two stacks that go to different matrices
        elif isinstance(v, Concat):
            unfit |= {a.id for a in v.args}
    return {i: key for i, key in found.items() if i not in unfit}


def _read_whole(order: Sequence[Value]) -> set[int]:
    """Ids of what some instruction reads otherwise than a stack can be read."""
    return {a.id for v in order for a in operands(v) if not _reads_as_stack(v, a)}


def _reads_as_stack(v: Value, a: Value) -> bool:
    if any(vanishes(v, operand) for operand in operands(v)):
        return False
    match v:
        case Concat():
            return True
        case Inner(x=x, y=y):
            return x is not y
        case Einsum(spec=spec, x=x, y=y):
            inputs, out = spec.split("->")
            own, others = inputs.split(",") if a is x else reversed(inputs.split(","))
            other = y if a is x else x
            return not other.type.axes and len(own) == 1 and own in others and own not in out
    return False


class Overlaps:
    """⟨x|q⟩ of vectors with the bases that they meet, (members, columns, directions), as long as the vectors are stored."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Side], np.ndarray] = {}
        self._sides: dict[int, set[Side]] = {}
        self._spanned: set[tuple[int, Side]] = set()

    def of(self, side: Side, v: Value, x: np.ndarray) -> np.ndarray:
        """With all directions that the side has now; x: the columns of v."""
        known = self._known.get((v.id, side))
        used = 0 if known is None else known.shape[2]
        if known is None or used < side.basis.used:
            new = overlaps(x, side.basis.array[:, used:])
            known = new if known is None else np.concatenate([known, new], axis=2)
            self._known[v.id, side] = known
            self._sides.setdefault(v.id, set()).add(side)
        return known

    def put(self, side: Side, v: Value, found: np.ndarray) -> None:
        """What `of` will give: of columns that the side has been made to span."""
        self._known[v.id, side] = found
        self._sides.setdefault(v.id, set()).add(side)
        self._spanned.add((v.id, side))

    def are_spanned(self, side: Side, v: Value) -> bool:
        """Whether the side has been made to span the columns of v."""
        return (v.id, side) in self._spanned

    def forget(self, i: int) -> None:
        """A value that is not stored any longer."""
        for side in self._sides.pop(i, ()):
            del self._known[i, side]
            self._spanned.discard((i, side))


def stack_inner(spec: str, first: bool, overlaps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Inner(spec, …) with a stack, its first operand or not, given its inner products with the other's columns, of this finite shape; as (members, 1, …)."""
    inputs, out = spec.split("->")
    own, others = inputs.split(",") if first else reversed(inputs.split(","))
    member = next(c for c in "ZYX" if c not in spec)
    found = np.einsum(f"{member}{own}{others}->{member}{out}", overlaps.reshape(*overlaps.shape[:2], *shape))
    return np.asarray(found)[:, None]


def stack_combination(v: Einsum, stack: Stack, weights: np.ndarray) -> np.ndarray:
    """An Einsum that contracts a stack with scalars, (members, …), as (members, columns, N)."""
    inputs, out = v.spec.split("->")
    own, others = inputs.split(",") if not v.y.type.axes else reversed(inputs.split(","))
    member = next(c for c in "ZYX" if c not in v.spec)
    flat = np.einsum(f"{member}{others}->{member}{out}{own}", weights)
    return stack.combined(flat.reshape(len(flat), -1, flat.shape[-1]))
