"""Reports: numbers with their errors, series stacked along loops, tables, JSON, verdicts; and diagnostics as text."""

from __future__ import annotations

import json as stdlib_json
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import array, command, limits

from nexortlang.core.program import Assertion, Const, Program, Show, Type
from nexortlang.diagnostics import Diagnostic, Label
from nexortlang.diagnostics.render import render
from nexortlang.kets.results import Distribution, Estimate, LimitResult, Method
from nexortlang.report import json
from nexortlang.report.numbers import number
from nexortlang.report.shown import Shown, gather
from nexortlang.report.sparkline import BARS, PLAIN_BARS, sparkline
from nexortlang.report.text import report
from nexortlang.report.verdict import verdict
from nexortlang.source import Source, Span

SOURCE = Source("a.nxt", "width n\nshow <x|x> as K\n")
PLACE = Span(SOURCE, 8, 23)


def estimate(value: object, error: object = 0.0, method: Method = "exact") -> Estimate:
    v = np.asarray(value, dtype=float)
    return Estimate(v, np.broadcast_to(np.asarray(error, dtype=float), v.shape).copy(), method)


def normal(shape: tuple[int, ...] = (), method: Method = "exact") -> Distribution:
    zero = np.zeros(shape)
    quantiles = {p: zero + q for p, q in [(0.05, -1.5), (0.25, -0.5), (0.5, 0.0), (0.75, 0.5), (0.95, 1.5)]}
    return Distribution(zero, zero + 1, quantiles, zero, zero, zero + (0.002 if method == "sampled" else 0), method)


def shown_of(runs: Sequence[tuple[int, tuple[int, ...], Estimate | Distribution]], name: str = "K") -> list[Shown]:
    """What is gathered from executions (statement, path, answer)."""
    unit = Const(type=Type((), (), Fraction(0)), array=np.array(1.0))
    program = Program()
    for statement, path, answer in runs:
        kind = "distribution" if isinstance(answer, Distribution) else "scalar"
        program.shows.append(Show(kind, name, unit, statement, path, PLACE))
    return gather(program, LimitResult([answer for _, _, answer in runs], [], True))


# ---------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.5, 0, "0.5"),
        (1 / 3, 0, "0.333333333333"),
        (-0.0, 0, "0"),
        (1e300, 0, "1e+300"),
        (0.12345678, 5e-4, "0.1235(5)"),
        (0.123456, 1.5e-4, "0.12346(15)"),
        (0.5, 1.96e-3, "0.500(2)"),
        (0.12345, 9.7e-4, "0.123(1)"),
        (3, 2.2, "3(2)"),
        (0, 1e-3, "0.000(1)"),
        (12345, 234, "1.23(2)e+04"),
        (1e-6, 3e-7, "1.0(3)e-06"),
        (5e-9, 1e-3, "0.000(1)"),
        (2 / 3, 1e-17, "0.666666666667"),
        (2 / 3, 3e-11, "0.66666666667(3)"),
        (float("nan"), 0, "nan"),
        (float("-inf"), 0, "-inf"),
    ],
)
def test_number(value: float, error: float, text: str) -> None:
    assert number(value, error) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(min_value=1e-12, max_value=1e6))
def test_a_number_is_printed_to_within_its_error(value: float, error: float) -> None:
    text = number(value, error)
    shown = float(text.partition("(")[0] + text.partition(")")[2])
    assert abs(shown - value) <= max(0.51 * error, 1e-11 * abs(value), 1e-12)


# ---------------------------------------------------------------------------- series


def test_statements_keep_their_order_and_arrays_their_shape() -> None:
    first, second = shown_of([(0, (), estimate([[1, 2]])), (1, (), estimate(3))])
    assert (first.shape, first.loops, second.shape) == ((1, 2), (), ())


def test_loop_axes_come_first_outermost_first() -> None:
    runs = [(0, path, estimate([10 * path[0] + path[1], 0])) for path in product(range(2), range(3))]
    (s,) = shown_of(runs)
    assert (s.loops, s.shape) == ((2, 3), (2, 3, 2))
    assert isinstance(s.answer, Estimate) and s.answer.value[1, 2, 0] == 12


