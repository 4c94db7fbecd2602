"""What may have been meant by a name that nothing binds.

In: the name, with the text around it, and the names that are known there. Out: a hint: how the language says what the name says elsewhere, or else the known
name that is fewest slips of the pen away; and the change of the text that follows the hint, where that is certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nexortlang.diagnostics import Fix
from nexortlang.source import Span
from nexortlang.syntax import ast
from nexortlang.syntax.lexical import FOREIGN

LIBRARIES = frozenset(
    (
        "cp",
        "cupy",
        "jax",
        "jnp",
        "keras",
        "math",
        "nn",
        "np",
        "numpy",
        "optax",
        "pd",
        "scipy",
        "sp",
        "tensorflow",
        "tf",
        "torch",
    )
)
_DRAW = "a draw is written with ~, as in x[n] ~ normal(0, 1)"
_MEAN = "avg({x}) averages over the width, mean(A) over finite axes"
_MATRIX = "use @ between a matrix and a vector, W @ x"
_ELSEWHERE = {
    **dict.fromkeys(("normal", "uniform", "rademacher", "laplace", "bernoulli", "gaussian", "randint"), _DRAW),
    **dict.fromkeys(("E", "average", "expectation", "expect", "mean", "mean_"), _MEAN),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), _MATRIX),
    **dict.fromkeys(("dot", "vdot", "inner"), "<x|y> is the inner product divided by n; " + _MATRIX),
    **dict.fromkeys(("var", "variance"), "the variance over the width is avg(({x} - avg({x}))^2)"),
    **dict.fromkeys(("std", "stddev"), "the standard deviation over the width is sqrt(avg(({x} - avg({x}))^2))"),
    **dict.fromkeys(("tensor", "array", "asarray"), "an array is written as it is: [[1, 2], [3, 4]]"),
    **dict.fromkeys(("quantile", "percentile", "median"), "show dist({x}) tells the quantiles"),
    **dict.fromkeys(("inv", "solve", "pinv"), "a matrix has no inverse here; iterate, as in x = y + W @ x"),
    **dict.fromkeys(("eig", "eigh", "svd", "eigvals"), "a spectrum is not computed; <x|A|y> and avg(x^2) have limits"),
    **dict.fromkeys(("detach", "stop_gradient", "no_grad"), "stop({x}) is a constant for gradients"),
    "backward": "grad(L, W) is the gradient of L with respect to W",
    "norm": "the norm of vectors is sqrt(<x|x>), with the factor 1/n inside",
    "trace": "of a random matrix A take <z|A|z> with z[n] ~ normal(0, 1): it tends to trace(A)/n",
    **dict.fromkeys(("zeros_like", "ones_like"), "write the shape, as in zeros(n, 4), or 0 * {x}"),
    "outer": "an outer product is |x><y|",
    "maximum": "max(a, b) is entrywise",
    "minimum": "min(a, b) is entrywise",
    "heaviside": "step(x) is 1 where x >= 0",
    "item": "a scalar is shown as it is",
}
_SAME = {"maximum": "max", "minimum": "min", "heaviside": "step"}
"""Functions that differ from those of other languages in nothing but the name."""
_USE = re.compile(r"((?:\.[^\W\d]\w*)*)(?:\(([^()]*)\))?")


def remedy(name: ast.Name, known: Iterable[str], otherwise: str) -> tuple[str, Fix | None]:
    """What to write instead of an unknown name, and how, if that is certain; `otherwise` when nothing comes to mind."""
    names = set(known)
    path, argument = _used(name)
    if name.id in LIBRARIES and (path or name.id not in _ELSEWHERE):
        return _from_library(name.span, path, argument, names)
    if said := elsewhere(name.id, argument):
        return said, Fix(name.span, _SAME[name.id]) if name.id in _SAME else None
    if foreign := FOREIGN.get(name.id):
        return f"`{name.id}` is not part of the language: {foreign}", None
    if close := closest(name.id, names):
        return f"did you mean {close}?", Fix(name.span, close)
    return otherwise, None


def method(name: str, owner: str, known: Iterable[str]) -> str:
    """What to write instead of owner.name(…)."""
    if said := elsewhere(name, owner):
        return said
    return f"functions stand before their arguments: {name}({owner})" if name in known else "values have .shape and .T"


def elsewhere(name: str, argument: str = "") -> str:
    """How the language says what other languages call by this name; "" if that is not known."""
    return _ELSEWHERE.get(name, "").replace("{x}", argument.partition(",")[0] or "h")


def library(name: str) -> str:
    """What to do without a library of another language."""
    return f"{name} is not needed: functions are built in, as in tanh(h)" if name in LIBRARIES else ""


def _from_library(library: Span, path: str, argument: str, known: set[str]) -> tuple[str, Fix | None]:
    """np.tanh(h) is tanh(h), np.maximum(a, b) is max(a, b)."""
    name = path.rpartition(".")[2]
    whole = Span(library.source, library.start, library.end + len(path))
    if said := elsewhere(name, argument):
        return said, Fix(whole, _SAME[name]) if name in _SAME else None
    if name in known:
        return f"functions are built in: {name}({argument})", Fix(whole, name)
    return "functions are built in, as in tanh(h)", None


def _used(name: ast.Name) -> tuple[str, str]:
    """(".linalg.norm", "h") for the np of np.linalg.norm(h)."""
    use = _USE.match(name.span.source.text, name.span.end)
    return (use[1], (use[2] or "").strip()) if use else ("", "")


def closest(name: str, known: Iterable[str]) -> str:
    """The known name at the least distance, at most one slip for three letters; "" if none is so near."""
    lower = name.lower()
    near = [
        (slips, sorted(lower) != sorted(other.lower()), other)
        for other in known
        if abs(len(other) - len(name)) <= max(len(other), len(name)) // 3
        and (slips := _distance(lower, other.lower())) <= max(len(other), len(name)) // 3
    ]
    return min(near)[2] if near else ""


def _distance(a: str, b: str) -> int:
    """Insertions, deletions, changes and exchanges of neighbours that lead from a to b."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]
