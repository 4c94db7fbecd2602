"""Input and surroundings that are wrong: files of every bad kind, streams that end, terminals that are narrow, folders that cannot be written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexortlang import reading
from nexortlang.cli import main

ROOT = Path(__file__).resolve().parent.parent
FIRST = str(ROOT / "examples" / "first.nxt")
WITH_FILE = (["check"], ["core"], ["derive"], ["simulate"], ["verify"], [])


class _Bytes(io.TextIOWrapper):
    """Standard input of these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def process(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "nexortlang", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, env={**os.environ, **environment})


@pytest.mark.parametrize("command", WITH_FILE, ids=lambda c: " ".join(c) or "run")
def test_files_of_every_bad_kind(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_SOURCE_BYTES", 1000)
    (tmp_path / "huge.nxt").write_text("# " * 600)
    (tmp_path / "latin.nxt").write_bytes("show 1\n# é\n".encode("latin-1"))
    (tmp_path / "utf16.nxt").write_bytes("show 1\n".encode("utf-16"))
    (tmp_path / "binary.nxt").write_bytes(bytes(range(128, 256)))
    (tmp_path / "circle.nxt").symlink_to(tmp_path / "circle.nxt")
    for name, code in (
        ("huge.nxt", "NX501"),
        ("latin.nxt", "NX502"),
        ("utf16.nxt", "NX502"),
        ("binary.nxt", "NX502"),
        ("circle.nxt", "NX501"),
        ("absent.nxt", "NX501"),
        ("", "NX501"),  # the folder
        ("a" * 5000, "NX501"),
    ):
        assert main([*command, str(tmp_path / name)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"error[{code}]:") and "Traceback" not in err
    (tmp_path / "null.nxt").write_bytes(b"show 1\0\n")
    assert main([*command, str(tmp_path / "null.nxt")]) == 1
    assert capsys.readouterr().err.startswith("error[NX0")


@pytest.mark.parametrize(("data", "code"), [(b"\xff\xfe", "NX502"), (b"# " * 600, "NX501"), (b"show y", "NX101")])
def test_standard_input_of_every_bad_kind(
    data: bytes, code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_SOURCE_BYTES", 1000)
    monkeypatch.setattr(sys, "stdin", _Bytes(data))
    assert main(["check", "-"]) == 1
    assert capsys.readouterr().err.startswith(f"error[{code}]")
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["check", "-"]) == 1
    assert "standard input is closed" in " ".join(capsys.readouterr().err.split())


def test_a_file_that_never_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_SOURCE_BYTES", 1000)
    if os.path.exists("/dev/zero"):
        assert main(["check", "/dev/zero"]) == 1
        assert "NX501" in capsys.readouterr().err


def test_modules_and_data_of_every_bad_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.nxt").write_bytes(b"# \xe9\n")
    (tmp_path / "folder.nxt").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\n")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01")
    for text, code in (
        ('import "latin.nxt"', "NX502"),
        ('import "folder.nxt"', "NX106"),
        ('const x = load("folder.csv")', "NX501"),
        ('const x = load("bad.csv")', "NX504"),
        ('const x = load("bad.npy")', "NX504"),
    ):
        (tmp_path / "a.nxt").write_text(f"{text}\n")
        assert main(["check", str(tmp_path / "a.nxt")]) == 1
        assert capsys.readouterr().err.startswith(f"error[{code}]"), text


@pytest.mark.parametrize(
    "words",
    [
        [FIRST],
        ["check", FIRST],
        ["simulate", FIRST, "--width", "16", "--seeds", "2"],
        ["verify", FIRST, "--widths", "16,32", "--seeds", "2"],
        ["explain", "NX203"],
        ["explain"],
        ["check", "nosuch.nxt"],
        ["--nosuch"],
    ],
    ids=lambda words: words[0].rpartition("/")[2],
)
def test_terminals_of_40_columns(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.chdir(ROOT / "examples")
    words = [Path(w).name if w == FIRST else w for w in words]
    main(words)
    out, err = capsys.readouterr()
    lines = [line for line in (out + err).splitlines() if not line.startswith(("    ", "Wrong", "Right"))]
    assert lines and max(map(len, lines)) <= 40


@pytest.mark.parametrize(
    "words", [["check", FIRST], [FIRST], ["simulate", FIRST, "--width", "8"]], ids=lambda w: w[0][-9:]
)
def test_a_home_that_cannot_be_written(words: list[str], tmp_path: Path) -> None:
    """A file stands where folders would be made; no home at all."""
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "below")
    for environment in (
        {"HOME": nowhere, "XDG_CACHE_HOME": "", "XDG_STATE_HOME": "", "NEXORT_CACHE": ""},
        {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "XDG_STATE_HOME": nowhere, "NEXORT_CACHE": nowhere},
    ):
        done = process(*words, **environment)
        assert done.returncode == 0 and done.stderr == b"" and done.stdout


def test_readers_that_leave(tmp_path: Path) -> None:
    (tmp_path / "a.nxt").write_text("width n\nx[n, 300] ~ normal(0, 1)\nshow <x|x>\n" * 1)
    file = str(tmp_path / "a.nxt")
    for words in (f'"{file}" --json', f'core "{file}"', f'simulate "{file}" --json --width 8 --seeds 2', "explain"):
        command = f'"{sys.executable}" -m nexortlang {words} | head -c 1'
        done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120)
        assert len(done.stdout) == 1 and done.stderr == b""
