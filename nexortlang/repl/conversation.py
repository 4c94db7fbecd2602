"""What a prompt remembers: the session, its options, the file it came from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nexortlang.cli import tell
from nexortlang.driver import Outcome, Request
from nexortlang.experiments import SEEDS, WIDTH
from nexortlang.reading import read_source
from nexortlang.report.console import Console, Progress
from nexortlang.session import Session
from nexortlang.source import Source


@dataclass
class Conversation:
    """`request` is how it began. `width` and `seeds` are those of runs at finite width. `seconds`: how long the last answer took. `own`: files that hold the session's program."""

    request: Request
    console: Console
    width: int = WIDTH
    seeds: int = SEEDS
    seconds: float | None = None
    file: str = ""
    own: set[Path] = field(default_factory=set)
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = Session(self.request)

    def run(self, text: str) -> None:
        """Runs statements and tells what they show."""
        with self.working() as progress:
            outcome = self.session.run(Source("<input>", text), progress)
        self.tell(outcome)

    def tell(self, outcome: Outcome, name: str = "<input>") -> None:
        tell(outcome, self.console, name, self.session.request.seed)

    def load(self, file: str) -> None:
        """Begins anew with the program in a file, unless the program is wrong."""
        self.file = file
        source = read_source(file)
        session = Session(replace(self.session.request, folder=Path(file).parent))
        try:
            with self.working() as progress:
                outcome = session.run(source, progress)
        finally:
            if session.entries:
                self.session = session
                self.own.add(Path(file).resolve())
        self.tell(outcome, file)

    @contextmanager
    def working(self) -> Iterator[Progress]:
        """Work whose progress is told and whose time is taken."""
        begun = time.perf_counter()
        try:
            with Progress(self.console.quiet) as progress:
                yield progress
        finally:
            self.seconds = time.perf_counter() - begun
