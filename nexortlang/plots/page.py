"""One page with a panel for each result, as SVG or PNG.

In: what was shown, or a comparison, a title, the kind of file. Out: the bytes of a file. Guarantees: no global state of matplotlib is touched and nothing
is shown on a screen; the same results make the same file; a missing matplotlib is NX509.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, Literal

from nexortlang.compare.verify import Comparison
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.report.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["svg", "png"]
Draw = Callable[["Axes"], None]

MOST_PANELS = 24
_MOST_ACROSS = 3
_PANEL = (4.4, 3.4)
_DPI = 130
_SETTINGS: Any = {
    "svg.hashsalt": "nexort",
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.unicode_minus": True,
    "path.simplify": True,
}


def kind_of(name: str) -> Kind:
    """The kind of picture that a file name asks for; the command line has made sure that it is one."""
    return "png" if name.lower().endswith(".png") else "svg"


def require_matplotlib(what: str) -> None:
    """Raises NX509 where matplotlib is not installed. `what` needs it."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        message = f"{what} needs matplotlib, which is not installed"
        raise NexortError(Diagnostic("NX509", message, hint="pip install 'nexort[plot]'")) from None


def results(shown: Sequence[Shown], title: str, kind: Kind) -> bytes:
    """A page of results; beyond MOST_PANELS the rest is counted at the bottom."""
    from nexortlang.plots.panels import panels

    require_matplotlib("--plot")
    return _page(panels(shown), title, kind)


def convergence(shown: Sequence[Shown], c: Comparison, title: str, kind: Kind = "png") -> bytes:
    """The distance of finite widths from the limit, on logarithmic axes."""
    from nexortlang.plots.convergence import draw

    require_matplotlib(f"--plot of a .{kind}")
    return _page([lambda axes: draw(axes, shown, c)], title, kind, scale=1.6)


def _page(draws: Sequence[Draw], title: str, kind: Kind, scale: float = 1.0) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    shown = draws[:MOST_PANELS]
    across = min(_MOST_ACROSS, ceil(sqrt(len(shown)))) or 1
    down = ceil(len(shown) / across) or 1
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure = Figure(figsize=(scale * _PANEL[0] * across, scale * _PANEL[1] * down + 0.4), layout="constrained")
        figure.suptitle(title, fontsize=11.0)
        grid = figure.subplots(down, across, squeeze=False)
        for k, axes in enumerate(grid.flat):
            if k < len(shown):
                shown[k](axes)
            else:
                axes.set_axis_off()
        if len(draws) > len(shown):
            figure.supxlabel(f"{len(draws) - len(shown)} more results are not drawn", fontsize=9.0)
        buffer = BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": "nexort"}
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()
