"""Which regime a training program is in, by the powers of n of what it computes.

In: a program and its trace. Out: a `Classification`: the powers of activations, outputs, gradients and of the updates' effects, and what follows.
The definitions are those of Tensor Programs IVb, §2.8, for any program:

    stable      before training the arguments of nonlinear functions are of order 1 and outputs of order 1 at most; training changes neither by more
    faithful    optimizers see gradients of order 1 (any order, if they are homogeneous)
    nontrivial  training changes some output by order 1
    regime      feature learning if training changes some activation by its own order, else operator
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from nexortlang.classify.degrees import Degree, degrees
from nexortlang.classify.follow import Sizes
from nexortlang.classify.powers import NOTHING, ONE, Power, times
from nexortlang.classify.quantities import Evaluation, Quantities, Quantity
from nexortlang.classify.start import HALF, Start
from nexortlang.core.program import Avg, Fluctuation, Inner, Program, Scale, Value, operands
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.elaborate.trace import ParameterKind, Trace

Regime: TypeAlias = Literal["unstable", "unfaithful", "trivial", "operator", "feature learning"]


@dataclass(frozen=True, slots=True)
class Activity:
    """An activation or output: its power before training, and that of its change by training (NOTHING where nothing was computed after it)."""

    quantity: Quantity
    start: Power
    change: Power

    @property
    def relative(self) -> Power:
        """The change against the order that an activation has; outputs are measured against 1."""
        return self.change if self.start == NOTHING or self.quantity.role == "output" else self.change - self.start

    @property
    def has_stable_start(self) -> bool:
        if self.quantity.is_argument and self.quantity.is_vector:
            return self.start in (ONE, NOTHING)
        return self.start <= 0 or not self._is_held

    @property
    def is_stable(self) -> bool:
        return self.change <= 0 or not self._is_held

    @property
    def _is_held(self) -> bool:
        return self.quantity.is_argument or self.quantity.role == "output"


@dataclass(frozen=True, slots=True)
class Training:
    """A parameter: the gradient that its optimizer sees, at the first step and later, and the effect of its updates on the first quantity it enters, `effect`
    at most and `first_effect` when it first shows.

    `later` is None where no later step was followed. `lacking`: the power that the first gradient lacks because its limit is 0 by a symmetry of the
    start that training breaks, as for the queries and keys of attention.

    `degree`: that of the optimizer (classify.degrees), `response`: the power of what it makes of its first argument. `optimizer` is "" for a gradient
    that is subtracted as it is.
    """

    name: str
    kind: ParameterKind
    optimizer: str
    gradient: Power
    later: Power | None
    degree: Degree
    response: Power
    first_effect: Power
    effect: Power
    layer: Quantity | None
    lacking: Power = ONE

    @property
    def is_faithful_at_start(self) -> bool:
        return self.degree is not None or self.gradient in (ONE, NOTHING) or self.gradient + self.lacking == 0

    @property
    def is_faithful(self) -> bool:
        return self.is_faithful_at_start and (self.degree is not None or self.later in (None, ONE, NOTHING))


@dataclass(frozen=True, slots=True)
class Classification:
    """`aligned`: by which power of n outputs would grow if the kets that they average were aligned, as they are after training. `left_out`: passes of
    training loops that were not followed."""

    activities: tuple[Activity, ...]
    parameters: tuple[Training, ...]
    aligned: Power
    left_out: int = 0

    @property
    def stable_at_start(self) -> bool:
        return all(a.has_stable_start for a in self.activities)

    @property
    def faithful_at_start(self) -> bool:
        return all(p.is_faithful_at_start for p in self.parameters)

    @property
    def stable(self) -> bool:
        return self.stable_at_start and all(a.is_stable for a in self.activities)

    @property
    def faithful(self) -> bool:
        return all(p.is_faithful for p in self.parameters)

    @property
    def nontrivial(self) -> bool:
        return any(a.quantity.role == "output" and a.change == 0 for a in self.activities)

    @property
    def features_move(self) -> bool:
        return any(
            a.quantity.role == "activation" and a.quantity.is_vector and a.relative == 0 for a in self.activities
        )

    @property
    def regime(self) -> Regime:
        if not self.stable_at_start:
            return "unstable"
        if not self.faithful_at_start:
            return "unfaithful"
        if not self.stable:
            return "unstable"
        if not self.faithful:
            return "unfaithful"
        if not self.nontrivial:
            return "trivial"
        return "feature learning" if self.features_move else "operator"


def classify(program: Program, trace: Trace) -> Classification:
    """The powers of n of a training program. Raises NexortError (NX245) for one that trains nothing."""
    if not trace.gradients:
        raise NexortError(
            Diagnostic(
                "NX245",
                "the program trains nothing: it takes no gradient",
                hint="an update subtracts one: W -= lr/n * adam(n * grad(L, W))",
            )
        )
    return Analysis(program, trace).classification()


class Analysis:
    """What is known of a program on the way to its classification."""

    def __init__(self, program: Program, trace: Trace) -> None:
        self.trace = trace
        self.values = list(program.values)
        self.start = Start(program, frozenset(trace.gradients))
        self.quantities = Quantities(trace, self.start)
        self.degrees = degrees(self.values, frozenset(trace.gradients), self.start.pure)
        self.gradients: dict[int, Power] = {}
        self.sizes = Sizes(self.start, self.gradients)
        self.sources: dict[int, frozenset[str]] = {}
        for v in self.values:  # a gradient's size is that of what was found for it, which comes before
            if v.id in trace.gradients:
                self.gradients[v.id] = self.sizes[trace.gradients[v.id].value].total
            self.sizes.extend([v])
            if v.id in trace.gradients:
                self.sources[v.id] = frozenset((trace.gradients[v.id].name,))
            elif v.id in self.start.pure:
                self.sources[v.id] = frozenset[str]().union(*(self.sources.get(a.id, ()) for a in operands(v)))

    def classification(self) -> Classification:
        evaluations = list(self._until_unstable())
        activities = tuple(self._without_frozen_copies([self._activity(q, evaluations) for q in self.quantities.known]))
        is_cut = len(evaluations) < len(self.quantities.evaluations)
        if all(a.change == NOTHING for a in activities) and not is_cut:
            self._require_effect()
        parameters = tuple(self._training(name, evaluations, is_cut) for name in self._names())
        outputs: dict[Quantity, Value] = {}
        for e in reversed(evaluations):
            outputs |= {q: v for q, v in e.found.items() if q.role == "output"}
        aligned = max((self._aligned(v) for v in outputs.values()), default=NOTHING)
        return Classification(activities, parameters, aligned, self.trace.left_out)

    def _until_unstable(self) -> Iterator[Evaluation]:
        """The evaluations up to the first that is unstable: after it powers only pile up."""
        for e in self.quantities.evaluations:
            yield e
            here = [self._activity(q, [e]) for q in e.found]
            if not all(a.has_stable_start and a.is_stable for a in here):
                return

    def _require_effect(self) -> None:
        gradients = list(self.trace.gradients.values())
        if all(self.gradients[k] == NOTHING for k in self.trace.gradients):
            return
        raise NexortError(
            Diagnostic(
                "NX245",
                "the program trains nothing that it computes: no loss and nothing shown comes after an update",
                gradients[0].span,
                hint="train for two steps or more, or show an output after training",
            )
        )

    def _activity(self, q: Quantity, evaluations: list[Evaluation]) -> Activity:
        found = [self.sizes[e.found[q]] for e in evaluations if q in e.found]
        start = max((s.start for s in found), default=NOTHING)
        return Activity(q, start, max((s.change for s in found), default=NOTHING))

    def _without_frozen_copies(self, found: list[Activity]) -> list[Activity]:
        """Without what is the same before training as something that is trained: an initial network that is subtracted. The latter has the name."""
        moved = {a.quantity for a in found if a.change != NOTHING}
        kept = []
        for a in found:
            trained = [q for q in self.quantities.twins(a.quantity) if q in moved and q.role == a.quantity.role]
            if a.quantity in moved or not trained:
                kept.append(a)
            elif trained[0].label.startswith(f"{a.quantity.label} ("):
                trained[0].label = a.quantity.label
        return kept

    # -- parameters

    def _names(self) -> list[str]:
        return list(dict.fromkeys(g.name for g in self.trace.gradients.values()))

    def _training(self, name: str, evaluations: list[Evaluation], is_cut: bool) -> Training:
        own = [k for k, g in self.trace.gradients.items() if g.name == name]
        calls = [c for c in self.trace.optimized if name in self.sources.get(c.argument.id, ())]
        if is_cut:  # what comes after is piled up, too
            end = evaluations[-1].root.id
            own = own[:1] + [k for k in own[1:] if k < end]
            calls = calls[:1] + [c for c in calls[1:] if c.argument.id < end]
        optimizer = ""
        response: Power = NOTHING
        degree: Degree
        if calls:
            seen = [self.sizes[c.argument].total for c in calls]
            response = next((p for c in calls if (p := self.sizes[c.result].total) != NOTHING), NOTHING)
            degree = _common(self.degrees.get(c.result.id) for c in calls)
            optimizer = calls[0].optimizer
        else:
            updates = [u for e in evaluations for u in self._updates(e) if name in self.sources[u.id]]
            degree = _common(self.degrees[u.id] for u in updates) if updates else Fraction(1)
            compared = [] if degree is not None else self._compared(name)
            seen = compared or [self.gradients[k] for k in own]
        layer, effects = self._effects(own, evaluations)
        first, later = self.trace.gradients[own[0]], max(seen[1:], default=None)
        lacking = self._lacking(first.value)
        return Training(
            name, first.kind, optimizer, seen[0], later, degree, response, effects[0], max(effects), layer, lacking
        )

    def _lacking(self, gradient: Value) -> Power:
        """What the symmetry of averages within backpropagation takes from a gradient before training."""
        found = self.start.power(gradient)
        forward = (v for e in self.quantities.evaluations for v in e.values)
        return ONE if found == NOTHING else self.start.power_beside(gradient, forward) - found

    def _updates(self, e: Evaluation) -> Iterator[Value]:
        """What was computed from gradients alone and enters an evaluation."""
        for v in e.values:
            if v.id not in self.start.pure:
                yield from (a for a in operands(v) if a.id in self.start.pure)

    def _compared(self, name: str) -> list[Power]:
        """The powers of what an update that is written without an optimizer compares with numbers of its own, such as eps."""
        found = []
        for v in self.values:
            if name in self.sources.get(v.id, ()) and self.degrees[v.id] is None:
                parts = [a for a in operands(v) if self.degrees.get(a.id)]
                if len(parts) < len(operands(v)) and all(self.degrees.get(a.id, ONE) is not None for a in operands(v)):
                    found += [times(self.sizes[a].total, 1 / Fraction(self.degrees[a.id] or 1)) for a in parts]
        return found

    def _effects(self, own: Sequence[int], evaluations: list[Evaluation]) -> tuple[Quantity | None, list[Power]]:
        """The first quantity that changes if this parameter alone is trained, and by what powers, from then on."""
        sizes = Sizes(self.start, {k: self.gradients[k] if k in own else NOTHING for k in self.trace.gradients})
        layer: Quantity | None = None
        effects: list[Power] = []
        for e in evaluations:
            sizes.extend(e.values)
            layer = layer or next((q for q, v in e.found.items() if sizes[v].change != NOTHING), None)
            if layer is not None and layer in e.found:
                size = sizes[e.found[layer]]
                effects.append(Activity(layer, size.start, size.change).relative)
        return layer, effects or [NOTHING]

    # -- outputs

    def _aligned(self, v: Value) -> Power:
        """The power of an output, if the averages in it were of the order of what they average."""
        match v:
            case Avg(x=x):
                return self.start.power(x)
            case Inner(x=x, y=y):
                return self.start.power(x) + self.start.power(y)
            case Fluctuation(x=x):
                return self.start.power(x) + HALF
            case Scale(x=x, exponent=exponent):
                return self._aligned(x) + exponent
            case _:
                scalars = [a for a in operands(v) if a.type.is_scalar and a.id not in self.start.pure]
                return max((self._aligned(a) for a in scalars), default=NOTHING)


def _common(found: Iterable[Degree]) -> Degree:
    distinct = set(found)
    return distinct.pop() if len(distinct) == 1 else None