@pytest.mark.parametrize(
    ("paths", "loops"),
    [
        ([(0,)], (1,)),
        ([(0,), (2,), (4,)], (3,)),
        ([(i, j) for i in range(3) for j in range(i + 1)], (6,)),
        ([(), ()], (2,)),
        ([(0,), (0,), (1,), (1,)], (2, 2)),
        ([(0,), (0,), (1,)], (3,)),
    ],
)
def test_passes_that_fill_no_grid_are_one_axis(paths: list[tuple[int, ...]], loops: tuple[int, ...]) -> None:
    (s,) = shown_of([(0, path, estimate(1.0)) for path in paths])
    assert s.shape == loops


def test_arrays_of_unequal_shape_are_one_axis() -> None:
    (s,) = shown_of([(0, (0,), estimate([1, 2])), (0, (1,), estimate([[3, 4, 5]]))])
    assert isinstance(s.answer, Estimate) and s.answer.value.tolist() == [1, 2, 3, 4, 5]


def test_a_series_is_as_exact_as_its_worst_pass() -> None:
    (s,) = shown_of([(0, (0,), estimate(1)), (0, (1,), estimate(1, 0.1, "sampled")), (0, (2,), estimate(1))])
    assert s.answer.method == "sampled"


def test_distributions_stack() -> None:
    (s,) = shown_of([(0, (t,), normal((2,))) for t in range(3)])
    assert isinstance(s.answer, Distribution)
    assert {s.shape, s.answer.mean.shape, s.answer.quantiles[0.5].shape, s.answer.kurtosis.shape} == {(3, 2)}


# ---------------------------------------------------------------------------- sparklines


def test_a_series_ends_in_bars() -> None:
    (s,) = shown_of([(0, (t,), estimate(t / 4)) for t in range(5)])
    assert report([s], 0).splitlines()[-1] == "  trend  ▁▃▅▇█"
    assert report([s], 0, 80, PLAIN_BARS).splitlines()[-1] == "  trend  .-+#@"
    (pairs,) = shown_of([(0, (t,), estimate([t, -t])) for t in range(4)])
    assert report([pairs], 0).splitlines()[-2:] == ["  trend  [0]  ▁▃▆█", "         [1]  █▆▃▁"]
    (short,) = shown_of([(0, (t,), estimate(t)) for t in range(3)])
    assert "trend" not in report([short], 0)


def test_what_moves_less_than_its_error_is_flat() -> None:
    assert set(sparkline(np.array([0.5, 0.501, 0.499, 0.5]), np.full(4, 0.01), 40)) <= {"▄", "▅"}
    assert sparkline(np.array([0.0, 1.0]), np.full(2, 0.01), 40) == "▁█"


def test_bars_of_what_is_no_number() -> None:
    nan = float("nan")
    assert sparkline(np.array([0.0, nan, 1.0]), np.zeros(3), 40) == "▁?█"
    assert sparkline(np.array([nan, float("inf")]), np.zeros(2), 40) == "??"
    assert sparkline(np.zeros(3), np.zeros(3), 40) == "▁▁▁"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.integers(1, 120))
def test_bars_fit_and_keep_the_order(values: list[float], room: int) -> None:
    line = sparkline(np.array(values), np.zeros(len(values)), room)
    assert len(line) <= min(len(values), max(8, room)) and set(line) <= set(BARS)
    if len(line) == len(values) and max(values) - min(values) > 1e-6 * max(map(abs, values)):
        heights = [BARS.index(c) for c in line]
        assert heights[int(np.argmax(values))] == max(heights) and heights[int(np.argmin(values))] == min(heights)


# ---------------------------------------------------------------------------- text


def test_a_long_title_is_broken() -> None:
    name = "avg(" + " + ".join(["x"] * 20) + ")"
    lines = report(shown_of([(0, (), estimate([1, 2]))], name), 0, 40).splitlines()
    assert all(len(line) <= 40 for line in lines) and lines[0].startswith("avg(")


def test_single_numbers_share_a_block() -> None:
    text = report(shown_of([(0, (), estimate(0.5)), (1, (), estimate(0.1234, 0.004, "sampled"))]), 2)
    assert text == (
        "K =  0.5       (exact)\n"
        "K =  0.123(4)  (sampled)\n\n"
        "2 asserts hold.\n"
        "0.123(4) means 0.123 with a standard error of 0.004.\n"
    )


