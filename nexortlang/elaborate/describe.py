"""Words for values, types and powers of n, as messages use them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from nexortlang.core.program import Type, Width
from nexortlang.diagnostics import Diagnostic, Fix, Label, NexortError
from nexortlang.elaborate.operators import Operator
from nexortlang.elaborate.values import (
    At,
    Builtin,
    ConstVal,
    Function,
    Indexed,
    ModuleValue,
    Nothing,
    Several,
    Surface,
    is_core,
)
from nexortlang.source import Span


def error(
    code: str, message: str, span: Span | None, *labels: Label, hint: str = "", fix: Fix | None = None
) -> NexortError:
    """The exception that carries one diagnostic. Labels that repeat the primary place are kept: they say what stands there."""
    return NexortError(Diagnostic(code, message, span, labels, hint, fix=fix))


def shape_text(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]" if shape else ""


def type_text(t: Type) -> str:
    """scalar[2], vector(n)[2, 3], outer(n, m)."""
    finite = shape_text(t.shape)
    if t.is_scalar:
        return f"scalar{finite}"
    kind = "vector" if len(t.axes) == 1 else "outer"
    return f"{kind}({', '.join(width.name for _, width in t.axes)}){finite}"


def kind_text(value: Surface) -> str:
    """The type of any value, without an article."""
    match value:
        case ConstVal():
            return f"const{shape_text(value.shape)}" if value.shape else "const"
        case Operator():
            return f"matrix({value.rows.name}, {value.cols.name}){shape_text(value.shape)}"
        case Indexed():
            indices = ", ".join(value.names.get(slot, "?") for slot in value.value.type.slots)
            return f"expression in the {'index' if len(value.value.type.slots) == 1 else 'indices'} {indices}"
        case Width():
            return "width"
        case Function() | Builtin():
            return "function"
        case ModuleValue():
            return "module"
        case Several():
            return f"group of {len(value.items)} values"
        case Nothing():
            return "nothing"
        case str():
            return "file name"
        case _ if is_core(value):
            return type_text(value.type)
    return type(value).__name__.lower()


def a_kind(value: Surface) -> str:
    """The type of any value, with its article."""
    text = kind_text(value)
    if text == "nothing":
        return text
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


def power_text(power: Fraction) -> str:
    """n, 1/n, n^2, n^(-1/2)."""
    if power == 1:
        return "n"
    if power == -1:
        return "1/n"
    if power.denominator == 1 and power > 0:
        return f"n^{power}"
    return f"n^({power})"


def mend_text(power: Fraction) -> str:
    """What takes a power of n away: "divide by sqrt(n)"."""
    factor = {Fraction(1, 2): "sqrt(n)", Fraction(1): "n"}.get(abs(power)) or power_text(abs(power))
    return f"divide by {factor}" if power > 0 else f"multiply by {factor}"


def blame(*operands: At) -> tuple[Label, ...]:
    """What each operand is, at its place and at the place where its name was bound."""
    labels: list[Label] = []
    for at in operands:
        labels.append(Label(at.span, f"{at.text} is {a_kind(at.value)}"))
        if at.variable is not None and at.variable.span != at.span:
            labels.append(Label(at.variable.span, f"{at.text} got its type here"))
    return tuple(labels)
