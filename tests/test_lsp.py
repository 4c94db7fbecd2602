"""`nexort lsp`: the protocol over standard streams, as an editor speaks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_lsp
from hypothesis import given
from hypothesis import strategies as st
from language_client import PATIENCE, Client, server
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from nexortlang.cli import main
from nexortlang.lsp.positions import Positions

pytestmark = pytest.mark.filterwarnings("error::pytest_lsp.LspSpecificationWarning")
driven = pytest.mark.asyncio(loop_scope="module")

PROGRAM = """\
# 𝔼 and ξ are beyond ASCII: 𝔼
width n
const lr = 0.1
W[n, n] ~ normal(0, 1/n)
ξ[n] ~ normal(0, 1)
def act(x, a = 2) = tanh(a * x)  ## not a document
from optim import adam
h = act(W @ ξ, a=3)
show <h|h> as K
"""
WRONG = "width n\nx[n] ~ normal(0, 1)\nshow avg(tahn(x))\n"


@pytest_lsp.fixture(config=server(), scope="module")
async def client(started: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """An editor of many capabilities, which has PROGRAM open."""
    await started.enter(tmp_path_factory.mktemp("lsp"), pytest_lsp.client_capabilities("visual-studio-code"))
    started.open("p.nxt", PROGRAM)
    assert await started.published("p.nxt") == []
    yield
    await started.leave()


@pytest_lsp.fixture(config=server(), params=["visual-studio-code@v1.65", "neovim@v0.6", "neovim@v0.11", "emacs@v29"])
async def editor(started: Client, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Editors with the capabilities that they say they have."""
    await started.enter(tmp_path, pytest_lsp.client_capabilities(request.param))
    yield
    await started.leave()


@pytest_lsp.fixture(config=server("--stdio"))
async def plain_client(started: Client, tmp_path: Path) -> AsyncIterator[None]:
    """An editor that shows no Markdown and counts bytes."""
    hover = types.HoverClientCapabilities(content_format=[types.MarkupKind.PlainText])
    units = types.GeneralClientCapabilities(
        position_encodings=[types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16]
    )
    text = types.TextDocumentClientCapabilities(hover=hover)
    await started.enter(tmp_path, types.ClientCapabilities(text_document=text, general=units))
    yield
    await started.leave()


def span(found: types.Range) -> tuple[int, int, int, int]:
    return found.start.line, found.start.character, found.end.line, found.end.character


# ---------------------------------------------------------------------------- diagnostics and fixes


@driven
async def test_diagnostics_as_one_types_and_their_fix(client: Client) -> None:
    client.open("w.nxt", WRONG)
    (mistake,) = await client.published("w.nxt")
    assert mistake.code == "NX101" and mistake.severity is types.DiagnosticSeverity.Error and mistake.source == "nexort"
    assert mistake.message == "unknown name tahn\nhelp: did you mean tanh?"
    assert span(mistake.range) == (2, 9, 2, 13)

    async def actions(*kinds: types.CodeActionKind) -> list[types.CodeAction]:
        context = types.CodeActionContext([mistake], only=list(kinds) or None)
        params = types.CodeActionParams(*client.whole("w.nxt"), context)
        return list(await client.text_document_code_action_async(params))

    (action,) = await actions()
    assert action.title == "Replace `tahn` by `tanh`" and action.kind == "quickfix" and action.is_preferred
    (edit,) = action.edit.changes[client.uri("w.nxt")]
    assert edit.new_text == "tanh" and edit.range == mistake.range
    assert await actions(types.CodeActionKind.Refactor) == []
    client.change("w.nxt", WRONG.replace("tahn", "tanh"), 2)
    assert await client.published("w.nxt", 2) == []
    client.close("w.nxt")
    assert await client.published("w.nxt", None) == []


@driven
async def test_places_that_share_the_blame(client: Client) -> None:
    client.open("two.nxt", "width n\nwidth m\nx[n] ~ normal(0, 1)\ny[m] ~ normal(0, 1)\nz = x + y\n")
    (mistake,) = await client.published("two.nxt")
    places = [r.location for r in mistake.related_information]
    assert {2, 3} <= {p.range.start.line for p in places} and {p.uri for p in places} == {client.uri("two.nxt")}
    client.close("two.nxt")


