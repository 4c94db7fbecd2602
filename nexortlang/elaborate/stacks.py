"""Long sums of outer products as one product of stacked factors: a trained matrix, after however many steps, acts by two or three instructions.

In: a value over slots 0 and 1 with a `Family` (elaborate.separation): a linear combination of summands that take apart into products. Out: a
`Stack`, n^e · Σ_r c[r] · rows[i, r] · columns[j, r]. Guarantees: families that grow from each other share their beginnings, so that one more
summand costs one Concat for the rows, one for the columns and O(1) instructions for the coefficients. A summand that comes back with other
coefficients (an optimizer's memory) is stacked once. Rows and columns have power 0; coefficients carry the powers of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import prod

import numpy as np

from nexortlang.core.build import Builder, is_zero
from nexortlang.core.program import ZERO, Map, Scale, Value
from nexortlang.elaborate.products import Expansion, Factor, Product, Stack, aligned
from nexortlang.elaborate.separation import Family, linear_operands, separation


@dataclass(frozen=True, slots=True)
class Block:
    """One summand, Σ_r coefficients[r] · rows[i, r] · columns[j, r], all of shape (r, …)."""

    rows: Value
    columns: Value
    coefficients: Value

    @property
    def size(self) -> int:
        return self.coefficients.type.shape[0]


def stacked(b: Builder, v: Value) -> Stack:
    """A long sum as one product."""
    family = _family(b, v)
    rows, columns = _factors(b, family)
    coefficients = _coefficients(b, v)
    if isinstance(coefficients, Scale):
        return Stack(rows, columns, coefficients.x, coefficients.exponent)
    return Stack(rows, columns, coefficients, Fraction(0))


def _family(b: Builder, v: Value) -> Family:
    family = separation(b, v).family
    if family is None:
        raise AssertionError("a value that is no sum of products over two slots")
    return family


# ---------------------------------------------------------------------------- summands


def _block(b: Builder, leaf: Value) -> Block:
    """The products of a summand, one below the other."""
    memo: dict[int, Block] = b.memo["stack blocks"]
    if leaf.id not in memo:
        expansion = Expansion(b, leaf, frozenset((0, 1)), stacked)
        blocks = [_product(b, expansion, product, leaf) for product in expansion.products]
        memo[leaf.id] = Block(
            _joined(b, [k.rows for k in blocks], leaf.type.shape),
            _joined(b, [k.columns for k in blocks], leaf.type.shape),
            _joined(b, [k.coefficients for k in blocks], leaf.type.shape),
        )
    return memo[leaf.id]


def _product(b: Builder, expansion: Expansion, product: Product, leaf: Value) -> Block:
    labels = (*product.sums, *expansion.out)
    shape = (prod(expansion.sizes[label] for label in product.sums), *leaf.type.shape)

    def multiplied(factors: Sequence[Factor], start: Value) -> Value:
        values = [aligned(b, f, labels, expansion.sizes) for f in factors]
        whole = reduce(b.mul, values) if values else start
        return b.reshape(b.broadcast(whole, tuple(expansion.sizes[label] for label in labels)), shape)

    sides = []
    for slot, width in leaf.type.axes:
        own = [f for f in product.factors if slot in f.value.type.slots]
        side = b.rename(multiplied(own, b.rename(b.ones(width), {0: slot})), {slot: 0})
        sides.append(side)
    scalars = [f for f in product.factors if not f.value.type.slots]
    exponent = product.exponent + sum(side.type.power for side in sides)
    rows, columns = (b.scale(side, -side.type.power) for side in sides)
    return Block(rows, columns, b.scale(multiplied(scalars, b.const(1.0)), exponent))


# ---------------------------------------------------------------------------- factors, shared along a family


def _factors(b: Builder, family: Family) -> tuple[Value, Value]:
    """Rows and columns of all summands, grown from the longest beginning that is known."""
    memo: dict[Family, tuple[Value, Value]] = b.memo["stacks"]
    new: list[Block] = []
    shape = family.leaf.type.shape
    for f in family.newest_first():
        if f in memo:
            rows, columns = memo[f]
            new.append(Block(rows, columns, b.const(0.0)))
            break
        new.append(_block(b, f.leaf))
    if family not in memo:
        new.reverse()
        memo[family] = (
            _joined(b, [k.rows for k in new], shape),
            _joined(b, [k.columns for k in new], shape),
        )
    return memo[family]


def _joined(b: Builder, parts: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """Arrays of shape (r, *shape) along r, a common power of n outside."""
    if len(parts) == 1:
        return parts[0]
    exponents = {p.exponent if isinstance(p, Scale) else Fraction(0) for p in parts if not is_zero(p)}
    if len(exponents) == 1 and exponents != {Fraction(0)}:
        (exponent,) = exponents
        return b.scale(_joined(b, [p.x if isinstance(p, Scale) else p for p in parts], shape), exponent)
    return b.reshape(b.concat(parts), (sum(p.type.shape[0] for p in parts), *shape))


# ---------------------------------------------------------------------------- coefficients


def _coefficients(b: Builder, v: Value) -> Value:
    """The coefficients of v in its own family, of shape (r, *v's)."""
    memo: dict[int, Value] = b.memo["stack coefficients"]
    pending = [v]
    while pending:
        u = pending[-1]
        linear = linear_operands(u)
        if u.id in memo:
            pending.pop()
        elif missing := [a for a in linear if a.id not in memo]:
            pending.extend(missing)
        else:
            memo[u.id] = _combined(b, u, [memo[a.id] for a in linear]) if linear else _block(b, u).coefficients
    return memo[v.id]


def _combined(b: Builder, v: Value, parts: list[Value]) -> Value:
    """The coefficients of a linear combination, from those of its operands."""
    match v:
        case Map(op="add" | "sub" as op, args=(x, y)):
            return _sum(b, op, v, (x, y), parts)
        case Map(op="mul" | "div" as op, args=(x, y)):
            scalar = x if x.type.is_scalar else y
            return _scaled(b, op, parts[0], scalar)
        case Map(op="neg"):
            return _scaled(b, "mul", parts[0], b.const(-1.0))
        case Scale(exponent=exponent):
            return b.scale(parts[0], exponent)
    raise AssertionError(f"{type(v).__name__} is not linear")


def _scaled(b: Builder, op: str, x: Value, scalar: Value) -> Value:
    (x, p), (scalar, q) = _peeled(x), _peeled(scalar)
    return b.scale(b.map(op, x, scalar), p + q if op == "mul" else p - q)


def _sum(b: Builder, op: str, v: Value, args: tuple[Value, Value], parts: list[Value]) -> Value:
    family, (first, second) = _family(b, v), (_family(b, a) for a in args)
    x, y = parts
    if family.begins_with(first) and family.count == first.count + second.count:
        y = _scaled(b, "mul", y, b.const(-1.0)) if op == "sub" else y
        return _joined(b, [x, _reordered(b, y, second, family, first)], v.type.shape)
    x, y = _spread(b, x, first, family), _spread(b, y, second, family)
    (x, p), (y, q) = _peeled(x), _peeled(y)
    if p == q:
        return b.scale(b.map(op, x, y), p)
    return b.map(op, b.scale(x, p), b.scale(y, q))


def _reordered(b: Builder, c: Value, own: Family, family: Family, after: Family) -> Value:
    """The coefficients of `own` in the order in which `family` has its summands after those of `after`."""
    places = _places(b, own)
    order = []
    for f in family.newest_first():
        if f is after:
            break
        order.append(places[f.leaf.id])
    return _rows_taken(b, c, np.concatenate(order[::-1]))


def _spread(b: Builder, c: Value, own: Family, family: Family) -> Value:
    """The coefficients of a family in a larger one, 0 for what it lacks."""
    if own is family:
        return c
    total = _size(b, family)
    shape = c.type.shape[1:]
    if family.begins_with(own):
        return _joined(b, [c, b.const(np.zeros((total - c.type.shape[0], *shape)))], shape)
    index = np.full(total, c.type.shape[0])
    places, own_places = _places(b, family), _places(b, own)
    for leaf, place in own_places.items():
        index[places[leaf]] = place
    return _rows_taken(b, _joined(b, [c, b.const(np.zeros((1, *shape)))], shape), index)


def _rows_taken(b: Builder, c: Value, index: np.ndarray) -> Value:
    """c[index]."""
    x, p = _peeled(c)
    entries = np.arange(prod(x.type.shape)).reshape(x.type.shape)
    return b.scale(b.gather(x, entries[index]), p)


def _peeled(v: Value) -> tuple[Value, Fraction]:
    return (v.x, v.exponent) if isinstance(v, Scale) else (v, ZERO)


def _size(b: Builder, family: Family) -> int:
    return _factors(b, family)[0].type.shape[0]


def _places(b: Builder, family: Family) -> dict[int, np.ndarray]:
    """Where each summand of a family (by id) stands in its stack."""
    places = {}
    end = sum(_block(b, f.leaf).size for f in family.newest_first())
    for f in family.newest_first():
        start = end - _block(b, f.leaf).size
        places[f.leaf.id] = np.arange(start, end)
        end = start
    return places
