"""The form of a lesson."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lesson:
    """Why a code exists, a wrong program, and the right one.

    `wrong` and `right` are whole `.nxt` programs. `wrong` is empty for what no program text alone can show (an unreadable file).
    """

    title: str
    why: str
    wrong: str
    right: str
