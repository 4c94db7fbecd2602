"""What a named matrix has been: a value for every update, with the way back.

In: updates, as the factor that the matrix was multiplied by (whatever was added is constant for gradients). Out: how one value descends from
another, so that a gradient by what a name stands for counts the uses of just that, and of what local updates made of it. Values are told by
identity; the chains are as long as the program trains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Const, Shape, Value
from nexortlang.elaborate.outer_values import scattered


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """What a name was between two updates: the family after an update of `parent`, which was multiplied by `factor` (None: 1).

    The factor is a scalar of the family's shape, 0 for members that something else has taken the place of. `updates` counts those that led here.
    `changed`: the flat positions of the members that the update concerned, all if None; `anew` if they are other matrices now (`W[0] = V`).
    """

    parent: Version | None = None
    factor: Value | None = None
    updates: int = 0
    changed: frozenset[int] | None = None
    anew: bool = False

    def updated(self, factor: Value | None, changed: np.ndarray | None = None, anew: bool = False) -> Version:
        members = None if changed is None else frozenset(changed.reshape(-1).tolist())
        return Version(self, factor, self.updates + 1, members, anew)


def first(version: Version) -> Version:
    """What the name was bound to."""
    while version.parent is not None:
        version = version.parent
    return version


def newest_used(version: Version, member: int, used: Mapping[Version, Collection[int]]) -> Version | None:
    """The version at which a member became what it was when it was last used; None if it was not, or others have been that were updated with it.

    `used`: the members that each version was used for. Updates of other members leave a member as it is.
    """
    here: Version | None = version
    while here is not None:
        while here.parent is not None and here.changed is not None and member not in here.changed:
            here = here.parent
        since = {m for v, members in used.items() if descends(v, here) for m in members}
        if member in since:
            return here
        if here.anew or (since if here.changed is None else since & here.changed):
            return None
        here = here.parent
    return None


def descends(version: Version, ancestor: Version) -> bool:
    """Whether a version is the other one, or what updates have made of it."""
    while version.updates > ancestor.updates and version.parent is not None:
        version = version.parent
    return version is ancestor


def descent(b: Builder, version: Version, ancestor: Version) -> Value | None:
    """The factor of `ancestor` in what became of it by updates, a scalar of the family's shape or 1; None if it is no ancestor."""
    between, here = [], version
    while here.updates > ancestor.updates and here.parent is not None:
        between.append(here.factor)
        here = here.parent
    if here is not ancestor:
        return None
    one: Value = b.const(1.0)
    return reduce(b.mul, (factor for factor in between if factor is not None), one)


def family_factor(b: Builder, factor: Value, members: np.ndarray, shape: Shape) -> Value | None:
    """The factor of a whole family, given that of some members; None for 1."""
    if is_one(factor):
        return None
    factor, flat = b.broadcast(factor, members.shape), members.reshape(-1)
    if np.array_equal(flat, np.arange(prod(shape))):
        return b.reshape(factor, shape)
    elsewhere = np.ones(prod(shape))
    elsewhere[flat] = 0.0
    return b.add(b.const(elsewhere.reshape(shape)), scattered(b, factor, flat, shape))


def is_one(v: Value) -> bool:
    return isinstance(v, Const) and bool((v.array == 1.0).all())
