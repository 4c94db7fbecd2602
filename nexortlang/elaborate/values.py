"""What an expression of the surface language evaluates to, and the names it is bound to.

A program is checked by running it on these values: plain numbers are computed at once, everything random is a core value, and functions,
widths and modules are first class. Values are immutable; updating a name binds it to a new value, so `=` copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, get_args

import numpy as np

from nexortlang.core.program import Value, Width
from nexortlang.elaborate.operators import Operator
from nexortlang.source import Span
from nexortlang.syntax import ast

if TYPE_CHECKING:
    from nexortlang.elaborate.context import Context, Frame

NO_POWER = Fraction(0)


@dataclass(frozen=True, slots=True, eq=False)
class ConstVal:
    """n^power times an array of plain numbers. Zeros have power 0."""

    array: np.ndarray
    power: Fraction = NO_POWER

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """A value in index notation: its axes are the indices that it carries, x[i] * z[j]. `names`: slot → the index's name."""

    value: Value
    names: dict[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A `def` or an `optimizer`. `home` is the top level of its file, where its free names are looked up."""

    node: ast.Def | ast.OptimizerDef
    home: Frame

    @property
    def name(self) -> str:
        return self.node.name.id


@dataclass(frozen=True, slots=True, eq=False)
class Builtin:
    """A built-in function. `run` gets the call, unevaluated: see elaborate.builtins."""

    name: str
    run: Callable[[Context, ast.Call], Surface]


@dataclass(frozen=True, slots=True, eq=False)
class ModuleValue:
    name: str
    frame: Frame


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """What `return h, c` gives."""

    items: tuple[Surface, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Nothing:
    """What a `def` without `return` gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Poison:
    """Stands for what an ill statement would have bound: its uses are silent."""


Surface: TypeAlias = (
    ConstVal | Value | Operator | Indexed | Width | Function | Builtin | ModuleValue | Several | Nothing | Poison | str
)

_CORE: tuple[type, ...] = get_args(Value)


def is_core(value: object) -> TypeGuard[Value]:
    """Whether a value is an instruction of the core: a scalar, a vector or an outer product."""
    return isinstance(value, _CORE)


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A bound name. `history` holds the values the name had before updates (`-=`, `+=`, `*=`), newest last, the current one included.

    `before`: those before members alone were bound anew (`b[0] = …`), oldest first, which are the history of the other members.
    """

    value: Surface
    span: Span
    history: tuple[Surface, ...] = ()
    is_const: bool = False
    before: tuple[Surface, ...] = ()

    @property
    def of_members(self) -> tuple[Surface, ...]:
        """The history of members one by one."""
        return (*self.before, *self.history)


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """A value and where it stands; `variable` if it is a name, so that a mistake can also point to where the name was bound."""

    value: Surface
    span: Span
    variable: Variable | None = field(default=None)

    @property
    def text(self) -> str:
        """The source text, shortened to fit a message."""
        text = " ".join(self.span.text.split())
        return text if len(text) <= 40 else text[:37] + "…"
