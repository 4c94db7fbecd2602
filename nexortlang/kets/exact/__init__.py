"""Limits without sampling: kets as linear forms over Gaussian roots and nonlinear atoms, expectations in closed form or by quadrature.

linear (linear forms) < atoms (entrywise functions of them) < closed_forms, quadrature < expectation (split, then evaluate)
< forms (what is said of a value) < moments (Gram matrices) < dots < evaluator (instruction by instruction).
"""
