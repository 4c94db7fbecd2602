"""Values that --set gives to consts.

In: the text after `name=`, in the language's own syntax for numbers and arrays of numbers. Out: a float or nested lists of floats.
"""

from __future__ import annotations

from math import inf, pi
from typing import TypeAlias

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.source import Source
from nexortlang.syntax import ast

_CONSTANTS = {"pi": pi, "inf": inf}

Nested: TypeAlias = "float | list[Nested]"


def value(name: str, text: str) -> Nested:
    """The number or array that `text` writes. Raises NexortError, NX508, for anything else."""
    from nexortlang.syntax.parser import parse_expression

    expression, mistakes = parse_expression(Source("--set", text))
    found = None if mistakes or expression is None else _plain(expression)
    if found is not None:
        return found
    message = f"--set {name}: expected a number or an array […] of numbers, found {text}"
    raise NexortError(Diagnostic("NX508", message, hint=f"for example --set {name}=0.2"))


def _plain(e: ast.Expr) -> Nested | None:
    """What a number or an array of numbers says, None for any other expression."""
    match e:
        case ast.Number(value=v):
            return v
        case ast.Name(id=name):
            return _CONSTANTS.get(name)
        case ast.Unary(op="-", operand=ast.Number() | ast.Name() as operand):
            found = _plain(operand)
            return None if found is None or isinstance(found, list) else -found
        case ast.Array(items=items) if items:
            members = [_plain(item) for item in items]
            return None if None in members else members  # type: ignore[return-value]
        case _:
            return None
