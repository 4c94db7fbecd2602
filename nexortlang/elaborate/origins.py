"""Where the members of a family were last given their value, for gradients member by member.

In: the value of a family. Out: for each of its entries the value, and the position there, at which it was made or last assigned. Guarantees: an
entry that updates of other members (`b[0] -= …` for b[1]) have only carried along keeps its origin, so that what was computed from it before
and after them was computed from one and the same member.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Concat, Gather, Scale, Value
from nexortlang.elaborate.leading import peel


@dataclass(frozen=True, slots=True)
class Origins:
    """Entry k (in C order) of the value is entry `position[k]` of `sources[source[k]]`."""

    sources: tuple[Value, ...]
    source: np.ndarray
    position: np.ndarray

    def at(self, index: np.ndarray) -> Origins:
        index = index.reshape(-1)
        return Origins(self.sources, self.source[index], self.position[index])


def note_assignment(b: Builder, joined: Value, *, is_update: bool) -> None:
    """Notes that these are the entries of a family and then new ones, which replace some of them: by `b[0] -= …` (an update) or by `b[0] = …`."""
    b.own(joined)
    b.memo["assignments"][joined.id] = is_update


def has_earlier_values(b: Builder, source: Value) -> bool:
    """Whether what was made in this source had an earlier value under the same name: not after `b[0] = …`."""
    updated: bool = b.memo["assignments"].get(peel(source)[0].id, True)
    return updated


def made_here(b: Builder, source: Value) -> int:
    """The first entry of a source that one statement gave its value there, together with all that follow."""
    x = peel(source)[0]
    return prod(x.args[0].type.shape) if isinstance(x, Concat) and x.id in b.memo["assignments"] else 0


def origins(b: Builder, v: Value) -> Origins:
    """Of every entry of v. Long chains of assignments are followed once."""
    known, chain = b.memo["origins"], [v]
    while chain[-1].id not in known and (below := _below(b, chain[-1])) is not None:
        chain.append(below)
    for u in reversed(chain):
        if u.id not in known:
            below = _below(b, u)
            known[u.id] = _own(u) if below is None else _from_below(b, u, known[below.id])
    found: Origins = known[v.id]
    return found


def _below(b: Builder, v: Value) -> Value | None:
    """The value that v takes entries over from."""
    match v:
        case Scale(x=x) | Gather(x=x):
            return x
        case Concat(args=args) if v.id in b.memo["assignments"]:
            return args[0]
        case _:
            return None


def _own(v: Value) -> Origins:
    size = prod(v.type.shape)
    return Origins((v,), np.zeros(size, dtype=np.intp), np.arange(size))


def _from_below(b: Builder, v: Value, below: Origins) -> Origins:
    match v:
        case Scale(exponent=exponent):
            return Origins(tuple(b.scale(s, exponent) for s in below.sources), below.source, below.position)
        case Gather(index=index):
            return below.at(index)
        case _:
            old, new = below.source.size, prod(v.type.shape) - below.source.size
            source = np.concatenate([below.source, np.full(new, len(below.sources))])
            position = np.concatenate([below.position, np.arange(old, old + new)])
            return _compact(Origins((*below.sources, v), source, position))


def _compact(o: Origins) -> Origins:
    """Without sources that no entry has."""
    used, source = np.unique(o.source, return_inverse=True)
    return Origins(tuple(o.sources[k] for k in used), source.reshape(-1), o.position)
