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
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias, assert_never

import numpy as np

from nexortlang.core.program import (
    Avg,
    Concat,
    Const,
    Einsum,
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
from nexortlang.kets.atoms import (
    Atom,
    Monomial,
    Node,
    NotStructured,
    constant_node,
    expand,
    operation,
    transform,
)
from nexortlang.kets.expectation import Answer, Frame, JumpAtAtom, mean_of_product
from nexortlang.kets.linear import (
    Dense,
    Lin,
    LinMap,
    Rows,
    add,
    concatenate,
    identity,
    sandwich,
    sandwich_aligned,
)
from nexortlang.kets.results import Method, least_exact

RANDOM = -1  # the slot of Gaussian scalars
MAX_DENSE = 20_000_000  # entries of one dense linear map
MAX_SPREAD = 8  # basis entries that one entry of a nonlinear function's argument may mix


@dataclass(frozen=True, slots=True)
class Root:
    """A Gaussian family of mean 0: an initial vector, the hat of a MatMul, or a random scalar, in one slot."""

    value: Value
    slot: int


@dataclass(frozen=True, slots=True)
class AtomKey:
    """An atom as a basis element; equal keys are the same random variables."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Ket:
    """A vector's linear form, with the method and error of the numbers in it."""

    lin: Lin
    shape: tuple[int, ...]
    method: Method = "exact"
    error: float = 0.0


Result: TypeAlias = Answer | Ket


class ExactLimit:
    """Evaluates core values; remembers everything."""

    def __init__(self) -> None:
        self._results: dict[int, Result | NotStructured] = {}
        self._atoms: list[Atom] = []
        self._atom_mean: dict[int, Answer] = {}
        self._atom_gram: dict[tuple[int, int], Answer] = {}
        self._moments: dict[tuple[int, int], Answer] = {}
        self._covariances: dict[tuple[int, int], Answer | None] = {}
        self._lins: list[Lin] = []  # keeps alive what memo keys identify by id
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
        return _as_ket(self._get(v))

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
                node = operation("ge", g, constant_node(-_normal_quantile(mean)))
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
        key = AtomKey(len(self._atoms))
        self._atoms.append(atom)
        return Ket(Lin(np.zeros(atom.entries), {key: identity(atom.entries)}), shape, method, error)

    # ------------------------------------------------------------------ Nonlin

    def _map(self, v: Map) -> Result:
        args = [self._get(a) for a in v.args]
        if OPS[v.op].power == "largest":
            args = [a if x.type.power == v.type.power else _nothing(x) for a, x in zip(args, v.args, strict=True)]
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
            self._lins.extend(a.lin for a in args if isinstance(a, Ket))
            leaves: list[Lin] = []
            nodes = [self._node_of(a, shape, leaves) for a in args]
            atom = Atom(math.prod(shape), tuple(leaves), operation(op, *nodes))
            self._applied[key] = self._new_atom(atom, shape, method, error)
        return self._applied[key]

    def _linear(self, op: str, args: Sequence[Result], shape: tuple[int, ...]) -> Lin | None:
        """add, sub, neg, and products with numbers stay linear."""
        match op, args:
            case (("add" | "sub"), (a, b)):
                left, right = _broadcast(_as_ket(a), shape), _broadcast(_as_ket(b), shape)
                return add(left, right if op == "add" else right.scaled(np.full(right.size, -1.0)))
            case "neg", (a,):
                lin = _as_ket(a).lin
                return lin.scaled(np.full(lin.size, -1.0))
            case "mul", (Ket() as a, Answer() as b):
                return _broadcast(a, shape).scaled(_flat(b.value, shape))
            case "mul", (Answer() as a, Ket() as b):
                return _broadcast(b, shape).scaled(_flat(a.value, shape))
            case "div", (Ket() as a, Answer() as b) if np.all(b.value != 0):
                return _broadcast(a, shape).scaled(1.0 / _flat(b.value, shape))
        return None

    def _node_of(self, a: Result, shape: tuple[int, ...], leaves: list[Lin]) -> Node:
        """An operand as an expression over Gaussian leaves, which are appended to `leaves`."""
        if isinstance(a, Answer):
            return constant_node(a.value if a.value.ndim == 0 else _flat(a.value, shape))
        lin = _broadcast(a, shape)
        gaussian, rest = lin.split([k for k in lin.terms if isinstance(k, Root)])
        node: Node | None = None
        if gaussian.terms:
            node = Node("leaf", leaf=_leaf_number(gaussian, leaves))
        elif gaussian.constant.any() or not rest.terms:
            node = constant_node(gaussian.constant)
        for key, m in rest.terms.items():
            assert isinstance(key, AtomKey)
            for coefficient, index in _spread(m):
                part = self._atom_node(self._atoms[key.number], index, leaves)
                if not (coefficient == 1.0).all():
                    part = operation("mul", constant_node(coefficient), part)
                node = part if node is None else operation("add", node, part)
        assert node is not None
        return node

    def _atom_node(self, atom: Atom, index: np.ndarray, leaves: list[Lin]) -> Node:
        numbers = [_leaf_number(leaf.rows(index), leaves) for leaf in atom.leaves]
        whole = len(index) == atom.entries and bool((index == np.arange(len(index))).all())
        return transform(atom.node, lambda i: numbers[i], (lambda c: c) if whole else (lambda c: c[index]))

    # ------------------------------------------------------------------ finite axes

    def _rename(self, v: Rename) -> Ket:
        ket = self._ket(v.x)
        slots = dict(v.slots)
        key = ("rename", id(ket.lin), v.slots)
        if key not in self._applied:
            self._lins.append(ket.lin)
            self._applied[key] = replace(ket, lin=self._renamed(ket.lin, slots))
        return self._applied[key]

    def _renamed(self, lin: Lin, slots: dict[int, int]) -> Lin:
        terms: dict[Hashable, LinMap] = {}
        for key, m in lin.terms.items():
            if isinstance(key, Root):
                terms[Root(key.value, slots.get(key.slot, key.slot))] = m
            elif isinstance(key, AtomKey):
                atom = self._atoms[key.number]
                self._atoms.append(replace(atom, leaves=tuple(self._renamed(leaf, slots) for leaf in atom.leaves)))
                terms[AtomKey(len(self._atoms) - 1)] = m
        return Lin(lin.constant, terms)

    def _concat(self, v: Concat) -> Result:
        parts = [self._get(a) for a in v.args]
        parts = [a if x.type.power == v.type.power else _nothing(x) for a, x in zip(parts, v.args, strict=True)]
        method, error = least_exact(*(a.method for a in parts)), max(a.error for a in parts)
        if all(isinstance(a, Answer) for a in parts):
            return Answer(np.concatenate([a.value.reshape(-1) for a in parts if isinstance(a, Answer)]), method, error)
        return Ket(concatenate([_as_ket(a).lin for a in parts]), v.type.shape, method, error)

    def _reduce(self, v: Reduce) -> Result:
        x = self._get(v.x)
        shape = v.x.type.shape
        if isinstance(x, Answer):
            return replace(x, value=np.asarray(getattr(np, v.op)(x.value, axis=v.axis), dtype=float))
        index = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), v.axis, 0).reshape(shape[v.axis], -1)
        if v.op == "sum":
            return replace(x, lin=_sum_rows(x.lin, index), shape=v.type.shape)
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
            return Ket(x.lin.times(_einsum_matrix(v.spec, y.value, 0, x.shape)), v.type.shape, method, error)
        if isinstance(x, Answer) and isinstance(y, Ket):
            return Ket(y.lin.times(_einsum_matrix(v.spec, x.value, 1, y.shape)), v.type.shape, method, error)
        assert isinstance(x, Ket) and isinstance(y, Ket)
        joint = _Joint(v.spec, x.shape, y.shape)
        left: Result = replace(x, lin=x.lin.rows(joint.x_index), shape=joint.shape)
        right: Result = replace(y, lin=y.lin.rows(joint.y_index), shape=joint.shape)
        products = _as_ket(self._apply("mul", [left, right], joint.shape))
        return replace(products, lin=_sum_rows(products.lin, joint.summed_rows), shape=v.type.shape)

    # ------------------------------------------------------------------ averages

    def _avg(self, v: Avg) -> Result:
        ket = self._ket(v.x)
        constant = Answer(ket.lin.constant.reshape(ket.shape), ket.method, ket.error)
        kept: dict[Hashable, LinMap] = {}
        total = constant
        for key, m in ket.lin.terms.items():
            slots = self._slots(key)
            if not slots & set(v.slots):
                kept[key] = m
                continue
            if slots - set(v.slots):
                raise NotStructured("an average over some of the indices that a nonlinear function joins")
            if isinstance(key, AtomKey):
                mean = self._mean(key)
                value = m.times(mean.value.reshape(-1, 1)).reshape(ket.shape)
                total = total.plus(Answer(value, mean.method, mean.error))
        if kept:
            return Ket(Lin(total.value.reshape(-1), kept), ket.shape, total.method, total.error)
        return total

    def _slots(self, key: Hashable) -> frozenset[int]:
        if isinstance(key, Root):
            return frozenset((key.slot,))
        assert isinstance(key, AtomKey)
        return frozenset(k.slot for leaf in self._atoms[key.number].leaves for k in leaf.terms if isinstance(k, Root))

    def _inner(self, v: Inner) -> Result:
        x, y = self._ket(v.x), self._ket(v.y)
        for lin in (x.lin, y.lin):
            if any(RANDOM in self._slots(key) for key in lin.terms):
                return self._avg_of_random_product(v, x, y)
        a, b = v.spec.split("->")[0].split(",")
        if not set(a) & set(b):
            moment = self.second_moment(x, y)
            value = np.einsum(f"{a}{b}->{v.spec.split('->')[1]}", moment.value.reshape(x.shape + y.shape))
            return replace(moment, value=value)
        joint = _Joint(v.spec, x.shape, y.shape)
        moment = self._aligned_moment(x.lin.rows(joint.x_index), y.lin.rows(joint.y_index))
        moment = _trusted(moment, x, y)
        summed = moment.value[joint.summed_rows].sum(axis=0).reshape(v.type.shape)
        return Answer(summed, moment.method, moment.error * len(joint.summed_rows))

    def _avg_of_random_product(self, v: Inner, x: Ket, y: Ket) -> Result:
        """An inner product that depends on random scalars stays a random scalar, if it is one in closed form."""
        raise NotStructured("an average that depends on a random scalar")

    # ------------------------------------------------------------------ MatMul

    def _matmul(self, v: MatMul) -> Ket:
        x = self._ket(v.x)
        if any(RANDOM in self._slots(key) for key in x.lin.terms):
            raise NotStructured("a matrix applied to a vector that depends on a random scalar")
        size = math.prod(v.type.shape)
        if not x.lin.terms and not x.lin.constant.any():
            return Ket(Lin(np.zeros(size), {}), v.type.shape, x.method, x.error)
        result = Ket(Lin(np.zeros(size), {Root(v, 0): identity(size)}), v.type.shape, x.method, x.error)
        for earlier in self._opposite_uses(v, x):
            result = self._add_dot(result, v, x, earlier)
        return result

    def _opposite_uses(self, v: MatMul, x: Ket) -> list[MatMul]:
        """Uses of the same matrix in the other orientation whose hats x depends on."""
        found: dict[int, MatMul] = {}
        for key in x.lin.terms:
            leaves = [x.lin] if isinstance(key, Root) else self._atoms[key.number].leaves  # type: ignore[attr-defined]
            for leaf in leaves:
                for root in leaf.terms:
                    if isinstance(root, Root) and isinstance(root.value, MatMul):
                        w = root.value
                        if w.matrix is v.matrix and w.transposed != v.transposed:
                            found[w.id] = w
        return [found[k] for k in sorted(found)]

    def _add_dot(self, result: Ket, v: MatMul, x: Ket, earlier: MatMul) -> Ket:
        """The dot of W x from an earlier Wᵀ y: s Σ_k |y_k⟩ E[∂|x⟩/∂ẑ_k], ẑ the hat of Wᵀ y (times n/m for the transpose)."""
        theta, method, error = self._expected_derivative(x, earlier)
        members = np.broadcast_to(v.members, v.type.shape).reshape(-1)
        earlier_members = np.broadcast_to(earlier.members, earlier.type.shape).reshape(-1)
        x_index = _broadcast_index(x.shape, v.type.shape)
        weights = theta[x_index] * (members[:, None] == earlier_members[None, :])
        if not weights.any():
            return result
        weights = weights * v.matrix.variance.reshape(-1)[members][:, None]
        if v.transposed:
            weights = weights * float(v.matrix.rows.ratio / v.matrix.cols.ratio)
        y = self._ket(earlier.x)
        spread = y.lin.rows(_broadcast_index(y.shape, earlier.type.shape))
        lin = add(result.lin, spread.times(weights))
        return Ket(lin, result.shape, least_exact(result.method, method, y.method), max(result.error, error, y.error))

    def _expected_derivative(self, x: Ket, hat: MatMul) -> tuple[np.ndarray, Method, float]:
        """E[∂x_a/∂ẑ_b] (entries of x × entries of the hat). Atoms by Stein's lemma over their own leaves: Σ E[∂F] = E[(g − μ) F]."""
        root = Root(hat, 0)
        theta = np.zeros((x.lin.size, math.prod(hat.type.shape)))
        method, error = x.method, x.error
        for key, m in x.lin.terms.items():
            if key == root:
                theta += m.dense()
            elif isinstance(key, AtomKey):
                atom = self._atoms[key.number]
                if any(root in leaf.terms for leaf in atom.leaves):
                    slopes, trust = self._mean_gradient(atom)
                    method, error = least_exact(method, trust.method), max(error, trust.error)
                    total = np.zeros((atom.entries, theta.shape[1]))
                    for slope, leaf in zip(slopes, atom.leaves, strict=True):
                        if root in leaf.terms:
                            total += slope[:, None] * leaf.terms[root].dense()
                    theta += m.times(total)
        return theta, method, error

    def _mean_gradient(self, atom: Atom) -> tuple[list[np.ndarray], Answer]:
        """E[∂F/∂g_i] per leaf, arrays (K,), by the pseudo-inverse of the leaves' covariance."""
        d = len(atom.leaves)
        frame = self._frame_aligned(atom.leaves, atom.entries)
        monomials = expand(atom.node)
        gradient = np.empty((atom.entries, d))
        covariance = np.empty((atom.entries, d, d))
        trust = Answer(np.zeros(()))
        mean = mean_of_product(frame, [monomials])
        for i in range(d):
            moment = mean_of_product(frame, [[Monomial(np.ones(()), ((i, 1),), ())], monomials])
            gradient[:, i] = moment.value - frame.mean(i) * mean.value
            trust = Answer(np.zeros(()), least_exact(trust.method, moment.method), max(trust.error, moment.error))
            for j in range(d):
                covariance[:, i, j] = frame.cov(i, j)
        slopes = np.einsum("kij,kj->ki", np.linalg.pinv(covariance, rcond=1e-12, hermitian=True), gradient)
        return [slopes[:, i] for i in range(d)], trust

    # ------------------------------------------------------------------ second moments

    def second_moment(self, x: Ket, y: Ket) -> Answer:
        """E[x_a y_b], an array (entries of x × entries of y)."""
        key = (id(x.lin), id(y.lin))
        if key not in self._moments:
            self._lins += [x.lin, y.lin]
            if (key[1], key[0]) in self._moments:
                found = self._moments[key[1], key[0]]
                self._moments[key] = replace(found, value=found.value.T)
            else:
                self._moments[key] = _trusted(self._second_moment(x.lin, y.lin), x, y)
        return self._moments[key]

    def _second_moment(self, x: Lin, y: Lin) -> Answer:
        parts = [Answer(np.multiply.outer(x.constant, y.constant))] if x.constant.any() and y.constant.any() else []
        for key, m in x.terms.items():
            if y.constant.any():
                parts.append(self._mean_outer(key, m, y.constant))
            for other, w in y.terms.items():
                gram = self._gram(key, other)
                if gram is None:
                    parts.append(Answer(sandwich(m, None, w)))
                elif gram.value.any():
                    parts.append(replace(gram, value=sandwich(m, gram.value, w)))
        if x.constant.any():
            transposed = [self._mean_outer(other, w, x.constant) for other, w in y.terms.items()]
            parts += [replace(p, value=p.value.T) for p in transposed]
        return reduce(Answer.plus, parts) if parts else Answer(np.zeros((x.size, y.size)))

    def _mean_outer(self, key: Hashable, m: LinMap, constant: np.ndarray) -> Answer:
        """E[m · basis] times a constant, the outer product."""
        if isinstance(key, Root):
            return Answer(np.zeros((m.entries, len(constant))))
        assert isinstance(key, AtomKey)
        mean = self._mean(key)
        return replace(mean, value=np.multiply.outer(m.times(mean.value[:, None])[:, 0], constant))

    def _aligned_moment(self, x: Lin, y: Lin) -> Answer:
        """E[x_k y_k], entry by entry."""
        if x.size * y.size <= 250_000 and any(isinstance(k, AtomKey) for k in (*x.terms, *y.terms)):
            # Few entries: the grams of whole basis elements are shared with other products.
            moment = self._second_moment(x, y)
            return replace(moment, value=np.diagonal(moment.value).copy())
        if not any(isinstance(k, AtomKey) for k in (*x.terms, *y.terms)):
            return Answer(x.constant * y.constant + self._aligned_covariance(x, y))
        whole: Result = self._apply("mul", [Ket(x, (x.size,)), Ket(y, (y.size,))], (x.size,))
        return self.mean_of(_as_ket(whole))

    def mean_of(self, ket: Ket) -> Answer:
        """E of every entry, (K,)."""
        total = Answer(ket.lin.constant, ket.method, ket.error)
        for key, m in ket.lin.terms.items():
            if isinstance(key, AtomKey):
                mean = self._mean(key)
                total = total.plus(replace(mean, value=m.times(mean.value[:, None])[:, 0]))
        return total

    def variance(self, lin: Lin) -> np.ndarray:
        """The variances of a Gaussian form, (K,)."""
        return self._aligned_covariance(lin, lin)

    def variance_of(self, ket: Ket, mean: Answer) -> Answer:
        """The variance of every entry, (K,), given the means."""
        moment = self._aligned_moment(ket.lin, ket.lin)
        error = moment.error + 2.0 * mean.error * float(np.abs(mean.value).max(initial=0.0))
        return Answer(moment.value - mean.value**2, least_exact(moment.method, mean.method), error)

    def atom(self, key: AtomKey) -> Atom:
        return self._atoms[key.number]

    def _mean(self, key: AtomKey) -> Answer:
        """E of an atom's entries, (K,)."""
        if key.number not in self._atom_mean:
            atom = self._atoms[key.number]
            frame = self._frame_aligned(atom.leaves, atom.entries)
            answer = mean_of_product(frame, [expand(atom.node)])
            self._atom_mean[key.number] = replace(answer, value=np.broadcast_to(answer.value, (atom.entries,)))
        return self._atom_mean[key.number]

    def _gram(self, key: Hashable, other: Hashable) -> Answer | None:
        """E[basis_k basis_l] between two basis elements; None for the identity."""
        if isinstance(key, Root) and isinstance(other, Root):
            return self._root_covariance(key, other)
        if isinstance(other, Root):
            answer = self._root_atom_gram(other, key)
            return replace(answer, value=answer.value.T)
        if isinstance(key, Root):
            return self._root_atom_gram(key, other)
        assert isinstance(key, AtomKey) and isinstance(other, AtomKey)
        pair = (key.number, other.number)
        if pair not in self._atom_gram:
            if pair[::-1] in self._atom_gram:
                found = self._atom_gram[pair[::-1]]
                self._atom_gram[pair] = replace(found, value=found.value.T)
            else:
                self._atom_gram[pair] = self._product_moment(self._atoms[key.number], self._atoms[other.number])
        return self._atom_gram[pair]

    def _root_atom_gram(self, root: Root, key: Hashable) -> Answer:
        assert isinstance(key, AtomKey)
        size = math.prod(root.value.type.shape)
        atom = self._atoms[key.number]
        groups = {_group(r) for leaf in atom.leaves for r in leaf.terms if isinstance(r, Root)}
        if _group(root) not in groups:
            return Answer(np.zeros((size, atom.entries)))
        alone = Atom(size, (Lin(np.zeros(size), {root: identity(size)}),), Node("leaf", leaf=0))
        return self._product_moment(alone, atom)

    def _product_moment(self, a: Atom, b: Atom) -> Answer:
        """E[F_a G_b] over the outer grid."""
        frame = self._frame_outer(a, b)
        shift = len(a.leaves)
        left = expand(transform(a.node, lambda i: i, lambda c: c[:, None]))
        right = expand(transform(b.node, lambda i: i + shift, lambda c: c[None, :]))
        answer = mean_of_product(frame, [left, right])
        return replace(answer, value=np.broadcast_to(answer.value, frame.grid))

    # ------------------------------------------------------------------ Gaussian leaves

    def _frame_aligned(self, leaves: Sequence[Lin], entries: int) -> Frame:
        return Frame(
            (entries,),
            lambda i: leaves[i].constant,
            lambda i, j: self._aligned_covariance(leaves[i], leaves[j]),
            [None] * len(leaves),
        )

    def _frame_outer(self, a: Atom, b: Atom) -> Frame:
        leaves = [*a.leaves, *b.leaves]
        sides = [0] * len(a.leaves) + [1] * len(b.leaves)

        def mean(i: int) -> np.ndarray:
            return leaves[i].constant[:, None] if sides[i] == 0 else leaves[i].constant[None, :]

        def covariance(i: int, j: int) -> np.ndarray:
            if sides[i] != sides[j]:
                return self._covariance(leaves[i], leaves[j])
            aligned = self._aligned_covariance(leaves[i], leaves[j])
            return aligned[:, None] if sides[i] == 0 else aligned[None, :]

        return Frame((a.entries, b.entries), mean, covariance, sides, symmetric=a is b)

    def _covariance(self, x: Lin, y: Lin) -> np.ndarray:
        """Cov of two Gaussian forms, all entries with all."""
        parts = []
        for r, m in x.terms.items():
            for q, w in y.terms.items():
                if _group(r) == _group(q):
                    assert isinstance(r, Root) and isinstance(q, Root)
                    gram = self._root_covariance(r, q)
                    parts.append(sandwich(m, None if gram is None else gram.value, w))
        return reduce(np.add, parts) if parts else np.zeros((1, 1))

    def _aligned_covariance(self, x: Lin, y: Lin) -> np.ndarray:
        """Cov of two Gaussian forms, entry by entry. Rounding left by terms that cancel counts as 0."""
        total, size = np.zeros(x.size), np.zeros(x.size)
        for r, m in x.terms.items():
            for q, w in y.terms.items():
                if _group(r) == _group(q):
                    assert isinstance(r, Root) and isinstance(q, Root)
                    gram = self._root_covariance(r, q)
                    part = sandwich_aligned(m, None if gram is None else gram.value, w)
                    total += part
                    size += np.abs(part)
        return np.where(np.abs(total) <= 1e-15 * size, 0.0, total)

    def _root_covariance(self, r: Root, q: Root) -> Answer | None:
        """Cov of two root families, None for the identity, one axis for a diagonal (a hat's by the rule s⟨x|x′⟩, ×n/m for transposes)."""
        if _group(r) != _group(q):
            return Answer(np.zeros((math.prod(r.value.type.shape), math.prod(q.value.type.shape))))
        pair = (r.value.id, q.value.id)
        if pair not in self._covariances:
            self._covariances[pair] = self._same_group_covariance(r, q)
        return self._covariances[pair]

    def _same_group_covariance(self, r: Root, q: Root) -> Answer | None:
        match r.value, q.value:
            case (InitVector() | InitScalar()) as a, _:
                if r.value.law != "normal":
                    return None
                return _initial_covariance(a)
            case MatMul() as a, MatMul() as b:
                return self._hat_covariance(a, b)
            case Fluctuation() as a, Fluctuation() as b:
                return self.second_moment(self._ket(a.x), self._ket(b.x))
        raise AssertionError("roots of one group are of one kind")

    def _hat_covariance(self, a: MatMul, b: MatMul) -> Answer:
        x, y = self._ket(a.x), self._ket(b.x)
        moment = self.second_moment(x, y)
        rows, cols = _broadcast_index(x.shape, a.type.shape), _broadcast_index(y.shape, b.type.shape)
        value = moment.value
        if len(rows) != value.shape[0] or len(cols) != value.shape[1]:
            value = value[np.ix_(rows, cols)]
        ratio = float(a.matrix.rows.ratio / a.matrix.cols.ratio) if a.transposed else 1.0
        variance = a.matrix.variance.reshape(-1)
        if len(variance) == 1:
            return replace(moment, value=value * (float(variance[0]) * ratio))
        left = np.broadcast_to(a.members, a.type.shape).reshape(-1)
        right = np.broadcast_to(b.members, b.type.shape).reshape(-1)
        same = left[:, None] == right[None, :]
        return replace(moment, value=value * same * (variance[left] * ratio)[:, None])


