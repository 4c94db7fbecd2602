"""Random expressions for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from nexortlang.entrywise.expression import Expression, apply, constant, leaf
from nexortlang.entrywise.ops import OPS

SPECIAL_VALUES = np.array([0.0, 1.0, -1.0, 0.3, -2.5, 40.0, -40.0, 800.0, -800.0, 1e-200, np.inf, -np.inf, np.nan])
_ROUGH = {"pow", "log", "sqrt", "tan"}


@st.composite
def expressions(draw: st.DrawFn, smooth: bool = False, leaves: int = 2) -> Expression:
    """An expression in leaves 0, 1, … with shared parts, of any operations or (smooth) of those that are smooth on all of the real line."""
    names = sorted(
        name for name, op in OPS.items() if not smooth or (op.smooth and name not in {*_ROUGH, "div", "stop"})
    )
    pool: list[Expression] = [leaf(k) for k in range(leaves)]
    pool += [constant(c) for c in draw(st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 3.0]), max_size=2))]
    for _ in range(draw(st.integers(1, 8))):
        op = OPS[draw(st.sampled_from(names))]
        pool.append(apply(op.name, *(draw(st.sampled_from(pool)) for _ in range(op.arity))))
    return pool[-1]
