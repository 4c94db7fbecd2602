"""A distribution as bars, for a terminal.

In: a distribution whose quantile function is known, the columns there are. Out: lines, one per bin: where it begins, a bar, its probability in percent. Guarantees:
the bins are equally wide, begin at round numbers and leave out at most half a percent on either side; a bar is as long as its bin is probable.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, log10, prod

import numpy as np

from nexortlang.kets.results import CURVE, Distribution

_BINS = 16  # at most; round numbers make them fewer
_OUTSIDE = 0.005  # of the probability, on either side
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST = 4  # entries drawn of an array


def histogram(d: Distribution, width: int = 80, unicode: bool = True) -> list[str]:
    """Bars for the first few entries of the distribution. No lines where its quantile function is not known."""
    if d.curve is None:
        return []
    shape = d.mean.shape
    lines: list[str] = []
    count = prod(shape)
    for k in range(min(count, _MOST)):
        if shape:
            lines += ["", f"[{', '.join(str(i) for i in np.unravel_index(k, shape))}]"]
        lines += _bars(d.curve.reshape(len(CURVE), -1)[:, k], width, unicode)
    if count > _MOST:
        lines += ["", f"… {count - _MOST} more entries"]
    return lines[1:] if shape else lines


def _bars(curve: np.ndarray, width: int, unicode: bool) -> Iterator[str]:
    """One entry's bins."""
    low, high = np.interp([_OUTSIDE, 1.0 - _OUTSIDE], CURVE, curve)
    if not np.isfinite([low, high]).all():
        return
    if high - low <= 1e-9 * max(1.0, abs(low)):
        yield f"always {low:.6g}"
        return
    step = _round_step((high - low) / _BINS)
    first = floor(low / step + 1e-9)
    edges = step * np.arange(first, ceil(high / step - 1e-9) + 1)
    if high - edges[-1] >= -1e-9 * step:  # an atom at the end has a bin of its own
        edges = np.append(edges, edges[-1] + step)
    shares = np.diff(_below(curve, edges))
    labels = _labels(edges[:-1], step)
    margin = max(map(len, labels))
    room = max(8, width - margin - 6)
    for label, share in zip(labels, shares, strict=True):
        bar = _bar(share / shares.max() * room, unicode)
        yield f"{label:>{margin}} {bar:<{room}} {_percent(share):>4}".rstrip()


def _below(curve: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The probability of lying below each edge. Where the quantile function is flat there is an atom, and nothing between two of them."""
    just_below = np.nextafter(edges, -np.inf)
    inner = np.interp(just_below, curve, CURVE, left=0.0, right=1.0)
    flat = np.diff(curve) == 0.0
    beside = np.append(flat, False)[1:] & np.append(False, flat)[:-1]  # gaps from one atom to the next
    gap = np.searchsorted(curve, just_below, side="right") - 1
    between = (gap >= 0) & (gap < len(beside)) & beside[np.clip(gap, 0, len(beside) - 1)]
    return np.where(between, (gap + 1) / len(curve), inner)


def _percent(share: float) -> str:
    """As finely as two hundred quantiles tell it."""
    return f"{100 * share:.0f}%" if share >= 0.005 else "<1%" if share > 0.0 else ""


def _labels(edges: np.ndarray, step: float) -> list[str]:
    """Each edge to the digits that tell it from the next."""
    place = floor(log10(step) + 1e-9)
    if -6 < place < 6:
        return [f"{edge:.{max(0, -place)}f}" for edge in edges + 0.0]
    digits = max(0, floor(log10(np.abs(edges).max()) + 1e-9) - place)
    return [f"{edge:.{digits}e}" for edge in edges + 0.0]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= least * (1.0 - 1e-9))


def _bar(length: float, unicode: bool) -> str:
    if not unicode:
        return "#" * round(length)
    eighths = round(8 * length)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
