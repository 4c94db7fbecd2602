"""One instruction on arrays of particles: everything that acts on finite axes and entrywise.

In: an instruction and its operands as arrays with the same number of leading axes (members of a run and their particles or draws; blocks of pairs of
particles; of size 1 where an operand does not vary), then their finite shape. Out: the result in the same form. Operands that vanish in the limit are given as None.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nexortlang.core.program import Concat, Einsum, Gather, Map, Reduce, Rename, Scale, Shape, Value, operands
from nexortlang.entrywise.ops import OPS


def apply(v: Value, args: Sequence[np.ndarray | None], lead: int) -> np.ndarray:
    """The normalised limit of v, given its operands'."""
    full = [
        np.zeros((1,) * lead + a.type.shape) if array is None else array
        for a, array in zip(operands(v), args, strict=True)
    ]
    match v:
        case Map(op=op):
            return OPS[op].numpy(*(align(a, lead, len(v.type.shape)) for a in full))
        case Gather(index=index):
            (x,) = full
            return np.take(x.reshape(*x.shape[:lead], -1), index, axis=lead)
        case Concat():
            leading = np.broadcast_shapes(*(a.shape[:lead] for a in full))
            flat = [a.reshape(*a.shape[:lead], -1) for a in full]
            return np.concatenate([np.broadcast_to(a, (*leading, a.shape[-1])) for a in flat], axis=-1)
        case Reduce(op=op, axis=axis):
            (x,) = full
            return np.asarray(getattr(np, op)(x, axis=lead + axis), dtype=float)
        case Einsum(spec=spec):
            return _einsum(spec, full[0], full[1], lead)
        case Rename() | Scale():
            return full[0]
    raise AssertionError(f"{type(v).__name__} does not act entrywise")


def align(a: np.ndarray, lead: int, rank: int) -> np.ndarray:
    """Finite axes of size 1 put in front of a's, so that they broadcast as in NumPy without touching the leading axes."""
    missing = lead + rank - a.ndim
    return a.reshape(*a.shape[:lead], *(1,) * missing, *a.shape[lead:]) if missing else a


def _einsum(spec: str, x: np.ndarray, y: np.ndarray, lead: int) -> np.ndarray:
    """The contraction of finite axes. Leading axes along which an operand does not vary it loses, so that this is a matrix product."""
    inputs, out = spec.split("->")
    labels_x, labels_y = inputs.split(",")
    free = _free_labels(spec, lead)
    x_labels, x = _varying(free, x)
    y_labels, y = _varying(free, y)
    kept = [c for c in free if c in x_labels or c in y_labels]
    result = contract(x_labels + labels_x, y_labels + labels_y, "".join(kept) + out, x, y)
    sizes = iter(result.shape[: len(kept)])
    return result.reshape((*(next(sizes) if c in kept else 1 for c in free), *result.shape[len(kept) :]))


def inner(spec: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The average over particles of einsum(spec, x, y), for each member: (members, N, *shape) → (members, 1, *shape)."""
    inputs, out = spec.split("->")
    labels_x, labels_y = inputs.split(",")
    free = _free_labels(spec, 2)
    total = contract(free + labels_x, free + labels_y, free[0] + out, x, y)
    return np.asarray(total / x.shape[1])[:, None]


def _free_labels(spec: str, number: int) -> str:
    return "".join(c for c in "ZYXWV" if c not in spec)[:number]


def _varying(labels: str, x: np.ndarray) -> tuple[str, np.ndarray]:
    """The labels of leading axes that are longer than 1, and x without the others."""
    sizes = x.shape[: len(labels)]
    kept = "".join(c for c, size in zip(labels, sizes, strict=True) if size > 1)
    return kept, x.reshape((*(size for size in sizes if size > 1), *x.shape[len(labels) :]))


def contract(labels_x: str, labels_y: str, out: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """einsum(labels_x, labels_y → out), one matrix product for each index that x, y and the result share.

    What numpy.einsum makes of such an index is a loop over products of numbers.
    """
    if len(set(labels_x)) < len(labels_x) or len(set(labels_y)) < len(labels_y):
        return np.asarray(np.einsum(f"{labels_x},{labels_y}->{out}", x, y))
    labels_x, x = _summed_alone(labels_x, labels_y + out, x)
    labels_y, y = _summed_alone(labels_y, labels_x + out, y)
    shared = [c for c in labels_x if c in labels_y]
    abreast = [c for c in shared if c in out]
    summed = [c for c in shared if c not in out]
    own_x, own_y = ([c for c in labels if c not in shared] for labels in (labels_x, labels_y))
    size = dict(zip(labels_x + labels_y, x.shape + y.shape, strict=True))

    def shape(*parts: Sequence[str]) -> tuple[int, ...]:
        return tuple(prod(size[c] for c in part) for part in parts)

    first = x.transpose([labels_x.index(c) for c in (*abreast, *own_x, *summed)])
    second = y.transpose([labels_y.index(c) for c in (*abreast, *summed, *own_y)])
    first, second = first.reshape(shape(*abreast, own_x, summed)), second.reshape(shape(*abreast, summed, own_y))
    product = first @ second if summed else first * second
    found = [*abreast, *own_x, *own_y]
    return product.reshape(shape(*found)).transpose([found.index(c) for c in out])


def _summed_alone(labels: str, others: str, x: np.ndarray) -> tuple[str, np.ndarray]:
    """x summed over what only it has."""
    alone = tuple(k for k, c in enumerate(labels) if c not in others)
    return "".join(c for c in labels if c in others), x.sum(axis=alone) if alone else x


def columns(x: np.ndarray) -> np.ndarray:
    """(members, N, *shape) as contiguous (members, columns, N)."""
    return np.ascontiguousarray(x.reshape(*x.shape[:2], -1).swapaxes(1, 2))


def from_columns(x: np.ndarray, shape: Shape) -> np.ndarray:
    """(members, columns, N) as (members, N, *shape)."""
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(len(x), x.shape[2], *shape)
