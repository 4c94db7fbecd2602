"""Convergence as a picture: the distance of finite widths from the limit, on logarithmic axes, as SVG.

In: what was shown and the comparison. Out: the text of an .svg file. Nothing is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

import numpy as np

from nexortlang.compare.verify import Comparison
from nexortlang.report.shown import Shown

_WIDE, _HIGH = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 540, 34, 384
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a4fcf", "#7f7f7f")
_MOST_NAMED = 16
_STYLE = "text { font: 13px sans-serif; fill: #222 } .grid { stroke: #ddd } .axis { stroke: #444; fill: none } .bias { stroke-dasharray: 2 4 }"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Logarithms of what the axes span."""

    x: tuple[float, float]
    y: tuple[float, float]

    def point(self, width: float, size: float) -> tuple[float, float]:
        across = (log10(width) - self.x[0]) / (self.x[1] - self.x[0])
        up = (log10(size) - self.y[0]) / (self.y[1] - self.y[0])
        return _LEFT + across * (_RIGHT - _LEFT), _BOTTOM - up * (_BOTTOM - _TOP)

    def line(self, widths: Sequence[float], sizes: Sequence[float]) -> str:
        """The points of a line; what is no number or below the frame is left out."""
        points = (
            self.point(w, s) for w, s in zip(widths, sizes, strict=True) if np.isfinite(s) and s >= 10.0 ** self.y[0]
        )
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def svg(shown: Sequence[Shown], c: Comparison, title: str) -> str:
    """One line with dots for each show: the distance of a run; dotted, the bias of the mean; dashed, the slope n^(−1/2)."""
    frame = _frame(c)
    body = [*_axes(frame, c.widths, title), *_reference(frame, c)]
    for k, (s, x) in enumerate(zip(shown, c.compared, strict=True)):
        color = _COLORS[k % len(_COLORS)]
        body.append(
            f'<polyline points="{frame.line(c.widths, x.bias.tolist())}" class="bias" fill="none" stroke="{color}"/>'
        )
        points = frame.line(c.widths, x.distance.tolist())
        body.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        body += [
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3.5" fill="{color}"/>' for p in points.split()
        ]
        if k < _MOST_NAMED:
            name = s.name if c.agrees(x) else f"{s.name} ✗"
            body += _legend(k, f'stroke="{color}" stroke-width="2"', name)
    named = min(len(shown), _MOST_NAMED)
    body += _legend(named, 'stroke="#444" stroke-dasharray="7 5"', "slope n^(−1/2)")
    body += _legend(named + 1, 'stroke="#444" class="bias"', "bias of the mean")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" height="{_HIGH}">'
    ground = f'<style>{_STYLE}</style><rect width="{_WIDE}" height="{_HIGH}" fill="white"/>'
    return "\n".join([head, ground, *body, "</svg>"]) + "\n"


def _frame(c: Comparison) -> _Frame:
    sizes = np.concatenate([[*x.distance, *x.bias] for x in c.compared] or [[1.0]])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    low, high = (float(sizes.min()), float(sizes.max())) if sizes.size else (0.1, 1.0)
    low = max(low, high * 1e-6)
    bottom, top = log10(low) - 0.1, log10(high) + 0.1
    return _Frame((log10(min(c.widths)) - 0.05, log10(max(c.widths)) + 0.05), (bottom, top))


def _axes(frame: _Frame, widths: Sequence[int], title: str) -> Iterator[str]:
    for width in widths:
        x, _ = frame.point(width, 10.0 ** frame.y[0])
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}"/>'
        yield f'<text x="{x:.1f}" y="{_BOTTOM + 20}" text-anchor="middle">{width}</text>'
    for size in _ticks(frame):
        _, y = frame.point(widths[0], size)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{size:g}</text>'
    yield f'<rect class="axis" x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"/>'
    yield f'<text x="{_LEFT}" y="{_TOP - 12}">{escape(title)}: distance from the limit</text>'
    yield f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 42}" text-anchor="middle">width n</text>'


def _ticks(frame: _Frame) -> list[float]:
    """Powers of ten, with 2 and 5 times them where the axis is short."""
    decades = range(floor(frame.y[0]), ceil(frame.y[1]) + 1)
    steps = (1.0, 2.0, 5.0) if frame.y[1] - frame.y[0] < 2.5 else (1.0,)
    sizes = [step * 10.0**k for k in decades for step in steps]
    return [s for s in sizes if frame.y[0] <= log10(s) <= frame.y[1]]


def _reference(frame: _Frame, c: Comparison) -> Iterator[str]:
    """The slope −1/2 through the middle of the distances at the first width."""
    first = [float(x.distance[0]) for x in c.compared if np.isfinite(x.distance[0]) and x.distance[0] > 0.0]
    if not first:
        return
    start = float(np.exp(np.mean(np.log(first))))
    floor_size = 10.0 ** frame.y[0]
    last = max(c.widths[0], min(c.widths[-1], c.widths[0] * (start / floor_size) ** 2))
    ends = [(c.widths[0], start), (last, start * (c.widths[0] / last) ** 0.5)]
    points = frame.line([w for w, _ in ends], [s for _, s in ends])
    yield f'<polyline points="{points}" fill="none" stroke="#444" stroke-dasharray="7 5"/>'


def _legend(place: int, stroke: str, name: str) -> list[str]:
    y = _TOP + 10 + 20 * place
    text = name if len(name) <= 24 else name[:23] + "…"
    return [
        f'<line x1="{_RIGHT + 14}" x2="{_RIGHT + 38}" y1="{y}" y2="{y}" {stroke}/>',
        f'<text x="{_RIGHT + 46}" y="{y + 4}">{escape(text)}</text>',
    ]
