"""From core values to terms.

In: a value, indices for its finite axes, and which independent copy of the kets each of its width slots is. Out: a term for one entry of the
limit. Guarantees: by the rules of THEORY.md §2, Avg is an expectation over copies, MatMul a ket of its own, everything else
acts entry by entry; terms of lower powers of n are left out, as in the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from nexortlang.core.program import (
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
    OptimizerCall,
    Reduce,
    Rename,
    Scale,
    Shape,
    Value,
)
from nexortlang.derive.algebra import add, div, mean, mul, neg, over, power, rebuilt, root
from nexortlang.derive.names import Names, whole
from nexortlang.derive.terms import (
    LOCAL,
    ONE,
    ZERO,
    Act,
    Add,
    Applied,
    Bracket,
    Call,
    Entry,
    Index,
    Ket,
    Label,
    Mean,
    Mul,
    Num,
    Outer,
    Relation,
    Sym,
    Term,
    at_index,
    children,
    is_random,
    letter,
    position,
    walk,
)
from nexortlang.entrywise.ops import OPS

LETTERS = ("i", "j", "k", "l", "m", "p", "r", "i′", "j′", "k′", "l′", "m′", "p′", "r′")
_RELATIONS = {"lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}


@dataclass(frozen=True, slots=True)
class Scope:
    """Letters in use, the copy that each width slot is, and the copies in use."""

    letters: frozenset[str] = frozenset()
    copies: tuple[tuple[int, int], ...] = ((0, 0),)

    def fresh(self, count: int) -> tuple[list[str], Scope]:
        """New letters, and the scope with them."""
        free = [name for name in LETTERS if name not in self.letters]
        free += [f"i{k}" for k in range(10, 10 + count)]
        return free[:count], replace(self, letters=self.letters | set(free[:count]))

    def copy(self, slot: int) -> int:
        return dict(self.copies)[slot]

    def at(self, copies: Mapping[int, int]) -> Scope:
        return replace(self, copies=tuple(sorted(copies.items())))


@dataclass(slots=True)
class Translator:
    """`leaves`: values that stand for a given term. `symbols`: what is written for numbers (a const's id, (a draw's id, "mean" or
    "variance"), a matrix) where the source has a name for them."""

    names: Names
    calls: Mapping[int, OptimizerCall] = field(default_factory=dict)
    functions: Functions = field(default_factory=lambda: Functions())
    leaves: dict[int, Term] = field(default_factory=dict)
    symbols: Mapping[object, Term] = field(default_factory=dict)

    def entry(self, v: Value, indices: Sequence[Index], scope: Scope) -> Term:
        """One entry of v: by its name if it has one."""
        if v.id in self.leaves:
            return self.leaves[v.id]
        if isinstance(v, InitVector) and not v.variance.any() and v.law != "bernoulli":
            return self.number(v, "mean", v.mean, indices)
        if v.id in self.names.labels:
            label = replace(self.names.labels[v.id], indices=whole(v.type.shape, indices))
            if not v.type.axes:
                return Sym(label)
            return Ket(label, scope.copy(v.type.slots[0]))
        return self.written_out(v, indices, scope)

    def written_out(self, v: Value, indices: Sequence[Index], scope: Scope) -> Term:
        """One entry of v, as its instruction makes it of its operands."""
        match v:
            case Const():
                return self.symbols[v.id] if v.id in self.symbols else self.constant(v.array, indices)
            case InitVector() | InitScalar():
                raise AssertionError("draws have names")
            case MatMul():
                return self.product(v, indices, scope)
            case Map():
                return self._map(v, indices, scope)
            case Avg():
                return self._average(v, indices, scope)
            case Inner():
                return self._contraction(v, indices, scope.at({0: 0}), inner=True)
            case Einsum():
                return self._contraction(v, indices, scope, inner=False)
            case Fluctuation():
                return mul(Call("sqrt", (Sym(Label("n")),)), mean(self.entry(v.x, indices, scope.at({0: 0}))))
            case Rename(x=x, slots=slots):
                return self.entry(x, indices, scope.at({old: scope.copy(new) for old, new in slots}))
            case Gather():
                return self._gather(v, indices, scope)
            case Concat():
                return self._concat(v, indices, scope)
            case Reduce():
                (name,), inside = scope.fresh(1)
                full = (*indices[: v.axis], letter(name), *indices[v.axis :])
                return over(v.op, name, self.entry(v.x, _restricted(full, v.x.type.shape), inside))
            case Scale():
                return self.entry(v.x, indices, scope)
            case FirstOrder():
                raise AssertionError("limits are taken of leading parts")

    # -- leaves

    def number(self, v: InitVector | InitScalar, what: str, array: np.ndarray, indices: Sequence[Index]) -> Term:
        """A parameter of a draw."""
        return self.symbols[v.id, what] if (v.id, what) in self.symbols else self.constant(array, indices)

    def spread(self, matrix: Matrix, indices: Sequence[Index]) -> Term:
        """The variance constant of a matrix, or of a member of a family."""
        return self.symbols[matrix] if matrix in self.symbols else self.constant(matrix.variance, indices)

    def constant(self, array: np.ndarray, indices: Sequence[Index]) -> Term:
        if array.size and (array == array.reshape(-1)[0]).all():
            return Num(float(array.reshape(-1)[0]))
        if all(i.number is not None for i in indices):
            return Num(float(array[tuple(i.offset for i in indices)]))
        if array.ndim == 2 and np.array_equal(array, np.eye(len(array))):
            return Sym(Label("δ", None, tuple(indices)))
        kept = tuple(k for k, n in enumerate(array.shape) if n != 1)
        label, factor = self.names.array(array.reshape([array.shape[k] for k in kept]), [indices[k] for k in kept])
        return mul(Num(factor), Sym(label))

    def product(self, v: MatMul, indices: Sequence[Index], scope: Scope) -> Term:
        """|W x⟩, by the label of x; a sum over the operand's terms never stands inside."""
        operand = self._operand(v.x, aligned(v.x.type.shape, v.type.shape, indices), scope.at({0: 0}))
        factor, ket = _single_ket(operand)
        if operand == ZERO:
            return ZERO
        if ket is None or isinstance(ket.head, Applied):
            raise AssertionError("the operand of a matrix has a name")
        shape = v.matrix.shape
        matrix = self.names.matrices[v.matrix]
        if shape:
            members = np.unravel_index(v.members, shape)
            at = aligned(v.members.shape, v.type.shape, indices)
            matrix = replace(matrix, indices=tuple(self._position(np.asarray(m), at) for m in members))
        return mul(factor, Ket(Applied(matrix, v.transposed, ket.head), scope.copy(v.type.slots[0])))

    def _operand(self, x: Value, indices: Sequence[Index], scope: Scope) -> Term:
        """What a matrix is applied to: the vector of ones is |1⟩."""
        found = self.entry(x, indices, scope)
        return mul(found, Ket(Label("1"))) if isinstance(found, Num) else found

    # -- entry by entry

    def _map(self, v: Map, indices: Sequence[Index], scope: Scope) -> Term:
        if v.id in self.calls:
            return self._optimizer(self.calls[v.id], v, indices, scope)
        args = [self.entry(a, aligned(a.type.shape, v.type.shape, indices), self._within(a, scope)) for a in v.args]
        if OPS[v.op].power == "largest":
            args = [t if a.type.power == v.type.power else ZERO for t, a in zip(args, v.args, strict=True)]
        return applied(v.op, args)

    def _within(self, v: Value, scope: Scope) -> Scope:
        return scope if set(v.type.slots) <= dict(scope.copies).keys() else scope.at({0: 0})

    def _optimizer(self, call: OptimizerCall, v: Value, indices: Sequence[Index], scope: Scope) -> Term:
        """Q(g₀, …, g_t), the optimizer's function of the gradients."""
        name, step = self.functions.of(call, self)
        args = [self.entry(g, aligned(g.type.shape, v.type.shape, indices), scope) for g in call.gradients]
        return Call(name, tuple(args), step, bar=True)

    def _contraction(self, v: Inner | Einsum, indices: Sequence[Index], scope: Scope, inner: bool) -> Term:
        inputs, out = v.spec.split("->")
        left, right = inputs.split(",")
        sizes = dict(zip(left + right, v.x.type.shape + v.y.type.shape, strict=True))
        summed = [c for c in dict.fromkeys(left + right) if c not in out]
        fresh, inside = scope.fresh(len(summed))
        at = dict(zip(out, indices, strict=True)) | {c: letter(f) for c, f in zip(summed, fresh, strict=True)}
        at |= {c: position(0) for c in summed if sizes[c] == 1}
        x, y = (
            self.entry(o, [at[c] for c in labels], self._within(o, inside)) for o, labels in ((v.x, left), (v.y, right))
        )
        term = mean(mul(x, y)) if inner else mul(x, y)
        for c, f in zip(summed, fresh, strict=True):
            if sizes[c] != 1:
                term = over("sum", f, term)
        return term

    # -- averages

    def _average(self, v: Avg, indices: Sequence[Index], scope: Scope) -> Term:
        kept = [slot for slot in v.x.type.slots if slot not in v.slots]
        if not kept:
            inside = scope.at({slot: k for k, slot in enumerate(v.slots)})
            return mean(self.entry(v.x, indices, inside))
        if len(v.slots) == 1 and len(kept) == 1 and scope.copy(kept[0]) == 0:
            acting = self._acting(v, kept[0], v.slots[0], indices, scope)
            if acting is not None:
                return acting
        first = 1 + max(copy for _, copy in scope.copies)
        copies = {slot: first + k for k, slot in enumerate(v.slots)}
        inside = scope.at({**{s: scope.copy(s) for s in kept}, **copies})
        return mean(self.entry(v.x, indices, inside), tuple(copies.values()))

    def _acting(self, v: Avg, row: int, column: int, indices: Sequence[Index], scope: Scope) -> Term | None:
        """E over one copy of F(|x⟩, |y⟩′) |z⟩′ as an operator F(|x⟩⟨y|) at work on |z⟩; None if it is not of that form."""
        match v.x:
            case Map(op="mul", args=(a, b)) if set(a.type.slots) == {column}:
                ket_value, entries = a, b
            case Map(op="mul", args=(a, b)) if set(b.type.slots) == {column}:
                ket_value, entries = b, a
            case _:
                return None
        shape = v.x.type.shape
        z = self.entry(ket_value, aligned(ket_value.type.shape, shape, indices), scope.at({column: 0}))
        factor, ket = _single_ket(z)
        inside = scope.at({row: 0, column: 1})
        f = self.entry(entries, aligned(entries.type.shape, shape, indices), inside)
        operator = as_operator(f)
        if ket is None or operator is None:
            return None
        return mul(factor, _act(operator, ket))

    # -- finite axes

    def _gather(self, v: Gather, indices: Sequence[Index], scope: Scope) -> Term:
        shape = v.x.type.shape
        if not v.index.size:
            return ZERO
        coordinates = np.unravel_index(v.index, shape) if shape else ()
        return self.entry(v.x, [self._position(np.asarray(c), indices) for c in coordinates], scope)

    def _position(self, coordinate: np.ndarray, indices: Sequence[Index]) -> Index:
        """Where an entry comes from: whole-number positions as a function of the indices, if possible by a formula."""
        fixed = tuple(slice(None) if i.number is None else i.offset for i in indices)
        rest = coordinate[fixed] if coordinate.ndim else coordinate
        free = [i for i in indices if i.number is None]
        start = int(rest.reshape(-1)[0])
        steps = [int(np.take(rest, 1, axis=a).reshape(-1)[0]) - start if n > 1 else 0 for a, n in enumerate(rest.shape)]
        grids = np.indices(rest.shape)
        grid = start + sum((s * g for s, g in zip(steps, grids, strict=True)), start=np.zeros(rest.shape, dtype=int))
        if np.array_equal(np.broadcast_to(grid, rest.shape), rest):
            return _combined(start, steps, free)
        used = [a for a in range(rest.ndim) if np.any(np.diff(rest, axis=a))]
        if len(used) == 1:
            values = np.moveaxis(rest, used[0], 0).reshape(rest.shape[used[0]], -1)[:, 0]
            return self.names.table(values, free[used[0]])
        flat = _combined(0, [prod(rest.shape[a + 1 :]) for a in range(rest.ndim)], free)
        return self.names.table(rest.reshape(-1), flat)

    def _concat(self, v: Concat, indices: Sequence[Index], scope: Scope) -> Term:
        (index,) = indices
        items: list[Term] = []
        sizes: list[int] = []
        for a in v.args:
            for item, count in self._blocks(a, scope) if a.type.power == v.type.power else [(ZERO, prod(a.type.shape))]:
                items.append(item)
                sizes.append(count)
        if index.number is None:
            return Entry(tuple(items), index, tuple(sizes))
        start = 0
        for item, count in zip(items, sizes, strict=True):
            if index.number < start + count:
                return at_index(item, LOCAL, position(index.number - start))
            start += count
        raise AssertionError("a position beyond the end")

    def _blocks(self, a: Value, scope: Scope) -> list[tuple[Term, int]]:
        """What a stands for in a row: terms at the letter LOCAL, with their numbers of entries."""
        shape, within = a.type.shape, self._within(a, scope)
        big = [n for n in shape if n != 1]
        if len(big) > 1:
            entries = ([position(int(c)) for c in np.unravel_index(k, shape)] for k in range(prod(shape)))
            return [(self.entry(a, at, within), 1) for at in entries]
        term = self.entry(a, [position(0) if n == 1 else letter(LOCAL) for n in shape], within)
        if isinstance(term, Entry) and term.index == letter(LOCAL):
            return list(zip(term.items, term.layout, strict=True))
        return [(term, prod(shape))]


