"""Sums of products: what an average over index slots can be taken apart into.

In: a value and the slots to be averaged. Out: `expand`, the value as Σ of `Product`s whose factors live on as few slots as can be had
cheaply. Guarantees: the products add up to the value, and there are at most MAX_TERMS of them. A value that does not separate stays one factor.

Finite axes are followed by labels: every factor has one label for each of its axes, equal labels mean the same axis, and labels in `sums` are
summed over. So Σ_b dh[i,b]·x[j,b] is two factors that share the summed label b.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from nexortlang.core.build import Builder
from nexortlang.core.program import Einsum, Gather, Map, Reduce, Rename, Scale, Shape, Type, Value
from nexortlang.elaborate.separation import contracted_letters, separation, whole_exponent

Label: TypeAlias = int
Wrap: TypeAlias = tuple[Literal["sign", "abs", "pow", "reciprocal"], int]


@dataclass(frozen=True, slots=True)
class Factor:
    """A value with a label for each finite axis."""

    value: Value
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """n^exponent · Σ over `sums` of the product of the factors."""

    factors: tuple[Factor, ...]
    sums: tuple[Label, ...]
    exponent: Fraction


@dataclass(frozen=True, slots=True)
class Stack:
    """A matrix as n^exponent · Σ_r coefficients[r] · rows[i, r] · columns[j, r]; r is the first finite axis of each, the matrix's own follow.

    `rows` and `columns` are vectors (slot 0), `coefficients` are scalars.
    """

    rows: Value
    columns: Value
    coefficients: Value
    exponent: Fraction


def aligned(b: Builder, x: Factor, labels: tuple[Label, ...], sizes: dict[Label, int]) -> Value:
    """x's value with axes in the order of `labels`, of size 1 for those it lacks (none in front)."""
    entries = np.arange(prod(x.value.type.shape)).reshape(x.value.type.shape)
    own = [label for label in labels if label in x.labels]
    entries = entries.transpose([x.labels.index(label) for label in own])
    start = labels.index(own[0]) if own else len(labels)
    shape = tuple(sizes[label] if label in own else 1 for label in labels[start:])
    return b.gather(x.value, entries.reshape(shape))


# ---------------------------------------------------------------------------- expansion


@dataclass(frozen=True, slots=True)
class _Item:
    """A factor still to be taken apart: wraps(value.flat[index]), renamed. `index` has one axis for each of `labels`.

    `root`: nothing multiplies it, so that a vector may be split into the two sides of an inner product. `whole`: something that does not
    separate multiplies it, so that expanding its sums would gain nothing.
    """

    value: Value
    index: np.ndarray
    labels: tuple[Label, ...]
    slots: tuple[tuple[int, int], ...]
    wraps: tuple[Wrap, ...] = ()
    root: bool = False
    whole: bool = False

    def slot_set(self) -> frozenset[int]:
        renaming = dict(self.slots)
        return frozenset(renaming[s] for s in self.value.type.slots)


@dataclass(frozen=True, slots=True)
class _State:
    """A product under way: items left to do (next one last), factors done."""

    items: tuple[_Item, ...]
    factors: tuple[Factor, ...] = ()
    sums: tuple[Label, ...] = ()
    exponent: Fraction = Fraction(0)


