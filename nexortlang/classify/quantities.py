"""The activations and outputs of a training program: what its losses are computed from.

In: a program and its trace. Out: evaluations, one for every loss and everything shown, in program order, each with the values that stand in it for
the program's quantities. A quantity is the same activation before and after training, on whatever data: values that would be equal without
training, or that have the same name or place in the source.

Outputs are the scalars that a loss is computed from: averages over a width, under the name that the source gives them. Activations are what the
outputs are computed from: arguments of nonlinear functions, products with matrices, named vectors, the kets that outputs average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from nexortlang.classify.start import Start
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
    Reduce,
    Scale,
    Value,
    operands,
)
from nexortlang.elaborate.trace import Trace
from nexortlang.entrywise.ops import OPS

Role: TypeAlias = Literal["activation", "output"]
Place: TypeAlias = tuple[str, int, int]
"""A source and a place in it, or a name."""

_LONGEST = 40


@dataclass(slots=True, eq=False)
class Quantity:
    """`is_argument`: a nonlinear function is applied to it, so that it must be of order 1. `label`: its name, or its source text."""

    label: str
    role: Role
    is_argument: bool
    is_vector: bool


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One computation of a loss, or of something shown. `values` are all it needs, gradients apart; `found` those of the quantities, in program order."""

    root: Value
    values: list[Value]
    found: dict[Quantity, Value]


