"""What the limit engine answers: values with how they were obtained and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nexortlang.settings import PATIENCE

Method = Literal["exact", "quadrature", "sampled"]
METHODS: tuple[Method, ...] = ("exact", "quadrature", "sampled")


CURVE = (np.arange(200) + 0.5) / 200
"""Probabilities at which a distribution's quantile function is told."""


def least_exact(*methods: Method) -> Method:
    """The weakest of several methods."""
    return max(methods, key=METHODS.index, default="exact")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A limit value. `stderr` has value's shape: 0 for exact, an error bound for quadrature, a standard error for sampled."""

    value: np.ndarray
    stderr: np.ndarray
    method: Method


@dataclass(frozen=True, slots=True)
class Distribution:
    """A coordinate's distribution, per finite entry (all arrays have the finite shape). `stderr` is of the mean.

    `quantiles` maps probabilities (0.05, 0.25, 0.5, 0.75, 0.95) to arrays. `skewness` and `kurtosis` (excess) are its shape; `atoms` lists
    values that carry probability, as (value, probability), for a single entry.
    `curve`, if known: the quantiles at CURVE, along a first axis. `variance_stderr`, `quantile_stderr` (by probability), … are standard errors of what
    was sampled, None where it was not.
    """

    mean: np.ndarray
    variance: np.ndarray
    quantiles: dict[float, np.ndarray]
    skewness: np.ndarray
    kurtosis: np.ndarray
    stderr: np.ndarray
    method: Method
    curve: np.ndarray | None = field(default=None, repr=False)
    curve_stderr: np.ndarray | None = field(default=None, repr=False)
    variance_stderr: np.ndarray | None = None
    quantile_stderr: dict[float, np.ndarray] | None = None
    skewness_stderr: np.ndarray | None = None
    kurtosis_stderr: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a user asks of the engine. `samples` None: as many particles as `tol` asks for, in about `patience` minutes."""

    tol: float = 1e-3
    samples: int | None = None
    seed: int = 0
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Answers in the order of program.shows and program.assertions (value and target). `reached`: sampled errors are within tol."""

    shows: list[Estimate | Distribution]
    assertions: list[tuple[Estimate, Estimate]]
    reached: bool
