"""When numba is worth its start-up: estimates of what NumPy, a compiled kernel and its compilation take.

In: expressions and sizes. Out: seconds, and the decision. The figures are nanoseconds per number as bench/jit_entrywise.py measures them; a factor
of two in them changes when numba starts, never a result.
"""

from __future__ import annotations

from functools import lru_cache

from nexortlang.entrywise.expression import Expression, schedule
from nexortlang.jit import loader
from nexortlang.jit.vector_math import TEMPLATES, helpers_in

_NUMPY = {
    "div": 0.5,
    "pow": 2.0,
    "and": 1.3,
    "or": 1.3,
    "not": 0.9,
    "exp": 0.7,
    "log": 0.8,
    "sqrt": 0.8,
    "sin": 6.0,
    "cos": 7.0,
    "tan": 1.3,
    "tanh": 1.2,
    "sigmoid": 5.0,
    "erf": 18.0,
    "leaky_relu": 0.8,
    "gelu": 25.0,
    "silu": 3.2,
    "softplus": 3.0,
    "where": 0.6,
    "clip": 0.6,
}
_JIT = {
    "div": 0.4,
    "pow": 9.0,
    "exp": 0.9,
    "log": 3.5,
    "sqrt": 0.6,
    "sin": 6.0,
    "cos": 7.0,
    "tan": 8.0,
    "tanh": 0.9,
    "sigmoid": 1.2,
    "erf": 2.9,
    "gelu": 3.3,
    "silu": 1.3,
    "softplus": 2.0,
}
_NUMPY_OTHER, _JIT_OTHER = 0.4, 0.1  # what is not listed: a pass over memory, an instruction
_NUMPY_CALL, _JIT_CALL = 1e-6, 5e-6  # seconds per operation on a block; per kernel

_START = 0.5  # importing numba, and its first call
_LOAD = 0.01  # a kernel from the disk
_COMPILE, _COMPILE_HELPER = 0.12, 0.15


@lru_cache(maxsize=4096)
def _per_number(roots: tuple[Expression, ...]) -> tuple[float, float, int, float]:
    """Nanoseconds in NumPy and compiled, the number of operations, seconds to compile."""
    ops = [e.op for e in schedule(roots) if e.args]
    numpy = sum(_NUMPY.get(op, _NUMPY_OTHER) for op in ops)
    jit = 0.2 + sum(_JIT.get(op, _JIT_OTHER) for op in ops)
    helpers = helpers_in(" ".join(TEMPLATES[op] for op in set(ops)))
    return numpy, jit, len(ops), _COMPILE + _COMPILE_HELPER * len(helpers) + 0.002 * len(ops)


SMALL = 2048
"""Fewer numbers than this are NumPy's without further thought."""

PARALLEL_FROM = 1e-3
"""Seconds of work from which threads are worth waking."""


def numpy_seconds(roots: tuple[Expression, ...], size: int, block: int) -> float:
    numpy, _, count, _ = _per_number(roots)
    return size * numpy * 1e-9 + count * _NUMPY_CALL * (1 + size // block)


def jit_seconds(roots: tuple[Expression, ...], size: int) -> float:
    """On one thread."""
    return size * _per_number(roots)[1] * 1e-9 + _JIT_CALL


class Ledger:
    """Adds up what compiling would have saved so far; a kernel is compiled once that exceeds its price.

    So a process pays at most about twice what the best decision in hindsight would have cost.
    """

    def __init__(self) -> None:
        self.saved: dict[str, float] = {}
        self.total = 0.0
        self.running = False

    def compiled_pays(self, source: str, roots: tuple[Expression, ...], numpy: float, jit: float) -> bool:
        """`numpy` and `jit`: seconds of the work at hand. To be asked once for each piece of work."""
        if loader.is_loaded(source):
            return jit < numpy
        if jit >= numpy:
            return False
        saved = self.saved[source] = self.saved.get(source, 0.0) + numpy - jit
        self.total += numpy - jit
        start = 0.0 if self.running else _START
        if saved < _LOAD or self.total < start + _LOAD:
            return False
        price = _LOAD if loader.is_on_disk(source) else _per_number(roots)[3]
        self.running |= saved >= price and self.total >= start + price
        return saved >= price and self.total >= start + price


LEDGER = Ledger()
