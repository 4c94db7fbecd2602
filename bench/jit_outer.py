"""OuterNonlin: pairs per second of outer_mean, against NumPy and against C.

    python bench/jit_outer.py [PARTICLES]

z[i] = avg[j](sign(x[i] * y[j]) * z[j]) and the same with tanh: by the compiled kernel, by its NumPy fallback, by a NumPy broadcast in blocks as one would
write it by hand, and by the plain double loop in C (gcc -O3 -march=native, one thread; left out if there is no gcc).
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nexortlang.entrywise.expression import build, leaf
from nexortlang.jit import outer_mean
from nexortlang.settings import processors

C_TEXT = """
#include <math.h>
static double sign(double v) { return (v > 0.0) - (v < 0.0); }
void f_sign(long n, const double *restrict x, const double *restrict y, const double *restrict z, double *restrict out) {
    for (long i = 0; i < n; i++) {
        double sum = 0.0;
        for (long j = 0; j < n; j++) sum += sign(x[i] * y[j]) * z[j];
        out[i] = sum / n;
    }
}
void f_tanh(long n, const double *restrict x, const double *restrict y, const double *restrict z, double *restrict out) {
    for (long i = 0; i < n; i++) {
        double sum = 0.0;
        for (long j = 0; j < n; j++) sum += tanh(x[i] * y[j]) * z[j];
        out[i] = sum / n;
    }
}
"""


def seconds(run: Callable[[], np.ndarray], repeats: int = 3) -> tuple[float, np.ndarray]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        value = run()
        times.append(time.perf_counter() - start)
    return min(times), value


def broadcast(phi: Callable[[np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """By hand: blocks of rows, a matrix-vector product for the average."""
    rows = max(1, 2**18 // len(y))
    blocks = [phi(x[i : i + rows, None] * y) @ z for i in range(0, len(x), rows)]
    return np.concatenate(blocks) / len(y)


def c_library() -> ctypes.CDLL | None:
    if shutil.which("gcc") is None:
        return None
    folder = Path(tempfile.mkdtemp())
    (folder / "outer.c").write_text(C_TEXT)
    command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", folder / "outer.so", folder / "outer.c", "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "outer.so"))


def main(n: int) -> None:
    x, y, z = np.random.default_rng(0).standard_normal((3, n))
    library = c_library()
    print(f"{n} x {n} pairs, {processors()} threads; pairs per second, and how many times as fast the kernel is")
    for name, phi in (("sign", np.sign), ("tanh", np.tanh)):
        e = build("mul", build(name, build("mul", leaf(0), leaf(1))), leaf(2))

        def ours(engine: str, e: object = e) -> np.ndarray:
            return outer_mean(e, {0: x}, {1: y, 2: z}, engine=engine)  # type: ignore[arg-type]

        ours("numba")
        results = {"kernel": seconds(lambda f=ours: f("numba")), "fallback": seconds(lambda f=ours: f("numpy"), 1)}
        results["broadcast"] = seconds(lambda f=phi: broadcast(f, x, y, z))
        if library is not None:
            out = np.empty(n)
            pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, y, z, out)]

            def in_c(
                f: object = getattr(library, f"f_{name}"), p: list[ctypes.c_void_p] = pointers, o: np.ndarray = out
            ) -> np.ndarray:
                f(ctypes.c_long(n), *p)  # type: ignore[operator]
                return o.copy()

            results["C"] = seconds(in_c, 1 if name == "tanh" else 3)
        kernel, value = results["kernel"]
        for way, (taken, found) in results.items():
            error = np.abs(found - value).max()
            print(f"{name:6}{way:12}{n * n / taken:10.3g}{taken / kernel:10.1f}   differs by {error:.0e}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8192)
