"""Random programs by the thousand: both evaluators of the limit, finite widths and the printed core against each other.

    python bench/soak.py --programs 10000 [--seconds S] [--seed K] [--first P]

Program number p of seed K is always the same. Prints every disagreement with a small program that shows it, and at the end how many programs there were, how the
limits were obtained and the worst deviation of each comparison in standard errors. Exit status 1 if there was a disagreement.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from judge import Findings, examine, shrunk
from random_programs import program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first program")
    parser.add_argument("--show", action="store_true", help="print the programs")
    options = parser.parse_args()
    start, count, wrong = time.monotonic(), 0, 0
    worst: dict[str, tuple[float, int]] = {}
    methods: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in range(options.first, options.first + options.programs):
        if time.monotonic() - start > options.seconds:
            break
        text = program(Random(f"{options.seed}/{number}"))
        if options.show:
            print(f"# program {number}\n{text}", flush=True)
        found = examine(text, seed=number)
        count += 1
        methods.update(found.methods)
        refused.update(found.refused)
        for kind, size in found.deviations.items():
            worst[kind] = max(worst.get(kind, (0.0, -1)), (size, number))
        if found.wrong:
            wrong += 1
            report(number, found)
    print(f"{count} programs, {wrong} with a disagreement, {time.monotonic() - start:.0f} s")
    print("numbers by method:", dict(methods), "refused:", dict(refused))
    for kind, (size, number) in worst.items():
        print(f"worst deviation, {kind}: {size:.2f} standard errors (program {number})")
    return 1 if wrong else 0


def report(number: int, found: Findings) -> None:
    """The disagreement, shrunk: the first sentence's kind must remain."""
    kind = found.wrong[0].split(":")[0]
    latest = found

    def fails(text: str) -> bool:
        nonlocal latest
        again = examine(text, seed=number)
        if any(sentence.startswith(kind) for sentence in again.wrong):
            latest = again
            return True
        return False

    small = shrunk(found.text, fails) if kind != "checker" else found.text
    print(f"---- program {number}", *latest.wrong, small, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
