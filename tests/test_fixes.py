"""Fixes: the change of the text that goes with a diagnostic takes the mistake away."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexortlang.diagnostics import Diagnostic
from nexortlang.driver import Request, check
from nexortlang.source import Source

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.nxt"))
BEFORE = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nfrom optim import sgd\n"


def mistakes(text: str, folder: Path = Path()) -> list[Diagnostic]:
    return check(Source("a.nxt", text), Request(folder)).diagnostics


def fixed(text: str, mistake: Diagnostic) -> str:
    assert mistake.fix is not None
    span = mistake.fix.span
    return text[: span.start] + mistake.fix.text + text[span.end :]


@pytest.mark.parametrize(
    ("code", "line", "right"),
    [
        ("NX101", "y = tahn(x)", "y = tanh(x)"),
        ("NX101", "y = w @ x", "y = W @ x"),
        ("NX101", "y = np.tanh(x)", "y = tanh(x)"),
        ("NX101", "y = torch.maximum(x, 0)", "y = max(x, 0)"),
        ("NX101", "y = maximum(x, 0)", "y = max(x, 0)"),
        ("NX107", "import optim\ny = optim.adm(x)", "import optim\ny = optim.adam(x)"),
        ("NX107", "from optim import adm", "from optim import adam"),
        ("NX109", "def f(x, scale = 1) = scale * x\ny = f(x, scal = 2)", "def f(x, scale = 1) = scale * x\ny = f(x, scale = 2)"),
        ("NX003", "y = tanh(x]", "y = tanh(x)"),
        ("NX008", "y = x − 1", "y = x - 1"),
        ("NX008", "y = x × x", "y = x * x"),
        ("NX008", "y = x²", "y = x^2"),
        ("NX008", "y = (x ≤ 1)", "y = (x <= 1)"),
        ("NX010", "y = 1_000 * x", "y = 1000 * x"),
        ("NX010", "y = 2x", "y = 2 * x"),
        ("NX014", "if 1 = 2:\n    y = x", "if 1 == 2:\n    y = x"),
        ("NX015", "for t in range(3)\n    y = x", "for t in range(3):\n    y = x"),
        ("NX017", "y = 2 x", "y = 2 * x"),
        ("NX017", "y = 2 <x|x>", "y = 2 * <x|x>"),
        ("NX029", "assert avg(x) = 0", "assert avg(x) ~= 0"),
        ("NX029", "assert avg(x) == 0 within 1e-3", "assert avg(x) ~= 0 within 1e-3"),
        ("NX228", "c ~ norml(0, 1)", "c ~ normal(0, 1)"),
        ("NX030", "if 0:\n    y = x\nelse if 1:\n    y = x", "if 0:\n    y = x\nelif 1:\n    y = x"),
    ],
)  # fmt: skip
def test_a_fix_mends(code: str, line: str, right: str) -> None:
    found = [m for m in mistakes(BEFORE + line + "\n") if m.code == code]
    assert found and found[0].fix is not None
    assert fixed(BEFORE + line + "\n", found[0]) == BEFORE + right + "\n"
    assert mistakes(BEFORE + right + "\n") == []


@pytest.mark.parametrize(
    "line", ["y = x¹²", "y = foo(x)", "y = [1 2]", "f(x[0] = 3)", "assert a == b == c", "y = detach(x)"]
)
def test_what_is_not_certain_is_not_changed(line: str) -> None:
    found = mistakes(BEFORE + line + "\n")
    assert found and all(m.fix is None for m in found)


@pytest.mark.parametrize("file", WRONG, ids=lambda p: p.stem)
def test_a_fix_takes_its_mistake_away(file: Path) -> None:
    text = file.read_text("utf-8")
    for mistake in mistakes(text, file.parent):
        if mistake.fix is not None and mistake.span is not None:
            after = mistakes(fixed(text, mistake), file.parent)
            assert mistake.message not in {m.message for m in after if m.span and m.span.line == mistake.span.line}
