"""Spaces between the words of a line.

In: the words of an item. Out: their `space`, 0 or 1. Operators and `=` stand between spaces, but for powers, signs and the = of an argument; * / // % stand
as the author has them, close or apart, since lr/n * g shows what belongs together. So does the | of <x|y>.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nexortlang.format.words import Word
from nexortlang.syntax.tokens import scan

CLOSE_OR_APART = frozenset({"*", "/", "//", "%"})
_NEVER_BEFORE = frozenset({",", ".", ":", ")", "]", "ᵀ", "^", "**"})
_NEVER_AFTER = frozenset({"(", "[", ".", ":", "^", "**"})


def set_spaces(words: Sequence[Word]) -> None:
    """Decide the space before every word but the first."""
    code = [w for w in words if not w.is_comment]
    parameters = code[2] if code and code[0].kind in ("def", "optimizer") else None
    for i in range(1, len(code)):
        before, word = code[i - 1], code[i]
        word.space = int(_apart(code, i, parameters) or not _may_touch(before, word))


def _apart(code: Sequence[Word], i: int, parameters: Word | None) -> bool:
    """`parameters`: the ( of a definition, where = gives a default value."""
    before, word = code[i - 1], code[i]
    if before.kind == "," and word.kind not in (")", "]"):
        return True
    if before.kind in _NEVER_AFTER or word.kind in _NEVER_BEFORE or before.is_unary:
        return False
    if before.part in ("open", "turn") or word.part in ("turn", "close"):
        return False
    if word.kind in ("(", "[") and word.after_operand:
        return False
    for k, operator in ((i, word), (i - 1, before)):
        if operator.kind == "=" and operator.opener is not None:
            return operator.opener is parameters
        if operator.kind in CLOSE_OR_APART or operator.part == "bar":
            return _is_apart(code, k)
    return True


def _is_apart(code: Sequence[Word], k: int) -> bool:
    """Whether the author has a space on either side; two bars of different bra-kets are kept apart."""
    operator, after = code[k], code[k + 1]
    if operator.part == "bar" and (code[k - 1].kind == "|" or after.kind == "|"):
        return True
    return any(w.gap > 0 or w.breaks > 0 for w in (operator, after))


def _may_touch(before: Word, word: Word) -> bool:
    """Whether two words without a space between them are read as the same two words."""
    return (word.gap == 0 and word.breaks == 0) or _stays(before.text, word.text)


@lru_cache(4096)
def _stays(left: str, right: str) -> bool:
    return [(t.start, t.end) for t in scan(left + right)] == [(0, len(left)), (len(left), len(left) + len(right))]
