"""How honest the error bars are: for every sampled program with known truths, in how many of 100 seeds each truth lies within two standard errors.

    python bench/error_bars.py [seeds]

Prints one line per number: program, expression, truth, mean answer, root-mean-square error over the mean standard error, and the count.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from limits import limits_of_file, truths  # noqa: E402  (the tests' way to run a program, found beside this folder)


def main(seeds: int) -> None:
    for path in sorted((TESTS / "programs").glob("sampled_*.nxt")):
        known = truths(path)
        runs = [[s for s in limits_of_file(path, "--seed", str(seed)) if s.line in known] for seed in range(seeds)]
        for shown in zip(*runs, strict=True):
            truth = float(known[shown[0].line])
            values, errors = (np.array([float(getattr(s, field)) for s in shown]) for field in ("value", "stderr"))
            within = int(np.sum(np.abs(values - truth) <= 2 * errors + 1e-12))
            spread = np.sqrt(np.mean((values - truth) ** 2)) / max(float(np.mean(errors)), 1e-300)
            print(
                f"{path.stem:28} {shown[0].name:40} {shown[0].method:10} {truth:9.6f} {values.mean():9.6f} "
                f"error/stderr {spread if np.any(errors) else 0:5.2f}  within two: {within:3}/{seeds}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
