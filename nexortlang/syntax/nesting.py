"""What is open at a word: brackets and bra-kets.

In: the kinds of the words of a text, one `feed` each. Out: which part of a bra-ket a word is, whether an operand has just ended, how deep things are.
Decides < | > as the grammar does (< where an operand is due opens a bra), and never fails on a text that the grammar refuses.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from nexortlang.syntax.words import DECLARATIONS

Part: TypeAlias = Literal["open", "bar", "turn", "close"]
"""Of a bra-ket: < in <x|y> opens, its | is a bar, its > closes; in |x><y| the first | opens, > and < turn, the last | closes."""

_OPERAND_ENDS = frozenset({"NAME", "NUMBER", "STRING", ")", "]", "ᵀ", "..."})
STATEMENT_WORDS = DECLARATIONS | {"show", "assert", "return", "import", "from", "for", "if", "elif", "else"}


class Nesting:
    """Goes through the words once. `open` holds what is open, innermost last: "(", "[", "<" of <x|y>, and of |x><y| in turn "|x", "|x>", "|x><"."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.brackets = 0  # how many of them are ( or [
        self.after_operand = False  # an operand has just ended: < would compare, - subtract

    def feed(self, kind: str) -> Part | None:
        """Take one word; the part that it is of a bra-ket. Comments are not to be fed."""
        if kind == "LINE_END":
            if not self.brackets:  # bra-kets do not go on in the next line
                self._restart()
            return None
        if kind in STATEMENT_WORDS:  # never inside brackets: one was left open
            self._restart()
        if (part := self._part(kind)) is not None:
            self.after_operand = part == "close"
            return part
        if kind in ("(", "["):
            self.open.append(kind)
            self.brackets += 1
        elif kind in (")", "]"):
            self._close()
        self.after_operand = kind in _OPERAND_ENDS
        return None

    def _restart(self) -> None:
        self.open.clear()
        self.brackets = 0
        self.after_operand = False

    def _close(self) -> None:
        """Closes the innermost bracket, and the bra-kets left open in it."""
        while self.brackets and self.open.pop() not in ("(", "["):
            pass
        self.brackets = max(0, self.brackets - 1)

    def _part(self, kind: str) -> Part | None:
        inner = self.open[-1] if self.open else ""
        match kind:
            case "<" | "⟨" if inner == "|x>":
                self.open[-1] = "|x><"
                return "turn"
            case "<" | "⟨" if not self.after_operand:
                self.open.append("<")
                return "open"
            case "|" if not self.after_operand:
                self.open.append("|x")
                return "open"
            case "|" if inner == "|x><":
                self.open.pop()
                return "close"
            case "|":
                return "bar"
            case ">" | "⟩" if inner == "<":
                self.open.pop()
                return "close"
            case ">" | "⟩" if inner == "|x":
                self.open[-1] = "|x>"
                return "turn"
        return None
