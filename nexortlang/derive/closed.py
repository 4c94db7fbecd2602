"""Expectations in closed form, as terms: Wick's rule, arc-cosine kernels, arcsines, Stein's lemma.

In: inner products and averages. Out: further sides of their equations, and, as they come to be needed, equations for the covariances that those
speak of. Guarantees: an expectation is split over independent groups of Gaussians; a side is given only where the ket is a function of Gaussian
kets of mean 0 and a formula of the table applies. Formulas: Cho and Saul 2009 (relu, step), Williams 1997 (erf), Isserlis 1918.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from nexortlang.core.program import Avg, InitVector, Inner, MatMul, Value, operands
from nexortlang.derive.algebra import add, bracket, div, mean, mul, neg, over, power, root
from nexortlang.derive.numbers import Family, Known
from nexortlang.derive.terms import (
    ONE,
    ZERO,
    Add,
    Applied,
    Bracket,
    Call,
    Index,
    Ket,
    Label,
    Mean,
    Mul,
    Num,
    Over,
    Pow,
    Sym,
    Term,
    is_random,
    letter,
    letters,
    position,
    size,
    walk,
)
from nexortlang.derive.translate import LETTERS, Scope, Translator, aligned
from nexortlang.derive.unwinding import (
    TooLong,
    Unwinding,
    combination,
    function_of_ket,
    is_open,
    positions,
    relettered,
    stem,
)

Sign = Literal["=", "≈", "~"]
PI = Sym(Label("π"))
_ODD = frozenset({"tanh", "erf", "sign", "sin"})
_MOST_FACTORS = 6
_SHORT = 14


class Kernels:
    """Closed forms, and the covariances that they need, each stated once."""

    def __init__(self, translator: Translator, known: Known) -> None:
        self._plain, self._known = translator, known
        self._unwinding = Unwinding(translator, known)
        self._asked: dict[tuple[int, int], tuple[Value, Value]] = {}
        self._values = self._unwinding.values
        self._by_stem: dict[object, Value] = {}
        self._angles: dict[Term, Sym] = {}
        self._extra: list[tuple[Term, list[tuple[Sign, Term]]]] = []
        self._spoken: dict[int, Inner | Avg] = {}

    # -- what is asked

    def evaluated(self, v: Inner | Avg, indices: Sequence[Index], right: Term) -> list[tuple[Sign, Term]]:
        """= E[…], written in Gaussian kets, = its closed form, for a scalar."""
        try:
            return self._of_integrand(self._integrand(v, indices), right)
        except TooLong:
            return []

    def law(self, v: Value, indices: Sequence[Index]) -> list[tuple[Sign, Term]]:
        """~ N(0, σ²) for a Gaussian ket."""
        ket = self._plain.entry(v, indices, Scope())
        if not isinstance(ket, Ket) or not self._known.is_gaussian(v):
            return []
        self._values[stem(ket)] = v
        variance = self._expanded(ket, ket)
        return [("~", Call("N", (ZERO, variance)))] if variance is not None else []

    def speak_of(self, v: Value) -> None:
        """There will be equations for the expectations that v's equation speaks of, as far as there is more to say of them."""
        for u in self._expectations(v):
            names = self._plain.names.labels
            if isinstance(u, Inner) and u.x.id in names and u.y.id in names:
                self._ask(u.x, u.y)
            else:
                self._spoken.setdefault(u.id, u)

    def _expectations(self, v: Value) -> Iterator[Inner | Avg]:
        """The unnamed ones that v is made of through unnamed scalars."""
        pending = list(operands(v))[::-1]
        while pending:
            u = pending.pop()
            if not u.type.is_scalar or u.id in self._plain.names.labels:
                continue
            if isinstance(u, Inner | Avg):
                yield u
            else:
                pending.extend(list(operands(u))[::-1])

    def stated(self) -> Iterator[tuple[Term, list[tuple[Sign, Term]]]]:
        """The expectations and covariances asked for, and those that these ask for in turn."""
        yield from self._new_angles()
        for v in self._spoken.values():
            indices = [letter(name) for name in LETTERS[: len(v.type.shape)]]
            indices = [Index((), 0) if n == 1 else i for n, i in zip(v.type.shape, indices, strict=True)]
            left = self._plain.entry(v, indices, Scope(frozenset(LETTERS[: len(indices)])))
            sides = self.evaluated(v, indices, left)
            if sides:
                yield left, sides
            yield from self._new_angles()
        done: set[tuple[int, int]] = set()
        while len(done) < len(self._asked):
            key = next(k for k in self._asked if k not in done)
            done.add(key)
            yield from self._statement(*self._asked[key])
            yield from self._new_angles()

    def _new_angles(self) -> Iterator[tuple[Term, list[tuple[Sign, Term]]]]:
        """The angles that came to be spoken of."""
        while self._extra:
            yield self._extra.pop(0)

    # -- statements

    def _statement(self, v: Value, w: Value) -> Iterator[tuple[Term, list[tuple[Sign, Term]]]]:
        big = [n != 1 for n in (*v.type.shape, *w.type.shape)]
        names = iter(LETTERS)
        at = [letter(next(names)) if b else Index((), 0) for b in big]
        i, j = at[: len(v.type.shape)], at[len(v.type.shape) :]
        scope = Scope(frozenset(LETTERS[: len(at)]))
        x, y = self._plain.entry(v, i, scope), self._plain.entry(w, j, scope)
        if not isinstance(x, Ket) or not isinstance(y, Ket):
            return
        left = Bracket(x, y)
        self._values |= {stem(k): u for k, u in ((x, v), (y, w)) if self._known.is_gaussian(u)}
        if self._known.is_gaussian(v) and self._known.is_gaussian(w):
            expanded = self._expanded(x, y)
            if expanded is not None and expanded != left:
                yield left, [("=", expanded)]
            return
        self._unwinding.start()
        try:
            sides = self._of_integrand(
                mul(self._unwinding.entry(v, i, scope), self._unwinding.entry(w, j, scope)), left
            )
        except TooLong:
            return
        if sides:
            yield left, sides

    def _integrand(self, v: Inner | Avg, indices: Sequence[Index]) -> Term:
        """What the expectation is of, in Gaussian kets."""
        self._unwinding.start()
        scope = Scope(frozenset(name for i in indices for name in i.letters))
        if isinstance(v, Avg):
            return self._unwinding.entry(v.x, indices, scope.at({slot: k for k, slot in enumerate(v.slots)}))
        return self._unwinding._contraction(v, indices, scope, inner=False)

    def _of_integrand(self, body: Term, right: Term) -> list[tuple[Sign, Term]]:
        sides: list[tuple[Sign, Term]] = []
        expectation, closed = mean(body), self._closed(body)
        if expectation != right and (closed is not None or self._is_plain(body)):
            sides.append(("=", expectation))
        if closed is not None and closed != right and closed != expectation:
            sides.append(("=", closed))
        return sides

    def _is_plain(self, body: Term) -> bool:
        """Whether a term is short, and of known Gaussians alone."""
        kets = [p for p in walk(body) if isinstance(p, Ket)]
        return size(body) <= _SHORT and all(stem(k) in self._values for k in kets)

    # -- expectations

    def _closed(self, body: Term) -> Term | None:
        """E[body] in closed form; what has none among independent factors stays an expectation."""
        match body:
            case Add(items=items):
                parts = [self._closed(i) for i in items]
                return None if any(p is None for p in parts) else add(*(p for p in parts if p is not None))
            case Over(op="sum", letter=name, body=inner):
                found = self._closed(inner)
                return None if found is None else over("sum", name, found)
            case Mul(items=items) if any(isinstance(i, Over) and is_random(i) for i in items):
                return self._closed_sum(items)
        factors = list(body.items) if isinstance(body, Mul) else [body]
        outside = [self._number(f) for f in factors if not is_random(f)]
        groups = self._groups([f for f in factors if is_random(f)])
        if groups is None:
            return None
        values = [self._group(g) for g in groups]
        if any(v == ZERO for v in values):
            return ZERO
        if all(v is None for v in values) and len(groups) <= 1:
            return None
        return mul(*outside, *(mean(mul(*g)) if v is None else v for v, g in zip(values, groups, strict=True)))

    def _number(self, f: Term) -> Term:
        """A factor, an expectation in closed form if it has one."""
        if isinstance(f, Pow):
            return power(self._number(f.base), f.exponent)
        found = self._closed(f.body) if isinstance(f, Mean) and not f.copies else None
        return f if found is None else found

    def _closed_sum(self, items: Sequence[Term]) -> Term | None:
        """E of a product with sums in it: one sum at a time, its letter another one where that is taken."""
        k = next(k for k, i in enumerate(items) if isinstance(i, Over) and is_random(i))
        total = items[k]
        assert isinstance(total, Over)
        rest = (*items[:k], *items[k + 1 :])
        if total.op != "sum" or any(isinstance(i, Over) and i.letter == total.letter for i in rest):
            return None
        if any(total.letter in letters(i) for i in rest):
            return None
        found = self._closed(mul(total.body, *rest))
        return None if found is None else over("sum", total.letter, found)

    def _groups(self, factors: Sequence[Term]) -> list[list[Term]] | None:
        """The factors in groups that are independent of each other; None if one is no function of known Gaussians."""
        parts: list[tuple[set[object], list[Term]]] = []
        for f in factors:
            kets = [k for k in walk(f) if isinstance(k, Ket)]
            if any(stem(k) not in self._values for k in kets) or any(
                isinstance(p, Mean | Call) and is_open(p) for p in walk(f)
            ):
                return None
            own: set[object] = {(g, k.copy) for k in kets for g in self._families(k) or ()}
            joined = [p for p in parts if p[0] & own]
            parts = [p for p in parts if not p[0] & own]
            parts.append((own.union(*(p[0] for p in joined)), [t for p in joined for t in p[1]] + [f]))
        return [terms for _, terms in parts]

    def _families(self, k: Ket) -> frozenset[Family] | None:
        """Groups of Gaussian roots that a ket is made of; None where they are not known."""
        value = self._values.get(stem(k)) or self._value_of(k)
        return None if value is None else self._known.families(value)

    def _group(self, factors: Sequence[Term]) -> Term | None:
        """E of a product of functions of correlated Gaussians."""
        flat: list[Term] = []
        for f in factors:
            if isinstance(f, Pow) and isinstance(f.exponent, Num) and f.exponent.value in range(1, _MOST_FACTORS + 1):
                flat += [f.base] * int(f.exponent.value)
            else:
                flat.append(f)
        if len(flat) > _MOST_FACTORS:
            return None
        kets = [f for f in flat if isinstance(f, Ket)]
        functions = [pair for f in flat if not isinstance(f, Ket) if (pair := function_of_ket(f)) is not None]
        if len(kets) + len(functions) != len(flat):
            return None
        if not functions:
            return self._wick(kets)
        if len(flat) > 2:
            return None
        if len(functions) == 2:
            return self._pair(*functions)
        ((name, g),) = functions
        return self._stein(name, g, kets[0]) if kets else self._single(name, g)

    def _wick(self, kets: Sequence[Ket]) -> Term:
        """The sum over all pairings."""
        if not kets:
            return ONE
        if len(kets) % 2:
            return ZERO
        first, rest = kets[0], kets[1:]
        return add(
            *(mul(self.covariance(first, b), self._wick([*rest[:k], *rest[k + 1 :]])) for k, b in enumerate(rest))
        )

    def _single(self, name: str, g: Ket) -> Term | None:
        if name in _ODD:
            return ZERO
        q = self.covariance(g, g)
        formulas: dict[str, Callable[[], Term]] = {
            "relu": lambda: root(div(q, mul(Num(2.0), PI))),
            "abs": lambda: root(div(mul(Num(2.0), q), PI)),
            "step": lambda: Num(0.5),
            "exp": lambda: Call("exp", (div(q, Num(2.0)),)),
            "cos": lambda: Call("exp", (neg(div(q, Num(2.0))),)),
        }
        return formulas[name]() if name in formulas else None

    def _stein(self, name: str, g: Ket, u: Ket) -> Term | None:
        """E u f(g) = Cov(u, g) E f′(g)."""
        c, q = self.covariance(u, g), self.covariance(g, g)
        formulas: dict[str, Callable[[], Term]] = {
            "relu": lambda: Num(0.5),
            "sign": lambda: root(div(Num(2.0), mul(PI, q))),
            "step": lambda: div(ONE, root(mul(Num(2.0), PI, q))),
            "erf": lambda: div(Num(2.0), root(mul(PI, add(ONE, mul(Num(2.0), q))))),
            "exp": lambda: Call("exp", (div(q, Num(2.0)),)),
            "abs": lambda: ZERO,
            "sin": lambda: Call("exp", (neg(div(q, Num(2.0))),)),
            "cos": lambda: ZERO,
        }
        return mul(c, formulas[name]()) if name in formulas else None

    def _pair(self, f: tuple[str, Ket], g: tuple[str, Ket]) -> Term | None:
        (name, a), (other, b) = f, g
        if name != other:
            return None
        q, p, c = self.covariance(a, a), self.covariance(b, b), self.covariance(a, b)
        two = Num(2.0)
        if a == b and name in ("relu", "step", "sign", "abs"):
            return {"relu": mul(Num(0.5), q), "step": Num(0.5), "sign": ONE, "abs": q}[name]
        match name:
            case "relu":
                θ = self._angle(c, q, p, a, b)
                shape = add(Call("sin", (θ,)), mul(add(PI, neg(θ)), Call("cos", (θ,))))
                return div(mul(root(mul(q, p)), shape), mul(two, PI))
            case "step":
                return div(add(PI, neg(self._angle(c, q, p, a, b))), mul(two, PI))
            case "sign":
                return mul(div(two, PI), Call("arcsin", (div(c, root(mul(q, p))),)))
            case "abs":
                ρ = div(c, root(mul(q, p)))
                shape = add(root(add(ONE, neg(power(ρ, two)))), mul(ρ, Call("arcsin", (ρ,))))
                return mul(div(two, PI), root(mul(q, p)), shape)
            case "erf":
                below = root(mul(add(ONE, mul(two, q)), add(ONE, mul(two, p))))
                return mul(div(two, PI), Call("arcsin", (div(mul(two, c), below),)))
            case "exp":
                return Call("exp", (mul(Num(0.5), add(q, mul(two, c), p)),))
            case "sin" | "cos":
                damping = Call("exp", (neg(mul(Num(0.5), add(q, p))),))
                return mul(damping, Call("sinh" if name == "sin" else "cosh", (c,)))
        return None

    def _angle(self, c: Term, q: Term, p: Term, a: Ket, b: Ket) -> Sym:
        """θ with cos θ = c/√(q p), named once."""
        cosine = div(c, root(mul(q, p)))
        if cosine not in self._angles:
            fresh = self._plain.names.fresh("θ") if self._angles or "θ" in self._plain.names.taken else "θ"
            at = tuple(dict.fromkeys(i for k in (a, b) for label in _labels(k) for i in label.indices))
            self._angles[cosine] = Sym(Label(fresh, None, at))
            self._extra.append((self._angles[cosine], [("=", Call("arccos", (cosine,)))]))
        return self._angles[cosine]

    # -- covariances

    def covariance(self, a: Ket, b: Ket) -> Term:
        """E of the product of two Gaussian kets: 0, a number, or a bracket, for which there will be an equation."""
        v, w = self._values[stem(a)], self._values[stem(b)]
        families, other_families = self._families(a), self._families(b)
        if a.copy != b.copy or (families is not None and other_families is not None and not families & other_families):
            return ZERO
        if isinstance(v, InitVector) and isinstance(w, InitVector):
            found = self._expanded(a, b)
            if found is not None:
                return found
        self._ask(v, w)
        return bracket(a, b)

    def _ask(self, v: Value, w: Value) -> None:
        key = (v.id, w.id) if v.id <= w.id else (w.id, v.id)
        self._asked.setdefault(key, (v, w) if v.id <= w.id else (w, v))

    def _expanded(self, a: Ket, b: Ket) -> Term | None:
        """The covariance of two Gaussian kets by what they are."""
        v, w = self._values.get(stem(a)), self._values.get(stem(b))
        if v is None or w is None:
            return None
        i, j = positions(v, a), positions(w, b)
        if isinstance(v, MatMul) and isinstance(w, MatMul):
            return self._hats(v, w, i, j)
        if isinstance(v, InitVector) and v is w:
            return self._draws(v, i, j)
        return self._linear(v, w, i, j)

    def _value_of(self, k: Ket) -> Value | None:
        """The value behind a ket of the program."""
        if not self._by_stem:
            for v in self._known.live:
                label = self._plain.names.labels.get(v.id)
                if label is not None and v.type.is_vector:
                    self._by_stem[label.name, label.step] = v
                if isinstance(v, MatMul):
                    indices = [letter(name) for name in LETTERS[: len(v.type.shape)]]
                    ket = self._plain.product(v, indices, Scope(frozenset(LETTERS)))
                    self._by_stem |= {stem(ket): v} if isinstance(ket, Ket) else {}
        return self._by_stem.get(stem(k))

    def _hats(self, v: MatMul, w: MatMul, i: Sequence[Index], j: Sequence[Index]) -> Term | None:
        """s ⟨x|x′⟩, for the transpose times n/m."""
        if v.matrix is not w.matrix or v.transposed != w.transposed:
            return None
        members = np.unique(v.members), np.unique(w.members)
        if any(m.size != 1 for m in members):
            return None
        if members[0] != members[1]:
            return ZERO
        if not self._known.is_hat(v) or not self._known.is_hat(w):
            return None
        scope = Scope(frozenset(name for at in (*i, *j) for name in at.letters))
        x = self._plain.entry(v.x, aligned(v.x.type.shape, v.type.shape, i), scope)
        y = self._plain.entry(w.x, aligned(w.x.type.shape, w.type.shape, j), scope)
        self._ask(v.x, w.x)
        ratio = float(v.matrix.rows.ratio / v.matrix.cols.ratio) if v.transposed else 1.0
        return mul(Num(ratio), self._plain.spread(v.matrix, self._member(v)), mean(mul(x, y)))

    def _member(self, v: MatMul) -> list[Index]:
        """The positions of the one member of its family that acts in v."""
        at = np.unravel_index(int(v.members.flat[0]), v.matrix.shape) if v.matrix.shape else ()
        return [position(int(k)) for k in at]

    def _draws(self, v: InitVector, i: Sequence[Index], j: Sequence[Index]) -> Term | None:
        if v.covariance is not None:
            return (
                self._plain.number(v, "covariance", v.covariance, [i[-1], j[-1]])
                if list(i[:-1]) == list(j[:-1])
                else None
            )
        if list(i) == list(j):
            return self._plain.number(v, "variance", v.variance, i)
        if all(a.number is not None and b.number is not None for a, b in zip(i, j, strict=True)):
            return ZERO
        return None

    def _linear(self, v: Value, w: Value, i: Sequence[Index], j: Sequence[Index]) -> Term | None:
        """Of two sums of combinations of draws and hats, bilinear."""
        scope = Scope(frozenset(name for at in (*i, *j) for name in at.letters))
        sides: list[list[tuple[list[str], Term, Ket]]] = []
        for u, at in ((v, i), (w, j)):
            has_law = isinstance(u, InitVector | MatMul)
            term = self._plain.entry(u, at, scope) if has_law else self._plain.written_out(u, at, scope)
            found = [combination(part) for part in (term.items if isinstance(term, Add) else (term,))]
            if any(c is None for c in found):
                return None
            sides.append([c for c in found if c is not None])
        parts = [self._of_combinations(a, b) for a in sides[0] for b in sides[1]]
        return None if any(p is None for p in parts) else add(*(p for p in parts if p is not None))

    def _of_combinations(self, a: tuple[list[str], Term, Ket], b: tuple[list[str], Term, Ket]) -> Term | None:
        """Σ_k a_k b_k times a variance for the same initial vectors, a factor times ⟨x|x′⟩ for two hats, 0 for what is independent."""
        (names, factor, ket), (others, other_factor, other_ket) = a, b
        v, w = self._value_of(ket), self._value_of(other_ket)
        if v is None or w is None:
            return None
        families, other_families = self._families(ket), self._families(other_ket)
        if families is None or other_families is None:
            return None
        if not families & other_families:
            return ZERO
        if len(names) != len(others):
            return None
        change = dict(zip(others, names, strict=True))
        other_factor, moved = relettered(other_factor, change), relettered(other_ket, change)
        assert isinstance(moved, Ket)
        found: Term | None = None
        if isinstance(v, MatMul) and isinstance(w, MatMul) and not names:
            found = self._hats(v, w, positions(v, ket), positions(w, moved))
        elif isinstance(v, InitVector) and v is w and (not names or ket == moved):
            found = (
                self._draws(v, positions(v, ket), positions(v, moved)) if not names or v.covariance is None else None
            )
        elif not names and not isinstance(v, InitVector | MatMul) and not isinstance(w, InitVector | MatMul):
            self._ask(v, w)
            found = bracket(ket, moved)
        if found is None:
            return None
        term = mul(factor, other_factor, found)
        for name in names:
            term = over("sum", name, term)
        return term


def _labels(k: Ket) -> tuple[Label, ...]:
    return (k.head.operand,) if isinstance(k.head, Applied) else (k.head,)
