"""The particle evaluator: one randomisation of a program's limit on N particles.

In: a plan, N, a random generator, draws of the random scalars. Out: the wanted values as arrays, vectors (members, N, *shape), scalars (members or 1, 1, *shape),
random scalars (members, draws, *shape). Members are independent runs of the same plan, evaluated together: with a thousand particles an instruction takes less time than
Python takes to come to it. Guarantees: scalars are sample averages, so that every identity which holds for sample averages (adjointness, linearity,
⟨x|x⟩ ≥ 0) holds to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
    Fluctuation,
    InitScalar,
    InitVector,
    Inner,
    Map,
    MatMul,
    Matrix,
    Value,
    Width,
    operands,
)
from nexortlang.diagnostics.model import Diagnostic, NexortError
from nexortlang.entrywise.special import normal_cdf, normal_quantile
from nexortlang.jit.entrywise import Engine
from nexortlang.kets.particles.apply import apply, columns, from_columns, inner
from nexortlang.kets.particles.hats import Family, Hats
from nexortlang.kets.particles.innovations import (
    Operator,
    Rows,
    Space,
    normalised,
    operator,
    orthonormalise,
    overlaps,
    project_out,
)
from nexortlang.kets.particles.plan import Plan, group_size, is_dense, is_drawn, vanishes
from nexortlang.kets.particles.stacks import Fed, Overlaps, Stack, is_whole, stack_combination, stack_inner
from nexortlang.kets.particles.tuples import average, pair_arrays


class System:
    """Runs of one plan side by side. `chance` holds standard normals for the random scalars, (members, their total size, draws). `hats`: those of all matrices, where they are known."""

    def __init__(
        self,
        plan: Plan,
        count: int,
        chance: np.ndarray,
        seed: np.random.SeedSequence,
        engine: Engine = "numpy",
        hats: Hats | None = None,
    ) -> None:
        self.engine = engine
        self._plan = plan
        self._count = count
        self._members = len(chance)
        self._group = group_size(plan, count)
        self._seed = seed
        self._rng = np.random.default_rng(seed.spawn(1)[0])
        self._spaces: dict[Width, Space] = {}
        self._operators: dict[tuple[Matrix, int], Operator] = {}
        self._hats = hats
        self._innovations: dict[Family, Rows] = {}
        self._chance = chance
        self._chance_used = 0
        self._functionals: dict[Width, tuple[Rows, Rows]] = {}
        self.values: dict[int, np.ndarray] = {}
        self._stacks: dict[int, Stack] = {}
        self._overlaps = Overlaps()
        self._spare: dict[tuple[int, ...], list[np.ndarray]] = {}

    def fetch(self, v: Value) -> np.ndarray:
        """The array of a stored value, the only member's: where particles meet those of other systems there is one."""
        (array,) = self._stored(v)
        return np.asarray(array)

    def _stored(self, v: Value) -> np.ndarray:
        """The array of a stored value, of all members."""
        return self._stacks[v.id].array if v.id in self._stacks else self.values[v.id]

    def member_values(self, v: Value) -> np.ndarray:
        """The array of a value that the plan wants, with an entry for each member."""
        array = self.values[v.id]
        return np.broadcast_to(array, (self._members, *array.shape[1:]))

    def holds(self, v: Value) -> bool:
        """Whether a value is stored now."""
        return v.id in self.values

    def follow(self, plan: Plan, chance: np.ndarray, engine: Engine) -> None:
        """What to evaluate next, on the same particles: a plan whose operands are held, with fresh draws for its random scalars."""
        self._plan, self._chance, self._chance_used, self.engine = plan, chance, 0, engine
        self._group = group_size(plan, self._count)

    @property
    def _grid(self) -> tuple[int, int, int, int]:
        """The first axes of a function of pairs: the one member, groups, and the particles of each twice."""
        return 1, self._count // self._group, self._group, self._group

    @property
    def directions(self) -> dict[str, int]:
        """How many directions of each width, by name, later innovations keep clear of."""
        return {width.name: space.used for width, space in self._spaces.items()}

    @property
    def bytes(self) -> int:
        """The memory that its arrays take."""
        rows = sum(r.bytes for pair in self._functionals.values() for r in pair)
        rows += sum(r.bytes for r in self._innovations.values())
        spaces = sum(space.bytes for space in self._spaces.values())
        operators = sum(operator.bytes for operator in self._operators.values())
        stacks = sum(stack.bytes for stack in self._stacks.values())
        return sum(a.nbytes for a in self.values.values()) + rows + spaces + operators + stacks

    def step(self, values: Sequence[Value], copies: Sequence[System]) -> None:
        """Evaluate the next values; `copies` are this system and those that stand for independent copies of it, all at the same place."""
        if not is_dense(values[0].type):
            arrays = [self._pair_array((*self._grid, *v.type.shape)) for v in values]
            pair_arrays(values, copies, [array[0] for array in arrays])
            self.values.update((v.id, array) for v, array in zip(values, arrays, strict=True))
            return
        (v,) = values
        if isinstance(v, Concat) and v.id in self._plan.stacks:
            self._stacks[v.id] = self._stack(v)
            return
        array = self._evaluate(v, copies)
        if v.type.axes and array.shape[:2] != (self._members, self._count):
            array = np.broadcast_to(array, (self._members, self._count, *v.type.shape))
        self.values[v.id] = array

    def forget(self, v: Value) -> None:
        """Free what is not read after v. Arrays of pairs are kept for the next step: the memory of new ones would have to be mapped first."""
        for i in self._plan.last_use.get(v.id, ()):
            self._overlaps.forget(i)
            if self._stacks.pop(i, None):
                continue
            array = self.values.pop(i)
            if array.shape[:4] == self._grid and array.base is None:
                self._spare.setdefault(array.shape, []).append(array)

    def release(self) -> None:
        """Free what only a next step would use again."""
        self._spare.clear()

    def _pair_array(self, shape: tuple[int, ...]) -> np.ndarray:
        spare = self._spare.get(shape)
        return spare.pop() if spare else np.empty(shape)

    def _space(self, width: Width) -> Space:
        if width not in self._spaces:
            rng = np.random.default_rng(self._seed.spawn(1)[0])
            self._spaces[width] = Space(self._count, rng, self._members)
        return self._spaces[width]

    def _evaluate(self, v: Value, copies: Sequence[System]) -> np.ndarray:
        match v:
            case Const(array=array):
                return array[None, None]
            case InitVector():
                return self._init_vector(v)
            case InitScalar() if not is_drawn(v):
                return v.mean[None, None]
            case InitScalar():
                normals = self._fresh_chance(v.mean.size)
                return from_columns(shaped(v.law, normals, v.mean, v.variance, self._rng), v.type.shape)
            case MatMul():
                return self._matmul(v)
            case Inner(x=x, y=y) if x.id in self._stacks or y.id in self._stacks:
                return self._stack_inner(v)
            case Einsum(x=x, y=y) if x.id in self._stacks or y.id in self._stacks:
                return self._stack_combination(v)
            case Inner(spec=spec, x=x, y=y):
                return inner(spec, self._stored(x), self._stored(y))
            case Avg(x=x) if len(x.type.axes) > 1:
                return average(v, copies, self._count, self._group, x.id in self._plan.nested, self._rng)[None]
            case Avg(x=x):
                return self._stored(x).mean(axis=1, keepdims=True)
            case Fluctuation():
                return self._fluctuation(v)
        args = [None if vanishes(v, a) else self._stored(a) for a in operands(v)]
        if isinstance(v, Map) and not v.type.axes and v.id not in self._plan.random:
            _refuse_jump(v, args)
        return apply(v, args, lead=2)

    def _init_vector(self, v: InitVector) -> np.ndarray:
        space = self._space(v.type.width)
        size = v.mean.size
        if v.law == "normal":
            z = space.normals(size)
            if v.covariance is not None:
                root = symmetric_root(v.covariance)
                z = (root @ z.reshape(self._members, -1, len(root), self._count)).reshape(z.shape)
                return from_columns(v.mean.reshape(-1, 1) + z, v.type.shape)
            return from_columns(v.mean.reshape(-1, 1) + np.sqrt(v.variance.reshape(-1, 1)) * z, v.type.shape)
        x = shaped(v.law, normal_quantile(space.uniforms(size)), v.mean, v.variance, self._rng)
        space.set_apart(x - x.mean(axis=-1, keepdims=True))
        return from_columns(x, v.type.shape)

    def _known_hat(self, v: MatMul, hats: Hats) -> np.ndarray:
        """A hat of known covariance, from coordinates over its family's innovations."""
        y = np.empty((self._members, prod(v.type.shape), self._count))
        for family, here, coordinates in hats.of(v):
            rows = self._innovations.setdefault(family, Rows(self._members, self._count))
            if (missing := coordinates.shape[1] - rows.used) > 0:
                z = self._space(v.type.width).normals(missing)
                rows.append(orthonormalise(project_out(z, rows.array)) if rows.used else z)
            y[:, here] = coordinates @ rows.array[:, : coordinates.shape[1]]
        return from_columns(y, v.type.shape)

    def _matmul(self, v: MatMul) -> np.ndarray:
        if self._hats is not None:
            return self._known_hat(v, self._hats)
        x = columns(self._stored(v.x))
        if is_whole(v):
            coordinates = self._coordinates((v.matrix, v.transposed), v.x, x)
            return from_columns(self._operator(v.matrix, 0).apply(x, v.transposed, coordinates), v.type.shape)
        members = np.broadcast_to(v.members, v.type.shape).reshape(-1)
        sources = np.broadcast_to(np.arange(x.shape[1]).reshape(v.x.type.shape), v.type.shape).reshape(-1)
        y = np.empty((self._members, members.size, self._count))
        for member in np.unique(members):
            here = np.flatnonzero(members == member)
            used, place = np.unique(sources[here], return_inverse=True)
            y[:, here] = self._operator(v.matrix, int(member)).apply(x[:, used], v.transposed)[:, place]
        return from_columns(y, v.type.shape)

    def _coordinates(self, fed: Fed, v: Value, x: np.ndarray) -> np.ndarray:
        """Of the columns x of v, in the basis of what a matrix, or its transpose, is applied to, which is made to span them."""
        matrix, transposed = fed
        operator = self._operator(matrix, 0)
        side = operator.side(transposed)
        if not self._overlaps.are_spanned(side, v):
            found = operator.coordinates(x, transposed, self._overlaps.of(side, v, x))
            self._overlaps.put(side, v, found)
        return self._overlaps.of(side, v, x)

    def _stack(self, v: Concat) -> Stack:
        matrix, transposed = fed = self._plan.stacks[v.id]
        side = self._operator(matrix, 0).side(transposed)
        parts = []
        for a in v.args:
            if a.id in self._stacks:
                parts.append(self._stacks[a.id])
            else:
                x = columns(self._stored(a))
                parts.append(Stack.of(side, self._coordinates(fed, a, x), x))
        return Stack.joined(parts)

    def _stack_inner(self, v: Inner) -> np.ndarray:
        first = v.x.id in self._stacks
        stacked, other = (v.x, v.y) if first else (v.y, v.x)
        stack = self._stacks[stacked.id]
        x = columns(self._stored(other))
        return stack_inner(v.spec, first, stack.overlaps(x, self._overlaps.of(stack.side, other, x)), other.type.shape)

    def _stack_combination(self, v: Einsum) -> np.ndarray:
        stacked, weights = (v.x, v.y) if v.x.id in self._stacks else (v.y, v.x)
        y = stack_combination(v, self._stacks[stacked.id], self._stored(weights)[:, 0])
        return from_columns(y, v.type.shape)

    def _operator(self, matrix: Matrix, member: int) -> Operator:
        key = (matrix, member)
        if key not in self._operators:
            self._operators[key] = operator(matrix, member, self._space(matrix.rows), self._space(matrix.cols))
        return self._operators[key]

    def _fresh_chance(self, size: int) -> np.ndarray:
        start, self._chance_used = self._chance_used, self._chance_used + size
        return self._chance[:, start : self._chance_used]

    def _fluctuation(self, v: Fluctuation) -> np.ndarray:
        """√m avg(x), m the size of the width, as a matrix of one row would make it: Σ ⟨q|x⟩ g over a basis q with one normal g for each.

        q is the Löwdin basis of what is new in x, a continuous function of the particles: eigenvectors, of either sign, would make other numbers of the same g in each copy.
        """
        width = v.x.type.width
        x = columns(self._stored(v.x))
        members, _, draws = self._chance.shape
        basis, normals = self._functionals.setdefault(width, (Rows(members, self._count), Rows(members, draws)))
        new = orthonormalise(project_out(normalised(x), basis.array))
        basis.append(project_out(new, basis.array))
        normals.append(self._fresh_chance(x.shape[1]))
        return from_columns(overlaps(x, basis.array) @ normals.array, v.type.shape)


