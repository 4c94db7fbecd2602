"""Parts of one piece of work on all processors. Kernels and NumPy release the interpreter's lock, so plain threads do.

numba's own threading layers stay unused: compiling for them takes ten times as long, and OpenMP's workers spin while they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from nexortlang.jit.costs import threads

T = TypeVar("T")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="nexort")


def each(work: Callable[[T], None], parts: Iterable[T], parallel: bool) -> None:
    """work(part) for every part; an exception in one is raised here."""
    if parallel and threads() > 1:
        for _ in _pool().map(work, parts):
            continue
    else:
        for part in parts:
            work(part)
