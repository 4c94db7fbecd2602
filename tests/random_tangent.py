"""Random programs in the tangent regime, as text: outputs √n⟨v|x⟩, kernels, and steps of training that move them by order one.

In: a source of random choices. Out: the text of a program: a network of up to three layers (shared matrices, skips, biases, one or two inputs), a loss, one to three steps on
some of its parameters. Guarantees: well typed by the rules of LANGUAGE.md; what is shown is finite and mostly concentrates as the width grows: changes of
outputs that started at 0, losses, tangent kernels, covariances of outputs that are linear in what was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

ACTIVATIONS = ("tanh", "erf", "relu", "sigmoid", "gelu", "sin", "softplus")


def program(rng: Random) -> str:
    """The text of one program."""
    return _Writer(rng).program()


class _Writer:
    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lines = ["width n"]
        self._names: list[str] = []

    def program(self) -> str:
        out = "f0[0] + f0[1]" if self._network() else "f0"
        self._lines.append("f0 = net()")
        self._lines.append("show cov(f0) as k0")
        wanted = self._rng.sample(self._names, self._rng.randrange(1, len(self._names) + 1))
        self._lines.append(f"show ntk(f0, {', '.join(wanted)}) as t0" if self._chance(3) else "show ntk(f0) as t0")
        self._training(out)
        return "\n".join(self._lines) + "\n"

    # -- the network

    def _network(self) -> bool:
        """The function net(); whether it has two outputs."""
        pair = self._chance(2)
        body: list[str] = []
        if self._chance(2):
            self._draw("U[n, 2] ~ normal(0, {})", "0.5", "1")
            h = "U @ [[1, 0.4], [0.2, -1]]" if pair else "U @ [1, -0.5]"
        else:
            self._draw("x[n, 2] ~ normal(0.2, {})" if pair else "x[n] ~ normal(0.2, {})", "0.5", "1")
            h = "x"
        if self._chance(3):
            self._draw("b[n] ~ normal(0, {})", "0.1", "0.4")
            h = f"{h} + b"
        body.append(f"h = {self._pick(ACTIVATIONS)}({h})")
        matrices: list[str] = []
        for _ in range(self._rng.randrange(3)):
            if not matrices or self._chance(2):
                matrices.append(self._draw("W{k}[n, n] ~ {law}(0, {}/n)", "1", "1.5"))
                W = matrices[-1]
            else:
                W = self._pick(matrices)
            W += self._pick(("", "", ".T"))
            act = self._pick(ACTIVATIONS)
            body.append(f"h = {self._pick((f'{act}({W} @ h)', f'0.7 * h + 0.7 * {act}({W} @ h)'))}")
        self._draw("v[n] ~ normal(0, {})", "1", "0.5")
        if self._chance(4):
            self._draw("c ~ normal(0, {})", "0.2", "1")
        output = "sqrt(n) * <v|h>" + (" + c" if "c" in self._names else "")
        self._lines += ["def net():", *(f"    {line}" for line in body), f"    return {output}"]
        return pair

    def _draw(self, form: str, *variances: str) -> str:
        law = self._pick(("normal", "normal", "rademacher"))
        text = form.replace("{k}", str(len(self._names))).replace("{law}", law).replace("{}", self._pick(variances))
        name = text.split("[")[0].split(" ")[0]
        self._lines.append(text)
        self._names.append(name)
        return name

    # -- training

    def _training(self, out: str) -> None:
        centred = self._chance(2)
        self._lines.append(f"f = net(){' - stop(f0)' if centred else ''}")
        trained = self._rng.sample(self._names, self._rng.randrange(1, len(self._names) + 1))
        losses = ["mean((f - 1)^2) / 2", "mean(tanh(f - 0.5))", "mean(log(1 + (f - 1)^2))"]
        loss = self._pick(losses if centred else [*losses[1:], "mean(f)", "mean(f)"])
        self._lines.append(f"for t in range({self._rng.randrange(1, 4)}):")
        self._lines.append(f"    L = {loss}")
        steps = [self._step(name) for name in trained]
        self._lines += [f"    {line}" for line in steps]
        self._lines.append(f"    f = net(){' - stop(f0)' if centred else ''}")
        if centred:
            self._lines.append("    show f as series")
        else:
            self._lines.append("show f - f0 as moved")
        self._lines.append("show L as loss")
        if centred and self._chance(2):
            self._lines.append("show tanh(f)^2 as squashed")
        if not centred and self._chance(2):
            self._lines.append(f"show tanh({out})^2 as random")

    def _step(self, name: str) -> str:
        gradient = f"grad(L, {name})"
        if name == "c":
            return f"c -= 0.3 * {gradient}"
        matrix = name.startswith("W")
        rate = self._pick(("0.2", "0.5"))
        if matrix and self._chance(6):
            return f"{name} -= {rate}/(n * sqrt(n)) * tanh(sqrt(n) * {gradient})"
        return f"{name} -= {rate}{'/n' if matrix else ''} * {gradient}"

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._rng.randrange(len(options))]

    def _chance(self, of: int) -> bool:
        return self._rng.randrange(of) == 0
