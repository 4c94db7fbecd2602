"""Transcripts of the prompt: what was typed, after the prompts, and what was said. `replay` types it again."""

from __future__ import annotations

import contextlib
import io
import re

from nexortlang.driver import Request
from nexortlang.repl.conversation import Conversation
from nexortlang.repl.loop import FIRST, MORE, converse
from nexortlang.report.console import Console

_SECONDS = re.compile(r"^\d+\.\d{3} s$", re.MULTILINE)


class _Terminal(io.StringIO):
    encoding = "utf-8"


def replay(transcript: str, strict: bool = True) -> str:
    """The transcript as this version makes it, in the current folder; trailing spaces and times apart. `strict`: every line stands after the prompt that is due."""
    typed = iter([line for line in transcript.splitlines() if line.startswith((FIRST.rstrip(), MORE.rstrip()))])
    said = _Terminal()

    def read_line(prompt: str) -> str:
        line = next(typed, None)
        if line is None:
            raise EOFError
        assert not strict or line.startswith(prompt.rstrip()), f"expected the prompt {prompt!r}, found {line!r}"
        said.write(f"{prompt}{line[len(prompt) :]}".rstrip() + "\n")
        return line[len(prompt) :]

    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        converse(Conversation(Request(), Console()), read_line)
    return plain(said.getvalue())


def plain(text: str) -> str:
    """Without what differs from run to run."""
    return _SECONDS.sub("0.000 s", "".join(f"{line.rstrip()}\n" for line in text.splitlines()))
