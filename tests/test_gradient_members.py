"""Gradients member by member: `b[0] -= …` and `b[1] -= …` act as on two variables, and equal values under two names are two variables.

The reference is a small reverse mode of its own, in which every member of every name is a node of a graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from elaborated import Finite, codes
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 3
START = f"width n\na[{SIZE}] ~ normal(1, 1)\nb[{SIZE}] ~ normal(-1, 1)\n"


@dataclass(eq=False)
class Node:
    """A number and its derivatives by the nodes that it was computed from."""

    value: float
    parents: tuple[tuple[Node, float], ...] = ()

    def derivatives(self) -> dict[Node, float]:
        """d self / d node for every node that it was computed from."""
        order: list[Node] = []
        seen: set[Node] = set()

        def visit(node: Node) -> None:
            if node not in seen:
                seen.add(node)
                for parent, _ in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        found = {self: 1.0}
        for node in reversed(order):
            for parent, slope in node.parents:
                found[parent] = found.get(parent, 0.0) + slope * found[node]
        return found


def times(x: Node, y: Node) -> Node:
    return Node(x.value * y.value, ((x, y.value), (y, x.value)))


def plus(x: Node, y: Node, c: float = 1.0) -> Node:
    return Node(x.value + c * y.value, ((x, 1.0), (y, c)))


def copied(x: Node) -> Node:
    return Node(x.value, ((x, 1.0),))


@dataclass
class Reference:
    """Names as lists of members; a member is the list of the nodes that it has been since `=`, newest last."""

    names: dict[str, list[list[Node]]]
    text: list[str] = field(default_factory=list)
    together: list[list[Node]] = field(default_factory=list)
    """Nodes that one statement gave to members of one name."""

    def now(self, name: str, k: int) -> Node:
        return self.names[name][k][-1]

    def run(self, step: tuple[str, str, int, str, int]) -> None:
        kind, x, k, y, j = step
        target, other = self.names[x], self.now(y, j)
        match kind:
            case "update":
                self.text.append(f"{x}[{k}] += 0.5 * {y}[{j}]")
                target[k].append(plus(self.now(x, k), other, 0.5))
            case "scale":
                self.text.append(f"{x}[{k}] *= {y}[{j}]")
                target[k].append(times(self.now(x, k), other))
            case "set":
                self.text.append(f"{x}[{k}] = {y}[{j}]")
                target[k] = [copied(other)]
            case "whole":
                self.text.append(f"{x} *= 0.5")
                for member in target:
                    member.append(Node(0.5 * member[-1].value, ((member[-1], 0.5),)))
                self.together.append([member[-1] for member in target])
            case "copy":
                self.text.append("a = b")
                self.names["a"] = [[copied(self.now("b", i))] for i in range(SIZE)]
                self.together.append([self.now("a", i) for i in range(SIZE)])
            case "loss":
                self.text.append(f"L = L + {x}[{k}] * {y}[{j}]")
                self.names["L"] = [[plus(self.now("L", 0), times(self.now(x, k), other))]]
            case _:
                raise AssertionError(kind)

    def gradient(self, name: str, k: int) -> float:
        """By the newest value of the member that L was computed from, or of those that were updated together with it; 0 if there is none."""
        found = self.now("L", 0).derivatives()
        for node in reversed(self.names[name][k]):
            group = next((nodes for nodes in self.together if node in nodes), [node])
            if any(other in found for other in group):
                return found.get(node, 0.0)
        return 0.0

    def is_used(self, name: str) -> bool:
        found = self.now("L", 0).derivatives()
        return any(node in found for member in self.names[name] for node in member)


KINDS = ("update", "scale", "set", "whole", "copy", "loss", "loss")
MEMBER = st.integers(0, SIZE - 1)
STEP = st.tuples(st.sampled_from(KINDS), st.sampled_from("ab"), MEMBER, st.sampled_from("ab"), MEMBER)


@given(steps=st.lists(STEP, min_size=1, max_size=10))
@settings(max_examples=150, deadline=None)
def test_random_updates_of_members(steps: list[tuple[str, str, int, str, int]]) -> None:
    head = START + "L = a[0] * a[0]\n"
    drawn = Finite(head, n=2).draws
    names = {name: [[Node(float(value))] for value in drawn[name]] for name in "ab"}
    first = names["a"][0][0]
    reference = Reference({**names, "L": [[times(first, first)]]})
    reference.together = [[member[-1] for member in names[name]] for name in "ab"]
    for step in steps:
        reference.run(step)
    asked = [name for name in "ab" if reference.is_used(name)]
    shows = [f"G{name} = grad(L, {name})" for name in asked]
    shows += [f"G{name}{k} = grad(L, {name}[{k}])" for name in asked for k in range(SIZE)]
    run = Finite(head + "\n".join([*reference.text, *shows]) + "\n", n=2)
    for name in asked:
        expected = [reference.gradient(name, k) for k in range(SIZE)]
        np.testing.assert_allclose(run.array(f"G{name}"), expected, rtol=1e-10, atol=1e-12)
        for k in range(SIZE):
            np.testing.assert_allclose(run.array(f"G{name}{k}"), expected[k], rtol=1e-10, atol=1e-12)


FAMILY = f"""
width n
F[n, n, {SIZE}] ~ normal(0, 1/n)
x[n] ~ normal(0, 1)
v[n] ~ normal(0, 1)
h = x
L = <v|F[0] @ h>
"""
MATRIX_KINDS = ("add", "shrink", "whole", "apply", "apply", "restart", "loss")
MATRIX_STEP = st.tuples(st.sampled_from(MATRIX_KINDS), MEMBER)


def run_on_matrices(reference: Reference, step: tuple[str, int], x: Node, v: Node) -> None:
    """A step on a family of matrices at width 1, where they are numbers."""
    kind, k = step
    F = reference.names["F"]
    match kind:
        case "add":
            reference.text.append(f"F[{k}] += |x><v|")
            F[k].append(plus(F[k][-1], Node(x.value * v.value)))
        case "shrink":
            reference.text.append(f"F[{k}] *= 0.5")
            F[k].append(Node(0.5 * F[k][-1].value, ((F[k][-1], 0.5),)))
        case "whole":
            reference.text.append("F -= |v><x|")
            for member in F:
                member.append(plus(member[-1], Node(-x.value * v.value)))
            reference.together.append([member[-1] for member in F])
        case "apply":
            reference.text.append(f"h = F[{k}] @ sin(h)")
            h = reference.now("h", 0)
            sine = Node(np.sin(h.value), ((h, np.cos(h.value)),))
            reference.names["h"] = [[times(F[k][-1], sine)]]
        case "restart":
            reference.text.append("h = x")
            reference.names["h"] = [[x]]
        case "loss":
            reference.text.append(f"L = L + <v|F[{k}] @ h>")
            use = times(v, times(F[k][-1], reference.now("h", 0)))
            reference.names["L"] = [[plus(reference.now("L", 0), use)]]
        case _:
            raise AssertionError(kind)


@given(steps=st.lists(MATRIX_STEP, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_random_updates_of_matrices(steps: list[tuple[str, int]]) -> None:
    drawn = Finite(FAMILY, n=1).draws
    x, v = Node(float(drawn["x"][0])), Node(float(drawn["v"][0]))
    family = [[Node(float(value))] for value in drawn["F"][:, 0, 0]]
    loss = times(v, times(family[0][0], x))
    reference = Reference({"F": family, "h": [[x]], "L": [[loss]]}, together=[[member[0] for member in family]])
    for step in steps:
        run_on_matrices(reference, step, x, v)
    shows = [f"G{k} = grad(L, F[{k}])" for k in range(SIZE)]
    run = Finite(FAMILY + "\n".join([*reference.text, "G = grad(L, F)", *shows]) + "\n", n=1)
    expected = [reference.gradient("F", k) for k in range(SIZE)]
    np.testing.assert_allclose(np.broadcast_to(run.array("G"), (1, 1, SIZE))[0, 0], expected, rtol=1e-9, atol=1e-12)
    for k in range(SIZE):
        np.testing.assert_allclose(run.array(f"G{k}"), expected[k], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_layers_updated_one_by_one(order: tuple[int, int]) -> None:
    """Three steps of gradient descent on avg(tanh(b[0]) * b[1]), a member after the other, in NumPy."""
    loop = "\n".join(f"    b[{k}] -= 0.1 * n * grad(L, b[{k}])" for k in order)
    run = Finite(
        f"width n\nb[n, 2] ~ normal(1, 1)\nfor t in range(3):\n    L = <tanh(b[0])|b[1]>\n{loop}\nB = b\n", n=7
    )
    b = run.draws["b"].copy()
    for _ in range(3):
        t = np.tanh(b[:, 0])
        b -= 0.1 * np.stack([(1 - t**2) * b[:, 1], t], axis=1)
    np.testing.assert_allclose(run.array("B"), b, rtol=1e-12)


@pytest.mark.parametrize(
    ("lines", "name", "expected"),
    [
        ("c = a + 1\nd = a + 1\nL = <c|d>", "c", "1"),
        ("c = a + 1\nL = <c|a + 1>", "c", "1"),
        ("L0 = <a|a + 1>\nc = a + 1\nL = <c|a + 1> + L0", "c", "1"),
        ("c = a\nL = <a|c>", "c", "0"),
        ("c = a\nL = <a|c>", "a", "2 * a"),
        ("d = b[0]\nL = <d|b[0]> + <d|a>", "d", "b0 + a"),
        ("c = a\nd = a\nc -= g\nd -= g\nL = <c|d>", "c", "-g"),
    ],
)
def test_equal_values_under_two_names(lines: str, name: str, expected: str) -> None:
    run = Finite(
        "width n\na[n] ~ normal(0, 1)\nb[n, 2] ~ normal(0, 1)\ng[n] ~ normal(0, 1)\n"
        f"{lines}\nG = n * grad(L, {name})\n",
        n=5,
    )
    a, b0, g = run.draws["a"], run.draws["b"][:, 0], run.draws["g"]
    by_hand = {"1": a + 1, "0": a, "2 * a": 2 * a, "b0 + a": b0 + a, "-g": a - g}
    np.testing.assert_allclose(run.array("G"), by_hand[expected], rtol=1e-12)


@pytest.mark.parametrize("draw", ["b = zeros(n)", "b[n] ~ normal(0, 0)", "b ~ normal(0, 0)"])
def test_a_bias_that_begins_at_zero(draw: str) -> None:
    run = Finite(
        f"width n\nU[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\n{draw}\nL = <v|tanh(U + b)>\nG = grad(L, b)\n", n=5
    )
    slope = run.draws["v"] * (1 - np.tanh(run.draws["U"]) ** 2)
    np.testing.assert_allclose(run.array("G"), slope.mean() if draw.startswith("b ~") else slope / 5, rtol=1e-12)


def test_a_member_that_was_bound_anew_has_no_earlier_value() -> None:
    start = "width n\nb[n, 2] ~ normal(0, 1)\nL = avg(b[0]^2) + avg(b[1]^2)\nb[1] = 2 * b[0]\n"
    run = Finite(start + "G = n * grad(L, b)\n", n=5)
    zero = np.zeros(5)
    np.testing.assert_allclose(run.array("G"), np.stack([2 * run.draws["b"][:, 0], zero], axis=1), rtol=1e-12)


def test_a_family_that_the_loss_was_not_computed_from() -> None:
    assert codes("width n\na[2] ~ normal(0, 1)\nb[2] ~ normal(0, 1)\nL = a[0]\na[0] *= 2\nshow grad(L, b[0])\n") == [
        ("NX241", 6)
    ]


@pytest.mark.parametrize("term", ["2 * b", "b * <v|x>", "b * x", "-b", "b / 2", "b + b", "sum([b, b], axis=0)"])
def test_terms_of_a_bias_that_begins_at_zero(term: str) -> None:
    """They are 0, and not to be left out."""
    head = "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\n"
    run = Finite(f"{head}b = zeros(n)\nL = <v|tanh(x + {term})> + <b|x>\nG = n * grad(L, b)\n", n=5)
    x, v = run.draws["x"], run.draws["v"]
    slope = {"2 * b": 2.0, "b * <v|x>": (v * x).mean(), "b * x": x, "-b": -1.0, "b / 2": 0.5}.get(term, 2.0)
    np.testing.assert_allclose(run.array("G"), v * (1 - np.tanh(x) ** 2) * slope + x, rtol=1e-12)


CONSTANT_UPDATES = {
    "a member, then all at once": ("W[1] -= grad(<x|W[1] @ a>, W[1])\nL = sum(<x|W @ a>)", "sum(W.T @ x, axis=0)"),
    "a member, then all updated": (
        "W[1] -= |x><x|\nW -= grad(sum(<x|W @ a>), W)\nL = <x|W[1] @ x> + avg(a)",
        "1 + 0 * a",
    ),
    "all, then a member": (
        "W -= grad(<x|W[1] @ a> + <x|W[0] @ a>, W)\nW[0] *= 0.5\nL = <x|W[1] @ x> + avg(a)",
        "1 + 0 * a",
    ),
    "one matrix": ("V -= grad(<x|V @ a>, V)\nV -= grad(<x|V @ a>, V)\nL = <x|V @ a>", "V.T @ x"),
}


@pytest.mark.parametrize("case", CONSTANT_UPDATES)
def test_an_update_is_constant_for_later_gradients(case: str) -> None:
    """What a was when the update was made does not count."""
    lines, expected = CONSTANT_UPDATES[case]
    run = Finite(
        "width n\nx[n] ~ normal(0, 1)\na[n] ~ normal(0, 1)\nW[n, n, 2] ~ normal(0, 1/n)\nV[n, n] ~ normal(0, 1/n)\n"
        f"{lines}\nG = n * grad(L, a)\nE = {expected}\n",
        n=5,
    )
    np.testing.assert_allclose(run.array("G"), np.broadcast_to(run.array("E"), 5), rtol=1e-11)


def test_the_state_of_an_optimizer_belongs_to_the_member_that_is_bound() -> None:
    """b[l] = b[l] - … as b[l] -= …"""
    head = "width n\nfrom optim import adam\nb[n, 2] ~ normal(0, 1)\nfor t in range(3):\n    L = <sin(b[0])|b[1]>\n"
    lines = ("b[l] -= 0.1 * adam(n * grad(L, b[l]))", "b[l] = b[l] - 0.1 * adam(n * grad(L, b[l]))")
    one, two = (Finite(f"{head}    for l in range(2):\n        {line}\nB = b\n", n=5).array("B") for line in lines)
    np.testing.assert_allclose(one, two, rtol=1e-12)


def test_members_that_the_loss_does_not_use_stay_as_they_are() -> None:
    """Their gradient is 0, whatever power of n stands before it."""
    run = Finite(
        "width n\nx[n] ~ normal(0, 1)\nb[n, 3] ~ normal(0, 1)\nW[n, n, 3] ~ normal(0, 1/n)\nL = <b[0]|tanh(b[1] + W[0] @ x)>\n"
        "for l in range(3):\n    b[l] -= 0.1 * n * grad(L, b[l])\n    W[l] -= 0.1/n * n * grad(L, W[l])\nB = b\ny = W @ x\n",
        n=5,
    )
    b, W, x = (run.draws[name] for name in "bWx")
    np.testing.assert_array_equal(run.array("B")[:, 2], b[:, 2])
    np.testing.assert_allclose(run.array("y")[:, 1:], np.einsum("ijl,j->il", np.moveaxis(W, 0, -1), x)[:, 1:])


EQUAL_MATRICES = {
    "V = 0.5*W\nZ = 0.5*W": ("V", "Z", lambda W, x, v: 0.5 * W),
    "V = W + W.T\nZ = W + W.T": ("V", "Z", lambda W, x, v: W + W.T),
    "V = |v><x|\nZ = |v><x|": ("V", "Z", lambda W, x, v: np.outer(v, x) / len(x)),
    "F[1] = F[0]": ("F[1]", "F[0]", None),
}


@pytest.mark.parametrize("lines", EQUAL_MATRICES)
@pytest.mark.parametrize("turned", [False, True])
def test_equal_matrices_under_two_names(lines: str, turned: bool) -> None:
    """The gradient by one counts its own use alone, whichever is used first; what it was copied from counts both."""
    one, two, made = EQUAL_MATRICES[lines]
    first, second = (two, one) if turned else (one, two)
    run = Finite(
        "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nW[n, n] ~ normal(0, 1/n)\nF[n, n, 2] ~ normal(0, 1/n)\n"
        f"{lines}\nh = {first} @ x\nk = {second} @ x\nL = <v|tanh(h)> + <v|sin(k)>\nG = n * grad(L, {first})\nK = n * grad(L, {second})\n",
        n=5,
    )
    x, v = run.draws["x"], run.draws["v"]
    A = run.draws["F"][0] if made is None else made(run.draws["W"], x, v)
    slopes = [v * (1 - np.tanh(A @ x) ** 2), v * np.cos(A @ x)]
    for gradient, name, own in (("G", first, slopes[0]), ("K", second, slopes[1])):
        expected = sum(slopes) if name == "F[0]" else own
        np.testing.assert_allclose(run.array(gradient), np.outer(expected, x), rtol=1e-11)


def test_a_matrix_that_took_the_place_of_another_has_no_earlier_value() -> None:
    run = Finite(
        "width n\nx[n] ~ normal(0, 1)\nC[n, n] ~ normal(0, 1/n)\nF[n, n, 2] ~ normal(0, 1/n)\n"
        "F[1] = F[0]\nF[0] = C\nL = <x|F[1] @ x>\nG = n * grad(L, F)\n",
        n=5,
    )
    x = run.draws["x"]
    np.testing.assert_allclose(run.array("G"), np.stack([np.zeros((5, 5)), np.outer(x, x)], axis=-1), rtol=1e-12)


def test_ones_that_alone_carry_an_axis_count_its_entries() -> None:
    """The gradient by a family of two equal members, |x><a| twice, applied to a: both of them lead back to a."""
    run = Finite(
        "width n\nx[n] ~ normal(0, 1)\na[n] ~ normal(0, 1)\nF[n, n, 2] ~ normal(0, 1/n)\n"
        "g = grad(sum(<x|F @ a>), F)\nL = sum(<g @ a|a>)\nG = n * grad(L, a)\n",
        n=5,
    )
    x, a = run.draws["x"], run.draws["a"]
    np.testing.assert_allclose(run.array("G"), 2 * (x * (a @ a) + a * (x @ a)) / 5, rtol=1e-12)


@pytest.mark.parametrize("update", ["H[1] *= 0.5", "H *= 0.5", "H[1] -= v"])
def test_what_a_definition_has_made_of_a_name_goes_on(update: str) -> None:
    """H = f(H) with a def that updates H is an update of H, as for matrices: the loss from before was computed from what H was."""
    run = Finite(
        f"width n\nH[n, 2] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\ndef f(H):\n    {update}\n    return H\n"
        "L = <H[0]|sin(H[1])>\nH = f(H)\nG = n * grad(L, H)\nM = <H[0]|sin(H[1])>\nK = n * grad(M, H)\n",
        n=5,
    )
    h, k = run.draws["H"], run.array("H")

    def slopes(H: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(H[:, 1]), H[:, 0] * np.cos(H[:, 1])], axis=1)

    np.testing.assert_allclose(run.array("G"), slopes(h), rtol=1e-12)
    np.testing.assert_allclose(run.array("K"), slopes(k), rtol=1e-12)
