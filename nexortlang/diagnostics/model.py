"""One record for every mistake, serving terminal, JSON and editor alike.

A diagnostic has a stable code (NX0xx syntax, NX1xx names, NX2xx types and rules, NX3xx the limit, NX5xx files, options
and resources, NX9xx internal), a message of the form "expected …, found …", a primary span, labels on
the other places that share the blame, a hint: the remedy, and a fix where the remedy is a certain change of the text. The lesson behind a code
stands in `catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from nexortlang.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Label:
    """A secondary place and what it contributes, e.g. "W is n × m, declared here"."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """The remedy as a change of the text: what to write in place of a span (an empty one is a place between characters)."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `span` is None only for what has no place in a file (a bad command line)."""

    code: str
    message: str
    span: Span | None = None
    labels: tuple[Label, ...] = ()
    hint: str = ""
    severity: Severity = "error"
    fix: Fix | None = None

    def __str__(self) -> str:
        """As the command prints it."""
        return str(NexortError(self))


class NexortError(Exception):
    """Carries diagnostics: out of a pass to the driver, and to callers of the Python interface. As text: what the command prints."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        from nexortlang.diagnostics.render import render

        return render(self.diagnostics).rstrip("\n")

    def at(self, span: Span) -> NexortError:
        """The same mistakes, at this place where they have none."""
        return NexortError(*(d if d.span is not None else replace(d, span=span) for d in self.diagnostics))
