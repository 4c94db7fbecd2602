"""Lessons about files, options and resources (NX5xx), and about mistakes of nexort itself (NX901)."""

from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    "NX501": Lesson(
        "a file cannot be read or written",
        "The file named does not exist, is a folder, may not be read, or is far too large for a program (more than 50 MB). Names are "
        "relative: the program's to the folder you are in, a module's to the folder of the program. nexort fmt replaces files: it "
        "needs the right to write the file and its folder, and leaves read-only files alone.",
        "",
        "",
    ),
    "NX502": Lesson(
        "a program is not UTF-8",
        "Programs are UTF-8 text, so that ξ and φ mean the same on every machine. Some editors and older systems save other encodings, such "
        "as Latin-1 or UTF-16: save the file as UTF-8. A byte order mark at the beginning does no harm.",
        "",
        "",
    ),
    "NX503": Lesson(
        "load() of what it may not read",
        "A program from somebody else should be safe to run, so load() reads only .csv and .npy files, and only in the program's own folder and "
        "below it: no absolute names, no .., no links that lead out. Copy the data beside the program.",
        'const X = load("../digits.csv")\nshow mean(X)\n',
        'const X = load("digits.csv")\nshow mean(X)\n',
    ),
    "NX504": Lesson(
        "what load() finds is no table of numbers",
        "A .csv file holds numbers separated by commas, equally many in every line; one header line is skipped. A .npy file holds one "
        "array of numbers (never pickled objects). Words, missing values and lines of unequal length are refused rather than guessed at.",
        'const X = load("words.csv")\nshow mean(X)\n',
        'const X = load("digits.csv")\nshow mean(X)\n',
    ),
    "NX505": Lesson(
        "the program needs more memory than the machine has",
        "Before the run starts, nexort estimates what the arrays of the program take and compares it with what the machine (or the container it runs "
        "in) has left. Finite axes multiply: a kernel of B inputs has B × B entries, an outer product averaged over "
        "two widths as many pairs as particles × particles. Use fewer inputs, smaller finite axes, or fewer --samples.",
        "width n\nx[n, 4000000, 4000000] ~ normal(0, 1)\nshow avg(x[:, 0])\n",
        "width n\nx[n, 4, 4] ~ normal(0, 1)\nshow avg(x[:, 0])\n",
    ),
    "NX506": Lesson(
        "the program is longer than the limit",
        "Loops are unrolled, so a loop costs memory and time for every pass. A program that would run more statements than the limit is taken for a "
        "mistake; if it is none, --max-steps raises the limit. The same code stands for expressions that are nested "
        "too deeply: break them up with names.",
        "width n\nx[n] ~ normal(0, 1)\nfor t in range(10^7):\n    x = tanh(x)\nshow <x|x>\n",
        "width n\nx[n] ~ normal(0, 1)\nfor t in range(10):\n    x = tanh(x)\nshow <x|x>\n",
    ),
    "NX507": Lesson(
        "the command line is wrong",
        "An option that does not exist, a value that does not fit it, a command without its file, or a command that this version does not have. "
        "nexort --help lists what there is. A file whose name is a command is reached as ./check. At the prompt, commands begin with a colon: :help lists them.",
        "",
        "",
    ),
    "NX508": Lesson(
        "--set gives no number",
        "--set name=value gives a top-level const of the program another value: a number as the language writes it (0.2, 1e-3, -pi) or an array "
        "of numbers ([1, 2], [[1, 0], [0, 1]]). Expressions are not evaluated. Quote brackets for the shell: --set 'X=[1, 2]'.",
        "",
        "",
    ),
    "NX509": Lesson(
        "an optional part is not installed",
        "nexort itself needs few other packages. What only some of its users need comes as an extra, which pip installs on request, together with the packages that it "
        "is made with: pip install 'nexort[lsp]' for the language server, pip install 'nexort[plot]' for pictures of results.",
        "",
        "",
    ),
    "NX901": Lesson(
        "a bug in nexort",
        "Something happened that should not be possible: the mistake is ours, not the program's. Set the environment variable NEXORT_DEBUG=1 "
        "to see where, and please report it together with the program.",
        "",
        "",
    ),
}
