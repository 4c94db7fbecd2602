"""Matrices as a program has them: linear combinations of products of initial matrices and outer products.

In: initial matrices, outer values (entries over slot 0, the rows, and slot 1, the columns), scalar coefficients. Out: `apply`, which turns
A @ x into core instructions. Guarantees: operators are immutable; none is ever stored as a matrix; equal applications are one value.

A trained matrix is c·W₀ plus outer values: a *named* operator. A name keeps its `Variable` through updates, and every application of a named
operator is noted on the builder (`uses`), also of names that stand inside a composite such as (W + W.T)/√2, so that gradients can
be taken later with respect to the name, at the values that it had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial, reduce
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from nexortlang.core.build import Builder, TypeRuleError
from nexortlang.core.program import Matrix, Scale, Shape, Value, Width
from nexortlang.elaborate.adjoints import multiply, plus
from nexortlang.elaborate.narrowing import narrowed
from nexortlang.elaborate.outer_values import applied, entries_product, scattered, separated
from nexortlang.elaborate.separation import separation
from nexortlang.elaborate.versions import Version, descent, family_factor, is_one


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """The identity of a name over all its updates. `shape` is the family's. `is_target`: gradients are asked for by this name."""

    name: str
    shape: Shape
    is_target: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MatrixUse:
    """One application of a named operator: result = A @ operand, or A.T @ operand if transposed.

    `members` (flat positions in the variable's family) says which member acts where; its shape broadcasts against the operand's. `version` is
    what the name stood for then.
    """

    variable: Variable
    version: Version
    members: np.ndarray
    transposed: bool
    operand: Value
    result: Value


@dataclass(frozen=True, slots=True, eq=False)
class Initial:
    """Members of an initial matrix."""

    matrix: Matrix
    members: np.ndarray
    transposed: bool

    @property
    def shape(self) -> Shape:
        return self.members.shape


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """A matrix given by its entries, value[i, j] or, transposed, value[j, i]."""

    value: Value
    transposed: bool

    @property
    def shape(self) -> Shape:
        return self.value.type.shape


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Members of the family that a variable stands for.

    `body` is what they are now, of shape members.shape, before transposition, and `version` which updates led there.
    """

    variable: Variable
    members: np.ndarray
    body: Operator
    transposed: bool
    version: Version

    @property
    def shape(self) -> Shape:
        return self.members.shape


Factor: TypeAlias = Initial | Entries | Named
Tag: TypeAlias = tuple[Variable, Version, bytes]
"""Members of a name and their version, for what must not be shared with equal values of other names, members and versions."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """coefficient × product of factors. Shapes broadcast to the operator's, or to that of `positions`: the only members that it adds to."""

    coefficient: Value
    factors: tuple[Factor, ...]
    positions: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """A rows × cols matrix, or a family of them of the given shape: the sum of its terms."""

    rows: Width
    cols: Width
    shape: Shape
    terms: tuple[Term, ...]

    @property
    def is_outer(self) -> bool:
        """Whether its entries are an outer value (no initial matrix in it)."""
        return all(_is_outer(f) for term in self.terms for f in term.factors)

    @property
    def variable(self) -> Variable | None:
        """The variable, if this is a named operator or members of one."""
        named = _named(self)
        return named.variable if named else None


# ---------------------------------------------------------------------------- making


def initial(b: Builder, matrix: Matrix, is_target: bool = False, power: Fraction = Fraction(0)) -> Operator:
    """n^power times an initial matrix, under its own name; `is_target` says that gradients are asked for by this name."""
    members = np.arange(prod(matrix.shape)).reshape(matrix.shape)
    body = _single(b, Initial(matrix, members, False), matrix.rows, matrix.cols)
    body = scale(b, body, b.scale(b.const(1.0), power)) if power else body
    return copy(b, body, matrix.name, is_target)


def outer(b: Builder, value: Value) -> Operator:
    """The matrix with the entries value[i, j]: axes (0, rows), (1, columns)."""
    if value.type.slots != (0, 1):
        raise TypeRuleError(f"the entries of a matrix over slots {value.type.slots}")
    (_, rows), (_, cols) = value.type.axes
    one = b.const(1.0)
    terms = tuple(Term(one, (Entries(part, False),)) for part in separated(b, value))
    return Operator(rows, cols, value.type.shape, terms)


