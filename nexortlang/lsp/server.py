"""The language server: which request is answered by what.

In: the Language Server Protocol over standard input and output. Guarantees: a request about a file that is not open, or about a place that is not there, is answered with nothing; what
no stage foresaw becomes an error of the protocol in one line.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.lsp.server import LanguageServer

from nexortlang import __version__
from nexortlang.diagnostics.accident import accident
from nexortlang.editor import completion, hover, navigation, outline
from nexortlang.editor.analysis import Analysis
from nexortlang.editor.formatting import format_edits
from nexortlang.editor.navigation import Refused
from nexortlang.lsp import convert
from nexortlang.lsp.documents import Document, Documents

REQUEST_FAILED = -32803

Answer = TypeVar("Answer")
Handler = Callable[["Server", Document, Any], Awaitable[Answer]]


class Server(LanguageServer):
    """One client's server, and the files that it has open."""

    def __init__(self) -> None:
        super().__init__("nexort", __version__, types.TextDocumentSyncKind.Full)
        self.documents = Documents(self._publish)
        self.reads_markdown = True

    def _publish(self, document: Document, analysis: Analysis | None) -> None:
        found = list(convert.diagnostics(self.documents, document, analysis)) if analysis is not None else []
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(document.uri, found, document.version if analysis is not None else None)
        )

    def shutdown(self) -> None:
        self.documents.close_all()
        super().shutdown()


def serve() -> None:
    """Answers on standard input and output until the client leaves. What goes wrong in a request is in its answer; NEXORT_DEBUG=1 logs it as well."""
    if not os.environ.get("NEXORT_DEBUG"):
        logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
    _server().start_io()


def _server() -> Server:
    server = Server()
    for method, handler, options in _REQUESTS:
        server.feature(method, options)(_guarded(handler))
    for method, notified in _NOTIFICATIONS:
        server.feature(method)(notified)
    return server


def _guarded(handler: Handler[Answer]) -> Callable[[Server, Any], Awaitable[Answer | None]]:
    """A handler that gets the document it is asked about."""

    @wraps(handler)
    async def guarded(server: Server, params: Any) -> Answer | None:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return None
        try:
            return await handler(server, document, params)
        except Refused as refusal:
            raise JsonRpcException(str(refusal), REQUEST_FAILED) from None
        except Exception as error:
            raise JsonRpcInternalError(accident(error).message) from None

    return guarded


# ---------------------------------------------------------------------------- texts


def _initialize(server: Server, params: types.InitializeParams) -> None:
    server.documents.encoding = str(server.workspace.position_encoding or "utf-16")
    root = server.workspace.root_path
    server.documents.root = Path(root) if root else None
    about = params.capabilities.text_document
    formats = about.hover.content_format if about is not None and about.hover is not None else None
    server.reads_markdown = formats is None or types.MarkupKind.Markdown in formats


