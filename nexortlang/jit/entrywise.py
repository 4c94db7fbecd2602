"""Entrywise expressions over large arrays.

In: expressions and one array per leaf. Out: one array per expression, of the arrays' joint shape. The same numbers to rounding, infinities and nan
included, whichever engine computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np

from nexortlang.entrywise.expression import Expression, evaluate, leaf, leaves, separate, substitute
from nexortlang.jit import costs, loader
from nexortlang.jit.kernels import Mode, entrywise_source
from nexortlang.jit.threads import each
from nexortlang.settings import processors

Engine: TypeAlias = Literal["auto", "numba", "numpy"]
"""auto: numba where the work is worth its start-up. The others are for tests and measurements; numba falls back to NumPy where it is missing."""

_BLOCK = 8192


def entrywise(e: Expression, engine: Engine = "auto") -> Callable[..., Any]:
    """The function of one array per leaf (leaf k is argument k) that NumPy broadcasting makes of a scalar expression."""

    def function(*arrays: Any) -> Any:
        return evaluate_all((e,), arrays, engine)[0]

    return function


def evaluate_all(
    roots: Sequence[Expression],
    arrays: Sequence[Any],
    engine: Engine = "auto",
    out: Sequence[np.ndarray] | None = None,
) -> tuple[Any, ...]:
    """As entrywise.expression.evaluate: several expressions in one pass, what they share computed once.

    `out`: where a compiled kernel may write its results, if it has their shape.
    """
    roots = tuple(roots)
    inputs = [np.asarray(a, dtype=float) for a in arrays]
    shape = np.broadcast_shapes(*(a.shape for a in inputs))
    size = prod(shape)
    if engine == "numpy" or size < 2 or (engine == "auto" and size < costs.SMALL):
        return evaluate(roots, inputs)
    inputs = [a.reshape((1,) * (len(shape) - a.ndim) + a.shape) for a in inputs]
    varying = tuple(frozenset(axis for axis, length in enumerate(a.shape) if length > 1) for a in inputs)
    body, parts, modes, (rows, columns) = _plan(roots, varying, shape)
    source = entrywise_source(body, modes)
    numpy, jit = costs.numpy_seconds(roots, size, _BLOCK), costs.jit_seconds(body, size)
    parallel = jit > costs.PARALLEL_FROM
    if engine == "auto" and not costs.LEDGER.compiled_pays(
        source, body, numpy, jit / (processors() if parallel else 1)
    ):
        return evaluate(roots, inputs)
    kernel = loader.load(source)
    if kernel is None:
        return evaluate(roots, inputs)
    values = [_part(p, inputs, engine) for p in parts]
    if out is not None and all(o.shape == shape and o.flags.c_contiguous for o in out):
        _run(kernel, values, modes, [o.reshape(rows, columns) for o in out], shape, parallel)
        return tuple(out)
    outs = [np.empty((rows, columns)) for _ in body]
    _run(kernel, values, modes, outs, shape, parallel)
    return tuple(o.reshape(shape) for o in outs)


def evaluate_into(
    roots: Sequence[Expression], arrays: Sequence[Any], out: Sequence[np.ndarray], engine: Engine = "auto"
) -> None:
    """As evaluate_all, into C-ordered arrays of the joint shape or a larger one."""
    values = evaluate_all(roots, arrays, engine, out)
    for o, v in zip(out, values, strict=True):
        if o is not v:
            o[...] = v


def _part(part: Expression, inputs: Sequence[np.ndarray], engine: Engine) -> np.ndarray:
    """The value of what became a leaf of the kernel, in the shape that its own leaves span."""
    if part.is_leaf:
        return inputs[part.index]
    used = leaves(part)
    (own,) = substitute((part,), {leaf(k): leaf(place) for place, k in enumerate(used)})
    return np.asarray(evaluate_all((own,), [inputs[k] for k in used], engine)[0])


@lru_cache(maxsize=4096)
def _plan(
    roots: tuple[Expression, ...], varying: tuple[frozenset[int], ...], shape: tuple[int, ...]
) -> tuple[tuple[Expression, ...], tuple[Expression, ...], tuple[Mode, ...], tuple[int, int]]:
    """The kernel's expressions, what its leaves stand for, how those vary, and the two loops' lengths.

    Neighbouring axes over which every leaf varies alike, or not at all, are one loop. Where that leaves more than two loops, leaves
    that do not vary over everything are written out in full.
    """
    everything = frozenset(axis for axis, length in enumerate(shape) if length > 1)
    body, parts = separate(roots, dict(enumerate(varying)), everything)
    over = [frozenset().union(*(varying[k] for k in leaves(p))) for p in parts]
    axes = sorted(everything)
    cuts = [k for k in range(1, len(axes)) if any((axes[k - 1] in o) != (axes[k] in o) for o in over)]
    if len(cuts) != 1:
        modes: tuple[Mode, ...] = tuple("full" if o else "scalar" for o in over)
        return body, parts, modes, (1, prod(shape))
    cut = axes[cuts[0]]
    modes = tuple(_mode(axes[0] in o, axes[-1] in o) for o in over)
    return body, parts, modes, (prod(shape[:cut]), prod(shape[cut:]))


def _mode(outer: bool, inner: bool) -> Mode:
    if outer:
        return "full" if inner else "column"
    return "row" if inner else "scalar"


def _run(
    kernel: Callable[..., Any],
    values: Sequence[np.ndarray],
    modes: Sequence[Mode],
    outs: Sequence[np.ndarray],
    shape: tuple[int, ...],
    parallel: bool,
) -> None:
    rows, columns = outs[0].shape
    flat = not {"row", "column"} & set(modes)
    full = columns if flat else (rows, columns)
    arguments: list[Any] = []
    for v, mode in zip(values, modes, strict=True):
        if mode == "scalar":
            arguments.append(float(v.reshape(())))
        elif mode == "full":
            arguments.append(_plain(v if v.shape == shape else np.broadcast_to(v, shape)).reshape(full))
        else:
            arguments.append(_plain(v).reshape(-1))
    targets = [o.reshape(full) for o in outs]

    def work(part: slice) -> None:
        sliced = [a if m in ("row", "scalar") else a[part] for a, m in zip(arguments, modes, strict=True)]
        kernel(*sliced, *(t[part] for t in targets))

    length = columns if flat else rows
    count = min(length, processors()) if parallel else 1
    bounds = [length * k // count for k in range(count + 1)]
    each(work, (slice(a, b) for a, b in pairwise(bounds)), parallel)


def _plain(a: np.ndarray) -> np.ndarray:
    """The array type that kernels are compiled for: in C order, and writable (though none writes to it)."""
    a = np.ascontiguousarray(a)
    return a if a.flags.writeable else a.copy()
