"""Evaluations side by side: the same results in processes, in threads and one by one, and what happens when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nexortlang.core.build import Builder
from nexortlang.core.program import Width
from nexortlang.diagnostics.model import Diagnostic, NexortError
from nexortlang.jit.threads import each
from nexortlang.kets.particles import replicates
from nexortlang.kets.particles.replicates import Target
from nexortlang.kets.results import Estimate, Options
from nexortlang.processes import can_fork, side_by_side
from nexortlang.settings import processors

forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicates, "processors", lambda: 2)


@forks
def test_results_come_in_order_from_other_processes() -> None:
    found = list(side_by_side(lambda x: (x * x, os.getpid()), range(6), 2, fork=True))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize(("workers", "fork"), [(2, False), (1, True)])
def test_threads_where_processes_are_not_wanted(workers: int, fork: bool) -> None:
    assert set(side_by_side(lambda x: os.getpid(), range(4), workers, fork)) == {os.getpid()}


@forks
def test_no_copy_of_a_process_with_threads_that_may_hold_locks() -> None:
    each(lambda part: None, range(4), parallel=True)  # our own wait for work
    assert can_fork()
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert not can_fork()
        assert set(side_by_side(lambda x: os.getpid(), range(4), 2, fork=True)) == {os.getpid()}
    finally:
        stop.set()
        other.join()


@forks
def test_processes_share_the_processors_and_have_threads_of_their_own() -> None:
    each(lambda part: None, range(4), parallel=True)

    def work(argument: int) -> int:
        each(lambda part: None, range(4), parallel=True)
        return processors()

    assert set(side_by_side(work, range(4), 2, fork=True)) == {max(1, processors() // 2)}


@pytest.mark.parametrize("fork", [False, pytest.param(True, marks=forks)])
def test_an_error_is_raised_here_with_all_it_says(fork: bool) -> None:
    def work(argument: int) -> int:
        if argument == 2:
            raise NexortError(Diagnostic("NX505", "expected room", None, hint="less"))
        return argument

    results = side_by_side(work, range(8), 2, fork)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(NexortError) as caught:
        next(results)
    assert [(d.code, d.message, d.hint) for d in caught.value.diagnostics] == [("NX505", "expected room", "less")]


@forks
def test_what_a_dead_process_has_left_is_done_here() -> None:
    here = os.getpid()

    def work(argument: int) -> int:
        if argument == 3 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return argument

    assert list(side_by_side(work, range(6), 2, fork=True)) == list(range(6))


@forks
def test_what_has_not_begun_when_the_results_are_given_up_does_not_begin(tmp_path: Path) -> None:
    def work(argument: int) -> int:
        (tmp_path / str(argument)).touch()
        return argument

    results: Iterator[int] = side_by_side(work, range(100), 2, fork=True)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) < 100


SLEEPERS = """
import os, time
from nexortlang.processes import side_by_side
def work(x):
    os.write(1, f'{os.getpid()}\\n'.encode())
    time.sleep(60)
try:
    list(side_by_side(work, range(4), 2, True))
except KeyboardInterrupt:
    print('interrupted')
"""


def sleepers() -> tuple[subprocess.Popen[str], list[int]]:
    """A process with two others that sleep."""
    run = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert run.stdout is not None
    return run, [int(run.stdout.readline()) for _ in range(2)]


def assert_gone(processes: list[int]) -> None:
    end = time.monotonic() + 30
    while any(Path(f"/proc/{p}").exists() and Path(f"/proc/{p}/stat").read_text().split()[2] != "Z" for p in processes):
        assert time.monotonic() < end
        time.sleep(0.05)


@forks
def test_interrupted_it_ends_with_its_processes() -> None:
    run, others = sleepers()
    os.killpg(run.pid, signal.SIGINT)  # what the terminal sends
    out, err = run.communicate(timeout=30)
    assert out == "interrupted\n" and err == ""
    assert_gone(others)


@forks
def test_killed_it_leaves_no_process_behind() -> None:
    run, others = sleepers()
    run.kill()
    run.communicate(timeout=30)
    assert_gone(others)


@forks
@pytest.mark.usefixtures("two_processors")
def test_the_same_numbers_in_processes_and_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    b, n = Builder(), Width("n")
    W = b.matrix("W", n, n, np.array(1.0), "normal")
    h = b.matmul(W, np.array(0), False, b.init_vector("x", n, "normal", np.zeros(4), np.ones(4)))
    back = b.map("tanh", b.matmul(W, np.array(0), True, b.map("tanh", h)))
    wanted = [Target("scalar", b.inner("a,b->ab", back, back))]
    found = []
    for least in (0.0, np.inf):
        monkeypatch.setattr(replicates, "FORK_FROM", least)
        answers, _ = replicates.run(b.program, wanted, Options(samples=512, seed=3))
        found.append(answers[0])
    one, other = found
    assert isinstance(one, Estimate) and isinstance(other, Estimate)
    assert np.array_equal(one.value, other.value) and np.array_equal(one.stderr, other.stderr)
