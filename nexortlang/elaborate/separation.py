"""Which values over several index slots are sums of products of factors of one slot each, and of how many.

In: core values. Out: `separation`, found by structure alone: nothing is built. Guarantees: linear work however many values share operands,
without recursion, since sums of past gradients make deep chains.

A trained matrix is such a sum, one summand longer after every step, and so is what an optimizer remembers of its gradients: the same summands with
other coefficients. A `Family` is what they have in common, the summands in order of appearance without their coefficients. Families that grow from
each other share their beginnings, so that a step of training adds to them what is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from nexortlang.core.build import Builder
from nexortlang.core.program import Const, Einsum, Gather, Map, Reduce, Rename, Scale, Value, operands

MAX_TERMS = 512
MAX_ENTRIES = 1 << 22  # of the label space of one product
STACK_FROM = 3
"""Summands from which a sum is one product of stacked factors; fewer are as short one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The summands of `parent` and one more, `leaf`.

    `count`: how many they are. `latest`: the largest id among them. `entries`: a bound for the products that they expand to.
    """

    parent: Family | None
    leaf: Value
    count: int
    latest: int
    entries: int

    def newest_first(self) -> Iterator[Family]:
        """This family, its parent, and so on."""
        family: Family | None = self
        while family is not None:
            yield family
            family = family.parent

    def holds(self, leaf: Value) -> bool:
        return leaf.id <= self.latest and any(f.leaf is leaf for f in self.newest_first())

    def begins_with(self, other: Family) -> bool:
        family: Family | None = self
        while family is not None and family.count > other.count:
            family = family.parent
        return family is other


@dataclass(frozen=True, slots=True)
class Separation:
    """How a value takes apart into products of factors of one slot each.

    `terms`: how many products (0: it does not separate). `entries`: the size of the largest product's summed labels. `pure`: it is a single
    product without sums, so that multiplicative functions pass through it. `family`: the summands, for a matrix.
    """

    terms: int
    entries: int
    pure: bool
    family: Family | None = None

    @property
    def is_stacked(self) -> bool:
        """Whether the value is one product of the stacked factors of its summands."""
        return self.family is not None and self.family.count >= STACK_FROM


INSEPARABLE = Separation(0, 1, False)
ATOM = Separation(1, 1, True)


def whole_exponent(v: Value) -> int | None:
    """The whole number that v is, or None."""
    if isinstance(v, Const) and v.array.size == 1 and float(v.array.item()).is_integer():
        return int(v.array.item())
    return None


def separation(b: Builder, x: Value) -> Separation:
    """Memoised on the builder."""
    memo: dict[int, Separation] = b.memo["separation"]
    pending = [x]
    while pending:
        v = pending[-1]
        if v.id in memo:
            pending.pop()
        elif len(v.type.slots) <= 1:
            memo[v.id] = ATOM
        elif missing := [a for a in operands(v) if a.id not in memo]:
            pending.extend(missing)
        else:
            parts = [memo[a.id] for a in operands(v)]
            found = _with_family(b, v, _separation(v, parts), parts)
            size = found.entries * prod(v.type.shape)
            memo[v.id] = found if found.terms <= MAX_TERMS and size <= MAX_ENTRIES else INSEPARABLE
    return memo[x.id]


def _separation(v: Value, parts: list[Separation]) -> Separation:
    """Of a value over several slots, from that of its operands."""
    if any(not p.terms for p in parts):
        return INSEPARABLE
    pure = all(p.pure for p in parts)
    match v:
        case Map(op="add" | "sub"):
            return Separation(sum(p.terms for p in parts), max(p.entries for p in parts), False)
        case Map(op="mul") | Einsum():
            contracted = prod(contracted_letters(v).values()) if isinstance(v, Einsum) else 1
            entries = prod(p.entries for p in parts) * contracted
            return Separation(prod(p.terms for p in parts), entries, pure and isinstance(v, Map))
        case Map(op="div"):
            return Separation(parts[0].terms, parts[0].entries, pure) if parts[1].pure else INSEPARABLE
        case Map(op="neg") | Scale() | Gather() | Rename():
            return Separation(parts[0].terms, parts[0].entries, parts[0].pure)
        case Map(op="sign" | "abs"):
            return parts[0] if pure else INSEPARABLE
        case Map(op="pow", args=(_, exponent)):
            k = whole_exponent(exponent)
            if k is not None and parts[0].pure:
                return parts[0]
            if k in (2, 3, 4):
                return Separation(parts[0].terms ** k, parts[0].entries ** k, False)
            return INSEPARABLE
        case Reduce(op="sum", x=x, axis=axis):
            return Separation(parts[0].terms, parts[0].entries * x.type.shape[axis], False)
        case _:
            return INSEPARABLE


def contracted_letters(v: Einsum) -> dict[str, int]:
    """The letters that the einsum sums over, with their sizes."""
    inputs, out = v.spec.split("->")
    left, right = inputs.split(",")
    sizes = dict(zip(left + right, v.x.type.shape + v.y.type.shape, strict=True))
    return {letter: size for letter, size in sizes.items() if letter not in out}


# ---------------------------------------------------------------------------- families


def linear_operands(v: Value) -> tuple[Value, ...]:
    """The operands of a matrix's shape that v is a linear combination of, with scalar coefficients; none if v is no combination."""

    def is_matrix(a: Value) -> bool:
        return a.type.axes == v.type.axes and a.type.shape == v.type.shape

    match v:
        case Map(op="add" | "sub", args=args) if all(is_matrix(a) for a in args):
            return args
        case Map(op="mul", args=(x, y)) if x.type.is_scalar and is_matrix(y):
            return (y,)
        case Map(op="mul" | "div", args=(x, y)) if y.type.is_scalar and is_matrix(x):
            return (x,)
        case Map(op="neg", args=(x,)) | Scale(x=x):
            return (x,)
        case _:
            return ()


