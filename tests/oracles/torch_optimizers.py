"""Makes torch_optimizers.json beside it: what torch.optim does to a parameter, in double precision.

    python tests/oracles/torch_optimizers.py        (needs the extra `torch`)

In: the gradients below, the same for every run. Out: the parameter after every step, as shortest decimals that read back the same doubles.
The gradients do not depend on the parameter, so that a trajectory checks the optimizer and nothing else. Among the entries there are zeros
(always, at first, in between), gradients far below and far above eps, changes of sign, and ordinary ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

START = [0.0, 1.0, -2.0, 0.5, 3.0, -0.25, 0.125, 1.5]
GRADIENTS = [
    [0.0, 0.0, 1.0, 1e-12, 3e4, 0.7, -0.3, 2e-8],
    [0.0, 1.5, -1.0, -2e-12, -1e4, 0.0, -0.2, 3e-8],
    [0.0, -0.5, 0.0, 1e-12, 2e4, 0.0, 0.1, -1e-8],
    [0.0, 0.0, 0.5, 3e-12, 0.0, 1.1, 0.4, 0.0],
    [0.0, 0.25, -2.0, 0.0, 0.5, -0.3, -0.6, 4e-8],
    [0.0, 0.0, 1e-3, -1e-12, 0.25, 0.2, 0.05, 1e-3],
    [0.0, -0.75, 3.0, 2e-12, -0.125, -0.9, 0.0, -2.0],
    [0.0, 0.1, 0.0, 1e-12, 1.0, 0.4, -0.7, 0.0],
]

# What is written in .nxt (g is the gradient, the rest as `optim` names it); torch's name and arguments; lr; decoupled decay is AdamW's alone.
RUNS: list[tuple[str, str, float, dict[str, object]]] = [
    ("sgd(g)", "SGD", 0.1, {}),
    ("momentum(g)", "SGD", 0.1, {"momentum": 0.9}),
    ("momentum(g, beta = 0.5)", "SGD", 0.03, {"momentum": 0.5}),
    ("nesterov(g)", "SGD", 0.1, {"momentum": 0.9, "nesterov": True}),
    ("nesterov(g, beta = 0.6)", "SGD", 0.03, {"momentum": 0.6, "nesterov": True}),
    ("rmsprop(g)", "RMSprop", 0.01, {}),
    ("rmsprop(g, alpha = 0.7, eps = 1e-4)", "RMSprop", 0.1, {"alpha": 0.7, "eps": 1e-4}),
    ("adagrad(g)", "Adagrad", 0.01, {}),
    (
        "adagrad(g, lr_decay = 0.2, initial = 0.3, eps = 1e-3)",
        "Adagrad",
        0.1,
        {"lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 1e-3},
    ),
    ("adadelta(g)", "Adadelta", 1.0, {}),
    ("adadelta(g, rho = 0.7, eps = 1e-3)", "Adadelta", 0.5, {"rho": 0.7, "eps": 1e-3}),
    ("adam(g)", "Adam", 0.001, {}),
    ("adam(g, beta1 = 0.8, beta2 = 0.9, eps = 1e-3)", "Adam", 0.1, {"betas": (0.8, 0.9), "eps": 1e-3}),
    ("adamw(g)", "AdamW", 0.001, {"weight_decay": 0.01}),
    (
        "adamw(g, beta1 = 0.7, beta2 = 0.95, eps = 1e-5)",
        "AdamW",
        0.1,
        {"betas": (0.7, 0.95), "eps": 1e-5, "weight_decay": 0.5},
    ),
    ("nadam(g)", "NAdam", 0.002, {}),
    (
        "nadam(g, beta1 = 0.8, beta2 = 0.9, eps = 1e-4, momentum_decay = 0.3)",
        "NAdam",
        0.1,
        {"betas": (0.8, 0.9), "eps": 1e-4, "momentum_decay": 0.3},
    ),
    ("adamax(g)", "Adamax", 0.002, {}),
    ("adamax(g, beta1 = 0.6, beta2 = 0.8, eps = 1e-3)", "Adamax", 0.1, {"betas": (0.6, 0.8), "eps": 1e-3}),
    ("amsgrad(g)", "Adam", 0.001, {"amsgrad": True}),
    (
        "amsgrad(g, beta1 = 0.5, beta2 = 0.6, eps = 1e-4)",
        "Adam",
        0.1,
        {"amsgrad": True, "betas": (0.5, 0.6), "eps": 1e-4},
    ),
]


def trajectory(optimizer: str, lr: float, arguments: dict[str, object]) -> list[list[float]]:
    """The parameter after each of the steps."""
    parameter = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    stepper = getattr(torch.optim, optimizer)([parameter], lr=lr, foreach=False, **arguments)
    seen = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        stepper.step()
        seen.append(parameter.detach().tolist())
    return seen


def main() -> None:
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of coefficients in the default type
    runs = [
        {
            "nexort": call,
            "torch": optimizer,
            "lr": lr,
            "arguments": arguments,
            "trajectory": trajectory(optimizer, lr, arguments),
        }
        for call, optimizer, lr, arguments in RUNS
    ]
    version = torch.__version__.split("+")[0]
    found = {"torch": version, "start": START, "gradients": GRADIENTS, "runs": runs}
    text = json.dumps(found).replace("], [", "],\n[").replace("}, {", "},\n{")
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
