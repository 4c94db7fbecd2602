"""Lessons about names, arguments and modules (NX1xx)."""

from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    "NX101": Lesson(
        "an unknown name",
        "Nothing has bound this name when the line runs. Names are bound by width, const, ~, =, def and import, and only from then on; a loop "
        "variable ends with its loop, and what a def binds ends with the call. Names free in a def are looked up when it is called, at the top "
        "level of its file.",
        "width n\nx[n] ~ normal(0, 1)\nshow avg(y)\n",
        "width n\nx[n] ~ normal(0, 1)\ny = tanh(x)\nshow avg(y)\n",
    ),
    "NX102": Lesson(
        "an index that nothing binds",
        "In index notation x[i] is the coordinate of x at the index i. An index is bound on the left side, y[i] = …, which defines every "
        "coordinate of y, or by avg[i](…), which averages over it. Without either, the line does not say what happens to i.",
        "width n\nx[n] ~ normal(0, 1)\ny[i] = avg[j](x[i] * x[k])\nshow avg(y)\n",
        "width n\nx[n] ~ normal(0, 1)\ny[i] = avg[j](x[i] * x[j])\nshow avg(y)\n",
    ),
    "NX103": Lesson(
        "an index that no vector carries",
        "An index ranges over the width of the vectors that carry it. If none does, there is no width to range over: avg[j](x[i]) averages "
        "nothing. Scalars and consts have no coordinates, so they carry no index.",
        "width n\nx[n] ~ normal(0, 1)\nc = avg[i, j](x[i]^2)\nshow c\n",
        "width n\nx[n] ~ normal(0, 1)\nc = avg[i, j](abs(x[i] - x[j]))\nshow c\n",
    ),
    "NX105": Lesson(
        "a name that may not be bound so",
        "A width keeps its name, since types are written with it, and a const is declared once, so that what --set changes is clear. An index is "
        "a name without another meaning, bound once. Other names are bound by = as often as you like, to any type.",
        "const lr = 0.1\nconst lr = 0.2\nshow lr\n",
        "lr = 0.1\nlr = lr / 2\nshow lr\n",
    ),
    "NX106": Lesson(
        "no such module",
        'import optim looks for optim.nxt in the standard library, then beside the program; import "layers.nxt" looks beside the program only, and '
        "never outside its folder.",
        "from optimisers import adam\n",
        "from optim import adam\n",
    ),
    "NX107": Lesson(
        "the module has no such name",
        "A module offers the consts, defs, optimizers and imports of its top level, under the names they have there.",
        'import "layers.nxt" as layers\nwidth n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nh = layers.dens(W, x)\nshow <h|h>\n',
        'import "layers.nxt" as layers\nwidth n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\nh = layers.dense(W, x)\nshow <h|h>\n',
    ),
    "NX108": Lesson(
        "recursion, or imports in a circle",
        "A program is a finite list of instructions, so a def may not call itself, directly or through others, and a module may not import what "
        "imports it. Repeat with a for loop.",
        "def power(x, k) = x * power(x, k - 1)\nshow power(2, 3)\n",
        "def power(x, k):\n    y = 1\n    for t in range(k):\n        y = y * x\n    return y\nshow power(2, 3)\n",
    ),
    "NX109": Lesson(
        "an unknown keyword argument",
        "An argument written name=value goes to the parameter of that name, and the function has none.",
        "const A = [[1, 2], [3, 4]]\nshow sum(A, axes=0)\n",
        "const A = [[1, 2], [3, 4]]\nshow sum(A, axis=0)\n",
    ),
    "NX110": Lesson(
        "a wrong number of arguments",
        "Every parameter without a default needs an argument, and each is given once. The axis of a reduction is always named, since max(a, b) "
        "compares two arrays.",
        "const A = [[1, 2], [3, 4]]\nshow sum(A, 0)\n",
        "const A = [[1, 2], [3, 4]]\nshow sum(A, axis=0)\n",
    ),
    "NX111": Lesson(
        "a statement that may not stand here",
        "return belongs to a def, state to the outer level of an optimizer, width, def and import to the top level of a file; dist and cov "
        "follow show. A module holds const, def, optimizer and imports only, so that importing it draws and shows nothing.",
        "x = 2\nreturn x\n",
        "def twice(x):\n    return 2 * x\nshow twice(1)\n",
    ),
    "NX112": Lesson(
        "--set of what is no const",
        "--set name=value replaces the value of a const that the main file declares at its top level, before the run. Other names are computed, "
        "so there is nothing to replace.",
        "",
        "",
    ),
}
