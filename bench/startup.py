"""How long a command takes as a whole process: `python bench/startup.py [repetitions]`.

Prints the median and the spread over repetitions, once with warm caches and once with empty ones. The figures depend on the
machine; those in bench/README.md say on which.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def hundred_lines() -> str:
    """A program of 100 lines that uses most of the language."""
    lines = [
        "width n",
        "const X = [[1, 0, 1], [0, 1, 1]]",
        "U[n, 3] ~ normal(0, 1/3)",
        "def act(x) = tanh(x) + 0.1 * relu(x)",
        "h0 = U @ X.T",
    ]
    for k in range(1, 24):
        lines += [f"W{k}[n, n] ~ normal(0, 1/n)  # layer {k}", f"b{k}[n] ~ normal(0, 0.1)", f"x{k} = act(h{k - 1})"]
        lines += [f"h{k} = W{k} @ x{k} + b{k} - avg(x{k})"]
    return "\n".join([*lines, "v[n] ~ normal(0, 1)", "f = sqrt(n) * <v|h23>", "show cov(f)"]) + "\n"


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and words of each command that is measured."""
    program = folder / "hundred.nxt"
    program.write_text(hundred_lines())
    nexort = [str(Path(sys.executable).with_name("nexort"))]
    yield "python, doing nothing", [sys.executable, "-c", ""]
    yield "python, import numpy", [sys.executable, "-c", "import numpy"]
    yield "nexort --help", [*nexort, "--help"]
    yield f"nexort check, {hundred_lines().count(chr(10))} lines", [*nexort, "check", str(program)]
    yield "nexort examples/first.nxt", [*nexort, str(ROOT / "examples" / "first.nxt")]
    yield "nexort examples/digits_nngp.nxt", [*nexort, str(ROOT / "examples" / "digits_nngp.nxt")]


def seconds(words: list[str], cache: str) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "NEXORT_CACHE": cache})
    return time.perf_counter() - start


def main(repetitions: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'seconds':36}  {'median':>7}  {'least':>7}  {'most':>7}  {'no cache':>8}")
        for name, words in commands(Path(folder)):
            empty = []
            for k in range(3):
                with tempfile.TemporaryDirectory(dir=folder, prefix=f"cache{k}") as cache:
                    empty.append(seconds(words, cache))
            seconds(words, f"{folder}/warm")
            warm = [seconds(words, f"{folder}/warm") for _ in range(repetitions)]
            figures = (statistics.median(warm), min(warm), max(warm))
            print(f"{name:36}  " + "  ".join(f"{s:7.3f}" for s in figures) + f"  {statistics.median(empty):8.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
