"""What no stage foresaw, as a diagnostic: memory or the stack at an end, a stream that fails, a bug."""

from __future__ import annotations

from nexortlang.diagnostics.model import Diagnostic


def accident(error: Exception) -> Diagnostic:
    """One line about an exception that is no NexortError."""
    match error:
        case MemoryError():
            return Diagnostic(
                "NX505",
                "the program needs more memory than the machine has",
                hint="ask for smaller arrays or fewer particles",
            )
        case RecursionError():
            return Diagnostic(
                "NX506", "the program is nested too deeply", hint="break up its longest expression with names"
            )
        case OSError():
            what = f" {error.filename}" if isinstance(error.filename, str) else ""
            return Diagnostic("NX501", f"cannot read or write{what}: {error.strerror or error}")
        case _:
            summary = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            return Diagnostic(
                "NX901", f"a bug in nexort, {summary}", hint="please report it, with what NEXORT_DEBUG=1 prints"
            )