def _combined(start: int, steps: Sequence[int], indices: Sequence[Index]) -> Index:
    """start + Σ step · index."""
    parts: dict[str, int] = {}
    for step, index in zip(steps, indices, strict=True):
        if not step:
            continue
        if index.table:
            return index
        start += step * index.offset
        for name, factor in index.parts:
            parts[name] = parts.get(name, 0) + step * factor
    return Index(tuple(parts.items()), start)


def aligned(shape: Shape, full: Shape, indices: Sequence[Index]) -> list[Index]:
    """The indices of an operand of this shape, broadcast to the full shape as in NumPy."""
    own = list(indices)[len(full) - len(shape) :]
    return [position(0) if n == 1 else i for n, i in zip(shape, own, strict=True)]


def _restricted(indices: Sequence[Index], shape: Shape) -> list[Index]:
    return [position(0) if n == 1 else i for n, i in zip(shape, indices, strict=True)]


def _single_ket(t: Term) -> tuple[Term, Ket | None]:
    """A term as a scalar factor times one ket."""
    parts = t.items if isinstance(t, Mul) else (t,)
    kets = [p for p in parts if isinstance(p, Ket)]
    rest = [p for p in parts if not isinstance(p, Ket)]
    if len(kets) != 1 or any(is_random(p) for p in rest):
        return ONE, None
    return mul(*rest), kets[0]


