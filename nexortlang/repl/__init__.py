"""The prompt: a program typed line by line.

In: lines from a terminal, or from a pipe. Out: what each statement shows, as soon as it is complete; an expression alone shows its limit; commands
begin with a colon. Guarantees: neither a mistake nor Ctrl-C ends the session; Ctrl-D, quit and the end of the pipe do. What the program
binds is never taken for a command. prompt_toolkit is imported only when a terminal is there.
"""

from nexortlang.repl.loop import repl

__all__ = ["repl"]
