"""Random programs by the thousand: both evaluators of the limit, finite widths and the printed core against each other.

    python bench/soak.py [--programs 10000] [--jobs N] [--seconds S] [--seed K] [--first P] [--limit S] [--tangent] [--out FILE]

Program number p of seed K is always the same, and so are its numbers, whatever the number of processes. Prints every disagreement, then a small program that
shows it; at the end how many programs there were, how the limits were obtained, and for each comparison how many deviations there are beyond 1, 2, 3, 4 standard errors, how many
a normal distribution would have there, and the worst. A program that ends its process or takes longer than the limit is reported, and the run goes on.
`--out` keeps the same as JSON, written anew with every line of progress. Exit status 1 if anything was reported.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import erfc
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

PROGRESS = 15.0
"""Seconds between lines of progress."""
SHRINK_LIMIT = 10
"""How many times longer than a program its shrinking may take."""
BEYOND = (1, 2, 3, 4)
SLOWEST = 10

Kind: TypeAlias = Literal["examine", "shrink"]


class Job(NamedTuple):
    """What to do with one program. `sentence`: what a smaller one must show, too."""

    kind: Kind
    number: int
    sentence: str = ""


# ---------------------------------------------------------------------------- in a process of its own


def generator(tangent: bool) -> Callable[[Random], str]:
    """What writes the programs."""
    import random_programs
    import random_tangent

    return random_tangent.program if tangent else random_programs.program


def serve(connection: Connection, seed: int, tangent: bool, processor: int | None) -> None:
    """Answers jobs until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if processor is not None:
        os.sched_setaffinity(0, {processor})
    from judge import examine

    program = generator(tangent)
    connection.send(None)
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        start, text = time.monotonic(), ""
        try:
            text = program(Random(f"{seed}/{job.number}"))
            answer = shrink(text, job) if job.kind == "shrink" else told(examine(text, seed=job.number))
        except Exception:
            answer = {"wrong": [f"raised: {traceback.format_exc()}"]}
        connection.send(answer | {"text": answer.get("text", text), "seconds": time.monotonic() - start})


def told(found: Any) -> dict[str, Any]:
    """A program's findings, as plain data."""
    fields = ("wrong", "deviations", "first", "again", "methods", "refused")
    return {name: getattr(found, name) for name in fields}


def shrink(text: str, job: Job) -> dict[str, Any]:
    """A smaller program with a disagreement of the same kind."""
    from judge import examine, shrunk

    kind = job.sentence.split(":")[0]
    latest = [job.sentence]

    def fails(candidate: str) -> bool:
        again = examine(candidate, seed=job.number).wrong
        if any(sentence.startswith(kind) for sentence in again):
            latest[:] = again
            return True
        return False

    small = shrunk(text, fails) if kind not in ("checker", "raised") else text
    return {"wrong": latest, "text": small}


# ---------------------------------------------------------------------------- many processes


class Worker:
    """A process, and the job it has."""

    def __init__(self, seed: int, tangent: bool, processor: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._settings = seed, tangent, processor
        self.connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, *self._settings), daemon=True)
        self._process.start()
        other.close()
        self.job: Job | None = None
        self.ready = False
        self.since = time.monotonic()

    def give(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        self.connection.send(job)

    def end(self) -> str:
        """Stops the process; how it ended, if it had by itself."""
        self._process.join(0.2)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self.connection.close()
        return f"the process ended with status {code}"

    def another(self) -> Worker:
        return Worker(*self._settings)


@dataclass(slots=True)
class Tally:
    """What all programs together said."""

    programs: int = 0
    again: int = 0
    seconds: float = 0.0
    reported: dict[int, dict[str, Any]] = field(default_factory=dict)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)
    first: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    methods: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, int]] = field(default_factory=list)
    suspects: list[tuple[int, str, float]] = field(default_factory=list)

    def add(self, number: int, answer: dict[str, Any]) -> None:
        self.programs += 1
        self.seconds += answer["seconds"]
        self.again += answer.get("again", 0)
        self.methods.update(answer.get("methods", ()))
        self.refused.update(answer.get("refused", ()))
        self.slowest = sorted([*self.slowest, (round(answer["seconds"], 2), number)], reverse=True)[:SLOWEST]
        for kind, size in answer.get("deviations", {}).items():
            self.worst[kind] = max(self.worst.get(kind, (0.0, -1)), (size, number))
        for kind, sizes in answer.get("first", {}).items():
            self.first.setdefault(kind, []).extend(sizes)
            if (largest := max((size for size, _ in sizes), default=0.0)) > BEYOND[-1]:
                self.suspects.append((number, kind, round(largest, 2)))
        if answer["wrong"]:
            self.report(number, answer["wrong"], answer["text"])

    def report(self, number: int, wrong: list[str], text: str) -> None:
        self.reported[number] = {"number": number, "wrong": wrong, "text": text}
        print(f"---- program {number}", *wrong, text, sep="\n", flush=True)

    def comparisons(self) -> dict[str, dict[str, Any]]:
        """Of each comparison: how many numbers, how precisely, how far off at the first look, and the worst after the second."""
        found = {}
        for kind, pairs in self.first.items():
            size, error = np.array(pairs).T
            found[kind] = {
                "numbers": len(size),
                "standard_error_median": float(np.median(error)),
                "beyond": {str(k): int((size > k).sum()) for k in BEYOND},
                "beyond_if_normal": {str(k): round(len(size) * erfc(k / 2**0.5), 2) for k in BEYOND},
                "worst_first": float(size.max()),
                "worst": self.worst[kind][0],
                "worst_program": self.worst[kind][1],
            }
        return found

    def as_json(self, options: argparse.Namespace, seconds: float, finished: bool) -> dict[str, Any]:
        return {
            "seed": options.seed,
            "tangent": options.tangent,
            "first": options.first,
            "programs": self.programs,
            "finished": finished,
            "jobs": options.jobs,
            "seconds": round(seconds, 1),
            "seconds_of_one_program": round(self.seconds / max(1, self.programs), 4),
            "reported": list(self.reported.values()),
            "looked_at_again": self.again,
            "largest_first_looks": self.suspects,
            "comparisons": self.comparisons(),
            "methods": dict(self.methods),
            "refused": dict(self.refused),
            "slowest": self.slowest,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
        }

    def say(self, seconds: float) -> None:
        """The end of the run, for people."""
        print(f"{self.programs} programs, {len(self.reported)} reported, {seconds:.0f} s; ", end="")
        print(f"{self.seconds / max(1, self.programs):.3f} s for one program, {self.again} numbers looked at again")
        print("numbers by method:", dict(self.methods), "refused:", dict(self.refused))
        for kind, c in self.comparisons().items():
            print(f"{kind}: {c['numbers']} numbers, standard error {c['standard_error_median']:.1e} (median)")
            print(
                "  beyond 1, 2, 3, 4 at first:", *c["beyond"].values(), "(normal:", *c["beyond_if_normal"].values(), ")"
            )
            print(
                f"  worst {c['worst_first']:.2f} at first, {c['worst']:.2f} in the end (program {c['worst_program']})"
            )
        for entry in self.reported.values():
            print(f"reported: program {entry['number']}: {entry['wrong'][0].splitlines()[0]}")


