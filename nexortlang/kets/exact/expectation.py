"""Expectations of products of kets: split, then evaluate, best method first.

In: a `Frame`, jointly Gaussian variables over a grid of entries, and the product's factors as sums of monomials in them (atoms.expand). Out: the
expectation over the grid with method and error. Products are multiplied out, each monomial split over independent
groups of variables, and each group evaluated by a closed form, else by quadrature when its functions see at most two Gaussians. What is left
raises NotStructured, and is left to particles (THEORY.md §6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product as cartesian
from typing import TypeAlias

import numpy as np

from nexortlang.kets.exact import closed_forms as closed
from nexortlang.kets.exact import quadrature
from nexortlang.kets.exact.atoms import (
    Monomial,
    Node,
    NotStructured,
    evaluate,
    has_equality,
    leaves_of,
    switches,
    transform,
)
from nexortlang.kets.results import Method, least_exact

SERIES_FROM = 3000  # pairs; below, direct quadrature is as fast
SERIES_TERMS = 160


class JumpAtAtom(Exception):
    """A function jumps where a ket has an atom: the limit there is not what wide programs converge to."""


@dataclass(slots=True)
class Answer:
    """An array of expectations with how it was found and an absolute error estimate."""

    value: np.ndarray
    method: Method = "exact"
    error: float = 0.0

    def times(self, other: Answer) -> Answer:
        if self.value.ndim == 0 and self.value == 1.0:
            return other
        size, other_size = float(np.abs(self.value).max(initial=0.0)), float(np.abs(other.value).max(initial=0.0))
        error = self.error * other_size + other.error * size
        return Answer(self.value * other.value, least_exact(self.method, other.method), error)

    def plus(self, other: Answer) -> Answer:
        return Answer(self.value + other.value, least_exact(self.method, other.method), self.error + other.error)


@dataclass(slots=True)
class Frame:
    """Jointly Gaussian variables over a grid: `mean(i)` and `cov(i, j)` broadcast to `grid`.

    `sides[i]` says on which axis of a two-axis grid variable i varies (None: all of it); its mean and variances are constant along the others.
    `symmetric`: the two axes are the same entries and the product is one monomial on each, so that only half of it need be computed.
    """

    grid: tuple[int, ...]
    mean: Callable[[int], np.ndarray]
    covariance: Callable[[int, int], np.ndarray]
    sides: Sequence[int | None]
    symmetric: bool = False
    _memo: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def cov(self, i: int, j: int) -> np.ndarray:
        key = (min(i, j), max(i, j))
        if key not in self._memo:
            self._memo[key] = self.covariance(*key)
        return self._memo[key]

    def correlated(self, i: int, j: int) -> bool:
        return bool(self.cov(i, j).any())


def mean_of_product(frame: Frame, factors: Sequence[list[Monomial]]) -> Answer:
    """E Π factors over the grid."""
    memo: dict[tuple[tuple[tuple[int, int], ...], tuple[int, ...]], Answer] = {}
    frame.symmetric = frame.symmetric and all(len(f) == 1 for f in factors)
    total: Answer | None = None
    for choice in cartesian(*factors):
        m = choice[0]
        for other in choice[1:]:
            m = m.times(other)
        if not np.any(m.coefficient):
            continue
        term = Answer(m.coefficient)
        for powers, functions in _components(frame, m):
            key = (powers, tuple(sorted(id(f) for f in functions)))
            if key not in memo:
                memo[key] = _component(frame, dict(powers), functions)
            term = term.times(memo[key])
            if not np.any(term.value):
                break
        total = term if total is None else total.plus(term)
    return Answer(np.zeros(())) if total is None else total


def _components(frame: Frame, m: Monomial) -> list[tuple[tuple[tuple[int, int], ...], tuple[Node, ...]]]:
    """The monomial's factors in groups whose Gaussians are correlated only within the group."""
    groups: list[tuple[set[int], list[tuple[int, int]], list[Node]]] = []
    parts: list[tuple[set[int], list[tuple[int, int]], list[Node]]] = [({v}, [(v, p)], []) for v, p in m.powers]
    parts += [(set(leaves_of(f)), [], [f]) for f in m.functions]
    for part in parts:
        joined = [g for g in groups if any(i == j or frame.correlated(i, j) for i in g[0] for j in part[0])]
        groups = [g for g in groups if all(g is not j for j in joined)]
        for g in joined:
            part = (part[0] | g[0], g[1] + part[1], g[2] + part[2])
        groups.append(part)
    # Means that vanish make a whole product vanish: look at the cheap groups first.
    groups.sort(key=lambda g: (len(g[2]), len(g[1])))
    return [(tuple(sorted(p)), tuple(f)) for _, p, f in groups]


