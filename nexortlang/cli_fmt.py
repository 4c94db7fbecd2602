"""`nexort fmt`: formats files in place.

In: the arguments and a console. Out: what was found, for the exit status. Guarantees: a file is written only when its text changes and its program stays the same; it is
replaced as a whole, so that an interruption leaves the old one; a file with mistakes is left alone, and so are read-only ones. With --check or
--diff nothing is written. Standard input, -, is answered on standard output.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.format.formatter import formatted
from nexortlang.options import Arguments
from nexortlang.reading import read_source
from nexortlang.report import json
from nexortlang.report.console import Console
from nexortlang.source import Source

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Formatted:
    """What a command found: mistakes, and whether any file is not formatted."""

    diagnostics: Sequence[Diagnostic]
    changes: bool


def fmt(arguments: Arguments, console: Console) -> Formatted:
    """Formats each file, also when one before it has mistakes."""
    diagnostics: list[Diagnostic] = []
    answers: list[dict[str, Any]] = []
    _speak_utf8()
    for name in arguments.files:
        try:
            source = read_source(name)
            text = formatted(source)
            changed = text != source.text
            if not console.json:
                _tell(source, text, arguments, console, is_file=name != "-")
            if changed and name != "-" and not (arguments.check or arguments.diff):
                replace(Path(name), text)
                console.say("" if console.json else f"{name}: formatted\n")
        except NexortError as problem:
            diagnostics += problem.diagnostics
        else:
            answer: dict[str, Any] = {"file": source.name, "changed": changed}
            if arguments.diff:
                answer["diff"] = difference(source, text)
            if name == "-":
                answer["text"] = text
            answers.append(answer)
    if console.json:
        console.answer(json.text({"files": answers, "diagnostics": json.listed(diagnostics)}))
    return Formatted(diagnostics, any(answer["changed"] for answer in answers))


def _tell(source: Source, text: str, arguments: Arguments, console: Console, is_file: bool) -> None:
    """What is asked of one text: the difference, whether there is one, or the text itself."""
    if arguments.diff:
        console.answer(difference(source, text))
    elif arguments.check:
        console.say(f"{source.name}: not formatted\n" if text != source.text else "")
    elif not is_file:
        console.answer(text)


def difference(source: Source, text: str) -> str:
    """What formatting changes, as `diff -u` and `patch` write it; "" for nothing."""
    old, new = (_LINE.findall(t) for t in (source.text, text))
    rows = unified_diff(old, new, source.name, f"{source.name} (formatted)")
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows)


def replace(path: Path, text: str) -> None:
    """Writes a file in one step, with its permissions; a link stays a link. Raises NexortError (NX501) where it cannot be written."""
    try:
        target = path.resolve()
        old = target.stat()
        if not stat.S_ISREG(old.st_mode):
            raise OSError("it is no ordinary file")
        if not old.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise OSError("it is read-only")
        _replace(target, text.encode(), old)
    except OSError as error:
        raise NexortError(Diagnostic("NX501", f"cannot write {path}: {error.strerror or error}")) from None


def _replace(target: Path, data: bytes, old: os.stat_result) -> None:
    descriptor, part = tempfile.mkstemp(prefix=".nexort-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(part, stat.S_IMODE(old.st_mode))
        with suppress(OSError, AttributeError):  # AttributeError: a system without owners
            os.chown(part, old.st_uid, old.st_gid)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _speak_utf8() -> None:
    """A program that is printed must not lose its Greek letters, whatever the terminal's encoding, nor get other line ends."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
