"""Values and symbols in words: types with their powers of n, the rule that made a value, signatures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from nexortlang.core import program as core
from nexortlang.elaborate.arithmetic import power_of
from nexortlang.elaborate.describe import kind_text, mend_text, power_text
from nexortlang.elaborate.operators import Entries, Initial, Named, Operator
from nexortlang.elaborate.values import ConstVal, Indexed, Poison, Surface, is_core
from nexortlang.entrywise.ops import OPS
from nexortlang.syntax import ast

MOST = 60
"""Longer texts of values and defaults are cut."""


def typed(value: Surface) -> str:
    """The type, and the power of n unless it is 0: vector(n)[2], scalar × 1/n. "" for what stands in place of a mistake."""
    if isinstance(value, Poison):
        return ""
    power = power_of(value)
    return f"{kind_text(value)} × {power_text(power)}" if power else kind_text(value)


def order(value: Surface) -> str:
    """What the power of n is, and what takes it away; "" for what has none."""
    if not (isinstance(value, ConstVal | Indexed) or is_core(value)):
        return ""
    power = power_of(value)
    return f"power of n: {_signed(power)} ({mend_text(power)} for order 1)" if power else "power of n: 0 (of order 1)"


def _signed(power: Fraction) -> str:
    return f"−{-power}" if power < 0 else str(power)


def rule(value: Surface) -> str:
    """The rule of the Tensor Program that made a value; "" for what is none of its values."""
    match value:
        case ConstVal():
            return "known before the run"
        case Operator():
            return _matrix(value)
        case Indexed():
            return rule(value.value)
        case core.InitVector():
            return f"initial vector{_several(value)}, {value.law}"
        case core.InitScalar():
            return f"initial scalar{_several(value)}, {value.law}"
        case core.MatMul(matrix=matrix, transposed=transposed):
            return f"MatMul with {matrix.name}{'.T' if transposed else ''}"
        case core.Map(op=op) if len(value.type.axes) > 1:
            return f"entries of outer factors ({_symbol(op)})"
        case core.Map(op=op) if value.type.is_scalar:
            return f"a function of scalars ({_symbol(op)})"
        case core.Map(op=op):
            return f"Nonlin ({_symbol(op)})"
        case core.Avg(x=x, slots=slots):
            several = len(x.type.axes) > 1
            return (
                "OuterNonlin"
                if several and not value.type.is_scalar
                else f"Avg over {'pairs' if len(slots) > 1 else 'the width'}"
            )
        case core.Inner():
            return "Avg of a product: ⟨x|y⟩"
        case core.Fluctuation():
            return "√n ⟨v|x⟩ with v of mean 0 that x does not depend on: Gaussian in the limit"
        case core.Scale(x=x) | core.Rename(x=x):
            return rule(x)
        case core.Reduce(op=op):
            return f"{op} over a finite axis"
        case core.Einsum():
            if len(value.type.axes) > 1:
                return "entries of outer factors, summed over finite axes"
            return "a sum of products over finite axes" if value.type.is_scalar else "Nonlin (a sum over finite axes)"
        case core.Gather() | core.Concat():
            return "finite axes rearranged"
        case core.Const():
            return "known before the run"
    return ""


def _several(value: core.InitVector | core.InitScalar) -> str:
    return "s" if value.type.shape else ""


def _symbol(op: str) -> str:
    return OPS[op].infix or op


def _matrix(A: Operator) -> str:
    match A.terms:
        case (core_term,) if len(core_term.factors) == 1:
            match core_term.factors[0]:
                case Named(version=version) if updates := version.updates:
                    return f"trained matrix, {updates} update{'s' if updates > 1 else ''}"
                case Named(body=body):
                    return _matrix(body)
                case Initial(transposed=transposed):
                    return ("initial matrices" if A.shape else "initial matrix") + (
                        ", transposed" if transposed else ""
                    )
                case Entries():
                    return "outer product"
    return "outer product" if A.is_outer else "a combination of matrices, which acts by @"


def const_text(value: ConstVal) -> str:
    """A const's number or array, shortened."""
    if value.array.size > 100:
        return ""
    text = np.array2string(value.array, separator=", ", max_line_width=10**6, precision=6)
    text = " ".join(text.split()) if value.array.ndim else f"{float(value.array):.12g}"
    return text if len(text) <= MOST else text[: MOST - 1] + "…"


def signature(node: ast.Def | ast.OptimizerDef) -> str:
    """def f(x, beta = 1)"""
    word = "optimizer" if isinstance(node, ast.OptimizerDef) else "def"
    return f"{word} {node.name.id}({', '.join(parameters(node))})"


def parameters(node: ast.Def | ast.OptimizerDef) -> Sequence[str]:
    """x, beta = 1"""
    return [p.name.id if p.default is None else f"{p.name.id} = {_short(p.default.span.text)}" for p in node.parameters]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
