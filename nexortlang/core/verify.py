"""The verifier of core: every type recomputed from the rules, without the builder that inferred it.

In: a program, after any pass. Out: what is wrong with it, as sentences; [] for a sound program. Tests run it after every pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import prod

import numpy as np

from nexortlang.core.build import TypeRuleError, einsum_shape, is_zero, join_axes, map_power
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
    Map,
    MatMul,
    Matrix,
    Program,
    Reduce,
    Rename,
    Scale,
    Type,
    Value,
    operands,
)
from nexortlang.entrywise.ops import OPS


def verify(program: Program) -> list[str]:
    """All violations, in program order."""
    return [*_violations(program)]


def _violations(program: Program) -> Iterator[str]:
    known: set[Value] = set()
    last = -1
    for v in program.values:
        where = f"value {v.id} ({type(v).__name__}{f' {v.name}' if v.name else ''})"
        if v.id <= last:
            yield f"{where}: numbers count up in program order, but {last} stands before it"
        last = max(last, v.id)
        late = [a.id for a in operands(v) if a not in known]
        if late:
            yield f"{where}: its operands {late} do not stand before it"
        if isinstance(v, MatMul) and v.matrix not in program.matrices:
            yield f"{where}: the matrix {v.matrix.name} is not of the program"
        unknown = [width.name for _, width in v.type.axes if width not in program.widths]
        if unknown:
            yield f"{where}: the widths {unknown} are not declared"
        try:
            expected = infer(v)
        except (TypeRuleError, ValueError) as broken:
            yield f"{where}: {broken}"
        else:
            if expected != v.type:
                yield f"{where}: its type is {v.type}, by the rules it is {expected}"
        known.add(v)
    for show in program.shows:
        if show.value not in known:
            yield f"show {show.name}: its value is not of the program"
        elif show.value.type.power != 0:
            yield f"show {show.name}: power {show.value.type.power}"
        elif show.value.type.axes and not (show.kind == "distribution" and show.value.type.is_vector):
            yield f"show {show.name}: a {show.kind} of {show.value.type}"
    for check in program.assertions:
        for side in (check.value, check.target):
            if side not in known or not side.type.is_scalar or side.type.power != 0:
                yield f"assert {check.text}: a side is no scalar of power 0 of the program"


def infer(v: Value) -> Type:
    """The type that the rules give; TypeRuleError where one is broken."""
    match v:
        case Const(array=array):
            _require(array.dtype == np.float64, "a constant is not of float64")
            return Type((), array.shape)
        case InitVector() | InitScalar():
            return _drawn(v)
        case MatMul(matrix=matrix, members=members, transposed=transposed, x=x):
            _require_members(matrix, members)
            takes, gives = (matrix.rows, matrix.cols) if transposed else (matrix.cols, matrix.rows)
            _require(x.type.is_vector and x.type.width == takes, f"{matrix.name} applied to {x.type}")
            return Type(((0, gives),), np.broadcast_shapes(members.shape, x.type.shape), x.type.power)
        case Map(op=op, args=args):
            return _mapped(op, args)
        case Avg(x=x, slots=slots):
            _require(bool(slots) and set(slots) <= set(x.type.slots), f"an average over slots {slots} of {x.type}")
            return Type(tuple(a for a in x.type.axes if a[0] not in slots), x.type.shape, x.type.power)
        case Inner(spec=spec, x=x, y=y):
            _require(
                x.type.is_vector and y.type.is_vector and x.type.width == y.type.width,
                "inner product of other than vectors",
            )
            return Type((), einsum_shape(spec, x.type.shape, y.type.shape), x.type.power + y.type.power)
        case Fluctuation(x=x):
            _require(x.type.is_vector and x.type.power == 0, f"a fluctuation of {x.type}")
            return Type((), x.type.shape)
        case FirstOrder(x=x, exponent=exponent, limit=limit):
            p = x.type.power + exponent
            _require(x.type.is_scalar and ZERO < p <= Fraction(1, 2), f"a first order of {x.type}, n^{exponent} of it")
            _require(limit is None or limit.type == Type((), x.type.shape), "a limit of another type")
            return Type((), x.type.shape)
        case Rename(x=x, slots=slots):
            new = dict(slots)
            _require(tuple(new) == x.type.slots, f"slots {slots} of {x.type}")
            _require(len(set(new.values())) == len(new), "two axes renamed to one slot")
            return Type(tuple(sorted((new[slot], width) for slot, width in x.type.axes)), x.type.shape, x.type.power)
        case Gather(x=x, index=index):
            _require(index.dtype.kind == "i", "positions that are no integers")
            inside = not index.size or (index.min() >= 0 and index.max() < prod(x.type.shape))
            _require(inside, "positions beyond the entries")
            return Type(x.type.axes, index.shape, x.type.power)
        case Concat(args=args):
            _require(len(args) > 0, "a Concat of nothing")
            size = sum(prod(a.type.shape) for a in args)
            return Type(join_axes(a.type for a in args), (size,), _largest(args))
        case Reduce(op=op, x=x, axis=axis):
            _require(0 <= axis < len(x.type.shape), f"axis {axis} of {x.type}")
            shape = x.type.shape[:axis] + x.type.shape[axis + 1 :]
            return Type(x.type.axes, shape, ZERO if op == "argmax" else x.type.power)
        case Einsum(spec=spec, x=x, y=y):
            shape = einsum_shape(spec, x.type.shape, y.type.shape)
            return Type(join_axes((x.type, y.type)), shape, x.type.power + y.type.power)
        case Scale(x=x, exponent=exponent):
            _require(exponent != 0 and not isinstance(x, Scale), "a Scale that does nothing, or of a Scale")
            return Type(x.type.axes, x.type.shape, x.type.power + exponent)


def _drawn(v: InitVector | InitScalar) -> Type:
    shape = v.mean.shape
    _require(v.variance.shape == shape, "mean and variance of two shapes")
    _require(bool((v.variance >= 0).all()), "a negative variance")
    if isinstance(v, InitScalar):
        return Type((), shape)
    if v.covariance is not None:
        _require(v.law == "normal" and v.covariance.shape == shape[-1:] * 2, "a covariance that does not fit")
        _require(bool((v.variance == np.diag(v.covariance)).all()), "a variance that is not the covariance's diagonal")
    return Type(((0, v.type.width),), shape)


def _require_members(matrix: Matrix, members: np.ndarray) -> None:
    inside = not members.size or (members.min() >= 0 and members.max() < matrix.variance.size)
    _require(members.dtype.kind == "i" and inside, f"members of {matrix.name} that it does not have")


def _mapped(op: str, args: tuple[Value, ...]) -> Type:
    _require(op in OPS, f"no entrywise function {op}")
    _require(len(args) == OPS[op].arity, f"{op} of {len(args)} operands")
    if OPS[op].power == "zero":
        _require(all(a.type.power == 0 or is_zero(a) for a in args), f"{op} of an operand whose power of n is not 0")
    shape = np.broadcast_shapes(*(a.type.shape for a in args))
    return Type(join_axes(a.type for a in args), shape, map_power(op, args))


def _largest(args: tuple[Value, ...]) -> Fraction:
    return max((a.type.power for a in args if not is_zero(a)), default=ZERO)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TypeRuleError(otherwise)
