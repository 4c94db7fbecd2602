"""stdlib/optim.nxt at finite width against the same training written in NumPy from the optimizers' definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_gradient import SIZE, draws, run

from nexortlang.core.program import InitVector
from nexortlang.elaborate.program import elaborate
from nexortlang.files import Files
from nexortlang.source import Source
from nexortlang.syntax.parser import parse

STEPS = 4
LR = 0.3
X = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, -1.0, 0.5]])
Y = np.array([1.0, -1.0, 0.5])

PROGRAM = """
width n
const X = [[1, 0, 1], [0, 1, 1], [1, -1, 0.5]]
const y = [1, -1, 0.5]
U[n, 3] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n]    ~ normal(0, 1)
from optim import NAME

for t in range(4):
    f = <v | tanh(W @ tanh(U @ X.T))>
    L = mean((f - y)^2) / 2
    show f
    show L
    DECAY
    U -= 0.3   * NAME(n * grad(L, U))
    W -= 0.3/n * NAME(n * grad(L, W))
    v -= 0.3   * NAME(n * grad(L, v))
"""

Update = Callable[[np.ndarray, SimpleNamespace, int], np.ndarray]


def sgd(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    return g


def momentum(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    s.buffer = g if t == 1 else 0.9 * s.buffer + g
    return s.buffer


def nesterov(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    return g + 0.9 * momentum(g, s, t)


def sign_sgd(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    return np.sign(g)


def smooth_sign_sgd(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    return g / np.hypot(g, 1e-4)


def rmsprop(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    s.square = 0.99 * getattr(s, "square", 0.0) + 0.01 * g**2
    return g / (np.sqrt(s.square) + 1e-8)


def adagrad(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    s.total = getattr(s, "total", 0.0) + g**2
    return g / (np.sqrt(s.total) + 1e-10)


def adadelta(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    s.square = 0.9 * getattr(s, "square", 0.0) + 0.1 * g**2
    past = getattr(s, "moved", np.zeros_like(g))
    delta = np.sqrt(past + 1e-6) / np.sqrt(s.square + 1e-6) * g
    s.moved = 0.9 * past + 0.1 * delta**2
    return delta


def moments(g: np.ndarray, s: SimpleNamespace, b1: float = 0.9, b2: float = 0.999) -> tuple[np.ndarray, np.ndarray]:
    s.m = b1 * getattr(s, "m", 0.0) + (1 - b1) * g
    s.v = b2 * getattr(s, "v", 0.0) + (1 - b2) * g**2
    return s.m, s.v


def adam(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m, v = moments(g, s)
    return (m / (1 - 0.9**t)) / (np.sqrt(v) / np.sqrt(1 - 0.999**t) + 1e-8)


def adam_inside(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m, v = moments(g, s)
    return (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t) + 1e-16)


def amsgrad(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m, v = moments(g, s)
    s.top = np.maximum(getattr(s, "top", 0.0), v)
    return (m / (1 - 0.9**t)) / (np.sqrt(s.top) / np.sqrt(1 - 0.999**t) + 1e-8)


def nadam(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m, v = moments(g, s)
    now, after = (0.9 * (1 - 0.5 * 0.96 ** (k * 0.004)) for k in (t, t + 1))
    s.product = getattr(s, "product", 1.0) * now
    direction = g * (1 - now) / (1 - s.product) + m * after / (1 - s.product * after)
    return direction / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def adamax(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m, _ = moments(g, s)
    s.top = np.maximum(0.999 * getattr(s, "top", 0.0), np.abs(g) + 1e-8)
    return m / ((1 - 0.9**t) * s.top)


def lion(g: np.ndarray, s: SimpleNamespace, t: int) -> np.ndarray:
    m = getattr(s, "m", np.zeros_like(g))
    s.m = 0.99 * m + 0.01 * g
    return np.sign(0.9 * m + 0.1 * g)


UPDATES: dict[str, Update] = {
    update.__name__: update
    for update in (
        *(sgd, momentum, nesterov, sign_sgd, smooth_sign_sgd, rmsprop, adagrad, adadelta),
        *(adam, adam_inside, amsgrad, nadam, adamax, lion),
    )
}
UPDATES["adamw"] = adam


def trained(update: Update, U: np.ndarray, W: np.ndarray, v: np.ndarray, decay: float) -> np.ndarray:
    """The outputs before each step, with gradients by hand."""
    n = len(v)
    states = [SimpleNamespace() for _ in range(3)]
    outputs = []
    for t in range(1, STEPS + 1):
        x1 = np.tanh(U @ X.T)
        x2 = np.tanh(W @ x1)
        f = v @ x2 / n
        outputs.append(f)
        chi = (f - Y) / len(Y)
        dh2 = v[:, None] * (1 - x2**2)
        dh1 = (W.T @ dh2) * (1 - x1**2)
        gradients = [(dh1 * chi) @ X, (dh2 * chi) @ x1.T, x2 @ chi]  # n times them
        dU, dW, dv = (update(g, s, t) for g, s in zip(gradients, states, strict=True))
        U, W, v = ((1 - decay) * w for w in (U, W, v))
        U, W, v = U - LR * dU, W - LR / n * dW, v - LR * dv
    return np.array(outputs)


def shown(name: str, decay: str = "") -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The outputs that the program shows at a finite width, and what it started from."""
    source = Source("training.nxt", PROGRAM.replace("NAME", name).replace("    DECAY\n", decay))
    module, mistakes = parse(source)
    program, more = elaborate(module, Files(Path()))
    assert not mistakes and not more
    given, matrices = draws(SimpleNamespace(program=program))  # type: ignore[arg-type]
    arrays = run(SimpleNamespace(program=program), given, matrices)  # type: ignore[arg-type]
    outputs = np.array([arrays[s.value.id] for s in program.shows if s.name == "f"])
    U, v = (given[x.id] for x in program.values if isinstance(x, InitVector) and x.name in ("U", "v"))
    (W,) = matrices.values()
    return outputs, (U, W, v)


@pytest.mark.parametrize("name", UPDATES)
def test_training(name: str) -> None:
    outputs, start = shown(name)
    assert outputs.shape == (STEPS, 3) and start[1].shape == (SIZE, SIZE)
    np.testing.assert_allclose(outputs, trained(UPDATES[name], *start, decay=0.0), rtol=1e-7, atol=1e-9)


def test_decoupled_weight_decay() -> None:
    decay = "".join(f"    {w} *= 0.9\n" for w in "UWv")
    outputs, start = shown("adamw", decay)
    np.testing.assert_allclose(outputs, trained(adam, *start, decay=0.1), rtol=1e-7, atol=1e-9)


def test_all_optimizers_of_the_library_are_tested() -> None:
    text = (Path(__file__).parent.parent / "stdlib" / "optim.nxt").read_text(encoding="utf-8")
    names = [
        line.split("(")[0].removeprefix("optimizer ") for line in text.splitlines() if line.startswith("optimizer ")
    ]
    assert sorted(names) == sorted(UPDATES)
