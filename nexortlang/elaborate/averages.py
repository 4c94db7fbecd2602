"""Averages over index slots, taken apart by algebra before anything is computed.

In: core values. Out: core values. Guarantees: at every finite width the result is the plain average, up to rounding. What does not depend on
an averaged slot is pulled out, sums are averaged term by term, products of factors on different slots become products of averages
(`products`), and the average of a product of two vectors is an Inner. What remains is a plain Avg.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import chain
from math import prod

from nexortlang.core.build import Builder, TypeRuleError
from nexortlang.core.program import Concat, Einsum, Gather, Map, Reduce, Rename, Scale, Value
from nexortlang.elaborate.products import Expansion, Factor, Label, Product, aligned
from nexortlang.elaborate.separation import whole_exponent
from nexortlang.elaborate.stacks import stacked

Key = tuple[Value, frozenset[int]]


def average(b: Builder, x: Value, slots: Iterable[int]) -> Value:
    """(1/size) Σ over the given slots of x; slots that x lacks change nothing."""
    slots = frozenset(slots) & frozenset(x.type.slots)
    return b.rewritten(_average(b, x, slots), x, slots=slots) if slots else x


def _average(b: Builder, x: Value, slots: frozenset[int]) -> Value:
    memo: dict[tuple[int, frozenset[int]], Value] = b.memo["average"]
    pending: list[Key] = [(x, slots)]
    while pending:
        v, wanted = pending[-1]
        key = (v.id, wanted)
        if key in memo:
            pending.pop()
        elif not wanted:
            memo[key] = v
        elif (parts := _linear_parts(v, wanted)) is None:
            memo[key] = _average_product(b, v, wanted)
        elif missing := [p for p in parts if (p[0].id, p[1]) not in memo]:
            pending.extend(missing)
        else:
            memo[key] = _rebuilt(b, v, wanted, [memo[p[0].id, p[1]] for p in parts])
    return memo[x.id, slots]


def inner(b: Builder, x: Value, y: Value) -> Value:
    """⟨x|y⟩: all finite axes of x, then all of y."""
    exponent = sum((v.exponent for v in (x, y) if isinstance(v, Scale)), start=Fraction(0))
    x, y = (v.x if isinstance(v, Scale) else v for v in (x, y))
    k, total = len(x.type.shape), len(x.type.shape) + len(y.type.shape)
    letters = string.ascii_letters[:total]
    return b.scale(b.inner(f"{letters[:k]},{letters[k:]}->{letters}", x, y), exponent)


def plain(b: Builder, x: Value, slots: frozenset[int]) -> Value:
    """The Avg instruction; a vector is moved to slot 0 first, so that equal averages are one value."""
    if len(x.type.slots) == 1:
        x = b.rename(x, {x.type.slots[0]: 0})
        return b.avg(x, (0,))
    return b.avg(x, slots)


# ---------------------------------------------------------------------------- linearity


def _linear_parts(v: Value, wanted: frozenset[int]) -> list[Key] | None:
    """The operands in which v is linear as far as the wanted slots go, each with the slots to average; None if v is not of that kind."""

    def has(a: Value) -> bool:
        return not wanted.isdisjoint(a.type.slots)

    def keys(*args: Value) -> list[Key]:
        return [(a, wanted & frozenset(a.type.slots)) for a in args]

    match v:
        case Map(op="add" | "sub" | "neg", args=args) | Concat(args=args):
            return keys(*args)
        case Map(op="mul", args=(x, y)) | Einsum(x=x, y=y) if not (has(x) and has(y)):
            return keys(x, y)
        case Map(op="div", args=(x, y)) if not has(y):
            return keys(x, y)
        case Map(op="where", args=(condition, x, y)) if not has(condition):
            return keys(condition, x, y)
        case Scale(x=x):
            return keys(x)
        case Rename(x=x, slots=slots):
            return [(x, frozenset(old for old, new in slots if new in wanted))]
        case Gather(x=x, index=index) if index.size >= prod(x.type.shape) or len(x.type.slots) > 1:
            return keys(x)
        case Reduce(op="sum", x=x) if not isinstance(x, Einsum | Gather) and not (
            isinstance(x, Map) and x.op in ("mul", "div")
        ):
            return keys(x)
        case _:
            return None


def _rebuilt(b: Builder, v: Value, wanted: frozenset[int], parts: Sequence[Value]) -> Value:
    """v with its linear parts averaged."""
    match v:
        case Map(op=op):
            return b.map(op, *parts)
        case Concat():
            return b.concat(parts)
        case Einsum(spec=spec):
            return b.einsum(spec, *parts)
        case Scale(exponent=exponent):
            return b.scale(parts[0], exponent)
        case Rename(slots=slots):
            return b.rename(parts[0], {old: new for old, new in slots if new not in wanted})
        case Gather(index=index):
            return b.gather(parts[0], index)
        case Reduce(axis=axis):
            return b.reduce("sum", parts[0], axis)
        case _:
            raise TypeRuleError(f"{type(v).__name__} is not linear")


# ---------------------------------------------------------------------------- products


def _average_product(b: Builder, x: Value, slots: frozenset[int]) -> Value:
    """The average of what is not a linear combination: expanded into products, each split by slots."""
    expansion = Expansion(b, x, slots, stacked)
    if len(expansion.products) == 1 and _is_one_piece(expansion.products[0], slots):
        return plain(b, x, slots)
    total: Value | None = None
    for product in expansion.products:
        term = _Assembly(b, expansion, slots).assemble(product)
        total = term if total is None else b.add(total, term)
    assert total is not None
    return total


def _is_one_piece(product: Product, slots: frozenset[int]) -> bool:
    """Whether nothing comes apart: all factors hang together, and they are no two vectors."""
    groups = _connected(product.factors, slots)
    if len(groups) != 1 or len(groups[0]) != len(product.factors):
        return False
    if any(len(f.value.type.slots) > 1 for f in groups[0]):
        return True
    return len(groups[0]) == 1 and _square_root(groups[0][0].value) is None


def _square_root(v: Value) -> Value | None:
    """u if v is u^2."""
    return v.args[0] if isinstance(v, Map) and v.op == "pow" and whole_exponent(v.args[1]) == 2 else None


def _connected(factors: Iterable[Factor], slots: frozenset[int]) -> list[list[Factor]]:
    """The factors that carry averaged slots, grouped so that groups share none."""
    groups: list[tuple[frozenset[int], list[Factor]]] = []
    for factor in factors:
        own = slots & frozenset(factor.value.type.slots)
        if own:
            touching = [g for g in groups if g[0] & own]
            groups = [g for g in groups if not g[0] & own]
            members = [f for g in touching for f in g[1]]
            groups.append((own.union(*(g[0] for g in touching)), [*members, factor]))
    return [members for _, members in groups]


class _Assembly:
    """Averages one product and contracts its finite axes."""

    def __init__(self, b: Builder, expansion: Expansion, slots: frozenset[int]) -> None:
        self.b = b
        self.out = expansion.out
        self.sizes = expansion.sizes
        self.slots = slots

    def assemble(self, product: Product) -> Value:
        b = self.b
        groups = _connected(product.factors, self.slots)
        done = [f for f in product.factors if self.slots.isdisjoint(f.value.type.slots)]
        for k, group in enumerate(groups):
            others = chain(done, *groups[k + 1 :])
            keep = frozenset(self.out).union(*(f.labels for f in others))
            done.append(self._averaged(group, keep))
        carried = frozenset(chain.from_iterable(f.labels for f in product.factors))
        repeats = prod(self.sizes[label] for label in product.sums if label not in carried)
        if repeats != 1:
            done.append(Factor(b.const(float(repeats)), ()))
        return b.scale(self._spread(self._multiplied(done, frozenset(self.out))), product.exponent)

    def _averaged(self, group: list[Factor], keep: frozenset[Label]) -> Factor:
        """The average of factors that share slots; labels not in `keep` are summed over."""
        b = self.b
        if any(len(f.value.type.slots) > 1 for f in group):
            whole = self._multiplied(group, keep)
            return Factor(average_whole(b, whole.value, self.slots, len(group) == 1), whole.labels)
        if len(group) == 1:
            (only,) = group
            root = _square_root(only.value)
            if root is None:
                return self._summed(Factor(average(b, only.value, only.value.type.slots), only.labels), keep)
            group = [Factor(b.broadcast(root, only.value.type.shape), only.labels)] * 2
        vectors = [Factor(b.rename(f.value, {f.value.type.slots[0]: 0}), f.labels) for f in group]
        last = vectors[-1]
        first = self._multiplied(vectors[:-1], keep | frozenset(last.labels))
        if first.value.id > last.value.id:
            first, last = last, first
        labels = tuple(label for label in self._ordered([first, last]) if label in keep)
        return Factor(b.inner(_spec(first.labels, last.labels, labels), first.value, last.value), labels)

    def _multiplied(self, factors: Sequence[Factor], keep: frozenset[Label]) -> Factor:
        """The product of the factors, fewest slots first; labels not in `keep` are summed over as soon as they can be."""
        order = sorted(factors, key=lambda f: len(f.value.type.slots))
        result: Factor | None = None
        for k, factor in enumerate(order):
            needed = keep.union(*(f.labels for f in order[k + 1 :]))
            if result is None:
                result = self._summed(factor, needed)
            else:
                result = self._pair(result, self._summed(factor, needed | frozenset(result.labels)), needed)
        return result or Factor(self.b.const(1.0), ())

    def _pair(self, x: Factor, y: Factor, keep: frozenset[Label]) -> Factor:
        union = self._ordered([x, y])
        labels = tuple(label for label in union if label in keep)
        if labels != union:
            if x.value.type.is_scalar:  # x @ A has the vector first
                x, y = y, x
            return Factor(self.b.einsum(_spec(x.labels, y.labels, labels), x.value, y.value), labels)
        return Factor(self.b.mul(self._aligned(x, labels), self._aligned(y, labels)), labels)

    def _summed(self, x: Factor, keep: frozenset[Label]) -> Factor:
        """x with the labels that are not kept summed over."""
        for label in [label for label in x.labels if label not in keep]:
            axis = x.labels.index(label)
            x = Factor(self.b.reduce("sum", x.value, axis), x.labels[:axis] + x.labels[axis + 1 :])
        return x

    def _ordered(self, factors: Iterable[Factor]) -> tuple[Label, ...]:
        """All labels of the factors: result axes in their order, then the others."""
        found = dict.fromkeys(chain.from_iterable(f.labels for f in factors))
        return tuple(
            [label for label in self.out if label in found] + [label for label in found if label not in self.out]
        )

    def _aligned(self, x: Factor, labels: tuple[Label, ...]) -> Value:
        return aligned(self.b, x, labels, self.sizes)

    def _spread(self, x: Factor) -> Value:
        """x's value on all result axes."""
        value = self._aligned(x, self.out)
        return self.b.broadcast(value, tuple(self.sizes[label] for label in self.out))


def average_whole(b: Builder, x: Value, slots: frozenset[int], again: bool) -> Value:
    """The average of what hangs together over several slots; a single factor may still come apart by itself."""
    own = slots & frozenset(x.type.slots)
    return average(b, x, own) if again else plain(b, x, own)


def _spec(x: tuple[Label, ...], y: tuple[Label, ...], out: tuple[Label, ...]) -> str:
    """The einsum of labelled operands, letters in order of appearance."""
    letter = dict(zip(dict.fromkeys(x + y), string.ascii_letters, strict=False))
    return f"{''.join(letter[i] for i in x)},{''.join(letter[i] for i in y)}->{''.join(letter[i] for i in out)}"
