"""Where a command's words go: results to stdout, mistakes to stderr, progress to a terminal that someone watches.

In: text and diagnostics. Out: nothing but what is written. Under --json diagnostics go to stdout as well, as JSON; --quiet leaves only errors.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.render import render

ColorChoice = Literal["auto", "always", "never"]
_WIDEST = 100
_PATIENCE = 1.0
_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Console:
    """How to speak: see the command's options of the same names."""

    json: bool = False
    quiet: bool = False
    color: ColorChoice = "auto"

    @property
    def width(self) -> int:
        """Columns of the terminal (80 where there is none)."""
        return shutil.get_terminal_size().columns

    @property
    def draws_bars(self) -> bool:
        """Whether stdout has the characters of sparklines."""
        try:
            "▁█".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        except (UnicodeError, LookupError):
            return False
        return True

    def say(self, text: str) -> None:
        """A report; --quiet keeps it back."""
        if not self.quiet:
            write(sys.stdout, text)

    def answer(self, text: str) -> None:
        """What was asked for by name (JSON, a core program, a lesson): printed in any case."""
        write(sys.stdout, text)

    def complain(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Diagnostics for a person."""
        heard = [d for d in diagnostics if d.severity == "error"] if self.quiet else diagnostics
        write(sys.stderr, render(heard, width=min(self.width, _WIDEST), color=self.colors(sys.stderr)))

    def note(self, text: str) -> None:
        """A line beside the results."""
        write(sys.stderr, f"{text}\n")

    @property
    def has_unicode(self) -> bool:
        """Whether stdout can show more than ASCII."""
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        return encoding.lower().replace("-", "").startswith("utf")

    def colors(self, stream: TextIO) -> bool:
        """Whether a stream is written to in colours."""
        if self.color != "auto":
            return self.color == "always"
        return (
            _is_terminal(stream)
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") not in ("dumb", "unknown")
        )


class Progress:
    """One line on stderr that says what long work is at. Silent for the first second, and when nobody watches."""

    def __init__(self, quiet: bool) -> None:
        self._stream = None if quiet or not _is_terminal(sys.stderr) else sys.stderr
        self._next = time.monotonic() + _PATIENCE
        self._shown = False

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        self._next, self._shown = now + _EVERY, True
        write(self._stream, f"\r\x1b[K{what[: shutil.get_terminal_size().columns - 1]}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._shown and self._stream:
            write(self._stream, "\r\x1b[K")


def write(stream: TextIO | None, text: str) -> None:
    """All of the text, now. A stream that was closed before the start (None) takes nothing."""
    if stream is not None and text:
        stream.write(text)
        stream.flush()


def write_file(name: str, content: str | bytes) -> None:
    """Writes a file that was asked for; NX501 if that cannot be done."""
    try:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise NexortError(Diagnostic("NX501", f"cannot write {name}: {reason}")) from None


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
