"""Mistakes that people make, put into a well-typed program: what the checker must refuse with a code, or accept because it is still well typed.

In: a program's text and a source of random choices. Out: the text with one change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

TOKEN = re.compile(r"\w+(?:\.\w+)?|\*\*|[-+*/]=|~=|<=|>=|==|!=|[^\w\s]")
NAME = re.compile(r"\b[a-zA-Z]\w*\b")

Mutation = Callable[[str, Random], str]


def mutated(text: str, rng: Random) -> str:
    """The text with one mistake; another one is tried where the first does not apply."""
    for _ in range(20):
        changed = rng.choice(MUTATIONS)(text, rng)
        if changed != text:
            return changed
    return text + "show unknown\n"


def _replaced(pattern: str, *replacements: str) -> Mutation:
    """One match of the pattern, replaced by one of the templates."""

    def mutate(text: str, rng: Random) -> str:
        found = list(re.finditer(pattern, text, re.MULTILINE))
        if not found:
            return text
        match = rng.choice(found)
        return text[: match.start()] + match.expand(rng.choice(replacements)) + text[match.end() :]

    return mutate


def _other_name(text: str, rng: Random) -> str:
    """A name where another stood: of another kind, width or shape."""
    found = list(NAME.finditer(text))
    place, other = rng.choice(found), rng.choice(found)
    return text[: place.start()] + other[0] + text[place.end() :]


def _token(text: str, rng: Random) -> str:
    """A token lost, doubled, or exchanged with the next one."""
    tokens = list(TOKEN.finditer(text))
    k = rng.randrange(len(tokens) - 1)
    a, b = tokens[k], tokens[k + 1]
    between = text[a.end() : b.start()]
    changed = rng.choice(("", f"{a[0]}{between}{a[0]}{between}{b[0]}", f"{b[0]}{between}{a[0]}"))
    return text[: a.start()] + (changed or between + b[0]) + text[b.end() :]


def _lines(text: str, rng: Random) -> str:
    """A line lost, doubled, exchanged with the next or indented."""
    lines = text.splitlines()
    k = rng.randrange(len(lines) - 1)
    a, b = lines[k : k + 2]
    lines[k : k + 2] = rng.choice(([b], [a, a, b], [b, a], ["    " + a, b]))
    return "\n".join(lines) + "\n"


MUTATIONS: tuple[Mutation, ...] = (
    _other_name,
    _other_name,
    _token,
    _lines,
    _replaced(r"(\bW\d+(?:\[\d\])?)\.T\b", r"\1"),
    _replaced(r"(\bW\d+(?:\[\d\])?)(?= @)", r"\1.T", r"tanh(\1)", r"\1[0, 1]", r"\1^2"),
    _replaced(r"(\bW\d+(?:\.T)?) @ (\w+)", r"\2 @ \1", r"\1 * \2", r"\1 + \2"),
    _replaced(r"\[[ij]\]", "", "[i, j]", "[q]", "[0]"),
    _replaced(r"avg\[j\]", "avg[i]", "avg[q]", "avg", "avg[n]"),
    _replaced(r"avg\[i, j\]", "avg[i]", "avg[j]", "avg[i, i]"),
    _replaced(
        r"^(\s*\w+(?:\[i\])?) = (.*)$",
        r"\1 = n * (\2)",
        r"\1 = sqrt(n) * (\2)",
        r"\1 = (\2) / n",
        r"\1 = n^(-0.5) * (\2)",
    ),
    _replaced(r"(?<=[*=] )(0\.\d)/(\w)\b", r"\1", r"\1 * \2", r"\1/\2^2", r"\1/sqrt(\2)"),
    _replaced(r"(\d(?:\.\d)?)/([nmp])\)$", r"\1)", r"\1*\2)", r"\1/\2^2)", r"-\1/\2)", r"\1/sqrt(\2))"),
    _replaced(r"^(\w+)\[([nmp])", r"\1[m", r"\1[q", r"\1[3", r"\1[\2, n", r"\1["),
    _replaced(r"normal\(", "normall(", "bernoulli(", "uniform("),
    _replaced(r"\btanh\(", "tahn(", "avg(", "sum(", "tanh(2, ", "W1(", "cov(", "grad(", "sqrt(n) * (", "n * ("),
    _replaced(r"\bsum\(|\bmean\(", "max(", "tanh(", "avg(", "softmax("),
    _replaced(r"axis=-?\d", "axis=5", "axis=n", "axis", "dim=0"),
    _replaced(r"(?<=\w)\[(0|-1)\]", "[7]", "[0.5]", "[n]", "[:, :, 0]", "[None]", "[-9]"),
    _replaced(r"<(\w+)\|(\w+)>", r"<\1|\2", r"|\1><\2|", r"<\1|W1|\2>", r"\1 @ \2", r"<\2|\1>"),
    _replaced(r"range\((\d)\)", "range(n)", "range(0.5)", "range(c)", "[1, 2]", r"\1", "range()"),
    _replaced(r"show ", "show cov(", "show dist(", "show n * ", "assert "),
    _replaced(r"\b\d(?:\.\d+)?\b", "0", "-1", "1e300", "inf", "pi", "n", "[1, 2]", "x1", "1e-9"),
    _replaced(r" ([-+]) ", " * ", " / ", " @ ", " ^ ", " and ", " == ", " % ", " | "),
    _replaced(r" \* ", " @ ", " / ", " ^ ", " // ", " < "),
    _replaced(r" ([-+*])= ", " = ", " /= ", " ~ ", " @= "),
    _replaced(
        r"unknownness|^show (.*) as (\w+)$",
        r"show \1 as tanh",
        r"show sqrt(n) * (\1)",
        r"show \1 / n",
        r"show grad(\1, x1)",
        r"show ntk(\1)",
    ),
)
