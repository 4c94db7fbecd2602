"""nexort: Tensor Programs, run at infinite width.

A `.nxt` program is parsed (`syntax`), elaborated into a small typed core program while it is checked
(`elaborate`, `core`), and its infinite-width limit computed (`kets`). `driver` joins the stages; `cli` and
`repl` are the only places that read arguments, print, or exit. From Python:

    import nexortlang
    nexortlang.run("width n\\nx[n] ~ normal(0, 1)\\nshow <x|relu(x)> as c\\n")["c"].value

Nothing is imported before it is used: `import nexortlang` alone loads neither NumPy nor a stage.
"""

TYPE_CHECKING = False  # that of typing costs half the import
if TYPE_CHECKING:
    from nexortlang.api import (
        Limit,
        Program,
        Result,
        RunError,
        Simulated,
        Simulation,
        Verification,
        Verified,
        load,
        loads,
        run,
    )
    from nexortlang.diagnostics import Diagnostic, NexortError
    from nexortlang.kets.results import Distribution

__version__ = "0.1.0"

__all__ = [
    "Diagnostic",
    "Distribution",
    "Limit",
    "NexortError",
    "Program",
    "Result",
    "RunError",
    "Simulated",
    "Simulation",
    "Verification",
    "Verified",
    "__version__",
    "load",
    "loads",
    "run",
]

_ELSEWHERE = {
    "Diagnostic": "nexortlang.diagnostics",
    "NexortError": "nexortlang.diagnostics",
    "Distribution": "nexortlang.kets.results",
}


def __getattr__(name: str) -> object:
    """What `__all__` names, imported at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "nexortlang.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
