"""The LALR(1) automaton: runs the parse table word by word.

In: words, one `feed` each. Out: at the end, what the builder made of the start rule. A word that does not fit is refused and changes
nothing that matters; `give_up` then takes a placeholder for the statement, and the next one can follow. Never recurses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.source import Source, Span
from nexortlang.syntax.build_tree import TreeBuilder
from nexortlang.syntax.table import table

MAX_DEPTH = 200  # of the tree: later passes walk it by recursion
MAX_STACK = 4000  # symbols that wait for their rule; far above what a tree of that depth needs


class Automaton:
    """Four stacks in step: the state after a symbol, the symbol's value, where it starts and ends; and how deep its tree is."""

    def __init__(self, source: Source, tree: TreeBuilder, start: str) -> None:
        self.source = source
        self.word = tree.word
        self.table = table()
        self.end_state = self.table.ends[start]
        self.builders = _builders(tree)
        self.states = [self.table.starts[start]]
        self.before = self.states  # the states when the last word came
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.depths: list[int] = []

    @property
    def result(self) -> Any:
        return self.values[-1]

    def expects(self, kind: str) -> bool:
        """Whether a word of this kind can come next."""
        return self._fits(self.states, kind)

    def expected(self) -> set[str]:
        """All kinds of words that could have come when the last word came."""
        candidates = self.table.terminals.intersection(self.table.actions[self.before[-1]])
        return {kind for kind in candidates if self._fits(self.before, kind)}

    def _fits(self, states: list[int], kind: str) -> bool:
        actions, rules = self.table.actions, self.table.rules
        states = states.copy()
        while (action := actions[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            rule = rules[~action]
            if rule.size:
                del states[-rule.size :]
            states.append(actions[states[-1]][rule.left])
            if kind == "$END" and states[-1] == self.end_state:
                return True
        return False

    def symbols(self) -> list[str]:
        """What has been read so far, as symbols of the grammar, outermost first; the last ones as far reduced as the last word allows."""
        return [self.table.symbols[state] for state in self.states[1:]]

    def feed(self, kind: str, start: int, end: int) -> bool:
        """Take one word; False: it does not fit here. Raises NexortError where the builder refuses a rule."""
        actions, rules = self.table.actions, self.table.rules
        states, values, starts, ends, depths = self.states, self.values, self.starts, self.ends, self.depths
        self.before = states.copy()
        while (action := actions[states[-1]].get(kind)) is not None:
            if action >= 0:
                if len(states) > MAX_STACK:
                    raise NexortError(_too_deep(Span(self.source, start, end)))
                states.append(action)
                values.append(self.word(kind, Span(self.source, start, end)) if kind in _VALUED else None)
                starts.append(start)
                ends.append(end)
                depths.append(0)
                return True
            left, size, label, parts = rules[~action]
            if label or size != 1:
                self._reduce(left, size, label, parts, start)
                states.append(actions[states[-1]][left])
            else:  # most steps are such: a name is an atom is a postfix is a power …
                states[-1] = actions[states[-2]][left]
            if kind == "$END" and states[-1] == self.end_state:
                return True
        return False

    def _reduce(self, left: str, size: int, label: str, parts: tuple[int | None, ...], position: int) -> None:
        """Replace the top `size` symbols by what their rule makes of them. The next state is the caller's to find."""
        values = self.values
        base = len(values) - size
        start, end = (self.starts[base], self.ends[-1]) if size else (position, position)
        depth = max(self.depths[base:], default=0)
        if label == "":
            assert parts[0] is not None
            value = values[base + parts[0]]
        elif label == "*":
            value = _grown(values, base, parts)
        else:
            depth = 0 if left in _STATEMENTS else depth + 1
            if depth > MAX_DEPTH:
                raise NexortError(_too_deep(Span(self.source, start, start + 1)))
            value = self.builders[label](Span(self.source, start, end), *_kept(values, base, parts))
        if size:
            for stack in (self.states, values, self.starts, self.ends, self.depths):
                del stack[-size:]
        values.append(value)
        self.starts.append(start)
        self.ends.append(end)
        self.depths.append(depth)

    def close_block(self) -> None:
        """The block ends where its last statement does."""
        self.feed("_DEDENT", self.ends[-1], self.ends[-1])

    def give_up(self, position: int) -> None:
        """Forget the statement that is being read, and put the placeholder _BAD for it."""
        actions = self.table.actions
        while "_BAD" not in actions[self.states[-1]]:
            self.states.pop()
            for stack in (self.values, self.starts, self.ends, self.depths):
                stack.pop()
        self.feed("_BAD", position, position)


_VALUED = frozenset({"NAME", "NUMBER", "STRING"})
_STATEMENTS = frozenset({"module", "statement", "simple", "definition", "control", "elif_", "block"})


def _kept(values: list[Any], base: int, parts: tuple[int | None, ...]) -> list[Any]:
    """The parts of a rule that stay, lists spliced in."""
    kept: list[Any] = []
    for part in parts:
        if part is None:
            kept.append(None)
        elif part >= 0:
            kept.append(values[base + part])
        else:
            kept.extend(values[base + ~part])
    return kept


def _grown(values: list[Any], base: int, parts: tuple[int | None, ...]) -> list[Any]:
    """A list. list → list item grows it in place, so that long lists take linear time."""
    match parts:
        case (-1, int(item)) if item > 0:
            grown: list[Any] = values[base]
            grown.append(values[base + item])
            return grown
    return _kept(values, base, parts)


def _builders(tree: TreeBuilder) -> dict[str, Callable[..., Any]]:
    return {rule.label: tree.builder(rule.label) for rule in table().rules if rule.label not in ("", "*")}


def _too_deep(span: Span) -> Diagnostic:
    message = f"expected at most {MAX_DEPTH} operations within each other, found more"
    return Diagnostic("NX024", message, span, hint="give a part of the expression a name of its own, on a line before")