def copy(b: Builder, A: Operator, name: str = "", is_target: bool = False) -> Operator:
    """A under a new name: later updates of either leave the other alone."""
    variable = Variable(name, A.shape, is_target)
    members = np.arange(prod(A.shape)).reshape(A.shape)
    return _single(b, Named(variable, members, A, False, Version()), A.rows, A.cols)


def transpose(b: Builder, A: Operator) -> Operator:
    """Aᵀ, of each member."""
    terms = tuple(replace(t, factors=tuple(_transposed(f) for f in reversed(t.factors))) for t in A.terms)
    return Operator(A.cols, A.rows, A.shape, terms)


def add(b: Builder, A: Operator, B: Operator) -> Operator:
    """A + B; family shapes broadcast."""
    if (A.rows, A.cols) != (B.rows, B.cols):
        raise TypeRuleError("a sum of matrices over different widths")
    shape = np.broadcast_shapes(A.shape, B.shape)
    return Operator(A.rows, A.cols, shape, _spread(b, A, shape) + _spread(b, B, shape))


def scale(b: Builder, A: Operator, coefficient: Value) -> Operator:
    """coefficient · A, the coefficient a scalar whose shape broadcasts against the family's."""
    if not coefficient.type.is_scalar:
        raise TypeRuleError(f"a matrix times {coefficient.type}")
    shape = np.broadcast_shapes(A.shape, coefficient.type.shape)
    terms = []
    for t in _spread(b, A, shape):
        here = coefficient
        if t.positions is not None and coefficient.type.shape:
            here = b.gather(b.broadcast(coefficient, shape), t.positions)
        terms.append(replace(t, coefficient=b.mul(t.coefficient, here)))
    return Operator(A.rows, A.cols, shape, tuple(terms))


def compose(b: Builder, A: Operator, B: Operator) -> Operator:
    """A @ B; family shapes broadcast."""
    if A.cols != B.rows:
        raise TypeRuleError("a product of matrices over different widths")
    shape = np.broadcast_shapes(A.shape, B.shape)
    terms = []
    for s, t in product(_spread(b, A, shape), _spread(b, B, shape)):
        if s.positions is None and t.positions is None:
            terms.append(Term(b.mul(s.coefficient, t.coefficient), s.factors + t.factors))
            continue
        everywhere = np.arange(prod(shape))
        common = reduce(np.intersect1d, (u.positions for u in (s, t) if u.positions is not None), everywhere)
        if common.size:
            s_here, t_here = (_require(_at(b, u, shape, common)) for u in (s, t))
            coefficient = b.mul(s_here.coefficient, t_here.coefficient)
            terms.append(Term(coefficient, s_here.factors + t_here.factors, common))
    return Operator(A.rows, B.cols, shape, tuple(terms))


# ---------------------------------------------------------------------------- members and updates


def member(b: Builder, A: Operator, index: np.ndarray) -> Operator:
    """The members at flat positions, as a family of index's shape."""
    index = np.asarray(index, dtype=np.intp)
    found = [_at(b, t, A.shape, index) for t in A.terms]
    return Operator(A.rows, A.cols, index.shape, tuple(t for t in found if t is not None))


def set_member(b: Builder, A: Operator, index: np.ndarray, B: Operator) -> Operator:
    """A with the members at flat positions `index` replaced by B's (whose shape broadcasts to index's). A name stays the same variable."""
    index = np.asarray(index, dtype=np.intp)
    named = _named(A)
    if named is not None and not named.transposed:
        members, own = named.members.reshape(-1)[index], _named(B)
        if own is None or own.variable is not named.variable or own.transposed or (own.members != members).any():
            zero = family_factor(b, b.const(0.0), members, named.variable.shape)
            return _updated(b, A, named, set_member(b, named.body, index, B), zero, members, True)
        factor = descent(b, own.version, named.version)
        return _updated(b, A, named, set_member(b, named.body, index, own.body), factor, members)
    rest = np.setdiff1d(np.arange(prod(A.shape)), index)
    kept = [_at(b, t, A.shape, rest) for t in A.terms] if rest.size else []
    terms = [
        replace(t, positions=rest[t.positions] if t.positions is not None else rest) for t in kept if t is not None
    ]
    for t in _spread(b, B, index.shape):
        where = index.reshape(-1)[t.positions] if t.positions is not None else index
        terms.append(replace(t, positions=where) if A.shape else t)
    return Operator(A.rows, A.cols, A.shape, tuple(terms))