class Quantities:
    """All quantities in order of appearance, and the evaluations."""

    def __init__(self, trace: Trace, start: Start) -> None:
        self._trace, self._start, self._pure = trace, start, start.pure
        self._trained = {g.name for g in trace.gradients.values()}
        self._by_start: dict[int | None, list[tuple[Place, Quantity]]] = {}
        self._by_place: dict[tuple[Place, int], Quantity] = {}
        self.evaluations: list[Evaluation] = []
        losses = list(dict.fromkeys(g.loss for g in trace.gradients.values()))
        for loss in losses:
            self.evaluations.append(self._evaluation(loss, is_loss=True))
        for shown in dict.fromkeys(trace.shown):
            if shown not in losses:
                self.evaluations.append(self._evaluation(shown, is_loss=False))
        self.evaluations.sort(key=lambda e: e.root.id)

    def _evaluation(self, root: Value, *, is_loss: bool) -> Evaluation:
        values = self._reachable([root])
        outputs = self._outputs(root, values, is_loss)
        inside = self._reachable(outputs)
        roles = self._activations(outputs, inside)
        values_found = sorted({*roles, *outputs}, key=lambda v: v.id)
        made = {
            v: Quantity(
                _label(v), "output" if v in outputs else "activation", roles.get(v, False), not v.type.is_scalar
            )
            for v in values_found
        }
        return Evaluation(root, values, self._matched(made, is_loss))

    @property
    def known(self) -> list[Quantity]:
        return list(self._by_place.values())

    def twins(self, quantity: Quantity) -> list[Quantity]:
        """The others that have had the same start: copies of the network that are trained apart, or not."""
        alike = [[q for _, q in some] for some in self._by_start.values()]
        return [q for some in alike if quantity in some for q in some if q is not quantity]

    def _matched(self, made: Mapping[Value, Quantity], is_loss: bool) -> dict[Quantity, Value]:
        """The quantities that values stand for: known ones, or those made for them if a loss is computed from them.

        A known one is the one with the same start and place; with the same start, if its place is not met in this evaluation (n^(-1/2) * U was drawn so); with the same place, on other data.
        """
        found: dict[Quantity, Value] = {}
        places = {_place(v) for v in made}
        met: Counter[Place] = Counter()
        for v, new in made.items():
            place, identity = _place(v), self._start.identity(v)
            alike = [(p, q) for p, q in self._by_start.get(identity, ()) if q not in found]
            same = next((q for p, q in alike if p == place), None) or next(
                (q for p, q in alike if p not in places), None
            )
            met[place] += 1
            if same is None:
                key = place, met[place]
                if key not in self._by_place and is_loss:
                    self._by_place[key] = new if met[place] == 1 else replace(new, label=f"{new.label} ({met[place]})")
                same = self._by_place.get(key)
                if same is None or same in found:
                    continue
                if identity is not None and (place, same) not in self._by_start.get(identity, ()):
                    self._by_start.setdefault(identity, []).append((place, same))
            found[same] = v
        return found

    def _reachable(self, roots: Sequence[Value]) -> list[Value]:
        """What the roots are computed from, up to what was computed from gradients alone, in program order."""
        found: dict[int, Value] = {}
        pending = list(roots)
        while pending:
            v = pending.pop()
            if v.id not in found:
                found[v.id] = v
                if v.id not in self._trace.gradients:
                    pending.extend(operands(v))
        return [found[k] for k in sorted(found)]

    # -- outputs

    def _outputs(self, root: Value, values: Iterable[Value], is_loss: bool) -> list[Value]:
        """The averages that the root is computed from, with their powers of n, or the named scalars that are linear in them."""
        below: dict[int, tuple[Value, ...]] = {}
        for v in values:
            if not v.type.is_scalar or v.id in self._pure:
                continue
            if isinstance(v, Avg | Inner | Fluctuation):
                below[v.id] = (v,)
                continue
            parts = tuple(dict.fromkeys(o for a in operands(v) for o in below.get(a.id, ())))
            is_open = parts and not (is_loss and v is root) and _is_linear(v) and not any(o.name for o in parts)
            below[v.id] = (v,) if is_open and (v.name or _is_rescaled(v)) else parts
        return list(below.get(root.id, ()))

    # -- activations

    def _activations(self, outputs: Sequence[Value], inside: Sequence[Value]) -> dict[Value, bool]:
        """Activations, and whether a nonlinear function is applied to them."""
        arguments: set[Value] = set()
        averaged: set[Value] = set()
        for v in inside:
            if isinstance(v, Map) and OPS[v.op].power == "zero" and v.id not in self._pure and v.op != "stop":
                arguments.update(v.args)
        for v in self._within(outputs):
            averaged.update(operands(v))
        found: dict[Value, bool] = {}
        for v in inside:
            if isinstance(v, Const) or v.id in self._pure or (v not in arguments and self._is_parameter(v)):
                continue
            is_vector = not v.type.is_scalar
            named = is_vector and v.name and v.name not in self._trained
            if v in arguments or named or v.id in self._trace.products or (is_vector and v in averaged):
                found[v] = v in arguments
        return found

    def _within(self, outputs: Sequence[Value]) -> list[Value]:
        """The averages in the outputs."""
        found: list[Value] = []
        seen: set[Value] = set()
        pending = list(outputs)
        while pending:
            v = pending.pop()
            if v in seen or v.id in self._pure:
                continue
            seen.add(v)
            if isinstance(v, Avg | Inner | Fluctuation):
                found.append(v)
            else:
                pending.extend(a for a in operands(v) if a.type.is_scalar)
        return found

    def _is_parameter(self, v: Value) -> bool:
        """Whether v is a draw, up to updates, powers of n and a choice of entries, under no name but its own."""
        while not isinstance(v, InitVector | InitScalar):
            if v.name and v.name not in self._trained:
                return False
            match v:
                case Scale(x=x) | Gather(x=x) | Map(op="neg" | "stop", args=(x,)):
                    v = x
                case Map(op="add" | "sub" | "mul" | "div", args=args):
                    sides = [a for a in args if not (a.id in self._pure or isinstance(a, Const))]
                    if len(sides) != 1:
                        return False
                    (v,) = sides
                case _:
                    return False
        return True


def _place(v: Value) -> Place:
    if v.name:
        return v.name, -1, -1
    return (v.span.source.name, v.span.start, v.span.end) if v.span is not None else ("", -1, v.id)


def _label(v: Value) -> str:
    text = v.name or (" ".join(v.span.text.split()) if v.span is not None else "")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _is_linear(v: Value) -> bool:
    match v:
        case Map(op="add" | "sub" | "neg") | Scale() | Gather() | Concat() | Reduce(op="sum"):
            return True
        case Map(op="mul" | "div", args=(x, y)) | Einsum(x=x, y=y):
            return isinstance(x, Const) or isinstance(y, Const)
        case _:
            return False


def _is_rescaled(v: Value) -> bool:
    """Whether v is another value up to a factor and the order of its entries."""
    return isinstance(v, Scale | Gather) or (isinstance(v, Map) and v.op in ("mul", "div", "neg"))
