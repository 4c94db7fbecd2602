"""Initial operators on particles: hats and dots at once, from orthonormal bases and fresh innovations (THEORY.md §6).

In: the vectors that an initial matrix is applied to, as arrays of N particles. Out: the kets W x and Wᵀ y as arrays of N particles.
Guarantees: ⟨Wᵀy|u⟩ = (n/m)⟨y|Wu⟩ holds in the sample to rounding, for everything the matrix was applied to. Innovations are orthogonal to what the matrix met in the other orientation
(else that would not hold), centred, and orthogonal to the first directions of their width: initial vectors and earlier innovations.

**The size of an innovation.** The dot Q_y Ξ_yᵀx/N has a sampling error of x's size / √N along each of the r directions in Q_y. Were innovations of size 1, the squares of these errors
would make W x too large by a part r/N, at every N the same where r grows with N. At finite width nothing is added, since W x is fresh in the rest of the space only. So here: an
innovation is as much smaller as the error along what was met before is expected to be large (`Side._dot_error`). Late ones are those of a network of finite width N, and no more biased.

All families of vectors are stored with particles last, (members, columns, N): a basis grows by rows, and every product here is a thin matrix product.
The inner product is uᵀv/N throughout. Members are independent runs that go abreast, with as many directions each; where one has fewer, it has rows of 0.
"""

from __future__ import annotations

import math

import numpy as np

from nexortlang.core.program import Matrix
from nexortlang.entrywise.special import normal_quantile
from nexortlang.kets.particles import sobol

TOLERANCE = 1e-7
"""A direction that adds less than this, relative to its vector, is one the matrix has already met."""

EXACT, EXACT_SHARE, COARSE = 64, 1 / 8, 1.0
"""Once so many directions are set apart, or this part of N, as in long training, directions below COARSE / √N of their vector are dropped, too.

A hat's variance, and its response through the dot, then lack a part of at most COARSE² / N for each direction, a bias of order 1/N, which the comparison of two sizes sees.
Innovations are clear of each other up to the same part of N. Clear of the kets that matrices are applied to, too, they would be small where those are large. Measured on three hidden tanh layers, 50 steps, N = 1 024: a spread of 8e-3 instead of 1.1e-2, but a bias of
4e-3 that N = 2 048 has as well, so that two sizes do not show it (with innovations of size 1; of the right size, 2e-3).
"""

PRECISE = 1e-4
"""A rest of at least this size is clear of the basis, once projected, to twelve digits; a smaller one is projected twice."""

APART = 1e-3
"""What lies within this of what is already set apart needs no setting apart."""

MOST = 0.5
"""The part of N that may become directions of a matrix in one orientation; what it meets beyond is dropped, the smallest directions first."""

LEAST = 0.05
"""The least square of an innovation's size."""


def exact_directions(count: int) -> int:
    """How many directions of a width with so many particles are set apart, each to rounding."""
    return min(EXACT, int(EXACT_SHARE * count))


class Rows:
    """For each member a growing array of rows of N numbers."""

    def __init__(self, members: int, count: int) -> None:
        self._data = np.empty((members, 8, count))
        self.used = 0

    @property
    def array(self) -> np.ndarray:
        """(members, rows, N)."""
        return self._data[:, : self.used]

    @property
    def bytes(self) -> int:
        return self._data.nbytes

    def append(self, rows: np.ndarray) -> None:
        members, capacity, count = self._data.shape
        needed = self.used + rows.shape[1]
        if needed > capacity:
            grown = np.empty((members, max(needed, 2 * capacity), count))
            grown[:, : self.used] = self.array
            self._data = grown
        self._data[:, self.used : needed] = rows
        self.used = needed


