"""What editors colour with is made from the token table, and colours as `highlight` does: TextMate and Vim files, snippets, Pygments."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pygments.token import Error
from random_programs import program
from test_highlight import FORMS

from nexortlang.format.formatter import formatted
from nexortlang.pygments_lexer import TOKENS, NexortLexer
from nexortlang.source import Source
from nexortlang.syntax.highlight import CLASSES, highlight
from nexortlang.syntax.parser import parse
from nexortlang.syntax.table import table
from nexortlang.syntax.words import CONSTANTS, DECLARATIONS, FUNCTIONS, LOGIC

ROOT = Path(__file__).resolve().parent.parent
GRAMMAR = ROOT / "grammar"
TOOL = runpy.run_path(str(ROOT / "tools" / "highlighting.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TEXTMATE: dict[str, Any] = json.loads((GRAMMAR / "nexort.tmLanguage.json").read_text("utf-8"))

WORDS = {
    **dict.fromkeys(table().reserved - DECLARATIONS - LOGIC, "keyword"),
    **dict.fromkeys(DECLARATIONS, "declaration"),
    **dict.fromkeys(LOGIC, "logic"),
    **dict.fromkeys(FUNCTIONS, "builtin"),
    **dict.fromkeys(CONSTANTS, "constant"),
    **dict.fromkeys((t for t in table().terminals if not t[0].isalnum() and t[0] not in "_$[(<|>⟨⟩,:.])"), "operator"),
    **dict.fromkeys((">", "<=", "ᵀ"), "operator"),
    **dict.fromkeys((",", ":", "(", "[", ")", "]"), "punctuation"),
    **dict.fromkeys(("<", "⟨", "|"), "braket"),
    **dict.fromkeys(("3", "0.5", ".5", "1e-3", "2.E+4"), "number"),
    **dict.fromkeys(('"a.csv"', "'b'"), "string"),
    **dict.fromkeys(("x", "h1", "ξ", "x₁", "x′", "inner", "sum′", "T_", "normal"), "name"),
    "...": "constant",
    "# a": "comment",
    "## a": "doc",
    ";": "error",
}  # fmt: skip
"""Words that have their class alone."""

PROGRAMS = {
    **{
        p.name: p.read_text("utf-8")
        for folder in ("examples", "stdlib")
        for p in sorted((ROOT / folder).rglob("*.nxt"))
    },
    "tour.nxt": (ROOT / "tests" / "programs" / "tour" / "tour.nxt").read_text("utf-8"),
    "random.nxt": "".join(formatted(Source("", program(Random(seed)))) for seed in range(4)),
    "forms.nxt": "".join(f"{text}\n" for text, _ in FORMS),
}
"""What each editor colours, word by word, as `highlight` does."""


def test_the_table_of_words_is_complete() -> None:
    named = {t for t in table().terminals if t[0] not in "_$" and t not in ("NAME", "NUMBER", "STRING")}
    assert named - {".", "⟩"} <= set(WORDS)
    assert all(highlight(word)[0].kind == kind for word, kind in WORDS.items())


def test_generated_files_are_current() -> None:
    for path, text in TOOL["files"]().items():
        assert path.read_text("utf-8") == text, "run: python tools/highlighting.py"


# ---------------------------------------------------------------------------- TextMate


def rules(node: Any = TEXTMATE) -> Iterator[dict[str, Any]]:
    """All rules of the TextMate grammar."""
    if isinstance(node, dict):
        if node.keys() & {"match", "begin", "include"}:
            yield node
        for value in node.values():
            yield from rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from rules(value)


def test_the_textmate_grammar_holds_together() -> None:
    repository = TEXTMATE["repository"]
    included = {rule["include"].removeprefix("#") for rule in rules() if "include" in rule}
    assert included == set(repository) and all(entry["patterns"] for entry in repository.values())
    scopes = {TOOL["scope"](kind) for kind in CLASSES if kind != "text"}
    for rule in rules():
        patterns = [rule[key] for key in ("match", "begin", "end") if key in rule]
        for pattern in map(re.compile, patterns):
            assert pattern.groups == len(rule.get("captures", rule.get("beginCaptures", {})))
        named = [rule["name"]] if "name" in rule else []
        named += [c["name"] for key in ("captures", "beginCaptures", "endCaptures") for c in rule.get(key, {}).values()]
        assert set(named) <= scopes and bool(named) == ("include" not in rule)


def flat(name: str) -> Iterator[dict[str, Any]]:
    """The rules of an entry, in the order in which they are tried."""
    for rule in TEXTMATE["repository"][name]["patterns"]:
        if "include" in rule:
            yield from flat(rule["include"].removeprefix("#"))
        else:
            yield rule


def textmate_class(word: str) -> str:
    """The scope of a word alone: of the first rule that matches it."""
    for rule in flat("on-line"):
        if found := re.compile(rule.get("match") or rule["begin"]).match(word):
            captured = rule.get("captures") or rule.get("beginCaptures") or {}
            assert found.end() == len(word)
            return str(captured["1"]["name"] if captured else rule["name"])
    return ""


@pytest.mark.parametrize(("word", "kind"), WORDS.items())
def test_textmate_gives_words_their_class(word: str, kind: str) -> None:
    assert textmate_class(word) == TOOL["scope"](kind)


def by_line(text: str) -> Iterator[tuple[str, list[tuple[int, int, str]]]]:
    """Each line with its words: columns and class."""
    regions = [r for r in highlight(text) if r.kind != "text"]
    start = k = 0
    for line in text.split("\n"):
        found = []
        while k < len(regions) and regions[k].start < start + len(line):
            found.append((regions[k].start - start, regions[k].end - start, str(regions[k].kind)))
            k += 1
        yield line, found
        start += len(line) + 1


def asserted(name: str, text: str) -> str:
    """A program with the scope of each word below its line, as vscode-tmgrammar-test reads it."""
    lines = [f'# SYNTAX TEST "source.nexort" "{name}"']
    for line, found in by_line(text):
        lines.append(line)
        for start, end, kind in found:
            place = " " * (start - 1) + "^" * (end - start) if start else " <" + "-" * end
            lines.append(f"#{place} {TOOL['scope'](kind)}")
    return "\n".join(lines) + "\n"


def test_textmate_colours_programs(tmp_path: Path) -> None:
    """By the engine of VS Code, where npm brings it; the tests above hold without it."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(asserted(name, text), "utf-8")
    (tmp_path / "wrong.nxt").write_text(asserted("", "show x\n").replace("keyword.control", "comment"), "utf-8")
    assert (tmp_path / "first.nxt").read_text("utf-8").count(" keyword.other.braket.nexort\n") >= 6
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("there is no npx")
    grammar = str(GRAMMAR / "nexort.tmLanguage.json")
    done = run(npx, "--yes", ENGINE, "--compact", "--grammar", grammar, *PROGRAMS, "wrong.nxt", folder=tmp_path)
    if "wrong.nxt" not in done.stdout:
        pytest.skip(f"npm could not bring {ENGINE}")
    passed = re.findall(r"^\S+ (\S+) run success", done.stdout, re.MULTILINE)
    assert sorted(passed) == sorted(PROGRAMS), done.stdout


