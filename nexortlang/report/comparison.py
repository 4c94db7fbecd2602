"""What `nexort verify` tells.

In: a core program, its limit and the comparison with finite widths. Out: text for a person, JSON, and a diagnostic (NX306) for each `show` whose
limit disagrees.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nexortlang import __version__
from nexortlang.compare.verify import Compared, Comparison, Part
from nexortlang.diagnostics import Diagnostic
from nexortlang.finite.simulate import Settings
from nexortlang.report import json
from nexortlang.report.numbers import number, rough
from nexortlang.report.shown import Shown
from nexortlang.report.simulation import entry_labels
from nexortlang.report.table import Axis, table

_LEGEND = (
    "distance: of one run from the limit; spread: between runs; bias: of their mean. Root mean squares over the numbers of a show; for "
    "distributions distance is the mean difference of quantiles. rate: the fitted exponent of n. se: standard errors."
)


def report(shown: Sequence[Shown], c: Comparison, width: int) -> str:
    """The whole report, ending in a line break."""
    if not shown:
        return "nothing is shown, so there is nothing to compare\n"
    blocks = [_block(s, x, c, width) for s, x in zip(shown, c.compared, strict=True)]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, _summary(c, width)]) + "\n"


def disagreements(shown: Sequence[Shown], c: Comparison) -> list[Diagnostic]:
    """One diagnostic for each show that disagrees, about its worst number."""
    return [_disagreement(s, x, c) for s, x in zip(shown, c.compared, strict=True) if not c.agrees(x)]


def as_json(
    shown: Sequence[Shown], c: Comparison, settings: Settings, file: str, diagnostics: Iterable[Diagnostic]
) -> str:
    """The same as one JSON object; arrays over widths have those first."""
    found = json.listed(diagnostics)
    answer = {
        "nexort": __version__,
        "file": file,
        "seed": settings.seed,
        "widths": list(c.widths),
        "seeds": c.seeds,
        "dtype": settings.dtype,
        "agree": c.agree,
        "numbers": c.count,
        "threshold": c.threshold,
        "results": [_result(s, x, c.agrees(x)) for s, x in zip(shown, c.compared, strict=True)],
    }
    return json.text(answer | ({"diagnostics": found} if found else {}))


# ---------------------------------------------------------------------------- text


def _block(s: Shown, x: Compared, c: Comparison, width: int) -> list[str]:
    verdict = "agrees" if c.agrees(x) else "DISAGREES"
    columns: list[tuple[str, np.ndarray, float | None]] = [
        ("distance", x.distance, x.rate),
        ("spread", x.spread, x.spread_rate),
        ("bias", x.bias, None),
    ]
    labels = [*map(str, c.widths), "rate"]

    def cell(i: int, j: int) -> str:
        _, sizes, rate = columns[j]
        if i < len(sizes):
            return rough(float(sizes[i]), 3)
        return "" if rate is None or not np.all(sizes > 0.0) else f"{rate:.2f}"

    lines = [f"{s.name}  ({s.answer.method}): {verdict}"]
    lines += table(Axis(len(labels), labels.__getitem__, "n"), Axis(3, lambda j: columns[j][0]), cell, width)
    return [*lines, *textwrap.wrap(_worst(s, x, c), width, initial_indent="  ", subsequent_indent="  ")]


def _worst(s: Shown, x: Compared, c: Comparison) -> str:
    if not any(p.deviations.size for p in x.parts):
        return "(empty)"
    part, k = c.worst(x)
    count = sum(p.deviations.size for p in x.parts)
    which = f"{_called(s, part, k)}: " if count > 1 else ""
    of = f", the largest of {count} deviations" if count > 1 else ""
    return (
        f"{which}limit {number(float(part.limits[k]), float(part.limit_errors[k]))}, "
        f"extrapolated {number(float(part.extrapolated[k]), float(part.extrapolated_errors[k]))}: {abs(float(part.deviations[k])):.1f} se{of}"
    )


def _called(s: Shown, part: Part, k: int) -> str:
    """Part and entry: `50% quantile [0, 1]`."""
    name = "" if part.name in ("value", "covariance") else part.name
    return f"{name} {entry_labels(s)(k)}".strip()


def _summary(c: Comparison, width: int) -> list[str]:
    wrong = sum(not c.agrees(x) for x in c.compared)
    numbers = f"{c.count} number{'s' * (c.count != 1)}, {c.seeds} runs at each of {len(c.widths)} widths"
    if wrong:
        verdict = f"{numbers}: {wrong} of {len(c.compared)} shows disagree (deviations above {c.threshold:.1f} se)."
    else:
        verdict = f"{numbers}: limit and finite widths agree (no deviation above {c.threshold:.1f} se)."
    return [*textwrap.wrap(verdict, width), *textwrap.wrap(_LEGEND, width)]


def _disagreement(s: Shown, x: Compared, c: Comparison) -> Diagnostic:
    part, k = c.worst(x)
    called = f"{s.name} {_called(s, part, k)}".strip()
    limit = number(float(part.limits[k]), float(part.limit_errors[k]))
    found = number(float(part.extrapolated[k]), float(part.extrapolated_errors[k]))
    last = number(float(part.means[-1, k]), float(part.errors[-1, k]))
    return Diagnostic(
        "NX306",
        f"finite widths disagree with the limit: expected {called} to tend to {limit}, found {last} at width {c.widths[-1]} and "
        f"{found} by extrapolation, {abs(float(part.deviations[k])):.1f} standard errors away",
        s.span,
        hint="try larger widths first: what is still far from its limit cannot be extrapolated",
    )


# ---------------------------------------------------------------------------- JSON


def _result(s: Shown, x: Compared, agrees: bool) -> dict[str, Any]:
    return {
        "name": s.name,
        "line": s.span.line,
        "kind": s.kind,
        "shape": list(s.shape),
        "method": s.answer.method,
        "agrees": agrees,
        "deviation": json.nested(np.asarray(x.deviation)),
        "distance": json.nested(x.distance),
        "spread": json.nested(x.spread),
        "bias": json.nested(x.bias),
        "rate": json.nested(np.asarray(x.rate)),
        "spread_rate": json.nested(np.asarray(x.spread_rate)),
        "parts": [_part(p, s.shape) for p in x.parts],
    }


def _part(p: Part, shape: tuple[int, ...]) -> dict[str, Any]:
    def shaped(a: np.ndarray) -> Any:
        return json.nested(a.reshape(a.shape[:-1] + shape))

    return {
        "part": p.name,
        "limit": shaped(p.limits),
        "limit_stderr": shaped(p.limit_errors),
        "mean": shaped(p.means),
        "stderr": shaped(p.errors),
        "extrapolated": shaped(p.extrapolated),
        "extrapolated_stderr": shaped(p.extrapolated_errors),
        "deviation": shaped(p.deviations),
    }
