"""A series as one short line of bars: ▁▂▄█.

In: values with their errors along a loop, the room for them. Out: a text. Guarantees: what moves by less than its errors is flat; long series are
averaged in stretches; what is no number is a question mark.
"""

from __future__ import annotations

import numpy as np

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = ".:-=+*#@"
"""For streams that lack the others."""
_LONGEST = 60
_CERTAIN = 4.0
"""Standard errors: a series spans the whole height only if it moves by more than this."""


def sparkline(values: np.ndarray, errors: np.ndarray, room: int, bars: str = BARS) -> str:
    """`values` and `errors`, along one axis; at most `room` characters (and at least 8)."""
    points = min(len(values), max(8, min(room, _LONGEST)))
    stretches = np.array_split(np.arange(len(values)), points)
    with np.errstate(all="ignore"):
        means = np.array([values[s].mean() for s in stretches])
    finite = means[np.isfinite(means)]
    if not finite.size:
        return "?" * points
    low, high = float(finite.min()), float(finite.max())
    noise = _CERTAIN * float(np.max(errors, initial=0.0, where=np.isfinite(errors)))
    middle, span = 0.5 * (low + high), max(high - low, noise, 1e-12 * max(abs(low), abs(high)))
    if span == 0.0:
        return bars[0] * points
    heights = 0.5 + (means - middle) / span
    return "".join("?" if not np.isfinite(h) else bars[min(int(h * len(bars)), len(bars) - 1)] for h in heights)
