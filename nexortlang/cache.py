"""The user's folders: for what can be made again (parse tables, compiled kernels), and for what is kept (the prompt's history).

Out: a folder that exists and can be written, or None; then callers do without, silently. Files are written under another name and
renamed, so that a reader never meets half a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path | None:
    """$NEXORT_CACHE, else $XDG_CACHE_HOME/nexort, else ~/.cache/nexort; made when it is missing."""
    own = os.environ.get("NEXORT_CACHE")
    return _made(lambda: Path(own) if own else _base("XDG_CACHE_HOME", ".cache"))


def state_folder() -> Path | None:
    """What is kept for the user, such as the prompt's history: $XDG_STATE_HOME/nexort, else ~/.local/state/nexort; made when it is missing."""
    return _made(lambda: _base("XDG_STATE_HOME", ".local/state"))


def _base(variable: str, otherwise: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / otherwise) / "nexort"


def _made(wanted: Callable[[], Path]) -> Path | None:
    try:
        folder = wanted()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def write_atomically(path: Path, text: str) -> None:
    """Write a cache file. What cannot be written is not cached."""
    with suppress(OSError):
        replace_file(path, text)


def replace_file(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that was there as it is. Raises OSError."""
    target = path.resolve()
    part = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
