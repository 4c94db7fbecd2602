"""One instruction on arrays: what acts on finite axes and entrywise.

In: an instruction and its operands' arrays, all with the same number of leading (width) axes, of size 1 where an operand does not vary, then their finite
shape. Out: the result in the same form, factors of n included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nexortlang.core.program import Concat, Einsum, FirstOrder, Gather, Map, Reduce, Rename, Scale, Value
from nexortlang.entrywise.ops import OPS

_WIDTH_LABELS = "ZYXWVUTSRQ"


def apply(v: Value, args: Sequence[np.ndarray], lead: int, n: int) -> np.ndarray:
    """The value of v, which is no draw, no product with a matrix and no average."""
    match v:
        case Map(op=op):
            with np.errstate(all="ignore"):
                return np.asarray(OPS[op].numpy(*(align(a, lead, len(v.type.shape)) for a in args)))
        case Gather(index=index):
            return np.take(args[0].reshape(*args[0].shape[:lead], -1), index, axis=lead)
        case Concat():
            leading = np.broadcast_shapes(*(a.shape[:lead] for a in args))
            flat = [a.reshape(*a.shape[:lead], -1) for a in args]
            return np.concatenate([np.broadcast_to(a, (*leading, a.shape[-1])) for a in flat], axis=-1)
        case Reduce(op=op, axis=axis):
            return np.asarray(getattr(np, op)(args[0], axis=lead + axis))
        case Einsum(spec=spec):
            return _einsum(spec, args[0], args[1], lead)
        case Scale(exponent=exponent) | FirstOrder(exponent=exponent):
            return np.asarray(args[0] * float(n) ** float(exponent))
        case Rename():
            return args[0]
    raise AssertionError(f"{type(v).__name__} does not act on finite axes")


def align(a: np.ndarray, lead: int, rank: int) -> np.ndarray:
    """Finite axes of size 1 put in front of a's, so that they broadcast as in NumPy without touching the leading axes."""
    missing = lead + rank - a.ndim
    return a.reshape(*a.shape[:lead], *(1,) * missing, *a.shape[lead:]) if missing else a


def mean_product(spec: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The average over coordinates of einsum(spec, x, y)."""
    inputs, out = spec.split("->")
    left, right = inputs.split(",")
    z = next(c for c in _WIDTH_LABELS if c not in spec)
    total = np.einsum(f"{z}{left},{z}{right}->{out}", x, y, optimize=True)
    return np.asarray(total, dtype=float) / len(x)


def _einsum(spec: str, x: np.ndarray, y: np.ndarray, lead: int) -> np.ndarray:
    """The contraction of finite axes; leading axes of size 1 are left out, so that this is a matrix product where it can be one."""
    inputs, out = spec.split("->")
    free = [c for c in _WIDTH_LABELS if c not in spec][:lead]
    squeezed, labels = [], []
    for a, finite in zip((x, y), inputs.split(","), strict=True):
        varying = [k for k in range(lead) if a.shape[k] > 1]
        squeezed.append(a.reshape((*(a.shape[k] for k in varying), *a.shape[lead:])))
        labels.append("".join(free[k] for k in varying) + finite)
    kept = [c for c in free if c in labels[0] or c in labels[1]]
    result = np.einsum(f"{labels[0]},{labels[1]}->{''.join(kept)}{out}", *squeezed, optimize=True)
    sizes = iter(result.shape)
    return result.reshape((*(next(sizes) if c in kept else 1 for c in free), *result.shape[len(kept) :]))
