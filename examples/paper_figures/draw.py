"""Figures 5.1 and 5.2 of Tensor Programs IVb: training at infinite width, with finite networks around it.

    python examples/paper_figures/draw.py ntp          # four hidden layers, neural tangent parametrization
    python examples/paper_figures/draw.py mup          # two hidden layers, maximal update parametrization

Computes what FOLDER (--out, this one by default) does not hold yet, the limit and one part for each width (several runs; one from 4096 on), each in a file of its own,
and draws them: black the limit with twice its standard error, in colour the means of finite networks with the range of one standard
deviation. `--steps 20` is a quick look; `--only limit`, `--only 512` compute one part and draw nothing.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # randomisations and runs are what goes in parallel

import time
from pathlib import Path

import numpy as np

import nexortlang

HERE = Path(__file__).parent
TITLES = {
    "ntp": "Neural tangent parametrization, four hidden layers",
    "mup": "Maximal update parametrization, two hidden layers",
}
RUNS = 10
COLOURS = ("#d95f02", "#1b9e77", "#7570b3")


def part(name: str, which: str, steps: int, tol: float, seeds: int | None, folder: Path) -> dict[str, np.ndarray]:
    """The outputs on four inputs, (steps + 1, 4), with their standard error (limit) or deviation between runs (a width); kept in a file."""
    path = folder / f"{name}_{which}_{steps}.npz"
    if not path.exists():
        program = nexortlang.load(HERE / f"{name}.nxt", settings={"T": steps})
        start = time.perf_counter()
        if which == "limit":
            f = program.limit(tol=tol)["f"]
            value, scatter = f.value, f.stderr
        else:
            width = int(which)
            runs = seeds or (RUNS if width < 4096 else 1)
            run = program.simulate(width, seeds=runs)["f"]
            value, scatter = run.value, np.nan_to_num(run.deviation)
        np.savez(path, value=value, scatter=scatter, seconds=time.perf_counter() - start)
    with np.load(path) as kept:
        found = dict(kept)
    print(f"{name} {which}: {float(found['seconds']):.0f} s, largest scatter {found['scatter'].max():.2g}", flush=True)
    return found


def draw(name: str, parts: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(10, 6.5), sharex=True, layout="constrained")
    for k, panel in enumerate(panels.flat):
        for which, colour in zip((w for w in parts if w != "limit"), COLOURS, strict=False):
            value, scatter = parts[which]["value"][:, k], parts[which]["scatter"][:, k]
            step = np.arange(len(value))
            panel.fill_between(step, value - scatter, value + scatter, color=colour, alpha=0.25, linewidth=0)
            panel.plot(step, value, color=colour, linewidth=1, label=f"width {which}")
        value, error = parts["limit"]["value"][:, k], parts["limit"]["scatter"][:, k]
        step = np.arange(len(value))
        panel.fill_between(step, value - 2 * error, value + 2 * error, color="black", alpha=0.2, linewidth=0)
        panel.plot(step, value, color="black", linewidth=1.5, label="infinite width")
        panel.set_title(f"input {k + 1}", fontsize=9)
    panels[0, 0].legend(fontsize=8)
    for panel in panels[1]:
        panel.set_xlabel("step of Adam")
    figure.suptitle(TITLES[name])
    figure.savefig(path)
    print(f"drawn: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=sorted(TITLES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--tol",
        type=float,
        default=1e-2,
        help="standard error of the limit, relative to the larger of 1 and the largest value",
    )
    parser.add_argument("--widths", type=int, nargs="*", default=[64, 512, 4096])
    parser.add_argument("--seeds", type=int, help="runs of every width")
    parser.add_argument("--only", help="limit, or one width")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = [options.only] if options.only else [*map(str, options.widths), "limit"]
    parts = {w: part(options.figure, w, options.steps, options.tol, options.seeds, options.out) for w in wanted}
    if not options.only:
        draw(options.figure, parts, options.out / f"{options.figure}.png")


if __name__ == "__main__":
    main()
