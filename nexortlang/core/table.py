"""The instructions of core in one table: what each takes, what it gives, and its law in the limit (THEORY.md §2).

For the reference, for hover text, and for people who read the core of a program. One row per class of `program.Value`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """`finite`: the meaning at width n. `law`: the limit."""

    name: str
    operands: str
    result: str
    finite: str
    law: str


INSTRUCTIONS: tuple[Instruction, ...] = (
    Instruction("Const", "none", "scalar", "a finite array of plain numbers", "itself"),
    Instruction(
        "InitVector",
        "none",
        "vector",
        "coordinates iid over the width, jointly distributed over the last finite axis",
        "|x⟩ has the given distribution.",
    ),
    Instruction(
        "InitScalar",
        "none",
        "scalar",
        "one random number for the whole run",
        "its distribution: everything else converges given its value.",
    ),
    Instruction(
        "MatMul",
        "initial matrix W or its transpose, vector x",
        "vector",
        "y_α = Σ_β W_αβ x_β",
        "|Wx⟩ = |Wx⟩^ + |Wx⟩•: hats of one matrix in one orientation are jointly Gaussian with Cov(|Wx⟩^, |Wx'⟩^) = s ⟨x|x'⟩; "
        "the dot is s Σ_k |y_k⟩ E[∂|x⟩ / ∂|Wᵀy_k⟩^] over earlier uses of Wᵀ.",
    ),
    Instruction(
        "Map",
        "entrywise function ψ, values whose widths agree slot by slot",
        "as its operands together",
        "y_α = ψ(x¹_α, …, x^k_α; c), the Nonlin of the papers; over several slots the integrand of an OuterNonlin",
        "|y⟩ = ψ(|x¹⟩, …, |x^k⟩; c°), slots being independent copies.",
    ),
    Instruction(
        "Avg",
        "value, some of its slots",
        "the value without those slots",
        "c = (1/n) Σ_α x_α; over r slots of a Map over r + 1, the OuterNonlin of order r",
        "c° = E |x⟩, the expectation over the independent copies that the slots stand for.",
    ),
    Instruction(
        "Inner",
        "two vectors of one width",
        "scalar",
        "(1/n) Σ_α x_α y_α over pairs of finite entries",
        "⟨x|y⟩ = E |x⟩|y⟩.",
    ),
    Instruction(
        "Fluctuation",
        "vector x, linear in initial vectors of mean 0 that the rest of it does not depend on",
        "scalar",
        "m^(−1/2) Σ_α x_α, m the size of the width",
        "Gaussian scalars, jointly, of mean 0 and covariance E |x⟩|x'⟩.",
    ),
    Instruction(
        "FirstOrder",
        "scalar x of power p, exponent, its limit",
        "scalar",
        "n^exponent x, of order 1 because the leading part of x cancels or is a centred Gaussian functional",
        "the Gaussian functional, and to first order what the terms that are n^(-p) smaller make of x.",
    ),
    Instruction("Rename", "value", "the value on other slots", "x[i] as x[j]", "another independent copy of |x⟩."),
    Instruction(
        "Gather",
        "value, positions of finite entries",
        "the value with another finite shape",
        "subscripts, reshape, transpose and broadcasting of finite axes",
        "entry by entry.",
    ),
    Instruction(
        "Concat", "values", "value with one finite axis", "finite entries, flattened and joined", "entry by entry."
    ),
    Instruction(
        "Reduce",
        "sum, max, min or argmax; value, finite axis",
        "the value without that axis",
        "over one finite axis, entrywise over the widths",
        "entry by entry: a function of the coordinate, as for Map.",
    ),
    Instruction(
        "Einsum",
        "two values whose widths agree slot by slot",
        "as its operands together",
        "a contraction over finite axes, entrywise over the widths",
        "entry by entry: a function of the coordinates, as for Map.",
    ),
    Instruction(
        "Scale",
        "value, exponent p",
        "the value, of a power of n that is p larger",
        "n^p x, n the size of the first width",
        "the normalised form is that of x; in a sum only the largest power remains.",
    ),
)

BY_NAME: dict[str, Instruction] = {row.name: row for row in INSTRUCTIONS}
