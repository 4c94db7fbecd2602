"""Nonlinear kets as entrywise functions of Gaussian linear forms.

An atom with K entries is F(g_1, …, g_d) at each entry, the leaves g_i being `Lin`s over Gaussian roots only. F is a tree of `Node`s
over the table of entrywise operations; constants in it are arrays over the K entries (or single numbers). Before any expectation is taken,
`expand` writes F as a sum of monomials: a coefficient, powers of leaves, and *irreducible* functions (tanh(g), relu(g), max(g, g′) …).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nexortlang.entrywise.ops import OPS
from nexortlang.kets.exact.linear import Lin

MAX_NODES = 400  # beyond this an expression is left to particles
MAX_TERMS = 48  # monomials of one expansion
MAX_DEGREE = 12  # powers of leaves in one monomial


class NotStructured(Exception):
    """This expectation has no exact or low-dimensional form; particles take over. The text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A leaf (op "leaf", `leaf` its number), a constant (op "const"), or an operation on children."""

    op: str
    children: tuple[Node, ...] = ()
    leaf: int = -1
    constant: np.ndarray = field(default_factory=lambda: np.zeros(()))
    size: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """`entries` K, leaves as Lins of K entries over Gaussian roots, and the function of them."""

    entries: int
    leaves: tuple[Lin, ...]
    node: Node

    def rows(self, index: np.ndarray) -> Atom:
        node = transform(self.node, lambda i: i, lambda c: c[index])
        return Atom(len(index), tuple(leaf.rows(index) for leaf in self.leaves), node)


def constant_node(array: np.ndarray | float) -> Node:
    return Node("const", constant=np.asarray(array, dtype=float))


def operation(op: str, *children: Node) -> Node:
    size = 1 + sum(c.size for c in children)
    if size > MAX_NODES:
        raise NotStructured("the entrywise expression is too large")
    if all(c.op == "const" for c in children):
        with np.errstate(all="ignore"):
            return constant_node(OPS[op].numpy(*(c.constant for c in children)))
    return Node(op, children, size=size)


def transform(node: Node, leaf: Callable[[int], int], constant: Callable[[np.ndarray], np.ndarray]) -> Node:
    """The same tree with leaf i renumbered leaf(i) and arrays of constants mapped; sharing is kept."""
    memo: dict[int, Node] = {}

    def walk(n: Node) -> Node:
        if id(n) not in memo:
            match n.op:
                case "const":
                    memo[id(n)] = constant_node(constant(n.constant)) if n.constant.ndim else n
                case "leaf":
                    memo[id(n)] = Node("leaf", leaf=leaf(n.leaf))
                case _:
                    memo[id(n)] = Node(n.op, tuple(walk(c) for c in n.children), size=n.size)
        return memo[id(n)]

    return walk(node)


def leaves_of(node: Node) -> frozenset[int]:
    if node.op == "leaf":
        return frozenset((node.leaf,))
    return frozenset[int]().union(*(leaves_of(c) for c in node.children))


def has_equality(node: Node) -> bool:
    """Whether F compares something with its leaves for equality."""
    return (node.op in ("eq", "ne") and bool(leaves_of(node))) or any(has_equality(c) for c in node.children)


def evaluate(node: Node, values: Mapping[int, np.ndarray], extra_axes: int) -> np.ndarray:
    """F at given leaf values (arrays of shape entries + nodes); constants, of shape entries, get `extra_axes` trailing axes."""
    memo: dict[int, np.ndarray] = {}

    def walk(n: Node) -> np.ndarray:
        if n.op == "leaf":
            return values[n.leaf]
        if n.op == "const":
            return n.constant.reshape(n.constant.shape + (1,) * extra_axes) if n.constant.ndim else n.constant
        if id(n) not in memo:
            memo[id(n)] = np.asarray(OPS[n.op].numpy(*(walk(c) for c in n.children)))
        return memo[id(n)]

    with np.errstate(all="ignore"):
        return walk(node)


def switches(node: Node) -> list[Node]:
    """Expressions whose zeros are where F or a derivative of it jumps."""
    found: dict[int, Node] = {}

    def walk(n: Node) -> None:
        for c in n.children:
            walk(c)
        match n.op:
            case "abs" | "sign" | "step" | "relu" | "not" | "leaky_relu":
                found[id(n)] = n.children[0]
            case "max" | "min" | "lt" | "le" | "gt" | "ge":
                found[id(n)] = operation("sub", *n.children)
            case "clip":
                x, low, high = n.children
                found[id(n)] = operation("sub", x, low)
                found[-id(n)] = operation("sub", x, high)

    walk(node)
    return [n for n in found.values() if n.op != "const"]


# ---------------------------------------------------------------------------- expansion into monomials


@dataclass(frozen=True, slots=True, eq=False)
class Monomial:
    """coefficient · Π leaf^power · Π irreducibles."""

    coefficient: np.ndarray
    powers: tuple[tuple[int, int], ...]
    functions: tuple[Node, ...]

    def times(self, other: Monomial) -> Monomial:
        powers = dict(self.powers)
        for leaf, p in other.powers:
            powers[leaf] = powers.get(leaf, 0) + p
        if sum(powers.values()) > MAX_DEGREE:
            raise NotStructured("a polynomial of high degree")
        functions = self.functions + other.functions
        return Monomial(self.coefficient * other.coefficient, tuple(sorted(powers.items())), functions)


_ONE = np.ones(())


def expand(node: Node) -> list[Monomial]:
    """F as a sum of monomials, at most MAX_TERMS; what cannot be multiplied out is one irreducible function."""
    match node.op:
        case "const":
            return [Monomial(node.constant, (), ())]
        case "leaf":
            return [Monomial(_ONE, ((node.leaf, 1),), ())]
        case "neg":
            return [Monomial(-m.coefficient, m.powers, m.functions) for m in expand(node.children[0])]
        case "add" | "sub":
            left, right = (expand(c) for c in node.children)
            if node.op == "sub":
                right = [Monomial(-m.coefficient, m.powers, m.functions) for m in right]
            return _capped(left + right)
        case "mul":
            return _product(*(expand(c) for c in node.children))
        case "div":
            numerator, denominator = node.children
            if denominator.op == "const":
                with np.errstate(all="ignore"):
                    return _product(expand(numerator), [Monomial(1.0 / denominator.constant, (), ())])
            inverse = operation("div", constant_node(1.0), denominator)
            if numerator.op == "const" and (numerator.constant == 1.0).all():
                return [Monomial(_ONE, (), (node,))]
            return _product(expand(numerator), [Monomial(_ONE, (), (inverse,))])
        case "pow":
            base, exponent = node.children
            power = _small_integer(exponent)
            if power is not None:
                result = [Monomial(_ONE, (), ())]
                for _ in range(power):
                    result = _product(result, expand(base))
                return result
    return [Monomial(_ONE, (), (node,))]


def _small_integer(node: Node) -> int | None:
    if node.op != "const" or node.constant.size == 0:
        return None
    value = float(node.constant.flat[0])
    if (node.constant == value).all() and value in range(1, MAX_DEGREE + 1):
        return int(value)
    return None


def _product(left: list[Monomial], right: list[Monomial]) -> list[Monomial]:
    if len(left) * len(right) > MAX_TERMS:
        raise NotStructured("a product of long sums")
    return _capped([a.times(b) for a in left for b in right])


def _capped(terms: list[Monomial]) -> list[Monomial]:
    merged: dict[tuple[tuple[tuple[int, int], ...], tuple[int, ...]], Monomial] = {}
    for m in terms:
        key = (m.powers, tuple(sorted(id(f) for f in m.functions)))
        if key in merged:
            m = Monomial(merged[key].coefficient + m.coefficient, m.powers, m.functions)
        merged[key] = m
    if len(merged) > MAX_TERMS:
        raise NotStructured("a sum of many products")
    return list(merged.values())
