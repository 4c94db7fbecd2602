"""The documentation is true: every program in README.md and docs/ runs, or is refused with the code that it says; links lead somewhere."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest
from transcripts import replay

from nexortlang.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```nxt\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRONG = re.compile(r"#! (NX\d{3})$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\((?!https?://)([^)#]+)")

PROGRAMS = [
    pytest.param(match[1], id=f"{page.name}:{page.read_text('utf-8').count(chr(10), 0, match.start()) + 1}")
    for page in PAGES
    for match in BLOCK.finditer(page.read_text("utf-8"))
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,0\n0,1\n1,1\n")
    (tmp_path / "y.csv").write_text("1\n-1\n0.5\n")
    (tmp_path / "layers.nxt").write_text("## A dense layer.\ndef dense(W, x) = relu(W @ x)\n")
    (tmp_path / "program.nxt").write_text(program, encoding="utf-8")
    status = main([str(tmp_path / "program.nxt"), "--json", "--samples", "512", "--tol", "1"])
    answer = json.loads(capsys.readouterr().out)
    codes = {d["code"] for d in answer.get("diagnostics", [])}
    assert codes == set(WRONG.findall(program)), answer
    assert status == (1 if codes else 0)


def test_the_readme_shows_what_its_program_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    program, printed = re.findall(r"```nxt\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "first.nxt").write_text(program, encoding="utf-8")
    assert main([str(tmp_path / "first.nxt")]) == 0
    assert capsys.readouterr().out == printed


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = CODE.sub("", page.read_text("utf-8"))
    for target in LINK.findall(prose):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [p for p in PAGES if "```pycon" in p.read_text("utf-8")], ids=lambda p: p.name)
def test_python_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page run one after the other, in a folder of their own, and print what the page says."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```pycon\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner().run(examples, out=said.append)
    assert tried >= 1 and failed == 0, "".join(said)


@pytest.mark.parametrize("page", [p for p in PAGES if "```repl" in p.read_text("utf-8")], ids=lambda p: p.name)
def test_transcripts(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed at the prompt on a page is answered as the page says; each block is a session."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```repl\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks and [replay(block) for block in blocks] == blocks
