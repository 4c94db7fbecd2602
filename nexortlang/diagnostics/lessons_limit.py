"""Lessons about the limit itself: the program is well typed, but a number it asks for does not exist, or is not had."""

from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    "NX301": Lesson(
        title="An expectation is infinite, or not a number",
        why=(
            "The limit of an average is an expectation over a coordinate, and this one has none: the function grows faster than the Gaussian "
            "density falls, or is not defined where the Gaussian lives. Programs at finite width show it as averages that never settle. Bound "
            "the function, or keep its argument where it is defined."
        ),
        wrong="width n\nx[n] ~ normal(0, 1)\nshow avg(exp(x^2))\n",
        right="width n\nx[n] ~ normal(0, 1)\nshow avg(exp(-x^2))\n",
    ),
    "NX302": Lesson(
        title="A function jumps where the limit has an atom",
        why=(
            "sign, step and comparisons jump. Where their argument tends to the jump itself, wide programs fall on either side of it, "
            "at random or by rounding, so there is no limit: avg(x) of a centred x tends to 0, but its sign stays a coin's. The "
            "same holds for a vector whose limit is constant at the jump. Compare with a number that the argument stays away from, or drop the jump."
        ),
        wrong="width n\nx[n] ~ normal(0, 1)\nshow sign(avg(x))\n",
        right="width n\nx[n] ~ normal(1, 1)\nshow sign(avg(x))\n",
    ),
    "NX304": Lesson(
        title="An assert failed",
        why=(
            "The value in the limit is further from the target than the assert allows and its own error (three standard errors) explains. Either "
            "the formula or the program is wrong; running the program at a finite width tells which."
        ),
        wrong="width n\nx[n] ~ normal(0, 1)\nassert avg(relu(x)) ~= 0.5 within 1e-6\n",
        right="width n\nx[n] ~ normal(0, 1)\nassert avg(relu(x)) ~= 1/sqrt(2*pi) within 1e-6\n",
    ),
    "NX305": Lesson(
        title="The tolerance was not reached",
        why=(
            "Some numbers were sampled, and their standard errors are larger than --tol asks for (relative to the value's size where that is above 1), with "
            "as many particles as --samples, --patience or the machine's memory allows. The results are printed with the errors they have. Raise --tol, or "
            "--patience (minutes; sampling goes on for so long only where it can tell that the tolerance will be reached), or ask for less in one run."
        ),
        wrong="",
        right="",
    ),
    "NX306": Lesson(
        title="Finite widths disagree with the limit",
        why=(
            "`nexort verify` runs the program at several widths, extrapolates what it shows to infinite width, and compares that with the limit, with "
            "the errors of both sides. A number is called wrong when it is so many standard errors away that chance explains it in one of a "
            "hundred programs at most. Either the widths are too small for the extrapolation (deep or unstable programs need larger ones); or a function "
            "almost jumps where the limit stands: Adam turns a gradient that is 0 in the limit, and of order 1/sqrt(n) at every width, into steps of full "
            "size as long as eps is smaller than that, so give it a larger eps; or the limit is wrong: then please report it together with the program."
        ),
        wrong="",
        right="",
    ),
}
