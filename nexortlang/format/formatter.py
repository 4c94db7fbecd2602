"""A program's text in the one layout.

In: a source. Out: the same words and comments in the same order, with other spaces, indentation and line breaks. Guarantees: the syntax tree is the same but for
places, or nothing comes out; formatting what is formatted changes nothing; time is linear in the text. Unicode and ASCII forms stay as the author wrote
them, and so do the line ends, as the first line has them; a byte order mark goes.
"""

from __future__ import annotations

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.format.breaking import set_breaks
from nexortlang.format.columns import lines
from nexortlang.format.spacing import set_spaces
from nexortlang.format.words import INDENT, items
from nexortlang.source import Source
from nexortlang.syntax.ast import Module
from nexortlang.syntax.parser import parse
from nexortlang.syntax.tokens import scan


def formatted(source: Source) -> str:
    """The formatted text. Raises NexortError: with the syntax mistakes, or NX901 if formatting would change what the program means."""
    tree, mistakes = parse(source)
    if mistakes:
        raise NexortError(*mistakes)
    text = _layout(source.text)
    if text != source.text:
        _require_same(source, tree, text)
    return text


def _layout(text: str) -> str:
    found = items(text)
    for item in found:
        set_spaces(item.words)
        set_breaks(item.words, item.depth * INDENT)
    end = "\r\n" if text[: text.find("\n") + 1].endswith("\r\n") else "\n"
    return "".join(line + end for line in lines(found))


def _require_same(source: Source, tree: Module, text: str) -> None:
    """The last check before anything is written."""
    new, mistakes = parse(Source(source.name, text))
    if mistakes or new != tree or _words(text) != _words(source.text.removeprefix("\ufeff")):
        message = (
            f"a bug in nexort, formatting would change what {source.name or 'the program'} means; it stays as it is"
        )
        raise NexortError(Diagnostic("NX901", message, hint="please report it, with the program"))


def _words(text: str) -> list[str]:
    """All words and comments."""
    return [text[t.start : t.end].rstrip(" \t") for t in scan(text) if t.kind != "LINE_END"]