def version(A: Operator) -> Version:
    """What a named operator stands for among the values that its name has had."""
    named = _named(A)
    if named is None:
        raise TypeRuleError("the version of a matrix without a name")
    return named.version


def positions(A: Operator) -> np.ndarray:
    """The flat positions in its variable's family that a named operator stands for."""
    named = _named(A)
    if named is None:
        raise TypeRuleError("positions of a matrix without a name")
    return named.members


def updated(b: Builder, A: Operator, value: Value) -> Operator:
    """A with the outer value added to its entries (`A[i, j] += value`), under the same name."""
    named = _required_name(b, A)
    return _updated(b, A, named, _accumulated(b, named.body, value))


def retained(b: Builder, A: Operator, factor: Value) -> Operator:
    """A scaled (`A *= factor`), under the same name."""
    named = _required_name(b, A)
    kept = family_factor(b, factor, named.members, named.variable.shape)
    return _updated(b, A, named, scale(b, named.body, factor), kept)


def rebound(b: Builder, old: Operator, value: Operator) -> Operator | None:
    """`W = c*W + …` as what it is, an update of W under its own name; None for any other value, and where W comes in otherwise, too."""
    named = _named(old)
    if named is None or named.transposed or value.shape != old.shape:
        return None
    own = [t for t in value.terms if _is_multiple(t, named)]
    rest = [t for t in value.terms if t not in own]
    if not own or any(_contains(f, named.variable) for t in rest for f in t.factors):
        return None
    factor, *others = (t.factors[0] for t in own)
    assert isinstance(factor, Named)
    if any(isinstance(f, Named) and f.version is not factor.version for f in others):
        return None
    coefficient = reduce(b.add, (t.coefficient for t in own))
    if is_one(coefficient) and not rest:  # what a def has made of it
        return value
    kept = factor.body if is_one(coefficient) else scale(b, factor.body, coefficient)
    gathered = tuple(t for t in rest if t.positions is None and all(_is_outer(f) for f in t.factors))
    body = replace(kept, terms=kept.terms + tuple(t for t in rest if t not in gathered))
    if gathered:
        body = _accumulated(b, body, entries(b, Operator(old.rows, old.cols, old.shape, gathered)))
    retained = family_factor(b, coefficient, named.members, named.variable.shape)
    return _updated(b, old, replace(named, version=factor.version), body, retained)


def _is_multiple(term: Term, named: Named) -> bool:
    """Whether a term is a number times all that is named."""
    match term:
        case Term(factors=(Named(variable=variable, members=members, transposed=False),), positions=None):
            return variable is named.variable and np.array_equal(members, named.members)
        case _:
            return False


def _contains(factor: Factor, variable: Variable) -> bool:
    """Whether a factor is, or is made of, members of the variable."""
    if not isinstance(factor, Named):
        return False
    inside = (f for t in factor.body.terms for f in t.factors)
    return factor.variable is variable or any(_contains(f, variable) for f in inside)


def _updated(
    b: Builder,
    A: Operator,
    named: Named,
    body: Operator,
    factor: Value | None = None,
    changed: np.ndarray | None = None,
    anew: bool = False,
) -> Operator:
    """The same name after an update, of all members or of those at the positions `changed`, which are other matrices now if `anew`."""
    b.program.trained |= {f.matrix for t in named.body.terms for f in t.factors if isinstance(f, Initial)}
    return _single(b, replace(named, body=body, version=named.version.updated(factor, changed, anew)), A.rows, A.cols)


def _accumulated(b: Builder, body: Operator, value: Value) -> Operator:
    """body + value, where outer values that act on all members are kept as one: what separates, and the rest.

    So a matrix has as many terms after a thousand updates as after one.
    """
    shape = np.broadcast_shapes(body.shape, value.type.shape)
    terms = list(_spread(b, body, shape))
    for part in separated(b, value):
        place = next((k for k, t in enumerate(terms) if _gathers(b, t, part)), None)
        if place is None:
            terms.append(Term(b.const(1.0), (Entries(part, False),)))
        else:
            terms[place] = Term(b.const(1.0), (Entries(plus(b, _term_entries(b, terms[place]), part), False),))
    return Operator(body.rows, body.cols, shape, tuple(terms))


