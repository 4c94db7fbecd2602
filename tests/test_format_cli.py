"""`nexort fmt`: what it writes, prints and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexortlang.cli import main
from nexortlang.settings import MAX_SOURCE_BYTES

ROOT = Path(__file__).resolve().parent.parent
UGLY = "width n\nφ=tanh( x )# c\n"
NEAT = "width n\nφ = tanh(x)  # c\n"
WRONG = "width n\nx = (1\n"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.nxt"
    path.write_text(UGLY, "utf-8")
    return path


def test_a_file_is_replaced(file: Path, capsys: Capture) -> None:
    file.chmod(0o640)
    assert main(["fmt", str(file)]) == 0
    assert file.read_text("utf-8") == NEAT
    assert capsys.readouterr().out == f"{file}: formatted\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["a.nxt"]


def test_a_formatted_file_is_not_touched(file: Path, capsys: Capture) -> None:
    file.write_text(NEAT, "utf-8")
    before = file.stat()
    assert main(["fmt", str(file)]) == 0
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert capsys.readouterr().out == ""


def test_check_writes_nothing(file: Path, capsys: Capture) -> None:
    assert main(["fmt", "--check", str(file)]) == 1
    assert capsys.readouterr().out == f"{file}: not formatted\n"
    assert file.read_text("utf-8") == UGLY
    file.write_text(NEAT, "utf-8")
    assert main(["fmt", "--check", str(file)]) == 0
    assert capsys.readouterr().out == ""


def test_diff_writes_nothing(file: Path, capsys: Capture) -> None:
    file.write_text(UGLY + "x", "utf-8")
    assert main(["fmt", "--diff", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"--- {file}\n+++ {file} (formatted)\n@@ -1,3 +1,3 @@\n width n\n-φ=tanh( x )# c\n-x\n"
        "\\ No newline at end of file\n+φ = tanh(x)  # c\n+x\n"
    )
    assert file.read_text("utf-8") == UGLY + "x"
    assert main(["fmt", "--diff", "--check", str(file)]) == 1


def test_one_bad_file_does_not_keep_others(file: Path, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.nxt"
    bad.write_text(WRONG)
    assert main(["fmt", str(bad), str(tmp_path / "missing.nxt"), str(file)]) == 1
    said = capsys.readouterr()
    assert "NX002" in said.err and f"{bad}:2:5" in said.err and "NX501" in said.err
    assert bad.read_text() == WRONG
    assert file.read_text("utf-8") == NEAT


def test_json(file: Path, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.nxt"
    bad.write_text(WRONG)
    assert main(["fmt", "--json", str(file), str(bad)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["files"] == [{"file": str(file), "changed": True}]
    assert [d["code"] for d in answer["diagnostics"]] == ["NX002"]
    file.write_text(UGLY, "utf-8")
    assert main(["fmt", "--json", "--diff", str(file)]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["files"]
    assert answer["changed"] and answer["diff"].endswith("-φ=tanh( x )# c\n+φ = tanh(x)  # c\n")
    assert file.read_text("utf-8") == UGLY


def command(*words: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "nexortlang", "fmt", *words],
        input=given,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=60,
    )


def test_standard_input() -> None:
    """Greek letters arrive whatever the encoding of the terminal, and the file's line ends stay."""
    done = command("-", given=UGLY.replace("\n", "\r\n").encode(), PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stdout, done.stderr) == (0, NEAT.replace("\n", "\r\n").encode(), b"")
    assert command("--check", "-", given=UGLY.encode()).returncode == 1
    done = command("-", given=WRONG.encode())
    assert (done.returncode, done.stdout) == (1, b"") and b"NX002" in done.stderr


def test_a_closed_pipe() -> None:
    text = (UGLY * 200).encode()
    words = [sys.executable, "-m", "nexortlang", "fmt", "--diff", "-"]
    with subprocess.Popen(words, stdin=-1, stdout=-1, stderr=-1, cwd=ROOT) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(text)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def refused(words: list[str], code: str, reason: str, capsys: Capture) -> None:
    assert main(["fmt", *words]) in (1, 2)
    said = " ".join(capsys.readouterr().err.split())
    assert code in said and reason in said and "Traceback" not in said


def test_what_cannot_be_read(tmp_path: Path, capsys: Capture) -> None:
    refused([str(tmp_path)], "NX501", "directory", capsys)
    refused(["a\0b"], "NX501", "null", capsys)
    latin = tmp_path / "latin.nxt"
    latin.write_bytes("# é\n".encode("latin-1"))
    refused([str(latin)], "NX502", "UTF-8", capsys)
    assert latin.read_bytes() == b"# \xe9\n"
    huge = tmp_path / "huge.nxt"
    with huge.open("wb") as sparse:
        sparse.truncate(MAX_SOURCE_BYTES + 1)
    refused([str(huge)], "NX501", "50 MB", capsys)
    refused([], "NX507", "takes a file", capsys)


def test_read_only_files_stay(file: Path, capsys: Capture) -> None:
    file.chmod(0o444)
    refused([str(file)], "NX501", "read-only", capsys)
    assert file.read_text("utf-8") == UGLY
    assert main(["fmt", "--check", str(file)]) == 1


def test_a_folder_that_takes_no_file(file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", no_room)
    refused([str(file)], "NX501", "Permission denied", capsys)
    assert file.read_text("utf-8") == UGLY


def test_an_interrupted_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    assert main(["fmt", str(file)]) == 130
    assert file.read_text("utf-8") == UGLY
    assert os.listdir(file.parent) == ["a.nxt"]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.nxt"
    link.symlink_to(file)
    assert main(["fmt", str(link)]) == 0
    assert link.is_symlink() and file.read_text("utf-8") == NEAT


def test_what_is_no_ordinary_file() -> None:
    done = command("/dev/stdin", given=UGLY.encode())
    assert done.returncode == 1 and b"NX501" in done.stderr


def test_meaning_is_checked_before_writing(file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexortlang.format.formatter._layout", lambda text: text.replace("tanh", "sin"))
    refused([str(file)], "NX901", "would change what", capsys)
    assert file.read_text("utf-8") == UGLY


def test_options_of_fmt_alone(file: Path, capsys: Capture) -> None:
    for option in ("--check", "--diff"):
        assert main([option, str(file)]) == 2
        assert "option of `nexort fmt`" in capsys.readouterr().err


def test_the_repository_is_formatted() -> None:
    folders = ("stdlib", "examples", "tests/programs", "tests/syntax_programs")
    files = [str(p) for folder in folders for p in sorted((ROOT / folder).rglob("*.nxt"))]
    assert len(files) > 40
    assert main(["fmt", "--check", *files]) == 0