ENGINE = "vscode-tmgrammar-test@0.1.3"


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


# ---------------------------------------------------------------------------- Vim

VIM_GROUPS = {"nexortMethod": "function", "nexortDefined": "function", "nexortTurn": "braket", "nexortLess": "operator"}
VIM = """\
set runtimepath^={plugin}
syntax on
filetype plugin indent on
for name in {names}
  execute "edit" name
  syntax sync fromstart
  let rows = []
  for line in range(1, line("$"))
    call add(rows, map(range(1, strlen(getline(line))), 'synIDattr(synID(line, v:val, 1), "name")'))
  endfor
  call writefile([json_encode(rows), &filetype, &indentexpr], name .. ".json")
  normal! gg=G
  execute "write!" name .. ".indented"
endfor
quitall!
"""


@pytest.fixture(scope="module")
def vim_folder(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder where Vim has coloured and indented the programs; None where there is no Vim, or one without colours."""
    folder, vim = tmp_path_factory.mktemp("vim"), shutil.which("vim")
    if vim is None or "+syntax" not in run(vim, "--version", folder=folder).stdout:
        return None
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "script.vim").write_text(VIM.format(plugin=GRAMMAR / "vim", names=list(PROGRAMS)))
    run(
        vim,
        "-es",
        "-N",
        "-u",
        "NONE",
        "-i",
        "NONE",
        "--cmd",
        "set encoding=utf-8 noswapfile",
        "-S",
        "script.vim",
        folder=folder,
    )
    return folder


@pytest.mark.parametrize("name", PROGRAMS)
def test_vim_colours_programs(name: str, vim_folder: Path | None) -> None:
    """The tests below hold without Vim."""
    if vim_folder is None:
        pytest.skip("there is no Vim with colours")
    colours, filetype, indent = (vim_folder / f"{name}.json").read_text("utf-8").splitlines()
    assert filetype == "nexort" and indent.startswith("NexortIndent(")
    for row, (line, words) in zip(json.loads(colours), by_line(PROGRAMS[name]), strict=False):
        groups = groups_of(row, line)
        for start, end, kind in words:
            assert groups[start:end] == [kind] * (end - start), (line, start)
    if name != "forms.nxt":
        assert (vim_folder / f"{name}.indented").read_text("utf-8") == PROGRAMS[name]


def groups_of(row: list[str], line: str) -> list[str]:
    """The class of each character; Vim tells it of each byte."""
    found = []
    byte = 0
    for character in line:
        found.append(VIM_GROUPS.get(row[byte], row[byte].removeprefix("nexort_")))
        byte += len(character.encode())
    return found


def test_vim_knows_all_words() -> None:
    """Also where there is no Vim."""
    rows = (GRAMMAR / "vim" / "syntax" / "nexort.vim").read_text("utf-8").splitlines()
    for word, kind in WORDS.items():
        if word.isalpha() and word.isascii() and kind != "name":
            assert any(row.startswith(f"syn match nexort_{kind} ") and re.search(rf"\b{word}\b", row) for row in rows)
    linked = {row.split()[3] for row in rows if row.startswith("hi def link nexort_")}
    assert linked == {f"nexort_{kind}" for kind in CLASSES} - {
        f"nexort_{kind}" for kind in ("name", "punctuation", "text")
    }


# ---------------------------------------------------------------------------- VS Code


def test_the_extension_holds_together() -> None:
    folder = GRAMMAR / "vscode"
    package = json.loads((folder / "package.json").read_text("utf-8"))
    assert package["version"] == PROJECT["version"] and package["license"] == PROJECT["license"]
    parts = package["contributes"]
    (language,), (grammar,), (snippets,) = parts["languages"], parts["grammars"], parts["snippets"]
    assert language["extensions"] == [".nxt"]
    assert grammar["language"] == snippets["language"] == language["id"]
    assert grammar["scopeName"] == TEXTMATE["scopeName"]
    assert all((folder / name).is_file() for name in (grammar["path"], snippets["path"], package["main"], "README.md"))
    configuration = json.loads((folder / language["configuration"]).read_text("utf-8"))
    rules = configuration["indentationRules"]
    deeper, shallower = (re.compile(rules[f"{way}IndentPattern"]) for way in ("increase", "decrease"))
    for text in PROGRAMS.values():
        for line in text.splitlines():
            header = re.match(r"\s*(def|optimizer|for|if|elif|else)\b", line)
            assert bool(deeper.match(line)) == (header is not None and line.partition("#")[0].rstrip().endswith(":"))
            assert bool(shallower.match(line)) == (header is not None and header[1] in ("elif", "else"))


def test_the_extension_is_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    for name in ("extension.js", "nothing.js"):
        assert (run(node, "--check", name, folder=GRAMMAR / "vscode").returncode == 0) == (name == "extension.js")


SNIPPETS: dict[str, Any] = json.loads((GRAMMAR / "vscode" / "snippets.json").read_text("utf-8"))


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_are_formatted_programs(name: str) -> None:
    body = SNIPPETS[name]["body"]
    text = "\n".join([body] if isinstance(body, str) else body)
    text = re.sub(r"\$\{\d+:([^}]*)\}|\$\d+", lambda field: field[1] or "", text) + "\n"
    assert formatted(Source("", text)) == text


# ---------------------------------------------------------------------------- Pygments

FILES = sorted(p for folder in ("examples", "stdlib", "tests") for p in (ROOT / folder).rglob("*.nxt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_pygments_finds_no_errors(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", errors="replace")
    if parse(Source("", text))[1]:
        text = "# one of the programs with mistakes\n"
    tokens = list(NexortLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(value for _, value in tokens) == text.replace("\r\n", "\n")
    assert Error not in {kind for kind, _ in tokens}


def test_pygments_colours_as_highlight_does() -> None:
    assert set(TOKENS) == set(CLASSES)
    text = PROGRAMS["forms.nxt"]
    tokens = NexortLexer(stripnl=False, ensurenl=False).get_tokens_unprocessed(text)
    assert [(start, start + len(value), kind) for start, kind, value in tokens] == [
        (r.start, r.end, TOKENS[r.kind]) for r in highlight(text)
    ]


def test_the_entry_point_is_the_lexer() -> None:
    (declared,) = PROJECT["entry-points"]["pygments.lexers"].items()
    assert EntryPoint(*declared, "pygments.lexers").load() is NexortLexer
    assert NexortLexer.filenames == ["*.nxt"] and "nexort" in NexortLexer.aliases