def _initialized(server: Server, params: types.InitializedParams) -> None:
    """Asks to be told when modules and tables change on the disk."""
    about = server.client_capabilities.workspace
    watching = about.did_change_watched_files if about is not None else None
    if watching is not None and watching.dynamic_registration:
        files = types.FileSystemWatcher("**/*.{nxt,csv,npy}")
        options = types.DidChangeWatchedFilesRegistrationOptions([files])
        wanted = types.Registration("files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
        server.client_register_capability(types.RegistrationParams([wanted]))


def _files_changed(server: Server, params: types.DidChangeWatchedFilesParams) -> None:
    server.documents.look_again()


def _did_open(server: Server, params: types.DidOpenTextDocumentParams) -> None:
    item = params.text_document
    server.documents.put(item.uri, item.text, item.version, at_once=True)


def _did_change(server: Server, params: types.DidChangeTextDocumentParams) -> None:
    text = server.workspace.get_text_document(params.text_document.uri).source
    server.documents.put(params.text_document.uri, text, params.text_document.version)


def _did_close(server: Server, params: types.DidCloseTextDocumentParams) -> None:
    server.documents.remove(params.text_document.uri)


_NOTIFICATIONS: list[tuple[str, Callable[[Server, Any], None]]] = [
    (types.INITIALIZE, _initialize),
    (types.INITIALIZED, _initialized),
    (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, _files_changed),
    (types.TEXT_DOCUMENT_DID_OPEN, _did_open),
    (types.TEXT_DOCUMENT_DID_CHANGE, _did_change),
    (types.TEXT_DOCUMENT_DID_CLOSE, _did_close),
]

# ---------------------------------------------------------------------------- requests


async def _hover(server: Server, document: Document, params: types.HoverParams) -> types.Hover | None:
    analysis = await server.documents.analysis(document)
    found = hover.hover(analysis, document.positions.offset(params.position))
    return convert.hover(document, found, markdown=server.reads_markdown) if found is not None else None


async def _definition(server: Server, document: Document, params: types.DefinitionParams) -> types.Location | None:
    analysis = await server.documents.analysis(document)
    span = navigation.definition(analysis, document.positions.offset(params.position))
    return convert.location(server.documents, span) if span is not None else None


async def _references(server: Server, document: Document, params: types.ReferenceParams) -> list[types.Location]:
    analysis = await server.documents.analysis(document)
    offset = document.positions.offset(params.position)
    declared = params.context.include_declaration
    project = server.documents.project
    spans = await asyncio.to_thread(navigation.references, analysis, offset, project, with_bindings=declared)
    return [place for span in spans if (place := convert.location(server.documents, span)) is not None]


async def _highlight(
    server: Server, document: Document, params: types.DocumentHighlightParams
) -> list[types.DocumentHighlight]:
    analysis = await server.documents.analysis(document)
    spans = navigation.references(analysis, document.positions.offset(params.position))
    return [types.DocumentHighlight(document.positions.range(span)) for span in spans]


async def _prepare_rename(server: Server, document: Document, params: types.PrepareRenameParams) -> types.Range:
    analysis = await server.documents.analysis(document)
    offset = document.positions.offset(params.position)
    return document.positions.range(navigation.renameable(analysis, offset, server.documents.project))


async def _rename(server: Server, document: Document, params: types.RenameParams) -> types.WorkspaceEdit:
    analysis = await server.documents.analysis(document)
    offset = document.positions.offset(params.position)
    fixes = await asyncio.to_thread(navigation.rename, analysis, offset, params.new_name, server.documents.project)
    return convert.workspace_edit(server.documents, fixes)


async def _completion(server: Server, document: Document, params: types.CompletionParams) -> types.CompletionList:
    analysis = await server.documents.known(document)
    offset = document.positions.offset(params.position)
    return convert.completion(document, completion.complete(analysis, document.source.text, offset), offset)


async def _signature(
    server: Server, document: Document, params: types.SignatureHelpParams
) -> types.SignatureHelp | None:
    analysis = await server.documents.known(document)
    offset = document.positions.offset(params.position)
    found = completion.signature_help(analysis, document.source.text, offset)
    return convert.signature(found) if found is not None else None


async def _symbols(
    server: Server, document: Document, params: types.DocumentSymbolParams
) -> list[types.DocumentSymbol]:
    return convert.symbols(document, outline.outline(await server.documents.analysis(document)))


async def _tokens(server: Server, document: Document, params: types.SemanticTokensParams) -> types.SemanticTokens:
    return types.SemanticTokens(convert.semantic_tokens(document.reading, document.positions))


async def _inlay_hints(server: Server, document: Document, params: types.InlayHintParams) -> list[types.InlayHint]:
    analysis = await server.documents.analysis(document)
    start, end = document.positions.offset(params.range.start), document.positions.offset(params.range.end)
    return [
        types.InlayHint(document.positions.position(h.offset), h.text, types.InlayHintKind.Type)
        for h in outline.inlay_hints(analysis, start, end)
    ]


async def _code_actions(server: Server, document: Document, params: types.CodeActionParams) -> list[types.CodeAction]:
    wanted = params.context.only
    if wanted is not None and not any(types.CodeActionKind.QuickFix.startswith(kind) for kind in wanted):
        return []
    analysis = await server.documents.analysis(document)
    start, end = document.positions.offset(params.range.start), document.positions.offset(params.range.end)
    return convert.quick_fixes(server.documents, document, analysis, start, end)


async def _format(server: Server, document: Document, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
    fixes = await asyncio.to_thread(format_edits, document.source)
    return [convert.text_edit(document.positions, fix) for fix in fixes]


_LEGEND = types.SemanticTokensLegend(convert.TOKEN_TYPES, convert.TOKEN_MODIFIERS)
_REQUESTS: list[tuple[str, Handler[Any], Any]] = [
    (types.TEXT_DOCUMENT_HOVER, _hover, None),
    (types.TEXT_DOCUMENT_DEFINITION, _definition, None),
    (types.TEXT_DOCUMENT_REFERENCES, _references, None),
    (types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT, _highlight, None),
    (types.TEXT_DOCUMENT_PREPARE_RENAME, _prepare_rename, None),
    (types.TEXT_DOCUMENT_RENAME, _rename, types.RenameOptions(prepare_provider=True)),
    (types.TEXT_DOCUMENT_COMPLETION, _completion, types.CompletionOptions(trigger_characters=[".", '"', "/"])),
    (types.TEXT_DOCUMENT_SIGNATURE_HELP, _signature, types.SignatureHelpOptions(["(", ","], ["="])),
    (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, _symbols, None),
    (types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, _tokens, _LEGEND),
    (types.TEXT_DOCUMENT_FORMATTING, _format, None),
    (types.TEXT_DOCUMENT_INLAY_HINT, _inlay_hints, None),
    (types.TEXT_DOCUMENT_CODE_ACTION, _code_actions, types.CodeActionOptions([types.CodeActionKind.QuickFix])),
]
