"""`nexort simulate` and `nexort verify`.

In: the arguments, a request, a console. Out: an exit status, as in `cli`: 1 if limit and finite widths disagree.
"""

from __future__ import annotations

from nexortlang import experiments
from nexortlang.driver import Request, check
from nexortlang.experiments import SEEDS, VERIFY_SEEDS, WIDTH, WIDTHS, Experiment
from nexortlang.finite.simulate import Settings
from nexortlang.options import Arguments
from nexortlang.report.console import Console, Progress, write_file
from nexortlang.source import Source


def simulate(source: Source, request: Request, arguments: Arguments, console: Console) -> Experiment:
    """Runs the program and prints what it shows."""
    from nexortlang.report import simulation

    settings = Settings(arguments.seeds or SEEDS, arguments.seed, arguments.dtype)
    with Progress(console.quiet) as progress:
        found = experiments.simulate(check(source, request), settings, arguments.width or WIDTH, progress)
    if found.program is not None and found.simulation is not None:
        if console.json:
            console.answer(
                simulation.as_json(found.program, found.simulation, settings, source.name, found.diagnostics)
            )
        else:
            console.say(simulation.report(found.program, found.simulation, settings, console.width))
    return found


def verify(source: Source, request: Request, arguments: Arguments, console: Console) -> Experiment:
    """Compares the program's limit with its runs, prints the verdict and draws the plot."""
    from nexortlang.plots.page import convergence, kind_of, require_matplotlib
    from nexortlang.report import comparison, plot

    is_png = bool(arguments.plot) and kind_of(arguments.plot) == "png"
    if is_png:
        require_matplotlib("--plot of a .png")  # before the work, not after it; an .svg needs nothing
    settings = Settings(arguments.seeds or VERIFY_SEEDS, arguments.seed, arguments.dtype)
    with Progress(console.quiet) as progress:
        found = experiments.verify(check(source, request), request, settings, arguments.widths or WIDTHS, progress)
    if found.shown is not None and found.comparison is not None:
        if console.json:
            console.answer(comparison.as_json(found.shown, found.comparison, settings, source.name, found.diagnostics))
        else:
            console.say(comparison.report(found.shown, found.comparison, console.width))
        if arguments.plot:
            drawn = convergence if is_png else plot.svg
            write_file(arguments.plot, drawn(found.shown, found.comparison, source.name))
    return found
