"""Special functions that NumPy lacks, vectorised in plain NumPy (scipy is not a run-time dependency)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

erf: Any = np.vectorize(math.erf, otypes=[float])


def normal_cdf(x: Any) -> Any:
    """Φ(x)."""
    return 0.5 * (1.0 + erf(np.asarray(x, dtype=float) / math.sqrt(2.0)))
