"""A pytest-lsp client that knows one folder and waits for what is published about one version of a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient
from pygls.protocol import default_converter
from pytest_lsp import ClientServerConfig
from pytest_lsp import LanguageClient as TestedClient

PATIENCE = 60
"""Seconds after which an answer is taken for lost."""


class Client(TestedClient):
    """Parameters of requests by file name, `published` diagnostics, the `registrations` asked for, and how the server `leave`s."""

    def __init__(self) -> None:
        super().__init__(converter_factory=default_converter)
        self.folder = Path()
        self.registrations: list[types.Registration] = []
        self.answered: types.InitializeResult
        self._published: list[types.PublishDiagnosticsParams] = []
        self._news = asyncio.Event()
        self.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(_keep_diagnostics)
        self.feature(types.CLIENT_REGISTER_CAPABILITY)(_keep_registrations)

    async def start_io(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        """Starts the server; what it writes to standard error is kept instead of shown."""
        await LanguageClient.start_io(self, cmd, *args, **kwargs)
        self._errors = asyncio.create_task(self._server.stderr.read())

    async def enter(self, folder: Path, capabilities: types.ClientCapabilities) -> None:
        self.folder = folder
        params = types.InitializeParams(capabilities, root_uri=folder.as_uri())
        self.answered = await self.initialize_session(params)

    async def leave(self) -> None:
        """The server ends as the protocol says, and has said nothing beside it."""
        await asyncio.wait_for(self.shutdown_session(), PATIENCE)
        assert self._server.returncode == 0 and await self._errors == b""

    def keep(self, params: types.PublishDiagnosticsParams) -> None:
        """What `published` will find."""
        self._published.append(params)
        self._news.set()

    # -- documents

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        item = types.TextDocumentItem(self.uri(name), "nexort", 1, text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, name: str, text: str, version: int) -> None:
        document = types.VersionedTextDocumentIdentifier(version, self.uri(name))
        changes = [types.TextDocumentContentChangeWholeDocument(text)]
        self.text_document_did_change(types.DidChangeTextDocumentParams(document, changes))

    def close(self, name: str) -> None:
        self.text_document_did_close(types.DidCloseTextDocumentParams(self.file(name)))

    async def published(self, name: str, version: int | None = 1) -> list[types.Diagnostic]:
        """What was published about this version, each time once, as soon as it is."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for params in self._published:
                    if params.uri == self.uri(name) and params.version == version:
                        self._published.remove(params)
                        return list(params.diagnostics)
                self._news.clear()
                await self._news.wait()

    # -- parameters of requests

    def file(self, name: str) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri(name))

    def at(self, name: str, line: int, character: int) -> tuple[types.TextDocumentIdentifier, types.Position]:
        """A place, as requests about it begin."""
        return self.file(name), types.Position(line, character)

    def whole(self, name: str) -> tuple[types.TextDocumentIdentifier, types.Range]:
        """All of a file, as requests about it begin."""
        return self.file(name), types.Range(types.Position(0, 0), types.Position(10**6, 0))


def _keep_diagnostics(ls: Client, params: types.PublishDiagnosticsParams) -> None:
    ls.keep(params)


def _keep_registrations(ls: Client, params: types.RegistrationParams) -> None:
    ls.registrations += params.registrations


def server(*words: str) -> ClientServerConfig:
    """`nexort lsp` as a process, for `pytest_lsp.fixture`."""
    return ClientServerConfig([sys.executable, "-m", "nexortlang", "lsp", *words], client_factory=Client)