# ---------------------------------------------------------------------------- one group

Bivariate: TypeAlias = dict[tuple[int, int], np.ndarray]  # powers of the two core variables -> coefficient


def _component(frame: Frame, powers: dict[int, int], functions: tuple[Node, ...]) -> Answer:
    core = sorted(frozenset[int]().union(*(leaves_of(f) for f in functions)))
    if not functions:
        repeated = [v for v, p in powers.items() for _ in range(p)]
        return Answer(closed.wick([frame.mean(v) for v in repeated], lambda a, b: frame.cov(repeated[a], repeated[b])))
    if not powers and all(_is_exponential(f) for f in functions):
        leaves = [f.children[0].leaf for f in functions]
        value = closed.exponential_product(
            [f.op for f in functions], [frame.mean(v) for v in leaves], lambda a, b: frame.cov(leaves[a], leaves[b])
        )
        return Answer(value)
    if len(core) > 2:
        raise NotStructured(f"a function of {len(core)} Gaussians that does not split")
    polynomial = _condition(frame, powers, core)
    if len(core) == 1:
        return _one_dimension(frame, core[0], polynomial, functions)
    return _two_dimensions(frame, core[0], core[1], polynomial, functions)


def _is_exponential(f: Node) -> bool:
    return f.op in ("exp", "sin", "cos") and f.children[0].op == "leaf"


def _condition(frame: Frame, powers: dict[int, int], core: Sequence[int]) -> Bivariate:
    """E[Π g^p | core], a polynomial in the core variables: conditional means are linear in them, residuals follow Wick's rule."""
    extra = [v for v, p in powers.items() if v not in core for _ in range(p)]
    own = tuple(powers.get(v, 0) for v in core) + (0,) * (2 - len(core))
    slopes = {v: _regression(frame, v, core) for v in set(extra)}

    def conditional_mean(v: int) -> Bivariate:
        constant = frame.mean(v)
        result: Bivariate = {}
        for k, slope in enumerate(slopes[v]):
            constant = constant - slope * frame.mean(core[k])
            result[(1, 0) if k == 0 else (0, 1)] = slope
        return {(0, 0): constant, **result}

    def residual(v: int, w: int) -> np.ndarray:
        total = frame.cov(v, w)
        for k, slope in enumerate(slopes[v]):
            total = total - slope * frame.cov(core[k], w)
        return total

    def moment(rest: list[int]) -> Bivariate:
        if not rest:
            return {(0, 0): np.ones(())}
        first, others = rest[0], rest[1:]
        result = _times(conditional_mean(first), moment(others))
        for k, other in enumerate(others):
            r = residual(first, other)
            for key, c in moment(others[:k] + others[k + 1 :]).items():
                result[key] = result.get(key, np.zeros(())) + r * c
        return result

    return {(a + own[0], b + own[1]): c for (a, b), c in moment(extra).items() if np.any(c)}


def _regression(frame: Frame, v: int, core: Sequence[int]) -> list[np.ndarray]:
    """Slopes of the regression of v on the core variables, by the pseudo-inverse of their 2 × 2 covariance."""
    a, ca = frame.cov(core[0], core[0]), frame.cov(v, core[0])
    if len(core) == 1:
        return [_ratio(ca, a)]
    b, c, cb = frame.cov(core[1], core[1]), frame.cov(core[0], core[1]), frame.cov(v, core[1])
    determinant = a * b - c * c
    singular = determinant <= 1e-13 * a * b
    regular = [_ratio(b * ca - c * cb, determinant), _ratio(a * cb - c * ca, determinant)]
    # Rank one: the minimal-norm solution of Σ x = y for Σ = trace · (unit projector).
    trace_squared = (a + b) ** 2
    collinear = [_ratio(a * ca + c * cb, trace_squared), _ratio(c * ca + b * cb, trace_squared)]
    return [np.where(singular, low, full) for low, full in zip(collinear, regular, strict=True)]


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)


def _times(p: Bivariate, q: Bivariate) -> Bivariate:
    result: Bivariate = {}
    for (a, b), x in p.items():
        for (c, d), y in q.items():
            result[a + c, b + d] = result.get((a + c, b + d), np.zeros(())) + x * y
    return result


def _std(frame: Frame, v: int) -> np.ndarray:
    return np.sqrt(np.maximum(frame.cov(v, v), 0.0))


