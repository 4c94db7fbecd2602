"""The files around the one that is being edited: who imports what it defines.

In: a folder, and how to read files as an editor has them. Out: their analyses, without a run. Guarantees: at most `MAX_FILES` files in `MAX_FOLDERS` folders are
looked at, none in hidden folders or in those of other tools, and only those are parsed that hold the word in question.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nexortlang.editor.analysis import Analysis, read
from nexortlang.editor.files import OpenFiles
from nexortlang.settings import MAX_SOURCE_BYTES
from nexortlang.source import Source

MAX_FILES = 1_000
MAX_FOLDERS = 2_000
_SKIPPED = frozenset({"node_modules", "__pycache__", "build", "dist", "site-packages", "venv"})


@dataclass(frozen=True, slots=True)
class Project:
    """All programs and modules below `root`. `files` gives what a program in a folder may read."""

    root: Path
    files: Callable[[Path], OpenFiles]

    def holds(self, path: Path) -> bool:
        """Whether a file belongs to the project, so that it may be changed."""
        return path.is_file() and path.resolve().is_relative_to(self.root.resolve())

    def analyses(self, word: str) -> Iterator[Analysis]:
        """Every file of the project whose text holds a word."""
        texts, root = self.files(self.root).texts, self.root.resolve()
        saved = {path.resolve(): path for path in self._paths()}
        unsaved = {path: path for path in texts if path.is_relative_to(root)}
        for place, path in (unsaved | saved).items():
            text = texts[place] if place in texts else _text(path)
            if text is not None and word in text:
                yield Analysis(read(Source(str(path), text)), self.files(path.parent))

    def _paths(self) -> Iterator[Path]:
        found = 0
        for folder, inner, names in islice(os.walk(self.root), MAX_FOLDERS):
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _SKIPPED)
            for name in sorted(names):
                if name.endswith(".nxt"):
                    found += 1
                    if found > MAX_FILES:
                        return
                    yield Path(folder, name)


def _text(path: Path) -> str | None:
    """The text of a program; None for what is too large, unreadable or no text."""
    try:
        return path.read_text("utf-8-sig") if path.stat().st_size <= MAX_SOURCE_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None
