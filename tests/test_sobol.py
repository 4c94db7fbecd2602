"""Scrambled Sobol points: primitive polynomials, stratification, equidistribution, unbiasedness."""

from __future__ import annotations

import numpy as np
import pytest

from nexortlang.kets.particles import sobol


def points(count: int, first: int, columns: int, seed: int) -> np.ndarray:
    """Of one member, (columns, count)."""
    (alone,) = sobol.points(count, first, columns, np.random.default_rng(seed))
    return alone


def test_numbers_of_primitive_polynomials() -> None:
    # φ(2^d − 1)/d of each degree
    assert [len(sobol.primitive_polynomials(d)) for d in range(1, 11)] == [1, 1, 2, 2, 6, 6, 18, 16, 48, 60]


@pytest.mark.parametrize("count", [256, 1000, 1024])
def test_every_column_is_stratified(count: int) -> None:
    u = points(count, 3, 40, 0)
    assert u.shape == (40, count) and u.min() > 0.0 and u.max() < 1.0
    assert np.array_equal(np.sort(np.floor(u * count), axis=1), np.tile(np.arange(count), (40, 1)))


def test_columns_beyond_the_table_are_stratified_and_unrelated() -> None:
    u = points(512, sobol.DIMENSIONS - 2, 6, 0)
    assert np.array_equal(np.sort(np.floor(u * 512), axis=1), np.tile(np.arange(512), (6, 1)))
    assert np.abs(np.corrcoef(u[2:]) - np.eye(4)).max() < 0.2


def test_the_first_two_dimensions_are_a_net() -> None:
    """Every dyadic box of area 1/1024 holds one of 1 024 points, scrambled or not."""
    x, y = points(1024, 0, 2, 1)
    for k in range(11):
        boxes = np.floor(x * 2**k) * 2 ** (10 - k) + np.floor(y * 2 ** (10 - k))
        assert len(np.unique(boxes)) == 1024


def test_integrals_are_unbiased_and_better_than_independent_points() -> None:
    values = []
    for seed in range(200):
        u = points(64, 0, 5, seed)
        values.append(np.mean(np.prod(1.0 + 0.5 * (u - 0.5), axis=0)))
    error = np.std(values) / 200**0.5
    independent = ((1 + 0.25 / 12) ** 5 - 1) ** 0.5 / 8
    assert abs(np.mean(values) - 1.0) < 4 * error
    assert np.std(values) < independent / 4


def test_a_generator_decides_everything() -> None:
    one, two, other = (points(100, 0, 3, s) for s in (5, 5, 6))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
