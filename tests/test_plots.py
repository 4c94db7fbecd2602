"""Pictures of results: what is drawn into the axes, files and their kinds, what is said without matplotlib."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nexortlang import driver
from nexortlang.cli import main
from nexortlang.driver import Request
from nexortlang.kets.results import CURVE
from nexortlang.plots.page import MOST_PANELS, results
from nexortlang.plots.panels import density, panels
from nexortlang.report.shown import Shown
from nexortlang.source import Source

FIRST = str(Path(__file__).resolve().parent.parent / "examples" / "first.nxt")

PROGRAM = """
width n
x[n, 2] ~ normal(0, [1, 2])
show <x|x> as K
show avg(x^2) as row
show avg(x[0]^2) as one
show avg(sin(x[0]^2 + x[1])) as two
show dist(x) as normals
show dist(relu(x[0])) as atom
for t in range(5):
    show <tanh(t * x)|tanh(t * x)> as series
    show avg(tanh(x[0] * t) * cos(x[1] * x[0])^2) as sampled
    show dist(t * x) as fan
for t in range(3):
    show avg(x^2 - t) as pair
"""


def shown_by(program: str, samples: int = 64) -> list[Shown]:
    outcome = driver.run(Source("a.nxt", program), Request(samples=samples))
    assert outcome.shown is not None, outcome.diagnostics
    return outcome.shown


def drawn(shown: list[Shown]) -> dict[str, Axes]:
    """Every panel in axes of its own, by the beginning of its title."""
    found = {}
    for draw in panels(shown):
        axes = Figure().subplots()
        draw(axes)
        found[axes.get_title("left").partition("  (")[0]] = axes
    return found


@pytest.fixture(scope="module")
def page() -> dict[str, Axes]:
    return drawn(shown_by(PROGRAM))


def test_a_kernel_is_a_heat_map(page: dict[str, Axes]) -> None:
    (image,) = page["K"].images
    assert np.allclose(np.asarray(image.get_array()), [[1, 0], [0, 2]])
    assert page["K"].get_title("left") == "K  (2 × 2)"
    assert [t.get_text() for t in page["K"].texts] == ["1", "0", "0", "2"]


def test_signs_get_two_colours() -> None:
    (axes,) = drawn(shown_by("width n\nx[n] ~ normal(0, 1)\nshow [[1, -3], [2, 0]] * avg(x^2) as A\n")).values()
    assert axes.images[0].get_clim() == (-3.0, 3.0)


def test_single_numbers_share_a_panel(page: dict[str, Axes]) -> None:
    axes = page["numbers"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["one", "two"]
    assert axes.lines[0].get_xdata()[0] == pytest.approx(1.0)


def test_a_series_has_a_line_for_each_entry_and_a_band_for_its_error(page: dict[str, Axes]) -> None:
    axes = page["series"]
    assert [line.get_label() for line in axes.lines] == ["[0, 0]", "[0, 1]", "[1, 1]"]  # a symmetric array's upper half
    assert not page["pair"].collections  # exact: no band
    (band,) = page["sampled"].collections
    (line,) = page["sampled"].lines
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() < np.min(line.get_ydata()) and heights.max() > np.max(line.get_ydata())


def test_distributions_stand_beside_normal_ones(page: dict[str, Axes]) -> None:
    curve, normal, *_ = page["normals"].lines
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    bulk = np.abs(x) < 2
    assert bulk.sum() > 150 and np.allclose(y[bulk], np.exp(-(x[bulk] ** 2) / 2) / np.sqrt(2 * np.pi), rtol=0.01)
    assert normal.get_linestyle() == "--"


def test_an_atom_is_a_bar_of_its_probability(page: dict[str, Axes]) -> None:
    bars = [line for line in page["atom"].lines if len(line.get_xdata()) == 2]
    assert [float(bar.get_ydata()[1]) for bar in bars] == [pytest.approx(0.5, abs=0.01)]
    assert "probability" in page["atom"].get_ylabel()


def test_distributions_along_a_loop_are_fans(page: dict[str, Axes]) -> None:
    assert len(page["fan"].lines) == 2 and len(page["fan"].collections) == 4


def test_densities_integrate_to_one() -> None:
    """Pieces and atoms together hold all probability but that of the outermost half steps."""
    for curve in (CURVE**2, np.maximum(CURVE - 0.3, 0.0), np.round(3 * CURVE) + 0.0):
        pieces, atoms = density(curve, False)
        smooth = sum(float(np.sum(y * np.gradient(x))) for x, y in pieces if len(x) > 1)
        assert smooth + sum(mass for _, mass in atoms) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("values", ["2, 2", "0, 0", "1e300, -1e300", "1e-300, 0"])
def test_strange_numbers_are_drawn(values: str) -> None:
    shown = shown_by(f"show [[{values}], [{values}]] as A\nshow [{values}] as b\nshow 1e-300 as c\n")
    assert results(shown, "strange", "png").startswith(b"\x89PNG")


def test_a_long_page_says_what_it_lacks() -> None:
    program = "".join(f"show {k} * eye(2) as A{k}\n" for k in range(MOST_PANELS + 3))
    page = results(shown_by(program), "many", "svg").decode()
    assert "3 more results are not drawn" in page and "many" in page


def test_the_same_results_make_the_same_file() -> None:
    shown = shown_by("show eye(2) as ξ\n")
    assert results(shown, "a", "svg") == results(shown, "a", "svg")


# ---------------------------------------------------------------------------- the command


def test_the_command_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([FIRST, "--plot", str(tmp_path / "a.svg")]) == 0
    assert capsys.readouterr().out.startswith("K  (2 × 2, exact)")
    root = ElementTree.fromstring((tmp_path / "a.svg").read_text("utf-8"))
    texts = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert "K  (2 × 2)" in texts and "dist(h2)  (dashed: normal)" in texts
    assert main([FIRST, "--plot", str(tmp_path / "a.PNG"), "--quiet"]) == 0
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")


def test_verify_draws_its_lines(tmp_path: Path) -> None:
    words = ["verify", FIRST, "--widths", "16,32,64", "--seeds", "3", "--quiet"]
    assert main([*words, "--plot", str(tmp_path / "v.png")]) in (0, 1)
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--plot", str(tmp_path / "v.svg")]) in (0, 1)
    root = ElementTree.fromstring((tmp_path / "v.svg").read_text("utf-8"))
    texts = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"width n", "K", "dist(h2)", "slope n^(−1/2)", "bias of the mean"} <= texts


@pytest.mark.parametrize("name", ["a.pdf", "a", "svg"])
def test_other_kinds_are_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main([FIRST, "--plot", name]) == 2
    assert "ends in .svg or .png" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([FIRST, "--plot", str(tmp_path / "no" / "a.svg")]) == 1
    assert "NX501" in capsys.readouterr().err


def test_without_matplotlib(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([FIRST, "--plot", str(tmp_path / "a.svg")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "error[NX509]" in err and "pip install 'nexort[plot]'" in err
    words = ["verify", FIRST, "--widths", "16,32", "--seeds", "2", "--quiet", "--plot"]
    assert main([*words, str(tmp_path / "a.png")]) == 2
    assert main([*words, str(tmp_path / "a.svg")]) in (0, 1)
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<svg")
