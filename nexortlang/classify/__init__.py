"""Sorting parametrizations: the powers of n that a training program's quantities really have, and what they say of it (Tensor Programs IVb, §2.8)."""
