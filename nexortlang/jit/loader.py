"""From kernel source to a callable, by numba, with a cache on disk that outlives the process.

In: the text of a module that defines `kernel`. Out: the compiled `kernel`, or None where numba cannot be used.
Guarantees: numba is imported on the first call, never earlier; a module file is named by the hash of its text and of the versions, written in one
step and never changed, so processes may share the folder; without a writable folder kernels work and are compiled anew.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from nexortlang.cache import cache_folder, write_atomically

_log = logging.getLogger(__name__)


@cache
def numba_version() -> str | None:
    """None if numba is not installed. Does not import it."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return None


@cache
def numba_works() -> bool:
    """Imports numba (about 0.2 s). An installation that NumPy or the processor does not suit fails here, not later."""
    try:
        import numba
    except Exception as error:  # numba raises ImportError, SystemError or its own, depending on what does not fit
        _log.warning("numba cannot be imported, large problems run on NumPy: %s", error)
        return False
    return bool(numba.njit)


def module_name(source: str) -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    text = "\n".join((source, python, version("numpy"), str(numba_version())))
    return "nexort_kernel_" + sha256(text.encode()).hexdigest()[:32]


def is_on_disk(source: str) -> bool:
    """Whether an earlier process has compiled this kernel, as far as can be told without numba."""
    folder = cache_folder()
    pattern = f"{module_name(source)}.kernel-*.nbi"
    return folder is not None and any((folder / "kernels" / "__pycache__").glob(pattern))


_loaded: dict[str, Callable[..., Any] | None] = {}


def is_loaded(source: str) -> bool:
    return source in _loaded


def load(source: str) -> Callable[..., Any] | None:
    """The kernel, compiled or from the cache."""
    if source not in _loaded:
        _loaded[source] = _load(source) if numba_works() else None
    return _loaded[source]


def _load(source: str) -> Callable[..., Any]:
    name = module_name(source)
    path = _stored(name, source)
    if path is not None:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # numba's cache and pickles find the kernel under this name
            try:
                spec.loader.exec_module(module)
                return _kernel(module)
            except (RuntimeError, OSError) as error:  # numba found no place for its cache files
                _log.info("kernel %s is compiled without a cache: %s", name, error)
    module = ModuleType(name)
    exec(compile(source.replace("cache=True", "cache=False"), f"<{name}>", "exec"), module.__dict__)
    return _kernel(module)


def _kernel(module: ModuleType) -> Callable[..., Any]:
    kernel: Callable[..., Any] = module.kernel
    return kernel


def _stored(name: str, source: str) -> Path | None:
    """The module's file, written if it is not there; None if it cannot be."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / "kernels" / f"{name}.py"
    if not _holds(path, source):
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, source)
    return path if _holds(path, source) else None


def _holds(path: Path, source: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == source
    except (OSError, UnicodeDecodeError):
        return False