def overlaps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Inner products of the rows of x with those of y."""
    return np.asarray(x @ y.swapaxes(-1, -2) / x.shape[-1])


def norms(x: np.ndarray) -> np.ndarray:
    """Of the rows of x."""
    return np.sqrt(np.mean(x * x, axis=-1))


def normalised(x: np.ndarray) -> np.ndarray:
    """The rows of x with norm 1; those that are 0 stay 0."""
    size = norms(x)[..., None]
    return x / np.where(size > 0.0, size, 1.0)


def project_out(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """x less its part in the span of orthonormal rows. Where little is left, digits are lost: normalise and do it again."""
    return x - overlaps(x, basis) @ basis if basis.shape[-2] else x


def independent_part(x: np.ndarray, tolerance: float, most: int) -> np.ndarray:
    """Orthonormal rows that span the rows of x (each of norm ≤ 1) up to `tolerance`; at most `most` of them, the largest directions.

    As many for each member as for the one that needs most, unless there are no more.
    """
    weights, directions = np.linalg.eigh(overlaps(x, x))
    needed = int(np.max(np.sum(weights > tolerance**2, axis=-1)))
    kept = slice(None, -min(needed, most) - 1, -1)
    return (directions[..., kept] * _inverse_root(weights[..., kept])).swapaxes(-1, -2) @ x


def orthonormalise(x: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """The rows nearest to x among those with qᵀq/N the projector onto its span up to `tolerance` (Löwdin): orthonormal where those of x are independent."""
    weights, directions = np.linalg.eigh(overlaps(x, x))
    return (directions * _inverse_root(weights, tolerance)) @ (directions.swapaxes(-1, -2) @ x)


def _inverse_root(weights: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Of the eigenvalues of Gram matrices, before the eigenvectors' last axis; 0 for what is no direction."""
    live = weights > tolerance**2
    return np.where(live, 1.0 / np.sqrt(np.where(live, weights, 1.0)), 0.0)[..., None, :]


class Space:
    """The particles of one width: their random columns and the directions that later innovations keep clear of."""

    def __init__(self, count: int, rng: np.random.Generator, members: int = 1) -> None:
        self.count = count
        self.members = members
        self._rng = rng
        self._dimension = 0
        self._taken = Rows(members, count)
        self._taken.append(np.ones((members, 1, count)))

    @property
    def tolerance(self) -> float:
        """From which relative size on a direction counts as new."""
        return TOLERANCE if self.room else COARSE / math.sqrt(self.count)

    @property
    def used(self) -> int:
        """How many directions are set apart."""
        return self._taken.used

    @property
    def bytes(self) -> int:
        return self._taken.bytes

    @property
    def room(self) -> int:
        """How many more directions can be set apart."""
        return max(0, exact_directions(self.count) - self.used)

    def uniforms(self, columns: int) -> np.ndarray:
        """Fresh columns of scrambled points in (0, 1)."""
        first, self._dimension = self._dimension, self._dimension + columns
        return sobol.points(self.count, first, columns, self._rng, self.members)

    def normals(self, columns: int) -> np.ndarray:
        """Fresh standard normal columns, centred, orthonormal, clear of what was set apart; themselves set apart from now on, as far as there is room."""
        z = normal_quantile(self.uniforms(columns))
        if columns + self.used >= self.count:
            return z
        z = orthonormalise(project_out(z, self._taken.array))
        self._taken.append(z[:, : self.room])
        return z

    def along(self, x: np.ndarray) -> np.ndarray:
        """Components of the rows of x along what is set apart, in its order."""
        return overlaps(x, self._taken.array)

    def set_apart(self, x: np.ndarray) -> None:
        """Later innovations will be orthogonal to the rows of x, as long as there is room."""
        if self.room:
            self._taken.append(independent_part(project_out(normalised(x), self._taken.array), APART, self.room))