# ---------------------------------------------------------------------------- helpers


def _group(key: Hashable) -> Hashable:
    """Roots of different groups are independent."""
    assert isinstance(key, Root)
    match key.value:
        case MatMul() as w:
            return ("hat", id(w.matrix), w.transposed, key.slot)
        case Fluctuation():
            return ("fluctuation", key.slot)
    return (key.value.id, key.slot)


def _initial_covariance(v: InitVector | InitScalar) -> Answer | None:
    if isinstance(v, InitVector) and v.covariance is not None:
        blocks = v.mean.size // len(v.covariance)
        return Answer(np.kron(np.eye(blocks), v.covariance))
    variance = v.variance.reshape(-1)
    return None if (variance == 1.0).all() else Answer(variance)


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    from nexortlang.entrywise.special import normal_quantile

    return np.asarray(normal_quantile(p))


def _affine(node: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    return operation("add", operation("mul", constant_node(scale), node), constant_node(shift))


def _nothing(v: Value) -> Answer:
    """What a term of lower power contributes."""
    return Answer(np.zeros(v.type.shape))


def _as_ket(r: Result) -> Ket:
    if isinstance(r, Ket):
        return r
    return Ket(Lin(r.value.reshape(-1), {}), r.value.shape, r.method, r.error)


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
            error += float(np.nanmax(change, initial=0.0))
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
        return id(a.lin)
    return (a.value.shape, a.value.tobytes())


def _trusted(answer: Answer, *kets: Ket) -> Answer:
    """The answer with the method and error of the kets it came from."""
    method = least_exact(answer.method, *(k.method for k in kets))
    return replace(answer, method=method, error=answer.error + max(k.error for k in kets))


def _flat(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(array, shape).reshape(-1)


def _broadcast_index(shape: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """Flat indices into `shape` for every entry of the broadcast shape."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), target).reshape(-1)


def _broadcast(ket: Ket, shape: tuple[int, ...]) -> Lin:
    return ket.lin if ket.shape == shape else ket.lin.rows(_broadcast_index(ket.shape, shape))


def _leaf_number(leaf: Lin, leaves: list[Lin]) -> int:
    """The number of an equal leaf, or of this one appended."""
    for k, other in enumerate(leaves):
        if leaf is other or _equal(leaf, other):
            return k
    leaves.append(leaf)
    return len(leaves) - 1


def _equal(a: Lin, b: Lin) -> bool:
    if a.terms.keys() != b.terms.keys() or not np.array_equal(a.constant, b.constant):
        return False
    for key, m in a.terms.items():
        w = b.terms[key]
        match m, w:
            case Rows(), Rows():
                if not (np.array_equal(m.index, w.index) and np.array_equal(m.coef, w.coef)):
                    return False
            case Dense(), Dense():
                if m is not w and not np.array_equal(m.matrix, w.matrix):
                    return False
            case _:
                return False
    return True


def _spread(m: LinMap) -> list[tuple[np.ndarray, np.ndarray]]:
    """A linear map as a sum of single-entry maps (coefficient, index)."""
    if isinstance(m, Rows):
        return [(m.coef, m.index)]
    columns = np.nonzero(m.matrix.any(axis=0))[0]
    if len(columns) > MAX_SPREAD:
        raise NotStructured("a nonlinear function of sums over a large finite axis")
    return [(m.matrix[:, c], np.full(len(m.matrix), c)) for c in columns]


def _sum_rows(lin: Lin, index: np.ndarray) -> Lin:
    """Σ_j of the rows index[j], index (summands × entries)."""
    if len(index) == 1:
        return lin.rows(index[0])
    count, entries = index.shape
    terms: dict[Hashable, LinMap] = {}
    for key, m in lin.terms.items():
        if entries * m.size > MAX_DENSE:
            raise NotStructured("a sum over a very large finite axis")
        total = np.zeros((entries, m.size))
        for row in index:
            part = m.rows(row)
            if isinstance(part, Rows):
                total[np.arange(entries), part.index] += part.coef
            else:
                total += part.matrix
        terms[key] = Dense(total)
    return Lin(lin.constant[index].sum(axis=0) if count else np.zeros(entries), terms)


def _einsum_matrix(spec: str, array: np.ndarray, position: int, shape: tuple[int, ...]) -> np.ndarray:
    """einsum with one operand a number array, as a matrix on the other operand's flattened entries."""
    inputs, out = spec.split("->")
    labels = inputs.split(",")
    of_ket, of_array = labels[position], labels[1 - position]
    size = math.prod(shape)
    if size * math.prod(dict(zip(of_ket + of_array, shape + array.shape, strict=True))[c] for c in out) > MAX_DENSE:
        raise NotStructured("a contraction over very large finite axes")
    fresh = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    column: dict[str, str] = {}
    factors: list[np.ndarray] = [array]
    names = [of_array]
    for label, length in zip(of_ket, shape, strict=True):
        if label in column:
            raise NotStructured("a repeated label")
        if label in of_array and label not in out:
            column[label] = label
        else:
            column[label] = next(fresh)
            if label in out:
                factors.append(np.eye(length))
                names.append(label + column[label])
            else:
                factors.append(np.ones(length))
                names.append(column[label])
    full = np.einsum(f"{','.join(names)}->{out}{''.join(column[c] for c in of_ket)}", *factors)
    return full.reshape(-1, size)


class _Joint:
    """Both operands of an einsum spread over the grid of all its labels; sums run over the labels that the result lacks."""

    def __init__(self, spec: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> None:
        inputs, out = spec.split("->")
        a, b = inputs.split(",")
        sizes = dict(zip(a + b, x_shape + y_shape, strict=True))
        summed = [c for c in dict.fromkeys(a + b) if c not in out]
        labels = [*summed, *out]
        self.shape = tuple(sizes[c] for c in labels)
        self.x_index = self._index(a, x_shape, labels)
        self.y_index = self._index(b, y_shape, labels)
        kept = math.prod(sizes[c] for c in out)
        self.summed_rows = np.arange(math.prod(self.shape)).reshape(-1, kept)

    def _index(self, own: str, shape: tuple[int, ...], labels: list[str]) -> np.ndarray:
        grid = np.indices(self.shape, sparse=True) if self.shape else []
        coordinates = [grid[labels.index(c)] for c in own]
        flat = np.ravel_multi_index(np.broadcast_arrays(*coordinates), shape) if own else np.zeros((), dtype=np.intp)
        full = [1] * len(labels)
        for c in own:
            full[labels.index(c)] = self.shape[labels.index(c)]
        return np.broadcast_to(np.asarray(flat).reshape(full), self.shape).reshape(-1)
