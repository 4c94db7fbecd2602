"""Parts of one piece of work on all processors. Kernels and NumPy release the interpreter's lock, so plain threads do.

numba's own threading layers stay unused: compiling for them takes ten times as long, and OpenMP's workers spin while they wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from nexortlang.settings import processors

T = TypeVar("T")

THREAD_NAME = "nexort"


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors(), thread_name_prefix=THREAD_NAME)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a copy of this process has none of its threads


def each(work: Callable[[T], None], parts: Iterable[T], parallel: bool) -> None:
    """work(part) for every part; an exception in one is raised here."""
    if parallel and processors() > 1:
        for _ in _pool().map(work, parts):
            continue
    else:
        for part in parts:
            work(part)
