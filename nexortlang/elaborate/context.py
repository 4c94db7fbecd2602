"""The state of a running elaboration: the frames of names, the call stack, loops, diagnostics and the builder.

Every pass function of this package takes the `Context`. A mistake is raised as NexortError and caught at the statement it stands in, which
binds its targets to `Poison`; what depends on a Poison raises `Silenced` and is skipped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from nexortlang.check import suggest
from nexortlang.check.scopes import gradient_targets
from nexortlang.core.build import Builder
from nexortlang.core.program import Const, FirstOrder, Fluctuation, Gather, InitVector, Mark, Value, Width
from nexortlang.diagnostics import Diagnostic, Label, NexortError
from nexortlang.elaborate.describe import error
from nexortlang.elaborate.leading import peel
from nexortlang.elaborate.trace import Trace
from nexortlang.elaborate.values import At, ConstVal, Function, Poison, Surface, Variable, is_core
from nexortlang.files import Files, standard_optimizers
from nexortlang.source import Span
from nexortlang.syntax import ast

MAX_DIAGNOSTICS = 100


def _line(d: Diagnostic) -> tuple[str, int]:
    return (d.span.source.name, d.span.source.position(d.span.start)[0]) if d.span is not None else ("", 0)


Observer = Callable[[Span, Surface], None]
"""Is told the value of every expression that is evaluated, of every name where it is bound, and of every definition where a call of it returns. May
raise Stopped."""


class Silenced(Exception):
    """The statement depends on one that is wrong already."""


class Stopped(Exception):
    """The whole run ends: a limit is reached, or there are too many mistakes."""


@dataclass(slots=True, eq=False)
class Frame:
    """The names of one level: a file's top level, or one call of a `def` (then `home` is the top level of the def's file).

    `indices`: names of index notation that are bound now, with their slots. `targets`: names that gradients are taken with respect to.
    """

    names: dict[str, Variable] = field(default_factory=dict)
    home: Frame | None = None
    is_main: bool = False
    indices: dict[str, int] = field(default_factory=dict)
    ended_loops: dict[str, Span] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()

    @property
    def top(self) -> Frame:
        return self.home or self

    def find(self, name: str) -> Variable | None:
        found = self.names.get(name)
        return found if found is not None or self.home is None else self.home.names.get(name)


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call in progress: who is called, where, and for which target of a statement."""

    function: Function
    span: Span
    target: tuple[object, ...]


