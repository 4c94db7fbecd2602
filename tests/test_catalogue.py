"""The catalogue: every code that the package uses has a lesson, every lesson's wrong program has the code, its right one is right."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from nexortlang.cli import main
from nexortlang.diagnostics.catalogue import LESSONS

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"\bNX\d{3}\b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that lessons speak of."""
    (tmp_path / "digits.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "words.csv").write_text("one,two\nthree,four\nfive,six\n")
    (tmp_path / "layers.nxt").write_text("def dense(W, x) = relu(W @ x)\n")
    return tmp_path


def codes_of(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    file = folder / "program.nxt"
    file.write_text(text, encoding="utf-8")
    main([str(file), "--json", "--samples", "256"])
    return [d["code"] for d in json.loads(capsys.readouterr().out).get("diagnostics", [])]


def test_every_code_used_has_a_lesson() -> None:
    used = {code for path in (ROOT / "nexortlang").rglob("*.py") for code in CODE.findall(path.read_text("utf-8"))}
    assert not used - LESSONS.keys()


def test_every_lesson_is_used() -> None:
    sources = [p for p in (ROOT / "nexortlang").rglob("*.py") if not p.name.startswith("lessons_")]
    used = {code for path in sources for code in CODE.findall(path.read_text("utf-8"))}
    assert not LESSONS.keys() - used


@pytest.mark.parametrize("code", sorted(LESSONS))
def test_a_lesson_is_whole(code: str) -> None:
    lesson = LESSONS[code]
    assert lesson.title and lesson.why.endswith(".") and bool(lesson.wrong) == bool(lesson.right)


@pytest.mark.parametrize("code", [c for c in sorted(LESSONS) if LESSONS[c].wrong])
def test_the_wrong_program_is_wrong_so_and_the_right_one_right(
    code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = codes_of(LESSONS[code].wrong, folder, capsys)
    assert set(wrong) == {code}
    assert codes_of(LESSONS[code].right, folder, capsys) == []


def test_the_page_of_errors_is_current() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "errors_page.py"))
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == tool["page"](), "run: python tools/errors_page.py"