def _joint_pieces(functions: Sequence[Node], variance: np.ndarray) -> closed.Pieces | None:
    """The product of functions of one leaf as a piecewise polynomial, which tells nothing of single points."""
    if any(has_equality(f) for f in functions) and not np.all(variance > 0):
        return None
    result: closed.Pieces = ({0: np.ones(())}, {0: np.ones(())})
    for f in functions:
        p = closed.pieces(f)
        if p is None:
            return None
        result = closed.multiply(result[0], p[0]), closed.multiply(result[1], p[1])
    return result


def _monomial_pieces(f: closed.Pieces, power: int) -> closed.Pieces:
    one = {power: np.ones(())}
    return closed.multiply(f[0], one), closed.multiply(f[1], one)


def _refuse_jumps(f: closed.Pieces, variance: np.ndarray) -> None:
    if closed.has_jump(f) and not np.all(variance > 0):
        raise JumpAtAtom


def _one_dimension(frame: Frame, v: int, polynomial: Bivariate, functions: tuple[Node, ...]) -> Answer:
    f = _joint_pieces(functions, frame.cov(v, v))
    if f is not None and not np.any(frame.mean(v)):
        std = _std(frame, v)
        _refuse_jumps(f, std)
        value = np.zeros(())
        for (a, _), c in polynomial.items():
            value = value + c * closed.piecewise_mean(_monomial_pieces(f, a), std)
        return Answer(value)
    if list(polynomial) == [(0, 0)] and _is_erf_square(functions) and not np.any(frame.mean(v)):
        variance = frame.cov(v, v)
        return Answer(polynomial[0, 0] * closed.erf_product(variance, variance, variance))
    return _numeric(frame, (v,), polynomial, functions)


def _is_erf_square(functions: Sequence[Node]) -> bool:
    return [n.op for n in functions] == ["erf", "erf"] and all(n.children[0].op == "leaf" for n in functions)


def _two_dimensions(frame: Frame, u: int, v: int, polynomial: Bivariate, functions: tuple[Node, ...]) -> Answer:
    split = _separate(functions, u, v)
    if split is None:
        return _numeric(frame, (u, v), polynomial, functions)
    of_u, of_v = split
    centred = not np.any(frame.mean(u)) and not np.any(frame.mean(v))
    if centred:
        f, g = _joint_pieces(of_u, frame.cov(u, u)), _joint_pieces(of_v, frame.cov(v, v))
        if f is not None and g is not None:
            return Answer(_piecewise_product(frame, u, v, polynomial, f, g))
    plain = list(polynomial) == [(0, 0)]
    if centred and plain and _is_erf_square(functions):
        return Answer(polynomial[0, 0] * closed.erf_product(frame.cov(u, u), frame.cov(v, v), frame.cov(u, v)))
    if (
        len(frame.grid) == 2
        and frame.grid[0] * frame.grid[1] >= SERIES_FROM
        and {frame.sides[u], frame.sides[v]} == {0, 1}
    ):
        return _by_series(frame, u, v, polynomial, of_u, of_v)
    return _numeric(frame, (u, v), polynomial, functions)


def _piecewise_product(
    frame: Frame, u: int, v: int, polynomial: Bivariate, f: closed.Pieces, g: closed.Pieces
) -> np.ndarray:
    var_u, var_v, cov = frame.cov(u, u), frame.cov(v, v), frame.cov(u, v)
    _refuse_jumps(f, var_u)
    _refuse_jumps(g, var_v)

    def compute(cut: Cut) -> np.ndarray:
        total = np.zeros(())
        for (a, b), c in polynomial.items():
            pieces = [
                ({k: cut(p) for k, p in half.items()} for half in _monomial_pieces(*fa)) for fa in ((f, a), (g, b))
            ]
            (f1, f2), (g1, g2) = pieces
            total = total + cut(c) * closed.piecewise_product((f1, f2), (g1, g2), cut(var_u), cut(var_v), cut(cov))
        return total

    return _in_blocks(frame, compute)


Cut: TypeAlias = Callable[[np.ndarray], np.ndarray]
_BLOCK = 65536  # entries of a kernel worked on at once, so that intermediate arrays stay in cache


