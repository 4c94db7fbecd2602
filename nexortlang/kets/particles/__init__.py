"""Limits by particles: a ket is an array of samples, with matrices acting through orthonormal innovations (THEORY.md §6).

sobol (points) < innovations (the initial operator) < plan (what lives when) < apply, tuples (one instruction) < system (one run)
< replicates (independent runs, errors, as many particles as asked for).
"""
