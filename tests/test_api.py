"""The Python interface: what the command says, as objects; mistakes as exceptions; nothing global changes."""

from __future__ import annotations

import gc
import json
import os
import pickle
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_imports import loaded_after

import nexortlang
from nexortlang.cli import main
from nexortlang.kets import engine
from nexortlang.kets.results import LimitResult

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TRAINED = """width n
const lr = 0.1
W[n, n] ~ normal(0, 1/n)
x[n, 2] ~ normal(0, 1)
v[n] ~ normal(0, 1)
for t in range(3):
    f = <v|x>
    show f
    v -= lr * x[0]
show dist(tanh(x)) as d
y = tanh(W.T @ tanh(W @ tanh(v)))
show <y|y> as s
"""


def test_importing_loads_no_numpy_and_no_stage() -> None:
    assert not loaded_after("import nexortlang\nassert 'run' in dir(nexortlang)") & {
        "numpy",
        "lark",
        "numba",
        "argparse",
    }
    code = "import nexortlang\nassert nexortlang.run('show 1')[0].value == 1"
    assert not loaded_after(code) & {"numba", "prompt_toolkit", "lark"}


def test_everything_that_is_named_is_there() -> None:
    for name in nexortlang.__all__:
        assert getattr(nexortlang, name) is not None
    with pytest.raises(AttributeError):
        _ = nexortlang.nosuch


def test_it_says_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(EXAMPLES / "first.nxt")
    assert main([file]) == 0
    program = nexortlang.load(file)
    assert f"{program.limit()!r}\n" == capsys.readouterr().out
    for words, answer in (
        (["simulate", file, "--width", "64", "--seeds", "3"], program.simulate(64, seeds=3)),
        (["verify", file, "--widths", "64,128", "--seeds", "3"], program.verify((64, 128), seeds=3)),
    ):
        main(words)
        assert answer.report == capsys.readouterr().out


def test_results_are_those_of_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.nxt").write_text(TRAINED)
    main([str(tmp_path / "a.nxt"), "--json", "--seed", "3", "--samples", "256", "--tol", "1"])
    told = json.loads(capsys.readouterr().out)["results"]
    limit = nexortlang.load(tmp_path / "a.nxt").limit(seed=3, samples=256, tol=1)
    assert [(r.name, r.line, r.kind, list(r.shape), r.method) for r in limit] == [
        (t["name"], t["line"], t["kind"], t["shape"], t["method"]) for t in told
    ]
    for r, t in zip(limit, told, strict=True):
        assert np.array_equal(r.value, np.array(t.get("value", t.get("mean")))) and np.array_equal(
            r.stderr, t["stderr"]
        )
        assert (r.distribution is not None) == (r.kind == "distribution")
        if r.distribution is not None:
            assert np.array_equal(r.distribution.quantiles[0.25], t["quantiles"]["0.25"])
    assert limit["f"].loops == (3,) and limit["f"].shape == (3, 2)
    assert limit["s"].method == "sampled" and float(limit["s"].stderr) > 0


def test_settings_are_numbers_and_arrays() -> None:
    text = "const a = 1\nconst A = [1, 2]\nshow a + sum(A) as c\n"
    assert float(nexortlang.run(text, settings={"a": 3, "A": np.array([1.0, 1.0, 1.0])})["c"]) == 6
    program = nexortlang.loads(text, settings={"a": 3})
    assert float(program.with_settings(A=[0]).limit()["c"]) == 3
    assert float(program.with_settings({"a": 0}).limit()["c"]) == 3 and float(program.limit()["c"]) == 6
    for wrong, code in (({"nosuch": 1}, "NX112"), ({"a": [[1], [2, 3]]}, "NX508"), ({"a": "x"}, "NX508")):
        with pytest.raises(nexortlang.NexortError) as caught:
            nexortlang.run(text, settings=wrong)  # type: ignore[arg-type]
        assert [d.code for d in caught.value.diagnostics] == [code]


