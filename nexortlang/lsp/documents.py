"""The files that a client has open, and what is known of each.

In: texts as they change. Out: analyses of the newest text, made one after the other on a thread of their own; told to `publish` when typing pauses. Guarantees: the thread of the
protocol never waits; an analysis of an old text ends at once; a file is looked at again when a module that it imports has changed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pygls.uris import to_fs_path

from nexortlang.editor.analysis import Analysis, Reading, analyse, read
from nexortlang.editor.files import OpenFiles
from nexortlang.editor.project import Project
from nexortlang.lsp.positions import Positions
from nexortlang.settings import RECURSION_LIMIT
from nexortlang.source import Source
from nexortlang.syntax import ast

PAUSE = 0.15
"""Seconds without a change after which diagnostics are made."""

PATIENCE = 0.5
"""Seconds that somebody who is typing waits for the first analysis of a file."""

STACK_BYTES = 64 << 20
"""Address space for the analysing thread: deep expressions nest deep calls, and other threads than the first have small stacks on some systems."""


class Document:
    """One version of an open file."""

    def __init__(self, uri: str, text: str, version: int | None, encoding: str) -> None:
        path = to_fs_path(uri) if uri.startswith("file:") else None
        self.uri = uri
        self.version = version
        self.path = Path(path) if path else None
        self.source = Source(str(self.path or uri), text)
        self.positions = Positions(text, encoding)
        self.is_stale = False
        self.latest: Analysis | None = None
        self.task: asyncio.Future[Analysis] | None = None

    @property
    def folder(self) -> Path:
        return self.path.parent if self.path is not None else Path()

    @cached_property
    def reading(self) -> Reading:
        return read(self.source)


class Documents:
    """All open files. `publish` gets a document and its analysis, and the last time None: it was closed."""

    def __init__(self, publish: Callable[[Document, Analysis | None], None]) -> None:
        self.encoding = "utf-16"
        self.root: Path | None = None
        self._publish = publish
        self._open: dict[str, Document] = {}
        self._tables: dict[tuple[Path, int, int], np.ndarray] = {}
        self._pending: set[asyncio.Task[None]] = set()
        self._is_closing = False
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
        threading.stack_size(STACK_BYTES)
        self._thread = ThreadPoolExecutor(1, "analysis")
        self._thread.submit(int).result()  # it exists now, with the stack it needs
        threading.stack_size(0)

    def close_all(self) -> None:
        """Ends what is going on."""
        self._is_closing = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------ texts

    def put(self, uri: str, text: str, version: int | None, *, at_once: bool = False) -> None:
        """A file was opened, or its text has changed."""
        old = self._open.get(uri)
        document = Document(uri, text, version, self.encoding)
        if old is not None:
            old.is_stale = True
            document.latest = old.latest
        self._open[uri] = document
        self._soon(self._tell(document, 0 if at_once else PAUSE))

    def remove(self, uri: str) -> None:
        """A file was closed; its mistakes are no longer shown."""
        document = self._open.pop(uri, None)
        if document is not None:
            document.is_stale = True
            self._publish(document, None)

    def look_again(self) -> None:
        """Files on the disk have changed, which any of the open ones may read."""
        for document in list(self._open.values()):
            self.put(document.uri, document.source.text, document.version)

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    @property
    def texts(self) -> dict[Path, str]:
        """The text of every open file, by its resolved path."""
        return {d.path.resolve(): d.source.text for d in self._open.values() if d.path is not None}

    def files(self, folder: Path) -> OpenFiles:
        return OpenFiles(folder, self.texts, self._tables)

    def positions(self, source: Source) -> Positions:
        """The lines of any source, open or not."""
        for document in self._open.values():
            if document.source is source:
                return document.positions
        return Positions(source.text, self.encoding)

    def uri(self, source: Source) -> str | None:
        """How the client names the file of a source; None for what is no file."""
        path = Path(source.name)
        for document in self._open.values():
            if document.source is source or (document.path is not None and document.path.resolve() == path.resolve()):
                return document.uri
        return path.resolve().as_uri() if path.is_file() else None

    @property
    def project(self) -> Project | None:
        """The files around; None when the client has opened no folder."""
        return Project(self.root, self.files) if self.root is not None else None

    # ------------------------------------------------------------------------ analyses

    async def analysis(self, document: Document) -> Analysis:
        """The analysis of this version, made now if there is none yet."""
        if document.task is None:
            files = self.files(document.folder)
            loop = asyncio.get_running_loop()
            document.task = loop.run_in_executor(self._thread, self._analyse, document, files)
        document.latest = await asyncio.shield(document.task)
        return document.latest

    async def known(self, document: Document) -> Analysis:
        """The last analysis of this file, of an older version perhaps, or what the text alone says: for what cannot wait."""
        if document.latest is not None:
            return document.latest
        try:
            return await asyncio.wait_for(self.analysis(document), PATIENCE)
        except TimeoutError:
            return Analysis(document.reading, self.files(document.folder))

    def _analyse(self, document: Document, files: OpenFiles) -> Analysis:
        return analyse(document.reading, files, is_stale=lambda: document.is_stale or self._is_closing)

    async def _tell(self, document: Document, pause: float) -> None:
        """Publishes, unless the text changes before that; then looks at the files that import this one."""
        await asyncio.sleep(pause)
        if document.is_stale:
            return
        analysis = await self.analysis(document)
        if document.is_stale:
            return
        self._publish(document, analysis)
        for other in list(self._open.values()):
            if other is not document and document.path is not None and self._imports(other, document.path):
                other.task = None
                again = await self.analysis(other)
                if not other.is_stale:
                    self._publish(other, again)

    def _imports(self, document: Document, path: Path) -> bool:
        """Whether a file imports another, itself or through others, as far as it is known."""
        analysis = document.latest
        if analysis is None:
            return False
        seen: set[str] = set()
        todo = [document.reading]
        while todo:
            reading = todo.pop()
            for member in reading.names.members:
                if member.kind != "module" or not isinstance(member.owner, ast.Name | ast.String):
                    continue
                module = analysis.module(member.owner)
                if module is not None and module.source.name not in seen:
                    if Path(module.source.name).resolve() == path.resolve():
                        return True
                    seen.add(module.source.name)
                    todo.append(module)
        return False

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