def test_matrix() -> None:
    assert report(shown_of([(0, (), estimate([[1 / 3, -2], [0.5, 100]]))]), 0) == (
        "K  (2 × 2, exact)\n       [0]             [1]\n  [0]  0.333333333333   -2\n  [1]  0.5             100\n"
    )


def test_series() -> None:
    assert report(shown_of([(0, (t,), estimate([t, t * t])) for t in range(3)]), 1) == (
        "K  (3 passes of 2, exact)\n"
        "  pass  [0]  [1]\n"
        "  0     0    0\n"
        "  1     1    1\n"
        "  2     2    4\n\n"
        "1 assert holds.\n"
    )


def test_distribution() -> None:
    lines = report(shown_of([(0, (), normal((), "sampled"))]), 0).splitlines()
    assert lines[0] == "K  (sampled)"
    assert [line.split()[0] for line in lines[1:10]] == [
        *("mean", "variance", "5%", "25%", "50%", "75%", "95%", "skewness", "kurtosis")
    ]
    assert lines[1].split()[1] == "0.000(2)"


def test_everything_sampled_of_a_distribution_has_its_error(tmp_path: Path) -> None:
    """Products of two normal vectors; the errors are in the report, in the JSON and in a series."""
    text = "width n\nx[n] ~ normal(0, 1)\nz[n] ~ normal(0, 1)\nfor t in range(2):\n    show dist(x * z) as d\n"
    (shown,) = limits(text, tmp_path, "--samples", "1024").values()
    assert shown.method == "sampled"
    assert (array(shown.record["variance_stderr"]) > 0).all()
    assert all((array(e) > 0).all() for e in shown.record["quantiles_stderr"].values())
    assert shown.record["quantiles_stderr"].keys() == shown.record["quantiles"].keys()
    _, out, _ = command(str(tmp_path / "program.nxt"), "--samples", "1024")
    numbers = [word for line in out.splitlines() if line.lstrip().startswith("[") for word in line.split()[1:]]
    assert len(numbers) == 18 and all("(" in word for word in numbers if word != "0")
    assert numbers.count("0") == 2  # the mean holds in the sample


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("shape", [(), (3,), (7,), (300,), (2, 3), (5, 5, 5), (200, 200), (0, 3), (1, 1)])
@pytest.mark.parametrize("loops", [(), (3,), (100,), (2, 4)])
def test_reports_fit_the_terminal_and_say_what_they_leave_out(
    width: int, shape: tuple[int, ...], loops: tuple[int, ...]
) -> None:
    value = np.random.default_rng(0).standard_normal(shape)
    paths = list(product(*map(range, loops)))
    for answer in (estimate(value, 1e-3, "sampled"), estimate(value), normal(shape)):
        lines = report(shown_of([(0, path, answer) for path in paths]), 0, width).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        assert all(len(line) <= width for line in lines[1:] if not line.endswith("."))
        assert len(lines) < 400
        assert any("--json" in line for line in lines) == any("…" in line.split() for line in lines[1:-1])


# ---------------------------------------------------------------------------- JSON


