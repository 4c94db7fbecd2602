"""What stands around the place where somebody is typing.

In: a text and an offset. Out: `Typing`: the words of the statement before it, the word that is being typed, the call that is open. Works on words alone, since a
statement that is not finished has no tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from nexortlang.syntax.tokens import CLOSING, Token, scan
from nexortlang.syntax.words import DECLARATIONS

_STATEMENTS = DECLARATIONS | {"show", "assert", "return", "import", "from", "for", "if", "elif", "else"}
_OPERAND_ENDS = frozenset({"NAME", "NUMBER", "STRING", ")", "]", "ᵀ", "..."})


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call whose bracket is open: the words of the function, and which argument comes now: by name, or counted from 0."""

    function: tuple[str, ...]
    start: int
    argument: int
    keyword: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Typing:
    """`before`: the words of this statement, comments apart, up to the one being typed; `start`: where that one begins, the offset if there is none."""

    text: str
    offset: int
    start: int
    before: tuple[Token, ...]
    inside: str = ""

    def word(self, i: int) -> str:
        """The text of a word of the statement; "" if there is none."""
        if not -len(self.before) <= i < len(self.before):
            return ""
        token = self.before[i]
        return self.text[token.start : token.end]

    @property
    def prefix(self) -> str:
        return self.text[self.start : self.offset]

    @property
    def begins_statement(self) -> bool:
        return not self.before

    @property
    def indent(self) -> int:
        line = self.text.rfind("\n", 0, self.offset) + 1
        return len(self.text[line : self.offset]) - len(self.text[line : self.offset].lstrip(" "))

    @property
    def after_operand(self) -> bool:
        """Whether an operand has ended, so that an operator is due."""
        return bool(self.before) and self.before[-1].kind in _OPERAND_ENDS

    @cached_property
    def brackets(self) -> list[int]:
        """The positions in `before` of the brackets that are open."""
        open_: list[int] = []
        for i, token in enumerate(self.before):
            if token.kind in CLOSING:
                open_.append(i)
            elif token.kind in CLOSING.values() and open_:
                open_.pop()
        return open_

    @property
    def bracket(self) -> str:
        """The innermost open bracket."""
        return self.before[self.brackets[-1]].kind if self.brackets else ""

    def call(self) -> OpenCall | None:
        """The innermost call that is open."""
        for depth in range(len(self.brackets) - 1, -1, -1):
            place = self.brackets[depth]
            if self.before[place].kind == "(" and place and self.before[place - 1].kind in ("NAME", "]"):
                return self._call(place)
        return None

    def _call(self, place: int) -> OpenCall | None:
        end = place
        if self.before[place - 1].kind == "]":  # avg[i, j](
            while end and self.before[end - 1].kind != "[":
                end -= 1
            end -= 1
        first = end - 1
        while first >= 2 and self.before[first - 1].kind == ".":
            first -= 2
        if first < 0 or self.before[first].kind != "NAME":
            return None
        words = tuple(self.word(i) for i in range(first, end) if self.before[i].kind == "NAME")
        commas, keyword, names, depth = 0, "", [], 0
        for i in range(place + 1, len(self.before)):
            token = self.before[i]
            depth += (token.kind in CLOSING) - (token.kind in CLOSING.values())
            if depth == 0 and token.kind == ",":
                commas, keyword = commas + 1, ""
            elif depth == 0 and token.kind == "=" and self.before[i - 1].kind == "NAME":
                keyword = self.word(i - 1)
                names.append(keyword)
        return OpenCall(words, self.before[first].start, commas, keyword, tuple(names))


_BEGINS = re.compile(rf"[ \t]*(?:{'|'.join(sorted(_STATEMENTS))})\b")


def _statement_before(text: str, offset: int) -> int:
    """The start of the last line up to the offset that surely begins a statement: no word needs to be read before it."""
    start = text.rfind("\n", 0, offset) + 1
    while start and not _BEGINS.match(text, start):
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def typing_at(text: str, offset: int) -> Typing:
    """The statement up to an offset. `inside` is "comment" or "string" where the offset is in one."""
    before: list[Token] = []
    depth = 0
    for token in scan(text, _statement_before(text, offset)):
        if token.start >= offset:
            break
        if token.kind == "LINE_END" and depth == 0:
            before = []
        elif token.kind == "COMMENT":
            if token.end >= offset:
                return Typing(text, offset, offset, tuple(before), "comment")
        elif token.kind in ("STRING", "OPEN_STRING") and (token.end > offset or token.kind == "OPEN_STRING"):
            if token.end >= offset:
                return Typing(text, offset, token.start + 1, tuple(before), "string")
            before.append(token)
        elif token.end >= offset and (token.kind == "NAME" or text[token.start : token.end].isidentifier()):
            return Typing(text, offset, token.start, tuple(before))
        elif token.kind != "LINE_END":
            fresh = not text[text.rfind("\n", 0, token.start) + 1 : token.start].strip()
            if token.kind in _STATEMENTS and fresh:  # a bracket was left open
                before, depth = [], 0
            before.append(token)
            depth = max(0, depth + (token.kind in CLOSING) - (token.kind in CLOSING.values()))
    return Typing(text, offset, offset, tuple(before))
