"""Mistakes as values: `Diagnostic`, the catalogue of codes, and the exception that carries one out of a pass."""

from nexortlang.diagnostics.model import Diagnostic, Fix, Label, NexortError, Severity

__all__ = ["Diagnostic", "Fix", "Label", "NexortError", "Severity"]
