"""Scrambled Sobol points, made here: primitive polynomials, direction numbers, exact nested (Owen) scrambling.

In: a number of points, the dimensions wanted, a random generator. Out: points in (0, 1), one column per dimension. Guarantees: every column
is stratified (exactly one point in each interval of length 1/count); for count a power of two and dimensions below `DIMENSIONS` the columns are
jointly a randomised digital net, unbiased for every integrand; later dimensions are independent stratified columns.

The scrambling needs no hash. The leading m bits of a Sobol coordinate run through all of 0 … 2^m − 1 over the first 2^m points, and a
nested scrambling of m bits is a random binary tree of flips: a permutation of these numbers that is grown level by level. Below the m-th bit, scrambled bits
are independent uniform ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BITS = 32
DIMENSIONS = 1024


def _factors(number: int) -> list[int]:
    """The distinct prime factors of a number."""
    found, p = [], 2
    while p * p <= number:
        if number % p == 0:
            found.append(p)
            while number % p == 0:
                number //= p
        p += 1
    return found + ([number] if number > 1 else [])


def _power_of_x(exponent: int, polynomial: int, degree: int) -> int:
    """x^exponent modulo a polynomial over GF(2), polynomials as bit patterns."""

    def times(a: int, b: int) -> int:
        product = 0
        while b:
            if b & 1:
                product ^= a
            b >>= 1
            a <<= 1
            if a >> degree & 1:
                a ^= polynomial
        return product

    result, base = 1, 2 if degree > 1 else 2 ^ polynomial
    while exponent:
        if exponent & 1:
            result = times(result, base)
        base = times(base, base)
        exponent >>= 1
    return result


def is_primitive(polynomial: int) -> bool:
    """Whether x generates the multiplicative group of GF(2)[x] modulo the polynomial."""
    degree = polynomial.bit_length() - 1
    order = (1 << degree) - 1
    if not polynomial & 1 or _power_of_x(order, polynomial, degree) != 1:
        return False
    return all(_power_of_x(order // p, polynomial, degree) != 1 for p in _factors(order) if p < order or degree == 1)


@lru_cache(maxsize=16)
def primitive_polynomials(degree: int) -> tuple[int, ...]:
    """The primitive polynomials over GF(2) of a degree."""
    return tuple(p for p in range(1 << degree | 1, 2 << degree, 2) if is_primitive(p))


def _polynomial(dimension: int) -> int:
    """The polynomial of a dimension ≥ 1, by increasing degree."""
    degree, index = 1, dimension - 1
    while index >= len(primitive_polynomials(degree)):
        index -= len(primitive_polynomials(degree))
        degree += 1
    return primitive_polynomials(degree)[index]


@lru_cache(maxsize=DIMENSIONS)
def direction_numbers(dimension: int) -> np.ndarray:
    """The BITS direction numbers of a dimension: van der Corput's for 0, else Sobol's recursion from arbitrary odd starting numbers."""
    if dimension == 0:
        return np.array([1 << (BITS - 1 - j) for j in range(BITS)], dtype=np.uint32)
    polynomial = _polynomial(dimension)
    degree = polynomial.bit_length() - 1
    start = np.random.default_rng([dimension, 1967])
    m = [2 * int(start.integers(0, 1 << j)) + 1 for j in range(degree)]
    for k in range(degree, BITS):
        value = m[k - degree]
        for i in range(1, degree + 1):
            if polynomial >> (degree - i) & 1:
                value ^= m[k - i] << i
        m.append(value)
    return np.array([value << (BITS - 1 - j) for j, value in enumerate(m)], dtype=np.uint32)


def _nested_permutations(levels: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """`columns` permutations of 0 … 2^levels − 1, each a random binary tree of flips of leading bits first; (columns, 2^levels)."""
    p = np.zeros((columns, 1), dtype=np.uint32)
    for _ in range(levels):
        flips = rng.integers(0, 2, size=p.shape, dtype=np.uint8)
        p = np.stack([2 * p + flips, 2 * p + (1 - flips)], axis=-1).reshape(columns, -1)
    return p


def _sobol_indices(levels: int, first: int, columns: int) -> np.ndarray:
    """The leading `levels` bits of the first 2^levels points in dimensions first … first + columns − 1; (columns, 2^levels)."""
    shift = np.uint32(BITS - levels)
    directions = np.stack([direction_numbers(d) for d in range(first, first + columns)])[:, :levels] >> shift
    k = np.zeros((columns, 1), dtype=np.uint32)
    for j in range(levels):
        k = np.concatenate([k, k ^ directions[:, j, None]], axis=1)
    return k


def points(count: int, first: int, columns: int, rng: np.random.Generator, members: int = 1) -> np.ndarray:
    """Scrambled points, (members, columns, count), in dimensions first … first + columns − 1 of one sequence, scrambled anew for each member."""
    levels = max(1, (count - 1).bit_length())
    net = min(columns, max(0, DIMENSIONS - first))
    strata = np.empty((members, columns, count), dtype=np.intp)
    if net:
        permutations = _nested_permutations(levels, members * net, rng).reshape(members, net, -1)
        indices = _sobol_indices(levels, first, net)[:, :count].astype(np.intp)
        scrambled = np.take_along_axis(permutations, indices[None], axis=-1)
        if count < 1 << levels:  # a part of a net is not stratified in each column: spread its ranks evenly
            scrambled = np.argsort(np.argsort(scrambled, axis=-1), axis=-1)
        strata[:, :net] = scrambled
    if net < columns:
        strata[:, net:] = rng.permuted(np.tile(np.arange(count), (members, columns - net, 1)), axis=-1)
    uniform = rng.random(strata.shape)
    np.clip(uniform, 2.0**-40, 1 - 2.0**-40, out=uniform)
    return np.asarray((strata + uniform) / count)
