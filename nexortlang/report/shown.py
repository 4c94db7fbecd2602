"""What the `show`s of the source answered: executions gathered into one result per statement.

In: a core program and the engine's answers in the order of its shows. Out: `Shown` records in source order of first execution.
Loop axes come first: their lengths stand in `loops`, and every array has shape loops + entries. Executions that do not fill
a grid, or whose arrays differ in shape, are joined into one flat axis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from nexortlang.core.program import Program, Show
from nexortlang.kets.results import CURVE, Distribution, Estimate, LimitResult, least_exact
from nexortlang.source import Span


@dataclass(frozen=True, slots=True)
class Shown:
    """One `show`. `loops` is () outside loops; `answer`'s arrays have shape loops + the shape of an entry."""

    name: str
    kind: Literal["scalar", "distribution", "covariance"]
    span: Span
    loops: tuple[int, ...]
    answer: Estimate | Distribution

    @property
    def shape(self) -> tuple[int, ...]:
        return self.answer.stderr.shape


def gather(program: Program, result: LimitResult) -> list[Shown]:
    """One record per `show` statement, in order of first execution."""
    statements: dict[int, list[tuple[Show, Estimate | Distribution]]] = {}
    for show, answer in zip(program.shows, result.shows, strict=True):
        statements.setdefault(show.statement, []).append((show, answer))
    return [_stack(runs) for runs in statements.values()]


def _stack(runs: Sequence[tuple[Show, Estimate | Distribution]]) -> Shown:
    first, answer = runs[0]
    loops = _grid([show.path for show, _ in runs])
    if len({a.stderr.shape for _, a in runs}) > 1:
        loops = (sum(a.stderr.size for _, a in runs),)
    if loops:
        answer = _join([a for _, a in runs], loops)
    return Shown(first.name, first.kind, first.span, loops, answer)


def _grid(paths: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The lengths of the loop axes. A path met several times (a `def` called twice) adds an axis for them."""
    if len(set(paths)) < len(paths):
        seen: Counter[tuple[int, ...]] = Counter()
        repeated = []
        for path in paths:
            repeated.append((*path, seen[path]))
            seen[path] += 1
        paths = repeated
    depth = len(paths[0])
    lengths: list[int] = []
    for level in range(depth):
        passes: dict[tuple[int, ...], set[int]] = {}
        for path in paths:
            passes.setdefault(path[:level], set()).add(path[level])
        counts = {len(inner) for inner in passes.values()}
        if len(counts) > 1:
            return (len(paths),)
        lengths.append(counts.pop())
    return tuple(lengths)


def _join(answers: Sequence[Estimate | Distribution], loops: tuple[int, ...]) -> Estimate | Distribution:
    """One answer whose arrays are those of all answers under the loop axes."""
    method = least_exact(*(a.method for a in answers))
    stderr = _stacked([a.stderr for a in answers], loops)
    each = [a for a in answers if isinstance(a, Distribution)]
    if not each:
        return Estimate(_stacked([a.value for a in answers if isinstance(a, Estimate)], loops), stderr, method)
    errors = [a.stderr for a in each]
    return Distribution(
        mean=_stacked([a.mean for a in each], loops),
        variance=_stacked([a.variance for a in each], loops),
        quantiles={p: _stacked([a.quantiles[p] for a in each], loops) for p in each[0].quantiles},
        skewness=_stacked([a.skewness for a in each], loops),
        kurtosis=_stacked([a.kurtosis for a in each], loops),
        stderr=stderr,
        method=method,
        curve=_together([a.curve for a in each], errors, loops, CURVE.shape),
        curve_stderr=_together([a.curve_stderr for a in each], errors, loops, CURVE.shape),
        variance_stderr=_together([a.variance_stderr for a in each], errors, loops),
        quantile_stderr=_by_probability(each, errors, loops),
        skewness_stderr=_together([a.skewness_stderr for a in each], errors, loops),
        kurtosis_stderr=_together([a.kurtosis_stderr for a in each], errors, loops),
    )


def _by_probability(
    each: Sequence[Distribution], entries: Sequence[np.ndarray], loops: tuple[int, ...]
) -> dict[float, np.ndarray] | None:
    """The errors of quantiles; None if nothing was sampled."""
    found = {
        p: _together([a.quantile_stderr[p] if a.quantile_stderr else None for a in each], entries, loops)
        for p in each[0].quantiles
    }
    known = {p: e for p, e in found.items() if e is not None}
    return known or None


def _together(
    arrays: Sequence[np.ndarray | None],
    entries: Sequence[np.ndarray],
    loops: tuple[int, ...],
    head: tuple[int, ...] = (),
) -> np.ndarray | None:
    """Arrays of shape head + that of the entry, under head + the loop axes; None stands for zeros, and if all are None for itself."""
    if all(a is None for a in arrays):
        return None
    filled = [np.zeros(head + e.shape) if a is None else a for a, e in zip(arrays, entries, strict=True)]
    flat = [a.reshape(-1, *e.shape) for a, e in zip(filled, entries, strict=True)]
    stacked = np.stack([_stacked([a[k] for a in flat], loops) for k in range(prod(head))])
    return stacked.reshape(head + stacked.shape[1:])


def _stacked(arrays: Sequence[np.ndarray], loops: tuple[int, ...]) -> np.ndarray:
    entry = arrays[0].shape
    if any(a.shape != entry for a in arrays):
        return np.concatenate([a.ravel() for a in arrays])
    return np.stack(arrays).reshape(loops + entry)