def _with_family(b: Builder, v: Value, found: Separation, parts: list[Separation]) -> Separation:
    """A matrix's separation with its family; what is stacked counts as one product."""
    if v.type.slots != (0, 1):
        return found
    linear = linear_operands(v)
    if isinstance(v, Map) and any(a.type.power != linear[0].type.power for a in linear):
        return found  # terms of lower power stand apart: an array has one power of n
    families = [p.family for a, p in zip(operands(v), parts, strict=True) if any(a is x for x in linear)]
    known = [f for f in families if f is not None]
    if linear and len(known) == len(families):
        family = known[0] if len(known) == 1 else _union(b, *known)
        if family.count >= STACK_FROM:
            return Separation(1, family.entries, False, family)
        return Separation(found.terms, found.entries, found.pure, family)
    if linear or not found.terms:
        return found
    return Separation(found.terms, found.entries, found.pure, _extended(b, None, v, found.terms * found.entries))


def _extended(b: Builder, parent: Family | None, leaf: Value, entries: int) -> Family:
    memo: dict[tuple[int, int], Family] = b.memo["families"]
    key = (id(parent), leaf.id)
    if key not in memo:
        if parent is None:
            memo[key] = Family(None, leaf, 1, leaf.id, entries)
        else:
            latest = max(parent.latest, leaf.id)
            memo[key] = Family(parent, leaf, parent.count + 1, latest, parent.entries + entries)
    return memo[key]


def _union(b: Builder, first: Family, second: Family) -> Family:
    """The longer family, and after it what only the other one holds."""
    longer, other = (first, second) if first.count >= second.count else (second, first)
    new = []
    for f in other.newest_first():
        if longer.begins_with(f):
            break
        if not longer.holds(f.leaf):
            new.append(f)
    for f in reversed(new):
        longer = _extended(b, longer, f.leaf, f.entries - (f.parent.entries if f.parent else 0))
    return longer
