"""The grammar and the table made of it: no conflicts, the reserved words, the cache."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lark import Lark, logger

from nexortlang.cache import cache_folder, write_atomically
from nexortlang.resources import resource
from nexortlang.source import Source
from nexortlang.syntax.build_tree import TreeBuilder
from nexortlang.syntax.parser import parse
from nexortlang.syntax.table import STARTS, table

GRAMMAR = resource("grammar", "nexort.lark")
RESERVED = "width const def return for in if elif else import from as optimizer state show assert within and or not"


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder that does not exist yet, and no table in memory before or after."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NEXORT_CACHE", str(folder))
    monkeypatch.setattr("nexortlang.syntax.table.table", table.__wrapped__)
    return folder


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    logger.propagate = True
    with caplog.at_level(logging.DEBUG, logger.name):
        Lark(GRAMMAR.read_text("utf-8"), start=list(STARTS), parser="lalr", lexer="basic", debug=True)
    assert not [r.message for r in caplog.records if "conflict" in r.message.lower()]


def test_reserved_words() -> None:
    assert table().reserved == set(RESERVED.split())


@pytest.mark.parametrize("word", RESERVED.split())
def test_reserved_words_are_no_names(word: str) -> None:
    for text in (
        f"const {word} = 1",
        f"x = {word} + 1" if word != "not" else "x = not + or",
        f"def {word}(x) = x",
        f"x.{word} = 1",
    ):
        _, mistakes = parse(Source("", text))
        assert len(mistakes) == 1


def test_every_rule_has_its_builder() -> None:
    tree = TreeBuilder(Source("", ""))
    for rule in table().rules:
        if rule.label not in ("", "*"):
            assert callable(tree.builder(rule.label))


def test_lines_of_the_grammar_are_explained() -> None:
    """The grammar reads as a reference: every group of rules has a comment above it, and lines are short."""
    text = GRAMMAR.read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("//") > 50 and not re.search(r"[ \t]$", text, re.MULTILINE)


# ---------------------------------------------------------------------------- the cache


def test_the_table_is_kept_and_read_back(no_memory: Path) -> None:
    first = table.__wrapped__()
    (file,) = no_memory.iterdir()
    assert json.loads(file.read_text("utf-8"))["grammar"] == GRAMMAR.read_text("utf-8")
    assert table.__wrapped__() == first == table()


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"grammar": "another"}', "\0"])
def test_a_damaged_cache_is_made_again(no_memory: Path, damage: str) -> None:
    first = table.__wrapped__()
    (file,) = no_memory.iterdir()
    whole = file.read_text("utf-8")
    file.write_text(damage)
    assert table.__wrapped__() == first
    assert file.read_text("utf-8") == whole


def test_a_cache_folder_that_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEXORT_CACHE", str(tmp_path / "file" / "below"))
    assert cache_folder() is None
    assert table.__wrapped__() == table()


def test_which_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEXORT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "nexort"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "nexort"
    monkeypatch.setenv("NEXORT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_writing_leaves_no_parts(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "text")
    write_atomically(tmp_path / "missing" / "a", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "text"


def test_parsing_with_a_table_from_the_cache_loads_neither_lark_nor_numpy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom nexortlang.source import Source\nfrom nexortlang.syntax.parser import parse\n"
        "assert parse(Source('', 'show 1'))[1] == []\nprint(sorted({'lark', 'numpy'} & set(sys.modules)))"
    )
    environment = {"NEXORT_CACHE": str(tmp_path), "PYTHONPATH": str(GRAMMAR.parent.parent)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert outputs == ["['lark']\n", "[]\n"]


def test_missing_folder_of_data() -> None:
    with pytest.raises(FileNotFoundError, match="nosuch"):
        resource("nosuch", "file")
    assert resource("grammar", "nexort.lark").exists() and resource("stdlib", "optim.nxt").exists()
