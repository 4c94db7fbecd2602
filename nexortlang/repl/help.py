"""What help tells: about the prompt, a command, a name of the program, a diagnostic.

In: a topic. Out: text. Raises NexortError (NX507) for a topic that there is not.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from nexortlang.cli import lesson_of
from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.diagnostics.catalogue import LESSONS
from nexortlang.editor.vocabulary import KEYWORDS, LAWS
from nexortlang.repl.types import described, documented
from nexortlang.session import Session

_GENERAL = """\
A statement runs when it is complete; a block ends with an empty line.
An expression alone shows its limit, a vector its distribution.
"""
_BEGINNING = {
    "width n": "begins a program",
    "W[n, n] ~ normal(0, 1/n)": "draws a matrix",
    "x[n] ~ normal(0, 1)": "draws a vector",
    "<x|y>  avg(x)": "a number that has a limit",
}
_END = """
explain NX203 tells more about a diagnostic, explain alone lists all of them.
Ctrl-C gives up what is typed; Ctrl-D or quit leaves.
"""

_MORE = {
    "type": "Nothing is computed. vector(n)[2] is two vectors side by side, scalar[2, 2] an array of numbers that have a limit, const an array "
    "that is known already. × 1/n after a type is its power of n: only what is of order 1 can be shown.",
    "limit": "The same as the expression alone, but the program, as :save writes it, stays as it is.",
    "dist": "x is a vector, or scalars that stay random in the limit. The bars tell how probable it is that a coordinate lies between one "
    "number and the next.",
    "simulate": "`:simulate <x|x> 1024` draws real matrices of width 1024 and tells means over runs with their errors. Without a width it is that of "
    ":set width, without an expression everything that was shown. :set seeds 20 makes 20 runs.",
    "core": "The instructions that the expression means, themselves a program of the language.",
    "derive": "|x⟩ is the random variable that a vector becomes. Of a loop the first two passes are written out.",
    "set": "`:set tol 1e-4` asks for a smaller standard error where sampling is needed, `:set samples 4096` for so many particles (`auto`: as many as tol asks "
    "for), `:set patience 10` for up to about ten minutes of it, `:set seed 1` for other ones; width and seeds are those of :simulate. Alone it tells the values. "
    "What was shown before is not computed anew.",
    "load": "What was typed before is forgotten, unless the program is wrong; what it loads and imports is looked for beside the file.",
    "reload": "After a change of the file in an editor.",
    "save": "Statements that failed are left out, and what stood alone is shown. A file that this session did not load or save stays as it is, unless asked for by "
    ":save! FILE.",
    "time": "`:time e` runs a statement or expression and tells how long that took; :time alone tells it of the last one.",
    "explain": "The same as explain without the colon.",
    "help": "Topics are the commands, the names of the program and of built-in functions, and codes of diagnostics.",
    "quit": "The same as quit without the colon, and as Ctrl-D.",
}


def general(summaries: Mapping[str, str], width: int) -> str:
    """How the prompt is used, and its commands."""
    tables = [*_table(_BEGINNING, width), "", *_table(summaries, width)]
    lines = [*_GENERAL.splitlines(), "", *tables, *_END.splitlines()]
    return "".join(f"{part}\n" for line in lines for part in _within(line, width))


def _table(summaries: Mapping[str, str], width: int) -> Iterator[str]:
    """What is typed beside what it does, or above it where there is little room."""
    wide = max(map(len, summaries)) + 2
    for how, what in summaries.items():
        first, *more = textwrap.wrap(what, width - wide - 2) if width - wide >= 30 else ["", what]
        yield f"  {how:<{wide}}{first}".rstrip()
        yield from (f"  {'':<{wide if first else 4}}{line}" for line in more)


def _within(line: str, width: int) -> list[str]:
    """A line in as many as it takes, all as far to the right."""
    margin = line[: len(line) - len(line.lstrip())]
    return [line] if len(line) <= width else textwrap.wrap(line, width, subsequent_indent=margin)


def topic(name: str, summaries: Mapping[str, str], session: Session, width: int) -> str:
    """What is known of a name, a command before names of the program."""
    word = name.removeprefix(":")
    for how, what in summaries.items():
        if how.split()[0] == f":{word}" and (name.startswith(":") or word not in session.names):
            return _paragraph(f"{how}: {what}", _MORE[word], width)
    if word in session.names:
        value = session.names[word]
        return _paragraph(f"{word} : {described(value)}", documented(value), width)
    if entry := (KEYWORDS | LAWS).get(word):
        return _paragraph(entry.form, entry.doc, width)
    if word.upper() in LESSONS:
        return lesson_of(word, width)
    near = get_close_matches(word, [*session.names, *_MORE, *KEYWORDS, *LAWS], n=1)
    hint = f"did you mean {near[0]}?" if near else ":help alone lists the commands"
    raise NexortError(Diagnostic("NX507", f"there is no help on {name}", hint=hint))


def _paragraph(title: str, text: str, width: int) -> str:
    above, wrapped = (textwrap.wrap(" ".join(t.split()), min(width, 80)) for t in (title, text))
    return "\n".join([*above, *([""] if wrapped else []), *wrapped]) + "\n"