def _gathers(b: Builder, term: Term, part: Value) -> bool:
    """Whether a term is an outer value of the same kind and power, that can take another one in."""
    match term:
        case Term(factors=(Entries(value=value, transposed=False),), positions=None):
            alike = value.type.power == part.type.power
            return alike and bool(separation(b, value).terms) == bool(separation(b, part).terms)
        case _:
            return False


def _required_name(b: Builder, A: Operator) -> Named:
    named = _named(A)
    if named is None or named.transposed:
        named = _named(copy(b, A))
    assert named is not None
    return named


# ---------------------------------------------------------------------------- application


def uses(b: Builder, variable: Variable) -> list[MatrixUse]:
    """All applications of a name so far, in program order."""
    noted: dict[object, MatrixUse] = b.memo["matrix uses"]
    return [use for use in noted.values() if use.variable is variable]


def apply(b: Builder, A: Operator, x: Value) -> Value:
    """A @ x for a vector; family members broadcast against the finite axes of x as in MatMul."""
    if not x.type.is_vector or x.type.width != A.cols:
        raise TypeRuleError(f"a matrix over {A.cols.name} applied to {x.type}")
    return _apply(b, A, x, None)


def _apply(b: Builder, A: Operator, x: Value, tag: Tag | None) -> Value:
    shape = np.broadcast_shapes(A.shape, x.type.shape)
    total: Value | None = None
    for term in A.terms:
        y = _apply_term(b, term, x, tag) if term.positions is None else _apply_placed(b, A, term, x, tag)
        if y is not None:
            total = y if total is None else b.add(total, y)
    if total is None:
        raise TypeRuleError("a matrix without terms")
    return total if total.type.shape == shape else b.broadcast(total, shape)


def _apply_term(b: Builder, term: Term, x: Value, tag: Tag | None) -> Value:
    for factor in reversed(term.factors):
        x = _apply_factor(b, factor, x, tag)
    return x if is_one(term.coefficient) else b.mul(term.coefficient, x)


def _apply_placed(b: Builder, A: Operator, term: Term, x: Value, tag: Tag | None) -> Value | None:
    """A term that adds to some members only: applied there, with zeros elsewhere."""
    shape = np.broadcast_shapes(A.shape, x.type.shape)
    family = np.broadcast_to(np.arange(prod(A.shape)).reshape(A.shape), shape).reshape(-1)
    assert term.positions is not None
    entries = np.flatnonzero(np.isin(family, term.positions))
    if not entries.size:
        return None
    here = _require(_at(b, term, A.shape, family[entries]))
    y = _apply_term(b, here, b.gather(b.broadcast(x, shape), entries), tag)
    if entries.size == family.size:
        return b.reshape(y, shape)
    return scattered(b, y, entries, shape)


def _apply_factor(b: Builder, factor: Factor, x: Value, tag: Tag | None) -> Value:
    match factor:
        case Initial(matrix, members, transposed):
            return b.matmul(matrix, members, transposed, x, tag)
        case Entries(value, transposed):
            return applied(b, value, transposed, x)
        case Named(variable, members, body, transposed, version):
            # Uses of a copy are to be told from those of the original, those after an update from those before: W₀ x is no use of W₁.
            is_changed = version.parent is not None or not _is_initial(body)
            if tag is None and (_named(body) is not None or (variable.is_target and is_changed)):
                tag = (variable, version, members.tobytes())
            use = (id(version), members.shape, members.tobytes(), transposed, x.id)
            noted: dict[object, MatrixUse] = b.memo["matrix uses"]
            is_own = variable.is_target and body.is_outer  # no MatMul that carries the tag
            if is_own and use in noted:
                return noted[use].result
            result = _apply(b, transpose(b, body) if transposed else body, x, tag)
            result = _distinct(b, result) if is_own else result
            key = use if is_own else (*use, result.id)
            noted.setdefault(key, MatrixUse(variable, version, members, transposed, x, result))
            return result


def _is_initial(body: Operator) -> bool:
    """Whether a name stands for members of an initial matrix and nothing else."""
    return len(body.terms) == 1 and all(isinstance(f, Initial) for f in body.terms[0].factors)


def _distinct(b: Builder, result: Value) -> Value:
    """The result of a named outer product as a value of its own."""
    x, power = (result.x, result.exponent) if isinstance(result, Scale) else (result, Fraction(0))
    return b.scale(b.alias(x), power)


