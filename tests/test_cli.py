"""The command: subcommands, options, exit statuses, streams; in this process, and as a process where streams and signals matter."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexortlang import __version__, driver, reading
from nexortlang.cli import main
from nexortlang.diagnostics.catalogue import LESSONS
from nexortlang.report.console import Progress

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FIRST = str(EXAMPLES / "first.nxt")

SMALL = "width n\nx[n] ~ normal(0, 1)\nconst a = 2\nshow a * avg(x^2) as c\n"
SAMPLED = "width n\nx[n] ~ normal(0, 1)\nshow avg(tanh(x) * sin(x + abs(x))^3 * exp(-x^2)) as c\n"


@pytest.fixture
def small(tmp_path: Path) -> str:
    (tmp_path / "small.nxt").write_text(SMALL)
    return str(tmp_path / "small.nxt")


def written(folder: Path, text: str | bytes, name: str = "a.nxt") -> str:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder / name)


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nexortlang", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


# ---------------------------------------------------------------------------- commands


def test_a_program_is_run(capsys: pytest.CaptureFixture[str], small: str) -> None:
    assert main([small]) == 0
    out, err = capsys.readouterr()
    assert out == "c =  2  (exact)\n" and err == ""


def test_check_computes_nothing(capsys: pytest.CaptureFixture[str], small: str) -> None:
    assert main(["check", small]) == 0
    assert capsys.readouterr().out == f"{small}: no mistakes found\n"


def test_core_prints_a_program_with_the_same_limit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["core", FIRST]) == 0
    core = written(tmp_path, capsys.readouterr().out)
    answers = []
    for file in (FIRST, core):
        assert main([file, "--json"]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        answers.append([r.get("value", r.get("variance")) for r in results])
    assert answers[0] == answers[1]


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nx506"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("NX506: ") and "Wrong:\n    width n" in text and "--max-steps" in text
    assert main(["explain"]) == 0
    assert "\nNX507  the command line is wrong\n" in capsys.readouterr().out
    assert main(["explain", "NX999"]) == 2


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "nexort check FILE" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nexort {__version__}\n"


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize(
    "command", ["", "check", "core", "derive", "simulate", "verify", "classify", "fmt", "explain", "repl", "lsp"]
)
def test_help_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command.split(), "--help"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= min(columns, 100)
    assert (
        page.startswith(f"usage: nexort {command or '[COMMAND] [FILE]'}".replace("repl", "[repl]"))
        and "-h, --help" in page
    )
    assert "Exit status" in page


def test_help_on_a_command_speaks_of_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    def options(*words: str) -> set[str]:
        assert main([*words, "--help"]) == 0
        return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))

    everywhere = {"--quiet", "--color", "--help"}
    assert options("fmt") == everywhere | {"--check", "--diff"}
    assert options("derive") == everywhere | {"--set", "--max-steps", "--latex", "--output", "--steps", "--all"}
    assert options("fmt") | options("derive") | {"--tol", "--width", "--widths", "--plot", "--version"} < options()
    assert options("program.nxt") == options()
    assert main(["help", "derive"]) == 0
    page = capsys.readouterr().out
    assert main(["derive", "--help"]) == 0 and capsys.readouterr().out == page
    assert main(["help", "nosuch"]) == 2
    assert main(["help"]) == 0 and "verify:" in capsys.readouterr().out
    assert main(["verify", "--help"]) == 0
    assert "verify:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "wanted"), [("repl x", "no file"), ("lsp x", "no file"), ("explain a b", "one code")]
)
def test_too_many_words(capsys: pytest.CaptureFixture[str], words: str, wanted: str) -> None:
    assert main(words.split()) == 2
    assert f"takes {wanted}" in capsys.readouterr().err


def test_a_lesson_fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the programs in it."""
    monkeypatch.setenv("COLUMNS", "40")
    for code in LESSONS:
        assert main(["explain", code]) == 0
        words = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("    ")]
        assert max(map(len, words)) <= 40, code


def test_a_file_may_have_the_name_of_a_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, SMALL, "check")
    assert main(["./check"]) == 0
    assert main(["check", "check"]) == 0
    assert main(["check"]) == 2


