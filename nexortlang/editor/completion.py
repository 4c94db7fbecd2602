"""What could come next where somebody is typing, and the signature of the call that is open.

In: the text, an offset, and what is known of the program: its names with the types that the last run showed. Out: `Candidate`s, the likely ones first. Works on what is right in a text that is
not finished: the line that is being typed is taken out before its names are looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from nexortlang.editor.analysis import Analysis, Reading, read
from nexortlang.editor.context import OpenCall, Typing, typing_at
from nexortlang.editor.describe import parameters, signature
from nexortlang.editor.names import Kind, Scope, Symbol
from nexortlang.editor.vocabulary import BUILTINS, KEYWORDS, LAWS, STATEMENT_WORDS
from nexortlang.files import standard_modules
from nexortlang.source import Source
from nexortlang.syntax import ast

MAX_FILES = 200

CandidateKind = Kind | Literal["keyword", "law", "argument", "property", "file"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that could stand here. `rank`: 0 is likeliest."""

    text: str
    kind: CandidateKind
    detail: str = ""
    doc: str = ""
    rank: int = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """`start`: where the word begins that a candidate replaces."""

    start: int
    candidates: list[Candidate]


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` are pieces of `label`; `active` numbers the one that is being typed, None when there is none left."""

    label: str
    parameters: tuple[str, ...]
    active: int | None
    doc: str


def complete(analysis: Analysis, text: str, offset: int) -> Completion:
    """The candidates at an offset of a text that may be newer than the analysis."""
    typing = typing_at(text, offset)
    around = _around(text, offset)
    found = {c.text: c for c in reversed([*_candidates(analysis, around, typing)])}
    ranked = sorted(found.values(), key=lambda c: (c.rank, c.text.lower(), c.text))
    return Completion(_file_start(typing) if typing.inside == "string" else typing.start, ranked)


@dataclass(frozen=True)
class _Around:
    """The text without the line that is being typed."""

    reading: Reading
    place: int

    @cached_property
    def visible(self) -> dict[str, Symbol]:
        """The symbols that the line can speak of."""
        return self.reading.names.visible(self.place)

    @property
    def scope(self) -> Scope:
        return self.reading.names.scope_at(self.place)

    @property
    def is_inside(self) -> bool:
        """Whether the line belongs to a definition."""
        return self.scope is not self.reading.names.top


def _around(text: str, offset: int) -> _Around:
    """What stands around the line at an offset, in whose place there is a harmless statement."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)]
    indent = len(line) - len(line.lstrip(" "))
    return _read_around(f"{text[:start]}{line[:indent]}0{text[start + len(line) :]}", start + indent)


@lru_cache(maxsize=4)
def _read_around(text: str, place: int) -> _Around:
    """Kept between two letters of one line."""
    return _Around(read(Source("", text)), place)


def _candidates(analysis: Analysis, around: _Around, typing: Typing) -> Iterator[Candidate]:
    first, last = typing.word(0), typing.word(-1)
    if typing.inside == "comment":
        return
    if typing.inside == "string":
        yield from _files(analysis, typing)
    elif last == ".":
        yield from _properties(analysis, around, typing)
    elif first == "from" and "import" in (typing.word(i) for i in range(len(typing.before))):
        yield from _exports(analysis, typing)
    elif first in ("from", "import"):
        if last == first:
            yield from _modules(analysis)
        elif last not in ("as", ","):
            yield from _words(("import",) if first == "from" else ("as",))
    elif first in ("width", "const", "def", "optimizer", "state") and last == first:
        return
    elif last == "~":
        yield from (Candidate(name, "law", e.form, e.doc, 0) for name, e in LAWS.items())
    elif typing.after_operand:
        yield from _words(_after_operand(typing))
    elif first == "for" and len(typing.before) == 1:
        return
    else:
        yield from _expressions(analysis, around, typing)


def _after_operand(typing: Typing) -> Iterable[str]:
    first = typing.word(0)
    if first == "for" and len(typing.before) == 2:
        return ("in",)
    words = ["and", "or"]
    if first == "show" and not typing.brackets:
        words.append("as")
    if first == "assert" and not typing.brackets:
        words.append("within")
    return words


def _words(names: Iterable[str], rank: int = 1) -> Iterator[Candidate]:
    return (Candidate(name, "keyword", KEYWORDS[name].form, KEYWORDS[name].doc, rank) for name in names)


# ---------------------------------------------------------------------------- expressions


def _expressions(analysis: Analysis, around: _Around, typing: Typing) -> Iterator[Candidate]:
    """Names, functions, words, and the names of a call's parameters."""
    call = typing.call() if typing.bracket == "(" else None
    if call is not None and not call.keyword and typing.word(-1) in ("(", ","):
        yield from _arguments(analysis, around, call)
    wanted = _wanted(typing)
    here = around.scope
    for symbol in around.visible.values():
        kind = _type_of(analysis, symbol)
        likely = kind.startswith(wanted) if kind else symbol.scope is here.span
        origin = analysis.origin(symbol)[1]
        detail = signature(origin.statement) if isinstance(origin.statement, ast.Def | ast.OptimizerDef) else kind
        yield Candidate(symbol.name, symbol.kind, detail, origin.doc, 0 if likely else 1)
    if typing.begins_statement:
        more = ("return", "elif", "else", "state") if typing.indent or around.is_inside else ("elif", "else")
        yield from _words((*STATEMENT_WORDS, *more), rank=2)
        return
    yield from _words(("not",), rank=3)
    shown = typing.word(0) == "show" and len(typing.before) == 1
    for name, entry in BUILTINS.items():
        if name in ("dist", "cov") and not shown:
            continue
        rank = 0 if name == "range" and typing.word(-1) == "in" else 1 if name in ("dist", "cov") else 2
        yield Candidate(name, "builtin", entry.form, entry.doc, rank)


_CONST_CALLS = frozenset({"range", "arange", "eye", "load", "randn"})
_CONST_STATEMENTS = frozenset({"if", "elif", "for", "const"})


def _wanted(typing: Typing) -> tuple[str, ...]:
    """How the types begin that are likely here, by what stands before."""
    last, call = typing.word(-1), typing.call()
    function = call.function[-1] if call is not None else ""
    if last in ("<", "⟨", "|"):
        return ("vector", "matrix")
    if last == "@":
        return ("vector", "matrix", "const[", "scalar[")
    if typing.bracket == "[":
        return ("const", "width")
    if function in ("zeros", "ones"):
        return ("width", "const")
    if function in _CONST_CALLS or typing.word(0) in _CONST_STATEMENTS:
        return ("const",)
    return ("vector", "scalar", "matrix", "outer", "const")


def _type_of(analysis: Analysis, symbol: Symbol) -> str:
    """The type that the last run showed of a name of this kind in the same definition."""
    return analysis.types.get((symbol.name, symbol.kind, symbol.owner), "")


def _arguments(analysis: Analysis, around: _Around, call: OpenCall) -> Iterator[Candidate]:
    node = _callee(analysis, around, call)
    if node is not None:
        for p in node.parameters[call.argument - len(call.names) :]:
            if p.name.id not in call.names:
                yield Candidate(f"{p.name.id}=", "argument", f"parameter of {node.name.id}", "", 0 if p.default else 1)


def _callee(analysis: Analysis, around: _Around, call: OpenCall) -> ast.Def | ast.OptimizerDef | None:
    """The definition that the words of a call name."""
    symbol = around.visible.get(call.function[0])
    if symbol is None:
        return None
    if len(call.function) == 2 and symbol.kind == "module":
        module = analysis.module_of(symbol)
        symbol = module.names.top.symbols.get(call.function[1]) if module is not None else None
    elif len(call.function) > 1:
        return None
    statement = analysis.origin(symbol)[1].statement if symbol is not None else None
    return statement if isinstance(statement, ast.Def | ast.OptimizerDef) else None


# ---------------------------------------------------------------------------- members, modules, files


def _properties(analysis: Analysis, around: _Around, typing: Typing) -> Iterator[Candidate]:
    owner = around.visible.get(typing.word(-2))
    if owner is not None and owner.kind == "module":
        yield from _members(analysis.module_of(owner))
        return
    kind = _type_of(analysis, owner) if owner is not None else ""
    if not kind or kind.startswith(("matrix", "outer", "const", "scalar")):
        yield Candidate("T", "property", "the transpose", "", 0)
    if not kind.startswith("width"):
        yield Candidate("shape", "property", "the finite shape, a const", "", 1)


def _members(module: Reading | None) -> Iterator[Candidate]:
    if module is None:
        return
    for symbol in module.names.top.symbols.values():
        statement = symbol.statement
        if isinstance(statement, ast.Def | ast.OptimizerDef | ast.ConstDecl):
            detail = "const" if isinstance(statement, ast.ConstDecl) else signature(statement)
            yield Candidate(symbol.name, symbol.kind, detail, symbol.doc, 0)


def _exports(analysis: Analysis, typing: Typing) -> Iterator[Candidate]:
    module = typing.before[1] if len(typing.before) > 1 else None
    if module is None or typing.word(-1) not in ("import", ",", "("):
        return
    text = typing.word(1)
    span = analysis.reading.module.span
    node = ast.String(text[1:-1], span) if module.kind == "STRING" else ast.Name(text, span)
    yield from _members(analysis.module(node))


def _modules(analysis: Analysis) -> Iterator[Candidate]:
    beside = [p.stem for p in _inside(analysis.files.folder, (".nxt",)) if p.stem.isidentifier()]
    own = Path(analysis.source.name).stem
    for name in standard_modules():
        module = analysis.module(ast.Name(name, analysis.reading.module.span))
        yield Candidate(name, "module", "standard library", module.doc if module is not None else "", 0)
    yield from (Candidate(name, "module", f"{name}.nxt", "", 1) for name in beside if name != own)


def _files(analysis: Analysis, typing: Typing) -> Iterator[Candidate]:
    """Files for import "…", or for load("…")."""
    endings = (".nxt",) if typing.word(0) in ("import", "from") else (".csv", ".npy")
    folder = typing.prefix.rpartition("/")[0]
    base = analysis.files.folder
    if ".." in folder.split("/") or folder.startswith("/"):
        return
    for path in _inside(base / folder, endings):
        yield Candidate(path.name, "file", "", "", 0)
    try:
        inner = sorted(p.name for p in (base / folder).iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError:
        return
    yield from (Candidate(f"{name}/", "file", "", "", 1) for name in inner[:MAX_FILES])


def _inside(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in endings and p.is_file())[:MAX_FILES]
    except OSError:
        return []


def _file_start(typing: Typing) -> int:
    """File names are completed folder by folder."""
    return typing.start + typing.prefix.rfind("/") + 1


# ---------------------------------------------------------------------------- signatures


def signature_help(analysis: Analysis, text: str, offset: int) -> Signature | None:
    """The signature of the innermost call that is open at an offset."""
    typing = typing_at(text, offset)
    call = typing.call() if not typing.inside else None
    if call is None:
        return None
    around = _around(text, offset)
    node = _callee(analysis, around, call)
    if node is not None:
        pieces = tuple(parameters(node))
        names = [p.name.id for p in node.parameters]
        active = names.index(call.keyword) if call.keyword in names else call.argument
        return Signature(signature(node), pieces, active if active < len(pieces) else None, node.doc)
    name = call.function[0]
    entry = BUILTINS.get(name) or LAWS.get(name)
    if entry is None or len(call.function) > 1 or name in around.visible:
        return None
    return Signature(entry.form, entry.parameters, _active(entry.parameters, call), entry.doc)


def _active(pieces: tuple[str, ...], call: OpenCall) -> int | None:
    """A last parameter that ends in … stands for all that follow."""
    if call.keyword:
        return next((i for i, p in enumerate(pieces) if p.partition("=")[0].strip() == call.keyword), None)
    if call.argument < len(pieces):
        return call.argument
    several = [i for i, p in enumerate(pieces) if p.endswith("…")]
    return several[-1] if several else None
