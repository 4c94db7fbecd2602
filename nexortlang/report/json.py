"""The report a program reads: one JSON object, as the language reference gives it.

In: what was shown, or diagnostics. Out: text of one line. Guarantees: valid JSON (a value that is no number is null), floats read back
to the same double, lines and columns count from 1 in code points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from nexortlang import __version__
from nexortlang.diagnostics import Diagnostic

if TYPE_CHECKING:
    import numpy as np

    from nexortlang.report.shown import Shown


def results(shown: Sequence[Shown], file: str, seed: int, diagnostics: Iterable[Diagnostic] = ()) -> str:
    """The whole answer; `diagnostics` is there only when there are some."""
    found = listed(diagnostics)
    answer = {"nexort": __version__, "file": file, "seed": seed, "results": [_result(s) for s in shown]}
    return text(answer | ({"diagnostics": found} if found else {}))


def mistakes(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics alone, when there is nothing else to tell."""
    return text({"diagnostics": listed(diagnostics)})


def text(answer: Mapping[str, Any]) -> str:
    """One object on one line."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False) + "\n"


def listed(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Each diagnostic once."""
    return [_diagnostic(d) for d in dict.fromkeys(diagnostics)]


def _diagnostic(d: Diagnostic) -> dict[str, Any]:
    span = d.span
    return {
        "code": d.code,
        "severity": d.severity,
        "message": d.message,
        "file": span.source.name if span else None,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
        "hint": d.hint,
    }


def _result(s: Shown) -> dict[str, Any]:
    from nexortlang.kets.results import Distribution

    a = s.answer
    head: dict[str, Any] = {"name": s.name, "line": s.span.line, "kind": s.kind, "shape": list(s.shape)}
    tail = {"stderr": nested(a.stderr), "method": a.method}
    if not isinstance(a, Distribution):
        return head | {"value": nested(a.value)} | tail
    quantiles = {repr(p): nested(a.quantiles[p]) for p in sorted(a.quantiles)}
    told = head | {"mean": nested(a.mean), "variance": nested(a.variance), "quantiles": quantiles}
    if a.variance_stderr is not None:
        tail["variance_stderr"] = nested(a.variance_stderr)
    if a.quantile_stderr is not None:
        tail["quantiles_stderr"] = {repr(p): nested(e) for p, e in sorted(a.quantile_stderr.items())}
    return told | tail


def nested(array: np.ndarray) -> Any:
    """Nested lists of floats; what is no number becomes null."""
    return _finite(array.tolist())


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value if isfinite(value) else None
