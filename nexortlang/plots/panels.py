"""What each result looks like: kernels as heat maps, series as curves with error bands, distributions as densities.

In: results as the report has them. Out: functions that draw into matplotlib axes, one a panel. Guarantees: what is sampled is drawn with its standard error; what is
left out of a panel is said in its title.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import pi, prod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nexortlang.kets.results import CURVE, Distribution, Estimate
from nexortlang.report.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nexortlang.plots.page import Draw

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a4fcf", "#7f7f7f")
_MOST_LINES = len(COLORS)
_MOST_FANS = 3
_MOST_DENSITIES = 4
_MOST_WRITTEN = 6
_LONGEST_TITLE = 48
_ATOM = 1e-9
_SMOOTHING = 8
"""Neighbouring quantiles of a sampled curve that a point of its density is made of."""


class _Panel(Protocol):
    """What draws one result."""

    def __call__(self, axes: Axes, *, s: Shown) -> None: ...


def panels(shown: Sequence[Shown]) -> list[Draw]:
    """One drawing for each result; single numbers share one."""
    single = [s for s in shown if s.shape == () and isinstance(s.answer, Estimate)]
    draws: list[Draw] = []
    for s in shown:
        if not s.answer.stderr.size or any(s is t for t in single):
            continue
        draws.append(partial(_of(s), s=s))
    if single:
        draws.append(partial(_numbers, shown=single))
    return draws


def _of(s: Shown) -> _Panel:
    if isinstance(s.answer, Distribution):
        return _fan if s.loops else _densities
    if s.loops:
        return _series
    return _kernel if len(s.shape) >= 2 else _row


def _title(axes: Axes, name: str, rest: str = "") -> None:
    short = name if len(name) <= _LONGEST_TITLE else name[: _LONGEST_TITLE - 1] + "…"
    axes.set_title(f"{short}{f'  ({rest})' if rest else ''}", loc="left")


def _whole_numbers(axes: Axes, which: str) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    for axis in (getattr(axes, f"{name}axis") for name in which):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _label(index: int, shape: tuple[int, ...]) -> str:
    return f"[{', '.join(str(int(k)) for k in np.unravel_index(index, shape))}]" if shape else ""


def _left_out(count: int, most: int) -> str:
    return f"{most} of {count}" if count > most else ""


# ---------------------------------------------------------------------------- numbers


def _numbers(axes: Axes, *, shown: Sequence[Shown]) -> None:
    """Single numbers, one a row, with their standard errors."""
    values = [float(s.answer.value) for s in shown if isinstance(s.answer, Estimate)]
    errors = [float(s.answer.stderr) for s in shown]
    rows = np.arange(len(shown))
    axes.errorbar(values, rows, xerr=errors, fmt="o", color=COLORS[0], capsize=3)
    axes.set_yticks(rows, [s.name if len(s.name) <= 24 else s.name[:23] + "…" for s in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd")
    _title(axes, "numbers")


def _row(axes: Axes, *, s: Shown) -> None:
    """Numbers along one finite axis."""
    assert isinstance(s.answer, Estimate)
    axes.errorbar(
        np.arange(s.shape[0]), s.answer.value, yerr=s.answer.stderr, fmt="o", ms=4, color=COLORS[0], capsize=2
    )
    axes.set_xlabel("position")
    _whole_numbers(axes, "x")
    _title(axes, s.name)


def _kernel(axes: Axes, *, s: Shown) -> None:
    """An array as a heat map, all axes but the last one below each other."""
    assert isinstance(s.answer, Estimate)
    values = s.answer.value.reshape(-1, s.shape[-1])
    finite = values[np.isfinite(values)]
    has_signs = bool(finite.size) and finite.min() < 0 < finite.max()
    reach = float(np.abs(finite).max(initial=0.0)) or 1.0
    low, high = (
        (-reach, reach) if has_signs else (float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf)))
    )
    if not low < high:
        low, high = (0.0, 1.0) if not finite.size else (low - 0.5, low + 0.5)
    square = values.shape[0] == values.shape[1]
    image = axes.imshow(
        values,
        aspect="equal" if square else "auto",
        interpolation="nearest",
        vmin=low,
        vmax=high,
        cmap="RdBu_r" if has_signs else "viridis",
    )
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, shrink=0.85)
    if values.size <= _MOST_WRITTEN**2:
        for (i, j), value in np.ndenumerate(values):
            axes.text(
                j,
                i,
                f"{value:.3g}",
                ha="center",
                va="center",
                fontsize=7,
                color=_readable((float(value) - low) / (high - low), has_signs),
            )
    _whole_numbers(axes, "xy")
    _title(axes, s.name, " × ".join(map(str, s.shape)))


def _readable(level: float, has_signs: bool) -> str:
    """Black or white on a colour of the map."""
    dark = abs(level - 0.5) > 0.33 if has_signs else level < 0.55
    return "white" if dark else "black"


# ---------------------------------------------------------------------------- series


def _series(axes: Axes, *, s: Shown) -> None:
    """A line for each entry over the passes, in a band of one standard error."""
    assert isinstance(s.answer, Estimate)
    passes, shape = prod(s.loops), s.shape[len(s.loops) :]
    values, errors = (a.reshape(passes, -1) for a in (s.answer.value, s.answer.stderr))
    x = np.arange(passes)
    entries = _different(values, shape)
    count = len(entries)
    for color, k in zip(COLORS, entries, strict=False):
        marker = "o" if passes <= 12 else ""
        axes.plot(x, values[:, k], color=color, marker=marker, ms=3, label=_label(k, shape))
        if errors[:, k].any():
            low, high = values[:, k] - errors[:, k], values[:, k] + errors[:, k]
            axes.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
    _over_passes(axes, s)
    if count > 1:
        axes.legend(fontsize=7, frameon=False)
    _title(axes, s.name, _left_out(count, _MOST_LINES))


def _different(values: np.ndarray, shape: tuple[int, ...]) -> list[int]:
    """The entries (counted flat), of symmetric arrays the upper half."""
    if len(shape) == 2 and shape[0] == shape[1]:
        arrays = values.reshape(-1, *shape)
        if np.allclose(arrays, arrays.swapaxes(1, 2), rtol=1e-9, atol=1e-12, equal_nan=True):
            return [int(np.ravel_multi_index(at, shape)) for at in zip(*np.triu_indices(shape[0]), strict=True)]
    return list(range(values.shape[1]))


def _over_passes(axes: Axes, s: Shown) -> None:
    axes.set_xlabel("pass" if len(s.loops) == 1 else "pass, of loops " + " × ".join(map(str, s.loops)))
    _whole_numbers(axes, "x")
    axes.grid(color="#eeeeee")


def _fan(axes: Axes, *, s: Shown) -> None:
    """Quantiles over the passes: the median, and bands that hold a half and nine tenths."""
    d = s.answer
    assert isinstance(d, Distribution)
    passes, shape = prod(s.loops), s.shape[len(s.loops) :]
    count = prod(shape)
    x = np.arange(passes)
    levels = sorted(d.quantiles)
    for k in range(min(count, _MOST_FANS)):
        lines = [d.quantiles[p].reshape(passes, -1)[:, k] for p in levels]
        for depth in range(len(lines) // 2):
            axes.fill_between(x, lines[depth], lines[-1 - depth], color=COLORS[k], alpha=0.18, lw=0)
        axes.plot(x, lines[len(lines) // 2], color=COLORS[k], label=_label(k, shape))
    _over_passes(axes, s)
    if count > 1:
        axes.legend(fontsize=7, frameon=False)
    _title(axes, s.name, _left_out(count, _MOST_FANS))


# ---------------------------------------------------------------------------- distributions


def _densities(axes: Axes, *, s: Shown) -> None:
    """The density of each entry from its quantiles, beside the normal density of the same mean and variance (dashed)."""
    d = s.answer
    assert isinstance(d, Distribution)
    count = prod(s.shape)
    atoms = False
    for k in range(min(count, _MOST_DENSITIES)):
        color, label = COLORS[k], _label(k, s.shape)
        mean, variance = float(d.mean.reshape(-1)[k]), float(d.variance.reshape(-1)[k])
        if d.curve is not None:
            smooth, points = density(d.curve.reshape(len(CURVE), -1)[:, k], d.method == "sampled")
            for x, y in smooth:
                axes.plot(x, y, color=color, label=label)
                label = "_"
            for place, mass in points:
                atoms = True
                axes.text(place, mass, f" {mass:.2g}", va="bottom", fontsize=7, color=color)
                axes.plot([place, place], [0.0, mass], color=color, lw=3, alpha=0.7, label=label)
                label = "_"
        if variance > 0.0:
            x = mean + np.sqrt(variance) * np.linspace(-3.5, 3.5, 201)
            y = np.exp(-((x - mean) ** 2) / (2.0 * variance)) / np.sqrt(2.0 * pi * variance)
            axes.plot(x, y, color=color, lw=1, ls="--", alpha=0.7)
    axes.set_ylim(bottom=0.0)
    axes.set_yticks([])
    axes.set_ylabel("density; bars: probability" if atoms else "density")
    if count > 1:
        axes.legend(fontsize=7, frameon=False)
    rest = [_left_out(count, _MOST_DENSITIES), "dashed: normal"]
    _title(axes, s.name, ", ".join(r for r in rest if r))


def density(
    curve: np.ndarray, is_sampled: bool
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[tuple[float, float]]]:
    """Pieces of a density as (x, y), and atoms as (place, probability), from the quantiles at CURVE.

    The density is Δp/Δq at the middle of Δq; of a sampled curve over several quantiles at once. Atoms are values that several quantiles share.
    """
    step = float(CURVE[1] - CURVE[0])
    width = float(curve[-1] - curve[0])
    same = np.diff(curve) <= _ATOM * max(width, float(np.abs(curve).max()), 1e-300)
    atoms: list[tuple[float, float]] = []
    pieces: list[np.ndarray] = []
    start = 0
    while start < len(curve):
        stop = start
        while stop < len(same) and same[stop]:
            stop += 1
        if stop > start + 1:
            atoms.append((float(curve[start]), (stop - start + 1) * step))
            pieces.append(curve[:0])
        elif pieces and pieces[-1].size:
            pieces[-1] = np.append(pieces[-1], curve[start])
        else:
            pieces.append(curve[start : start + 1])
        start = stop + 1
    over = _SMOOTHING if is_sampled else 1
    smooth = []
    for piece in pieces:
        if len(piece) > over:
            gaps = piece[over:] - piece[:-over]
            smooth.append((0.5 * (piece[over:] + piece[:-over]), over * step / gaps))
    return smooth, atoms
