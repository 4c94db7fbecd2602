"""The words of a program with their layout.

In: a text without syntax mistakes. Out: `Item`s, one for each statement, block header, or line that holds a comment alone; each word of them knows where it
stood and what it stands in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nexortlang.syntax.nesting import Nesting, Part
from nexortlang.syntax.tokens import CLOSING, Token, scan

INDENT = 4
MOST_EMPTY_LINES = 2
_TAB_STOP = 4


@dataclass(slots=True, eq=False)
class Word:
    """A word of the language, or a comment.

    `column` and `gap`: where it stood, and the spaces before it on its line. `breaks`: the line ends before it, within the item. `space`: what stands
    before it now (0 or 1); `pad`: what alignment adds to that. `at`: its column now; `first`: the word that begins its line now.
    """

    kind: str
    text: str
    column: int
    gap: int
    breaks: int
    opener: Word | None  # the innermost ( or [ around it; of ) and ] their own
    depth: int  # how many brackets and bra-kets are around it
    part: Part | None  # of a bra-ket
    after_operand: bool  # so that - is binary and ( a call
    hanging: bool = False  # of ( and [ : nothing follows on its line
    is_new_line: bool = False  # the break before it is the formatter's
    space: int = 0
    pad: int = 0
    at: int = 0
    first: Word = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.first = self

    @property
    def is_comment(self) -> bool:
        return self.kind == "COMMENT"

    @property
    def is_unary(self) -> bool:
        return self.kind in ("-", "+") and not self.after_operand


@dataclass(slots=True, eq=False)
class Item:
    """The words of a statement or block header with the comments in it and after it; or a comment alone. `indent`: as it was; `depth`: in blocks."""

    indent: int
    empty_lines: int  # before it
    words: list[Word] = field(default_factory=list)
    depth: int = 0

    @property
    def is_comment(self) -> bool:
        return self.words[0].is_comment

    @property
    def is_header(self) -> bool:
        """Whether a block must follow."""
        code = [w.kind for w in self.words if not w.is_comment]
        return code[-1:] == [":"]


def items(text: str) -> list[Item]:
    """All items of a text, with their depths."""
    found = list(_Reader(text).items())
    _set_depths(found)
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.removeprefix("\ufeff")
        self.nesting = Nesting()
        self.openers: list[Word] = []
        self.end = 0  # of the last word
        self.column = 0  # where it ended on its line

    def items(self) -> Iterator[Item]:
        item: Item | None = None
        breaks = 0
        for token in scan(self.text):
            if token.kind == "LINE_END":
                self.nesting.feed(token.kind)
                breaks = self.text.count("\n", token.start, token.end)
                self.end, self.column = token.end, 0
                if item is not None and not self.openers:
                    yield item
                    item, breaks = None, breaks - 1
                continue
            word = self._word(token, breaks if item is not None else 0)
            if item is None:
                item = Item(word.column, breaks)
            item.words.append(word)
            breaks = 0
        if item is not None:
            yield item

    def _word(self, token: Token, breaks: int) -> Word:
        kind, nesting = token.kind, self.nesting
        before = self.column
        column = self._place(token)
        after_operand, depth = nesting.after_operand, len(nesting.open)
        part = nesting.feed(kind) if kind != "COMMENT" else None
        word = Word(
            kind,
            self.text[token.start : token.end].rstrip(" \t"),
            column,
            column - before,
            breaks,
            self.openers[-1] if self.openers else None,
            min(depth, len(nesting.open)),
            part,
            after_operand,
        )
        if kind in CLOSING:
            self.openers.append(word)
        elif kind in (")", "]"):
            self.openers.pop()
        return word

    def _place(self, token: Token) -> int:
        """The column of the next word; a tab goes on to the next multiple of four."""
        column = self.column
        for space in self.text[self.end : token.start]:
            column += _TAB_STOP - column % _TAB_STOP if space == "\t" else 1
        self.end, self.column = token.end, column + token.end - token.start
        return column


def _set_depths(found: list[Item]) -> None:
    """Blocks are as deep as their indentation says. A comment belongs to the deepest block around it whose indentation it reaches."""
    levels = [0]
    comments: list[Item] = []
    after_header = False
    for item in [*found, None]:
        if item is not None and item.is_comment:
            comments.append(item)
            continue
        indent = item.indent if item is not None else 0
        open_levels = levels.copy()
        if after_header and indent > levels[-1]:
            levels.append(indent)
        while levels[-1] > indent:
            levels.pop()
        depth = len(levels) - 1
        for comment in comments:
            deeper = [d for d in range(depth, len(open_levels)) if open_levels[d] <= comment.indent]
            comment.depth = max(deeper, default=depth)
        comments.clear()
        if item is not None:
            item.depth = depth
            after_header = item.is_header
