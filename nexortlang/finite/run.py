"""One run of a core program at one width with one seed.

In: a plan, sizes, the run's draws. Out: the arrays of the wanted values. Guarantees: matrices and initial vectors are drawn when they are first used; what is not read again
is freed; a matrix is applied as it stands, transposed or not, without a copy. Scalars and sums over a width are float64 whatever the vectors are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nexortlang.core.program import (
    Avg,
    Const,
    Fluctuation,
    InitScalar,
    InitVector,
    Inner,
    MatMul,
    Matrix,
    Value,
    operands,
)
from nexortlang.finite.arrays import align, apply, mean_product
from nexortlang.finite.draws import Draws
from nexortlang.finite.outer import Stored, average, pair_array
from nexortlang.finite.plan import Member, Plan, is_stored_type, lazy_numbers, members_used, original
from nexortlang.jit.entrywise import Engine

_COMPILE_FROM = 5e7
"""Numbers computed on blocks in one run from which kernels are compiled: program and width alone decide, so that the same seed gives the same numbers."""


class Run:
    """`numbers` says where a matrix stands in the program: its random stream."""

    def __init__(self, plan: Plan, draws: Draws, numbers: Mapping[Matrix, int]) -> None:
        self._plan = plan
        self._draws = draws
        self._numbers = numbers
        self._members: dict[Member, np.ndarray] = {}
        self.arrays: dict[int, np.ndarray] = {}
        engine: Engine = "numba" if lazy_numbers(plan, draws.sizes) > _COMPILE_FROM else "numpy"
        self._stored = Stored(self.arrays, draws.sizes, engine)

    def execute(self) -> Mapping[int, np.ndarray]:
        """The arrays of what is left at the end: the wanted values."""
        for v in self._plan.order:
            array = self._evaluate(v)
            wide = bool(v.type.axes)
            self.arrays[v.id] = np.asarray(array, self._draws.dtype if wide else float)
            for i in self._plan.done.get(v.id, ()):
                del self.arrays[i]
            for member in self._plan.done_members.get(v.id, ()):
                del self._members[member]
        return self.arrays

    def fetch(self, v: Value) -> np.ndarray:
        """The stored array of a scalar or vector."""
        return self.arrays[original(v).id]

    def _evaluate(self, v: Value) -> np.ndarray:
        if not is_stored_type(v.type):
            return pair_array(v, self._stored, self._draws.dtype)
        match v:
            case Const(array=array):
                return array
            case InitVector() | InitScalar():
                return self._draws.value(v)
            case MatMul():
                return self._product(v)
            case Inner(spec=spec, x=x, y=y):
                return mean_product(spec, self.fetch(x), self.fetch(y))
            case Fluctuation(x=x):
                array = self.fetch(x)
                return np.asarray(len(array) ** 0.5 * array.mean(axis=0, dtype=float))
            case Avg(x=x) if is_stored_type(x.type):
                return np.asarray(self.fetch(x).mean(axis=0, dtype=float))
            case Avg():
                return average(v, self._stored)
        lead = len(v.type.axes)
        arrays = [self._with_axis(a, lead) for a in operands(v)]
        return apply(v, arrays, lead, self._draws.sizes.n)

    def _with_axis(self, v: Value, lead: int) -> np.ndarray:
        """An operand's array; a scalar beside vectors has a coordinate axis of length 1."""
        array = self.fetch(v)
        return array[None] if lead > len(v.type.axes) else array

    def _product(self, v: MatMul) -> np.ndarray:
        """One matrix product for each member of the family that is applied."""
        x = self.fetch(v.x)
        used = members_used(v)
        if len(used) == 1 and v.x.type.shape == v.type.shape:
            out = self._oriented(v, used[0]) @ x.reshape(len(x), -1)
            return out.reshape(len(out), *v.type.shape)
        flat = np.broadcast_to(align(x, 1, len(v.type.shape)), (len(x), *v.type.shape)).reshape(len(x), -1)
        members = np.broadcast_to(v.members, v.type.shape).reshape(-1)
        out = np.empty((self._draws.sizes.of(v.type.width), members.size), self._draws.dtype)
        for k in used:
            columns = np.flatnonzero(members == k)
            out[:, columns] = self._oriented(v, k) @ flat[:, columns]
        return out.reshape(len(out), *v.type.shape)

    def _oriented(self, v: MatMul, member: int) -> np.ndarray:
        key = (v.matrix, member)
        if key not in self._members:
            self._members[key] = self._draws.matrix(v.matrix, self._numbers[v.matrix], member)
        return self._members[key].T if v.transposed else self._members[key]
