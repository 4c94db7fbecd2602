"""The words with a meaning, beyond the grammar's: what names stand for when nothing binds them.

Out: sets of names. With the reserved words of the parse table they are the one token table, from which prompts, editors and
Pygments colour programs. Tests hold FUNCTIONS and CONSTANTS to what the elaborator knows, and LAWS to the core's laws.
"""

from __future__ import annotations

DECLARATIONS = frozenset({"width", "const", "def", "optimizer", "state"})
"""Reserved words that introduce a name."""

LOGIC = frozenset({"and", "or", "not"})
"""Reserved words that are operators."""

_FUNCTIONS = """
zeros ones eye arange range len reshape transpose concatenate randn load
sum mean max min argmax softmax avg dist cov grad stop ntk
exp log sqrt abs sign step sin cos tan tanh sigmoid erf relu leaky_relu gelu silu softplus where clip
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""The built-in functions; `step` is also an optimizer's count of steps."""

CONSTANTS = frozenset({"pi", "inf", "None"})
"""`None` stands only in subscripts."""

LAWS = frozenset({"normal", "uniform", "rademacher", "laplace", "bernoulli"})
"""What may follow `~`."""
