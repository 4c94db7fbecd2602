"""The files of a program that is being edited: what an editor has open counts, not what the disk has.

Guarantees: the rules of `files.Files`; tables of numbers are read again only when their file has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nexortlang.diagnostics import NexortError
from nexortlang.files import Files
from nexortlang.source import Source

MAX_TABLES = 16


@dataclass(frozen=True, slots=True)
class OpenFiles(Files):
    """`texts`: the text of every file that is open, by its resolved path. `tables`: arrays by file and time of change, shared between runs."""

    texts: Mapping[Path, str] = field(default_factory=dict)
    tables: dict[tuple[Path, int, int], np.ndarray] = field(default_factory=dict)

    def load_array(self, name: str) -> np.ndarray:
        """As Files.load_array."""
        try:
            path = self._inside(name)
            state = path.stat()
        except (OSError, NexortError):
            return Files.load_array(self, name)
        key = (path, state.st_mtime_ns, state.st_size)
        if key not in self.tables:
            array = Files.load_array(self, name)
            while len(self.tables) >= MAX_TABLES:
                self.tables.pop(next(iter(self.tables)))
            self.tables[key] = array
        return self.tables[key]

    def module_source(self, module: str, is_path: bool) -> tuple[Source, Path]:
        """As Files.module_source."""
        source, path = Files.module_source(self, module, is_path)
        return (Source(source.name, self.texts[path]), path) if path in self.texts else (source, path)
