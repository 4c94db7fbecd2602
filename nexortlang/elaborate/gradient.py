"""Reverse mode, from core to core: the gradient of a scalar with respect to anything that it was computed from.

In: a scalar of shape () and the values to differentiate by. Out: values appended to the program, with exactly the power of n that the
gradient has at finite width. Guarantees: work linear in the part of the program between the targets and the loss; adjoints are kept, so
asking for one target after the other
costs no more than asking for all at once; a gradient is a constant for later gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from math import prod
from typing import NamedTuple, Protocol

import numpy as np

from nexortlang.core.build import Builder, is_zero
from nexortlang.core.program import Concat, Einsum, Gather, Inner, Reduce, Scale, Shape, Type, Value, Width, operands
from nexortlang.elaborate.adjoint_rules import contribution, scatter_add
from nexortlang.elaborate.adjoints import LABELS, Adjoint, AdjointAlgebra, spread_index
from nexortlang.elaborate.first_order import scaled


class Use(Protocol):
    """One application h = W @ x, or W.T @ x if transposed, of a named matrix or family.

    `members` (integers) says which member acts where, as in core MatMul; its shape broadcasts against x's to the shape of h.
    """

    @property
    def result(self) -> Value: ...
    @property
    def operand(self) -> Value: ...
    @property
    def transposed(self) -> bool: ...
    @property
    def members(self) -> np.ndarray: ...


def gradient(b: Builder, loss: Value, targets: Sequence[Value]) -> list[Value | None]:
    """∂loss/∂target for each target, of the target's axes and shape; None where the loss does not depend on the target."""
    return [Backpropagation.of(b, loss, target).gradient(target) for target in targets]


def matrix_gradient(b: Builder, loss: Value, uses: Sequence[Use], shape: Shape) -> Value | None:
    """∂loss/∂W, a value over slot 0 (rows) and slot 1 (columns) with the family's shape; None if no use matters to the loss.

    Every use h = W x adds ∂loss/∂h ⊗ x, summed over its batch: Σ_b χ_b dh_b[i] x_b[j].
    """
    live = [use for use in uses if not is_zero(use.operand) and depends(b, loss, use.result)]
    return Backpropagation.of(b, loss, live[0].result).matrix_gradient(live, shape) if live else None


def depends(b: Builder, loss: Value, target: Value) -> bool:
    """Whether the loss was computed from the target (gradients and stop(x) count as constants)."""
    return Backpropagation.of(b, loss, target).depends(target)


def reads(b: Builder, loss: Value, target: Value) -> np.ndarray:
    """Which of the target's entries, in C order, the loss was computed from."""
    return Backpropagation.of(b, loss, target).reads(target)


class User(NamedTuple):
    """An instruction that reads a value, as its operand number `position`."""

    value: Value
    position: int


def matrix_axes(use: Use) -> tuple[tuple[int, Width], tuple[int, Width]]:
    """Rows in slot 0 and columns in slot 1 of the matrix that is used."""
    sides = (use.operand, use.result) if use.transposed else (use.result, use.operand)
    rows, cols = (v.type.width for v in sides)
    return (0, rows), (1, cols)


def without_power(v: Value) -> Value:
    """x of n^e·x: powers of n are pulled out everywhere, so that a loss may depend on x past what was named."""
    return v.x if isinstance(v, Scale) else v


