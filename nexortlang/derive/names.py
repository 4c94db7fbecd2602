"""What values are called in a derivation, and which of them have an equation of their own.

In: a core program, the values that count, the named consts. Out: `Names`: a label for every value that has an equation, for consts and matrices.
A source name that stands for several values, one after the other, counts them: h₀, h₁, … Values that the source does not name are written
out where they are used, unless they are long and used more than once, or a matrix is applied to them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from nexortlang.core.program import (
    Concat,
    Const,
    Einsum,
    Gather,
    InitScalar,
    InitVector,
    Map,
    MatMul,
    Matrix,
    OptimizerCall,
    Program,
    Reduce,
    Rename,
    Scale,
    Value,
    operands,
)
from nexortlang.derive.terms import Index, Label
from nexortlang.entrywise.ops import OPS

_LONG = 4
_VERY_LONG = 14


@dataclass(slots=True)
class Names:
    """`labels`: value id → label without indices. `arrays`: the consts that are written by name. `tables`: lists of positions."""

    labels: dict[int, Label]
    consts: Mapping[str, np.ndarray]
    taken: set[str]
    matrices: dict[Matrix, Label] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, np.ndarray] = field(default_factory=dict)

    def fresh(self, hint: str) -> str:
        """A name that nothing has, of the hint with a number."""
        number = 1
        while f"{hint}{number}" in self.taken:
            number += 1
        self.taken.add(f"{hint}{number}")
        return f"{hint}{number}"

    def array(self, array: np.ndarray, indices: Sequence[Index]) -> tuple[Label, float]:
        """An array as a factor times a label: a const of the source, perhaps with its axes in another order, or an array named here."""
        for name, known in (*self.consts.items(), *self.arrays.items()):
            for order in permutations(range(array.ndim)) if array.ndim <= 3 else ():
                if known.ndim == array.ndim and known.shape == tuple(array.shape[k] for k in order):
                    factor = _ratio(array.transpose(order), known)
                    if factor is not None:
                        self.arrays[name] = known
                        return Label(name, None, tuple(indices[k] for k in order)), factor
        name = self.fresh("A")
        self.arrays[name] = array
        return Label(name, None, tuple(indices)), 1.0

    def table(self, values: np.ndarray, index: Index) -> Index:
        """A position that no formula gives."""
        name = next((n for n, known in self.tables.items() if np.array_equal(known, values)), "")
        if not name:
            name = self.fresh("σ")
            self.tables[name] = values
        return Index(index.parts, index.offset, name)


def _ratio(array: np.ndarray, known: np.ndarray) -> float | None:
    """array / known where that is one number, of a few that are worth to be written."""
    if np.array_equal(array, known):
        return 1.0
    if not known.any():
        return None
    first = np.unravel_index(int(np.argmax(np.abs(known))), known.shape)
    factor = float(array[first] / known[first])
    return factor if factor and np.allclose(array, factor * known, rtol=1e-14, atol=0.0) else None


def named(program: Program, live: Sequence[Value], consts: Mapping[str, np.ndarray]) -> Names:
    """Names for what is live."""
    hidden = _inside_optimizers(program.optimizer_calls)
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for v in program.values:
        if _has_name(v) and (v.id not in hidden or not operands(v)):
            versions[v.name].append(v.id)
    steps = {i: (name, k) for name, ids in versions.items() for k, i in enumerate(ids)}
    taken = {*versions, *consts, *(m.name for m in program.matrices), *(w.name for w in program.widths)}
    names = Names({}, consts, taken)
    count = Counter(m.name for m in program.matrices)
    seen: Counter[str] = Counter()
    for m in program.matrices:
        step = seen[m.name] if count[m.name] > 1 else 0 if m in program.trained else None
        names.matrices[m] = Label(m.name, step)
        seen[m.name] += 1
    _label_shown(program, names, steps)
    wanted = _wanted(live, set(names.labels), hidden, program.optimizer_calls)
    for v in live:
        if v.id in steps:
            name, step = steps[v.id]
            names.labels[v.id] = Label(name, step if len(versions[name]) > 1 else None)
        elif v.id in wanted and v.id not in names.labels:
            names.labels[v.id] = Label(names.fresh("t" if v.type.axes else "c"))
    return names


def _label_shown(program: Program, names: Names, steps: Mapping[int, tuple[str, int]]) -> None:
    """`show … as K` names what it shows; several such shows count."""
    aliases: defaultdict[str, list[int]] = defaultdict(list)
    for show in program.shows:
        known = show.value.id in steps or isinstance(show.value, Const)
        if show.name.isidentifier() and not known and show.value.id not in aliases[show.name]:
            aliases[show.name].append(show.value.id)
    for name, ids in aliases.items():
        free = name not in names.taken
        names.taken.add(name)
        for k, i in enumerate(ids):
            label = Label(name, k if len(ids) > 1 else None) if free else Label(names.fresh(name))
            names.labels.setdefault(i, label)


def _has_name(v: Value) -> bool:
    if isinstance(v, InitVector | InitScalar):
        return True
    return bool(v.name) and v.type.slots in ((), (0,)) and not isinstance(v, Const | Rename)


def _inside_optimizers(calls: Iterable[OptimizerCall]) -> set[int]:
    """What an optimizer computes on its way has no equation: its function is stated once."""
    return {i for call in calls for i in range(call.first, call.last)}


def _wanted(live: Sequence[Value], shown: set[int], hidden: set[int], calls: Iterable[OptimizerCall]) -> set[int]:
    """Values without a name that need one: operands of matrices, preactivations, and what is very long, or long and used more than once."""
    users: Counter[int] = Counter(a.id for v in live for a in set(operands(v)))
    found, length = set[int](), dict[int, int]()
    summands = _summands(live)
    steps_of_optimizers = {call.result.id for call in calls}
    for v in live:
        if v.id in steps_of_optimizers:
            length[v.id] = 2
            continue
        parts = [length[a.id] for a in operands(v)]
        own = 1 if _is_leaf(v) else 1 + (max(parts, default=0) if isinstance(v, Concat) else sum(parts))
        length[v.id] = own
        if isinstance(v, MatMul) and not isinstance(operand := _rearranged(v.x), InitVector):
            found.add(operand.id)
        if isinstance(v, Map) and OPS[v.op].power == "zero" and v.id not in hidden:
            found |= {a.id for a in v.args if _is_combination(a)}
        if (
            v.id in summands
            or v.id in hidden
            or len(v.type.axes) > 1
            or isinstance(v, Const | Rename | Gather | Concat)
        ):
            continue
        if own > _VERY_LONG or (users[v.id] > 1 and own > _LONG):
            found.add(v.id)
        if v.id in found or v.id in shown:
            length[v.id] = 1
    return found


def _rearranged(v: Value) -> Value:
    """What v is a rearrangement of."""
    while isinstance(v, Gather | Rename | Scale) or (isinstance(v, Map) and v.op == "stop"):
        v = v.args[0] if isinstance(v, Map) else v.x
    return v


def _summands(live: Sequence[Value]) -> set[int]:
    """What is used in sums alone, and once: it stays a part of them."""
    users: defaultdict[int, list[Value]] = defaultdict(list)
    for v in live:
        for a in operands(v):
            users[a.id].append(v)
    found = set[int]()
    for i in users:
        by = users[i]
        while len(by) == 1 and isinstance(by[0], Rename | Scale):
            by = users.get(by[0].id, [])
        if len(by) == 1 and isinstance(by[0], Map) and by[0].op in ("add", "sub"):
            found.add(i)
    return found


def _is_combination(v: Value) -> bool:
    """A preactivation: a sum of kets, which a nonlinear function is applied to."""
    if not v.type.is_vector or v.name:
        return False
    return isinstance(v, Einsum | Reduce) or (isinstance(v, Map) and v.op in ("add", "sub"))


def _is_leaf(v: Value) -> bool:
    """Whether a value is one symbol in an equation."""
    match v:
        case Const() | InitVector() | InitScalar() | MatMul():
            return True
        case Gather(x=x) | Rename(x=x) | Scale(x=x) | Map(op="stop", args=(x,)):
            return _is_leaf(x)
        case Einsum():
            return False
    return bool(v.name) and len(v.type.axes) <= 1


def whole(shape: Sequence[int], indices: Sequence[Index]) -> tuple[Index, ...]:
    """The indices of a label: axes of size 1 have none."""
    return tuple(i for i, n in zip(indices, shape, strict=True) if n != 1)
