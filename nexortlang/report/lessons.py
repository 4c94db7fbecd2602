"""Lessons as text: what `nexort explain` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from nexortlang.diagnostics.lesson import Lesson


def lesson(code: str, what: Lesson, width: int = 80) -> str:
    """One lesson: title, why, the wrong program and the right one."""
    parts = [textwrap.fill(" ".join(text.split()), min(width, 80)) for text in (f"{code}: {what.title}", what.why)]
    parts += [
        f"{heading}:\n{_indented(text)}" for heading, text in (("Wrong", what.wrong), ("Right", what.right)) if text
    ]
    return "\n\n".join(parts) + "\n"


def index(lessons: Mapping[str, Lesson], width: int = 80) -> str:
    """All codes with their titles."""
    entries = (f"{code}  {lessons[code].title}" for code in sorted(lessons))
    return "".join(f"{textwrap.fill(entry, width, subsequent_indent=' ' * 7)}\n" for entry in entries)


def _indented(program: str) -> str:
    return textwrap.indent(program.strip("\n"), "    ")
