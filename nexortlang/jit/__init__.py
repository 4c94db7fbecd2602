"""Compiled evaluation of entrywise expressions: the only package that imports numba, and only when the work is worth its start-up.

entrywise(ψ)(a, b, …)        ψ over arrays, broadcast as in NumPy
evaluate_all(roots, arrays)  several expressions in one pass
outer_mean(ψ, x, y, …)       mean over j of ψ(xᵢ, yⱼ) for every i
"""

from nexortlang.jit.entrywise import Engine, entrywise, evaluate_all
from nexortlang.jit.outer import outer_mean

__all__ = ["Engine", "entrywise", "evaluate_all", "outer_mean"]