def test_json_is_as_the_language_says() -> None:
    shown = shown_of([(0, (), estimate([[0.1, 1 / 3]])), (1, (), normal((2,)))])
    answer = stdlib_json.loads(json.results(shown, "first.nxt", 7))
    assert list(answer) == ["nexort", "file", "seed", "results"]
    scalar, distribution = answer["results"]
    assert list(scalar) == ["name", "line", "kind", "shape", "value", "stderr", "method"]
    assert scalar["value"] == [[0.1, 1 / 3]] and scalar["line"] == 2 and scalar["shape"] == [1, 2]
    assert list(distribution) == ["name", "line", "kind", "shape", "mean", "variance", "quantiles", "stderr", "method"]
    assert list(distribution["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert distribution["quantiles"]["0.95"] == [1.5, 1.5]


def test_json_has_null_for_what_is_no_number() -> None:
    text = json.results(shown_of([(0, (), estimate([np.nan, np.inf, 1]))]), "a", 0)
    assert "NaN" not in text and "Infinity" not in text
    assert stdlib_json.loads(text)["results"][0]["value"] == [None, None, 1.0]


def test_json_diagnostics() -> None:
    wrong = Diagnostic("NX203", "no", Span(Source("ξ.nxt", "ξφ = 1\nx"), 0, 2), hint="yes")
    (d,) = stdlib_json.loads(json.mistakes([wrong, wrong]))["diagnostics"]
    assert d == {
        "code": "NX203",
        "severity": "error",
        "message": "no",
        "file": "ξ.nxt",
        "line": 1,
        "column": 1,
        "end_line": 1,
        "end_column": 3,
        "hint": "yes",
    }


# ---------------------------------------------------------------------------- verdicts


def judged(value: Estimate, target: object, tolerance: float) -> list[Diagnostic]:
    goal = estimate(target)
    unit = Const(type=Type((), (), Fraction(0)), array=np.array(1.0))
    program = Program(assertions=[Assertion(unit, unit, np.array(tolerance), "K ~= 1", PLACE)])
    return verdict(program, LimitResult([], [(value, goal)], True), 1e-3)


@pytest.mark.parametrize(
    ("value", "error", "holds"),
    [
        (0.5, 0, True),
        (0.5009, 0, True),
        (0.502, 0, False),
        (0.502, 4e-4, True),
        (0.503, 4e-4, False),
        (np.nan, 0, False),
    ],
)
def test_an_assert_fails_beyond_its_tolerance_and_three_standard_errors(
    value: float, error: float, holds: bool
) -> None:
    assert [d.code for d in judged(estimate(value, error), 0.5, 1e-3)] == ([] if holds else ["NX304"])


def test_a_failed_assert_names_the_worst_entry() -> None:
    (d,) = judged(estimate([[1, 2], [1.5, 1]]), 1, 0.1)
    assert "expected 1 within 0.1, found 2 at [0, 1] (2 of 4 entries fail)" in d.message


def test_a_tolerance_missed_is_a_warning_that_names_the_show() -> None:
    program = Program(shows=[Show("scalar", "K", Const(type=Type((), ()), array=np.array(1.0)), 0, (), PLACE)])
    (d,) = verdict(program, LimitResult([estimate(1, 0.02, "sampled")], [], False), 1e-3)
    assert (d.code, d.severity) == ("NX305", "warning") and "0.02 for K" in d.message


# ---------------------------------------------------------------------------- diagnostics as text


def test_both_ends_are_blamed() -> None:
    text = "width n\nW[n, n] ~ normal(0, 1/n)\nx = tanh(W)\n"
    source = Source("a.nxt", text)
    use, made = text.index("tanh(W)"), text.index("W[n")
    d = Diagnostic(
        "NX203",
        "expected a vector, found matrix(n, n)",
        Span(source, use, use + 7),
        (Label(Span(source, made, made + 7), "W is declared here"),),
        "apply it to W @ x",
    )
    assert render([d, d]) == (
        "error[NX203]: expected a vector, found matrix(n, n)\n"
        " --> a.nxt:3:5\n"
        "  |\n"
        "2 | W[n, n] ~ normal(0, 1/n)\n"
        "  | ------- W is declared here\n"
        "3 | x = tanh(W)\n"
        "  |     ^^^^^^^\n"
        "  help: apply it to W @ x\n\n"
        "To learn more: nexort explain NX203\n"
    )


def test_colours_only_when_asked() -> None:
    d = Diagnostic("NX101", "no", PLACE)
    assert "\x1b[" in render([d], color=True) and "\x1b" not in render([d])


def columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@given(st.text(max_size=300), st.integers(0, 300), st.integers(0, 300), st.integers(40, 120))
def test_any_source_is_rendered_safely(text: str, start: int, end: int, width: int) -> None:
    start, end = sorted((min(start, len(text)), min(end, len(text))))
    out = render([Diagnostic("NX001", "no", Span(Source("a", text), start, end))], width=width)
    assert "^" in out and all(c == "\n" or unicodedata.category(c) != "Cc" for c in out)
    assert all(columns(line) <= width for line in out.split("\n"))


def test_carets_stand_under_wide_characters() -> None:
    source = Source("a", "漢字 = \tx\n")
    lines = render([Diagnostic("NX101", "no", Span(source, 6, 7))]).split("\n")
    assert columns(lines[3][: lines[3].index("x")]) == lines[4].index("^")
