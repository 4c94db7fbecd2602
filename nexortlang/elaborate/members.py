"""The gradient with respect to a vector or scalar, or to some members of a family of them, by name.

In: the loss, the values that the name has had, the members that are asked for. Out: the gradient at the newest value of *each member* that the
loss was computed from, whatever updates of other members came before or after: `b[0] -= …`, `b[1] -= …` act as on two variables.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import prod
from typing import TypeVar

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Shape, Value
from nexortlang.elaborate import gradient
from nexortlang.elaborate.adjoints import extended
from nexortlang.elaborate.leading import peel
from nexortlang.elaborate.origins import has_earlier_values, made_here, origins
from nexortlang.elaborate.subscripts import concatenated

Key = TypeVar("Key", bound=Hashable)


def family_gradient(b: Builder, loss: Value, newest_first: Sequence[Value], members: np.ndarray) -> Value | None:
    """∂loss/∂member at these flat positions, in their shape, with the values that the family has had.

    None if the loss was computed from no member of the family; 0 for members that it was not computed from, or not from what they became in an update
    together with others that it was computed from.
    """
    wanted = members.reshape(-1)
    found: list[tuple[Value, int] | None] = [None] * wanted.size
    missing = list(range(wanted.size))
    for v in newest_first:
        if not missing:
            break
        o, earlier = origins(b, v).at(wanted[missing]), []
        reads = {int(k): gradient.reads(b, loss, o.sources[k]) for k in np.unique(o.source)}
        for k, source, position in zip(missing, o.source, o.position, strict=True):
            if reads[source][position]:
                found[k] = o.sources[source], int(position)
            elif (
                has_earlier_values(b, o.sources[source]) and not reads[source][made_here(b, o.sources[source]) :].any()
            ):
                earlier.append(k)
        missing = earlier
    if not any(found) and not any(gradient.depends(b, loss, s) for v in newest_first for s in origins(b, v).sources):
        return None
    sources = {at[0].id: at[0] for at in found if at is not None}
    parts = dict(zip(sources, gradient.gradient(b, loss, list(sources.values())), strict=True))
    zero = extended(b, b.const(np.zeros(1)), newest_first[0].type.axes)
    return assembled(b, parts, [None if at is None else (at[0].id, at[1]) for at in found], members.shape, zero)


def assembled(
    b: Builder,
    parts: Mapping[Key, Value | None],
    entries: Sequence[tuple[Key, int] | None],
    shape: Shape,
    zero: Value,
) -> Value:
    """The array of entries of the parts, each given by its part and its flat position there; `zero`, of shape (1,), for None."""
    if not any(entries):
        return extended(b, b.const(np.zeros(shape)), zero.type.axes)
    values = {key: part for key, part in parts.items() if part is not None}
    starts = np.cumsum([0, *(prod(part.type.shape) for part in values.values())])
    first = dict(zip(values, starts.tolist(), strict=False))
    index = [starts[-1] if at is None or at[0] not in first else first[at[0]] + at[1] for at in entries]
    needed = [*values.values(), *([zero] if starts[-1] in index else [])]
    with b.constants():
        x, power = peel(needed[0] if len(needed) == 1 else concatenated(b, needed))
        return b.scale(b.gather(x, np.array(index, dtype=np.intp).reshape(shape)), power)
