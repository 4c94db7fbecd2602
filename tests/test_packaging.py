"""Installations: the wheel in a clean environment outside the checkout, with the newest dependencies and with the oldest ones allowed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from nexortlang.resources import resource

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

EXAMPLES = ("digits_nngp.nxt", "sign_update.nxt")  # one exact, one sampled

# What those two may do without: a compiled kernel, and the prompt.
HEAVY = """
import numpy as np
from nexortlang.entrywise.expression import build, leaf
from nexortlang.jit import entrywise, loader
from prompt_toolkit import PromptSession
import nexortlang.repl

x = np.linspace(-3, 3, 1001)
assert loader.numba_works()
assert np.allclose(entrywise(build("tanh", leaf(0)), "numba")(x), np.tanh(x), rtol=1e-14)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """stdout of a command that must succeed, with nothing of this environment in its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "NEXORT"))}
    environment["NEXORT_CACHE"] = str(cwd / "cache")
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_carries_grammar_and_library(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {p.relative_to(ROOT).as_posix() for d in ("grammar", "stdlib") for p in (ROOT / d).rglob("*") if p.is_file()}
    assert {f"nexortlang/_data/{name}" for name in data} <= names
    assert {"nexortlang/py.typed", "nexortlang/cli.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "examples", "docs"))]
    (entries,) = [zipfile.ZipFile(wheel).read(name).decode() for name in names if name.endswith("entry_points.txt")]
    assert "[pygments.lexers]" in entries and "nexortlang.pygments_lexer:NexortLexer" in entries


def test_this_installation_finds_its_data() -> None:
    assert resource("grammar", "nexort.lark").is_file()
    assert resource("stdlib", "optim.nxt").is_file()


@pytest.mark.parametrize("versions", ["newest", "oldest"])
def test_a_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path, versions: str) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    programs = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    oldest = [d.replace(">=", "==") for d in PROJECT["dependencies"]] if versions == "oldest" else []
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, *oldest, cwd=tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")

    assert run(programs / "nexort", "--version", cwd=tmp_path) == f"nexort {PROJECT['version']}\n"
    for name in EXAMPLES:
        answer = json.loads(run(programs / "nexort", f"examples/{name}", "--json", cwd=tmp_path))
        assert answer["results"] and "diagnostics" not in answer
    run(programs / "python", "-c", HEAVY, cwd=tmp_path)
    where = run(programs / "python", "-c", "import nexortlang; print(nexortlang.__file__)", cwd=tmp_path)
    assert str(tmp_path) in where


def test_every_dependency_has_a_lower_bound() -> None:
    extras = [d for extra in PROJECT["optional-dependencies"].values() for d in extra]
    assert all(">=" in d for d in [*PROJECT["dependencies"], *extras])
