"""Averages over the second index: OuterNonlin.

In: ψ as an expression whose leaves are functions of i, of j, of both, or numbers. Out: the mean over j of ψ for every i.
No array of i × j is ever held: memory is that of the inputs and of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from nexortlang.entrywise.expression import Expression, build, evaluate, leaf, leaves, separate, substitute
from nexortlang.jit import costs, loader
from nexortlang.jit.entrywise import Engine, evaluate_all
from nexortlang.jit.kernels import Kind, outer_source
from nexortlang.jit.threads import each
from nexortlang.settings import processors

_I, _J = frozenset("i"), frozenset("j")
_NOWHERE = -(1 << 40)  # an offset that no pair of indices has
_KERNEL_BLOCK = (512, 512)  # i × j: one array of pairs is 2 MB; sums of 512 terms lose no digits to speak of
_NUMPY_BLOCK = (128, 64)

Chunk = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, np.ndarray], None]


def outer_mean(
    e: Expression,
    x: Mapping[int, Any],
    y: Mapping[int, Any],
    fixed: Mapping[int, Any] | None = None,
    pairs: Mapping[int, tuple[Any, Any]] | None = None,
    *,
    weights: Any = None,
    skip_same: bool = False,
    engine: Engine = "auto",
) -> np.ndarray:
    """mean over j of ψ(xᵢ, yⱼ, c, Σₛ aᵢₛ bⱼₛ), shape (N, *finite).

    Keys are leaf numbers. `x`: arrays (N, *finite); `y`: arrays (M, *finite); `fixed`: arrays (*finite); finite axes broadcast as in NumPy.
    `pairs`: (a, b) of shapes (N, S) and (M, S). `weights` (M,): the mean is Σ wⱼ ψ / Σ wⱼ. `skip_same` leaves out j = i (then N = M).
    For an average over tuples of further indices let j number the tuples: y[tuple] and z[tuple] are two arrays of y.
    """
    fixed, pairs = fixed or {}, pairs or {}
    inputs, finite = _aligned(x, y, fixed)
    rows, terms = _length(x, [a for a, _ in pairs.values()]), _length(y, [b for _, b in pairs.values()])
    if skip_same and rows != terms:
        raise ValueError(f"skip_same with {rows} and {terms} particles")
    kind: dict[int, Kind] = {**dict.fromkeys(x, "x"), **dict.fromkeys(y, "y"), **dict.fromkeys(fixed, "scalar")}
    kind |= dict.fromkeys(pairs, "pair")
    total_weight: Any = terms - skip_same
    if weights is not None:
        w = np.asarray(weights, dtype=float)
        own = max(kind, default=-1) + 1
        kind[own], inputs[own] = "y", w.reshape(-1, *(1 for _ in finite))
        e = build("mul", e, leaf(own))
        total_weight = w.sum() - w.reshape(-1, *(1 for _ in finite)) if skip_same else w.sum()
    over = {"x": _I, "y": _J, "pair": _I | _J, "scalar": frozenset[str]()}
    (body,), parts = separate((e,), {k: over[v] for k, v in kind.items()}, _I | _J)
    kinds = tuple(_kind(p, kind) for p in parts)
    values = [_value(p, inputs, engine) if k != "pair" else None for p, k in zip(parts, kinds, strict=True)]
    factors = [
        tuple(np.asarray(f, dtype=float) for f in pairs[p.index])
        for p, k in zip(parts, kinds, strict=True)
        if k == "pair"
    ]
    cells = prod(finite)
    chunk, block, parallel = _engine(body, kinds, rows * terms * cells, engine)
    xs, ys, scalars = (
        _by_cell([v for v, k in zip(values, kinds, strict=True) if k == wanted], finite, length)
        for wanted, length in (("x", rows), ("y", terms), ("scalar", 1))
    )
    total = np.zeros((cells, rows))

    def work(part: tuple[int, int]) -> None:
        cell, start = part
        stop = min(start + block[0], rows)
        x_block = np.ascontiguousarray(xs[cell][:, start:stop])
        for j in range(0, terms, block[1]):
            y_block = np.ascontiguousarray(ys[cell][:, j : j + block[1]])
            products = np.empty((len(factors), y_block.shape[1] if factors else 0, stop - start if factors else 0))
            for p, (a, b) in zip(products, factors, strict=True):
                np.matmul(b[j : j + block[1]], a[start:stop].T, out=p)
            same = start - j if skip_same else _NOWHERE
            chunk(x_block, y_block, products, scalars[cell][:, 0], same, total[cell : cell + 1, start:stop])

    each(work, [(c, i) for c in range(cells) for i in range(0, rows, block[0])], parallel)
    with np.errstate(all="ignore"):
        return total.T.reshape(rows, *finite) / total_weight


def _aligned(
    x: Mapping[int, Any], y: Mapping[int, Any], fixed: Mapping[int, Any]
) -> tuple[dict[int, np.ndarray], tuple[int, ...]]:
    """All arrays with a particle axis (of length 1 for fixed ones) and the same number of finite axes; the joint finite shape."""
    arrays = {k: np.asarray(a, dtype=float) for k, a in [*x.items(), *y.items()]}
    arrays |= {k: np.asarray(a, dtype=float)[None] for k, a in fixed.items()}
    finite = np.broadcast_shapes(*(a.shape[1:] for a in arrays.values()))
    pad = {k: (1,) * (len(finite) - a.ndim + 1) for k, a in arrays.items()}
    return {k: a.reshape(a.shape[0], *pad[k], *a.shape[1:]) for k, a in arrays.items()}, finite


def _length(arrays: Mapping[int, Any], factors: Sequence[Any]) -> int:
    lengths = {np.shape(a)[0] for a in [*arrays.values(), *factors]}
    if len(lengths) != 1:
        raise ValueError(f"an outer mean over arrays of lengths {sorted(lengths)}")
    return int(lengths.pop())


def _kind(part: Expression, kind: Mapping[int, Kind]) -> Kind:
    found = {kind[k] for k in leaves(part)} - {"scalar"}
    return found.pop() if found else "scalar"


def _value(part: Expression, inputs: Mapping[int, np.ndarray], engine: Engine) -> np.ndarray:
    used = leaves(part)
    (own,) = substitute((part,), {leaf(k): leaf(place) for place, k in enumerate(used)})
    return np.asarray(evaluate_all((own,), [inputs[k] for k in used], engine)[0])


def _by_cell(values: Sequence[Any], finite: tuple[int, ...], length: int) -> np.ndarray:
    """(cells, values, length): per entry of the finite shape a block of rows."""
    out = np.empty((prod(finite), len(values), length))
    for k, v in enumerate(values):
        out[:, k] = np.broadcast_to(v, (length, *finite)).reshape(length, -1).T
    return out


def _engine(
    body: Expression, kinds: tuple[Kind, ...], size: int, engine: Engine
) -> tuple[Chunk, tuple[int, int], bool]:
    """What adds one block to the totals, the block's lengths, and whether threads are worth waking."""
    numpy = costs.numpy_seconds((body,), size, prod(_NUMPY_BLOCK))
    if engine != "numpy" and (engine == "numba" or size >= costs.SMALL):
        source = outer_source((body,), kinds)
        jit = costs.jit_seconds((body,), size)
        parallel = jit > costs.PARALLEL_FROM
        seconds = jit / (processors() if parallel else 1)
        if engine == "numba" or costs.LEDGER.compiled_pays(source, (body,), numpy, seconds):
            kernel = loader.load(source)
            if kernel is not None:
                return kernel, _KERNEL_BLOCK, parallel
    return _in_numpy(body, kinds), _NUMPY_BLOCK, False  # threads would only fight for the interpreter


def _in_numpy(body: Expression, kinds: tuple[Kind, ...]) -> Chunk:
    """What the kernel of `outer_source` does, for one expression."""

    def chunk(
        x: np.ndarray, y: np.ndarray, products: np.ndarray, scalars: np.ndarray, same: int, total: np.ndarray
    ) -> None:
        rows = {"x": iter(x[:, None, :]), "y": iter(y[:, :, None]), "pair": iter(products), "scalar": iter(scalars)}
        (value,) = evaluate((body,), [next(rows[k]) for k in kinds])
        if value.shape != (y.shape[1], x.shape[1]):
            value = np.array(np.broadcast_to(value, (y.shape[1], x.shape[1])))
        i = np.arange(max(0, -same), min(x.shape[1], y.shape[1] - same))
        value[i + same, i] = 0.0
        total += value.sum(axis=0)

    return chunk
