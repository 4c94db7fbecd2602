"""Which draws the names stand for that parameters are given by.

In: a value with its name. Out: the initial vectors, scalars and matrices that it is, or was before its updates, each with the flat
positions of the entries (of a family of matrices: the members) that are meant. What is no draw is a diagnostic.
"""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.dependencies import Root, roots
from nexortlang.core.program import Const, Einsum, Gather, InitScalar, InitVector, Map, Matrix, Scale, Value
from nexortlang.elaborate.describe import a_kind, blame, error
from nexortlang.elaborate.operators import Entries, Initial, Named, Operator
from nexortlang.elaborate.values import At, is_core

Selected: TypeAlias = dict[Root, np.ndarray]


def family_size(root: Root) -> int:
    """How many entries (members) a draw has."""
    return prod(root.shape if isinstance(root, Matrix) else root.type.shape)


def everything_drawn(b: Builder, v: Value) -> Selected:
    """All draws that v was computed from."""
    return {root: np.arange(family_size(root)) for root in roots(v, b.memo["roots"])}


def drawn(at: At) -> Selected:
    """The draw that a parameter is, or was before its updates."""
    history = at.variable.history if at.variable is not None else ()
    first = history[0] if history else at.value
    found: Selected | None = None
    if isinstance(first, Operator):
        found = _members(first)
    elif is_core(first):
        found = _entries(first)
    if found is None:
        raise error(
            "NX201",
            f"expected a vector, matrix or scalar drawn by ~ as a parameter, found {a_kind(at.value)} that is computed",
            at.span,
            *blame(at)[1:],
            hint="name what the program draws; ntk(f) takes all of it",
        )
    return found


def _entries(v: Value) -> Selected | None:
    """The draw that v is, up to a power of n, a mean and a choice of entries."""
    match v:
        case InitVector() | InitScalar():
            return {v: np.arange(prod(v.type.shape))}
        case Scale(x=x) | Map(op="add", args=(x, Const() | Scale(x=Const()))):
            return _entries(x)
        case Gather(x=InitVector() | InitScalar() as x, index=index):
            return {x: index.reshape(-1)}
        case Einsum(x=InitScalar() as x, y=Const()):  # scalars with a covariance
            return _entries(x)
        case _:
            return None


def _members(A: Operator) -> Selected | None:
    """The members of initial matrices that a family stands for, outer products apart; None if a member is more than one of them."""
    found: Selected = {}
    covered = np.zeros(prod(A.shape), dtype=int)
    for term in A.terms:
        match [f for f in term.factors if not _is_outer(f)]:
            case []:
                continue
            case [Initial(matrix, members)]:
                own: Selected | None = {matrix: members.reshape(-1)}
            case [Named(body=body)]:
                own = _members(body)
            case _:
                own = None
        if own is None or len(term.factors) > 1:
            return None
        covered[slice(None) if term.positions is None else term.positions.reshape(-1)] += 1
        for root, members in own.items():
            found[root] = np.union1d(found.get(root, members), members)
    return found if (covered <= 1).all() else None


def _is_outer(factor: Initial | Entries | Named) -> bool:
    return isinstance(factor, Entries) or (isinstance(factor, Named) and factor.body.is_outer)
