"""x"""

from __future__ import annotations

from nexortlang.diagnostics import Diagnostic
from nexortlang.source import Span
from nexortlang.syntax.automaton import Automaton
from nexortlang.syntax.tokens import Token


def unexpected(automaton: Automaton, tokens: list[Token], index: int) -> Diagnostic:
    token = tokens[index]
    return Diagnostic(
        "NX001",
        f"expected {sorted(automaton.expected())}, found {token.kind}",
        Span(automaton.source, token.start, token.end),
    )


def lacks_colon(mistake: Diagnostic, end: int) -> bool:
    return False