def _act(operator: Term, ket: Ket) -> Term:
    """An operator at work on a ket: of a sum each part by itself, without scalar factors."""
    if isinstance(operator, Add):
        return add(*(_act(item, ket) for item in operator.items))
    parts = operator.items if isinstance(operator, Mul) else (operator,)
    acting = [p for p in parts if any(isinstance(q, Outer) for q in walk(p))]
    return mul(*(p for p in parts if p not in acting), Act(mul(*acting), ket))


def as_operator(t: Term) -> Term | None:
    """A term in the copies 0 and 1 as a function of outer products |a⟩⟨b| alone, or None."""
    match t:
        case Ket() | Bracket() | Act():
            return None if isinstance(t, Ket) else t
        case Mul(items=items):
            kets = [i for i in items if isinstance(i, Ket)]
            rest = [as_operator(i) for i in items if not isinstance(i, Ket)]
            if any(r is None for r in rest):
                return None
            factors = [r for r in rest if r is not None]
            if not kets:
                return mul(*factors)
            if [k.copy for k in kets] in ([0, 1], [1, 0]):
                row, column = sorted(kets, key=lambda k: k.copy)
                return mul(*factors, Outer(row, replace(column, copy=0)))
            return None
    if not is_random(t):
        return t
    parts = {c: as_operator(c) for c in children(t)}
    if isinstance(t, Mean) or any(p is None for p in parts.values()):
        return None
    return rebuilt(t, parts.get)


