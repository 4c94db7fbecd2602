"""Writes docs/errors.md from the catalogue of lessons: `python tools/errors_page.py`. A test checks that the page is current."""

from __future__ import annotations

import re
from pathlib import Path

from nexortlang.diagnostics.catalogue import LESSONS
from nexortlang.diagnostics.lesson import Lesson

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

_FAMILIES = {
    "NX0": "Syntax",
    "NX1": "Names",
    "NX2": "Types and rules",
    "NX3": "The limit",
    "NX5": "Files, options and resources",
    "NX9": "Internal",
}


def page() -> str:
    """The whole page: one section per family, one entry per code."""
    parts = [
        "# Diagnostics",
        "Every mistake that nexort finds has a code. `nexort explain NX203` prints what stands here. "
        "This page is written by `python tools/errors_page.py`.",
    ]
    for prefix, family in _FAMILIES.items():
        codes = [code for code in sorted(LESSONS) if code.startswith(prefix)]
        if codes:
            parts += [f"## {family}", *(_entry(code, LESSONS[code]) for code in codes)]
    return "\n\n".join(parts) + "\n"


def _entry(code: str, lesson: Lesson) -> str:
    parts = [f"### {code}: {_prose(lesson.title)}", _prose(lesson.why)]
    for heading, program in (("Wrong", lesson.wrong), ("Right", lesson.right)):
        if program:
            fence = program.strip("\n")
            parts.append(f"{heading}:\n\n```text\n{fence}\n```")
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """Text in which brackets, angles and stars mean themselves; `code` stays as it is."""
    pieces = " ".join(text.split()).split("`")
    return "`".join(p if k % 2 else re.sub(r"([\\[\]<>*_|])", r"\\\1", p) for k, p in enumerate(pieces))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
