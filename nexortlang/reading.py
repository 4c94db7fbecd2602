"""The program that a person names: its text.

In: a file's name as the user gave it; - is standard input. Out: a `Source`. Guarantees: what cannot be read, is too large or is no text is a
NexortError (NX501, NX502), also for files that never end; the byte order mark is dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.settings import MAX_SOURCE_BYTES
from nexortlang.source import Source


def read_source(name: str) -> Source:
    """The program's text, named as the user gave it."""
    try:
        data = _read(name)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise NexortError(Diagnostic("NX501", f"cannot read {name}: {reason}", hint=_nearby(name))) from None
    try:
        return Source("<stdin>" if name == "-" else name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NexortError(
            Diagnostic("NX502", f"{name} is not UTF-8 (line {line})", hint="save it as UTF-8, without another encoding")
        ) from None


def _read(name: str) -> bytes:
    if name != "-":
        with Path(name).open("rb") as file:
            return _all_of(file)
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return _all_of(sys.stdin.buffer)


def _all_of(file: BinaryIO) -> bytes:
    """No more than a program may have is held: devices and pipes do not tell their size before."""
    data = file.read(MAX_SOURCE_BYTES + 1)
    if len(data) > MAX_SOURCE_BYTES:
        raise OSError(f"a program has at most {MAX_SOURCE_BYTES / 1e6:.0f} MB")
    return data


def _nearby(name: str) -> str:
    """A file that may have been meant."""
    return f"did you mean {name}.nxt?" if "\0" not in name and Path(f"{name}.nxt").is_file() else ""
