"""Names, calls, modules, files, recovery from mistakes, and the incremental form for the prompt."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from elaborated import Names, codes, elaborated, program, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from nexortlang.core.verify import verify
from nexortlang.diagnostics import NexortError
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.elaborate.program import Elaborator, elaborate
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax.parser import parse

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "syntax_programs").glob("*.nxt"))


# ---------------------------------------------------------------------------- definitions


def const(text: str) -> object:
    return Names(text).const("r").tolist()


def test_defaults_keywords_and_several_values() -> None:
    assert const("def f(a, b = 2, c = 3) = a + 10*b + 100*c\nr = f(1, c = 4)\n") == 421
    assert const("def f(a):\n    return a, 2*a\nx, y = f(3)\nr = x + y\n") == 9
    assert const("a, b = 1, 2\na, b = b, a\nr = [a, b]\n") == [2, 1]


def test_free_names_are_looked_up_when_it_is_called() -> None:
    assert const("def f() = k + 1\nk = 1\nk = 5\nr = f()\n") == 6
    assert codes("def f() = k + 1\nr = f()\nk = 1\n") == [("NX101", 1)]


def test_what_a_def_binds_is_local() -> None:
    assert const("k = 1\ndef f():\n    k = 2\n    return k\nr = f() + 10*k\n") == 12
    assert const("k = [1, 2]\ndef f():\n    k[0] = 5\n    k += 1\n    return k[0]\nr = [f(), k[0]]\n") == [6, 1]


def test_arguments_may_be_functions_widths_and_matrices() -> None:
    text = (
        "width n\nwidth m = 2*n\ndef dense(h, a, b, phi = tanh):\n    W[b, a] ~ normal(0, 1/a)\n    return phi(W @ h)\n"
        "def twice(x) = 2*x\nx[n] ~ normal(0, 1)\ny = dense(x, n, m)\nz = dense(y, m, n, twice)\n"
        "def act(A, u) = A @ u\nW[n, n] ~ normal(0, 1/n)\nr = act(W.T, z)\n"
    )
    names = Names(text)
    assert names.type("y").width.name == "m" and names.type("r").width.name == "n"


def test_built_in_functions_can_be_redefined() -> None:
    assert const("def relu(x) = 7\nr = relu(1)\n") == 7
    assert const("max = 3\nr = max\n") == 3


def test_a_loop_variable_ends_with_its_loop_and_the_name_has_its_old_value() -> None:
    assert const("t = 9\nfor t in range(3):\n    s = t\nr = [s, t]\n") == [2, 9]
    assert const("r = 0\nfor row in [[1, 2], [3, 4]]:\n    r += row\n") == [4, 6]
    assert const("r = 0\nfor k in range(6, 0, -2):\n    r = 10*r + k\n") == 642


def test_return_leaves_loops_and_branches() -> None:
    text = "def f(k):\n    for t in range(10):\n        if t == k:\n            return t\n        else:\n            s = t\n    return -1\n"
    assert const(f"{text}r = [f(4), f(20)]\n") == [4, -1]


def test_if_chooses_by_consts() -> None:
    assert const("k = 2\nif k == 1:\n    r = 1\nelif k == 2 and not 0:\n    r = 2\nelse:\n    r = 3\n") == 2


def test_an_update_rebinds_and_assignment_copies() -> None:
    assert const("a = [1, 2]\nb = a\na[0] = 5\na += 1\nr = [a, b]\n") == [[6, 3], [1, 2]]


# ---------------------------------------------------------------------------- mistakes


def test_many_mistakes_are_reported_and_none_follows_from_another() -> None:
    text = (
        "width n\nW[n, n] ~ normal(0, 1)\nx[n] ~ normal(0, 1)\nh = W @ x\ny = tanh(W)\nshow avg(tanh(h + y))\n"
        "z = x @ x\nfor t in range(2):\n    q = nothing\n    show q\nshow avg(z)\n"
    )
    assert codes(text) == [("NX225", 2), ("NX201", 7), ("NX101", 9)]


def test_what_a_run_does_not_reach_is_checked_for_names() -> None:
    text = "const T = 0\nif T:\n    show nowhere\ndef f(a) = a + absent\nfor t in range(T):\n    b = t + missing_too\nshow T\n"
    assert codes(text) == [("NX101", 3), ("NX101", 4), ("NX101", 6)]


def test_a_mistake_in_a_def_is_told_once_where_it_is_with_the_call_that_led_there() -> None:
    text = "width n\nwidth m\nx[n] ~ normal(0, 1)\ny[m] ~ normal(0, 1)\ndef f(a, b):\n    return a + b\nfor t in range(3):\n    z = f(x, y)\n"
    (mistake,) = elaborated(text)[1]
    assert mistake.code == "NX205" and mistake.span is not None and mistake.span.text == "a + b"
    assert ("in this call of f", 8) in [(label.text, label.span.line) for label in mistake.labels]


def test_both_ends_are_blamed() -> None:
    (mistake,) = elaborated("width n\nwidth m\nW[n, m] ~ normal(0, 1/m)\nx[n] ~ normal(0, 1)\ny = W @ tanh(x)\n")[1]
    labels = [(label.text, label.span.line) for label in mistake.labels]
    assert mistake.message == "W takes a vector(m), found a vector(n)"
    assert labels == [("W is a matrix(n, m)", 5), ("W got its type here", 3), ("tanh(x) is a vector(n)", 5)]
    assert mistake.hint == "W.T takes a vector(n)"


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("tanh(sqrt(n) * x)", "one that grows like n^(1/2)", "divide by sqrt(n) before tanh is applied"),
        ("tanh(x / n)", "one that vanishes like 1/n", "multiply by n before tanh is applied"),
        ("tanh(n^(2/3) * x)", "one that grows like n^(2/3)", "divide by n^(2/3) before tanh is applied"),
    ],
)
def test_the_error_says_which_power_and_what_mends_it(expression: str, message: str, hint: str) -> None:
    (mistake,) = elaborated(f"width n\nx[n] ~ normal(0, 1)\ny = {expression}\n")[1]
    assert mistake.code == "NX220" and message in mistake.message and mistake.hint == hint


def test_an_unknown_name_is_compared_with_the_known_ones() -> None:
    (mistake,) = elaborated("learning_rate = 1\nshow learning_rat\n")[1]
    assert mistake.hint == "did you mean learning_rate?"


def test_deep_nesting_and_long_chains_of_calls_are_no_problem() -> None:
    assert const("r = 1" + " + 1" * 150 + "\n") == 151
    chain = "def f0(x) = x\n" + "".join(f"def f{k + 1}(x) = f{k}(x) + 1\n" for k in range(150))
    assert const(f"{chain}r = f150(0)\n") == 150


def test_loops_have_a_limit_that_names_its_option() -> None:
    _, mistakes = elaborated("for s in range(100):\n    for t in range(100):\n        x = t\n", max_steps=500)
    (mistake,) = mistakes
    assert mistake.code == "NX506" and mistake.span is not None and mistake.span.line == 2
    assert "--max-steps" in mistake.hint


# ---------------------------------------------------------------------------- settings


def test_settings_replace_top_level_consts() -> None:
    text = "const lr = 0.1\nconst X = [1, 2]\nshow lr\nshow X\n"
    found = program(text, settings={"lr": 0.2, "X": [[1.0], [2.0]]})
    assert [s.value.type.shape for s in found.shows] == [(), (2, 1)]
    assert found.shows[0].value.array == 0.2


def test_settings_of_anything_else_are_refused() -> None:
    _, mistakes = elaborated("const lr = 0.1\nx = 1\nshow x\n", settings={"l": 1.0, "x": 2.0})
    assert [(d.code, d.span) for d in mistakes] == [("NX112", None)] * 2
    assert mistakes[0].hint == "did you mean lr?"
    assert [d.code for d in elaborated("const a = 1\n", settings={"a": [[1.0], [1.0, 2.0]]})[1]] == ["NX508"]


# ---------------------------------------------------------------------------- modules and files


def test_modules_are_files_beside_the_program_or_of_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "layers.nxt").write_text("const k = 3\nimport more\ndef f(x) = k * x + more.g(x)\n", encoding="utf-8")
    (tmp_path / "more.nxt").write_text("def g(x) = 100 * x\n", encoding="utf-8")
    names = Names(
        'import "layers.nxt" as l\nfrom layers import f as h, k\nimport more\nr = [l.f(1), h(2), k, more.g(1)]\n',
        tmp_path,
    )
    assert names.const("r").tolist() == [103, 206, 3, 100]
    assert codes("from optim import adam\nimport optim\nx = 1\n") == []


def test_a_mistake_in_a_module_is_told_there(tmp_path: Path) -> None:
    (tmp_path / "bad.nxt").write_text("def f(x) = x + unknown_thing\n", encoding="utf-8")
    _, (mistake,) = elaborated("import bad\nshow bad.f(1)\n", tmp_path)
    assert mistake.code == "NX101" and mistake.span is not None and mistake.span.source.name.endswith("bad.nxt")
    assert [label.text for label in mistake.labels] == ["bad is imported here"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1\n2.5\n\n-3e2\n", [1, 2.5, -300]),
        ("\ufeffname\n7\n", [7]),
        ("1, 2\n 3 ,4", [[1, 2], [3, 4]]),
    ],
)
def test_tables(tmp_path: Path, text: str, expected: object) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(Files(tmp_path).load_array("x.csv"), np.asarray(expected, dtype=float))


def test_arrays(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub" / "x.npy", np.arange(3))
    np.testing.assert_array_equal(Files(tmp_path).load_array("sub/x.npy"), [0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../x.csv", "NX503"),
        ("/etc/passwd.csv", "NX503"),
        ("sub/../../x.csv", "NX503"),
        ("link.csv", "NX503"),
        ("x.txt", "NX503"),
        ("", "NX503"),
        ("none.csv", "NX501"),
        ("words.csv", "NX504"),
        ("ragged.csv", "NX504"),
        ("empty.csv", "NX504"),
        ("objects.npy", "NX504"),
        ("text.npy", "NX504"),
        ("folder.csv", "NX501"),
    ],
)
def test_what_load_refuses(tmp_path: Path, name: str, code: str) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    (tmp_path / "x.csv").write_text("1\n")
    (folder / "x.txt").write_text("1\n")
    (folder / "words.csv").write_text("a\nb\n")
    (folder / "ragged.csv").write_text("1,2\n3\n")
    (folder / "empty.csv").write_text("")
    (folder / "folder.csv").mkdir()
    (folder / "text.npy").write_text("1")
    np.save(folder / "objects.npy", np.array([{}, None]), allow_pickle=True)
    os.symlink(tmp_path / "x.csv", folder / "link.csv")
    with pytest.raises(NexortError) as problem:
        Files(folder).load_array(name)
    assert problem.value.diagnostics[0].code == code


# ---------------------------------------------------------------------------- at a prompt


def test_statements_one_after_the_other_keep_their_names() -> None:
    prompt = Elaborator(Files(Path()), interactive=True)
    for text in (
        "width n\n",
        "x[n] ~ normal(0, 1)\n",
        "const k = 2\n",
        "const k = 3\n",
        "y = k * x\n",
        "avg(y)\n",
        "y\n",
    ):
        assert prompt.run(tree(text).body) == []
    assert [(s.kind, s.name) for s in prompt.program.shows] == [("scalar", "avg(y)"), ("distribution", "y")]
    assert {"x", "y", "tanh"} <= set(prompt.names)


def test_a_wrong_statement_changes_nothing() -> None:
    prompt = Elaborator(Files(Path()), interactive=True)
    assert prompt.run(tree("width n\nx[n] ~ normal(0, 1)\n").body) == []
    mistakes = prompt.run(tree("width m\nx = 2 * x\nshow avg(x)\ny = tanh(n * x)\n").body)
    assert [d.code for d in mistakes] == ["NX220"]
    assert prompt.program.shows == [] and [w.name for w in prompt.program.widths] == ["n"] and "m" not in prompt.names
    assert prompt.run(tree("show dist(x)\nwidth m\n").body) == []


# ---------------------------------------------------------------------------- tables


NAMES = """
exp log sqrt abs sign step sin cos tan tanh sigmoid erf relu leaky_relu gelu silu softplus max min where clip softmax sum mean argmax avg zeros
ones eye arange len reshape transpose concatenate randn load range grad stop ntk dist cov pi inf
"""


def test_the_built_in_names_are_those_of_the_language() -> None:
    assert set(BUILTINS) == set(NAMES.split())


# ---------------------------------------------------------------------------- whole programs


@pytest.mark.parametrize("path", [p for p in PROGRAMS if "language_" not in p.stem], ids=lambda p: p.stem)
def test_programs_of_users_elaborate(path: Path) -> None:
    found, mistakes = elaborated(path.read_text(encoding="utf-8"), HERE.parent / "examples" / "data")
    assert not mistakes and found.values
    assert not verify(found)


def test_training_as_the_language_shows_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savetxt(tmp_path / "x.csv", rng.normal(size=(6, 5)), delimiter=",")
    np.savetxt(tmp_path / "y.csv", rng.normal(size=6), delimiter=",")
    text = (HERE / "syntax_programs" / "language_training.nxt").read_text(encoding="utf-8")
    found = program(text.replace("const T = 20", "const T = 3"), tmp_path)
    assert [(s.name, s.value.type.shape, s.value.type.power) for s in found.shows] == [("f", (6,), 0), ("L", (), 0)] * 3


WORD = re.compile(r"\w+|\s+|.")


@settings(max_examples=150)
@given(st.sampled_from(PROGRAMS), st.data())
def test_no_program_makes_the_elaborator_raise(path: Path, data: st.DataObject) -> None:
    words = WORD.findall(path.read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(words))
    module, _ = parse(Source("mutated.nxt", "".join(words)))
    _, mistakes = elaborate(module, Files(HERE.parent / "examples" / "data"), max_steps=300)
    assert all(d.message and d.span is not None for d in mistakes)