def entries(b: Builder, A: Operator) -> Value:
    """The entries A[i, j] of an operator without initial matrices, over slots 0 and 1."""
    if not A.is_outer:
        raise TypeRuleError("the entries of an initial matrix")
    total: Value | None = None
    for term in A.terms:
        value = _term_entries(b, term)
        if term.positions is not None:
            value = b.broadcast(value, term.positions.shape)
            value = scattered(b, value, term.positions.reshape(-1), A.shape)
        total = value if total is None else b.add(total, value)
    if total is None:
        raise TypeRuleError("a matrix without terms")
    return total if total.type.shape == A.shape else b.broadcast(total, A.shape)


def _term_entries(b: Builder, term: Term) -> Value:
    """Those of a term, where it adds."""
    value = reduce(partial(entries_product, b), (_factor_entries(b, f) for f in term.factors))
    return value if is_one(term.coefficient) else multiply(b, term.coefficient, value)


def _factor_entries(b: Builder, factor: Factor) -> Value:
    match factor:
        case Entries(value, transposed):
            return b.rename(value, {0: 1, 1: 0}) if transposed else value
        case Named(body=body, transposed=transposed):
            return entries(b, transpose(b, body) if transposed else body)
        case Initial():
            raise TypeRuleError("the entries of an initial matrix")


# ---------------------------------------------------------------------------- parts


def _single(b: Builder, factor: Factor, rows: Width, cols: Width) -> Operator:
    return Operator(rows, cols, factor.shape, (Term(b.const(1.0), (factor,)),))


def _named(A: Operator) -> Named | None:
    """The factor, if A is nothing but one named operator."""
    if len(A.terms) != 1:
        return None
    (term,) = A.terms
    match term.factors:
        case (Named() as named,) if is_one(term.coefficient) and term.positions is None and named.shape == A.shape:
            return named
        case _:
            return None


def _is_outer(factor: Factor) -> bool:
    match factor:
        case Initial():
            return False
        case Entries():
            return True
        case Named(body=body):
            return body.is_outer


def _transposed(factor: Factor) -> Factor:
    return replace(factor, transposed=not factor.transposed)


def _require(term: Term | None) -> Term:
    if term is None:
        raise TypeRuleError("a term without members")
    return term


def _spread(b: Builder, A: Operator, shape: Shape) -> tuple[Term, ...]:
    """A's terms for the larger family shape: those with positions need it spelled out, the others broadcast."""
    if A.shape == shape or all(t.positions is None for t in A.terms):
        return A.terms
    return member(b, A, np.broadcast_to(np.arange(prod(A.shape)).reshape(A.shape), shape)).terms


def _at(b: Builder, term: Term, shape: Shape, index: np.ndarray) -> Term | None:
    """The term of a family of `shape` at flat positions, as a term of a family of index's shape; None if it adds to none of them."""
    if term.positions is None:
        return Term(
            _taken(b, term.coefficient, shape, index), tuple(_factor_at(b, f, shape, index) for f in term.factors)
        )
    place = np.full(prod(shape), -1)
    place[term.positions.reshape(-1)] = np.arange(term.positions.size)
    local = place[index]
    if (local < 0).all():
        return None
    inner = replace(term, positions=None)
    if (local >= 0).all():
        return _at(b, inner, term.positions.shape, local)
    found = np.flatnonzero(local.reshape(-1) >= 0)
    part = _require(_at(b, inner, term.positions.shape, local.reshape(-1)[found]))
    return replace(part, positions=found)


def _factor_at(b: Builder, factor: Factor, shape: Shape, index: np.ndarray) -> Factor:
    if not factor.shape:
        return factor
    own = _own_index(factor.shape, shape, index)
    match factor:
        case Initial(members=members):
            return replace(factor, members=members.reshape(-1)[own])
        case Entries(value=value):
            return replace(factor, value=narrowed(b, value, own))
        case Named(members=members, body=body):
            return replace(factor, members=members.reshape(-1)[own], body=member(b, body, own))


def _taken(b: Builder, coefficient: Value, shape: Shape, index: np.ndarray) -> Value:
    own = coefficient.type.shape
    return b.gather(coefficient, _own_index(own, shape, index)) if own else coefficient


def _own_index(own: Shape, shape: Shape, index: np.ndarray) -> np.ndarray:
    """Flat positions in an array of shape `own` that stands broadcast to `shape`, for flat positions in the latter."""
    return np.broadcast_to(np.arange(prod(own)).reshape(own), shape).reshape(-1)[index]