class Soak:
    """Hands out programs to processes and gathers what they say."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._start = time.monotonic()
        self._numbers = iter(range(options.first, options.first + options.programs))
        self._shrinks: deque[Job] = deque()
        self._said = self._start
        self.tally = Tally()

    def run(self) -> bool:
        """Until all programs are done, or the time is over. Whether all were done."""
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        processors = [allowed[k % len(allowed)] if allowed else None for k in range(self._options.jobs)]
        workers = [Worker(self._options.seed, self._options.tangent, p) for p in processors]
        try:
            while workers:
                self._listen(workers)
                self._progress()
        finally:
            for w in workers:
                w.end()
        return next(self._numbers, None) is None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def _listen(self, workers: list[Worker]) -> None:
        """Takes the next answers, ends what takes too long, hands out jobs."""
        heard = wait([w.connection for w in workers], timeout=0.5)
        for k, w in enumerate(list(workers)):
            if w.connection in heard:
                try:
                    self._take(w, w.connection.recv())
                except (EOFError, OSError):
                    self._lost(w, w.end())
                    workers[k] = w.another()
            elif w.ready and w.job and time.monotonic() - w.since > self._allowed(w.job):
                w.end()
                self._lost(w, f"took longer than {self._allowed(w.job):.0f} s")
                workers[k] = w.another()
        for w in list(workers):
            if w.ready and w.job is None:
                job = self._next()
                if job is None:
                    workers.remove(w)
                    w.end()
                else:
                    w.give(job)

    def _allowed(self, job: Job) -> float:
        return float(self._options.limit) * (SHRINK_LIMIT if job.kind == "shrink" else 1)

    def _next(self) -> Job | None:
        if self.seconds > self._options.seconds:
            return None
        if self._shrinks:
            return self._shrinks.popleft()
        number = next(self._numbers, None)
        return None if number is None else Job("examine", number)

    def _take(self, w: Worker, answer: dict[str, Any] | None) -> None:
        job, w.job, w.ready = w.job, None, True
        if job is None or answer is None:
            return
        if job.kind == "shrink":
            self.tally.reported[job.number] |= {"small": answer["text"], "small_wrong": answer["wrong"]}
            print(f"---- program {job.number}, smaller", *answer["wrong"], answer["text"], sep="\n", flush=True)
            return
        self.tally.add(job.number, answer)
        if answer["wrong"] and self._options.shrink:
            self._shrinks.append(Job("shrink", job.number, answer["wrong"][0]))

    def _lost(self, w: Worker, how: str) -> None:
        """A process is gone, and with it the answer."""
        if not w.ready:
            raise SystemExit(f"a process did not start: {how}")
        if w.job is None:
            return
        if w.job.kind == "shrink":
            print(f"---- program {w.job.number} was not shrunk: {how}", flush=True)
            return
        text = generator(self._options.tangent)(Random(f"{self._options.seed}/{w.job.number}"))
        self.tally.programs += 1
        self.tally.report(w.job.number, [f"no answer: {how}"], text)

    def _progress(self) -> None:
        if time.monotonic() - self._said < PROGRESS:
            return
        self._said = time.monotonic()
        t = self.tally
        print(
            f"# {self.seconds:.0f} s: {t.programs} of {self._options.programs} programs, {len(t.reported)} reported, worst ",
            ", ".join(f"{kind} {size:.2f}" for kind, (size, _) in t.worst.items()),
            sep="",
            flush=True,
        )
        self.save(finished=False)

    def save(self, finished: bool) -> None:
        if self._options.out:
            part = self._options.out.with_suffix(".part")
            part.write_text(json.dumps(self.tally.as_json(self._options, self.seconds, finished), indent=1))
            part.replace(self._options.out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no program after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first program")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that one program may take")
    parser.add_argument("--tangent", action="store_true", help="programs of the tangent regime")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="leave disagreements as they are")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read by NumPy in the processes that are started from here
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    soak, finished = Soak(options), False
    try:
        finished = soak.run()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    soak.save(finished)
    soak.tally.say(soak.seconds)
    return 1 if soak.tally.reported or not finished else 0


if __name__ == "__main__":
    sys.exit(main())
