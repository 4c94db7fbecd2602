"""The exact evaluator: kets by the rules of THEORY.md §2, kept as structure.

In: core values. Out: for a deterministic scalar an `Answer`; for a vector (or a random scalar) its `Lin`, a linear form over Gaussian roots and
nonlinear atoms. Values are evaluated on demand and remembered, so the evaluator can be asked for more as a program grows. Raises NotStructured for
what needs particles.

Roots carry a slot: the copies of index notation. Kets in different slots are independent copies; slot RANDOM holds
the Gaussian scalars, which averages over coordinates leave alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import reduce
from typing import assert_never

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
    Reduce,
    Rename,
    Scale,
    Value,
    operands,
)
from nexortlang.entrywise.ops import OPS
from nexortlang.entrywise.special import normal_quantile
from nexortlang.kets.exact.atoms import (
    Atom,
    Node,
    NotStructured,
    constant_node,
    leaves_of,
    operation,
    transform,
)
from nexortlang.kets.exact.conditional import factored, separated
from nexortlang.kets.exact.dots import with_dots
from nexortlang.kets.exact.expectation import Answer, JumpAtAtom, mean_of_product
from nexortlang.kets.exact.forms import (
    RANDOM,
    AtomKey,
    Joint,
    Ket,
    Result,
    Root,
    as_ket,
    broadcast,
    einsum_matrix,
    flat,
    leaf_number,
    nothing,
    spread,
    sum_rows,
    trusted,
    trusted_ket,
)
from nexortlang.kets.exact.linear import Lin, LinMap, Rows, add, composed, concatenate, identity
from nexortlang.kets.exact.moments import Moments
from nexortlang.kets.results import Method, least_exact


class ExactLimit:
    """Evaluates core values; remembers everything."""

    def __init__(self) -> None:
        self._results: dict[int, Result | NotStructured] = {}
        self._on_functionals: set[int] = set()  # what a Gaussian functional enters
        self.moments = Moments(self._ket, self._multiply)
        self._kept: list[Lin] = []  # keeps alive what memo keys identify by id
        self._applied: dict[Hashable, Ket] = {}

    # ------------------------------------------------------------------ values

    def evaluate(self, v: Value) -> Result:
        """The limit of a value; raises NotStructured (remembered) when it has no exact form."""
        pending = [v]
        while pending:  # an explicit stack: programs are deeper than Python's
            top = pending[-1]
            missing = [a for a in operands(top) if a.id not in self._results]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if top.id not in self._results:
                inside = any(a.id in self._on_functionals for a in operands(top))
                if inside or isinstance(top, Fluctuation):
                    self._on_functionals.add(top.id)
                self._results[top.id] = self._attempt(top)
        result = self._results[v.id]
        if isinstance(result, NotStructured):
            raise NotStructured(str(result))
        return result

    def _attempt(self, v: Value) -> Result | NotStructured:
        try:
            return self._compute(v)
        except NotStructured as reason:
            return reason

    def _get(self, v: Value) -> Result:
        result = self._results[v.id]
        if isinstance(result, NotStructured):
            raise result
        return result

    def _ket(self, v: Value) -> Ket:
        return as_ket(self._get(v))

    def _compute(self, v: Value) -> Result:
        match v:
            case Const():
                return Answer(v.array)
            case InitVector():
                return self._initial(v, 0)
            case InitScalar():
                return self._initial(v, RANDOM)
            case Map():
                return self._map(v)
            case MatMul():
                return self._matmul(v)
            case Avg():
                return self._avg(v)
            case Inner():
                return self._inner(v)
            case Fluctuation():
                if v.x.id in self._on_functionals:
                    raise NotStructured("a functional of a vector that others enter, perhaps of the same draws")
                size = math.prod(v.type.shape)
                inner = self._ket(v.x)
                return Ket(
                    Lin(np.zeros(size), {Root(v, RANDOM): identity(size)}), v.type.shape, inner.method, inner.error
                )
            case Rename():
                return self._rename(v)
            case Gather():
                result = self._get(v.x)
                if isinstance(result, Answer):
                    return replace(result, value=result.value.reshape(-1)[v.index])
                return replace(result, lin=result.lin.rows(v.index), shape=v.index.shape)
            case Concat():
                return self._concat(v)
            case Reduce():
                return self._reduce(v)
            case Einsum():
                return self._einsum(v)
            case Scale():
                return self._get(v.x)
            case FirstOrder():
                raise AssertionError("the leading part of a program has no first orders")
            case _:
                assert_never(v)

    # ------------------------------------------------------------------ draws

    def _initial(self, v: InitVector | InitScalar, slot: int) -> Ket:
        mean, variance = v.mean.reshape(-1), v.variance.reshape(-1)
        size = len(mean)
        root = Lin(np.zeros(size), {Root(v, slot): identity(size)})
        if v.law == "normal":
            return Ket(Lin(mean, root.terms) if variance.any() else Lin(mean, {}), v.type.shape)
        g = Node("leaf", leaf=0)
        match v.law:
            case "bernoulli":
                node = operation("ge", g, constant_node(-normal_quantile(mean)))
            case "rademacher":
                node = _affine(operation("sign", g), np.sqrt(variance), mean)
            case "uniform":
                root = root.scaled(np.full(size, math.sqrt(0.5)))
                node = _affine(operation("erf", g), np.sqrt(3.0 * variance), mean)
            case _:
                return self._laplace(Root(v, slot), mean, variance)
        return self._new_atom(Atom(size, (root,), node), v.type.shape)

    def _laplace(self, root: Root, mean: np.ndarray, variance: np.ndarray) -> Ket:
        """g₁g₂ + g₃g₄ has the Laplace law of variance 2: its moments follow from Wick's rule."""
        size = len(mean)
        leaves = tuple(
            Lin(np.zeros(size), {root: Rows(np.arange(size) * 4 + k, np.ones(size), 4 * size)}) for k in range(4)
        )
        g = [Node("leaf", leaf=k) for k in range(4)]
        node = operation("add", operation("mul", g[0], g[1]), operation("mul", g[2], g[3]))
        return self._new_atom(Atom(size, leaves, _affine(node, np.sqrt(variance / 2), mean)), root.value.type.shape)

    def _new_atom(self, atom: Atom, shape: tuple[int, ...], method: Method = "exact", error: float = 0.0) -> Ket:
        key = self.moments.new_key(atom)
        return Ket(Lin(np.zeros(atom.entries), {key: identity(atom.entries)}), shape, method, error)

    # ------------------------------------------------------------------ Nonlin

    def _map(self, v: Map) -> Result:
        args = [self._get(a) for a in v.args]
        if OPS[v.op].power == "largest":
            args = [a if x.type.power == v.type.power else nothing(x) for a, x in zip(args, v.args, strict=True)]
        return self._apply(v.op, args, v.type.shape)

    def _apply(self, op: str, args: Sequence[Result], shape: tuple[int, ...]) -> Result:
        method = least_exact(*(a.method for a in args))
        error = max(a.error for a in args)
        if all(isinstance(a, Answer) for a in args):
            with np.errstate(all="ignore"):
                return _answer(op, [a for a in args if isinstance(a, Answer)], shape, method)
        linear = self._linear(op, args, shape)
        if linear is not None:
            return Ket(linear, shape, method, error)
        key = (op, shape, tuple(_identity_of(a) for a in args))
        if key not in self._applied:
            self._kept.extend(a.lin for a in args if isinstance(a, Ket))
            leaves: list[Lin] = []
            nodes = [self._node_of(a, shape, leaves) for a in args]
            atom = Atom(math.prod(shape), tuple(leaves), operation(op, *nodes))
            self._applied[key] = self._new_atom(atom, shape, method, error)
        return self._applied[key]

    def _linear(self, op: str, args: Sequence[Result], shape: tuple[int, ...]) -> Lin | None:
        """add, sub, neg, and products with numbers stay linear."""
        match op, args:
            case (("add" | "sub"), (a, b)):
                left, right = broadcast(as_ket(a), shape), broadcast(as_ket(b), shape)
                return add(left, right if op == "add" else right.scaled(np.full(right.size, -1.0)))
            case "stop", (Ket() as a,):
                return a.lin
            case "neg", (a,):
                lin = as_ket(a).lin
                return lin.scaled(np.full(lin.size, -1.0))
            case "mul", (Ket() as a, Answer() as b):
                return broadcast(a, shape).scaled(flat(b.value, shape))
            case "mul", (Answer() as a, Ket() as b):
                return broadcast(b, shape).scaled(flat(a.value, shape))
            case "div", (Ket() as a, Answer() as b) if np.all(b.value != 0):
                return broadcast(a, shape).scaled(1.0 / flat(b.value, shape))
        return None

    def _node_of(self, a: Result, shape: tuple[int, ...], leaves: list[Lin]) -> Node:
        """An operand as an expression over Gaussian leaves, which are appended to `leaves`."""
        if isinstance(a, Answer):
            return constant_node(a.value if a.value.ndim == 0 else flat(a.value, shape))
        lin = broadcast(a, shape)
        gaussian, rest = lin.split([k for k in lin.terms if isinstance(k, Root)])
        node: Node | None = None
        if gaussian.terms:
            node = Node("leaf", leaf=leaf_number(gaussian, leaves))
        elif gaussian.constant.any() or not rest.terms:
            node = constant_node(gaussian.constant)
        for key, m in rest.terms.items():
            assert isinstance(key, AtomKey)
            for coefficient, index in spread(m):
                part = self._atom_node(self.moments.atom(key), index, leaves)
                if not (coefficient == 1.0).all():
                    part = operation("mul", constant_node(coefficient), part)
                node = part if node is None else operation("add", node, part)
        return constant_node(gaussian.constant) if node is None else node

    def _atom_node(self, atom: Atom, index: np.ndarray, leaves: list[Lin]) -> Node:
        numbers = [leaf_number(leaf.rows(index), leaves) for leaf in atom.leaves]
        whole = len(index) == atom.entries and bool((index == np.arange(len(index))).all())
        return transform(atom.node, lambda i: numbers[i], (lambda c: c) if whole else (lambda c: c[index]))

    def _multiply(self, x: Lin, y: Lin) -> Ket:
        """The entrywise product of two forms of one size."""
        return as_ket(self._apply("mul", [Ket(x, (x.size,)), Ket(y, (y.size,))], (x.size,)))

    # ------------------------------------------------------------------ finite axes

    def _rename(self, v: Rename) -> Ket:
        ket = self._ket(v.x)
        slots = dict(v.slots)
        key = ("rename", id(ket.lin), v.slots)
        if key not in self._applied:
            self._kept.append(ket.lin)
            self._applied[key] = replace(ket, lin=self._renamed(ket.lin, slots))
        return replace(ket, lin=self._applied[key].lin)  # another ket of the same form may have another shape

    def _renamed(self, lin: Lin, slots: dict[int, int]) -> Lin:
        terms: dict[Hashable, LinMap] = {}
        for key, m in lin.terms.items():
            if isinstance(key, Root):
                terms[Root(key.value, slots.get(key.slot, key.slot))] = m
            elif isinstance(key, AtomKey):
                atom = self.moments.atom(key)
                renamed = replace(atom, leaves=tuple(self._renamed(leaf, slots) for leaf in atom.leaves))
                terms[self.moments.new_key(renamed)] = m
        return Lin(lin.constant, terms)

    def _concat(self, v: Concat) -> Result:
        parts = [self._get(a) for a in v.args]
        parts = [a if x.type.power == v.type.power else nothing(x) for a, x in zip(parts, v.args, strict=True)]
        method, error = least_exact(*(a.method for a in parts)), max(a.error for a in parts)
        if all(isinstance(a, Answer) for a in parts):
            return Answer(np.concatenate([a.value.reshape(-1) for a in parts if isinstance(a, Answer)]), method, error)
        return Ket(concatenate([as_ket(a).lin for a in parts]), v.type.shape, method, error)

    def _reduce(self, v: Reduce) -> Result:
        x = self._get(v.x)
        shape = v.x.type.shape
        if isinstance(x, Answer):
            return replace(x, value=np.asarray(getattr(np, v.op)(x.value, axis=v.axis), dtype=float))
        entries = math.prod(v.type.shape)
        index = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), v.axis, 0).reshape(shape[v.axis], entries)
        if v.op == "sum":
            return replace(x, lin=sum_rows(x.lin, index), shape=v.type.shape)
        if v.op == "argmax":
            raise NotStructured("argmax of a random quantity")
        parts: list[Result] = [replace(x, lin=x.lin.rows(row), shape=v.type.shape) for row in index]
        return reduce(lambda a, b: self._apply(v.op, [a, b], v.type.shape), parts)

    def _einsum(self, v: Einsum) -> Result:
        x, y = self._get(v.x), self._get(v.y)
        method, error = least_exact(x.method, y.method), max(x.error, y.error)
        if isinstance(x, Answer) and isinstance(y, Answer):
            size = max(1.0, float(np.abs(x.value).max(initial=0.0)), float(np.abs(y.value).max(initial=0.0)))
            return Answer(np.einsum(v.spec, x.value, y.value), method, (x.error + y.error) * size)
        if isinstance(y, Answer) and isinstance(x, Ket):
            return Ket(x.lin.times(einsum_matrix(v.spec, y.value, 0, x.shape)), v.type.shape, method, error)
        if isinstance(x, Answer) and isinstance(y, Ket):
            return Ket(y.lin.times(einsum_matrix(v.spec, x.value, 1, y.shape)), v.type.shape, method, error)
        assert isinstance(x, Ket) and isinstance(y, Ket)
        joint = Joint(v.spec, x.shape, y.shape)
        left: Result = replace(x, lin=x.lin.rows(joint.x_index), shape=joint.shape)
        right: Result = replace(y, lin=y.lin.rows(joint.y_index), shape=joint.shape)
        products = as_ket(self._apply("mul", [left, right], joint.shape))
        return replace(products, lin=sum_rows(products.lin, joint.summed_rows), shape=v.type.shape)

    # ------------------------------------------------------------------ averages

    def _avg(self, v: Avg) -> Result:
        return self._average(self._ket(v.x), frozenset(v.slots))

    def _average(self, ket: Ket, slots: frozenset[int]) -> Result:
        """The expectation over some slots: a number, or what still depends on the others."""
        number = Answer(ket.lin.constant, ket.method, ket.error)
        kept = Lin(np.zeros(ket.lin.size), {})
        for key, m in ket.lin.terms.items():
            own = self.moments.slots(key)
            if not own & slots:
                kept = add(kept, Lin(np.zeros(ket.lin.size), {key: m}))
            elif isinstance(key, AtomKey):
                part = self.moments.mean(key) if own <= slots else self._conditional_mean(self.moments.atom(key), slots)
                if isinstance(part, Answer):
                    number = number.plus(replace(part, value=m.times(part.value.reshape(-1, 1))[:, 0]))
                else:
                    kept = add(kept, composed(m, part.lin))
                    number = replace(
                        number, method=least_exact(number.method, part.method), error=number.error + part.error
                    )
        if kept.terms:
            return Ket(add(kept, Lin(number.value, {})), ket.shape, number.method, number.error)
        return replace(number, value=(number.value + kept.constant).reshape(ket.shape))

    def _conditional_mean(self, atom: Atom, slots: frozenset[int]) -> Result:
        """The expectation of an atom over some of its slots, entries flat."""
        leaves, averaged, node = separated(atom, slots)
        frame = self.moments.frame_aligned(leaves, atom.entries)
        shape = (atom.entries,)
        total: Result = Answer(np.zeros(shape))
        for inside, outside in factored(node, averaged):
            mean = mean_of_product(frame, [[inside]])
            if not np.any(mean.value):
                continue
            term: Result = replace(mean, value=np.broadcast_to(mean.value, shape))
            for v, p in outside.powers:
                term = reduce(lambda t, _, v=v: self._apply("mul", [t, Ket(leaves[v], shape)], shape), range(p), term)  # type: ignore[misc]
            for f in outside.functions:
                numbers = sorted(leaves_of(f))
                own = transform(f, numbers.index, lambda c: c)
                function = self._new_atom(Atom(atom.entries, tuple(leaves[k] for k in numbers), own), shape)
                term = self._apply("mul", [term, function], shape)
            total = self._apply("add", [total, term], shape)
        return total

    def _inner(self, v: Inner) -> Result:
        x, y = self._ket(v.x), self._ket(v.y)
        if any(RANDOM in self.moments.slots(key) for ket in (x, y) for key in ket.lin.terms):
            return self._average_of_product(v, x, y)
        a, b = v.spec.split("->")[0].split(",")
        if not set(a) & set(b):
            moment = self.moments.second_moment(x, y)
            value = np.einsum(f"{a}{b}->{v.spec.split('->')[1]}", moment.value.reshape(x.shape + y.shape))
            return replace(moment, value=value)
        joint = Joint(v.spec, x.shape, y.shape)
        moment = self.moments.aligned_moment(x.lin.rows(joint.x_index), y.lin.rows(joint.y_index))
        moment = trusted(moment, x, y)
        summed = moment.value[joint.summed_rows].sum(axis=0).reshape(v.type.shape)
        return Answer(summed, moment.method, moment.error * len(joint.summed_rows))

    def _average_of_product(self, v: Inner, x: Ket, y: Ket) -> Result:
        """An inner product of vectors that depend on random scalars: a random scalar itself."""
        joint = Joint(v.spec, x.shape, y.shape)
        product = self._multiply(x.lin.rows(joint.x_index), y.lin.rows(joint.y_index))
        found = as_ket(self._average(trusted_ket(product, x, y), frozenset((0,))))
        lin = sum_rows(found.lin, joint.summed_rows)
        if not lin.terms:
            return Answer(lin.constant.reshape(v.type.shape), found.method, found.error * len(joint.summed_rows))
        return Ket(lin, v.type.shape, found.method, found.error * len(joint.summed_rows))

    # ------------------------------------------------------------------ MatMul

    def _matmul(self, v: MatMul) -> Ket:
        """Equal products are one ket, whichever version of a trained matrix they belong to."""
        key = ("matmul", id(v.matrix), v.members.shape, v.members.tobytes(), v.transposed, v.x.id)
        if key not in self._applied:
            self._applied[key] = self._hat_and_dots(v)
        return self._applied[key]

    def _hat_and_dots(self, v: MatMul) -> Ket:
        x = self._ket(v.x)
        if any(RANDOM in self.moments.slots(key) for key in x.lin.terms):
            raise NotStructured("a matrix applied to a vector that depends on a random scalar")
        size = math.prod(v.type.shape)
        if not x.lin.terms and not x.lin.constant.any():
            return Ket(Lin(np.zeros(size), {}), v.type.shape, x.method, x.error)
        result = Ket(Lin(np.zeros(size), {Root(v, 0): identity(size)}), v.type.shape, x.method, x.error)
        return with_dots(self.moments, result, v, x)


