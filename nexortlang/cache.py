"""The user's cache folder, for what can be made again: parse tables, compiled kernels.

Out: a folder that exists and can be written, or None; then callers do without, silently. Files are written under another name and
renamed, so that a reader never meets half a file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path | None:
    """$NEXORT_CACHE, else $XDG_CACHE_HOME/nexort, else ~/.cache/nexort; made when it is missing."""
    try:
        folder = _wanted()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _wanted() -> Path:
    if own := os.environ.get("NEXORT_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nexort"


def write_atomically(path: Path, text: str) -> None:
    """Write a cache file. What cannot be written is not cached."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        part.write_text(text, encoding="utf-8")
        part.replace(path)
