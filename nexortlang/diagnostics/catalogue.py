"""The lesson behind every code: what `nexort explain CODE` prints.

Each family of codes has its own module `lessons_*.py` holding `LESSONS: dict[str, Lesson]`; this one joins them. A test checks that
every code used in the package has a lesson, and that the wrong program gives the code and the right one does not.
"""

from __future__ import annotations

from nexortlang.diagnostics import lessons_limit, lessons_names, lessons_rules, lessons_syntax, lessons_system
from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    **lessons_syntax.LESSONS,
    **lessons_names.LESSONS,
    **lessons_rules.LESSONS,
    **lessons_limit.LESSONS,
    **lessons_system.LESSONS,
}
