"""The parse table: what Lark makes of grammar/nexort.lark, as plain data.

In: the grammar. Out: `Table`, the LALR(1) actions, the rules with what becomes of their parts, and the words. It is kept in the user's
cache folder, so that only the first run builds it, and only that run imports Lark.
"""

from __future__ import annotations

import json
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from nexortlang.cache import cache_folder, write_atomically
from nexortlang.resources import resource

FORMAT = 2  # of the cached file; counts up when `_compile` changes what it writes

STARTS = ("module", "expression")


class Rule(NamedTuple):
    """left → `size` symbols. `label` names the node it becomes; "" passes its one part on, "*" collects a list.

    `parts` are the places of the rule's symbols that stay: i is that symbol's value, ~i the list there spliced in, None an optional part
    that is missing.
    """

    left: str
    size: int
    label: str
    parts: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Terminals are named by their text ("width", "+=") or, when they are patterns, as in the grammar (NAME, NUMBER, _GE)."""

    actions: tuple[dict[str, int], ...]  # per state and symbol: ≥ 0, go to that state; < 0, reduce by rule ~action
    symbols: tuple[str, ...]  # per state: the symbol that leads into it
    terminals: frozenset[str]
    rules: tuple[Rule, ...]
    starts: dict[str, int]
    ends: dict[str, int]
    reserved: frozenset[str]
    scanner: re.Pattern[str]  # one group per kind of word; OPERATOR for those named by their text


@cache
def table() -> Table:
    grammar = resource("grammar", "nexort.lark").read_text(encoding="utf-8")
    folder = cache_folder()
    if folder is None:
        return _from_data(_compile(grammar))
    file = folder / f"grammar-{FORMAT}-{zlib.crc32(grammar.encode()):08x}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # there is none yet, or it is damaged
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["grammar"] == grammar:
            return _from_data(data)
    data = _compile(grammar)
    write_atomically(file, json.dumps(data, separators=(",", ":"), ensure_ascii=False))
    return _from_data(data)


def _from_data(data: dict[str, Any]) -> Table:
    actions = tuple(data["actions"])
    symbols = [""] * len(actions)
    for row in actions:
        for symbol, action in row.items():
            if action >= 0:
                symbols[action] = symbol
    literals = data["literals"]
    reserved = frozenset(w for w in literals if w.isascii() and w.isidentifier())
    operators = sorted(set(literals) - reserved, key=len, reverse=True)
    groups = {
        "SPACE": r"[ \t]+",
        **data["patterns"],
        "LINE_END": r"\r?\n(?:[ \t]*+\r?\n)*+",
        "OPERATOR": "|".join(map(re.escape, operators)),
        "UNKNOWN": r"[\s\S]",
    }
    rules = tuple(Rule(left, size, label, tuple(parts)) for left, size, label, parts in data["rules"])
    return Table(
        actions=actions,
        symbols=tuple(symbols),
        terminals=frozenset(symbol for row in actions for symbol in row) - {rule.left for rule in rules},
        rules=rules,
        starts=data["starts"],
        ends=data["ends"],
        reserved=reserved,
        scanner=re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in groups.items())),
    )


def _compile(grammar: str) -> dict[str, Any]:
    """Run Lark's LALR analysis, and write down its result without Lark's classes."""
    from lark import Lark
    from lark.parsers.lalr_analysis import Reduce

    lark = Lark(grammar, start=list(STARTS), parser="lalr", lexer="basic", maybe_placeholders=True)
    literal = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "str"}
    ignored = set(lark.ignore_tokens)
    patterns = {t.name: t.pattern.value for t in lark.terminals if t.pattern.type == "re"}
    analysis = lark.parser.parser._parse_table
    number = {rule: i for i, rule in enumerate(lark.rules)}
    states = _in_order(analysis)
    state_number = {state: i for i, state in enumerate(states)}

    def action(kind: object, argument: Any) -> int:
        return ~number[argument] if kind is Reduce else state_number[argument]

    return {
        "grammar": grammar,
        "literals": sorted(literal.values()),
        "patterns": {name: p for name, p in patterns.items() if name not in ignored or name == "COMMENT"},
        "rules": [_rule(rule) for rule in lark.rules],
        "actions": [
            {
                literal.get(symbol, symbol): action(*analysis.states[state][symbol])
                for symbol in sorted(analysis.states[state])
            }
            for state in states
        ],
        "starts": {name: state_number[analysis.start_states[name]] for name in STARTS},
        "ends": {name: state_number[analysis.end_states[name]] for name in STARTS},
    }


def _in_order(analysis: Any) -> list[int]:
    """The states as one meets them from the start, so that a grammar always gives the same table."""
    from lark.parsers.lalr_analysis import Shift

    found = dict.fromkeys(analysis.start_states[start] for start in STARTS)
    queue = list(found)
    for state in queue:
        row = analysis.states[state]
        for kind, target in (row[symbol] for symbol in sorted(row)):
            if kind is Shift and target not in found:
                found[target] = None
                queue.append(target)
    return queue


def _rule(rule: Any) -> Rule:
    """Which symbols of a Lark rule stay, and as what: Lark's own conventions for _names, ?rules and [optional] parts."""
    missing = rule.options.empty_indices or (False,) * len(rule.expansion)
    symbols = iter(enumerate(rule.expansion))
    parts: list[int | None] = []
    for absent in missing:
        if absent:
            parts.append(None)
            continue
        place, symbol = next(symbols)
        if symbol.is_term:
            if not symbol.filter_out:
                parts.append(place)
        else:
            parts.append(~place if symbol.name.startswith("_") else place)
    name = str(rule.origin.name)
    if name.startswith("_"):
        label = "*"
    elif rule.options.expand1 and not rule.alias:
        label = ""
    else:
        label = rule.alias or name
    return Rule(name, len(rule.expansion), label, tuple(parts))