def _in_blocks(frame: Frame, compute: Callable[[Cut], np.ndarray]) -> np.ndarray:
    """An entrywise computation over a two-axis grid by blocks of rows; of a symmetric one, from the diagonal on."""
    if len(frame.grid) != 2 or math.prod(frame.grid) <= _BLOCK:
        return compute(lambda c: c)
    out = np.empty(frame.grid)
    step = max(1, _BLOCK // frame.grid[1])
    for start in range(0, frame.grid[0], step):
        rows, cols = slice(start, start + step), slice(start if frame.symmetric else 0, None)

        def cut(c: np.ndarray, rows: slice = rows, cols: slice = cols) -> np.ndarray:
            if np.ndim(c) < 2:
                return c
            return c[rows if c.shape[0] > 1 else slice(None), cols if c.shape[1] > 1 else slice(None)]

        out[rows, cols] = compute(cut)
        if frame.symmetric:
            out[start:, rows] = out[rows, start:].T
    return out


def _separate(functions: tuple[Node, ...], u: int, v: int) -> tuple[list[Node], list[Node]] | None:
    of_u = [f for f in functions if leaves_of(f) <= {u}]
    of_v = [f for f in functions if leaves_of(f) == {v}]
    return (of_u, of_v) if len(of_u) + len(of_v) == len(functions) and of_u and of_v else None


# ---------------------------------------------------------------------------- quadrature of one group


def _integrand(variables: tuple[int, ...], polynomial: Bivariate, functions: Sequence[Node]) -> quadrature.Integrand:
    """Constants in functions and polynomial are arrays over the entries (or single numbers)."""

    def picked(c: np.ndarray, entries: np.ndarray, ndim: int) -> np.ndarray:
        return c[entries].reshape(-1, *(1,) * (ndim - 1)) if c.ndim else c

    def at(node: Node, values: Sequence[np.ndarray], entries: np.ndarray) -> np.ndarray:
        local = transform(node, lambda i: i, lambda c: c[entries])
        return evaluate(local, dict(zip(variables, values, strict=True)), np.ndim(values[0]) - 1)

    def f(values: Sequence[np.ndarray], entries: np.ndarray) -> np.ndarray:
        ndim = np.ndim(values[0])
        total: np.ndarray = np.zeros(())
        for powers, c in polynomial.items():
            term = picked(c, entries, ndim)
            for value, p in zip(values, powers, strict=False):
                term = term * value**p if p else term
            total = total + term
        for node in functions:
            total = total * at(node, values, entries)
        return total

    def switch(node: Node) -> Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]:
        return lambda values, entries: at(node, values, entries)

    found = {id(s): s for node in functions for s in switches(node)}
    return quadrature.Integrand(f, tuple(switch(s) for s in found.values()))


def _numeric(frame: Frame, variables: tuple[int, ...], polynomial: Bivariate, functions: tuple[Node, ...]) -> Answer:
    """Direct quadrature for every entry that differs from others (a symmetric kernel's halves are computed once)."""
    columns = [frame.mean(v) for v in variables]
    first = variables[0]
    if len(variables) == 1:
        columns.append(_std(frame, first))
    else:
        second = variables[1]
        columns += [frame.cov(a, b) for a, b in ((first, first), (second, second), (first, second))]
    shapes = [np.shape(c) for c in (*columns, *polynomial.values(), *_constants(functions))]
    grid = np.broadcast_shapes(*shapes)

    def flat(c: np.ndarray) -> np.ndarray:
        return np.broadcast_to(c, grid).reshape(-1)

    polynomial = {k: flat(c) if np.ndim(c) else np.asarray(c) for k, c in polynomial.items()}
    functions = tuple(transform(f, lambda i: i, flat) for f in functions)
    columns = [flat(c) for c in columns]
    entries, inverse = _distinct(columns, polynomial, functions)
    f = _integrand(
        variables, {k: c[entries] if c.ndim else c for k, c in polynomial.items()}, _at_entries(functions, entries)
    )
    columns = [c[entries] for c in columns]
    if len(variables) == 1:
        values, errors = quadrature.mean_1d(f, *columns)
    else:
        values, errors = quadrature.mean_2d(f, quadrature.Pairs(*columns))
    return Answer(values[inverse].reshape(grid), "quadrature", float(errors.max(initial=0.0)))


def _constants(functions: Sequence[Node]) -> list[np.ndarray]:
    """The arrays of constants in the functions."""
    found: list[np.ndarray] = []

    def note(c: np.ndarray) -> np.ndarray:
        found.append(c)
        return c

    for f in functions:
        transform(f, lambda i: i, note)
    return found


def _at_entries(functions: tuple[Node, ...], entries: np.ndarray) -> tuple[Node, ...]:
    return tuple(transform(f, lambda i: i, lambda c: c[entries]) for f in functions)


