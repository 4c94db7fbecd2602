"""Building core: one method per instruction, which infers the type and shares equal values.

In: operands and attributes that the elaborator has already checked (a violation here is a bug, TypeRuleError). Out: values appended to
`program.values`. Guarantees: equal instructions on equal operands are one value (draws excepted), so unrolled loops share work. Computed values
over r slots live on the slots 0 … r − 1 (what an Avg leaves excepted); on others they are a Rename, so that relu(x[j]) is relu(x), renamed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from nexortlang.core.program import (
    ZERO,
    Avg,
    Concat,
    Const,
    Einsum,
    FirstOrder,
    Fluctuation,
    Gather,
    InitScalar,
    InitVector,
    Inner,
    Law,
    Map,
    MatMul,
    Matrix,
    Program,
    Reduce,
    Rename,
    Scale,
    Shape,
    Type,
    Value,
    Width,
    operands,
)
from nexortlang.entrywise.ops import OPS
from nexortlang.source import Span

broadcast_shapes = lru_cache(maxsize=1 << 12)(np.broadcast_shapes)
"""NumPy's, remembered: long programs have few shapes."""


class TypeRuleError(AssertionError):
    """A core instruction was built against its type rule: a bug in the pass that built it."""


def join_axes(types: Iterable[Type]) -> tuple[tuple[int, Width], ...]:
    """The union of width axes by slot; a slot has one width."""
    axes: dict[int, Width] = {}
    for t in types:
        for slot, width in t.axes:
            if axes.setdefault(slot, width) != width:
                raise TypeRuleError(f"slot {slot} ranges over {axes[slot].name} and {width.name}")
    return tuple(sorted(axes.items()))


def map_power(op: str, args: Sequence[Value]) -> Fraction:
    """The power of n of op(args), by the rule of entrywise.OPS. Constants 0 have no power of their own in a sum."""
    powers = [a.type.power for a in args]
    match OPS[op].power:
        case "zero":
            return ZERO
        case "sum":
            return added_powers(powers[0], powers[1])
        case "difference":
            return powers[0] - powers[1]
        case "largest":
            return _largest_power(args)
        case "same":
            return powers[0]
        case "half":
            return powers[0] / 2
        case "exponent":
            if powers[0] == 0:
                return ZERO
            exponent = args[1]
            if not isinstance(exponent, Const) or exponent.array.size != 1:
                raise TypeRuleError("a power of n raised to what is not one constant")
            return powers[0] * Fraction(float(exponent.array)).limit_denominator(10**6)


def added_powers(p: Fraction, q: Fraction) -> Fraction:
    """p + q, most often 0 and something."""
    return p + q if p and q else p or q


def _largest_power(args: Iterable[Value]) -> Fraction:
    """Of a sum of terms. Most often they share one, and then mostly one Fraction, whose comparison costs a microsecond."""
    powers = {id(a.type.power): a.type.power for a in args if not is_zero(a)}
    return max(powers.values(), default=ZERO)


def is_zero(v: Value) -> bool:
    """Whether v is the constant 0 (which has no power of n)."""
    return is_everywhere(v, 0.0)


def is_everywhere(v: Value, number: float) -> bool:
    """Whether v is a constant that has this entry alone. The first one mostly tells."""
    if not isinstance(v, Const):
        return False
    a = v.array
    return not a.size or (a.item(0) == number and (a.size == 1 or bool((a == number).all())))


_SUMS = frozenset(op.name for op in OPS.values() if op.power == "largest")


def vanishes(v: Value, argument: Value) -> bool:
    """Whether an operand of a sum (or a part of a Concat) has a lower power of n than the whole, so that it is 0 in the limit."""
    return _is_sum(v) and _is_lower(argument, v.type.power)


def live_operands(v: Value) -> tuple[Value, ...]:
    """The operands whose limit enters v's."""
    read = operands(v)
    return tuple(a for a in read if not _is_lower(a, v.type.power)) if _is_sum(v) else read


def _is_sum(v: Value) -> bool:
    return (isinstance(v, Map) and v.op in _SUMS) or isinstance(v, Concat)


def _is_lower(v: Value, power: Fraction) -> bool:
    own = v.type.power
    return own is not power and own < power and not is_zero(v)


