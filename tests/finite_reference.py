"""Runs a core program at a finite width with dense NumPy arrays: slow, short, and the truth that passes are tested against.

In: a program, the size n of its first width, a seed. Out: the array of every value, `arrays[v.id]`, width axes first (in slot order), then
the finite axes. Every power of n is applied; nothing here knows of limits.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from fractions import Fraction
from math import prod

import numpy as np

from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
    FirstOrder,
    Fluctuation,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Matrix,
    Program,
    Reduce,
    Rename,
    Scale,
    Type,
    Value,
    Width,
)
from nexortlang.entrywise.ops import OPS


def size(width: Width, n: int) -> int:
    """How many coordinates a width has when the first width has n."""
    exact = width.ratio * n
    assert exact.denominator == 1, f"choose n so that {width.name} is a whole number"
    return int(exact)


def joined(array: np.ndarray, own: Type, joint: Type) -> np.ndarray:
    """The array with an axis for every slot of `joint` (size 1 where it lacks one), finite axes padded on the left."""
    widths = dict(zip(own.slots, array.shape, strict=False))
    finite = array.shape[len(own.slots) :]
    pad = (1,) * (len(joint.shape) - len(finite))
    return array.reshape(tuple(widths.get(slot, 1) for slot in joint.slots) + pad + finite)


def draw(
    law: str, mean: np.ndarray, variance: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Independent entries of a law with this mean and variance, which broadcast to `shape`."""
    match law:
        case "normal":
            unit = rng.standard_normal(shape)
        case "uniform":
            unit = rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), shape)
        case "rademacher":
            unit = rng.choice([-1.0, 1.0], shape)
        case "laplace":
            unit = rng.laplace(0.0, np.sqrt(0.5), shape)
        case _:
            return (rng.uniform(size=shape) < mean).astype(float)
    return mean + np.sqrt(variance) * unit


def run(program: Program, n: int, seed: int = 0, values: Sequence[Value] | None = None) -> dict[int, np.ndarray]:
    """Every value of the program at width n, or the given ones (in program order, with all that they need).

    The k-th draw among them comes from its own stream, so that two programs with the same draws agree.
    """
    values = program.values if values is None else values
    arrays: dict[int, np.ndarray] = {}
    matrices: dict[Matrix, np.ndarray] = {}
    used = {v.matrix for v in values if isinstance(v, MatMul)}
    for k, m in enumerate(m for m in program.matrices if m in used):
        shape = (*m.shape, size(m.rows, n), size(m.cols, n))
        deviation = np.sqrt(m.variance / size(m.cols, n))[..., None, None]
        matrices[m] = deviation * draw(m.law, np.zeros(()), np.ones(()), shape, np.random.default_rng([seed, 0, k]))
    draws = 0
    for v in values:
        arrays[v.id] = evaluate(v, arrays, matrices, n, np.random.default_rng([seed, 1, draws]))
        draws += isinstance(v, InitVector | InitScalar)
    return arrays


def evaluate(
    v: Value,
    arrays: dict[int, np.ndarray],
    matrices: dict[Matrix, np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """One instruction on the arrays of its operands."""
    lead = len(v.type.axes)
    match v:
        case Const(array=array):
            return array
        case InitVector(covariance=None) | InitScalar():
            return draw(v.law, v.mean, v.variance, tuple(size(w, n) for _, w in v.type.axes) + v.type.shape, rng)
        case InitVector(covariance=covariance):
            shape = (size(v.type.width, n), *v.type.shape)
            return v.mean + rng.multivariate_normal(np.zeros(shape[-1]), covariance, shape[:-1])
        case MatMul(matrix=matrix, members=members, transposed=transposed, x=x):
            family = matrices[matrix].reshape(-1, *matrices[matrix].shape[-2:])
            if transposed:
                family = family.swapaxes(-1, -2)
            members = np.broadcast_to(members, v.type.shape).ravel()
            joint = joined(arrays[x.id], x.type, Type(x.type.axes, v.type.shape))
            columns = np.broadcast_to(joint, (joint.shape[0], *v.type.shape)).reshape(joint.shape[0], members.size)
            out = np.einsum("kab,bk->ak", family[members], columns)
            return out.reshape(out.shape[0], *v.type.shape)
        case Map(op=op, args=args):
            with np.errstate(all="ignore"):
                out = OPS[op].numpy(*(joined(arrays[a.id], a.type, v.type) for a in args))
            return np.asarray(out, dtype=float)
        case Avg(x=x, slots=slots):
            return arrays[x.id].mean(axis=tuple(x.type.slots.index(s) for s in slots))
        case Inner(spec=spec, x=x, y=y):
            inputs, out = spec.split("->")
            left, right = inputs.split(",")
            return np.einsum(f"Z{left},Z{right}->{out}", arrays[x.id], arrays[y.id]) / arrays[x.id].shape[0]
        case Fluctuation(x=x):
            return np.sqrt(arrays[x.id].shape[0]) * arrays[x.id].mean(axis=0)
        case Rename(x=x, slots=slots):
            order = [x.type.slots.index(old) for old, _ in sorted(slots, key=lambda pair: pair[1])]
            return arrays[x.id].transpose(*order, *range(lead, arrays[x.id].ndim))
        case Gather(x=x, index=index):
            a = arrays[x.id]
            return a.reshape(*a.shape[:lead], prod(x.type.shape))[..., index]
        case Concat(args=args):
            flat = []
            for a in args:
                array = joined(
                    arrays[a.id].reshape(*arrays[a.id].shape[: len(a.type.axes)], -1),
                    Type(a.type.axes, (prod(a.type.shape),)),
                    v.type,
                )
                flat.append(array)
            widths = np.broadcast_shapes(*(f.shape[:lead] for f in flat))
            return np.concatenate([np.broadcast_to(f, (*widths, f.shape[-1])) for f in flat], axis=-1)
        case Reduce(op=op, x=x, axis=axis):
            return np.asarray(getattr(np, op)(arrays[x.id], axis=lead + axis), dtype=float)
        case Einsum(spec=spec, x=x, y=y):
            names = dict(zip(v.type.slots, reversed(string.ascii_uppercase), strict=False))
            inputs, out = spec.split("->")
            left, right = inputs.split(",")
            before = ["".join(names[s] for s in t.slots) for t in (x.type, y.type, v.type)]
            return np.einsum(f"{before[0]}{left},{before[1]}{right}->{before[2]}{out}", arrays[x.id], arrays[y.id])
        case Scale(x=x, exponent=exponent) | FirstOrder(x=x, exponent=exponent):
            return arrays[x.id] * float(n) ** float(Fraction(exponent))
