"""What `nexort simulate` tells.

In: a core program and its runs at one width. Out: text for a person, or JSON. Every mean comes with its standard error and with the standard deviation
between runs; a covariance says how it was estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nexortlang import __version__
from nexortlang.compare.summary import summarise
from nexortlang.core.program import Program
from nexortlang.diagnostics import Diagnostic
from nexortlang.finite.simulate import Settings, Simulation
from nexortlang.kets.results import Distribution, Estimate, LimitResult
from nexortlang.report import json
from nexortlang.report.numbers import number, rough
from nexortlang.report.shown import Shown, gather
from nexortlang.report.table import Axis, table


@dataclass(frozen=True, slots=True)
class Told:
    """One `show`: its mean over runs with its error, the deviation between runs, and for a covariance whether it is conditional."""

    shown: Shown
    deviation: np.ndarray
    conditional: bool


def report(program: Program, simulation: Simulation, settings: Settings, width: int) -> str:
    """The whole report, ending in a line break."""
    blocks = [_heading(program, simulation, settings), *(_block(t, width) for t in told(program, simulation))]
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def as_json(
    program: Program, simulation: Simulation, settings: Settings, file: str, diagnostics: Iterable[Diagnostic]
) -> str:
    """The same as one JSON object."""
    found = json.listed(diagnostics)
    answer = {
        "nexort": __version__,
        "file": file,
        "seed": settings.seed,
        "width": simulation.sizes.n,
        "widths": {w.name: simulation.sizes.of(w) for w in program.widths},
        "seeds": settings.seeds,
        "dtype": settings.dtype,
        "results": [_result(t) for t in told(program, simulation)],
    }
    return json.text(answer | ({"diagnostics": found} if found else {}))


def sizes_told(program: Program, simulation: Simulation) -> str:
    """The widths' sizes, and which ratios were rounded: `n = 1023, k = 256 (rounded from 255.75)`."""
    rounded = simulation.sizes.rounded(program.widths)
    parts = []
    for w in program.widths:
        exact = f" (rounded from {float(w.ratio * simulation.sizes.n):g})" if w in rounded else ""
        parts.append(f"{w.name} = {simulation.sizes.of(w)}{exact}")
    return ", ".join(parts)


def told(program: Program, simulation: Simulation) -> list[Told]:
    """One record per `show` statement, in order of first execution."""
    summaries = [summarise(s) for s in simulation.samples]
    answers: list[Estimate | Distribution] = [answer for answer, _ in summaries]
    spreads: list[Estimate | Distribution] = [Estimate(d, d, "sampled") for _, d in summaries]
    shown = gather(program, LimitResult(answers, [], True))
    deviations = gather(program, LimitResult(spreads, [], True))
    conditional: dict[int, bool] = {}
    for show, sample in zip(program.shows, simulation.samples, strict=True):
        conditional[show.statement] = sample.conditional and conditional.get(show.statement, True)
    return [Told(s, d.answer.stderr, c) for s, d, c in zip(shown, deviations, conditional.values(), strict=True)]


# ---------------------------------------------------------------------------- text


def _heading(program: Program, simulation: Simulation, settings: Settings) -> list[str]:
    runs = f"{settings.seeds} runs" if settings.seeds > 1 else "1 run"
    line = f"{sizes_told(program, simulation)}; {runs}" if program.widths else runs
    return [line + (", float32" if settings.dtype == "float32" else "")]


def _block(t: Told, width: int) -> list[str]:
    columns = list(_columns(t))
    entries = t.shown.answer.stderr.size
    if not entries:
        return [_title(t), "  (empty)"]
    rows = Axis(entries, entry_labels(t.shown))
    return [
        _title(t),
        *table(rows, Axis(len(columns), lambda j: columns[j][0]), lambda i, j: columns[j][1](i), width),
    ]


def _title(t: Told) -> str:
    if t.shown.kind != "covariance":
        return t.shown.name
    return f"{t.shown.name}  ({'given vectors and matrices, mean over runs' if t.conditional else 'over runs'})"


def entry_labels(s: Shown) -> Callable[[int], str]:
    """What an entry is called: its passes and subscripts."""
    shape = s.answer.stderr.shape
    return lambda i: f"[{', '.join(str(k) for k in np.unravel_index(i, shape))}]" if shape else ""


def _columns(t: Told) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Titles, and the text for an entry (counted flat)."""
    answer = t.shown.answer
    mean = answer.mean if isinstance(answer, Distribution) else answer.value
    if np.isfinite(answer.stderr).all():
        yield "mean", lambda i: number(float(mean.flat[i]), float(answer.stderr.flat[i]))
    else:
        yield "value", lambda i: number(float(mean.flat[i]))
    if t.deviation.size and not np.isnan(t.deviation).all():
        yield "sd over runs", _rough(t.deviation)
    if isinstance(answer, Distribution):
        yield "variance", _rough(answer.variance)
        for p in sorted(answer.quantiles):
            yield f"{100 * p:g}%", _rough(answer.quantiles[p])


def _rough(a: np.ndarray) -> Callable[[int], str]:
    return lambda i: rough(float(a.flat[i]), 3)


# ---------------------------------------------------------------------------- JSON


def _result(t: Told) -> dict[str, Any]:
    s, answer = t.shown, t.shown.answer
    head: dict[str, Any] = {"name": s.name, "line": s.span.line, "kind": s.kind, "shape": list(s.shape)}
    tail = {
        "stderr": json.nested(answer.stderr),
        "deviation": json.nested(t.deviation),
        "method": "simulated",
    }
    if isinstance(answer, Distribution):
        quantiles = {repr(p): json.nested(answer.quantiles[p]) for p in sorted(answer.quantiles)}
        moments = {"mean": json.nested(answer.mean), "variance": json.nested(answer.variance)}
        return head | moments | {"quantiles": quantiles} | tail
    if s.kind == "covariance":
        tail["estimator"] = "conditional" if t.conditional else "over runs"
    return head | {"value": json.nested(answer.value)} | tail
