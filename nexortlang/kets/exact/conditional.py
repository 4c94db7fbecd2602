"""Averages over some of the slots that an atom depends on.

In: an atom and the slots averaged. Out: its monomials, each in two factors, one of averaged Gaussians only (a number, once averaged) and one of the kept ones.
Raises NotStructured where a nonlinear function joins both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from nexortlang.kets.exact.atoms import Atom, Monomial, Node, NotStructured, expand, leaves_of, operation
from nexortlang.kets.exact.forms import Root
from nexortlang.kets.exact.linear import Lin


def separated(atom: Atom, slots: Collection[int]) -> tuple[tuple[Lin, ...], frozenset[int], Node]:
    """The atom over leaves that are wholly averaged or wholly kept: leaves, the numbers of the averaged ones, the function."""
    leaves: list[Lin] = []
    averaged: set[int] = set()
    instead: list[Node] = []
    for leaf in atom.leaves:
        inside, outside = leaf.split([k for k in leaf.terms if isinstance(k, Root) and k.slot in slots])
        parts = []
        for part, is_averaged in ((inside, True), (outside, False)):
            if part.terms or (is_averaged and not outside.terms):
                if is_averaged:
                    averaged.add(len(leaves))
                parts.append(Node("leaf", leaf=len(leaves)))
                leaves.append(part)
            elif part.constant.any():
                parts.append(Node("const", constant=part.constant))
        instead.append(parts[0] if len(parts) == 1 else operation("add", *parts))
    return tuple(leaves), frozenset(averaged), _substituted(atom.node, instead)


def _substituted(node: Node, instead: list[Node]) -> Node:
    memo: dict[int, Node] = {}

    def walk(n: Node) -> Node:
        if n.op == "leaf":
            return instead[n.leaf]
        if n.op == "const":
            return n
        if id(n) not in memo:
            memo[id(n)] = operation(n.op, *(walk(c) for c in n.children))
        return memo[id(n)]

    return walk(node)


def factored(node: Node, averaged: frozenset[int]) -> Iterator[tuple[Monomial, Monomial]]:
    """The monomials of a function, each as (averaged factor with the coefficient, kept factor)."""
    for m in expand(node):
        if not np.any(m.coefficient):
            continue
        if any(0 < len(leaves_of(f) & averaged) < len(leaves_of(f)) for f in m.functions):
            raise NotStructured("an average over some of the indices that a nonlinear function joins")
        yield (
            Monomial(
                m.coefficient,
                tuple((v, p) for v, p in m.powers if v in averaged),
                tuple(f for f in m.functions if leaves_of(f) <= averaged),
            ),
            Monomial(
                np.ones(()),
                tuple((v, p) for v, p in m.powers if v not in averaged),
                tuple(f for f in m.functions if not leaves_of(f) <= averaged),
            ),
        )
