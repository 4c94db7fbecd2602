"""Error bars are honest: the truth lies within two standard errors as often as it should, and within four nearly always.

Each tests/programs/sampled_*.nxt carries its truths, derived outside this project, after `#=`. bench/ repeats this over 100 seeds; here a few
seeds of all programs together must miss no more often than 10 % and four spare standard deviations of that count allow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from limits import limits_of_file, misses, truths

from nexortlang.driver import Request, check
from nexortlang.kets import engine
from nexortlang.kets.particles import replicates
from nexortlang.kets.results import Distribution, Estimate, Options
from nexortlang.source import Source

SAMPLED = sorted((Path(__file__).parent / "programs").glob("sampled_*.nxt"))


def test_there_are_enough() -> None:
    assert len(SAMPLED) >= 5 and all(truths(path) for path in SAMPLED)


@pytest.mark.parametrize("path", SAMPLED, ids=lambda p: p.stem)
def test_truth_is_near(path: Path) -> None:
    for seed in (0, 1):
        assert misses(path, seed, errors=5.0)[0] == 0


def test_two_standard_errors_hold_the_truth() -> None:
    counts = [misses(path, seed) for path in SAMPLED for seed in range(2, 8)]
    missed, total = sum(c[0] for c in counts), sum(c[1] for c in counts)
    assert missed <= 0.1 * total + 4 * (0.09 * total) ** 0.5, (missed, total)


def test_most_of_them_are_sampled() -> None:
    methods = {path.stem: {s.method for s in limits_of_file(path)} for path in SAMPLED}
    assert sum("sampled" in m for m in methods.values()) >= 5, methods


@pytest.mark.parametrize(("patience", "reaches"), [(1e-6, False), (1.0, True)])
def test_patience(patience: float, reaches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where levels without a promise are too dear, those that promise the tolerance are paid for as far as patience goes."""
    monkeypatch.setattr(replicates, "WORK", 1.0)
    text = "width n\nx[n] ~ normal(0, 1)\nz[n] ~ normal(0, 1)\nshow avg(tanh(x * z + x)^2)\n"
    program = check(Source("test.nxt", text), Request()).program
    assert program is not None
    result = engine.limit(program, Options(tol=1e-4, patience=patience))
    (answer,) = result.shows
    assert answer.method == "sampled" and result.reached == reaches == bool((answer.stderr <= 1e-4).all())


def test_same_seed_same_numbers() -> None:
    one, two, other = (limits_of_file(SAMPLED[0], "--seed", seed) for seed in ("3", "3", "4"))
    assert [s.record for s in one] == [s.record for s in two]
    assert any(a.value != b.value for a, b in zip(one, other, strict=True) if a.method == "sampled")


@pytest.mark.parametrize("seed", range(3))
def test_the_variance_of_what_is_0_but_for_sampling(seed: int) -> None:
    """g is centred and independent of h, so y is 0; its sampled variance is a bias of order 1/N, and the standard error has to hold that."""
    text = """
width n
x[n] ~ laplace(0.1, 0.5)
W[n, n, 3] ~ normal(0, 1.5/n)
g = W[0] @ x
h = W.T @ g
y[i] = avg[j, k](erf(abs(h[i] + h[j]) * g[k]))
show dist(y)
"""
    program = check(Source("zero.nxt", text), Request()).program
    assert program is not None
    (answer,) = engine.limit(program, Options(samples=128, seed=seed)).shows
    assert isinstance(answer, Distribution) and answer.variance_stderr is not None
    assert answer.method == "sampled" and np.all(answer.variance > 0.0)
    assert np.all(answer.variance <= 4.0 * answer.variance_stderr), (answer.variance, answer.variance_stderr)


def particles_say(text: str, samples: int, seed: int) -> list[replicates.Answer]:
    """What the particles say of all that is shown, exact or not."""
    program = check(Source("shown.nxt", text), Request()).program
    assert program is not None
    targets = [replicates.Target(s.kind, s.value) for s in program.shows]
    return replicates.run(program, targets, Options(samples=samples, seed=seed, tol=np.inf))[0]


def test_two_standard_errors_hold_the_share_of_what_is_0_or_1() -> None:
    """Each p lies near a whole number of particles, where stratified draws would agree on that number in most randomisations, and claim no error."""
    samples, ones = 256, np.array([2.9, 51.05, 102.1, 179.95])
    p = (ones / samples).tolist()
    text = f"width n\nx[n, 4] ~ bernoulli({p})\nshow avg(tanh(2 * x) / tanh(2))\n"
    missed = total = 0
    for seed in range(40):
        (answer,) = particles_say(text, samples, seed)
        assert isinstance(answer, Estimate)
        missed += int(np.sum(np.abs(answer.value - p) > 2.0 * answer.stderr))
        total += len(p)
    assert missed <= 0.1 * total + 4 * (0.09 * total) ** 0.5, (missed, total)


def test_a_share_that_particles_have_exactly_has_no_error() -> None:
    (answer,) = particles_say("width n\nx[n, 2] ~ bernoulli([0.25, 1])\nshow avg(x)\n", 256, 0)
    assert isinstance(answer, Estimate)
    assert np.allclose(answer.value, [0.25, 1.0], rtol=1e-15) and np.all(answer.stderr < 1e-15)


def test_a_mean_known_with_an_error_adds_nothing_to_a_variance() -> None:
    """A randomisation of a Gaussian vector has its variance to rounding; that their means scatter is the error of the mean."""
    text = "width n\nx[n] ~ normal(0, 1)\nz[n] ~ normal(0, 1)\nshow dist(0.5 * x + avg(tanh(x * z)^2))\n"
    (answer,) = particles_say(text, 256, 0)
    assert isinstance(answer, Distribution) and np.all(answer.stderr > 1e-5)
    assert np.allclose(answer.variance, 0.25, rtol=1e-12)
