"""A Pygments lexer, for documents that show .nxt programs (extra `pygments`).

In: a text. Out: Pygments' tokens, one for each region of `syntax.highlight`; nothing is coloured twice over. Only Pygments imports this module, through its
entry point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pygments.lexer import Lexer
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Literal,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

from nexortlang.syntax.highlight import Class, highlight

TOKENS: dict[Class, Any] = {
    "comment": Comment.Single,
    "doc": String.Doc,
    "keyword": Keyword,
    "declaration": Keyword.Declaration,
    "logic": Operator.Word,
    "function": Name.Function,
    "builtin": Name.Builtin,
    "law": Name.Class,
    "constant": Keyword.Constant,
    "property": Name.Attribute,
    "argument": Name.Variable,
    "name": Name,
    "number": Number,
    "string": Literal.String,
    "operator": Operator,
    "braket": Punctuation.Marker,
    "punctuation": Punctuation,
    "error": Error,
    "text": Whitespace,
}
"""What Pygments calls each class."""


class NexortLexer(Lexer):
    """The nexort language."""

    name = "nexort"
    aliases: ClassVar[list[str]] = ["nexort", "nxt"]
    filenames: ClassVar[list[str]] = ["*.nxt"]
    mimetypes: ClassVar[list[str]] = ["text/x-nexort"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, Any, str]]:
        """Offset, kind and text of each region."""
        for start, end, kind in highlight(text):
            yield start, TOKENS[kind], text[start:end]
