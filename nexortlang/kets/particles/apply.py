"""One instruction on arrays of particles: everything that acts on finite axes and entrywise.

In: an instruction and its operands as arrays with the same number of leading axes (particles; particles × particles; draws; of size 1 where an
operand does not vary), then their finite shape. Out: the result in the same form. Operands that vanish in the limit are given as None.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """The contraction of finite axes. An operand that does not vary over particles loses its leading axes, so that this is a matrix product."""
    inputs, out = spec.split("->")
    labels_x, labels_y = inputs.split(",")
    free = [c for c in "ZYXWV" if c not in spec][:lead]
    x_labels = [c for c, size in zip(free, x.shape, strict=False) if size > 1]
    y_labels = [c for c, size in zip(free, y.shape, strict=False) if size > 1]
    kept = [c for c in free if c in x_labels or c in y_labels]
    x = x.reshape((*(s for s in x.shape[:lead] if s > 1), *x.shape[lead:]))
    y = y.reshape((*(s for s in y.shape[:lead] if s > 1), *y.shape[lead:]))
    result = np.einsum(
        f"{''.join(x_labels)}{labels_x},{''.join(y_labels)}{labels_y}->{''.join(kept)}{out}", x, y, optimize=True
    )
    sizes = iter(result.shape[: len(kept)])
    return result.reshape((*(next(sizes) if c in kept else 1 for c in free), *result.shape[len(kept) :]))


def inner(spec: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The average over particles of einsum(spec, x, y), with a leading axis of size 1."""
    inputs, out = spec.split("->")
    labels_x, labels_y = inputs.split(",")
    z = next(c for c in "ZYXWV" if c not in spec)
    total = np.einsum(f"{z}{labels_x},{z}{labels_y}->{out}", x, y, optimize=True)
    return (total / len(x))[None]


def columns(x: np.ndarray) -> np.ndarray:
    """(N, *shape) as contiguous (columns, N)."""
    return np.ascontiguousarray(x.reshape(len(x), -1).T)


def from_columns(x: np.ndarray, shape: Shape) -> np.ndarray:
    """(columns, N) as (N, *shape)."""
    return np.ascontiguousarray(x.T).reshape(x.shape[1], *shape)
