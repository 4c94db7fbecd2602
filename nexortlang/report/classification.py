"""What `nexort classify` tells.

In: a classification. Out: text for a person, and JSON. Powers of n are written as orders, `n^(-1/2)`, 1 for order 1 and 0 for what is exactly 0; in JSON
as exponents, `"-1/2"`, and null for what is exactly 0.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from nexortlang import __version__
from nexortlang.classify.classification import Activity, Classification, Training
from nexortlang.classify.powers import NOTHING, Power
from nexortlang.classify.remedies import Remedy, remedies
from nexortlang.report import json

_GAP = "  "
_INDENT = "  "


def report(found: Classification, width: int) -> str:
    """The whole report, ending in a line break."""
    blocks = [_quantities(found), _parameters(found), textwrap.wrap(verdict(found), width), _changes(found, width)]
    blocks.append([f"({found.left_out} later passes of training were left out.)"] if found.left_out else [])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def as_json(found: Classification, file: str) -> str:
    """The same as one JSON object."""
    answer = {
        "nexort": __version__,
        "file": file,
        "regime": found.regime,
        "verdict": verdict(found),
        "stable_at_start": found.stable_at_start,
        "faithful_at_start": found.faithful_at_start,
        "stable": found.stable,
        "faithful": found.faithful,
        "nontrivial": found.nontrivial,
        "passes_left_out": found.left_out,
        "maximal": found.regime == "feature learning" and not remedies(found),
        "quantities": [_quantity(a) for a in found.activities],
        "parameters": [_parameter(p) for p in found.parameters],
        "changes": [{"what": c.what, "name": c.name, "multiply_by": exponent(c.power)} for c in remedies(found)],
    }
    return json.text(answer)


def order(power: Power) -> str:
    """n, sqrt(n), 1/n, n^(-1/2), 1; 0 for what is exactly 0."""
    if power == NOTHING:
        return "0"
    exact = Fraction(power)
    known = {
        Fraction(0): "1",
        Fraction(1): "n",
        Fraction(-1): "1/n",
        Fraction(1, 2): "sqrt(n)",
        Fraction(-1, 2): "1/sqrt(n)",
    }
    return known.get(exact) or (f"n^{exact}" if exact.denominator == 1 and exact > 0 else f"n^({exact})")


def exponent(power: Power) -> str | None:
    return None if power == NOTHING else str(Fraction(power))


# ---------------------------------------------------------------------------- the verdict


def verdict(found: Classification) -> str:
    """The regime, and the quantity that decides it."""
    match found.regime:
        case "unstable" if not found.stable_at_start:
            a = next(a for a in found.activities if not a.has_stable_start)
            return f"Unstable before training: {a.quantity.label} is of order {order(a.start)}{_must(a)}."
        case "unstable":
            a = next(a for a in found.activities if not a.is_stable)
            return f"Unstable: training changes {a.quantity.label} by {order(a.change)}{_must(a)}."
        case "unfaithful":
            p = next(p for p in found.parameters if not p.is_faithful)
            when, power = ("", p.gradient) if not p.is_faithful_at_start else (" in training", p.later or NOTHING)
            seen = f"{p.optimizer or 'the update'} sees a gradient of {p.name} of order {order(power)}{when}"
            return f"Unfaithful: {seen}, and compares it with numbers of order 1."
        case "trivial":
            moved = max((a.change for a in found.activities if a.quantity.role == "output"), default=NOTHING)
            return f"Trivial: training changes no output by order 1, only by {order(moved)}."
        case "operator":
            moved = max((a.relative for a in found.activities if a.quantity.role == "activation"), default=NOTHING)
            return f"Operator regime: outputs change by order 1, activations by {order(moved)}; features stay as they are drawn."
        case _:
            most = (
                ""
                if remedies(found)
                else ", and every parameter's updates as much as they can: the maximal update parametrization"
            )
            return f"Feature learning: outputs and activations change by order 1{most}."


def _must(a: Activity) -> str:
    return ", and a nonlinear function is applied to it" if a.quantity.is_argument else ""


def _changes(found: Classification, width: int) -> list[str]:
    changes = remedies(found)
    if not changes:
        return []
    head = "To get the maximal update:" if found.stable_at_start else "First:"
    lines = (textwrap.wrap(_change(c), width, initial_indent=_INDENT, subsequent_indent=2 * _INDENT) for c in changes)
    return [head, *(line for some in lines for line in some)]


def _change(c: Remedy) -> str:
    match c.what:
        case "gradient":
            return f"multiply the gradient of {c.name} that the optimizer sees by {order(c.power)}"
        case "learning rate":
            return f"multiply the learning rate of {c.name} by {order(c.power)}"
        case _:
            return f"multiply {c.name} by {order(c.power)}"


# ---------------------------------------------------------------------------- tables


def _quantities(found: Classification) -> list[str]:
    rows = [("", "before training", "change by training")]
    for role, title in (("activation", "activations"), ("output", "outputs")):
        some = [a for a in found.activities if a.quantity.role == role and (a.start, a.change) != (NOTHING, NOTHING)]
        rows += [(title, "", "")] if some else []
        rows += [(_INDENT + a.quantity.label, order(a.start), order(a.change)) for a in some]
    return list(_aligned(rows))


def _parameters(found: Classification) -> list[str]:
    rows = [("parameters", "gradient seen at first", "later", "effect of updates", "on")]
    for p in found.parameters:
        seen = f" by {p.optimizer}" if p.optimizer else ""
        name = f"{_INDENT}{p.name}, {p.kind}"
        layer = p.layer.label if p.layer is not None else ""
        rows.append(
            (name, order(p.gradient) + seen, "-" if p.later is None else order(p.later), order(p.effect), layer)
        )
    return list(_aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    sizes = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        yield _GAP.join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip()


# ---------------------------------------------------------------------------- parts of the JSON


def _quantity(a: Activity) -> dict[str, Any]:
    q = a.quantity
    head = {"name": q.label, "role": q.role, "argument_of_nonlinearity": q.is_argument}
    return head | {"start": exponent(a.start), "change": exponent(a.change)}


def _parameter(p: Training) -> dict[str, Any]:
    return {
        "name": p.name,
        "kind": p.kind,
        "optimizer": p.optimizer or None,
        "gradient": exponent(p.gradient),
        "gradient_later": None if p.later is None else exponent(p.later),
        "degree": None if p.degree is None else str(p.degree),
        "faithful": p.is_faithful,
        "effect": exponent(p.effect),
        "on": p.layer.label if p.layer is not None else None,
    }
