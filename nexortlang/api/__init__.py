"""The Python interface: programs as objects, results as NumPy arrays, mistakes as exceptions.

In: a program's text or file. Out: frozen records of what it shows. Guarantees: nothing is printed, no environment variable and no other global
state is changed, every call starts from the same state: same arguments, same machine, same numbers.
"""

from nexortlang.api.program import Program, load, loads, run
from nexortlang.api.results import Limit, Result, RunError, Simulated, Simulation, Verification, Verified

__all__ = [
    "Limit",
    "Program",
    "Result",
    "RunError",
    "Simulated",
    "Simulation",
    "Verification",
    "Verified",
    "load",
    "loads",
    "run",
]