@driven
async def test_a_mistake_in_a_module_stands_at_its_import_and_goes_with_it(client: Client) -> None:
    (client.folder / "lib.nxt").write_text("const one = two\n")
    client.open("m.nxt", 'import "lib.nxt" as lib\nshow lib.one\n')
    (mistake,) = await client.published("m.nxt")
    assert span(mistake.range)[0] == 0 and "line 1: unknown name two" in mistake.message
    assert mistake.related_information[0].location.uri == client.uri("lib.nxt")
    client.open("lib.nxt", "const one = 1\n")
    assert await client.published("lib.nxt") == []
    assert await client.published("m.nxt") == []
    place = await client.text_document_definition_async(types.DefinitionParams(*client.at("m.nxt", 1, 10)))
    assert place.uri == client.uri("lib.nxt") and span(place.range) == (0, 6, 0, 9)
    client.close("lib.nxt"), client.close("m.nxt")


@driven
async def test_a_long_program_does_not_stop_the_server(client: Client) -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nfor t in range(9 * 10^5):\n    x = tanh(x + t)\nshow <x|x>\n"
    client.open("long.nxt", text)
    for version in range(2, 12):
        client.change("long.nxt", text + "#" * version + "\n", version)
    found = await client.text_document_completion_async(types.CompletionParams(*client.at("p.nxt", 8, 6)))
    assert found.items
    hover = await client.text_document_hover_async(types.HoverParams(*client.at("long.nxt", 3, 4)))
    assert "x: vector(n)" in hover.contents.value
    (notice,) = await client.published("long.nxt", 11)
    assert notice.severity is types.DiagnosticSeverity.Information and "nexort check" in notice.message
    client.close("long.nxt")


# ---------------------------------------------------------------------------- questions about places


@driven
async def test_hover(client: Client) -> None:
    found = await client.text_document_hover_async(types.HoverParams(*client.at("p.nxt", 7, 0)))
    assert found.contents.kind is types.MarkupKind.Markdown
    assert found.contents.value.startswith("```nxt\nh: vector(n)\n```\n\nNonlin (tanh)")
    assert "power of n: 0" in found.contents.value
    assert span(found.range) == (7, 0, 7, 1)
    assert await client.text_document_hover_async(types.HoverParams(*client.at("p.nxt", 0, 5))) is None


@driven
async def test_definition_and_references(client: Client) -> None:
    place = await client.text_document_definition_async(types.DefinitionParams(*client.at("p.nxt", 7, 12)))
    assert place.uri == client.uri("p.nxt") and span(place.range) == (4, 0, 4, 1)
    context = types.ReferenceContext(include_declaration=True)
    found = await client.text_document_references_async(types.ReferenceParams(context, *client.at("p.nxt", 4, 0)))
    assert [span(r.range) for r in found] == [(4, 0, 4, 1), (7, 12, 7, 13)]
    marked = await client.text_document_document_highlight_async(
        types.DocumentHighlightParams(*client.at("p.nxt", 4, 0))
    )
    assert len(marked) == 2
    library = await client.text_document_definition_async(types.DefinitionParams(*client.at("p.nxt", 6, 20)))
    assert library.uri.endswith("stdlib/optim.nxt")


@driven
async def test_rename(client: Client) -> None:
    place = client.at("p.nxt", 7, 15)
    found = await client.text_document_prepare_rename_async(types.PrepareRenameParams(*place))
    assert span(found) == (7, 15, 7, 16)
    edit = await client.text_document_rename_async(types.RenameParams(*place, new_name="slope"))
    edits = edit.changes[client.uri("p.nxt")]
    assert sorted(span(e.range) for e in edits) == [(5, 11, 5, 12), (5, 25, 5, 26), (7, 15, 7, 16)]
    with pytest.raises(JsonRpcException, match="reserved"):
        await client.text_document_rename_async(types.RenameParams(*place, new_name="for"))
    with pytest.raises(JsonRpcException, match="built in"):
        await client.text_document_prepare_rename_async(types.PrepareRenameParams(*client.at("p.nxt", 5, 21)))