class Expansion:
    """`products`, with result axes labelled `out`, and the `sizes` of all labels. `stacked` gives a long sum as one product."""

    def __init__(self, b: Builder, x: Value, slots: frozenset[int], stacked: Callable[[Builder, Value], Stack]) -> None:
        self.b = b
        self._stacked = stacked
        self.averaged = slots
        self.sizes: dict[Label, int] = {}
        self._fresh = count()
        self.out = tuple(self._label(size) for size in x.type.shape)
        index = np.arange(prod(x.type.shape)).reshape(x.type.shape)
        item = _Item(x, index, self.out, tuple((s, s) for s in x.type.slots), root=True)
        self.products: list[Product] = []
        states = [_State((item,))]
        while states:
            state = states.pop()
            if state.items:
                states.extend(reversed(list(self._step(state))))
            else:
                self.products.append(Product(state.factors, state.sums, state.exponent))

    def _label(self, size: int) -> Label:
        label = next(self._fresh)
        self.sizes[label] = size
        return label

    def _step(self, state: _State) -> Iterator[_State]:
        """Takes the next item apart once; a sum gives several states."""
        item = state.items[-1]
        v = item.value
        rest = replace(state, items=state.items[:-1])
        if self._is_leaf(item):
            yield self._finish(item, rest)
            return
        match v:
            case Map(op="add" | "sub") if separation(self.b, v).is_stacked:
                yield self._stack(item, rest)
            case Map(op="add" | "sub", args=(left, right)):
                yield _push(rest, self._part(item, left))
                signed = _push(rest, self._part(item, right))
                yield self._negated(signed, item) if v.op == "sub" else signed
            case Map(op="neg", args=(a,)):
                yield self._negated(_push(rest, self._part(item, a)), item)
            case Map(op="mul", args=(left, right)):
                if len(v.type.slots) > 1 and not separation(self.b, v).terms:
                    item = replace(item, whole=True)
                yield _push(rest, self._part(item, left), self._part(item, right))
            case Map(op="div", args=(left, right)):
                below = self._part(item, right)
                yield _push(rest, self._part(item, left), replace(below, wraps=(("reciprocal", -1), *below.wraps)))
            case Map(op="sign" | "abs", args=(a,)):
                part = self._part(item, a)
                wrap: Wrap = ("sign", 0) if v.op == "sign" else ("abs", 1)
                yield _push(rest, replace(part, wraps=(wrap, *part.wraps)))
            case Map(op="pow", args=(a, exponent)):
                k = whole_exponent(exponent)
                assert k is not None
                part = self._part(item, a)
                if separation(self.b, a).pure:
                    yield _push(rest, replace(part, wraps=(("pow", k), *part.wraps)))
                else:
                    yield _push(rest, *([part] * k))
            case Scale(x=x, exponent=exponent):
                yield _push(replace(rest, exponent=rest.exponent + _through(item.wraps, exponent)), self._part(item, x))
            case Rename(x=x):
                renaming = dict(item.slots)
                slots = tuple((old, renaming[new]) for old, new in v.slots)
                yield _push(rest, replace(item, value=x, slots=slots))
            case Gather(x=x):
                yield _push(rest, replace(item, value=x, index=v.index.reshape(-1)[item.index]))
            case Reduce(x=x):
                yield self._reduce(item, v, rest)
            case Einsum():
                yield self._einsum(item, v, rest)
            case _:
                raise AssertionError(f"{type(v).__name__} separates but has no rule")

    def _is_leaf(self, item: _Item) -> bool:
        v = item.value
        if not item.slot_set() & self.averaged:
            return True
        if len(v.type.slots) == 1:
            return self._is_whole_vector(v, item.root)
        parts = separation(self.b, v)
        match v:
            case Map(op="mul" | "neg") | Scale() | Rename():
                return False
            case Map(op="div", args=(_, below)) if not parts.terms:
                return len(below.type.slots) > 1
            case Map(op="add" | "sub") | Reduce() | Einsum():
                return item.whole or not parts.terms
            case Map(op="pow", args=(a, _)):
                return not parts.terms or (item.whole and not separation(self.b, a).pure)
            case _:
                return not parts.terms

    def _is_whole_vector(self, v: Value, root: bool) -> bool:
        """Whether a vector is one factor. Scalar factors come off; only at the root is it split into two vectors, for an inner product."""
        match v:
            case Map(op="mul", args=args):
                return not root and all(a.type.slots for a in args)
            case Map(op="div", args=(_, below)):
                return len(below.type.slots) > 0
            case Map(op="neg") | Scale() | Rename():
                return False
            case Gather(x=x):
                return v.index.size < prod(x.type.shape)
            case Einsum() | Reduce(op="sum", x=Map(op="mul") | Einsum()):
                return not root
            case _:
                return True

    def _part(self, item: _Item, operand: Value) -> _Item:
        """The operand of an entrywise function as an item: its index goes through broadcasting."""
        shape = item.value.type.shape
        own = np.arange(prod(operand.type.shape)).reshape(operand.type.shape)
        index = np.broadcast_to(own, shape).reshape(-1)[item.index]
        return replace(item, value=operand, index=index, slots=_only(item.slots, operand.type), root=False)

    def _negated(self, state: _State, item: _Item) -> _State:
        minus = self._wrapped(self.b.const(-1.0), item.wraps)
        return replace(state, factors=(*state.factors, Factor(minus, ())))

    def _stack(self, item: _Item, rest: _State) -> _State:
        """A long sum as one product: rows, columns and coefficients with a label for what is summed."""
        stack = self._stacked(self.b, item.value)
        size, *shape = stack.coefficients.type.shape
        label = self._label(size)
        index = np.arange(size) * prod(shape) + item.index[..., None]
        renaming = dict(item.slots)

        def part(value: Value, *slots: tuple[int, int]) -> _Item:
            return replace(item, value=value, index=index, labels=(*item.labels, label), slots=slots, root=False)

        parts = (
            part(stack.coefficients),
            part(stack.rows, (0, renaming[0])),
            part(stack.columns, (0, renaming[1])),
        )
        return _push(replace(rest, sums=(*rest.sums, label), exponent=rest.exponent + stack.exponent), *parts)

    def _reduce(self, item: _Item, v: Reduce, rest: _State) -> _State:
        size = v.x.type.shape[v.axis]
        label = self._label(size)
        entries = np.arange(prod(v.x.type.shape)).reshape(v.x.type.shape)
        flat = np.moveaxis(entries, v.axis, -1).reshape(-1, size)
        part = replace(item, value=v.x, index=flat[item.index], labels=(*item.labels, label))
        return _push(replace(rest, sums=(*rest.sums, label)), part)

    def _einsum(self, item: _Item, v: Einsum, rest: _State) -> _State:
        inputs, out = v.spec.split("->")
        contracted = contracted_letters(v)
        labels = {letter: self._label(size) for letter, size in contracted.items()}
        position = dict(zip(out, np.unravel_index(item.index, v.type.shape), strict=True)) if out else {}
        parts = []
        for operand, letters in zip((v.x, v.y), inputs.split(","), strict=True):
            own = [letter for letter in contracted if letter in letters]
            grid = np.ogrid[tuple(slice(contracted[letter]) for letter in own)] if own else []
            where = {
                **{k: p.reshape(p.shape + (1,) * len(own)) for k, p in position.items()},
                **{letter: g.reshape((1,) * item.index.ndim + g.shape) for letter, g in zip(own, grid, strict=True)},
            }
            shape = item.index.shape + tuple(contracted[letter] for letter in own)
            index = np.zeros(shape, dtype=np.intp)
            for letter, size in zip(letters, operand.type.shape, strict=True):
                index = index * size + where[letter]
            all_labels = (*item.labels, *(labels[letter] for letter in own))
            slots = _only(item.slots, operand.type)
            parts.append(replace(item, value=operand, index=index, labels=all_labels, slots=slots, root=False))
        return _push(replace(rest, sums=(*rest.sums, *labels.values())), *parts)

    # -- leaves

    def _finish(self, item: _Item, rest: _State) -> _State:
        """A factor whose axes are those that the index really runs along; broadcast axes are dropped."""
        value, labels = self._arranged(item)
        power = value.type.power
        if item.wraps and power:
            value = self._wrapped(self.b.scale(value, -power), item.wraps)
            rest = replace(rest, exponent=rest.exponent + _through(item.wraps, power))
        else:
            value = self._wrapped(value, item.wraps)
        value = self.b.rename(value, dict(item.slots))
        return replace(rest, factors=(*rest.factors, Factor(value, labels)))

    def _arranged(self, item: _Item) -> tuple[Value, tuple[Label, ...]]:
        shape, index = item.value.type.shape, item.index
        if index.shape == shape and np.array_equal(index.reshape(-1), np.arange(index.size)):
            return item.value, item.labels
        kept = (
            [a for a in range(index.ndim) if (index != index.take([0], axis=a)).any()]
            if index.size
            else [*range(index.ndim)]
        )
        used = index[tuple(slice(None) if a in kept else 0 for a in range(index.ndim))]
        labels = tuple(item.labels[a] for a in kept)
        order = _transposition(used, shape)
        if order is not None:
            return self.b.reshape(item.value, tuple(s for s in shape if s != 1)), tuple(labels[a] for a in order)
        return self.b.gather(item.value, used), labels

    def _wrapped(self, v: Value, wraps: Iterable[Wrap]) -> Value:
        for op, k in wraps:
            match op:
                case "pow":
                    v = self.b.map("pow", v, self.b.const(float(k)))
                case "reciprocal":
                    v = self.b.map("div", self.b.const(1.0), v)
                case _:
                    v = self.b.map(op, v)
        return v


def _push(state: _State, *items: _Item) -> _State:
    """The items go before what is left, the first one next."""
    return replace(state, items=(*state.items, *reversed(items)))


def _only(slots: tuple[tuple[int, int], ...], t: Type) -> tuple[tuple[int, int], ...]:
    return tuple(pair for pair in slots if pair[0] in t.slots)


def _through(wraps: Iterable[Wrap], exponent: Fraction) -> Fraction:
    """The power of n that remains of n^exponent under the functions."""
    for _, k in wraps:
        exponent *= k
    return exponent


def _transposition(index: np.ndarray, shape: Shape) -> tuple[int, ...] | None:
    """The order of index's axes that makes it run through an array of this shape (axes of size 1 apart) from first to last, if there is one."""
    long = tuple(s for s in shape if s != 1)
    if index.ndim != len(long) or index.size != prod(long):
        return None
    first = [int(index[tuple(int(a == k) for a in range(index.ndim))]) for k in range(index.ndim)]
    order = tuple(sorted(range(index.ndim), key=lambda a: -first[a]))
    run = index.transpose(order)
    return order if run.shape == long and np.array_equal(run.reshape(-1), np.arange(index.size)) else None