class Side:
    """One orientation: an orthonormal basis Q of what the matrix was applied to, and the innovations Ξ of the results."""

    def __init__(self, inputs: Space, outputs: Space) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.basis = Rows(inputs.members, inputs.count)
        self.innovations = Rows(outputs.members, outputs.count)
        self._ages = np.empty(0, int)  # how many directions of their width were set apart before the innovations
        self._live = np.empty((inputs.members, 0))  # 1 for each direction that a member has, else 0
        self.lacking = False
        """Whether the basis may lack more of what it was made for than the tolerance, for want of room."""

    @property
    def tolerance(self) -> float:
        """From which relative size on a direction counts as new."""
        return max(self.outputs.tolerance, self.inputs.tolerance)

    def coordinates(self, x: np.ndarray, other: Side, found: np.ndarray | None = None) -> np.ndarray:
        """Qᵀx/N, (members, columns, directions), after the basis has been made to span x. `other`: the other orientation. `found`: Qᵀx/N before."""
        if found is None:
            found = overlaps(x, self.basis.array)
        most = int(MOST * x.shape[-1]) - self.basis.used
        if most <= 0:
            self.lacking = True
            return found
        new = self._new_directions(x, x - found @ self.basis.array, most)
        self.lacking = self.lacking or new.shape[1] >= most
        if not new.shape[1]:
            return found
        error = self._dot_error(new, other)
        self.basis.append(new)
        self._live = np.concatenate([self._live, norms(new) > 0.0], axis=1)
        self._innovate(np.sqrt(np.maximum(LEAST, 1.0 - error)), other)
        return np.concatenate([found, overlaps(x, new)], axis=-1)

    def _new_directions(self, x: np.ndarray, rest: np.ndarray, most: int) -> np.ndarray:
        """At most so many orthonormal rows for what the basis lacks of x, and has left as its rest."""
        size = norms(x)[..., None]
        new = independent_part(rest / np.where(size > 0.0, size, 1.0), self.tolerance, most)
        if new.shape[1] and self.tolerance < PRECISE:
            new = orthonormalise(project_out(new, self.basis.array))
        return new

    def _dot_error(self, new: np.ndarray, other: Side) -> np.ndarray:
        """The expected sum of squares of ⟨innovation|new direction⟩ over the other side's innovations, were they independent of it.

        An innovation is a random direction, clear of those set apart before it, and so of what the new direction has along them.
        """
        along = np.cumsum(self.inputs.along(new) ** 2, axis=-1)
        each = (1.0 - along[..., other._ages - 1]) / (new.shape[-1] - other._ages)
        return np.asarray(np.sum(each * other._live[:, None], axis=-1))

    def _innovate(self, sizes: np.ndarray, other: Side) -> None:
        """Innovations of these sizes, orthogonal to what the other side was applied to: a matrix stays adjoint to its transpose."""
        columns = sizes.shape[1]
        self._ages = np.concatenate([self._ages, np.full(columns, self.outputs.used)])
        z = self.outputs.normals(columns)
        if other.basis.used:
            z = orthonormalise(project_out(z, other.basis.array))
        self.innovations.append(sizes[..., None] * z)


class Operator:
    """One member of a family of initial matrices, n × m with entry variance s/m, acting on particles."""

    def __init__(self, rows: Space, cols: Space, ratio: float, variance: float) -> None:
        self._ratio = ratio
        self._deviation = math.sqrt(variance)
        self._forward = Side(cols, rows)
        self._backward = Side(rows, cols)

    @property
    def bytes(self) -> int:
        sides = self._forward, self._backward
        return sum(side.basis.bytes + side.innovations.bytes for side in sides)

    def side(self, transposed: bool) -> Side:
        """What W is applied to and what comes of it, or Wᵀ."""
        return self._backward if transposed else self._forward

    def coordinates(self, x: np.ndarray, transposed: bool, found: np.ndarray | None = None) -> np.ndarray:
        """Of x, (members, columns, N), in the basis of what W (or Wᵀ) is applied to, which is made to span it: (members, columns, directions). `found`: in the basis as it was."""
        return self.side(transposed).coordinates(x, self.side(not transposed), found)

    def apply(self, x: np.ndarray, transposed: bool, coordinates: np.ndarray | None = None) -> np.ndarray:
        """W x, or Wᵀ x, for x of shape (members, columns, N); if they are known, with its coordinates."""
        if self._deviation == 0.0:
            return np.zeros_like(x)
        y = self._hat(self.coordinates(x, transposed) if coordinates is None else coordinates, transposed)
        if self.side(not transposed).basis.used:
            y += self._dot(x, transposed)
        return y

    def _hat(self, coordinates: np.ndarray, transposed: bool) -> np.ndarray:
        """The Gaussian part: √s Ξ_x Q_xᵀ x/N."""
        scale = self._deviation * (self._ratio**0.5 if transposed else 1.0)
        return (scale * coordinates) @ self.side(transposed).innovations.array

    def _dot(self, x: np.ndarray, transposed: bool) -> np.ndarray:
        """The part along what the other orientation was applied to: √s √(m/n) Q_y Ξ_yᵀ x/N."""
        there = self.side(not transposed)
        scale = self._deviation * (self._ratio if transposed else self._ratio**-0.5)
        return (scale * overlaps(x, there.innovations.array)) @ there.basis.array


def operator(matrix: Matrix, member: int, rows: Space, cols: Space) -> Operator:
    """Member number `member` of a family, on the particles of its two widths."""
    ratio = float(matrix.rows.ratio / matrix.cols.ratio)
    return Operator(rows, cols, ratio, float(matrix.variance.reshape(-1)[member]))
