"""Multilayer perceptrons: what `nexort classify` finds against the inequalities of Tensor Programs IVb (§2.8) and IV (SGD), on a grid of exponents.

The inequalities are written down here from the papers. With K = a + b of the output layer and, for an optimizer that is not homogeneous,

    stable at initialisation    a + b = 0 for the input, 1/2 for hidden layers, K ≥ 1/2                      (2.25)
    faithful at initialisation  d = a + K, for the output layer d = a                                       (2.26)
    stable and faithful later   r_l = c + a − 1 ≥ 0 (input: c + a), K + r ≥ 1, b ≤ c for the output layer     (2.27)
    nontrivial                  a + c = 1 for the output layer, or K + r = 1                                (2.28)
    feature learning            r = 0                                                                       (Theorem 2.8.19)

with r the least r_l below the output layer. Of (2.27), b ≤ c keeps later gradients of the order of the first, which a homogeneous optimizer does not
need. SignSGD sees only signs: no condition on d and b ≤ c. SGD passes the gradient's power on, which is n^(−a − min(K, 2a + c − d of the output)) for the layers below
(Tensor Programs IV, §3.2, where c is one for all layers).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction as F
from functools import cache

import pytest
from classified import Template, classified, parameter, symbol

from nexortlang.classify.classification import Classification
from nexortlang.classify.remedies import Remedy, remedies

HALF, QUARTER = F(1, 2), F(1, 4)
PER_OPTIMIZER = 520
OPTIMIZERS = {
    "sgd": "g",
    "sign_sgd": "sign(g)",
    "smooth": "g / sqrt(g^2 + 1)",
    "rms": "g / (sqrt(s) + 1e-8)",
}
STEPS = {"sgd": 3, "sign_sgd": 2, "smooth": 2, "rms": 2}
"""SGD needs a third evaluation: the second update is the first one that updated output weights have a part in."""


@dataclass
class Table:
    """Exponents of the layers from the input to the output, and a power of n on top of the output."""

    a: list[F]
    b: list[F]
    c: list[F]
    d: list[F]
    out: F = F(0)

    @property
    def depth(self) -> int:
        return len(self.a) - 1

    @property
    def names(self) -> list[str]:
        return [f"w{k}" for k in range(self.depth + 1)]

    @property
    def exponents(self) -> list[F]:
        return [*self.a, *self.b, *self.c, *self.d, self.out]


def program(optimizer: str, t: Table) -> str:
    lines = ["width n", f"w0[n] ~ normal(0, n^({-2 * t.b[0]}))"]
    lines += [f"w{k}[n, n] ~ normal(0, n^({-2 * t.b[k]}))" for k in range(1, t.depth)]
    lines += [f"w{t.depth}[n] ~ normal(0, n^({-2 * t.b[-1]}))", f"optimizer {optimizer}(g):"]
    lines += ["    state s = 0", "    s = 0.9 * s + 0.1 * g^2"] if optimizer == "rms" else []
    lines += [f"    return {OPTIMIZERS[optimizer]}", f"for t in range({STEPS[optimizer]}):"]
    x = f"tanh(n^({-t.a[0]}) * w0)"
    for k in range(1, t.depth):
        x = f"tanh(n^({-t.a[k]}) * (w{k} @ {x}))"
    lines += [f"    f = n^({t.out}) * n^({-t.a[-1]}) * n * <w{t.depth} | {x}>", "    L = (f - 1)^2"]
    for name, c, d in zip(t.names, t.c, t.d, strict=True):
        lines.append(f"    {name} -= n^({-c}) * {optimizer}(n^({d}) * grad(L, {name}))")
    return "\n".join(lines) + "\n"


@cache
def template(optimizer: str, depth: int) -> Template:
    layers = depth + 1
    symbols = [F(symbol(k)) for k in range(1, 4 * layers + 2)]
    a, b, c, d = (symbols[k * layers : (k + 1) * layers] for k in range(4))
    return Template(program(optimizer, Table(a, b, c, d, symbols[-1])))


def classification(optimizer: str, t: Table) -> Classification:
    return template(optimizer, t.depth).classified(t.exponents)


# ---------------------------------------------------------------------------- the papers


def rates(optimizer: str, t: Table) -> list[F]:
    """r_l of every layer: updates change W x by n^(−r_l)."""
    passed = [F(0)] * len(t.a)
    if optimizer == "sgd":
        below = min(t.a[-1] + t.b[-1], 2 * t.a[-1] + t.c[-1] - t.d[-1])
        passed = [t.d[k] - t.a[k] - below for k in range(t.depth)] + [t.d[-1] - t.a[-1]]
    return [t.c[k] - passed[k] + t.a[k] - (k > 0) for k in range(len(t.a))]


def expected(optimizer: str, t: Table) -> str:
    top = t.a[-1] + t.b[-1]
    hidden = range(1, t.depth)
    if t.a[0] + t.b[0] != 0 or any(t.a[k] + t.b[k] != HALF for k in hidden) or top < HALF:
        return "unstable"
    has_scale = optimizer in ("smooth", "rms")
    if has_scale and (any(t.d[k] != t.a[k] + top for k in range(t.depth)) or t.d[-1] != t.a[-1]):
        return "unfaithful"
    *r_below, r_top = rates(optimizer, t)
    r = min(r_below)
    if r < 0 or r_top < 0 or top + r < 1:
        return "unstable"
    if has_scale and t.b[-1] > t.c[-1]:
        return "unfaithful"
    if r_top != 0 and top + r != 1:
        return "trivial"
    return "feature learning" if r == 0 else "operator"


# ---------------------------------------------------------------------------- the grid


def tables(seed: str) -> list[Table]:
    """Tables on the lattice of multiples of 1/4, near the border of every class: a faithful one, then up to two exponents elsewhere."""
    rng = random.Random(seed)
    return [_table(rng, 3 if k % 5 == 0 else 2) for k in range(PER_OPTIMIZER)]


def _table(rng: random.Random, depth: int) -> Table:
    a = [F(rng.randint(-4, 4), 4) for _ in range(depth + 1)]
    top = rng.choice([HALF, HALF, 3 * QUARTER, F(1), F(1), 5 * QUARTER])
    b = [-a[0], *(HALF - a[k] for k in range(1, depth)), top - a[-1]]
    d = [a[k] + top for k in range(depth)] + [a[-1]]
    r = rng.choice([F(0), F(0), QUARTER, HALF, 1 - top, 1 - top])
    own = [r + rng.choice([F(0), F(0), F(0), QUARTER, F(1)]) for _ in range(depth)]
    c = [own[k] - a[k] + (k > 0) for k in range(depth)] + [1 - a[-1] + rng.choice([F(0), F(0), F(0), QUARTER, F(1)])]
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2])):
        rng.choice([a, b, c, c, d, d])[rng.randrange(depth + 1)] += rng.choice([-HALF, -QUARTER, QUARTER, HALF])
    return Table(a, b, c, d)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_inequalities_of_the_papers(optimizer: str) -> None:
    seen: Counter[str] = Counter()
    for t in tables(optimizer):
        found = classification(optimizer, t)
        wanted = expected(optimizer, t)
        assert found.regime == wanted, program(optimizer, t)
        _check_powers(optimizer, t, found)
        seen[wanted] += 1
    classes = ["unstable", "trivial", "operator", "feature learning"]
    classes += ["unfaithful"] if optimizer in ("smooth", "rms") else []
    assert set(seen) == set(classes)
    assert min(seen.values()) >= PER_OPTIMIZER // 20, seen


def test_there_are_two_thousand_tables() -> None:
    assert len({program(o, t) for o in OPTIMIZERS for t in tables(o)}) >= 2000


def _check_powers(optimizer: str, t: Table, found: Classification) -> None:
    """Gradients at initialisation, and the effect of every layer's update, of which the theorems speak where the program is stable and faithful."""
    if not found.stable_at_start:
        return
    top = t.a[-1] + t.b[-1]
    for k, name in enumerate(t.names):
        seen = t.d[k] - t.a[k] - (top if k < t.depth else 0)
        assert parameter(found, name).gradient == seen
    is_steady = optimizer != "sgd" or top <= 2 * t.a[-1] + t.c[-1] - t.d[-1]
    if found.stable and found.faithful and is_steady:
        assert [parameter(found, name).effect for name in t.names] == [-r for r in rates(optimizer, t)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_exponents_put_in_later_are_those_of_the_text(optimizer: str) -> None:
    for t in tables(optimizer)[:12]:
        found, wanted = classification(optimizer, t), classified(program(optimizer, t))
        assert found.parameters and len(found.parameters) == len(wanted.parameters)
        for p, q in zip(found.parameters, wanted.parameters, strict=True):
            assert replace(p, layer=None) == replace(q, layer=None)
        outputs = [[(a.start, a.change) for a in c.activities if a.quantity.role == "output"] for c in (found, wanted)]
        assert outputs[0] == outputs[1]
        assert (found.regime, found.aligned) == (wanted.regime, wanted.aligned)
        assert [(c.what, c.power) for c in remedies(found)] == [(c.what, c.power) for c in remedies(wanted)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_changes_that_are_told_lead_to_the_maximal_update(optimizer: str) -> None:
    for t in tables(optimizer)[:80]:
        changes = remedies(classification(optimizer, t))
        if any(c.what == "activation" for c in changes):
            continue
        if [c.what for c in changes] == ["output"]:  # outputs that grow hide the rest
            _apply(changes, t)
            changes = remedies(classification(optimizer, t))
        _apply(changes, t)
        mended = classification(optimizer, t)
        assert mended.regime == "feature learning"
        assert remedies(mended) == []
        assert {p.effect for p in mended.parameters} == {0}


def _apply(changes: list[Remedy], t: Table) -> None:
    for c in changes:
        match c.what:
            case "output":
                t.out += F(c.power)
            case "gradient":
                t.d[t.names.index(c.name)] += F(c.power)
            case "learning rate":
                t.c[t.names.index(c.name)] -= F(c.power)


def test_activations_are_mended_one_after_the_other() -> None:
    """A factor on the first activation that is not of order 1, until none is left."""
    t = Table(a=[QUARTER, F(0), F(0), F(1)], b=[F(0), F(1), F(0), F(0)], c=[F(0), F(1), F(1), F(0)], d=[F(1)] * 4)
    told = []
    for k in range(3):
        (change,) = remedies(classification("smooth", t))
        assert change.what == "activation"
        told.append(change.power)
        t.a[k] -= F(change.power)
    assert told == [QUARTER, HALF, -HALF]
    assert all(c.what != "activation" for c in remedies(classification("smooth", t)))
