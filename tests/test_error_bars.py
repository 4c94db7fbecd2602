"""Error bars are honest: the truth lies within two standard errors as often as it should, and within four nearly always.

Each tests/programs/sampled_*.nxt carries its truths, derived outside this project, after `#=`. bench/ repeats this over 100 seeds; here a few
seeds of all programs together must miss no more often than 10 % and four spare standard deviations of that count allow.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from limits import limits_of_file, misses, truths

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


def test_same_seed_same_numbers() -> None:
    one, two, other = (limits_of_file(SAMPLED[0], "--seed", seed) for seed in ("3", "3", "4"))
    assert [s.record for s in one] == [s.record for s in two]
    assert any(a.value != b.value for a, b in zip(one, other, strict=True) if a.method == "sampled")