@driven
async def test_rename_in_files_that_are_not_open(client: Client) -> None:
    (client.folder / "shared.nxt").write_text("const ξ1 = 1\n")
    client.open("uses.nxt", 'import "shared.nxt" as s\nshow s.ξ1 + s.ξ1\n')
    edit = await client.text_document_rename_async(types.RenameParams(*client.at("uses.nxt", 1, 7), new_name="one"))
    places = {
        name: sorted(span(e.range) for e in edit.changes[client.uri(name)]) for name in ("shared.nxt", "uses.nxt")
    }
    assert places == {"shared.nxt": [(0, 6, 0, 8)], "uses.nxt": [(1, 7, 1, 9), (1, 14, 1, 16)]}
    client.close("uses.nxt")


@driven
async def test_completion_and_signature(client: Client) -> None:
    client.open("c.nxt", PROGRAM + "y = act(")
    assert await client.published("c.nxt")
    line = len(PROGRAM.splitlines())
    found = await client.text_document_completion_async(types.CompletionParams(*client.at("c.nxt", line, 8)))
    labels = {i.label: i for i in found.items}
    assert min(labels.values(), key=lambda i: i.sort_text).label == "a="
    assert labels["ξ"].detail == "vector(n)" and labels["tanh"].documentation
    assert span(labels["ξ"].text_edit.range) == (line, 8, line, 8)
    help_ = await client.text_document_signature_help_async(types.SignatureHelpParams(*client.at("c.nxt", line, 8)))
    assert help_.signatures[0].label == "def act(x, a = 2)" and help_.active_parameter == 0
    client.close("c.nxt")


@driven
async def test_symbols_hints_and_tokens(client: Client) -> None:
    file = client.file("p.nxt")
    symbols = await client.text_document_document_symbol_async(types.DocumentSymbolParams(file))
    assert [s.name for s in symbols] == ["n", "lr", "W", "ξ", "act", "adam", "h", "K"]
    (hint,) = await client.text_document_inlay_hint_async(types.InlayHintParams(*client.whole("p.nxt")))
    assert hint.label == ": vector(n)" and hint.position == types.Position(7, 1)
    legend = client.answered.capabilities.semantic_tokens_provider.legend
    data = (await client.text_document_semantic_tokens_full_async(types.SemanticTokensParams(file))).data
    lines, line, character = PROGRAM.splitlines(), 0, 0
    words: dict[str, set[str]] = {}
    for k in range(0, len(data), 5):
        down, right, length, sort, _ = data[k : k + 5]
        line, character = line + down, right if down else character + right
        units = lines[line].encode("utf-16-le")[2 * character : 2 * (character + length)]
        words.setdefault(units.decode("utf-16-le"), set()).add(legend.token_types[sort])
    assert words["# 𝔼 and ξ are beyond ASCII: 𝔼"] == {"comment"}
    assert words["n"] == {"typeParameter"} and words["ξ"] == {"variable"} and words["act"] == {"function"}
    assert words["a"] == {"parameter"} and words["show"] == {"keyword"} and words["0.1"] == {"number"}


@driven
async def test_formatting(client: Client) -> None:
    text = "width n\nx[n]~normal(0,1)\ny = tanh(x)\nshow <y|y>\n"
    client.open("f.nxt", text)
    params = types.DocumentFormattingParams(client.file("f.nxt"), types.FormattingOptions(4, True))
    (edit,) = await client.text_document_formatting_async(params)
    assert edit.new_text == "x[n] ~ normal(0, 1)\n" and span(edit.range) == (1, 0, 2, 0)
    client.change("f.nxt", text + "show (\n", 2)
    assert list(await client.text_document_formatting_async(params)) == []
    client.close("f.nxt")


@driven
async def test_a_file_that_is_not_open_has_no_answers(client: Client) -> None:
    file = client.file("nowhere.nxt")
    assert await client.text_document_hover_async(types.HoverParams(file, types.Position(0, 0))) is None
    assert await client.text_document_document_symbol_async(types.DocumentSymbolParams(file)) is None


