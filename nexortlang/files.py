"""What a program may read: data and modules beside it, and the standard library.

In: the folder of the program. Out: arrays and sources. Guarantees: only files inside the folder are read (symbolic links are followed before that is
decided), never a pickle; whatever is wrong with a file is a NexortError without a place, which the caller adds.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from nexortlang.check.suggest import library
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.resources import resource
from nexortlang.settings import MAX_SOURCE_BYTES, available_memory
from nexortlang.source import Source

_OPTIMIZER = re.compile(r"^optimizer ([^\W\d]\w*)", re.MULTILINE)
MAGIC_NPY = b"\x93NUMPY"


def _problem(code: str, message: str, hint: str = "") -> NexortError:
    return NexortError(Diagnostic(code, message, hint=hint))


@dataclass(frozen=True, slots=True)
class Files:
    """The files of the program in `folder`."""

    folder: Path

    def load_array(self, name: str) -> np.ndarray:
        """A table of numbers from a .csv file (one column: one axis) or an array of numbers from a .npy file."""
        path = self._inside(name)
        if path.suffix not in (".csv", ".npy"):
            raise _problem("NX503", f"load() reads .csv and .npy files, found {name}")
        try:
            if path.stat().st_size > available_memory() // 4:
                raise _problem("NX505", f"{name} is larger than this machine's memory allows")
            array = _read_npy(path, name) if path.suffix == ".npy" else _read_csv(path, name)
        except OSError as problem:
            raise _problem("NX501", f"cannot read {name}: {problem.strerror or 'no such file'}") from None
        return array

    def module_source(self, module: str, is_path: bool) -> tuple[Source, Path]:
        """The text of a module and where it was found: for a name the standard library, then the folder; for a path the folder alone."""
        path: Path | None = None
        if is_path:
            path = self._inside(module, code="NX106")
        else:
            found = (p for p in (_standard(module), self.folder / f"{module}.nxt") if p is not None and p.is_file())
            path = next(found, None)
        if path is None or not path.is_file():
            modules = ", ".join(standard_modules())
            hint = library(module) or f"the standard library has {modules}; then come files beside the program"
            raise _problem("NX106", f"there is no module {module}", hint)
        try:
            if path.stat().st_size > MAX_SOURCE_BYTES:
                raise _problem("NX501", f"{module} is too large for a program")
            return Source(str(path), path.read_text(encoding="utf-8-sig")), path.resolve()
        except OSError as problem:
            raise _problem("NX501", f"cannot read {module}: {problem.strerror}") from None
        except UnicodeDecodeError:
            raise _problem("NX502", f"{module} is not UTF-8 text") from None

    def _inside(self, name: str, code: str = "NX503") -> Path:
        """The file of that name, refused unless it lies in the program's folder."""
        relative = PurePosixPath(name)
        if not name or "\0" in name or relative.is_absolute() or PureWindowsPath(name).drive or ".." in relative.parts:
            raise _problem(
                code, f"expected a file in the program's folder, found {name!r}", "paths are relative: data/x.csv"
            )
        try:
            base = self.folder.resolve()
            path = (base / relative).resolve()
        except (OSError, RuntimeError):
            raise _problem(code, f"cannot find {name}") from None
        if not path.is_relative_to(base):
            raise _problem(code, f"{name} leads out of the program's folder", "copy the file beside the program")
        return path


def _standard(module: str) -> Path | None:
    try:
        return resource("stdlib", f"{module}.nxt")
    except FileNotFoundError:
        return None


def standard_modules() -> list[str]:
    """The names of the standard library's modules."""
    folder = _standard("any")
    return sorted(p.stem for p in folder.parent.glob("*.nxt")) if folder is not None else []


def standard_optimizers() -> dict[str, str]:
    """The module of every optimizer of the standard library."""
    texts = {m: path.read_text(encoding="utf-8") for m in standard_modules() if (path := _standard(m)) is not None}
    return {name: m for m, text in texts.items() for name in _OPTIMIZER.findall(text)}


def _read_npy(path: Path, name: str) -> np.ndarray:
    with path.open("rb") as file:
        if file.read(len(MAGIC_NPY)) != MAGIC_NPY:
            raise _problem("NX504", f"{name} is no .npy file")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TypeError):
        raise _problem("NX504", f"{name} holds no array of numbers that can be read") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise _problem("NX504", f"{name} holds no array of real numbers")
    return array.astype(float)


def _read_csv(path: Path, name: str) -> np.ndarray:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _table(csv.reader(file), name)
    except (UnicodeDecodeError, csv.Error):
        raise _problem("NX504", f"{name} is no table of numbers") from None


def _table(lines: Iterable[list[str]], name: str) -> np.ndarray:
    """Rows of numbers; a first line that is no row of numbers is a header."""
    rows: list[list[float]] = []
    for k, line in enumerate(lines, start=1):
        if not any(cell.strip() for cell in line):
            continue
        row = _numbers(line)
        if row is None:
            if rows or k > 1:
                raise _problem("NX504", f"{name}, line {k}: expected numbers, found {','.join(line)[:40]!r}")
            continue
        if rows and len(row) != len(rows[0]):
            raise _problem("NX504", f"{name}, line {k}: expected {len(rows[0])} numbers, found {len(row)}")
        rows.append(row)
    if not rows:
        raise _problem("NX504", f"{name} holds no numbers")
    table = np.array(rows)
    return table[:, 0] if table.shape[1] == 1 else table


def _numbers(line: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in line]
    except ValueError:
        return None