def test_standard_input(tmp_path: Path) -> None:
    done = process("-", "--json", input=SMALL, cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["file"] == "<stdin>"


# ---------------------------------------------------------------------------- options


def test_set(capsys: pytest.CaptureFixture[str], small: str, tmp_path: Path) -> None:
    assert main([small, "--set", "a=7", "--set", "a=-0.5"]) == 0
    assert capsys.readouterr().out == "c =  -0.5  (exact)\n"
    both = written(tmp_path, "const a = 1\nconst b = [1]\nshow a + sum(b)\n", "both.nxt")
    assert main([both, "--json", "--set", "a=.5", "--set", "b=[1, -2e1, pi]"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["value"] == pytest.approx(0.5 + 1 - 20 + 3.141592653589793)


@pytest.mark.parametrize(
    "words",
    [
        ["--nosuch"],
        ["--tol", "0"],
        ["--tol", "nan"],
        ["--tol"],
        ["--samples", "1.5"],
        ["--samples", "0"],
        ["--seed", "-1"],
        ["--max-steps", "x"],
        ["--color", "pink"],
        ["--plot", "out.pdf"],
        ["--set", "a"],
        ["--set", "a="],
        ["--set", "a=b"],
        ["--set", "a=1\nshow 2"],
        ["--set", "a=[1,"],
        ["--set", "a=1+1"],
        ["--set", "1=1"],
        ["--set", "nosuch=1"],
        ["second.nxt"],
        ["--js"],
    ],
)
def test_a_wrong_command_line_has_status_2(capsys: pytest.CaptureFixture[str], small: str, words: list[str]) -> None:
    assert main([small, *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error[NX") and "Traceback" not in err


def test_options_stand_anywhere(capsys: pytest.CaptureFixture[str], small: str) -> None:
    assert main(["--quiet", "check", "--tol", "1e-2", small, "--seed", "3"]) == 0
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--quiet", FIRST]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["--quiet", written(tmp_path, "show y\n")]) == 1
    assert "NX101" in capsys.readouterr().err


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([FIRST, "--json", "--seed", "5"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert (answer["nexort"], answer["file"], answer["seed"], err) == (__version__, FIRST, 5, "")
    assert [(r["name"], r["kind"], r["shape"], r["method"]) for r in answer["results"]] == [
        ("K", "scalar", [2, 2], "exact"),
        ("dist(h2)", "distribution", [2], "exact"),
    ]


def test_json_diagnostics_go_to_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path, "width n\nshow ξ\n")
    assert main(["check", "--json", file]) == 1
    out, err = capsys.readouterr()
    (d,) = json.loads(out)["diagnostics"]
    assert (d["code"], d["file"], d["line"], d["column"], d["end_column"]) == ("NX101", file, 2, 6, 7)
    assert "NX101" in err
    assert main(["check", "--json", FIRST]) == 0
    assert json.loads(capsys.readouterr().out) == {"diagnostics": []}


def test_colors(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "show y\n")
    for choice, colored in (("auto", False), ("always", True), ("never", False)):
        main([file, "--color", choice])
        assert ("\x1b[" in capsys.readouterr().err) == colored
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True, raising=False)
    main([file])
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    main([file])
    assert "\x1b[" not in capsys.readouterr().err


# ---------------------------------------------------------------------------- statuses


def test_a_failed_assert(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path, SMALL + "assert a ~= 2 within 1e-9\nassert avg(x^2) ~= 1.5 within 1e-3\n")
    assert main([file]) == 1
    out, err = capsys.readouterr()
    assert "1 assert holds" in out and "NX304" in err and "expected 1.5 within 0.001, found 1" in err
    assert main([file, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["results"]) == 1 and [d["code"] for d in answer["diagnostics"]] == ["NX304"]


def test_a_tolerance_that_is_not_reached(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    program = (
        "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\ny = tanh(W.T @ tanh(W @ tanh(x)))\nshow <y|y> as c\n"
    )
    file = written(tmp_path, program)
    assert main([file, "--samples", "64", "--tol", "1e-9"]) == 3
    out, err = capsys.readouterr()
    assert "sampled" in out and "(" in out and "warning[NX305]" in err
    assert main([file, "--samples", "64", "--tol", "1e-9", "--quiet"]) == 3
    assert capsys.readouterr() == ("", "")


def test_same_seed_same_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = written(tmp_path, SAMPLED)
    runs = []
    for seed in ("1", "1", "2"):
        main([file, "--json", "--samples", "256", "--seed", seed])
        runs.append(json.loads(capsys.readouterr().out)["results"])
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("name", "code"),
    [("absent.nxt", "NX501"), ("", "NX501"), (".", "NX501"), ("a\0b", "NX501"), ("latin.nxt", "NX502")],
)
def test_unreadable_programs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, b"# \xe9t\xe9\n", "latin.nxt")
    assert main(["check", name]) == 1
    assert code in capsys.readouterr().err


def test_a_huge_file_is_no_program(
    capsys: pytest.CaptureFixture[str], small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_SOURCE_BYTES", 10)
    assert main([small]) == 1
    assert "NX501" in capsys.readouterr().err


def test_a_forgotten_ending_is_suggested(
    capsys: pytest.CaptureFixture[str], small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(small).parent)
    assert main(["small"]) == 1
    assert "did you mean small.nxt?" in capsys.readouterr().err


def test_byte_order_marks_and_windows_lines_do_no_harm(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([written(tmp_path, b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())]) == 0
    assert capsys.readouterr().out == "c =  2  (exact)\n"


# ---------------------------------------------------------------------------- accidents


@pytest.mark.parametrize(
    ("accident", "code"),
    [
        (ZeroDivisionError("in a stage\nsecond line"), "NX901"),
        (AssertionError(), "NX901"),
        (MemoryError(), "NX505"),
        (RecursionError("deep"), "NX506"),
        (OSError(28, "No space left on device"), "NX501"),
    ],
)
def test_accidents_become_diagnostics(
    capsys: pytest.CaptureFixture[str], small: str, monkeypatch: pytest.MonkeyPatch, accident: Exception, code: str
) -> None:
    def fails(*arguments: object) -> None:
        raise accident

    monkeypatch.setattr(driver, "run", fails)
    assert main([small, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == [code]
    assert code in err and "Traceback" not in err
    monkeypatch.setenv("NEXORT_DEBUG", "1")
    with pytest.raises(type(accident)):
        main([small])


def test_interruption(capsys: pytest.CaptureFixture[str], small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "run", interrupted)
    assert main([small]) == 130
    assert capsys.readouterr().err == "nexort: interrupted\n"


def test_interruption_of_a_process(tmp_path: Path) -> None:
    file = written(tmp_path, "width n\nx[n] ~ normal(0, 1)\nfor t in range(900000):\n    x = tanh(x + t)\nshow <x|x>\n")
    program = "import sys; from nexortlang.cli import main; print(flush=True); sys.exit(main(sys.argv[1:]))"
    running = subprocess.Popen(
        [sys.executable, "-c", program, file, "--max-steps", "10000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None and running.stdout.readline() == "\n"
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in err and len(err.splitlines()) == 1


def test_a_closed_pipe_is_no_accident(tmp_path: Path) -> None:
    file = written(tmp_path, "show eye(400) as big\n" * 3)
    command = f'"{sys.executable}" -m nexortlang "{file}" --json | head -c 10'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stdout == '{"nexort":' and done.stderr == ""


def test_a_full_disk_is_told(small: str) -> None:
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nexortlang", small], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 1 and "NX501" in done.stderr and "Traceback" not in done.stderr


def test_streams_without_unicode(tmp_path: Path) -> None:
    file = written(tmp_path, "width n\nξ[n] ~ normal(0, 1)\nshow <ξ|ξ>\nshow [[1, 2], [3, 4]]\n")
    done = process(file, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "<?|?> =  1" in done.stdout


def test_streams_that_are_closed(small: str) -> None:
    command = f'"{sys.executable}" -m nexortlang "{small}" >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], timeout=120).returncode == 0


# ---------------------------------------------------------------------------- progress


def test_progress_is_shown_after_a_while_and_cleared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True, raising=False)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(quiet=False) as progress:
        progress("early")
        now[0] = 1.5
        progress("working")
    assert capsys.readouterr().err == "\r\x1b[Kworking\r\x1b[K"


def test_progress_is_silent_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress(quiet=False) as progress:
        monkeypatch.setattr(time, "monotonic", lambda: 1e9)
        progress("working")
    assert capsys.readouterr().err == ""
