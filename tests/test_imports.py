"""The order of the packages, and what may be imported when.

A package imports only what stands left of it in ORDER; numba is imported by jit/ alone; checking a program stays free of the heavy modules.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nexortlang"

# One layer a line: a module imports its own layer and those above it.
ORDER = """
    settings cache resources
    source
    diagnostics
    syntax reading
    check format pygments_lexer
    entrywise
    core
    files elaborate
    editor
    jit processes kets finite classify
    compare
    report derive
    plots
    driver
    experiments session
    api
    lsp
    options setvalues
    usage
    cli cli_finite cli_fmt repl
    __main__
"""
LAYER = {name: i for i, line in enumerate(ORDER.strip().splitlines()) for name in line.split()}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "nexortlang":
                yield from (f"nexortlang.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def part(path: Path) -> str:
    """The package, or module of the top level, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_left_never_imports_right(path: Path) -> None:
    here = part(path)
    if here == "__init__":
        return
    for name in imports(path):
        if name.startswith("nexortlang.") and not name.startswith("nexortlang.__version__"):
            other = name.split(".")[1]
            assert LAYER[other] <= LAYER[here], f"{here} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_given_dependencies(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"nexortlang", "numpy", "lark", "numba", "prompt_toolkit"}
    if part(path) == "lsp":
        allowed |= {"pygls", "lsprotocol"}
    if part(path) == "pygments_lexer":
        allowed |= {"pygments"}
    if part(path) == "plots":
        allowed |= {"matplotlib"}
    outside = {name.split(".")[0] for name in imports(path)}
    assert outside <= allowed
    if "numba" in outside:
        assert part(path) == "jit"
    if "prompt_toolkit" in outside:
        assert part(path) == "repl"


def loaded_after(code: str, *argv: str) -> set[str]:
    """The top-level modules in a fresh process after it ran `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stderr.split()}


def test_checking_loads_nothing_heavy() -> None:
    code = "from nexortlang.cli import main\nassert main(['check', 'examples/first.nxt']) == 0"
    assert not loaded_after(code) & {"numba", "llvmlite", "scipy", "prompt_toolkit", "matplotlib"}


def test_a_small_exact_program_never_loads_numba() -> None:
    code = "from nexortlang.cli import main\nassert main(['examples/first.nxt']) == 0"
    assert not loaded_after(code) & {"numba", "llvmlite", "scipy", "prompt_toolkit"}


def test_help_loads_no_numpy() -> None:
    code = "from nexortlang.cli import main\nassert main(['--help']) == 0 and main(['explain', 'NX506']) == 0"
    assert not loaded_after(code) & {"numpy", "lark", "numba"}
