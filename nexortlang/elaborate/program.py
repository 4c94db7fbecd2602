"""From the syntax tree to the core program, by running the program on abstract values.

In: a module, the files beside it, values for its top-level consts. Out: the core program and every mistake that was found. Guarantees: never
raises, whatever the tree; a program without errors obeys every rule of LANGUAGE.md, and its core every type rule.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from nexortlang.check.resolve import resolve
from nexortlang.check.scopes import gradient_targets, module_name
from nexortlang.core.build import Builder
from nexortlang.core.program import Program
from nexortlang.diagnostics import Diagnostic, Label, NexortError
from nexortlang.elaborate import output
from nexortlang.elaborate.builtins import BUILTINS
from nexortlang.elaborate.context import Context, Frame, Observer, Silenced, Stopped
from nexortlang.elaborate.describe import error
from nexortlang.elaborate.expressions import evaluate
from nexortlang.elaborate.statements import run_block
from nexortlang.elaborate.trace import Trace
from nexortlang.elaborate.values import ConstVal, ModuleValue, Surface, Variable
from nexortlang.files import Files
from nexortlang.settings import DEFAULT_MAX_STEPS
from nexortlang.source import Span
from nexortlang.syntax import ast
from nexortlang.syntax.parser import parse

RECURSION_LIMIT = 5_000
"""Deep enough for a matrix that was bound anew by W = W + … in every one of a thousand passes."""


def elaborate(
    module: ast.Module,
    files: Files,
    settings: Mapping[str, object] | None = None,
    max_steps: int = DEFAULT_MAX_STEPS,
    trace: Trace | None = None,
) -> tuple[Program, list[Diagnostic]]:
    """The core program of a file, and what is wrong with it in the order of the text. `settings` replace top-level consts."""
    elaborator, mistakes = elaborated(module, files, settings, max_steps, trace)
    return Program() if elaborator is None else elaborator.program, mistakes


def elaborated(
    module: ast.Module,
    files: Files,
    settings: Mapping[str, object] | None = None,
    max_steps: int = DEFAULT_MAX_STEPS,
    trace: Trace | None = None,
) -> tuple[Elaborator | None, list[Diagnostic]]:
    """The same, with the names of the program beside it; None where the settings are no values."""
    settings = dict(settings or {})
    try:
        elaborator = Elaborator(files, settings, max_steps, trace=trace)
    except NexortError as problem:
        return None, list(problem.diagnostics)
    mistakes = _misdirected_settings(module, settings)
    mistakes += elaborator.run(module.body)
    return elaborator, mistakes


class Elaborator:
    """Runs statements one after the other, keeping names, the builder and the program between calls."""

    def __init__(
        self,
        files: Files,
        settings: Mapping[str, object] | None = None,
        max_steps: int = DEFAULT_MAX_STEPS,
        *,
        interactive: bool = False,
        trace: Trace | None = None,
        observe: Observer | None = None,
    ) -> None:
        """`interactive`: a const may be declared again, and an expression that stands alone is shown.

        `trace`: powers of n are followed and not required, and nothing is shown. `observe` is told every value.
        """
        self._modules = Modules()
        self._context = Context(
            builder=Builder(),
            files=files,
            builtins=BUILTINS,
            run_body=run_block,
            load_module=self._modules.load,
            settings={name: _array(name, value) for name, value in (settings or {}).items()},
            max_steps=max_steps,
            interactive=interactive,
            trace=trace,
            observe=observe,
        )
        self._context.builder.keeps_powers = trace is not None

    @property
    def program(self) -> Program:
        return self._context.builder.program

    @property
    def names(self) -> dict[str, Surface]:
        """What names stand for now: what the program binds, and the built-in functions that it leaves."""
        cx = self._context
        return {**cx.builtins, **{name: variable.value for name, variable in cx.frame.names.items()}}

    @property
    def consts(self) -> dict[str, np.ndarray]:
        """The top-level consts of power 0, by name."""
        found = self._context.frame.names.items()
        return {
            name: v.value.array
            for name, v in found
            if v.is_const and isinstance(v.value, ConstVal) and not v.value.power
        }

    def run(self, statements: tuple[ast.Stmt, ...]) -> list[Diagnostic]:
        """Executes statements. If they hold an error, names, shows and assertions are as they were before."""
        cx = self._context
        known = {*cx.frame.names, *cx.builtins}
        cx.frame.targets |= gradient_targets(statements, statements)

        def execute() -> None:
            run_block(cx, statements)
            cx.report_all(resolve(statements, known))

        return self._attempt(execute)

    def ask(self, expression: ast.Expr, kind: output.Kind | None) -> list[Diagnostic]:
        """Shows one expression; of a vector without a kind the distribution."""
        return self._attempt(lambda: output.ask(self._context, expression, expression.span, kind))

    def look(self, expression: ast.Expr) -> tuple[Surface | None, list[Diagnostic]]:
        """What an expression is, None if it is wrong; nothing is shown or bound."""
        found: list[Surface] = []
        mistakes = self._attempt(lambda: found.append(evaluate(self._context, expression).value))
        return found[0] if found else None, mistakes

    def undo(self) -> None:
        """Makes names, shows and assertions what they were before the last call."""
        self._before.restore(self._context)

    def _attempt(self, work: Callable[[], None]) -> list[Diagnostic]:
        """What work reports. An error, or an interruption, leaves no trace of it."""
        cx = self._context
        self._before = _Before.of(cx)
        cx.diagnostics, cx.steps = [], 0
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, RECURSION_LIMIT))
        try:
            with suppress(Stopped, Silenced), np.errstate(all="ignore"), _garbage_uncollected():
                try:
                    work()
                    _, shows, assertions = _asked(cx.builder.program)
                    _, shown, asserted = self._before.counts
                    output.note_limits(cx.builder, shows[shown:], assertions[asserted:])
                except NexortError as problem:
                    cx.report_all(problem.diagnostics)
        except BaseException:
            self.undo()
            raise
        finally:
            sys.setrecursionlimit(limit)
        if cx.trace is not None:
            cx.trace.products.update(use.result.id for use in cx.builder.memo["matrix uses"].values())
        found = cx.diagnostics
        if any(d.severity == "error" for d in found):
            self.undo()
        return sorted(found, key=_place)


@contextmanager
def _garbage_uncollected() -> Iterator[None]:
    """Without the collector of reference cycles, if it runs: elaboration makes hardly any, and looking through all values of a long program again and again takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Before:
    """What a call of the elaborator may change for good."""

    names: dict[str, Variable]
    ended_loops: dict[str, Span]
    counts: tuple[int, ...]

    @staticmethod
    def of(cx: Context) -> _Before:
        return _Before(dict(cx.frame.names), dict(cx.frame.ended_loops), tuple(map(len, _asked(cx.builder.program))))

    def restore(self, cx: Context) -> None:
        cx.frame.names, cx.frame.ended_loops = dict(self.names), dict(self.ended_loops)
        for part, count in zip(_asked(cx.builder.program), self.counts, strict=True):
            del part[count:]


