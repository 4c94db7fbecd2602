"""Values in words, as :type and :help tell them."""

from __future__ import annotations

from nexortlang.editor.describe import const_text, rule, signature, typed
from nexortlang.editor.vocabulary import BUILTINS
from nexortlang.elaborate.values import Builtin, ConstVal, Function, ModuleValue, Surface


def described(value: Surface) -> str:
    """The type with the power of n unless it is 0, and what is known beside it: the rule that made it, a const's value, how a function is called."""
    match value:
        case Function():
            return signature(value.node)
        case Builtin():
            return BUILTINS[value.name].form
        case ModuleValue():
            return f"module with {', '.join(value.frame.names)}"
        case ConstVal():
            text = const_text(value)
            return f"{typed(value)} = {text}" if text else typed(value)
    made = rule(value)
    return f"{typed(value)}, {made}" if made else typed(value)


def documented(value: Surface) -> str:
    """The documentation of a function."""
    match value:
        case Function():
            return value.node.doc
        case Builtin():
            return BUILTINS[value.name].doc
    return ""