def test_files_are_found_beside_the_program(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1\n3\n")
    (tmp_path / "a.nxt").write_text('const x = load("x.csv")\nshow mean(x) as m\n')
    assert float(nexortlang.load(tmp_path / "a.nxt").limit()["m"]) == 2
    assert float(nexortlang.run((tmp_path / "a.nxt").read_text(), folder=tmp_path)["m"]) == 2
    assert nexortlang.load(str(tmp_path / "a.nxt")).text.startswith("const x")


@pytest.mark.parametrize(
    ("content", "code"), [(None, "NX501"), (b"\xff\xfe\x00", "NX502"), (b"show y\n", "NX101"), (b"show 1 +\n", "NX0")]
)
def test_mistakes_are_exceptions(tmp_path: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        (tmp_path / "a.nxt").write_bytes(content)
    with pytest.raises(nexortlang.NexortError) as caught:
        nexortlang.load(tmp_path / "a.nxt").limit()
    assert caught.value.diagnostics[0].code.startswith(code)
    assert str(caught.value).startswith(f"error[{caught.value.diagnostics[0].code}]:")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_every_method_tells_a_wrong_program() -> None:
    wrong = nexortlang.loads("show a\nshow b\n")
    assert [d.code for d in wrong.check()] == ["NX101"] * 2 and str(wrong.check()[0]).startswith("error[NX101]: ")
    for method in (wrong.limit, wrong.core, wrong.derive, wrong.simulate, wrong.verify):
        with pytest.raises(nexortlang.NexortError) as caught:
            method()
        assert caught.value.diagnostics == wrong.check()
    assert nexortlang.loads("show 1").check() == ()


def test_a_failed_run_keeps_its_results() -> None:
    program = nexortlang.loads("show 1 as a\nassert 1 ~= 2\nassert 1 ~= 1\n")
    with pytest.raises(nexortlang.RunError) as caught:
        program.limit()
    assert isinstance(caught.value.results, nexortlang.Limit)
    assert float(caught.value.results["a"]) == 1 and caught.value.results.asserts == 1
    assert pickle.loads(pickle.dumps(caught.value)).results.names == ["a"]
    with pytest.raises(nexortlang.RunError):
        program.verify((8, 16), seeds=2)
    assert float(program.simulate(8)["a"]) == 1  # asserts are about the limit


def test_what_has_no_limit_is_an_exception() -> None:
    with pytest.raises(nexortlang.NexortError, match="NX301"):
        nexortlang.run("width n\nx[n] ~ normal(0, 1)\nshow avg(exp(x^2))\n")


def test_a_disagreement_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    program = nexortlang.loads("width n\nx[n] ~ normal(0, 1)\nshow avg(x) as m\nshow <x|x> as k\n")
    verdict = program.verify((8, 16, 32), seeds=4)
    assert verdict.agree and [v.name for v in verdict] == ["m", "k"] and verdict.numbers == 4
    part, square = verdict["k"].parts
    assert square.name == "squared distance" and square.means.shape == (3,)
    assert part.means.shape == (3,) and part.limits.shape == () and verdict["k"].limit.value == 1
    right = engine.limit

    def wrong(*arguments: object) -> LimitResult:
        found = right(*arguments)  # type: ignore[arg-type]
        return replace(found, shows=[found.shows[0], replace(found.shows[1], value=np.array(7.0))])

    monkeypatch.setattr(engine, "limit", wrong)
    verdict = program.verify((8, 16, 32), seeds=4)
    assert not verdict.agree and verdict["m"].agrees and not verdict["k"].agrees
    assert verdict["k"].deviation > verdict.threshold


def test_parts_have_the_shape_of_the_limit() -> None:
    verdict = nexortlang.loads(TRAINED).verify((16, 32), seeds=3, samples=64, tol=1)
    for v in verdict:
        for part in v.parts:
            assert part.limits.shape == v.limit.shape and part.means.shape == (2, *v.limit.shape)


def test_a_tolerance_that_is_not_reached_is_a_warning() -> None:
    limit = nexortlang.loads(TRAINED).limit(samples=64, tol=1e-9)
    assert [d.code for d in limit.diagnostics] == ["NX305"] and "NX305" in repr(limit)


@pytest.mark.parametrize(
    "arguments",
    [{"tol": 0}, {"tol": float("nan")}, {"samples": 0}, {"samples": 1.5}, {"seed": -1}, {"seed": "a"}],
)
def test_arguments_outside_their_range(arguments: dict[str, object]) -> None:
    for method in (nexortlang.loads("show 1").limit, nexortlang.loads("show 1").verify):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            method(**arguments)  # type: ignore[operator]


def test_arguments_of_runs() -> None:
    program = nexortlang.loads("show 1")
    for wrong in ({"width": 0}, {"seeds": 0}, {"dtype": "float16"}, {"width": 2.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            program.simulate(**wrong)  # type: ignore[arg-type]
    for wrong in ({"widths": (8,)}, {"widths": (8, 8)}, {"seeds": 1}, {"widths": (0, 8)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            program.verify(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="load"):
        nexortlang.run("first.nxt")


def test_names() -> None:
    limit = nexortlang.run("show 1 as a\nshow 2 as b\nshow 3 as a\n")
    assert limit.names == ["a", "b", "a"] and len(limit) == 3 and [float(r) for r in limit[1:]] == [2, 3]
    for name, why in (("a", "several"), ("c", "'b'")):
        with pytest.raises(KeyError, match=why):
            limit[name]
    with pytest.raises(IndexError):
        limit[3]
    assert repr(nexortlang.run("a = 1\n")) == "nothing is shown"


def test_a_distribution_is_short_at_a_prompt() -> None:
    (d,) = nexortlang.run("width n\nx[n] ~ normal(0, 1)\nshow dist(tanh(x))\n")
    assert d.distribution is not None and d.distribution.curve is not None
    assert "quantiles={0.05: array(" in repr(d) and len(repr(d)) < 800


def test_answers_are_arrays() -> None:
    one = nexortlang.run("show [1, 2] as a\n")["a"]
    assert np.array_equal(np.asarray(one), [1, 2]) and np.asarray(one, dtype=np.float32).dtype == np.float32
    assert np.array(one, copy=True) is not one.value and one.value.dtype == np.float64
    with pytest.raises(TypeError):
        float(one)


@settings(max_examples=10)
@given(st.integers(0, 2**40), st.floats(0.01, 1))
def test_calls_do_not_depend_on_each_other(seed: int, tol: float) -> None:
    program = nexortlang.loads(TRAINED)
    first = program.limit(seed=seed, samples=32, tol=tol)["s"].value
    program.limit(seed=seed + 1, samples=64)
    assert program.limit(seed=seed, samples=32, tol=tol)["s"].value == first


def test_nothing_global_changes() -> None:
    before = sys.getrecursionlimit(), dict(os.environ), np.geterr(), list(warnings.filters), gc.isenabled()
    program = nexortlang.loads(TRAINED)
    program.limit(samples=32), program.simulate(16), program.verify((8, 16), seeds=2, samples=32), program.core()
    nexortlang.loads("show a").check()
    assert (sys.getrecursionlimit(), dict(os.environ), np.geterr(), list(warnings.filters), gc.isenabled()) == before


def test_programs_and_answers_can_be_pickled() -> None:
    program = nexortlang.loads(TRAINED, settings={"lr": 0.2})
    limit = program.limit(samples=32, tol=1)
    copy = pickle.loads(pickle.dumps(program))
    assert repr(copy.limit(samples=32, tol=1)) == repr(limit) == repr(pickle.loads(pickle.dumps(limit)))


def test_deep_programs_have_room() -> None:
    assert float(nexortlang.run("show " + " + ".join(["1"] * 150) + " as c\n")["c"]) == 150
    deep = "width n\nx[n] ~ normal(0, 1)\n" + "x = tanh(x + 1)\n" * 500 + "show avg(x) as m\n"
    assert nexortlang.loads(deep).core().count("tanh") == 500
    with pytest.raises(nexortlang.NexortError, match="NX"):
        nexortlang.run("show " + "(" * 5000 + "1" + ")" * 5000)


def test_the_core_is_a_program() -> None:
    program = nexortlang.load(EXAMPLES / "first.nxt")
    assert np.allclose(nexortlang.run(program.core())[0].value, program.limit()[0].value)


def test_derivations_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(EXAMPLES / "first.nxt")
    program = nexortlang.load(file)
    for words, text in (
        (["derive", file], program.derive()),
        (["derive", file, "--latex"], program.derive(latex=True)),
    ):
        assert main(words) == 0
        assert capsys.readouterr().out == text
    with pytest.raises(ValueError, match="steps"):
        program.derive(steps=0)
