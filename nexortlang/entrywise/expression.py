"""Scalar expressions ψ(x₀, x₁, …) as data: built from the operations of entrywise.OPS, hash-consed, simplified, evaluated in NumPy.

In: leaves by number, constants, applications; or any graph of applications (`extract`). Out: an `Expression`.
Guarantees: two expressions of one structure are one object (so `is` and dict keys compare structure, and what is shared is computed once);
`digest` is the same in every process; nothing recurses, so expressions may be as deep as a long program.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import prod
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from nexortlang.entrywise.ops import OPS

V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Expression:
    """`op` is "leaf" (its number in `value`), "const" (its value in `value`) or a name of OPS with operands `args`.

    Made by `leaf`, `constant`, `apply` and `build` only.
    """

    op: str
    args: tuple[Expression, ...]
    value: float
    digest: bytes

    def __repr__(self) -> str:
        return text(self)

    @property
    def is_leaf(self) -> bool:
        return self.op == "leaf"

    @property
    def is_const(self) -> bool:
        return self.op == "const"

    @property
    def index(self) -> int:
        """A leaf's number."""
        return int(self.value)


_interned: WeakValueDictionary[tuple[str, bytes, tuple[int, ...]], Expression] = WeakValueDictionary()


def _intern(op: str, args: tuple[Expression, ...], value: float) -> Expression:
    bits = struct.pack("<d", value)  # tells 0.0 from -0.0, and nan equals itself
    key = (op, bits, tuple(map(id, args)))
    found = _interned.get(key)
    if found is None:
        digest = blake2b(b"".join([op.encode(), b" ", bits, *(a.digest for a in args)]), digest_size=16).digest()
        found = _interned[key] = Expression(op, args, value, digest)
    return found


def leaf(index: int) -> Expression:
    """x_index."""
    return _intern("leaf", (), float(index))


def constant(value: float) -> Expression:
    return _intern("const", (), float(value))


def _coerce(arg: Expression | float) -> Expression:
    return arg if isinstance(arg, Expression) else constant(arg)


def apply(op: str, *args: Expression | float) -> Expression:
    """op(args) as it stands."""
    if len(args) != OPS[op].arity:
        raise TypeError(f"{op} takes {OPS[op].arity} operands, not {len(args)}")
    return _intern(op, tuple(map(_coerce, args)), 0.0)


def build(op: str, *args: Expression | float) -> Expression:
    """op(args), simplified at its root: constants folded, neutral elements and double negations dropped, small powers as products.

    The value is the same for every argument, infinities and nan included (the sign of a zero may differ).
    """
    operands = tuple(map(_coerce, args))
    if all(a.is_const for a in operands):
        with np.errstate(all="ignore"):
            return constant(float(OPS[op].numpy(*(a.value for a in operands))))
    values = [a.value if a.is_const else None for a in operands]
    match op, operands, values:
        case ("add", (x, _), (_, 0.0)) | ("add", (_, x), (0.0, _)) | ("sub", (x, _), (_, 0.0)):
            return x
        case ("mul", (x, _), (_, 1.0)) | ("mul", (_, x), (1.0, _)) | ("div" | "pow", (x, _), (_, 1.0)):
            return x
        case ("mul", (x, _), (_, -1.0)) | ("mul", (_, x), (-1.0, _)) | ("div", (x, _), (_, -1.0)):
            return build("neg", x)
        case ("sub", (_, x), (0.0, _)):
            return build("neg", x)
        case ("neg", (Expression(op="neg", args=(x,)),), _):
            return x
        case ("add", (x, Expression(op="neg", args=(y,))), _) | ("add", (Expression(op="neg", args=(y,)), x), _):
            return build("sub", x, y)
        case ("sub", (x, Expression(op="neg", args=(y,))), _):
            return build("add", x, y)
        case ("mul" | "div", (Expression(op="neg", args=(x,)), Expression(op="neg", args=(y,))), _):
            return build(op, x, y)
        case ("abs", (Expression(op="neg" | "abs", args=(x,)),), _):
            return build("abs", x)
        case ("pow", _, (_, 0.0)):
            return constant(1.0)
        case ("pow", (x, _), (_, 2.0)):
            return build("mul", x, x)
        case ("pow", (x, _), (_, 3.0)):
            return build("mul", build("mul", x, x), x)
        case ("pow", (x, _), (_, 4.0)):
            return build("mul", square := build("mul", x, x), square)
        case ("pow", (x, _), (_, -1.0)):
            return build("div", 1.0, x)
        case ("where", (Expression(op="const", value=c), a, b), _):
            return a if c != 0.0 else b
        case ("where", (_, a, b), _) if a is b:
            return a
        case ("max" | "min", (x, y), _) if x is y:
            return x
    return _intern(op, operands, 0.0)


def schedule(roots: Iterable[Expression]) -> list[Expression]:
    """Every expression that the roots are made of, operands first."""
    order: list[Expression] = []
    done: set[Expression] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        e, ready = stack.pop()
        if e in done:
            continue
        if ready or not e.args:
            done.add(e)
            order.append(e)
        else:
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args))
    return order


def leaves(*roots: Expression) -> tuple[int, ...]:
    """The numbers of the leaves that occur, in increasing order."""
    return tuple(sorted(e.index for e in schedule(roots) if e.is_leaf))


def substitute(roots: Sequence[Expression], by: Mapping[Expression, Expression]) -> tuple[Expression, ...]:
    """The roots with each key of `by`, wherever it occurs, replaced by its value; simplified."""
    new: dict[Expression, Expression] = dict(by)
    for e in schedule(roots):
        if e not in new:
            new[e] = build(e.op, *(new[a] for a in e.args)) if e.args else e
    return tuple(new[r] for r in roots)


