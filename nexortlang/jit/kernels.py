"""The text of kernel modules.

In: expressions, and how each leaf varies. Out: Python source, the same for the same expressions in every process, that defines `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from nexortlang.entrywise.expression import Expression, leaves, schedule
from nexortlang.jit.vector_math import HELPERS, TEMPLATES, helpers_in

Mode: TypeAlias = Literal["full", "row", "column", "scalar"]
"""A leaf that varies with both loops, with the inner one only, with the outer one only, or not at all."""

Kind: TypeAlias = Literal["x", "y", "pair", "scalar"]
"""A leaf of an outer sum: a function of i, of j, of both (an array of pairs), or a number."""

LANES = 64
"""The block of i that one pass over j serves: its inputs and sums stay in the first-level cache, and it is whole vectors long."""

_HEADER = '''"""Written by nexort: a compiled kernel. The file's name is the hash of its contents; it may be deleted at any time."""

import math

import numpy as np
from numba import njit

'''
# A product and a sum may be fused within helpers only: in the kernel itself x*y - x*y must be 0, as it is in NumPy, or a sign of it would not be.
_KERNEL_OPTIONS = 'error_model="numpy", nogil=True, cache=True'
_HELPER_OPTIONS = 'error_model="numpy", fastmath={"contract"}, forceinline=True'


def _number(value: float) -> str:
    return (
        "math.nan" if value != value else f"{'-' * (value < 0)}math.inf" if abs(value) == float("inf") else repr(value)
    )


def _statements(roots: Sequence[Expression], name_of_leaf: Callable[[int], str]) -> tuple[list[str], list[str]]:
    """One assignment per operation, and what each root is called."""
    names: dict[Expression, str] = {}
    lines: list[str] = []
    for e in schedule(roots):
        if e.is_leaf:
            names[e] = name_of_leaf(e.index)
        elif e.is_const:
            names[e] = f"({_number(e.value)})"
        else:
            names[e] = f"t{len(lines)}"
            lines.append(f"{names[e]} = {TEMPLATES[e.op].format(*(names[a] for a in e.args))}")
    return lines, [names[r] for r in roots]


def _module(parameters: Sequence[tuple[str, str]], body: Sequence[tuple[int, str]]) -> str:
    """`parameters`: (name, numba type). `body`: (depth, line)."""
    lines = "\n".join("    " * (depth + 1) + line for depth, line in body)
    helpers = "".join(f"\n@njit({_HELPER_OPTIONS}){HELPERS[h]}" for h in helpers_in(lines))
    signature = "void(" + ", ".join(kind for _, kind in parameters) + ")"
    names = ", ".join(name for name, _ in parameters)
    return f'{_HEADER}{helpers}\n\n@njit("{signature}", {_KERNEL_OPTIONS})\ndef kernel({names}):\n{lines}\n'


@lru_cache(maxsize=4096)
def entrywise_source(roots: tuple[Expression, ...], modes: tuple[Mode, ...]) -> str:
    """kernel(x0, x1, …, out0, …): out0[i, j] = roots[0] at x0[i, j] (full), x0[j] (row), x0[i] (column) or x0 (scalar).

    `modes` has one entry per leaf, numbered 0, 1, …. Without rows and columns everything is one-dimensional.
    """
    flat = not {"row", "column"} & set(modes)
    types = {"full": "float64[::1]" if flat else "float64[:, ::1]", "scalar": "float64"}
    used = leaves(*roots)
    parameters = [(f"x{k}", types.get(mode, "float64[::1]")) for k, mode in enumerate(modes)]
    parameters += [(f"out{k}", types["full"]) for k in range(len(roots))]
    statements, results = _statements(roots, lambda k: f"x{k}" if modes[k] == "scalar" else f"a{k}")
    index = {"full": "j" if flat else "i, j", "row": "j", "column": "i"}
    loads = {k: f"a{k} = x{k}[{index[modes[k]]}]" for k in used if modes[k] != "scalar"}
    depth = 0 if flat else 1
    body: list[tuple[int, str]] = []
    if not flat:
        body.append((0, "for i in range(out0.shape[0]):"))
        body += [(1, load) for k, load in loads.items() if modes[k] == "column"]
    body.append((depth, f"for j in range(out0.shape[{depth}]):"))
    body += [(depth + 1, load) for k, load in loads.items() if modes[k] != "column"]
    body += [(depth + 1, line) for line in statements]
    body += [(depth + 1, f"out{k}[{index['full']}] = {r}") for k, r in enumerate(results)]
    return _module(parameters, body)


@lru_cache(maxsize=4096)
def outer_source(roots: tuple[Expression, ...], kinds: tuple[Kind, ...]) -> str:
    """kernel(x, y, pairs, scalars, same, total): total[r, i] += Σ_j roots[r] at x[·, i], y[·, j], pairs[·, j, i], scalars[·].

    Each kind of leaf is numbered within its array in the order of `kinds`. The term with j = i + same is left out (none if same is below -i).
    Sums run over j per lane of i, so they vectorise as they stand; the caller keeps stretches of j short for the sake of rounding.
    """
    place: dict[int, tuple[Kind, int]] = {}
    for k, kind in enumerate(kinds):
        place[k] = (kind, sum(other == kind for other in kinds[:k]))
    used = leaves(*roots)
    statements, results = _statements(roots, lambda k: f"{place[k][0]}{place[k][1]}")

    def loads(kind: Kind, index: str) -> list[str]:
        return [f"{kind}{place[k][1]} = {index.format(place[k][1])}" for k in used if place[k][0] == kind]

    count = len(roots)
    own = (
        ("x", "float64[:, ::1]"),
        ("y", "float64[:, ::1]"),
        ("pairs", "float64[:, :, ::1]"),
        ("scalars", "float64[::1]"),
    )
    parameters = [*own, ("same", "int64"), ("total", "float64[:, ::1]")]
    body: list[tuple[int, str]] = [
        (0, f"block = np.empty((x.shape[0], {LANES}))"),
        (0, f"sums = np.empty(({count}, {LANES}))"),
        *((0, line) for line in loads("scalar", "scalars[{}]")),
        (0, f"for start in range(0, total.shape[1], {LANES}):"),
        (1, f"width = min({LANES}, total.shape[1] - start)"),
        (1, "for l in range(width):"),
        (2, "for k in range(x.shape[0]):"),
        (3, "block[k, l] = x[k, start + l]"),
        (2, f"for r in range({count}):"),
        (3, "sums[r, l] = 0.0"),
        (1, "for j in range(y.shape[1]):"),
        *((2, line) for line in loads("y", "y[{}, j]")),
        (2, "own = j - same - start"),
        (2, "skip = (0 <= own) & (own < width)"),
        (2, "lane = own if skip else 0"),
        *((2, f"kept{r} = sums[{r}, lane]") for r in range(count)),
        (2, "for l in range(width):"),
        *((3, line) for line in loads("x", "block[{}, l]")),
        *((3, line) for line in loads("pair", "pairs[{}, j, start + l]")),
        *((3, line) for line in statements),
        *((3, f"sums[{r}, l] += {name}") for r, name in enumerate(results)),
        (2, "if skip:"),
        *((3, f"sums[{r}, lane] = kept{r}") for r in range(count)),
        (1, "for l in range(width):"),
        (2, f"for r in range({count}):"),
        (3, "total[r, start + l] += sums[r, l]"),
    ]
    return _module(parameters, body)
