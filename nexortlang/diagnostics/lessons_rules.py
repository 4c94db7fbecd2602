from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {}
