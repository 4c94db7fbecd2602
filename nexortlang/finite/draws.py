"""Random numbers at finite width: initial matrices, vectors and scalars with their laws.

In: what is drawn, sizes, and where in the experiment this is (seed, width, run). Out: arrays. Guarantees: every matrix (each member of a family) and every
initial value has a random stream of its own, so a draw depends neither on the order of use nor on what else is computed. Large arrays are
filled in stretches: nothing as large as the array is allocated beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nexortlang.core.program import InitScalar, InitVector, Law, Matrix
from nexortlang.finite.sizes import Sizes

_STRETCH = 1 << 16
_MATRIX, _VALUE = 0, 1


@dataclass(frozen=True, slots=True)
class Draws:
    """The randomness of one run."""

    seed: int
    run: int
    sizes: Sizes
    dtype: np.dtype[np.floating]

    def matrix(self, matrix: Matrix, index: int, member: int) -> np.ndarray:
        """A member of a family, rows × columns; `index` is the family's place in the program."""
        rows, cols = self.sizes.of(matrix.rows), self.sizes.of(matrix.cols)
        out = np.empty((rows, cols), self.dtype)
        deviation = float(np.sqrt(matrix.variance.reshape(-1)[member] / cols))
        _fill(matrix.law, deviation, out.reshape(-1), self._stream(_MATRIX, index, member))
        return out

    def value(self, v: InitVector | InitScalar) -> np.ndarray:
        """An initial vector (coordinates first) or initial scalars."""
        rng = self._stream(_VALUE, v.id)
        out = np.empty(self.sizes.shape(v.type), self.dtype if v.type.axes else np.dtype(float))
        if v.law == "bernoulli":
            out[...] = rng.random(out.shape) < v.mean
            return out
        _fill(v.law, 1.0, out.reshape(-1), rng)
        if isinstance(v, InitVector) and v.covariance is not None:
            out = (out.reshape(-1, v.type.shape[-1]) @ _root(v.covariance).astype(out.dtype)).reshape(out.shape)
        else:
            out *= np.sqrt(v.variance)
        out += v.mean
        return out

    def _stream(self, *place: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.sizes.n, self.run, *place)))


def _fill(law: Law, deviation: float, out: np.ndarray, rng: np.random.Generator) -> None:
    """Independent entries of mean 0 and this standard deviation, into a flat array."""
    for start in range(0, len(out), _STRETCH):
        part = out[start : start + _STRETCH]
        match law:
            case "normal":
                rng.standard_normal(out=part, dtype=part.dtype.type)
                part *= deviation
            case "uniform":
                rng.random(out=part, dtype=part.dtype.type)
                part -= 0.5
                part *= deviation * 12.0**0.5
            case "rademacher":
                np.multiply(rng.integers(0, 2, len(part), dtype=np.int8), 2.0 * deviation, out=part, casting="unsafe")
                part -= deviation
            case "laplace":
                part[:] = rng.laplace(0.0, deviation * 0.5**0.5, len(part))
            case "bernoulli":
                raise AssertionError("a bernoulli has no mean 0")


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with RᵀR the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)