def separate(
    roots: Sequence[Expression], varies: Mapping[int, frozenset[Any]], everything: frozenset[Any]
) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
    """Takes out of the roots what does not vary over everything, so that it can be computed once, on fewer numbers.

    `varies[k]` is the set of loops that leaf k varies over. Returns the roots in new leaves 0, 1, … and the expressions that those stand for: leaves
    of the roots, and the largest subexpressions that vary over less than everything.
    """
    order = schedule(roots)
    over: dict[Expression, frozenset[Any]] = {}
    for e in order:
        over[e] = varies[e.index] if e.is_leaf else frozenset().union(*(over[a] for a in e.args))
    parts: dict[Expression, Expression] = {}
    operands = [a for e in order if e.args and over[e] == everything for a in e.args]
    for e in [*operands, *roots]:
        if not e.is_const and (e.is_leaf or over[e] != everything) and e not in parts:
            parts[e] = leaf(len(parts))
    return substitute(roots, parts), tuple(parts)


def simplify(e: Expression) -> Expression:
    """`build` applied from the leaves up."""
    return substitute((e,), {})[0]


def extract(
    roots: Sequence[V], view: Callable[[V], float | tuple[str, Sequence[V]] | None]
) -> tuple[tuple[Expression, ...], tuple[V, ...]]:
    """Simplified expressions of a graph's nodes, and the nodes that became leaves 0, 1, …

    `view` says what a node is: a number, an application (op, operands), or None for a leaf.
    """
    found: dict[V, Expression] = {}
    numbered: list[V] = []
    stack = list(reversed(roots))
    while stack:
        node = stack[-1]
        if node in found:
            stack.pop()
            continue
        seen = view(node)
        if seen is None:
            found[node] = leaf(len(numbered))
            numbered.append(node)
        elif isinstance(seen, tuple):
            op, operands = seen
            missing = [o for o in operands if o not in found]
            if missing:
                stack.extend(reversed(missing))
                continue
            found[node] = build(op, *(found[o] for o in operands))
        else:
            found[node] = constant(seen)
        stack.pop()
    return tuple(found[r] for r in roots), tuple(numbered)


# ---------------------------------------------------------------------------- evaluation

_BLOCK = 8192  # numbers: one array of a block stays in the second-level cache


def evaluate(roots: Sequence[Expression], arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The roots' values with arrays[i] for leaf i, broadcast as in NumPy. Every result has the joint shape of all arrays.

    Large arrays go through in stretches of the first axis, so that intermediate results stay in the cache.
    """
    roots = tuple(roots)
    inputs = [np.asarray(a, dtype=float) for a in arrays]
    shape = np.broadcast_shapes(*(a.shape for a in inputs))
    steps = _steps(roots)
    size = prod(shape)
    with np.errstate(all="ignore"):
        if size <= _BLOCK or len(steps) <= 2 or shape[0] == 1:
            return tuple(_full(v, r, shape) for v, r in zip(_run(steps, roots, inputs), roots, strict=True))
        out = tuple(np.empty(shape) for _ in roots)
        stretch = max(1, _BLOCK * shape[0] // size)
        moving = [a.ndim == len(shape) and a.shape[0] > 1 for a in inputs]
        for start in range(0, shape[0], stretch):
            part = slice(start, start + stretch)
            values = _run(steps, roots, [a[part] if m else a for a, m in zip(inputs, moving, strict=True)])
            for o, v in zip(out, values, strict=True):
                o[part] = v
    return out


@lru_cache(maxsize=4096)
def _steps(roots: tuple[Expression, ...]) -> tuple[tuple[Expression, tuple[Expression, ...]], ...]:
    """The schedule, each step with what is used there for the last time."""
    order = schedule(roots)
    last = {a: e for e in order for a in e.args}
    ending: dict[Expression, list[Expression]] = {}
    for a, e in last.items():
        if a not in roots:
            ending.setdefault(e, []).append(a)
    return tuple((e, tuple(ending.get(e, ()))) for e in order)


def _run(
    steps: Iterable[tuple[Expression, tuple[Expression, ...]]],
    roots: Sequence[Expression],
    inputs: Sequence[np.ndarray],
) -> list[Any]:
    values: dict[Expression, Any] = {}
    for e, done in steps:
        if e.is_leaf:
            values[e] = inputs[e.index]
        elif e.is_const:
            values[e] = e.value
        else:
            values[e] = OPS[e.op].numpy(*(values[a] for a in e.args))
            for a in done:
                del values[a]
    return [values[r] for r in roots]


def _full(value: Any, root: Expression, shape: tuple[int, ...]) -> Any:
    """The root's value in this shape, in memory of its own."""
    if root.args and np.shape(value) == shape:
        return value
    return np.array(np.broadcast_to(value, shape))


# ---------------------------------------------------------------------------- text


def text(e: Expression) -> str:
    """The expression as .nxt would write it, leaves as x0, x1, …; fully parenthesised, for debugging and messages."""
    written: dict[Expression, str] = {}
    for node in schedule((e,)):
        parts = [written[a] for a in node.args]
        if node.is_leaf:
            written[node] = f"x{node.index}"
        elif node.is_const:
            written[node] = f"{node.value:.17g}"
        elif infix := OPS[node.op].infix:
            written[node] = f"({parts[0]} {infix} {parts[1]})"
        else:
            written[node] = f"{node.op}({', '.join(parts)})"
    return written[e]
