"""Core as text: valid .nxt with the same limit and the same meaning at finite width, one instruction a line.

In: a program. Out: its text. Guarantees: every name is unique, every number exact; what no `show` or `assert` needs is left out. Values over
the slots 0 and 1 are printed in index notation, G[i, j] = …; values over more slots stand inside the avg[…] that consumes them, and a
Rename is the choice of index letters. Shows of a loop's passes come one after the other; a comment says which are one series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import prod

import numpy as np

from nexortlang.core.dependencies import reachable
from nexortlang.core.program import (
    Assertion,
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
    Program,
    Reduce,
    Rename,
    Scale,
    Show,
    Value,
    Width,
    operands,
)
from nexortlang.core.surface_text import (
    INDEX_NAMES,
    Names,
    array,
    as_name,
    number,
    positions,
    rearranged,
    sizes,
    spread,
    uniform_or_array,
)
from nexortlang.entrywise.ops import OPS

Letters = Mapping[int, str]


def to_nxt(program: Program) -> str:
    """The program as .nxt text."""
    return "".join(f"{line}\n" for line in _Printer(program).lines())


class _Printer:
    def __init__(self, program: Program) -> None:
        self.program = program
        targets = [s.value for s in program.shows]
        targets += [side for a in program.assertions for side in (a.value, a.target)]
        self.live = reachable(targets)
        names = Names()
        self.widths: dict[Width, str] = {w: names.fresh(w.name, "n") for w in program.widths}
        used = {v.matrix: None for v in self.live if isinstance(v, MatMul)}
        self.matrices: dict[Matrix, str] = {m: names.fresh(m.name, "W") for m in program.matrices if m in used}
        readers = Counter(a.id for v in self.live for a in operands(v)) + Counter(v.id for v in targets)
        bracketed = {v.x.id for v in self.live if isinstance(v, Fluctuation) and _bracket(v.x) and readers[v.x.id] == 1}
        lines = [v for v in self.live if _has_line(v) and v.id not in bracketed]
        self.names = {v.id: names.fresh(_hint(v), _kind(v)) for v in lines}

    def lines(self) -> Iterator[str]:
        first = self.program.widths[0] if self.program.widths else None
        for width, name in self.widths.items():
            yield f"width {name}" + ("" if width == first else self._ratio(width.ratio))
        yield from (self._matrix(m, name) for m, name in self.matrices.items())
        for v in self.live:
            if v.id in self.names:
                yield self._statement(v)
        yield from self._shows()
        yield from map(self._assertion, self.program.assertions)

    # -- declarations

    def _ratio(self, ratio: Fraction) -> str:
        if ratio == 1:
            return ""
        times = f"{ratio.numerator} * " if ratio.numerator != 1 else ""
        return f" = {times}{self._n}" + (f" / {ratio.denominator}" if ratio.denominator != 1 else "")

    @property
    def _n(self) -> str:
        return next(iter(self.widths.values()))

    def _matrix(self, m: Matrix, name: str) -> str:
        dims = ", ".join([self.widths[m.rows], self.widths[m.cols], *map(str, m.shape)])
        return f"{name}[{dims}] ~ {m.law}(0, {uniform_or_array(m.variance)} / {self.widths[m.cols]})"

    def _draw(self, v: InitVector | InitScalar, name: str) -> str:
        widths = [self.widths[w] for _, w in v.type.axes]
        level = _constant_level(v)
        if level is not None:
            return f"{name} = {'ones' if level else 'zeros'}({', '.join([*widths, *map(str, v.type.shape)])})"
        covariance = v.covariance if isinstance(v, InitVector) else None
        mean = uniform_or_array(v.mean)
        variance = uniform_or_array(v.variance) if covariance is None else array(covariance)
        parameters = mean if v.law == "bernoulli" else f"{mean}, {variance}"
        dims = ", ".join([*widths, *map(str, v.type.shape)])
        return f"{name}[{dims}] ~ {v.law}({parameters})" if dims else f"{name} ~ {v.law}({parameters})"

    # -- statements

    def _statement(self, v: Value) -> str:
        name = self.names[v.id]
        match v:
            case Const():
                return f"const {name} = {array(v.array)}"
            case InitVector() | InitScalar():
                return self._draw(v, name)
        if _is_plain(v):
            return f"{name} = {self._expression(v, {})}"
        letters = dict(zip(v.type.slots, INDEX_NAMES, strict=False))
        return f"{name}[{', '.join(letters.values())}] = {self._expression(v, letters)}"

    def _shows(self) -> Iterator[str]:
        """Every show, and before the first of a series that it is one."""
        counts = Counter(show.statement for show in self.program.shows)
        for show in self.program.shows:
            if (count := counts.pop(show.statement, 1)) > 1:
                yield f"# one series: the {count} values of {as_name(show.name)}"
            yield self._show(show)

    def _show(self, show: Show) -> str:
        text = self._atom(show.value, {})
        form = {"distribution": "dist({})", "covariance": "cov({})", "scalar": "{}"}[show.kind].format(text)
        return f"show {form}" + ("" if show.name == form else f" as {as_name(show.name)}")

    def _assertion(self, a: Assertion) -> str:
        tolerance = uniform_or_array(a.tolerance)
        return f"assert {self._atom(a.value, {})} ~= {self._atom(a.target, {})} within {tolerance}"

    # -- expressions

    def _atom(self, v: Value, letters: Letters) -> str:
        """A value as an operand. `letters` names its slots; {} where widths are not written."""
        match v:
            case Const(array=values) if values.ndim == 0:
                return number(float(values))
            case Rename(x=x, slots=slots):
                return self._atom(x, {old: letters[new] for old, new in slots} if letters else {})
        if v.id not in self.names:
            return f"({self._expression(v, letters)})"
        name = self.names[v.id]
        indices = [letters[slot] for slot in v.type.slots] if letters else []
        return f"{name}[{', '.join(indices)}]" if indices else name

    def _expression(self, v: Value, letters: Letters) -> str:
        match v:
            case Map(op="mul", args=(Const(array=c), Fluctuation(x=x))) if c.ndim == 0 and c == _per_first_width(x):
                return self._fluctuation(x)
            case Map():
                return self._map(v, letters)
            case Avg(x=x, slots=slots):
                return self._average(x, slots, letters)
            case MatMul():
                return f"{self._members(v)} @ {self._atom(v.x, {})}"
            case Inner():
                return self._inner(v)
            case Fluctuation(x=x):
                text = self._fluctuation(x)
                ratio = x.type.width.ratio
                return text if ratio == 1 else f"{number(float(ratio) ** 0.5)} * ({text})"
            case Gather(x=x, index=index):
                return self._gather(x, index, letters)
            case Concat(args=args):
                return self._concat(args, letters)
            case Reduce(op=op, x=x, axis=axis):
                return f"{op}({self._atom(x, letters)}, axis={axis})"
            case Einsum():
                return self._einsum(v, letters)
            case Scale(x=x, exponent=exponent) | FirstOrder(x=x, exponent=exponent):
                return f"{_power_of(self._n, exponent)} * {self._atom(x, letters)}"
            case _:
                raise AssertionError(f"{type(v).__name__} is no expression")

    def _map(self, v: Map, letters: Letters) -> str:
        args = [self._atom(a, letters) for a in v.args]
        op = OPS[v.op]
        if op.infix:
            return f"{args[0]} {op.infix} {args[1]}"
        if v.op in ("neg", "not"):
            return f"{'-' if v.op == 'neg' else 'not '}{args[0]}"
        return f"{v.op}({', '.join(args)})"

    def _average(self, x: Value, slots: tuple[int, ...], letters: Letters) -> str:
        if _is_plain(x):
            return f"avg({self._atom(x, {})})"
        free = [name for name in INDEX_NAMES if name not in letters.values()]
        inner = {**{s: letters[s] for s in x.type.slots if s not in slots}, **dict(zip(slots, free, strict=False))}
        return f"avg[{', '.join(inner[s] for s in slots)}]({self._atom(x, inner)})"

    def _members(self, v: MatMul) -> str:
        """The matrix, or its members, as they are applied."""
        name, shape = self.matrices[v.matrix], v.matrix.shape
        whole = np.array_equal(v.members, np.arange(prod(shape)).reshape(shape))
        if shape and not whole:
            index = np.unravel_index(v.members, shape)
            name += "[" + ", ".join(positions(np.asarray(axis)) for axis in index) + "]"
        return f"{name}.T" if v.transposed else name

    def _fluctuation(self, x: Value) -> str:
        sides = _bracket(x)
        if sides and x.id not in self.names:
            return f"sqrt({self._n}) * <{self._atom(sides[0], {})}|{self._atom(sides[1], {})}>"
        return f"sqrt({self._n}) * avg({self._atom(x, {})})"

    # -- finite axes

    def _gather(self, x: Value, index: np.ndarray, letters: Letters) -> str:
        text, shape = self._atom(x, letters), x.type.shape
        if index.shape == (1,) and not shape:
            return f"[{text}]"
        if not shape:  # one entry, repeated
            return f"{text} + zeros({sizes(index.shape)})" if index.shape else text
        if index.size == 0:
            return f"reshape({text}, {prod(shape)})[0:0] + zeros({sizes(index.shape)})"
        return rearranged(text, shape, index)

    def _concat(self, args: tuple[Value, ...], letters: Letters) -> str:
        size = sum(prod(a.type.shape) for a in args)
        same_shape = len({a.type.shape for a in args}) == 1
        if same_shape and len({bool(a.type.axes) for a in args}) == 1:
            stacked = f"[{', '.join(self._atom(a, letters) for a in args)}]"
            return stacked if not args[0].type.shape else f"reshape({stacked}, {size})"
        if len({a.type.axes for a in args}) == 1:
            return f"concatenate({', '.join(self._flat(a, letters) for a in args)})"
        carrier = next((self._entry(a, letters, 0) for a in args if a.type.axes), "")
        entries = []
        for a in args:
            lift = f" + 0 * {carrier}" if carrier and not a.type.axes else ""
            entries += [self._entry(a, letters, k) + lift for k in range(prod(a.type.shape))]
        return f"[{', '.join(entries)}]"

    def _flat(self, v: Value, letters: Letters) -> str:
        """v with one finite axis."""
        text, shape = self._atom(v, letters), v.type.shape
        if not shape:
            return f"[{text}]"
        return text if len(shape) == 1 else f"reshape({text}, {prod(shape)})"

    def _entry(self, v: Value, letters: Letters, k: int) -> str:
        """One finite entry of v."""
        text, shape = self._atom(v, letters), v.type.shape
        if not shape:
            return text
        return f"{text}[{', '.join(str(int(c)) for c in np.unravel_index(k, shape))}]"

    def _inner(self, v: Inner) -> str:
        inputs, out = v.spec.split("->")
        if inputs.replace(",", "") == out and len(set(out)) == len(out):
            return f"<{self._atom(v.x, {})}|{self._atom(v.y, {})}>"
        return f"avg({self._contraction(v.spec, self._atom(v.x, {}), self._atom(v.y, {}))})"

    def _contraction(self, spec: str, x: str, y: str) -> str:
        """sum(x * y), every letter an axis of its own."""
        inputs, out = spec.split("->")
        left, right = inputs.split(",")
        summed = [letter for letter in dict.fromkeys(left + right) if letter not in out]
        target = [*out, *summed]
        text = f"{spread(x, left, target)} * {spread(y, right, target)}"
        for _ in summed:
            text = f"sum({text}, axis=-1)"
        return text

    def _einsum(self, v: Einsum, letters: Letters) -> str:
        inputs, out = v.spec.split("->")
        left, right = inputs.split(",")
        x, y = v.x, v.y
        if not x.type.axes and y.type.axes:  # x @ A has the array on the right
            x, y, left, right = y, x, right, left
        summed = [letter for letter in left if letter in right and letter not in out]
        alone = set(left + right) - set(out) - set(summed)
        batch = [letter for letter in left if letter in right and letter in out]
        x_text, y_text = self._atom(x, letters), self._atom(y, letters)
        if not summed or alone or batch or y.type.axes:
            return self._contraction(f"{left},{right}->{out}", x_text, y_text)
        kept = [letter for letter in left if letter not in summed]
        new = [letter for letter in right if letter not in summed]
        length = dict(zip(left + right, x.type.shape + y.type.shape, strict=True))
        fold = len(summed) > 1 or (not x.type.axes and (len(kept) > 1 or len(new) > 1))
        bra = _arranged(x_text, left, kept, summed, length, fold)
        ket = _arranged(y_text, right, summed, new, length, fold)
        text = f"{bra} @ {ket}"
        natural = [*kept, *new]
        if fold and len(natural) > (1 if not kept or not new else 2):
            text = f"reshape({text}, {sizes(length[letter] for letter in natural)})"
        order = [natural.index(letter) for letter in out]
        return text if order == sorted(order) else f"transpose({text}, {sizes(order)})"


def _arranged(x: str, labels: str, first: list[str], last: list[str], length: Mapping[str, int], fold: bool) -> str:
    """x with the axes `first`, then `last`, each group folded into one axis if asked for."""
    x = spread(x, labels, [*first, *last])
    if not fold or (len(first) <= 1 and len(last) <= 1):
        return x
    groups = [prod(length[letter] for letter in group) for group in (first, last) if group]
    return f"reshape({x}, {sizes(groups)})"


# ---------------------------------------------------------------------------- what is printed how


def _is_plain(v: Value) -> bool:
    """Scalars and vectors are written without indices; an Avg that is not over a vector needs them."""
    if isinstance(v, Avg) and not v.x.type.is_vector:
        return not v.type.axes
    return v.type.is_scalar or v.type.is_vector


def _has_line(v: Value) -> bool:
    match v:
        case Const(array=values):
            return values.ndim > 0
        case Rename():
            return False
        case Fluctuation(x=x):
            return x.type.width.ratio == 1
        case _:
            return len(v.type.axes) <= 2


def _bracket(x: Value) -> tuple[Value, Value] | None:
    """The two vectors whose product x is, if their inner product has x's entries."""
    match x:
        case Map(op="mul", args=(a, c)) if a.type.is_vector and c.type.is_vector and () in (a.type.shape, c.type.shape):
            return a, c
        case _:
            return None


def _per_first_width(x: Value) -> float:
    """What makes √n · avg(x), n the first width, of the Fluctuation, whose factor is the root of x's own width."""
    return float(x.type.width.ratio) ** -0.5


def _constant_level(v: Value) -> float | None:
    """1 for ones(n), 0 for zeros(n), None for other draws."""
    if not isinstance(v, InitVector) or v.law != "normal" or v.variance.any() or not v.mean.size:
        return None
    level = float(v.mean.reshape(-1)[0])
    return level if level in (0.0, 1.0) and (v.mean == level).all() else None


def _hint(v: Value) -> str:
    constant = isinstance(v, InitVector) and v.name in ("zeros", "ones")
    return v.name.removesuffix("s") if constant else v.name


def _kind(v: Value) -> str:
    if isinstance(v, Const):
        return "A"
    return ("c", "x", "G")[len(v.type.axes)]


def _power_of(n: str, exponent: Fraction) -> str:
    if exponent == 1:
        return n
    return f"{n}^{exponent}" if exponent.denominator == 1 and exponent > 0 else f"{n}^({exponent})"
