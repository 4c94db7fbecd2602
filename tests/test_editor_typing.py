"""What could come next where somebody is typing: completion and signatures."""

from __future__ import annotations

import pytest
from editor_program import KNOWN, TRAINING

from nexortlang.editor.completion import Candidate, Signature, complete, signature_help

# ---------------------------------------------------------------------------- completion


def candidates(line: str, before: str = TRAINING) -> list[Candidate]:
    return complete(KNOWN, before + line, len(before + line)).candidates


def texts(line: str, before: str = TRAINING) -> list[str]:
    return [c.text for c in candidates(line, before)]


def likely(line: str) -> set[str]:
    return {c.text for c in candidates(line) if c.rank == 0}


def test_completion_by_place() -> None:
    assert texts("c ~ ") == ["bernoulli", "laplace", "normal", "rademacher", "uniform"]
    assert {"optim", "params"} <= likely("import ")
    assert texts("from optim ") == ["import"]
    assert {"sgd", "adam", "lion"} <= set(texts("from optim import sgd, "))
    assert "sgd" in texts("y = o.") and "tanh" not in texts("y = o.")
    assert texts("show X.") == ["T", "shape"]
    assert texts("show X ") == ["and", "as", "or"]
    assert texts("for k ") == ["in"]
    assert texts("# comment ") == [] and texts("width ") == []
    assert {"width", "show", "for", "lr"} <= set(texts("")) and "tanh" not in texts("")
    assert "tanh" in texts("y = ") and "width" not in texts("y = ")


def test_completion_by_type() -> None:
    assert likely("y = <") == {"U", "v", "W", "h"}
    assert likely("for k in range(") == {"X", "lr"}
    assert likely("z[") == {"X", "lr", "n"}


def test_completion_of_parameters() -> None:
    assert texts("y = swish(v, ")[0] == "beta="
    assert {"beta1=", "eps="} <= set(texts("y = adam(v, "))
    assert {"beta1=", "eps="} & set(texts("y = adam(v, eps=1, ")) == {"beta1="}
    assert {"beta=", "alpha="} & set(texts("y = o.momentum(v, ")) == {"beta="}


def test_completion_by_scope() -> None:
    inside = TRAINING[: TRAINING.index("    return y")]
    assert {"x", "beta", "y", "lr", "W", "f"} & set(texts("    z = ", inside)) == {"x", "beta", "y", "lr", "W"}
    assert {"x", "beta", "y"} & set(texts("z = ", inside)) == set()
    assert "f" not in texts("z = ", TRAINING[: TRAINING.index("for t")])
    assert "return" in texts("    ", inside)


def test_completion_of_files() -> None:
    assert "data/" in texts('const A = load("')
    assert texts('const A = load("data/') and all(t.endswith((".csv", ".npy")) for t in texts('const A = load("data/'))
    assert "first.nxt" in texts('import "') and texts('import "../') == []
    found = complete(KNOWN, TRAINING + 'const A = load("data/di', len(TRAINING) + 23)
    assert found.start == len(TRAINING) + 21


def test_every_candidate_explains_itself() -> None:
    assert all(c.detail for c in candidates("y = ") if c.kind in ("builtin", "draw", "const", "function"))


# ---------------------------------------------------------------------------- signatures


def signature(line: str) -> Signature:
    found = signature_help(KNOWN, TRAINING + line, len(TRAINING + line))
    assert found is not None
    return found


def test_signatures() -> None:
    assert signature("y = swish(").label == "def swish(x, beta = 1)"
    assert signature("y = swish(v, be").active == 1
    assert signature("y = adam(v, eps=").parameters[signature("y = adam(v, eps=").active or 0] == "eps = 1e-8"
    assert signature("y = o.sgd(").label == "optimizer sgd(g)"
    assert signature("y = where(v > 0, [1, 2], ").active == 2
    assert signature("y = where(v > 0,\n  tanh(v), ").active == 2
    assert signature("y = zeros(n, 2, ").active == 0
    assert signature("y = sum(f, axis=").active == 1
    assert signature("c ~ normal(0, ").active == 1
    assert signature("y = avg[i, j](").label == "avg(x)"
    assert signature("y = tanh(v, ").active is None


@pytest.mark.parametrize("line", ["y = tanh(v)", "y = v * (", "y = unknown(", "y = X[", "# tanh(", ""])
def test_no_signature(line: str) -> None:
    assert signature_help(KNOWN, TRAINING + line, len(TRAINING + line)) is None
