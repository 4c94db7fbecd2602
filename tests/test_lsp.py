"""`nexort lsp`: the protocol over standard streams, as an editor speaks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsp_client import PATIENCE, Client
from lsprotocol import types

from nexortlang.cli import main
from nexortlang.lsp.positions import Positions

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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(tmp_path_factory.mktemp("lsp")) as client:
        client.open("p.nxt", PROGRAM)
        assert client.diagnostics("p.nxt") == []
        yield client
    assert client.status == 0 and client.errors == ""


def span(range_: dict[str, Any]) -> tuple[int, int, int, int]:
    start, end = range_["start"], range_["end"]
    return start["line"], start["character"], end["line"], end["character"]


# ---------------------------------------------------------------------------- diagnostics and fixes


def test_diagnostics_as_one_types_and_their_fix(client: Client) -> None:
    client.open("w.nxt", WRONG)
    (mistake,) = client.diagnostics("w.nxt")
    assert mistake["code"] == "NX101" and mistake["severity"] == 1 and mistake["source"] == "nexort"
    assert mistake["message"] == "unknown name tahn\nhelp: did you mean tanh?"
    assert span(mistake["range"]) == (2, 9, 2, 13)
    context = {"diagnostics": [mistake]}
    (action,) = client.request("textDocument/codeAction", client.whole("w.nxt", context=context))
    assert action["title"] == "Replace `tahn` by `tanh`" and action["kind"] == "quickfix" and action["isPreferred"]
    (edit,) = action["edit"]["changes"][client.uri("w.nxt")]
    assert edit["newText"] == "tanh" and edit["range"] == mistake["range"]
    assert (
        client.request("textDocument/codeAction", client.whole("w.nxt", context={**context, "only": ["refactor"]}))
        == []
    )
    client.change("w.nxt", WRONG.replace("tahn", "tanh"), 2)
    assert client.diagnostics("w.nxt", 2) == []
    client.close("w.nxt")
    assert client.diagnostics("w.nxt", None) == []


def test_places_that_share_the_blame(client: Client) -> None:
    client.open("two.nxt", "width n\nwidth m\nx[n] ~ normal(0, 1)\ny[m] ~ normal(0, 1)\nz = x + y\n")
    (mistake,) = client.diagnostics("two.nxt")
    lines = {r["location"]["range"]["start"]["line"] for r in mistake["relatedInformation"]}
    assert {2, 3} <= lines and all(r["location"]["uri"] == client.uri("two.nxt") for r in mistake["relatedInformation"])
    client.close("two.nxt")


def test_a_mistake_in_a_module_stands_at_its_import_and_goes_with_it(client: Client) -> None:
    (client.folder / "lib.nxt").write_text("const one = two\n")
    client.open("m.nxt", 'import "lib.nxt" as lib\nshow lib.one\n')
    (mistake,) = client.diagnostics("m.nxt")
    assert span(mistake["range"])[0] == 0 and "line 1: unknown name two" in mistake["message"]
    assert mistake["relatedInformation"][0]["location"]["uri"] == client.uri("lib.nxt")
    client.open("lib.nxt", "const one = 1\n")
    assert client.diagnostics("lib.nxt") == []
    assert client.diagnostics("m.nxt") == []
    place = client.request("textDocument/definition", client.at("m.nxt", 1, 10))
    assert place["uri"] == client.uri("lib.nxt") and span(place["range"]) == (0, 6, 0, 9)
    client.close("lib.nxt"), client.close("m.nxt")


def test_a_long_program_does_not_stop_the_server(client: Client) -> None:
    text = "width n\nx[n] ~ normal(0, 1)\nfor t in range(9 * 10^5):\n    x = tanh(x + t)\nshow <x|x>\n"
    client.open("long.nxt", text)
    for version in range(2, 12):
        client.change("long.nxt", text + "#" * version + "\n", version)
    found = client.request("textDocument/completion", client.at("p.nxt", 8, 6))
    assert found["items"]
    hover = client.request("textDocument/hover", client.at("long.nxt", 3, 4))
    assert "x: vector(n)" in hover["contents"]["value"]
    (notice,) = client.diagnostics("long.nxt", 11)
    assert notice["severity"] == 3 and "nexort check" in notice["message"]
    client.close("long.nxt")


# ---------------------------------------------------------------------------- questions about places


def test_hover(client: Client) -> None:
    found = client.request("textDocument/hover", client.at("p.nxt", 7, 0))
    assert found["contents"]["kind"] == "markdown"
    assert found["contents"]["value"].startswith("```nxt\nh: vector(n)\n```\n\nNonlin (tanh)")
    assert "power of n: 0" in found["contents"]["value"]
    assert span(found["range"]) == (7, 0, 7, 1)
    assert client.request("textDocument/hover", client.at("p.nxt", 0, 5)) is None


def test_definition_and_references(client: Client) -> None:
    place = client.request("textDocument/definition", client.at("p.nxt", 7, 12))
    assert place["uri"] == client.uri("p.nxt") and span(place["range"]) == (4, 0, 4, 1)
    asked = client.at("p.nxt", 4, 0, context={"includeDeclaration": True})
    assert [span(r["range"]) for r in client.request("textDocument/references", asked)] == [
        (4, 0, 4, 1),
        (7, 12, 7, 13),
    ]
    marked = client.request("textDocument/documentHighlight", client.at("p.nxt", 4, 0))
    assert len(marked) == 2
    library = client.request("textDocument/definition", client.at("p.nxt", 6, 20))
    assert library["uri"].endswith("stdlib/optim.nxt")


def test_rename(client: Client) -> None:
    asked = client.at("p.nxt", 7, 15)
    assert span(client.request("textDocument/prepareRename", asked)) == (7, 15, 7, 16)
    edit = client.request("textDocument/rename", {**asked, "newName": "slope"})
    edits = edit["changes"][client.uri("p.nxt")]
    assert sorted(span(e["range"]) for e in edits) == [(5, 11, 5, 12), (5, 25, 5, 26), (7, 15, 7, 16)]
    assert "reserved" in client.refusal("textDocument/rename", {**asked, "newName": "for"})
    assert "built in" in client.refusal("textDocument/prepareRename", client.at("p.nxt", 5, 21))


def test_rename_in_files_that_are_not_open(client: Client) -> None:
    (client.folder / "shared.nxt").write_text("const ξ1 = 1\n")
    client.open("uses.nxt", 'import "shared.nxt" as s\nshow s.ξ1 + s.ξ1\n')
    asked = client.at("uses.nxt", 1, 7, newName="one")
    edit = client.request("textDocument/rename", asked)
    places = {
        name: sorted(span(e["range"]) for e in edit["changes"][client.uri(name)]) for name in ("shared.nxt", "uses.nxt")
    }
    assert places == {"shared.nxt": [(0, 6, 0, 8)], "uses.nxt": [(1, 7, 1, 9), (1, 14, 1, 16)]}
    client.close("uses.nxt")


def test_completion_and_signature(client: Client) -> None:
    client.open("c.nxt", PROGRAM + "y = act(")
    assert client.diagnostics("c.nxt")
    line = len(PROGRAM.splitlines())
    found = client.request("textDocument/completion", client.at("c.nxt", line, 8))
    labels = {i["label"]: i for i in found["items"]}
    assert min(labels.values(), key=lambda i: i["sortText"])["label"] == "a="
    assert labels["ξ"]["detail"] == "vector(n)" and labels["tanh"]["documentation"]
    assert span(labels["ξ"]["textEdit"]["range"]) == (line, 8, line, 8)
    signature = client.request("textDocument/signatureHelp", client.at("c.nxt", line, 8))
    assert signature["signatures"][0]["label"] == "def act(x, a = 2)" and signature["activeParameter"] == 0
    client.close("c.nxt")


def test_symbols_hints_and_tokens(client: Client) -> None:
    symbols = client.request("textDocument/documentSymbol", client.whole("p.nxt"))
    assert [s["name"] for s in symbols] == ["n", "lr", "W", "ξ", "act", "adam", "h", "K"]
    (hint,) = client.request("textDocument/inlayHint", client.whole("p.nxt"))
    assert hint["label"] == ": vector(n)" and hint["position"] == {"line": 7, "character": 1}
    legend = client.capabilities["semanticTokensProvider"]["legend"]
    data = client.request("textDocument/semanticTokens/full", client.whole("p.nxt"))["data"]
    lines, line, character = PROGRAM.splitlines(), 0, 0
    words: dict[str, set[str]] = {}
    for k in range(0, len(data), 5):
        down, right, length, sort, _ = data[k : k + 5]
        line, character = line + down, right if down else character + right
        units = lines[line].encode("utf-16-le")[2 * character : 2 * (character + length)]
        words.setdefault(units.decode("utf-16-le"), set()).add(legend["tokenTypes"][sort])
    assert words["# 𝔼 and ξ are beyond ASCII: 𝔼"] == {"comment"}
    assert words["n"] == {"typeParameter"} and words["ξ"] == {"variable"} and words["act"] == {"function"}
    assert words["a"] == {"parameter"} and words["show"] == {"keyword"} and words["0.1"] == {"number"}


def test_formatting(client: Client) -> None:
    text = "width n\nx[n]~normal(0,1)\ny = tanh(x)\nshow <y|y>\n"
    client.open("f.nxt", text)
    options = {"tabSize": 4, "insertSpaces": True}
    (edit,) = client.request("textDocument/formatting", client.whole("f.nxt", options=options))
    assert edit["newText"] == "x[n] ~ normal(0, 1)\n" and span(edit["range"]) == (1, 0, 2, 0)
    client.change("f.nxt", text + "show (\n", 2)
    assert client.request("textDocument/formatting", client.whole("f.nxt", options=options)) == []
    client.close("f.nxt")


def test_a_file_that_is_not_open_has_no_answers(client: Client) -> None:
    assert client.request("textDocument/hover", client.at("nowhere.nxt", 0, 0)) is None
    assert client.request("textDocument/documentSymbol", client.whole("nowhere.nxt")) is None


def test_places_outside_the_text_are_answered(client: Client) -> None:
    for method in ("hover", "definition", "completion", "signatureHelp"):
        client.request(f"textDocument/{method}", client.at("p.nxt", 10**6, 10**6))


# ---------------------------------------------------------------------------- the server


def test_a_client_without_markdown_and_with_other_units(tmp_path: Path) -> None:
    hover = {"contentFormat": ["plaintext"]}
    with Client(
        tmp_path, "--stdio", textDocument={"hover": hover}, general={"positionEncodings": ["utf-8", "utf-16"]}
    ) as client:
        assert client.capabilities["positionEncoding"] == "utf-8"
        client.open("p.nxt", PROGRAM)
        found = client.request("textDocument/hover", client.at("p.nxt", 4, 0))
        assert found["contents"] == {
            "kind": "plaintext",
            "value": "ξ: vector(n)\ninitial vector, normal\npower of n: 0 (of order 1)",
        }
        assert span(found["range"]) == (4, 0, 4, 2)
    assert client.status == 0 and client.errors == ""


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


def test_files_that_change_on_the_disk(tmp_path: Path) -> None:
    watch = {"didChangeWatchedFiles": {"dynamicRegistration": True}}
    with Client(tmp_path, workspace=watch) as client:
        client.open("a.nxt", 'const A = load("a.csv")\nshow mean(A)\n')
        assert [d["code"] for d in client.diagnostics("a.nxt")] == ["NX501"]
        (registered,) = [m for m in client.notified if m["method"] == "client/registerCapability"]
        (watched,) = registered["params"]["registrations"]
        assert watched["registerOptions"]["watchers"] == [{"globPattern": "**/*.{nxt,csv,npy}"}]
        (tmp_path / "a.csv").write_text("1,2\n")
        changes = [{"uri": client.uri("a.csv"), "type": 1}]
        client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
        assert client.diagnostics("a.nxt") == []
    assert client.status == 0


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
