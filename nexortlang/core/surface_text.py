"""Pieces of .nxt text that the core printer is made of: numbers, subscripts, names.

In: arrays and positions. Out: text that reads back as exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from nexortlang.core.program import Shape
from nexortlang.entrywise.ops import OPS
from nexortlang.syntax.table import table
from nexortlang.syntax.words import CONSTANTS, FUNCTIONS, LAWS

INDEX_NAMES = ("i", "j", "k", "l", "i1", "j1", "k1", "l1", "i2", "j2", "k2", "l2")
BUILTIN_NAMES = FUNCTIONS | CONSTANTS | LAWS | {"T", "shape", "low", "high", "axis"}


def number(value: float) -> str:
    """A literal that reads back as this float; negative ones in parentheses."""
    if np.isnan(value):
        return "(inf - inf)"
    if np.isinf(value):
        return "inf" if value > 0 else "(-inf)"
    text = repr(abs(value)).replace("e+", "e")
    text = text.removesuffix(".0")
    return f"(-{text})" if np.signbit(value) else text


def array(values: np.ndarray) -> str:
    """Nested brackets; an empty array by its shape."""
    if values.size == 0:
        return f"zeros({sizes(values.shape)})"
    if values.ndim == 0:
        return number(float(values))
    if values.ndim == 1:
        return (
            "[" + ", ".join(number(float(v)).strip("()") if np.isfinite(v) else number(float(v)) for v in values) + "]"
        )
    return "[" + ", ".join(array(row) for row in values) + "]"


def uniform_or_array(values: np.ndarray) -> str:
    """One number if all entries agree, for what broadcasts."""
    if values.size and (values == values.reshape(-1)[0]).all():
        return number(float(values.reshape(-1)[0]))
    return array(values)


def positions(index: np.ndarray) -> str:
    """A subscript item: a whole number or nested lists of them."""
    return str(int(index)) if index.ndim == 0 else "[" + ", ".join(positions(row) for row in index) + "]"


def sizes(shape: Iterable[int]) -> str:
    return ", ".join(map(str, shape))


# ---------------------------------------------------------------------------- rearranged finite axes


def rearranged(x: str, shape: Shape, index: np.ndarray) -> str:
    """The text of x.flat[index], x of this finite shape: the simplest of reshape, subscript, transpose, rows, and flat positions."""
    size = prod(shape)
    if index.shape and index.size == size and np.array_equal(index.reshape(-1), np.arange(size)):
        return f"reshape({x}, {sizes(index.shape)})"
    items = _basic_subscript(shape, index)
    if items is not None:
        return f"{x}[{items}]"
    if len(shape) > 1:
        order = _transposition(shape, index)
        if order is not None:
            return f"transpose({x}, {sizes(order)})"
        rows = _rows(shape, index)
        if rows is not None:
            return f"{x}[{positions(rows)}]"
    flat = x if len(shape) == 1 else f"reshape({x}, {size})"
    return f"{flat}[{positions(index)}]"


def _basic_subscript(shape: Shape, index: np.ndarray) -> str | None:
    """Whole numbers, slices and None, if they say it."""
    if not index.size or not shape:
        return None
    start = np.unravel_index(int(index.reshape(-1)[0]), shape)
    steps = [int(np.diff(index, axis=a).reshape(-1)[0]) if n > 1 else 0 for a, n in enumerate(index.shape)]
    items: list[str] = []
    parts: list[int | slice | None] = []
    axis = 0
    for k, first in enumerate(map(int, start)):
        while axis < index.ndim and index.shape[axis] == 1:
            items.append("None")
            parts.append(None)
            axis += 1
        stride = prod(shape[k + 1 :])
        count = index.shape[axis] if axis < index.ndim else 0
        step = steps[axis] // stride if count and steps[axis] % stride == 0 else 0
        if step > 0 and first + step * (count - 1) < shape[k]:
            stop = first + step * (count - 1) + 1
            whole = first == 0 and step == 1 and stop == shape[k]
            items.append(":" if whole else f"{first}:{stop}" + (f":{step}" if step > 1 else ""))
            parts.append(slice(first, stop, step))
            axis += 1
        else:
            items.append(str(first))
            parts.append(first)
    rest = index.ndim - axis
    items += ["None"] * rest
    parts += [None] * rest
    found = np.arange(prod(shape)).reshape(shape)[tuple(parts)]
    return ", ".join(items) if found.shape == index.shape and np.array_equal(found, index) else None


def _transposition(shape: Shape, index: np.ndarray) -> tuple[int, ...] | None:
    if index.ndim != len(shape) or index.size != prod(shape):
        return None
    entries = np.arange(prod(shape)).reshape(shape)
    strides = [int(np.take(index, 1, axis=a).reshape(-1)[0]) if n > 1 else -1 for a, n in enumerate(index.shape)]
    own = [prod(shape[k + 1 :]) if n > 1 else -1 for k, n in enumerate(shape)]
    order: list[int] = []
    for stride in strides:
        order.append(next((k for k, s in enumerate(own) if s == stride and k not in order), -1))
    if sorted(order) != list(range(len(shape))):
        return None
    found = entries.transpose(order)
    return tuple(order) if found.shape == index.shape and np.array_equal(found, index) else None


def _rows(shape: Shape, index: np.ndarray) -> np.ndarray | None:
    """The positions on the first axis, if index takes whole members of it."""
    row = prod(shape[1:])
    if index.ndim < len(shape) or index.shape[index.ndim - len(shape) + 1 :] != shape[1:] or not index.size:
        return None
    wanted = index.reshape(-1, row)[:, 0] // row
    wanted = wanted.reshape(index.shape[: index.ndim - len(shape) + 1])
    found = np.arange(prod(shape)).reshape(shape)[wanted]
    return wanted if np.array_equal(found, index) else None


def spread(x: str, labels: str, target: Sequence[str]) -> str:
    """The text of x with its axes, named by letters, in the order of `target`, and an axis of size 1 for every other letter."""
    own = [letter for letter in target if letter in labels]
    order = [labels.index(letter) for letter in own]
    if order != sorted(order):
        x = f"transpose({x}, {sizes(order)})"
    if not own:
        return x
    items = [":" if letter in labels else "None" for letter in target[list(target).index(own[0]) :]]
    return x if "None" not in items else f"{x}[{', '.join(items)}]"


# ---------------------------------------------------------------------------- names


class Names:
    """Gives out identifiers, each once, none with a meaning of its own."""

    def __init__(self) -> None:
        self._taken = set(table().reserved) | set(OPS) | BUILTIN_NAMES | set(INDEX_NAMES)

    def fresh(self, hint: str, otherwise: str) -> str:
        """The hint if it is an identifier and free; else with a number."""
        base = hint if is_name(hint) else otherwise
        name = base if base == hint else f"{base}1"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}" if base[-1].isdigit() else f"{base}{number}"
        self._taken.add(name)
        return name


def is_name(text: str) -> bool:
    """Whether a text is a name of the language."""
    plain = re.sub("[₀-₉′]", "1", text)
    return plain.isidentifier() and not text.startswith(("₀", "′")) and text not in table().reserved


def as_name(text: str) -> str:
    """A name as close to the text as may be."""
    name = re.sub(r"\W+", "_", text).strip("_") or "shown"
    return name if is_name(name) else f"{name}_" if is_name(f"{name}_") else f"shown_{name}"