def _distinct(
    columns: list[np.ndarray], polynomial: Bivariate, functions: tuple[Node, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Representatives of equal entries, and which represents each."""
    arrays = [*columns, *(c for c in polynomial.values() if c.ndim), *_constants(functions)]
    table = np.stack(arrays, axis=1)
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def _by_series(
    frame: Frame, u: int, v: int, polynomial: Bivariate, of_u: Sequence[Node], of_v: Sequence[Node]
) -> Answer:
    """Many pairs of a separable product: Hermite series where correlations are moderate, direct quadrature for the rest."""
    if frame.sides[u] == 1:
        polynomial = {(b, a): c for (a, b), c in polynomial.items()}
        u, v, of_u, of_v = v, u, of_v, of_u
    su, sv = _std(frame, u), _std(frame, v)
    rho = np.broadcast_to(np.clip(_ratio(frame.cov(u, v), su * sv), -1.0, 1.0), frame.grid)
    total, worst = np.zeros(frame.grid), 0.0
    outliers = np.zeros(frame.grid, dtype=bool)
    for (a, b), c in polynomial.items():
        left = _side_series(frame, u, a, of_u, 0)
        right = left if frame.symmetric and a == b else _side_series(frame, v, b, of_v, 1)
        size = float(left.remainders[:, 0].max() * right.remainders[:, 0].max()) + 1e-300
        tolerance = 1e-12 * size
        limit, terms = _series_limit(left, right, rho, tolerance)
        outliers |= np.abs(rho) > limit
        total += c * _series_sum(frame, left.coefficients[:, :terms], right.coefficients[:, :terms], rho)
        worst = max(worst, tolerance * float(np.abs(c).max(initial=0.0)))
    if outliers.any():
        total[outliers], error = _numeric_at(frame, u, v, polynomial, (*of_u, *of_v), outliers)
        worst = max(worst, error)
    return Answer(total, "quadrature", worst)


def _series_sum(frame: Frame, left: np.ndarray, right: np.ndarray, rho: np.ndarray) -> np.ndarray:
    columns = [
        (np.ascontiguousarray(left[:, k])[:, None], np.ascontiguousarray(right[:, k])[None, :])
        for k in range(left.shape[1])
    ]
    return _in_blocks(frame, lambda cut: quadrature.series([(cut(a), cut(b)) for a, b in columns], cut(rho)))


def _series_limit(
    left: quadrature.HermiteSide, right: quadrature.HermiteSide, rho: np.ndarray, tolerance: float
) -> tuple[float, int]:
    """The largest correlation served and the terms it needs: all but the few strongly correlated pairs (a diagonal, near duplicates)."""
    places = [max(int(served * rho.size) - 1, 0) for served in (1.0, 0.999, 0.99, 0.9, 0.5)]
    sizes = np.partition(np.abs(rho), places, axis=None)
    for place in places:
        limit = float(sizes[place])
        terms = quadrature.series_length(left, right, limit, tolerance)
        if terms is not None:
            return limit, terms
    return 0.0, 1


def _side_series(frame: Frame, v: int, power: int, functions: Sequence[Node], side: int) -> quadrature.HermiteSide:
    n = frame.grid[side]
    shape = [1, 1]
    shape[side] = n

    def along(c: np.ndarray) -> np.ndarray:
        return np.broadcast_to(c, shape).reshape(-1)

    local = tuple(transform(f, lambda i: i, along) for f in functions)
    f = _integrand((v,), {(power, 0): np.ones(())}, local)
    return quadrature.hermite_side(f, along(frame.mean(v)), along(_std(frame, v)), SERIES_TERMS)


def _numeric_at(
    frame: Frame, u: int, v: int, polynomial: Bivariate, functions: tuple[Node, ...], mask: np.ndarray
) -> tuple[np.ndarray, float]:
    """Direct quadrature for the entries of a mask."""
    where = np.nonzero(mask)

    def pick(c: np.ndarray) -> np.ndarray:
        return np.broadcast_to(c, frame.grid)[where]

    picked = Frame(
        (len(where[0]),), lambda i: pick(frame.mean(i)), lambda i, j: pick(frame.cov(i, j)), [None] * len(frame.sides)
    )
    local = tuple(transform(f, lambda i: i, pick) for f in functions)
    answer = _numeric(picked, (u, v), {k: pick(c) if np.ndim(c) else c for k, c in polynomial.items()}, local)
    return answer.value, answer.error
