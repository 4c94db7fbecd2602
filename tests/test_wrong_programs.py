"""Wrong programs: each file of tests/wrong/ is refused with the code that stands at the end of the offending line.

A line that ends in `#! NX203` must carry a diagnostic NX203 whose span covers it; `#! NX0` means any syntax code, `#! NX201|NX214` either of the two.
Nothing else may be wrong in the file. A marker in a module that the file imports counts in that module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexortlang.cli import main

HERE = Path(__file__).parent
WRONG = sorted((HERE / "wrong").glob("*.nxt"))
PROGRAMS = sorted([*(HERE / "programs").glob("*.nxt"), *(HERE.parent / "examples").glob("*.nxt")])
MARKER = re.compile(r"#! ?(NX[\d|NX]+)\s*$")

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


@pytest.fixture
def nexort(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process: exit status, stdout, stderr."""

    def run(*arguments: str) -> Outcome:
        try:
            status = main(list(arguments))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        return int(status or 0), out, err

    return run


def expected_codes(path: Path) -> dict[tuple[str, int], tuple[str, ...]]:
    """(file name, line) → codes that may stand there, from the markers of a file and of the modules it names."""
    text = path.read_text(encoding="utf-8")
    modules = [path.parent / name for name in re.findall(r'import "(.*?)"', text)]
    found = {}
    for file in {path, *(m for m in modules if m.exists())}:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if marker := MARKER.search(line):
                found[file.name, number] = tuple(marker[1].split("|"))
    return found


def covers(diagnostic: dict[str, object], file: str, line: int, codes: tuple[str, ...]) -> bool:
    return (
        Path(str(diagnostic["file"])).name == file
        and int(str(diagnostic["line"])) <= line <= int(str(diagnostic["end_line"]))
        and str(diagnostic["code"]).startswith(codes)
    )


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_wrong_program_is_refused_where_it_is_wrong(path: Path, nexort: Run) -> None:
    expected = expected_codes(path)
    assert expected, "a wrong program says what is wrong with it"
    status, out, err = nexort(str(path), "--json")
    assert status == 1, (status, out, err)
    diagnostics = json.loads(out)["diagnostics"]
    for (file, line), codes in expected.items():
        assert any(covers(d, file, line, codes) for d in diagnostics), (line, codes, diagnostics)
    for d in diagnostics:
        assert any(covers(d, file, line, codes) for (file, line), codes in expected.items()), d
        assert d["message"] and d["severity"] == "error"


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 60


def test_unknown_name_suggests_the_right_one(nexort: Run) -> None:
    _, _, err = nexort("check", str(HERE / "wrong" / "unknown_name.nxt"))
    assert "hidden" in err and "NX101" in err and "Traceback" not in err


def test_not_utf8(tmp_path: Path, nexort: Run) -> None:
    bad = tmp_path / "latin.nxt"
    bad.write_bytes("# \xe9t\xe9\nshow 1\n".encode("latin-1"))
    status, out, _ = nexort("check", str(bad), "--json")
    assert status == 1
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["NX502"]


def test_missing_program(tmp_path: Path, nexort: Run) -> None:
    status, _, err = nexort("check", str(tmp_path / "absent.nxt"))
    assert status == 1 and "NX501" in err


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path, nexort: Run) -> None:
    (tmp_path / "secret.csv").write_text("1,2\n")
    inside = tmp_path / "project"
    inside.mkdir()
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "main.nxt").write_text('const X = load("link.csv")\nshow X\n')
    status, out, _ = nexort("check", str(inside / "main.nxt"), "--json")
    assert status == 1
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["NX503"]


@pytest.mark.parametrize("setting", ["nosuch=1", "x=1", "hidden=1"])
def test_set_names_no_const(tmp_path: Path, nexort: Run, setting: str) -> None:
    (tmp_path / "main.nxt").write_text(
        "width n\nconst lr = 1\nx[n] ~ normal(0, lr)\nhidden = tanh(x)\nshow avg(hidden)\n"
    )
    status, _, err = nexort(str(tmp_path / "main.nxt"), "--set", setting)
    assert status in (1, 2) and "NX112" in err


