"""The report a person reads.

In: what was shown, how many asserts hold, the width of the terminal. Out: text. Every number comes with how it was obtained (exact,
quadrature, sampled) and, where it is not exact, how sure it is: `0.1234(5)`. A series ends in a line of bars.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from math import prod

import numpy as np

from nexortlang.kets.results import Distribution, Estimate
from nexortlang.report.numbers import matters, number
from nexortlang.report.shown import Shown
from nexortlang.report.sparkline import BARS, sparkline
from nexortlang.report.table import ELLIPSIS, Axis, is_elided, table

_LEGEND = "0.123(4) means 0.123 with a standard error of 0.004."
_REST = f"{ELLIPSIS} stands for what is left out; --json prints everything."
_ENTRIES_SIDE_BY_SIDE = 4
_SHORTEST_TREND = 4


def report(shown: Sequence[Shown], asserts: int, width: int = 80, bars: str = BARS) -> str:
    """The whole report, ending in a line break (empty for a program that shows and asserts nothing). `bars`: what sparklines are made of."""
    blocks = list(_blocks(shown, width, bars))
    notes = [line for note in _notes(shown, asserts) for line in textwrap.wrap(note, width)]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, notes] if lines) + "\n" * bool(blocks or notes)


def _blocks(shown: Sequence[Shown], width: int, bars: str) -> Iterator[list[str]]:
    """Single numbers that follow each other share a block; everything else has its own."""
    for single, some in groupby(shown, key=lambda s: s.kind != "distribution" and s.shape == ()):
        if single:
            yield _numbers(list(some), width)
        else:
            yield from ([*_title(s, width), *_array(s, width), *_trend(s, width, bars)] for s in some)


def _notes(shown: Sequence[Shown], asserts: int) -> Iterator[str]:
    if asserts:
        yield f"{asserts} asserts hold." if asserts > 1 else "1 assert holds."
    if any(np.any(matters(_value(s), s.answer.stderr)) for s in shown):
        yield _LEGEND
    if any(s.answer.stderr.size and is_elided(*(axis.count for axis in _axes(s))) for s in shown):
        yield _REST


def _value(s: Shown) -> np.ndarray:
    return s.answer.mean if isinstance(s.answer, Distribution) else s.answer.value


def _title(s: Shown, width: int) -> list[str]:
    return textwrap.wrap(f"{s.name}  ({_describe(s)})", max(width, 20), subsequent_indent="  ")


def _describe(s: Shown) -> str:
    """Loops, entries, method: `20 passes × 4, sampled`."""
    entry = s.shape[len(s.loops) :]
    loops = " × ".join(map(str, s.loops)) + (" passes" if prod(s.loops) != 1 else " pass") if s.loops else ""
    sizes = [part for part in (loops, " × ".join(map(str, entry))) if part]
    return ", ".join([" of ".join(sizes), s.answer.method] if sizes else [s.answer.method])


def _numbers(shown: Sequence[Shown], width: int) -> list[str]:
    """name = value  method"""
    cells = [(number(float(_value(s)), float(s.answer.stderr)), f"({s.answer.method})") for s in shown]
    rows = Axis(len(shown), lambda i: f"{shown[i].name} =")
    return table(rows, Axis(2, lambda j: ""), lambda i, j: cells[i][j], width, indent="")


# ---------------------------------------------------------------------------- arrays


def _array(s: Shown, width: int) -> list[str]:
    """A table of an array, a series or a distribution."""
    rows, columns = _axes(s)
    match s.answer:
        case _ if s.answer.stderr.size == 0:
            return ["  (empty)"]
        case Estimate(value, stderr):
            value, stderr = (a.reshape(rows.count, columns.count) for a in (value, stderr))
            return table(rows, columns, lambda i, j: number(float(value[i, j]), float(stderr[i, j])), width)
        case Distribution() as d:
            parts = [text for _, text in _parts(d)]
            if _parts_below(s):
                return table(rows, columns, lambda i, j: parts[i](j), width)
            return table(rows, columns, lambda i, j: parts[j](i), width)


def _trend(s: Shown, width: int, bars: str) -> list[str]:
    """A series as bars, a line for each entry if these are few."""
    passes, entries = prod(s.loops), prod(s.shape[len(s.loops) :])
    if not s.loops or passes < _SHORTEST_TREND or not 0 < entries <= _ENTRIES_SIDE_BY_SIDE:
        return []
    values, errors = (a.reshape(passes, entries) for a in (_value(s), s.answer.stderr))
    labels = _subscripts(s.shape[len(s.loops) :])
    heads = [f"  trend  {labels.label(k)}".rstrip() + "  " for k in range(entries)]
    heads = [h if k == 0 else h.replace("trend", "     ") for k, h in enumerate(heads)]
    return [h + sparkline(values[:, k], errors[:, k], width - len(h), bars) for k, h in enumerate(heads)]


def _axes(s: Shown) -> tuple[Axis, Axis]:
    """What runs down and what runs across: passes down, entries across; without loops the last axis across."""
    entry = s.shape[len(s.loops) :]
    if isinstance(s.answer, Distribution):
        names = [name for name, _ in _parts(s.answer)]
        parts, entries = Axis(len(names), names.__getitem__), _subscripts(s.shape, "pass" if s.loops else "")
        return (parts, entries) if _parts_below(s) else (entries, parts)
    if s.loops:
        return _passes(s.loops), _subscripts(entry)
    if len(entry) == 1 and entry[0] > _ENTRIES_SIDE_BY_SIDE:
        return _subscripts(entry), _subscripts(())
    return _subscripts(entry[:-1]), _subscripts(entry[-1:])


def _passes(loops: tuple[int, ...]) -> Axis:
    return Axis(prod(loops), lambda i: ", ".join(str(k) for k in np.unravel_index(i, loops)), "pass")


def _subscripts(shape: tuple[int, ...], title: str = "") -> Axis:
    """One label per entry: [0, 1]; none for a single number."""
    return Axis(
        prod(shape), lambda i: f"[{', '.join(str(k) for k in np.unravel_index(i, shape))}]" if shape else "", title
    )


def _parts_below(s: Shown) -> bool:
    """A few distributions stand side by side, their parts below each other; many stand below each other."""
    return not s.loops and prod(s.shape) <= _ENTRIES_SIDE_BY_SIDE


def _parts(d: Distribution) -> list[tuple[str, Callable[[int], str]]]:
    """What is told of a distribution: each part's name and its text for an entry (counted flat)."""
    quantile_stderr = d.quantile_stderr or {}

    def told(a: np.ndarray, stderr: np.ndarray | None) -> Callable[[int], str]:
        return lambda i: number(float(a.flat[i]), 0.0 if stderr is None else float(stderr.flat[i]))

    return [
        ("mean", told(d.mean, d.stderr)),
        ("variance", told(d.variance, d.variance_stderr)),
        *((f"{100 * p:g}%", told(d.quantiles[p], quantile_stderr.get(p))) for p in sorted(d.quantiles)),
        ("skewness", told(d.skewness, d.skewness_stderr)),
        ("kurtosis", told(d.kurtosis, d.kurtosis_stderr)),
    ]