def _unshaped(v: Value) -> Value:
    """What v is a reshaping of."""
    if isinstance(v, Gather) and v.index.size == prod(v.x.type.shape):
        return v.x if np.array_equal(v.index.reshape(-1), np.arange(v.index.size)) else v
    return v


def einsum_shape(spec: str, a: Shape, b: Shape) -> Shape:
    """The result shape of a two-operand einsum, checking that labels agree."""
    inputs, out = spec.split("->")
    labels_a, labels_b = inputs.split(",")
    if len(labels_a) != len(a) or len(labels_b) != len(b):
        raise TypeRuleError(f"einsum {spec} against shapes {a}, {b}")
    sizes: dict[str, int] = {}
    for label, size in [*zip(labels_a, a, strict=True), *zip(labels_b, b, strict=True)]:
        if sizes.setdefault(label, size) != size:
            raise TypeRuleError(f"einsum {spec}: axis {label} is {sizes[label]} and {size}")
    return tuple(sizes[label] for label in out)


class Builder:
    """Appends instructions to a program. `span`, settable by the caller, is stamped on what is built.

    `memo[pass][key]` is where passes over values remember what they have found (values are immutable and never removed). `has_lower_terms`: whether
    there is a sum of terms of several powers of n, or what √n has brought back, so that leading parts may be other values.
    `keeps_powers`, settable by the caller: n^e·x is left as it is written, also where the limit of it is known.
    """

    def __init__(self, program: Program | None = None) -> None:
        self.program = program or Program()
        self.span: Span | None = None
        self.memo: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self._shared: tuple[dict[Hashable, Value], ...] = ({},)  # what is built goes into the first
        self._shared_constants: dict[Hashable, Value] = {}
        self._constant_memo: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self._constants: set[int] = set()
        self._of_constants: set[int] = set()
        self._written: dict[int, Value] = {}
        self._own: set[int] = set()
        self.has_lower_terms = False
        self.keeps_powers = False

    # -- sources

    def const(self, array: np.ndarray | float) -> Const:
        a = np.asarray(array, dtype=float)
        key = ("const", a.shape, a.tobytes())
        return self._share(key, lambda: Const(type=Type((), a.shape), array=a))  # type: ignore[return-value]

    def init_vector(
        self,
        name: str,
        width: Width,
        law: Law,
        mean: np.ndarray,
        variance: np.ndarray,
        covariance: np.ndarray | None = None,
    ) -> InitVector:
        t = Type(((0, width),), mean.shape)
        v = InitVector(type=t, law=law, mean=mean, variance=variance, covariance=covariance, name=name)
        return self._append(v)  # type: ignore[return-value]

    def init_scalar(self, name: str, law: Law, mean: np.ndarray, variance: np.ndarray) -> InitScalar:
        v = InitScalar(type=Type((), mean.shape), law=law, mean=mean, variance=variance, name=name)
        return self._append(v)  # type: ignore[return-value]

    def matrix(self, name: str, rows: Width, cols: Width, variance: np.ndarray, law: Law) -> Matrix:
        m = Matrix(name, rows, cols, np.asarray(variance, dtype=float), law, self.span)
        self.program.matrices.append(m)
        return m

    # -- instructions

    def matmul(self, matrix: Matrix, members: np.ndarray, transposed: bool, x: Value, tag: Hashable = None) -> Value:
        """`tag` keeps values apart that are equal but are uses of different names (a copy V of W), for gradients by name."""
        inner, outer = (matrix.rows, matrix.cols) if transposed else (matrix.cols, matrix.rows)
        if not x.type.is_vector or x.type.width != inner:
            raise TypeRuleError(f"{matrix.name} applied to {x.type}")

        def make() -> Value:
            shape = broadcast_shapes(members.shape, x.type.shape)
            t = Type(((0, outer),), shape, x.type.power)
            return MatMul(type=t, matrix=matrix, members=members, transposed=transposed, x=x)

        return self._share(("matmul", id(matrix), members.shape, members.tobytes(), transposed, x.id, tag), make)

    def map(self, op: str, *args: Value) -> Value:
        if len(args) != OPS[op].arity:
            raise TypeRuleError(f"{op} takes {OPS[op].arity} operands, not {len(args)}")
        if all(isinstance(a, Const) for a in args):
            with np.errstate(all="ignore"):
                return self.const(OPS[op].numpy(*(a.array for a in args if isinstance(a, Const))))
        if away := self._away(args):
            return self._renamed_back(lambda *low: self.map(op, *low), args, away)

        def make() -> Value:
            shape = broadcast_shapes(*(a.type.shape for a in args))
            t = Type(join_axes(a.type for a in args), shape, map_power(op, args))
            if OPS[op].power == "largest":
                self._note_lower_terms(args)
            return Map(type=t, op=op, args=args)

        return self._share(("map", op, *(a.id for a in args)), make)

    def avg(self, x: Value, slots: Iterable[int]) -> Value:
        """The plain instruction; see elaborate.averages for the algebra that comes before it."""
        wanted = tuple(sorted(set(slots) & set(x.type.slots)))
        if not wanted:
            return x
        axes = tuple(a for a in x.type.axes if a[0] not in wanted)
        t = Type(axes, x.type.shape, x.type.power)
        return self._share(("avg", x.id, wanted), lambda: Avg(type=t, x=x, slots=wanted))

    def inner(self, spec: str, x: Value, y: Value) -> Value:
        if not (x.type.is_vector and y.type.is_vector and x.type.width == y.type.width):
            raise TypeRuleError(f"inner product of {x.type} and {y.type}")

        def make() -> Value:
            shape = einsum_shape(spec, x.type.shape, y.type.shape)
            t = Type((), shape, added_powers(x.type.power, y.type.power))
            return Inner(type=t, spec=spec, x=x, y=y)

        return self._share(("inner", spec, x.id, y.id), make)

    def fluctuation(self, x: Value) -> Value:
        if not x.type.is_vector:
            raise TypeRuleError(f"a fluctuation of {x.type}")
        self.has_lower_terms = True
        t = Type((), x.type.shape)
        return self._share(("fluctuation", x.id), lambda: Fluctuation(type=t, x=x))

    def rename(self, x: Value, slots: dict[int, int]) -> Value:
        pairs = tuple((old, slots[old]) for old in x.type.slots)
        if all(old == new for old, new in pairs):
            return x
        if isinstance(x, Rename) and x.id not in self._written:
            return self.rename(x.x, {old: slots[new] for old, new in x.slots})
        if len({new for _, new in pairs}) != len(pairs):
            raise TypeRuleError(f"rename {pairs} joins two axes")
        axes = tuple(sorted((slots[old], width) for old, width in x.type.axes))
        t = Type(axes, x.type.shape, x.type.power)
        return self._share(("rename", x.id, pairs), lambda: Rename(type=t, x=x, slots=pairs))

    def gather(self, x: Value, index: np.ndarray) -> Value:
        index = np.asarray(index, dtype=np.intp)
        size = prod(x.type.shape)
        entries = index.tobytes()
        if index.shape == x.type.shape and entries == np.arange(size, dtype=np.intp).tobytes():
            return x
        key = ("gather", x.id, index.shape, entries)
        if (known := self._known(key)) is not None:
            return known
        if index.size and (index.min() < 0 or index.max() >= size):
            raise TypeRuleError(f"gather beyond the {size} entries")
        if isinstance(x, Const):
            return self.const(x.array.reshape(-1)[index])
        if isinstance(x, Gather) and x.id not in self._written:
            return self.gather(x.x, x.index.reshape(-1)[index])
        if away := self._away([x]):
            return self._renamed_back(lambda low: self.gather(low, index), [x], away)
        t = Type(x.type.axes, index.shape, x.type.power)
        return self._share(key, lambda: Gather(type=t, x=x, index=index))

    def reshape(self, x: Value, shape: Shape) -> Value:
        return self.gather(x, np.arange(prod(x.type.shape)).reshape(shape))

    def broadcast(self, x: Value, shape: Shape) -> Value:
        """x's finite shape broadcast to `shape`, materialised as a Gather."""
        return self.gather(x, np.broadcast_to(np.arange(prod(x.type.shape)).reshape(x.type.shape), shape))

    def concat(self, args: Sequence[Value]) -> Value:
        args = [a if a.id in self._written else _unshaped(a) for a in args]
        if len(args) == 1:
            return self.reshape(args[0], (prod(args[0].type.shape),))
        if all(isinstance(a, Const) for a in args):
            return self.const(np.concatenate([a.array.reshape(-1) for a in args if isinstance(a, Const)]))
        if away := self._away(args):
            return self._renamed_back(lambda *low: self.concat(low), args, away)
        axes = join_axes(a.type for a in args)
        t = Type(axes, (sum(prod(a.type.shape) for a in args),), _largest_power(args))
        self._note_lower_terms(args)
        return self._share(("concat", *(a.id for a in args)), lambda: Concat(type=t, args=tuple(args)))

    def reduce(self, op: str, x: Value, axis: int) -> Value:
        if op not in ("sum", "max", "min", "argmax") or not 0 <= axis < len(x.type.shape):
            raise TypeRuleError(f"reduce {op} over axis {axis} of {x.type}")
        if isinstance(x, Const):
            return self.const(np.asarray(getattr(np, op)(x.array, axis=axis), dtype=float))
        if away := self._away([x]):
            return self._renamed_back(lambda low: self.reduce(op, low, axis), [x], away)
        shape = x.type.shape[:axis] + x.type.shape[axis + 1 :]
        power = ZERO if op == "argmax" else x.type.power
        t = Type(x.type.axes, shape, power)
        return self._share(("reduce", op, x.id, axis), lambda: Reduce(type=t, op=op, x=x, axis=axis))  # type: ignore[arg-type]

    def einsum(self, spec: str, x: Value, y: Value) -> Value:
        shape = einsum_shape(spec, x.type.shape, y.type.shape)
        if isinstance(x, Const) and isinstance(y, Const):
            return self.const(np.einsum(spec, x.array, y.array))
        if away := self._away((x, y)):
            return self._renamed_back(lambda *low: self.einsum(spec, *low), (x, y), away)
        t = Type(join_axes((x.type, y.type)), shape, added_powers(x.type.power, y.type.power))
        return self._share(("einsum", spec, x.id, y.id), lambda: Einsum(type=t, spec=spec, x=x, y=y))

    def scale(self, x: Value, exponent: Fraction) -> Value:
        if not exponent or is_zero(x):
            return x
        if isinstance(x, Scale):
            return self.scale(x.x, x.exponent + exponent)
        if away := self._away([x]):
            return self._renamed_back(lambda low: self.scale(low, exponent), [x], away)

        def make() -> Value:
            t = Type(x.type.axes, x.type.shape, x.type.power + exponent)
            return Scale(type=t, x=x, exponent=exponent)

        return self._share(("scale", x.id, exponent), make)

    def first_order(self, x: Value, exponent: Fraction, limit: Value | None) -> Value:
        """n^exponent · x of order 1, with its limit (None: 0); see elaborate.first_order for when that is so."""
        if not x.type.is_scalar:
            raise TypeRuleError(f"a first order of {x.type}")
        self.has_lower_terms = True
        t = Type((), x.type.shape)
        key = ("first order", x.id, exponent)
        return self._share(key, lambda: FirstOrder(type=t, x=x, exponent=exponent, limit=limit))

    def label(self, value: Value, name: str) -> None:
        """Gives a value without a name one, for printing: the only field that may change after a value is built."""
        if not value.name and not isinstance(value, Const):
            object.__setattr__(value, "name", name)

    def ones(self, width: Width) -> Value:
        """The vector of ones that is put in where a value is constant along a width."""
        kept = self.memo["ones"]
        if width not in kept:
            kept[width] = self.init_vector("one", width, "normal", np.array(1.0), np.array(0.0))
        found: Value = kept[width]
        return found

    # -- values that a gradient is taken with respect to

    def own(self, v: Value) -> None:
        """From here on an equal instruction is another value (constants apart), so that a gradient with respect to v counts the uses of v alone."""
        self._own.add(v.id)

    def alias(self, x: Value) -> Value:
        """A value of its own that is equal to x."""
        t = Type(x.type.axes, (prod(x.type.shape),), x.type.power)
        return self.reshape(self._append(Concat(type=t, args=(x,))), x.type.shape)

    # -- short forms

    def add(self, x: Value, y: Value) -> Value:
        return self.map("add", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.map("mul", x, y)

    # -- what gradients take as constant

    @contextmanager
    def constants(self) -> Iterator[None]:
        """What is built inside is constant for gradients. It is not shared with equal instructions outside, which are not."""
        outside, memo, first = self._shared, self.memo, len(self.program.values)
        if outside[0] is not self._shared_constants:
            self._shared = (self._shared_constants, *outside)
        self.memo = self._constant_memo
        try:
            yield
        finally:
            self._shared, self.memo = outside, memo
            self._constants.update(range(first, len(self.program.values)))

    def is_constant(self, v: Value) -> bool:
        """Whether no gradient flows from v to what it was computed from."""
        return v.id in self._constants or isinstance(v, Const) or (isinstance(v, Map) and v.op == "stop")

    def is_of_constants(self, v: Value) -> bool:
        """Whether v is a constant, or was computed from constants alone."""
        return v.id in self._of_constants or self.is_constant(v)

    def rewritten(self, result: Value, x: Value, slots: Iterable[int] = (), exponent: Fraction = ZERO) -> Value:
        """The result, noted as what algebra has made of n^exponent · average of x over the slots.

        Such algebra sees through names (with h = x + y it makes <v|x> + <v|y> of avg(v*h)). Gradients with respect to h go by what was written.
        A result that is there already, from where it was written so, is another value than that of a constant: no gradient flows to the latter.
        """
        if slots and result.id < x.id and self._is_ambiguous(result, x):
            is_computed = isinstance(result, Map | Inner | Einsum)
            result = self._append(replace(result)) if is_computed else self.alias(result)
        if x.id < result.id and not (isinstance(result, Avg) and result.x is x):
            t = result.type
            written = (
                Avg(type=t, x=x, slots=tuple(sorted(slots))) if exponent == 0 else Scale(type=t, x=x, exponent=exponent)
            )
            self._written.setdefault(result.id, replace(written, id=result.id))
        return result

    def _is_ambiguous(self, result: Value, x: Value) -> bool:
        """Whether gradients through a result that was there already would not go by x: it is noted for another name's value, or x is a product with a constant."""
        if self._shared[0] is self._shared_constants or self.is_of_constants(result):
            return False
        if not isinstance(x, Map) or x.op != "mul":
            return False
        written = self._written.get(result.id)
        if written is not None and operands(written)[0] is not x:
            return any(self._is_own(a) for y in (x, *operands(written)) for a in operands(y))
        return any(self.is_of_constants(a) and not isinstance(a, Const) for a in x.args)

    def _is_own(self, v: Value) -> bool:
        return (v.x if isinstance(v, Rename) else v).id in self._own

    def as_written(self, v: Value) -> Value:
        """The instruction that v stands for, with the operands it had before algebra rewrote it."""
        return self._written.get(v.id, v)

    # -- bookkeeping

    def _away(self, args: Sequence[Value]) -> dict[int, int]:
        """The slots 0 … r − 1 for the slots that args have together; empty if those are the same."""
        slots = {slot for a in args for slot, _ in a.type.axes}
        return {slot: k for k, slot in enumerate(sorted(slots))} if slots and max(slots) >= len(slots) else {}

    def _renamed_back(self, build: Callable[..., Value], args: Sequence[Value], away: dict[int, int]) -> Value:
        """What is built from the args at low slots, on their own slots."""
        low = build(*(self.rename(a, away) for a in args))
        back = {k: slot for slot, k in away.items()}
        return self.rename(low, {k: back[k] for k in low.type.slots})

    def _note_lower_terms(self, args: Sequence[Value]) -> None:
        first = args[0].type.power
        if any(a.type.power is not first and a.type.power != first for a in args):
            self.has_lower_terms = True

    def _share(self, key: Hashable, make: Callable[[], Value]) -> Value:
        found = self._known(key)
        if found is None:
            found = self._shared[0][key] = self._append(make())
        return found

    def _known(self, key: Hashable) -> Value | None:
        own = () if self._shared[0] is self._shared_constants else self._own  # to constants no gradient flows
        for shared in self._shared:
            if (found := shared.get(key)) is not None and found.id not in own:
                return found
        return None

    def _append(self, value: Value) -> Value:
        """Numbers a value that nobody has seen yet."""
        object.__setattr__(value, "id", len(self.program.values))
        object.__setattr__(value, "span", value.span or self.span)
        self.program.values.append(value)
        reads = operands(value)
        if reads and all(self.is_of_constants(v) for v in reads):
            self._of_constants.add(value.id)
        return value