@dataclass(slots=True, eq=False)
class Context:
    builder: Builder
    files: Files
    builtins: dict[str, Surface]
    run_body: Callable[[Context, tuple[ast.Stmt, ...]], Surface | None]
    load_module: Callable[[Context, ast.Name | ast.String], Surface]
    settings: dict[str, np.ndarray]
    max_steps: int
    interactive: bool = False
    trace: Trace | None = None
    observe: Observer | None = None
    frame: Frame = field(default_factory=lambda: Frame(is_main=True))
    calls: list[CallSite] = field(default_factory=list)
    target: tuple[object, ...] = ()
    loops: list[int] = field(default_factory=list)
    loop_names: list[str] = field(default_factory=list)
    active_slots: set[int] = field(default_factory=set)
    in_optimizer: bool = False
    optimized: tuple[Span, str, At] | None = None
    """The last call of an optimizer: its place, its name, its gradient."""
    kept_states: dict[str, Variable] | None = None
    steps: int = 0
    diagnostics: list[Diagnostic] = field(default_factory=list)
    constant_vectors: dict[tuple[Width, tuple[int, ...], float], Value] = field(default_factory=dict)
    states: dict[object, dict[str, Variable]] = field(default_factory=dict)
    seen_gradients: dict[object, tuple[Value, ...]] = field(default_factory=dict)
    statements: dict[object, int] = field(default_factory=dict)
    memo_random: dict[int, bool] = field(default_factory=dict)
    targets: dict[Span, frozenset[str]] = field(default_factory=dict)
    parameters: set[int] = field(default_factory=set)
    came_from: dict[int, Value] = field(default_factory=dict)
    """What updates have made values of, by the number of the new one."""
    loop_spans: list[Span] = field(default_factory=list)
    output_power: Fraction = Fraction(0)
    scanned: int = 0

    # -- names

    def lookup(self, name: ast.Name) -> Variable:
        """The variable that a name stands for here. Built-in functions come last, so they can be redefined."""
        found = self.frame.find(name.id)
        if found is None:
            if name.id not in self.builtins:
                raise self.unknown_name(name)
            return Variable(self.builtins[name.id], name.span)
        if isinstance(found.value, Poison):
            raise Silenced
        return found

    def is_bound(self, name: str) -> bool:
        return self.frame.find(name) is not None or name in self.builtins

    def bind(
        self, name: str, value: Surface, span: Span, *, is_const: bool = False, before: Sequence[Surface] = ()
    ) -> None:
        """A new binding, as by `=`: its history starts here. `before`: the history of members that are not bound anew."""
        self.frame.names[name] = Variable(value, span, (value,), is_const, tuple(before))
        if self.observe is not None:
            self.observe(span, value)

    def targets_of(self, definition: ast.Def | ast.OptimizerDef) -> frozenset[str]:
        """The names that gradients are taken with respect to in a definition."""
        key = definition.name.span
        if key not in self.targets:
            self.targets[key] = gradient_targets(definition.body)
        return self.targets[key]

    def parameter(self, name: str, value: Surface) -> Surface:
        """The value to bind where a gradient is asked for by this name: numbers become a scalar of their own, so that L can depend on it."""
        if name not in self.frame.targets:
            return value
        b = self.builder
        if isinstance(value, ConstVal):
            v: Value = b.init_scalar(name, "normal", value.array, np.zeros_like(value.array))
            power = value.power
        elif value in self.constant_vectors.values() and isinstance(value, InitVector):
            v, power = b.init_vector(name, value.type.width, "normal", value.mean, value.variance), Fraction(0)
        else:
            return value
        self.parameters.add(v.id)
        return b.scale(v, power)

    def distinct(self, name: str, value: Surface, first: int) -> Surface:
        """The value to bind where a gradient is asked for by this name: one that no other name has, nor equal instructions elsewhere.

        `first`: how many values there were before the statement that binds it.
        """
        old = self.frame.names.get(name)
        if name not in self.frame.targets or not is_core(value) or (old is not None and old.value is value):
            return value
        x, power = peel(value)
        if isinstance(x, Const | Fluctuation | FirstOrder):
            return value
        base = x.x if isinstance(x, Gather) else x
        if base.id >= first:
            self.builder.own(base)
            return value
        return self.builder.scale(self.builder.alias(x), power)

    def update(self, name: ast.Name, value: Surface) -> None:
        """An update, as by `-=`: the history goes on, in this frame."""
        old = self.frame.find(name.id)
        if old is None:
            raise AssertionError(f"{name.id} is updated and not bound")
        if is_core(value) and is_core(old.value) and value is not old.value:
            self.came_from.setdefault(value.id, old.value)
        self.frame.names[name.id] = replace(old, value=value, history=(*old.history, value))
        if self.observe is not None:
            self.observe(name.span, value)

    def updates_since(self, old: Value, value: Value) -> list[Value] | None:
        """What updates, of a def perhaps, have made of an old value on the way to a new one, newest last; None if they have not."""
        path, seen = [value], {value.id}
        while (before := self.came_from.get(path[-1].id)) is not None and before.id not in seen:
            if before is old:
                return path[::-1]
            path.append(before)
            seen.add(before.id)
        return None

    def unknown_name(self, name: ast.Name) -> NexortError:
        if name.id in self.frame.ended_loops:
            where = self.frame.ended_loops[name.id]
            return error(
                "NX101",
                f"{name.id} is a loop variable, and its loop has ended",
                name.span,
                Label(where, "the loop"),
                hint="bind its value to another name inside the loop",
            )
        bound = {**self.frame.top.names, **self.frame.names}
        known = [*(other for other, v in bound.items() if not isinstance(v.value, Poison)), *self.builtins]
        otherwise = "bind it before this line: a width, a const, a draw with ~, or ="
        if self.in_optimizer:
            otherwise = f"what an optimizer remembers begins with a value: state {name.id} = 0"
        if (module := standard_optimizers().get(name.id)) is not None:
            return error("NX101", f"unknown name {name.id}", name.span, hint=f"from {module} import {name.id}")
        hint, fix = suggest.remedy(name, known, otherwise)
        return error("NX101", f"unknown name {name.id}", name.span, hint=hint, fix=fix)

    # -- calls and loops

    def step(self, span: Span) -> None:
        """Counts one executed statement."""
        self.steps += 1
        if self.steps > self.max_steps:
            self.report(
                Diagnostic(
                    "NX506",
                    f"the program runs more than {self.max_steps} statements",
                    self.loop_spans[-1] if self.loop_spans else span,
                    hint="make the loop shorter, or raise the limit with --max-steps",
                )
            )
            raise Stopped

    def mark_pass(self, variable: str) -> None:
        """Notes that a pass of the innermost loop begins."""
        self.loop_names[len(self.loops) - 1 :] = [variable]
        self._mark()

    def end_loop(self) -> None:
        """Notes that the innermost loop, which is no longer among `loops`, has ended."""
        del self.loop_names[len(self.loops) :]
        self._mark()

    def _mark(self) -> None:
        program = self.builder.program
        program.marks.append(Mark(len(program.values), tuple(zip(self.loop_names, self.loops, strict=True))))

    @contextmanager
    def inside(self, frame: Frame, site: CallSite) -> Iterator[None]:
        """Runs a def's body: its own names, its caller on the stack, no indices of the caller."""
        saved = self.frame, self.target
        self.calls.append(site)
        self.frame, self.target = frame, ()
        try:
            yield
        finally:
            self.calls.pop()
            self.frame, self.target = saved

    def constant_vector(self, width: Width, shape: tuple[int, ...], value: float) -> Value:
        """zeros(n, …) and ones(n, …): vectors without randomness, one core value each."""
        key = (width, shape, value)
        if key not in self.constant_vectors:
            name = "zeros" if value == 0.0 else "ones"
            mean = np.full(shape, value)
            self.constant_vectors[key] = self.builder.init_vector(name, width, "normal", mean, np.zeros(shape))
        return self.constant_vectors[key]

    def require_entrywise(self, what: str, span: Span) -> None:
        """Inside an optimizer every entry is updated alike and alone."""
        if self.in_optimizer:
            raise error(
                "NX242",
                f"an optimizer is an entrywise function of gradients, found {what}",
                span,
                hint="compute what concerns all entries, such as a norm, outside, and pass it as an argument",
            )

    # -- diagnostics

    def report(self, diagnostic: Diagnostic) -> None:
        """Adds a diagnostic once per code and place, and its words once per line, with the calls that led there."""
        known = {(d.code, d.span) for d in self.diagnostics} | {(d.message, _line(d)) for d in self.diagnostics}
        if {(diagnostic.code, diagnostic.span), (diagnostic.message, _line(diagnostic))} & known:
            return
        labels = diagnostic.labels + tuple(
            Label(site.span, f"in this call of {site.function.name}") for site in reversed(self.calls[-3:])
        )
        self.diagnostics.append(replace(diagnostic, labels=labels))
        if len(self.diagnostics) >= MAX_DIAGNOSTICS:
            raise Stopped

    def report_all(self, diagnostics: Iterable[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            self.report(diagnostic)

    def label_from(self, start: int, label: Label) -> None:
        """Adds a label to every diagnostic from number `start` on."""
        self.diagnostics[start:] = [replace(d, labels=(*d.labels, label)) for d in self.diagnostics[start:]]
