"""Limits of trained networks against finite widths: `python bench/verify_training.py [name …] [--regime tangent] [--tol 5e-4] [--steps 5] [--widths …] [--seeds 20]`.

Every architecture with every optimizer, in the maximal-update parametrization or, with `--regime tangent`, the neural tangent one: `nexort verify` runs the same program in both engines. Printed
are the verdict, the largest deviation in standard errors of the extrapolation, the largest standard error of the limit, and the seconds.
A name is `architecture` or `architecture-optimizer`; without names all are run.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from nexortlang.cli import main as nexort

NETWORKS = {
    "one_hidden": "<v|tanh(U @ X.T)>",
    "two_hidden": "<v|tanh(W1 @ tanh(U @ X.T))>",
    "four_hidden": "<v|tanh(W3 @ tanh(W2 @ tanh(W1 @ tanh(U @ X.T))))>",
    "shared": "<v|tanh(W1 @ tanh(W1 @ tanh(U @ X.T)))>",
    "transposed": "<v|tanh(W1.T @ tanh(W1 @ tanh(U @ X.T)))>",
}
"""The outputs; matrices W1, W2, … are drawn as far as they occur."""

OPTIMIZERS = {"sgd": "sgd(g)", "sign_sgd": "sign_sgd(g)", "adam": "adam(g)"}
RATES = {"sgd": 1.0, "sign_sgd": 0.1, "adam": 0.1}


def program(network: str, optimizer: str, steps: int = 5, regime: str = "mup") -> str:
    """A training program: three inputs, full batch, outputs and losses shown. In the tangent regime the first outputs are subtracted."""
    output = NETWORKS[network]
    tangent = regime == "tangent"
    matrices = [name for name in ("W1", "W2", "W3") if name in output]
    rate = RATES[optimizer]
    lines = [
        "width n",
        f"from optim import {optimizer}",
        "const X = [[1, 0.5], [-0.5, 1], [0.2, -1]]",
        "const y = [1, -0.5, 0.5]",
        "U[n, 2] ~ normal(0, 1)",
        *(f"{W}[n, n] ~ normal(0, 2/n)" for W in matrices),
        "v[n] ~ normal(0, 1)",
        f"def net(X) = sqrt(n) * {output}" if tangent else f"def net(X) = {output}",
        "f0 = stop(net(X))" if tangent else "f0 = 0",
        f"for t in range({steps}):",
        "    f = net(X) - f0",
        "    L = mean((f - y)^2) / 2",
        "    show f",
        "    show L",
    ]
    names = ["U", *matrices, "v"]
    lines += [f"    g{name} = {'sqrt(n)' if tangent else 'n'} * grad(L, {name})" for name in names]
    for name in names:
        call = OPTIMIZERS[optimizer].replace("(g)", f"(g{name})")
        power = (1.0 if name in matrices else 0.0) + (0.5 if tangent else 0.0)
        lines.append(f"    {name} -= {rate} * n^(-{power}) * {call}")
    return "\n".join(lines) + "\n"


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            status = nexort(list(arguments))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return int(status or 0), out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--regime", choices=("mup", "tangent"), default="mup")
    parser.add_argument("--tol", default="5e-4")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--widths", default="256,512,1024,2048")
    parser.add_argument("--seeds", default="20")
    options = parser.parse_args()
    chosen = [
        (network, optimizer)
        for network in NETWORKS
        for optimizer in OPTIMIZERS
        if not options.names or network in options.names or f"{network}-{optimizer}" in options.names
    ]
    with tempfile.TemporaryDirectory() as folder:
        for network, optimizer in chosen:
            path = Path(folder) / f"{network}-{optimizer}.nxt"
            path.write_text(program(network, optimizer, options.steps, options.regime), encoding="utf-8")
            start = time.perf_counter()
            sizes = ("--widths", options.widths, "--seeds", options.seeds, "--tol", options.tol)
            status, text = run("verify", str(path), "--json", *sizes)
            seconds = time.perf_counter() - start
            print(f"{path.stem:24} status {status}  {summary(text)}  {seconds:.1f} s", flush=True)


def summary(text: str) -> str:
    """The verdict, the largest deviation of all numbers, and the errors that it is measured in, from the JSON of `nexort verify`."""
    record = json.loads(text)
    if "results" not in record:
        return str([d["message"] for d in record["diagnostics"]])
    parts = [part for shown in record["results"] for part in shown["parts"]]
    errors = [np.max(np.asarray(part[key])) for part in parts for key in ("limit_stderr", "extrapolated_stderr")]
    verdict = "agree" if record["agree"] else "DISAGREE"
    largest = max(abs(shown["deviation"]) for shown in record["results"])
    return f"{verdict}, {largest:.1f} of {record['threshold']:.1f} se; se of the limit {max(errors[0::2]):.1e}, of the widths {max(errors[1::2]):.1e}"


if __name__ == "__main__":
    main()