# ---------------------------------------------------------------------------- helpers


def _affine(node: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    return operation("add", operation("mul", constant_node(scale), node), constant_node(shift))


def _answer(op: str, args: Sequence[Answer], shape: tuple[int, ...], method: Method) -> Answer:
    """A function of numbers, its error carried through by differences."""
    values = [a.value for a in args]
    _refuse_jump(op, args)
    value = np.broadcast_to(np.asarray(OPS[op].numpy(*values), dtype=float), shape)
    error = 0.0
    for k, a in enumerate(args):
        if a.error:
            moved = OPS[op].numpy(*(v + a.error if j == k else v for j, v in enumerate(values)))
            change = np.abs(moved - value)
            error += float(np.max(change, initial=0.0, where=~np.isnan(change)))
    return Answer(value, method, error)


def _refuse_jump(op: str, args: Sequence[Answer]) -> None:
    """sign(c) and the like have no limit when c is computed and tends to the jump itself: finite widths fall on either side."""
    if op in ("sign", "step"):
        gap, size = args[0].value, np.ones(())
    elif op in ("lt", "le", "gt", "ge"):
        gap, size = args[0].value - args[1].value, np.abs(args[0].value) + np.abs(args[1].value)
    else:
        return
    if np.any(np.abs(gap) <= 1e-14 * size + sum(a.error for a in args)):
        raise JumpAtAtom


def _identity_of(a: Result) -> Hashable:
    if isinstance(a, Ket):
        return (id(a.lin), a.shape)
    return (a.value.shape, a.value.tobytes())
