"""Limits of trained networks against finite widths, by `nexort verify`: depth, shared weights, Wᵀ in the forward pass; SGD, signs, Adam.

bench/verify_training.py has every network with every optimizer, at full size; here are those that differ most, with few steps and particles.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from limits import command

BENCH = Path(__file__).parent.parent / "bench" / "verify_training.py"
SPEC = importlib.util.spec_from_file_location("verify_training", BENCH)
assert SPEC is not None and SPEC.loader is not None
networks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(networks)

CHOSEN = [
    ("one_hidden", "adam"),
    ("two_hidden", "sign_sgd"),
    ("four_hidden", "sgd"),
    ("shared", "sgd"),
    ("shared", "adam"),
    ("transposed", "sgd"),
    ("transposed", "sign_sgd"),
]


@pytest.mark.parametrize(("network", "optimizer"), CHOSEN)
def test_limit_and_finite_widths_agree(network: str, optimizer: str, tmp_path: Path) -> None:
    path = tmp_path / "network.nxt"
    path.write_text(networks.program(network, optimizer, steps=4), encoding="utf-8")
    status, out, err = command(
        "verify", str(path), "--json", "--samples", "512", "--widths", "64,128,256", "--seeds", "12"
    )
    assert status == 0, (out, err)
    record = json.loads(out)
    assert record["agree"] and [shown["shape"] for shown in record["results"]] == [[4, 3], [4]]
    (f,) = (shown for shown in record["results"] if shown["name"] == "f")
    assert -0.8 < f["spread_rate"] < -0.2