class Backpropagation:
    """The backward pass of one loss, made as far down as it was asked for."""

    @classmethod
    def of(cls, b: Builder, loss: Value, target: Value) -> Backpropagation:
        """The backward pass of this loss that can reach the target. Those of the last loss are kept.

        What was computed from gradients alone leads to no parameter, so that the pass ends there: unless it is the target itself.
        """
        kept = b.memo["backpropagation"]
        if kept.get("loss") is not loss:
            kept.clear()
            kept["loss"] = loss
        among_constants = b.is_of_constants(target)
        if among_constants not in kept:
            kept[among_constants] = cls(b, loss, b.is_constant if among_constants else b.is_of_constants)
        found: Backpropagation = kept[among_constants]
        return found

    def __init__(self, b: Builder, loss: Value, ends_at: Callable[[Value], bool]) -> None:
        if loss.type.axes or loss.type.shape:
            raise AssertionError(f"the gradient of {loss.type}, which is not one number")
        self._builder, self._loss, self._ends_at = b, loss, ends_at
        with b.constants():
            self._algebra = AdjointAlgebra(b, Builder.scale if b.keeps_powers else scaled)
            seed = self._algebra.of(b.const(1.0))
        self._adjoints: dict[int, Adjoint | None] = {loss.id: seed}
        self._users: dict[int, list[User]] = {loss.id: []}
        self._pending: list[tuple[int, Value]] = [(-loss.id, loss)]
        self._reads: dict[int, np.ndarray] = {}
        self._has_error_signal = False

    def depends(self, target: Value) -> bool:
        target = without_power(target)
        self._explore(target.id)
        return target.id in self._users

    def reads(self, target: Value) -> np.ndarray:
        """Which of the target's entries, in C order, the loss was computed from."""
        target = without_power(target)
        if not self.depends(target):
            return np.zeros(prod(target.type.shape), dtype=bool)
        wanted = self._between(target, self._reads)
        for number in sorted(wanted, reverse=True):
            self._reads[number] = self._read_by_users(wanted[number])
        return self._reads[target.id]

    def _read_by_users(self, v: Value) -> np.ndarray:
        """The entries of v that are read, from those of its users."""
        size = prod(v.type.shape)
        read = np.full(size, v.id == self._loss.id)
        for u, position in self._users[v.id]:
            above = self._reads[u.id]
            match u:
                case Gather(index=index):
                    read[index.reshape(-1)[above]] = True
                case Concat(args=args):
                    first = sum(prod(a.type.shape) for a in args[:position])
                    read |= above[first : first + size]
                case Reduce() | Einsum() | Inner():  # none or all: gradients are 0 where that is too much
                    read |= above.any()
                case _:
                    read[spread_index(v.type.shape, u.type.shape)[above]] = True
        return read

    def gradient(self, target: Value) -> Value | None:
        if not self.depends(target):
            return None
        with self._builder.constants():
            found = self._algebra.value(self._adjoint(target) or self._zero(), target.type)
        return self._constant(found)

    def matrix_gradient(self, uses: Sequence[Use], shape: Shape) -> Value:
        """Of uses that the loss depends on."""
        with self._builder.constants():
            parts = [part for use in uses if (part := self._outer(use, shape)) is not None]
            a = self._algebra.total(parts) if parts else self._zero()
            found = self._algebra.value(a, Type(matrix_axes(uses[0]), shape))
        return self._constant(found)

    # -- results

    def _zero(self) -> Adjoint:
        return self._algebra.of(self._builder.const(0.0))

    def _constant(self, v: Value) -> Value:
        """v as a constant for later gradients: under a stop if the program itself has computed just this."""
        return v if self._builder.is_constant(v) else self._builder.map("stop", v)

    def _outer(self, use: Use, shape: Shape) -> Adjoint | None:
        """What one use adds: Σ over its batch of ∂loss/∂h ⊗ x, scattered to the members of the family."""
        dh = self._adjoint(use.result)
        if dh is None:
            return None
        b, algebra, x = self._builder, self._algebra, use.operand
        if use.transposed:
            dh = Adjoint(dh.exponent, dh.coefficient, b.rename(dh.body, {0: 1}))
        else:
            x = b.rename(x, {0: 1})
        full, members = use.result.type.shape, use.members
        labels = LABELS[: len(full)]
        member_labels = labels[len(full) - members.ndim :]
        kept = "".join(c for c, size in zip(member_labels, members.shape, strict=True) if size != 1)
        x_labels = labels[len(full) - len(x.type.shape) :]
        outer = algebra.contract(dh, labels, x, x_labels, kept, dict(zip(labels, full, strict=True)))
        return scatter_add(algebra, outer, members.squeeze(), shape)

    # -- the sweep

    def _explore(self, floor: int) -> None:
        """Finds the users of every value down to number `floor` among what the loss was computed from."""
        while self._pending and -self._pending[0][0] > floor:
            _, u = heappop(self._pending)
            if self._ends_at(u):
                continue
            u = self._builder.as_written(u)
            for position, v in enumerate(operands(u)):
                if v.id not in self._users:
                    self._users[v.id] = []
                    heappush(self._pending, (-v.id, v))
                self._users[v.id].append(User(u, position))

    def _adjoint(self, target: Value) -> Adjoint | None:
        """∂loss/∂target, None where it is zero; by way of x for a target n^e·x."""
        found = self._reached(without_power(target))
        if found is None or not isinstance(target, Scale):
            return found
        return Adjoint(found.exponent - target.exponent, found.coefficient, found.body)

    def _reached(self, target: Value) -> Adjoint | None:
        """∂loss/∂target. Adjoints of all that lies between are made first, users before what they use."""
        wanted = self._between(target, self._adjoints)
        for number in sorted(wanted, reverse=True):
            self._adjoints[number] = self._collect(self._users[number])
            self._label(wanted[number], self._adjoints[number])
        return self._adjoints[target.id]

    def _between(self, target: Value, known: Mapping[int, object]) -> dict[int, Value]:
        """The target and all that was computed from it on the way to the loss, by number, as far as they are not known."""
        found = {target.id: target} if target.id not in known else {}
        todo = list(found.values())
        while todo:
            for u, _ in self._users[todo.pop().id]:
                if u.id not in known and u.id not in found:
                    found[u.id] = u
                    todo.append(u)
        return found

    def _label(self, v: Value, a: Adjoint | None) -> None:
        """Names an adjoint for printing: dh for the vector h; for the outputs f, of which error signals come, χ."""
        if a is None or not v.name:
            return
        if v.type.axes:
            if a.body.id > self._loss.id:  # the adjoint of v in <v|x> is x, which is no backward vector
                self._builder.label(a.body, f"d{v.name}")
        elif not self._has_error_signal:
            self._has_error_signal = True
            self._builder.label(a.coefficient, "χ")

    def _collect(self, users: Sequence[User]) -> Adjoint | None:
        """The sum of what the users contribute."""
        parts = []
        for user in users:
            above = self._adjoints[user.value.id]
            part = None if above is None else contribution(self._algebra, user.value, user.position, above)
            if part is not None:
                parts.append(part)
        return self._algebra.total(parts) if parts else None
