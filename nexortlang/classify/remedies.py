"""What to change to get the maximal update parametrization.

In: a classification. Out: factors, powers of n, for outputs, gradients and learning rates; with all of them in the program, activations and
outputs start at order 1 at most, optimizers see gradients of order 1, and the updates of every parameter change what it enters by order 1 (Tensor
Programs IVb, Def. 2.9.12: the table for matrix, vector and scalar parameters). Where an activation is not of order 1 before training, or an output
of a larger order, its factor is all that is told: what follows is seen when it is mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from nexortlang.classify.classification import Classification, Training
from nexortlang.classify.powers import NOTHING, ONE, Power

What: TypeAlias = Literal["activation", "output", "gradient", "learning rate"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Multiply by n^power: an activation, all outputs, what the optimizer of a parameter sees, or the learning rate of a parameter. `name` says whose."""

    what: What
    name: str
    power: Power


def remedies(found: Classification) -> list[Remedy]:
    """The changes in the order of the program; none for the maximal update parametrization."""
    ill = [a for a in found.activities if not a.has_stable_start and a.quantity.role == "activation"]
    if ill:
        return [Remedy("activation", ill[0].quantity.label, -ill[0].start)]
    shift = -found.aligned if found.aligned != NOTHING else ONE
    outputs = [a.quantity.label for a in found.activities if a.quantity.role == "output"]
    changes = [Remedy("output", name, shift) for name in outputs]
    if not found.stable_at_start:
        return changes
    for p in found.parameters:
        changes += _of(p, shift)
    return [c for c in changes if c.power]


def _of(p: Training, shift: Power) -> list[Remedy]:
    """Of one parameter, once outputs are multiplied by n^shift, and so are gradients and the effect of output weights."""
    seen = p.gradient + p.lacking if p.gradient != NOTHING or p.later is None else p.later
    if NOTHING in (seen, p.first_effect):
        return []
    on_output = shift if p.layer is not None and p.layer.role == "output" else ONE
    if p.degree is not None:
        return [Remedy("learning rate", p.name, -(p.first_effect + on_output + (shift + p.lacking) * p.degree))]
    gain = Remedy("gradient", p.name, -(seen + shift))
    if p.response == NOTHING:
        return [gain] if gain.power else [Remedy("learning rate", p.name, -(p.first_effect + on_output))]
    return [gain, Remedy("learning rate", p.name, -(p.first_effect - p.response + on_output))]
