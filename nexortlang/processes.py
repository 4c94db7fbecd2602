"""Independent evaluations side by side: in forked processes where that is safe and worth it, else in threads.

In: a function and its arguments. Out: the results in the order of the arguments, as they come.
Guarantees: an exception of the function is raised here; interrupted, nothing that has not begun begins, and processes end; they end with this one, however it ends.

Threads share Python's lock, so that only what NumPy and kernels do goes on side by side. Measured on two processors with randomisations of 50 steps of
SGD, 512 and 1,024 particles: 1.9 and 1.7 times as fast in two processes, 0.9 and 1.3 times in two threads.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from nexortlang.jit.threads import THREAD_NAME
from nexortlang.settings import take_share

_PARENT_DEATH_SIGNAL = 1
"""Linux's name of the option that ends a process with its parent (prctl(2))."""

A = TypeVar("A")
R = TypeVar("R")


def side_by_side(function: Callable[[A], R], arguments: Sequence[A], workers: int, fork: bool) -> Iterator[R]:
    """function(argument) for each, so many at once. `fork`: in processes if possible, so that what the function changes stays there."""
    done = 0
    if fork and min(workers, len(arguments)) > 1 and can_fork():
        try:
            for result in _results(_processes(function, workers), _inherited, arguments):
                yield result
                done += 1
            return
        except BrokenProcessPool:  # the system has ended one, as a rule for want of memory: the rest one by one
            workers = 1
    yield from _results(ThreadPoolExecutor(workers), function, arguments[done:])


def can_fork() -> bool:
    """Whether a copy of this process can work: no other thread may hold a lock, which nobody would release in the copy."""
    others = (t for t in threading.enumerate() if t is not threading.current_thread())
    return sys.platform == "linux" and all(t.name.startswith(THREAD_NAME) for t in others)


def _results(pool: Executor, function: Callable[[A], R], arguments: Sequence[A]) -> Iterator[R]:
    try:
        with warnings.catch_warnings():  # Python cannot tell that idle threads of our own hold no locks
            warnings.simplefilter("ignore", DeprecationWarning)
            results = pool.map(function, arguments)
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


_function: Callable[[Any], Any] | None = None
"""In a forked process: what it evaluates. Inherited with the memory, a plan of many thousand values need not be sent."""


def _inherited(argument: Any) -> Any:
    assert _function is not None, "set when the process begins"
    return _function(argument)


def _processes(function: Callable[[A], R], workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, context, partial(_begin, function, workers))


def _begin(function: Callable[[Any], Any], workers: int) -> None:
    global _function
    _function = function
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # interrupted, it ends without a word
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # it would wait for work for ever
    gc.freeze()  # what is inherited is never garbage here; to look through it would copy it
    take_share(workers)
