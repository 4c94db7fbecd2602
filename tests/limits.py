"""What the tests ask of the command: the results, or the diagnostics, of a program given as text or as a file."""

from __future__ import annotations

import io
import json
import math
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nexortlang.cli import main


@dataclass(frozen=True, slots=True)
class Shown:
    """One `show`: its JSON record, with arrays as arrays."""

    name: str
    line: int
    kind: str
    method: str
    value: np.ndarray
    stderr: np.ndarray
    record: dict[str, Any]


def array(nested: Any) -> np.ndarray:
    return np.asarray(nested, dtype=float)


def command(*arguments: str) -> tuple[int, str, str]:
    """`nexort arguments…` in this process: exit status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(list(arguments))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return int(status or 0), out.getvalue(), err.getvalue()


def limits_of_file(path: Path, *options: str) -> list[Shown]:
    """The results of a program that must run to its end, asserts included."""
    status, out, err = command(str(path), "--json", *options)
    assert status == 0, (status, out, err)
    return [
        Shown(r["name"], r["line"], r["kind"], r["method"], array(r.get("value", r.get("mean"))), array(r["stderr"]), r)
        for r in json.loads(out)["results"]
    ]


def limits(text: str, folder: Path, *options: str) -> dict[str, Shown]:
    """The results of a program text, by name."""
    path = folder / "program.nxt"
    path.write_text(text, encoding="utf-8")
    return {shown.name: shown for shown in limits_of_file(path, *options)}


def truths(path: Path) -> dict[int, np.ndarray]:
    """Line → the value that stands after `#=` at the end of a `show`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        number: array(json.loads(found[1]))
        for number, line in enumerate(lines, 1)
        if (found := re.search(r"#= (.+)$", line))
    }


def misses(path: Path, seed: int, errors: float = 2.0) -> tuple[int, int]:
    """How many of a sampled program's numbers lie further than `errors` standard errors from the truth, and how many there are."""
    known = truths(path)
    shown = [s for s in limits_of_file(path, "--seed", str(seed)) if s.line in known]
    far = [np.abs(s.value - known[s.line]) > errors * s.stderr + 1e-12 for s in shown]
    return sum(int(np.sum(f)) for f in far), sum(math.prod(s.value.shape) for s in shown)
