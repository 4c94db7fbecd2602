"""What a finite-width run computes and stores, in which order, and how much memory it takes: known before a number is drawn.

In: the values wanted. Out: a `Plan`. Guarantees: only what the wanted values depend on, in program order.

Scalars and vectors are stored. Functions of pairs (of tuples) of coordinates are *lazy*: they are evaluated on blocks inside the Avg that brings
them down, so no n × n array exists beside the initial matrices. A function of pairs that several averages share (a nonlinear optimizer's moments and updates)
would be evaluated again for each of them: such are stored, if there is memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import Einsum, MatMul, Matrix, Rename, Type, Value, operands
from nexortlang.finite.sizes import Sizes

BLOCK = 1 << 19
"""Numbers in one array of a block of pairs: 4 MB."""
_ARRAYS_OF_A_BLOCK = 12
_DOUBLE = 8

Member = tuple[Matrix, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """`order`: the values to evaluate and store; `pairs`: ids of stored functions of pairs; `lazy`: the values that are evaluated on blocks, once for each use.

    `done[id]`: ids that are no longer read once that value is there; `done_members`: the same for matrices.
    """

    order: tuple[Value, ...]
    pairs: frozenset[int]
    lazy: tuple[Value, ...]
    done: dict[int, tuple[int, ...]]
    done_members: dict[int, tuple[Member, ...]]


def is_stored_type(t: Type) -> bool:
    """Scalars and vectors (a vector on another slot is one)."""
    return len(t.axes) <= 1


def original(v: Value) -> Value:
    """A vector behind other names of its slot: what is stored for it."""
    while isinstance(v, Rename) and is_stored_type(v.type):
        v = v.x
    return v


def plan(wanted: Sequence[Value], store_pairs: bool = True) -> Plan:
    """The plan for the wanted values, scalars and vectors."""
    reached = reachable(wanted)
    pairs = _shared_pairs(reached) if store_pairs else frozenset()
    order = tuple(v for v in reached if (is_stored_type(v.type) and original(v) is v) or v.id in pairs)
    stored = {v.id for v in order}
    reads = {v.id: _reads(v, stored) for v in order}
    kept = {original(v).id for v in wanted}
    return Plan(
        order,
        pairs,
        tuple(a for below in reads.values() for a in below if a.id not in stored),
        _last_uses(order, {i: [a.id for a in below if a.id in stored] for i, below in reads.items()}, kept),
        _last_members(order),
    )


def members_used(v: MatMul) -> list[int]:
    """The members of the family that a MatMul applies."""
    return sorted({int(k) for k in v.members.reshape(-1)})


def _reads(v: Value, stored: set[int]) -> list[Value]:
    """What v is evaluated from: stored values and the lazy ones in between."""
    found: dict[int, Value] = {}
    pending = [original(a) for a in operands(v)]
    while pending:
        a = pending.pop()
        if a.id not in found:
            found[a.id] = a
            if a.id not in stored:
                pending.extend(original(b) for b in operands(a))
    return list(found.values())


def _shared_pairs(reached: Sequence[Value]) -> frozenset[int]:
    """Functions of pairs that enter several stored values and are more than another name for something."""
    stored: set[int] = set()
    entered: dict[int, set[int]] = {}
    for v in reversed(reached):
        lazy = not is_stored_type(v.type)
        users = entered.get(v.id, set())
        arguments = [a for a in operands(v) if not is_stored_type(a.type)]
        composed = isinstance(v, Einsum) or any(not isinstance(a, Rename) for a in arguments)
        if len(users) > 1 and len(v.type.axes) == 2 and composed and not isinstance(v, Rename):
            stored.add(v.id)
        for a in arguments:
            entered.setdefault(a.id, set()).update(users if lazy and v.id not in stored else {v.id})
    return frozenset(stored)


def _last_uses(order: Sequence[Value], reads: dict[int, list[int]], kept: set[int]) -> dict[int, tuple[int, ...]]:
    last = {a: v.id for v in order for a in [v.id, *reads[v.id]]}
    done: dict[int, list[int]] = {}
    for a, user in last.items():
        if a not in kept:
            done.setdefault(user, []).append(a)
    return {user: tuple(ids) for user, ids in done.items()}


def _last_members(order: Sequence[Value]) -> dict[int, tuple[Member, ...]]:
    last: dict[Member, int] = {}
    for v in order:
        if isinstance(v, MatMul):
            last.update(((v.matrix, k), v.id) for k in members_used(v))
    done: dict[int, list[Member]] = {}
    for member, user in last.items():
        done.setdefault(user, []).append(member)
    return {user: tuple(found) for user, found in done.items()}


# ---------------------------------------------------------------------------- memory


def bytes_needed(p: Plan, sizes: Sizes, itemsize: int) -> int:
    """The most that a run holds at once, matrices and working space included."""
    alive: set[Member] = set()
    size = {v.id: prod(sizes.shape(v.type)) * (itemsize if v.type.axes else _DOUBLE) for v in p.order}
    now = most = 0
    for v in p.order:
        if isinstance(v, MatMul):
            fresh = {(v.matrix, k) for k in members_used(v)} - alive
            alive |= fresh
            now += sum(_member_bytes(m, sizes, itemsize) for m, _ in fresh)
        now += size[v.id]
        most = max(most, now + _working_space(v, sizes, itemsize))
        ended = p.done_members.get(v.id, ())
        now -= sum(size[i] for i in p.done.get(v.id, ())) + sum(_member_bytes(m, sizes, itemsize) for m, _ in ended)
        alive -= set(ended)
    return most


def lazy_numbers(p: Plan, sizes: Sizes) -> int:
    """How many numbers a run computes on blocks."""
    return sum(prod(sizes.shape(v.type)) for v in p.lazy)


def _member_bytes(matrix: Matrix, sizes: Sizes, itemsize: int) -> int:
    return sizes.of(matrix.rows) * sizes.of(matrix.cols) * itemsize


def _working_space(v: Value, sizes: Sizes, itemsize: int) -> int:
    """Beside operands and result: blocks of pairs, and copies of columns."""
    if any(not is_stored_type(a.type) for a in operands(v)) or not is_stored_type(v.type):
        return _ARRAYS_OF_A_BLOCK * BLOCK * _DOUBLE
    return max((prod(sizes.shape(a.type)) for a in operands(v)), default=0) * itemsize


def largest(values: Iterable[Value], sizes: Sizes) -> Value:
    """The value that takes the most memory, matrices counted where they are applied."""

    def numbers(v: Value) -> int:
        matrices = sizes.of(v.matrix.rows) * sizes.of(v.matrix.cols) if isinstance(v, MatMul) else 0
        return max(prod(sizes.shape(v.type)), matrices)

    return max(values, key=numbers)
