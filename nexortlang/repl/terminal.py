"""The prompt at a terminal: history, colours, completion, lines within a statement.

In: the conversation. Out: a function that asks for a statement. Guarantees: without a place for the history it is kept for the session; on a terminal that
cannot move its cursor (TERM=dumb, or none) plain lines are read; colours are those that `--color`, NO_COLOR and the terminal allow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from nexortlang.cache import state_folder
from nexortlang.repl.completion import completions
from nexortlang.repl.conversation import Conversation
from nexortlang.repl.loop import MORE, ReadLine, is_whole
from nexortlang.report.console import write
from nexortlang.syntax.highlight import highlight

_STYLE = Style.from_dict(
    {
        "comment": "ansibrightblack",
        "doc": "ansibrightblack italic",
        "keyword": "ansimagenta",
        "declaration": "ansimagenta",
        "logic": "ansimagenta",
        "function": "ansiblue",
        "builtin": "ansiblue",
        "law": "ansiblue",
        "constant": "ansicyan",
        "number": "ansicyan",
        "string": "ansigreen",
        "braket": "bold",
        "error": "ansired",
        "command": "ansiyellow",
        "auto-suggestion": "ansibrightblack",
    }
)
_INDENT = "    "


def reader(conversation: Conversation) -> ReadLine:
    """Asks for a statement at this process's terminal."""
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", "") and sys.platform != "win32":
        return _plain
    color = conversation.console.colors(sys.stdout)
    prompt: PromptSession[str] = PromptSession(
        history=_history(),
        auto_suggest=AutoSuggestFromHistory(),
        enable_history_search=True,
        completer=_Completer(conversation),
        complete_while_typing=False,
        lexer=_Colors() if color else None,
        style=_STYLE,
        color_depth=None if color else ColorDepth.DEPTH_1_BIT,
        include_default_pygments_style=False,
        multiline=True,
        prompt_continuation=MORE,
        key_bindings=_keys(),
    )
    return prompt.prompt


def _plain(prompt: str) -> str:
    try:
        return input(prompt)
    except KeyboardInterrupt:
        write(sys.stderr, "\n")  # the cursor stands behind what is given up
        raise


# ---------------------------------------------------------------------------- keys


def _keys() -> KeyBindings:
    """Enter runs what is complete, else begins a line as deep as it should be; Tab completes or indents."""
    keys, writing = KeyBindings(), has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=writing)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        document = buffer.document
        at_end = not document.text_after_cursor.strip()
        if at_end and not document.current_line.strip() and document.line_count > 1:
            buffer.delete_before_cursor(document.cursor_position_col)  # an empty line ends a block
        if (at_end or document.line_count == 1) and is_whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n" + _margin(buffer.document.current_line_before_cursor))

    @keys.add("tab", filter=writing)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state:
            buffer.complete_next()
        elif not buffer.document.current_line_before_cursor.strip() and "\n" in buffer.text:
            buffer.insert_text(_INDENT)
        else:
            buffer.start_completion(insert_common_part=True)

    return keys


def _margin(line: str) -> str:
    """The indentation of what follows a line."""
    margin = line[: len(line) - len(line.lstrip(" "))]
    return margin + _INDENT if line.rstrip().endswith(":") else margin


# ---------------------------------------------------------------------------- history


def _history() -> History:
    folder = state_folder()
    return InMemoryHistory() if folder is None else _File(folder / "history")


class _File(FileHistory):
    """A file that may come and go: what cannot be read or written is not remembered."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        with suppress(OSError):
            path.touch(mode=0o600)

    def load_history_strings(self) -> Iterable[str]:
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


# ---------------------------------------------------------------------------- colours, completion


class _Colors(Lexer):
    """Every line in the colours of the whole statement."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        text = document.text
        lines: list[StyleAndTextTuples] = [[]]
        head = len(text) - len(text.lstrip())
        if text[head : head + 1] == ":":
            head += len(text[head:].split(None, 1)[0])
            lines[0].append(("class:command", text[:head]))
            text = text[head:]
        for start, end, kind in highlight(text):
            first, *rest = text[start:end].split("\n")
            lines[-1].append((f"class:{kind}", first))
            lines += [[(f"class:{kind}", part)] for part in rest]
        return lambda number: lines[number] if number < len(lines) else []


class _Completer(Completer):
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        start, found = completions(self._conversation, document.text_before_cursor)
        for candidate in found:
            yield Completion(
                candidate.text, start_position=start - document.cursor_position, display_meta=candidate.detail
            )
