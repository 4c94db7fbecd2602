"""A program that uses most of the language, as an editor knows it, and places in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nexortlang.diagnostics import Fix
from nexortlang.editor.analysis import Analysis, analyse, read
from nexortlang.editor.files import OpenFiles
from nexortlang.source import Source

ROOT = Path(__file__).resolve().parent.parent
WRONG = sorted((ROOT / "tests/wrong").glob("*.nxt"))
PROGRAMS = sorted([*(ROOT / "examples").glob("*.nxt"), *(ROOT / "stdlib").glob("*.nxt")])

TRAINING = """\
## One hidden layer, trained.
width n
const X = [[1, 0], [0.6, 0.8]]
const lr = 0.1
U[n, 2] ~ normal(0, 1)
W[n, n] ~ normal(0, 1/n)
v[n] ~ normal(0, 1)
import optim as o
from optim import adam

## x times a sigmoid.
def swish(x, beta = 1):
    y = x * sigmoid(beta * x)
    return y

def net(X) = <v | swish(W @ tanh(U @ X.T), beta=2)>

for t in range(3):
    f = net(X)
    L = mean(f^2) / 2
    g = grad(L, W)
    W -= lr/n * adam(n * g, eps=1e-3)
    U -= lr * o.sgd(n * grad(L, U))
h[i] = avg[j](tanh(v[i] * v[j]) * v[j])
s = sqrt(n) * <v|v>
show f as out
"""


def analysis(text: str, folder: Path = ROOT / "examples", **open_texts: str) -> Analysis:
    texts = {(folder / f"{name}.nxt").resolve(): other for name, other in open_texts.items()}
    return analyse(read(Source(str(folder / "a.nxt"), text)), OpenFiles(folder, texts))


KNOWN = analysis(TRAINING)


def place(text: str, mark: str, nth: int = 0) -> int:
    """Where «‸» stands in the mark, which occurs in the text without it."""
    plain, offset = mark.replace("‸", ""), mark.index("‸")
    start = -1
    for _ in range(nth + 1):
        start = text.index(plain, start + 1)
    return start + offset


def with_changes(text: str, fixes: Sequence[Fix]) -> str:
    for fix in sorted(fixes, key=lambda f: -f.span.start):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    return text
