"""What Tab completes: the editor's candidates for the program so far with the line that is typed, and the commands.

In: the conversation and the text before the cursor. Out: where the word begins, and what could stand for it, the likely candidates first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nexortlang.editor.analysis import Analysis, Seen, read
from nexortlang.editor.completion import MAX_FILES, Candidate, complete
from nexortlang.editor.describe import typed
from nexortlang.editor.files import OpenFiles
from nexortlang.repl.commands import COMMANDS, OPTIONS, is_command
from nexortlang.repl.conversation import Conversation
from nexortlang.session import Session
from nexortlang.source import Source


def completions(conversation: Conversation, text: str) -> tuple[int, list[Candidate]]:
    """Candidates that begin as the word before the cursor does, in any case of letters."""
    session = conversation.session
    if is_command(text):
        name, blank, rest = text.lstrip()[1:].partition(" ")
        if not blank:
            start, found = len(text) - len(name), _commands()
        elif name in COMMANDS and COMMANDS[name].takes == "FILE":
            start, found = _files(rest, len(text))
        elif name == "set":
            start, found = _last_word(text), _options()
        elif name in ("help", "h"):
            start, found = _last_word(text), [*_commands(), *_expression(session, "", 0)[1]]
        else:
            begun, found = _expression(session, rest, len(rest))
            start = len(text) - len(rest) + begun
    else:
        start, found = _expression(session, text, len(text))
        if start == 0:  # an expression may stand alone
            found = [*found, *_expression(session, f"show {text}", len(text) + 5)[1]]
    word = text[start:].lower()
    return start, [*{c.text: c for c in found if c.text.lower().startswith(word)}.values()]


def _expression(session: Session, text: str, offset: int) -> tuple[int, list[Candidate]]:
    """What could stand in the program: the editor's answer for the session's text with this one after it."""
    before = session.text()
    reading = read(Source("<input>", before))
    seen: dict[tuple[int, int], Seen] = {}
    for symbol in reading.names.top.symbols.values():
        value = session.names.get(symbol.name)
        if value is not None and symbol.bindings:
            place = symbol.bindings[-1].span
            seen[place.start, place.end] = Seen(value, [typed(value)])
    analysis = Analysis(reading, OpenFiles(session.request.folder), seen=seen)
    answer = complete(analysis, before + text, len(before) + offset)
    return answer.start - len(before), answer.candidates


def _commands() -> list[Candidate]:
    return [Candidate(c.name, "keyword", c.summary) for c in COMMANDS.values()]


def _options() -> list[Candidate]:
    return [Candidate(name, "property") for name in OPTIONS]


def _last_word(text: str) -> int:
    return max(text.rfind(" "), text.rfind(":")) + 1


def _files(typed_: str, end: int) -> tuple[int, list[Candidate]]:
    """Programs, and folders to look in."""
    folder, _, name = typed_.rpartition("/")
    base = Path(os.path.expanduser(f"{folder}/" if "/" in typed_ else ""))
    return end - len(name), [*_inside(base)][:MAX_FILES]


def _inside(folder: Path) -> Iterator[Candidate]:
    try:
        paths = sorted(folder.iterdir())
    except (OSError, ValueError):  # ValueError: a null character
        return
    for path in paths:
        if path.suffix == ".nxt":
            yield Candidate(path.name, "file")
        elif not path.name.startswith(".") and path.is_dir():
            yield Candidate(f"{path.name}/", "file")
