"""What a run may use: limits of this program, and the memory that the machine has left.

In: nothing but the operating system. Out: `available_memory()` in bytes, on every platform; engines compare their own
estimates with it and refuse a program (NX505) before it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

DEFAULT_MAX_STEPS = 1_000_000
"""How many statements a program may execute before it is taken for a mistake (NX506); `--max-steps` raises it."""

PATIENCE = 3.0
"""About how many minutes of two cores sampling may take where it can promise the tolerance; `--patience` changes it."""

MAX_SOURCE_BYTES = 50_000_000
"""A larger file is no program (NX501)."""

RECURSION_LIMIT = 6_000
"""Calls in calls: an expression of a thousand terms nests a few Python calls per term. Deeper, the C stack could end first."""

_UNKNOWN_MEMORY = 4 << 30

_sharers = 1


def processors() -> int:
    """How many processors this process may use, at least one."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // _sharers)


def take_share(sharers: int) -> None:
    """This process is one of so many that share the processors."""
    global _sharers
    _sharers = sharers


def available_memory() -> int:
    """Bytes that can be allocated now: the smallest of what the system has left and what a container's limit leaves."""
    return min(_limits(), default=_UNKNOWN_MEMORY)


def _limits() -> Iterator[int]:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
            break
    else:
        yield from _physical()
    # cgroup v2, then v1: the files are there only inside a limited group.
    yield from _group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
    yield from _group("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def _physical() -> Iterator[int]:
    """All physical memory, where the system tells no more than that."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group(limit_file: str, usage_file: str) -> Iterator[int]:
    limit, usage = (next(iter(_lines(f)), "") for f in (limit_file, usage_file))
    if limit.isdigit() and usage.isdigit():
        yield max(0, int(limit) - int(usage))


def _lines(path: str) -> list[str]:
    """The lines of a system file, none if there is no such file."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
