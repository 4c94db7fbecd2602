"""Convergence lines: the distance of runs from the limit over the width, and the slope n^(−1/2) that the theorem promises.

In: axes, what was shown, the comparison. Out: nothing but what is drawn. As in report.plot: one line with dots for each show, dotted the bias of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nexortlang.compare.verify import Comparison
from nexortlang.plots.panels import COLORS
from nexortlang.report.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 16


def draw(axes: Axes, shown: Sequence[Shown], c: Comparison) -> None:
    """All lines of a comparison in one panel."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    widths = np.asarray(c.widths, dtype=float)
    first: list[float] = []
    for k, (s, x) in enumerate(zip(shown, c.compared, strict=True)):
        color = COLORS[k % len(COLORS)]
        name = s.name if c.agrees(x) else f"{s.name} ✗"
        axes.plot(widths, _positive(x.distance), color=color, marker="o", ms=4, label=name if k < _MOST_NAMED else "_")
        axes.plot(widths, _positive(x.bias), color=color, ls=":", lw=1)
        if np.isfinite(x.distance[0]) and x.distance[0] > 0.0:
            first.append(float(x.distance[0]))
    if first:
        start = float(np.exp(np.mean(np.log(first))))
        axes.plot(widths, start * (widths[0] / widths) ** 0.5, color="#444444", ls="--", lw=1, label="slope n^(−1/2)")
    axes.plot([], [], color="#444444", ls=":", lw=1, label="bias of the mean")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(widths, [f"{int(w)}" for w in widths])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300.0 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_xlabel("width n")
    axes.set_ylabel("distance from the limit")
    axes.grid(color="#dddddd")
    axes.legend(fontsize=8, frameon=False)


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