@pytest.mark.parametrize("setting", ["lr=", "lr=[1,", "lr=__import__('os')", "lr", "lr=one"])
def test_set_value_is_no_number(tmp_path: Path, nexort: Run, setting: str) -> None:
    (tmp_path / "main.nxt").write_text("const lr = 1\nshow lr\n")
    status, _, err = nexort(str(tmp_path / "main.nxt"), "--set", setting)
    assert status in (1, 2) and "NX508" in err


@pytest.mark.parametrize(
    "arguments",
    [["--tol", "-1"], ["--tol", "x"], ["--samples", "0"], ["--seed", "a"], ["--nosuch"], ["--color", "pink"]],
)
def test_bad_command_lines(nexort: Run, arguments: list[str]) -> None:
    status, _, err = nexort(str(HERE / "wrong" / "unknown_name.nxt"), *arguments)
    assert status == 2 and err and "Traceback" not in err


def test_loops_have_a_limit_that_an_option_raises(tmp_path: Path, nexort: Run) -> None:
    path = tmp_path / "main.nxt"
    path.write_text("s = 0\nfor a in range(30):\n    for b in range(30):\n        s = s + 1\nshow s\n")
    status, out, _ = nexort(str(path), "--json", "--max-steps", "500")
    assert status == 1 and [d["code"] for d in json.loads(out)["diagnostics"]] == ["NX506"]
    status, out, _ = nexort(str(path), "--json", "--max-steps", "5000")
    assert status == 0 and json.loads(out)["results"][0]["value"] == 900


# ---------------------------------------------------------------------------- mutated and random text

TOKENS = [
    *(
        "width",
        "const",
        "def",
        "return",
        "for",
        "in",
        "if",
        "elif",
        "else",
        "import",
        "from",
        "as",
        "optimizer",
        "state",
        "show",
        "assert",
        "within",
    ),
    *(
        "n",
        "x",
        "W",
        "y",
        "ξ",
        "x₁",
        "relu",
        "tanh",
        "sign",
        "avg",
        "sum",
        "cov",
        "dist",
        "grad",
        "pi",
        "inf",
        "and",
        "or",
        "not",
        "[n, n]",
        "[i, j]",
    ),
    *(
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        "|",
        ",",
        ":",
        "=",
        "~",
        "+=",
        "-=",
        "*=",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "^",
        "**",
        "@",
        ".",
        ".T",
        "ᵀ",
        "⟨",
        "⟩",
    ),
    *(
        "==",
        "~=",
        "0",
        "1",
        "-1",
        "2.5",
        "1e9",
        "1e999",
        "normal(0, 1/n)",
        "normal(0, 1)",
        '"x.csv"',
        "#",
        "##",
        "\n",
        "\n    ",
        " ",
        "\t",
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A program of the collection after a few swaps, deletions, duplications and replacements of characters, tokens or lines."""
    text = draw(st.sampled_from(PROGRAMS)).read_text(encoding="utf-8")
    for _ in range(draw(st.integers(1, 4))):
        unit = draw(st.sampled_from(["character", "token", "line"]))
        pieces = {
            "character": list,
            "token": lambda t: re.findall(r"\w+|\s+|.", t),
            "line": lambda t: t.splitlines(keepends=True),
        }[unit](text)
        if not pieces:
            continue
        at, other = (draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        match draw(st.sampled_from(["swap", "delete", "duplicate", "replace"])):
            case "swap":
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case "delete":
                del pieces[at]
            case "duplicate":
                pieces.insert(other, pieces[at])
            case "replace":
                pieces[at] = draw(st.sampled_from(TOKENS))
        text = "".join(pieces)
    return text


@st.composite
def soup(draw: st.DrawFn) -> str:
    """Tokens of the language in random order."""
    return "".join(draw(st.lists(st.sampled_from(TOKENS), max_size=40)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(mutated(), mutated(), soup(), st.text(max_size=80)))
def test_any_text_is_checked_or_refused(text: str, nexort: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.nxt"
    path.write_text(text, encoding="utf-8", errors="replace")
    status, out, err = nexort("check", str(path), "--json")
    assert status in (0, 1), (status, err)
    assert "Traceback" not in out + err
    if status == 1:
        diagnostics = json.loads(out)["diagnostics"]
        assert diagnostics and not [d for d in diagnostics if d["code"].startswith("NX9")], diagnostics