def _asked(program: Program) -> tuple[list[Any], ...]:
    return program.widths, program.shows, program.assertions


def _place(d: Diagnostic) -> tuple[str, int]:
    return (d.span.source.name, d.span.start) if d.span is not None else ("", -1)


def _array(name: str, value: object) -> np.ndarray:
    try:
        return np.array(value, dtype=float)
    except (ValueError, TypeError):
        raise error("NX508", f"--set {name}: expected a number or an array of numbers", None) from None


def _misdirected_settings(module: ast.Module, settings: Mapping[str, object]) -> list[Diagnostic]:
    """NX112 for every setting that is no top-level const."""
    consts = [s.name.id for s in module.body if isinstance(s, ast.ConstDecl)]
    found = []
    for name in settings:
        if name not in consts:
            close = get_close_matches(name, consts, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the consts are {', '.join(consts) or 'none'}"
            found.append(
                Diagnostic("NX112", f"--set {name}: the program has no top-level const of this name", hint=hint)
            )
    return found


# ---------------------------------------------------------------------------- modules


@dataclass(slots=True)
class Modules:
    """Modules by file: each is run once."""

    loaded: dict[Path, ModuleValue] = field(default_factory=dict)
    loading: list[Path] = field(default_factory=list)

    def load(self, cx: Context, module: ast.Name | ast.String) -> Surface:
        """The module of an import statement."""
        is_path = isinstance(module, ast.String)
        name = module.value if isinstance(module, ast.String) else module.id
        try:
            source, path = cx.files.module_source(name, is_path)
        except NexortError as problem:
            raise problem.at(module.span) from None
        if path in self.loading:
            raise error("NX108", f"the import of {name} leads back to itself", module.span)
        if path not in self.loaded:
            tree, mistakes = parse(source)
            frame = Frame(targets=gradient_targets(tree.body, tree.body))
            saved = cx.frame, len(cx.diagnostics)
            self.loading.append(path)
            cx.frame = frame
            try:
                cx.report_all(mistakes)
                if not mistakes:
                    run_block(cx, tuple(s for s in tree.body if isinstance(s, MODULE_STATEMENTS)))
                    cx.report_all(resolve(tree.body, known=set(cx.builtins), is_module=True))
            finally:
                cx.frame = saved[0]
                self.loading.pop()
            if any(d.severity == "error" for d in cx.diagnostics[saved[1] :]):
                cx.label_from(saved[1], Label(module.span, f"{module_name(module)} is imported here"))
                raise Silenced
            self.loaded[path] = ModuleValue(module_name(module), frame)
        return self.loaded[path]


MODULE_STATEMENTS = (ast.ConstDecl, ast.Def, ast.OptimizerDef, ast.Import, ast.FromImport)