@driven
async def test_places_outside_the_text_are_answered(client: Client) -> None:
    place = client.at("p.nxt", 10**6, 10**6)
    assert await client.text_document_hover_async(types.HoverParams(*place)) is None
    assert await client.text_document_definition_async(types.DefinitionParams(*place)) is None
    assert await client.text_document_signature_help_async(types.SignatureHelpParams(*place)) is None
    assert (await client.text_document_completion_async(types.CompletionParams(*place))).items


@driven
async def test_files_that_change_on_the_disk(client: Client) -> None:
    (asked,) = client.registrations
    assert asked.register_options == {"watchers": [{"globPattern": "**/*.{nxt,csv,npy}"}]}
    client.open("a.nxt", 'const A = load("a.csv")\nshow mean(A)\n')
    assert [d.code for d in await client.published("a.nxt")] == ["NX501"]
    (client.folder / "a.csv").write_text("1,2\n")
    created = types.FileEvent(client.uri("a.csv"), types.FileChangeType.Created)
    client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([created]))
    assert await client.published("a.nxt") == []
    client.close("a.nxt")


# ---------------------------------------------------------------------------- the server


@pytest.mark.asyncio
async def test_editors_are_served_what_they_can_show(editor: Client) -> None:
    editor.open("p.nxt", WRONG)
    (mistake,) = await editor.published("p.nxt")
    assert mistake.code == "NX101"
    editor.change("p.nxt", PROGRAM, 2)
    assert await editor.published("p.nxt", 2) == []
    found = await editor.text_document_completion_async(types.CompletionParams(*editor.at("p.nxt", 7, 4)))
    assert {"W", "ξ", "tanh"} <= {item.label for item in found.items}
    hover = await editor.text_document_hover_async(types.HoverParams(*editor.at("p.nxt", 7, 0)))
    assert "h: vector(n)" in hover.contents.value
    watch = editor.capabilities.workspace.did_change_watched_files
    assert len(editor.registrations) == bool(watch and watch.dynamic_registration)


@pytest.mark.asyncio
async def test_a_client_without_markdown_and_with_other_units(plain_client: Client) -> None:
    assert plain_client.answered.capabilities.position_encoding == "utf-8"
    plain_client.open("p.nxt", PROGRAM)
    found = await plain_client.text_document_hover_async(types.HoverParams(*plain_client.at("p.nxt", 4, 0)))
    text = "ξ: vector(n)\ninitial vector, normal\npower of n: 0 (of order 1)"
    assert found.contents == types.MarkupContent(types.MarkupKind.PlainText, text)
    assert span(found.range) == (4, 0, 4, 2)


def test_a_client_that_dies_ends_the_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nexortlang", "lsp"], input=b"", capture_output=True, cwd=tmp_path, timeout=PATIENCE
    )
    assert b"Traceback" not in done.stderr


def test_without_pygls_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [m for m in sys.modules if m.startswith("nexortlang.lsp.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pygls.lsp.server", None)
    assert main(["lsp"]) == 2
    assert "pip install 'nexort[lsp]'" in capsys.readouterr().err


def test_lsp_takes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lsp", "a.nxt"]) == 2
    assert "takes no file" in capsys.readouterr().err
    assert main(["check", "a.nxt", "--stdio"]) == 2


# ---------------------------------------------------------------------------- positions


@given(st.text(alphabet="aξ𝔼é\n\r", max_size=20), st.sampled_from(["utf-8", "utf-16", "utf-32"]), st.data())
def test_positions_are_the_clients(text: str, encoding: str, data: st.DataObject) -> None:
    positions = Positions(text, encoding)
    offset = data.draw(st.integers(0, len(text)))
    place = positions.position(offset)
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    if text[offset - 1 : offset + 1] != "\r\n":  # between them is no place of the protocol
        assert place.line == before.count("\n")
        units = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
        assert place.character == len(before.rpartition("\n")[2].encode(units[0])) // units[1]
        assert positions.offset(place) == offset


@given(st.text(max_size=20), st.integers(0, 30), st.integers(0, 30))
def test_any_position_is_in_the_text(text: str, line: int, character: int) -> None:
    assert 0 <= Positions(text).offset(types.Position(line, character)) <= len(text)