# ---------------------------------------------------------------------------- entrywise functions


def applied(op: str, args: Sequence[Term]) -> Term:
    """An entrywise operation on terms."""
    match op, tuple(args):
        case "add", (a, b):
            return add(a, b)
        case "sub", (a, b):
            return add(a, neg(b))
        case "neg", (a,):
            return neg(a)
        case "mul", (a, b):
            return mul(a, b)
        case "div", (a, b):
            return div(a, b)
        case "pow", (a, b):
            return power(a, b)
        case "sqrt", (a,):
            return root(a)
        case "stop", (a,):
            return a
        case (("lt" | "le" | "gt" | "ge" | "eq" | "ne"), (a, b)):
            return Relation(_RELATIONS[op], a, b)
        case "step", (a,):
            return Relation("≥", a, ZERO)
    return Call(op, tuple(args))


# ---------------------------------------------------------------------------- optimizers


@dataclass(slots=True)
class Functions:
    """The functions that optimizers apply, each stated once: name and step → (arguments, what it is of them)."""

    stated: dict[tuple[str, int], tuple[tuple[Sym, ...], Term]] = field(default_factory=dict)
    _known: dict[int, tuple[str, int]] = field(default_factory=dict)

    def of(self, call: OptimizerCall, translator: Translator) -> tuple[str, int]:
        """The name of the call's function; its statement is added if it is new."""
        if call.result.id in self._known:
            return self._known[call.result.id]
        count = len(call.gradients)
        args = tuple(Sym(Label("g", k if count > 1 else None)) for k in range(count))
        inner = Translator(
            translator.names,
            symbols=translator.symbols,
            leaves={g.id: a for g, a in zip(call.gradients, args, strict=True)},
        )
        indices = [letter(name) for name in LETTERS[: len(call.result.type.shape)]]
        copies = {slot: k for k, slot in enumerate(call.result.type.slots)}
        body = inner.written_out(call.result, indices, Scope(frozenset(LETTERS[: len(indices)]), tuple(copies.items())))
        name, step = call.name, count - 1
        while self.stated.get((name, step), (args, body)) != (args, body):
            name += "′"
        self.stated[name, step] = args, body
        self._known[call.result.id] = name, step
        return name, step