def run_together(plan: Plan, systems: Sequence[System]) -> None:
    """Evaluate the plan on systems that serve each other as independent copies; what it wants stays in their `values`."""
    with np.errstate(all="ignore"):
        for step in plan.steps:
            for k, system in enumerate(systems):
                system.step(step, [*systems[k:], *systems[:k]])
            for system in systems:
                for v in step:
                    system.forget(v)
    for system in systems:
        system.release()


def _refuse_jump(v: Map, args: Sequence[np.ndarray | None]) -> None:
    """sign(c) has no limit when c is computed and tends to 0: finite widths fall on either side.

    Seen for certain when c is 0 but for rounding (means of what is centred); exactly 0 is what is 0 at every width.
    """
    if v.op not in ("sign", "step", "lt", "le", "gt", "ge"):
        return
    x, y = (0.0 if a is None else a for a in (args[0], args[1] if len(args) > 1 else None))
    gap = np.abs(np.subtract(x, y))
    if np.any((gap > 0.0) & (gap <= 1e-14 * (1.0 + np.abs(x)))):
        raise NexortError(
            Diagnostic(
                "NX302",
                "expected a number away from the jump, found one that tends to it: finite widths fall on either side, so there is no limit",
                v.span,
                hint="a mean that vanishes in the limit has no sign; sqrt(n) times it may have a distribution",
            )
        )


def symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """The positive semidefinite square root."""
    weights, directions = np.linalg.eigh(covariance)
    return (directions * np.sqrt(np.maximum(weights, 0.0))) @ directions.T


def shaped(
    law: str, normals: np.ndarray, mean: np.ndarray, variance: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Standard normal rows, (members, rows, draws), as draws of a law with this mean and variance (flattened: one entry a row)."""
    m, s = mean.reshape(-1, 1), np.sqrt(variance.reshape(-1, 1))
    match law:
        case "normal":
            return m + s * normals
        case "rademacher":
            return m + s * np.where(normals < 0.0, -1.0, 1.0)
        case "bernoulli":
            p = np.broadcast_to(m, (*normals.shape[:-1], 1))
            return np.where(normal_cdf(normals) < thresholds(p, normals.shape[-1], rng), 1.0, 0.0)
        case "uniform":
            return m + s * 3.0**0.5 * (2.0 * normal_cdf(normals) - 1.0)
        case "laplace":
            magnitude = -np.log(2.0 * normal_cdf(-np.abs(normals)))
            return m + s * np.sign(normals) * magnitude / 2.0**0.5
    raise AssertionError(f"no law {law}")


def thresholds(p: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Below which of `count` stratified uniforms a Bernoulli draw is 1: p where that gives p · count ones, else uniform within a stratum on either side of it.

    With p itself there would be one of two numbers of ones, and often the same in all randomisations: no scatter, but an error of up to 1 / count. Over the
    thresholds the number takes on three or four values, its mean still p · count.
    """
    whole = np.abs(p * count - np.round(p * count)) < 1e-9 * count
    reach = np.where(whole | (count == 1), 0.0, np.minimum(1.0 / count, np.minimum(p, 1.0 - p)))
    return np.asarray(p + reach * rng.uniform(-1.0, 1.0, p.shape))
