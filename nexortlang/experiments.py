"""From a program to runs at finite width, and to their comparison with the limit.

In: a checked program, what is asked of it, widths and runs. Out: an `Experiment`: results as far as the program came, and every diagnostic. Guarantees: those of `driver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nexortlang.diagnostics import Diagnostic, NexortError
from nexortlang.driver import Outcome, Progress, Request

if TYPE_CHECKING:
    from nexortlang.compare.verify import Comparison
    from nexortlang.core.program import Program
    from nexortlang.finite.simulate import Settings, Simulation
    from nexortlang.report.shown import Shown


WIDTH, SEEDS = 1024, 10
"""Of a simulation, where nothing else is asked for."""

WIDTHS, VERIFY_SEEDS = (256, 512, 1024, 2048), 20
"""Of a comparison."""


@dataclass(slots=True)
class Experiment:
    """`simulation`: the runs at one width. `shown` and `comparison`: the limit, and how finite widths compare with it."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    program: Program | None = None
    simulation: Simulation | None = None
    shown: list[Shown] | None = None
    comparison: Comparison | None = None


def simulate(checked: Outcome, settings: Settings, width: int, progress: Progress | None = None) -> Experiment:
    """What was checked → runs at one width."""
    from nexortlang.finite.simulate import Simulator

    experiment = _begun(checked)
    if experiment.program is None:
        return experiment
    try:
        experiment.simulation = Simulator(experiment.program, settings).simulate(width, progress)
    except NexortError as error:
        experiment.diagnostics += error.diagnostics
    return experiment


def verify(
    checked: Outcome, request: Request, settings: Settings, widths: Sequence[int], progress: Progress | None = None
) -> Experiment:
    """What was checked → limit, and runs at every width → comparison; asserts are checked, too."""
    experiment = _begun(checked)
    if experiment.program is not None:
        try:
            _compare(experiment, experiment.program, request, settings, widths, progress)
        except NexortError as error:
            experiment.diagnostics += error.diagnostics
    return experiment


def _begun(checked: Outcome) -> Experiment:
    return Experiment(list(checked.diagnostics), checked.program)


def _compare(
    experiment: Experiment,
    program: Program,
    request: Request,
    settings: Settings,
    widths: Sequence[int],
    progress: Progress | None,
) -> None:
    from nexortlang.compare.verify import Comparer
    from nexortlang.finite.simulate import Simulator
    from nexortlang.kets.engine import limit
    from nexortlang.kets.results import Options
    from nexortlang.report.comparison import disagreements
    from nexortlang.report.shown import gather
    from nexortlang.report.verdict import verdict

    simulator = Simulator(program, settings)
    for width in widths:
        simulator.require_memory(width)
    result = limit(program, Options(request.tol, request.samples, request.seed, request.patience), progress)
    said = [d for d in verdict(program, result, request.tol) if d.code != "NX305"]  # a limit's errors are accounted for
    experiment.diagnostics += said
    comparer = Comparer(program, result, settings.seeds, settings.dtype)
    for width in widths:
        comparer.add(simulator.simulate(width, progress))
    experiment.shown = gather(program, result)
    experiment.comparison = comparer.comparison()
    experiment.diagnostics += disagreements(experiment.shown, experiment.comparison)
