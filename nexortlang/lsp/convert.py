"""What the editor package says, in the protocol's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol import types

from nexortlang.diagnostics import Diagnostic, Fix
from nexortlang.editor.analysis import Analysis, Reading
from nexortlang.editor.completion import Candidate, CandidateKind, Completion, Signature
from nexortlang.editor.hover import Hover
from nexortlang.editor.names import Kind
from nexortlang.editor.outline import Item
from nexortlang.lsp.documents import Document, Documents
from nexortlang.lsp.positions import Positions
from nexortlang.source import Span
from nexortlang.syntax.highlight import Class, highlight

_C = types.CompletionItemKind
_S = types.SymbolKind

COMPLETION_KINDS: dict[CandidateKind, types.CompletionItemKind] = {
    "width": _C.TypeParameter, "const": _C.Constant, "draw": _C.Variable, "variable": _C.Variable, "function": _C.Function,
    "optimizer": _C.Function, "parameter": _C.Variable, "state": _C.Variable, "loop": _C.Variable, "index": _C.Variable, "module": _C.Module,
    "import": _C.Function, "builtin": _C.Function, "keyword": _C.Keyword, "law": _C.Function, "argument": _C.Field, "property": _C.Property,
    "file": _C.File,
}  # fmt: skip
SYMBOL_KINDS: dict[Kind | str, types.SymbolKind] = {
    "width": _S.TypeParameter, "const": _S.Constant, "draw": _S.Variable, "variable": _S.Variable, "function": _S.Function,
    "optimizer": _S.Function, "state": _S.Variable, "module": _S.Module, "import": _S.Function, "result": _S.Event,
}  # fmt: skip

# ---------------------------------------------------------------------------- diagnostics


def diagnostics(documents: Documents, document: Document, analysis: Analysis) -> Iterator[types.Diagnostic]:
    """All mistakes; those in a module at its import."""
    for d in analysis.diagnostics:
        yield _diagnostic(documents, document, d)
    if analysis.stopped_at is not None and not document.is_stale:
        span = analysis.stopped_at
        own = span if span.source is document.source else Span(document.source, 0, 0)
        yield types.Diagnostic(
            document.positions.range(own),
            "this is as far as the program was run while editing; `nexort check` runs all of it",
            types.DiagnosticSeverity.Information,
            source="nexort",
        )


def _diagnostic(documents: Documents, document: Document, d: Diagnostic) -> types.Diagnostic:
    own = next(
        (s for s in (d.span, *(x.span for x in d.labels)) if s is not None and s.source is document.source), None
    )
    message = d.message
    if d.span is not None and d.span.source is not document.source:
        message = f"{d.span.source.name}, line {d.span.line}: {message}"
    related = [(x.span, x.text) for x in d.labels if x.span is not own]
    if d.span is not None and d.span is not own:
        related.insert(0, (d.span, d.message))
    information = [
        types.DiagnosticRelatedInformation(place, text)
        for span, text in related
        if (place := location(documents, span)) is not None
    ]
    return types.Diagnostic(
        document.positions.range(own or Span(document.source, 0, 0)),
        f"{message}\nhelp: {d.hint}" if d.hint else message,
        types.DiagnosticSeverity.Error if d.severity == "error" else types.DiagnosticSeverity.Warning,
        d.code,
        source="nexort",
        related_information=information or None,
    )


def quick_fixes(
    documents: Documents, document: Document, analysis: Analysis, start: int, end: int
) -> list[types.CodeAction]:
    """A change for each mistake between two offsets that knows one."""
    actions: list[types.CodeAction] = []
    for d in analysis.diagnostics:
        if d.fix is None or d.span is None or d.fix.span.source is not document.source:
            continue
        if d.span.start <= end and start <= d.span.end:
            edit = types.WorkspaceEdit({document.uri: [text_edit(document.positions, d.fix)]})
            mistake = _diagnostic(documents, document, d)
            kind = types.CodeActionKind.QuickFix
            actions.append(types.CodeAction(_title(d.fix), kind, [mistake], is_preferred=True, edit=edit))
    return actions


def _title(fix: Fix) -> str:
    old, new = (" ".join(text.split()) for text in (fix.span.text, fix.text))
    if not old:
        return f"Insert `{new}`"
    return f"Replace `{old}` by `{new}`" if new else f"Remove `{old}`"


# ---------------------------------------------------------------------------- places and changes


def location(documents: Documents, span: Span) -> types.Location | None:
    uri = documents.uri(span.source)
    return types.Location(uri, documents.positions(span.source).range(span)) if uri is not None else None


def text_edit(positions: Positions, fix: Fix) -> types.TextEdit:
    return types.TextEdit(positions.range(fix.span), fix.text)


def workspace_edit(documents: Documents, fixes: Sequence[Fix]) -> types.WorkspaceEdit:
    """Changes of one or several files."""
    changes: dict[str, list[types.TextEdit]] = {}
    for fix in fixes:
        if (uri := documents.uri(fix.span.source)) is not None:
            changes.setdefault(uri, []).append(text_edit(documents.positions(fix.span.source), fix))
    return types.WorkspaceEdit(changes)


# ---------------------------------------------------------------------------- texts for people


def markup(code: str, notes: Sequence[str], doc: str, *, markdown: bool) -> types.MarkupContent:
    """A line of the language, facts, and documentation."""
    if not markdown:
        parts = [code, *notes, *([""] if doc else []), doc]
        return types.MarkupContent(types.MarkupKind.PlainText, "\n".join(parts).strip())
    parts = [f"```nxt\n{code}\n```" if code else "", "\\\n".join(map(_escaped, notes)), doc]
    return types.MarkupContent(types.MarkupKind.Markdown, "\n\n".join(p for p in parts if p))


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in text)


def hover(document: Document, found: Hover, *, markdown: bool) -> types.Hover:
    content = markup(found.code, found.notes, found.doc, markdown=markdown)
    return types.Hover(content, document.positions.range(found.span))


def completion(document: Document, found: Completion, offset: int) -> types.CompletionList:
    span = Span(document.source, found.start, offset)
    place = document.positions.range(span)
    return types.CompletionList(False, [_item(c, k, place) for k, c in enumerate(found.candidates)])


def _item(c: Candidate, k: int, place: types.Range) -> types.CompletionItem:
    return types.CompletionItem(
        label=c.text,
        kind=COMPLETION_KINDS[c.kind],
        detail=c.detail or None,
        documentation=c.doc or None,
        sort_text=f"{c.rank}{k:05}",
        text_edit=types.TextEdit(place, c.text),
    )


def signature(found: Signature) -> types.SignatureHelp:
    one = types.SignatureInformation(
        found.label, found.doc or None, [types.ParameterInformation(p) for p in found.parameters], found.active
    )
    return types.SignatureHelp([one], 0, found.active)


def symbols(document: Document, items: Sequence[Item]) -> list[types.DocumentSymbol]:
    positions = document.positions
    return [
        types.DocumentSymbol(
            item.name,
            SYMBOL_KINDS.get(item.kind, _S.Variable),
            positions.range(item.span),
            positions.range(item.place),
            item.detail or None,
            children=symbols(document, item.children),
        )
        for item in items
    ]


# ---------------------------------------------------------------------------- colours

TOKEN_TYPES = [
    "comment", "keyword", "function", "variable", "parameter", "property", "number", "string", "operator", "namespace", "typeParameter"
]  # fmt: skip
TOKEN_MODIFIERS = ["declaration", "readonly", "defaultLibrary", "documentation"]

_CLASSES: dict[Class, tuple[str, tuple[str, ...]]] = {
    "comment": ("comment", ()),
    "doc": ("comment", ("documentation",)),
    "keyword": ("keyword", ()),
    "declaration": ("keyword", ()),
    "logic": ("keyword", ()),
    "function": ("function", ()),
    "builtin": ("function", ("defaultLibrary",)),
    "law": ("function", ("defaultLibrary",)),
    "constant": ("variable", ("readonly", "defaultLibrary")),
    "property": ("property", ()),
    "argument": ("parameter", ()),
    "name": ("variable", ()),
    "number": ("number", ()),
    "string": ("string", ()),
    "operator": ("operator", ()),
    "braket": ("operator", ()),
}
_SYMBOLS: dict[Kind, tuple[str, tuple[str, ...]]] = {
    "width": ("typeParameter", ("readonly",)),
    "const": ("variable", ("readonly",)),
    "loop": ("variable", ("readonly",)),
    "index": ("variable", ("readonly",)),
    "draw": ("variable", ()),
    "variable": ("variable", ()),
    "state": ("variable", ()),
    "parameter": ("parameter", ()),
    "function": ("function", ()),
    "optimizer": ("function", ()),
    "module": ("namespace", ()),
}
"""What is known of a symbol counts more than the looks of the word."""


def semantic_tokens(reading: Reading, positions: Positions) -> list[int]:
    """The protocol's five numbers for each coloured word: line and character since the last one, length, type, modifiers."""
    numbers: list[int] = []
    occurrences = {o.span.start: o for o in reading.names.occurrences}
    line = character = 0
    for start, end, kind in highlight(reading.source.text):
        if kind not in _CLASSES:
            continue
        sort, modifiers = _CLASSES[kind]
        occurrence = occurrences.get(start)
        if occurrence is not None and occurrence.span.end == end:
            sort, modifiers = _SYMBOLS.get(occurrence.symbol.kind, (sort, modifiers))
            if occurrence.use == "bind":
                modifiers = (*modifiers, "declaration")
        place, after = positions.position(start), positions.position(end)
        if after.line != place.line:
            continue
        bits = sum(1 << TOKEN_MODIFIERS.index(m) for m in modifiers)
        since = place.character - character if place.line == line else place.character
        numbers += [place.line - line, since, after.character - place.character, TOKEN_TYPES.index(sort), bits]
        line, character = place.line, place.character
    return numbers
