"""Lessons on syntax, NX0xx: what the parser says when a program does not follow the grammar."""

from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

LESSONS: dict[str, Lesson] = {
    "NX001": Lesson(
        "A word that does not fit here",
        "Reading stopped at a word that no statement can have at this place. The message lists what could stand there instead; the "
        "mistake is that word, or something is missing just before it.",
        "width n\nx[n] ~ normal(0, 1)\nfor t range(3):\n    show avg(x^2)\n",
        "width n\nx[n] ~ normal(0, 1)\nfor t in range(3):\n    show avg(x^2)\n",
    ),
    "NX002": Lesson(
        "A bracket that is not closed",
        "A line goes on inside ( ) and [ ], so an open bracket swallows what follows. The place shown is where it was opened.",
        "width n\nx[n] ~ normal(0, 1)\nshow avg(exp(x)\nshow avg(x^2)\n",
        "width n\nx[n] ~ normal(0, 1)\nshow avg(exp(x))\nshow avg(x^2)\n",
    ),
    "NX003": Lesson(
        "A closing bracket without its partner",
        "Each ) closes a ( and each ] a [, in the reverse order of their opening.",
        "const X = [[1, 0), [0, 1]]\nshow sum(X)\n",
        "const X = [[1, 0], [0, 1]]\nshow sum(X)\n",
    ),
    "NX004": Lesson(
        "A tab before a statement",
        "How far a line is indented says which block it belongs to, and a tab has no fixed width. Only spaces indent.",
        "const T = 3\nfor t in range(T):\n\tshow t^2\n",
        "const T = 3\nfor t in range(T):\n    show t^2\n",
    ),
    "NX005": Lesson(
        "A line that is indented without reason",
        "Deeper lines are the block of a def, optimizer, for, if, elif or else, and all lines of one block begin in the same column.",
        "const a = 2\n    const b = 3\nshow a * b\n",
        "const a = 2\nconst b = 3\nshow a * b\n",
    ),
    "NX006": Lesson(
        "A line that returns to no outer block",
        "After a block the next line begins in the column of an enclosing block, so that it is clear which one goes on.",
        "const T = 3\nfor t in range(T):\n    show t^2\n  show T\n",
        "const T = 3\nfor t in range(T):\n    show t^2\nshow T\n",
    ),
    "NX007": Lesson(
        "A block without statements",
        "A line that ends in a colon announces a block: at least one statement, on the next lines, indented deeper.",
        "const T = 3\nfor t in range(T):\nshow T\n",
        "const T = 3\nfor t in range(T):\n    show T\n",
    ),
    "NX008": Lesson(
        "A character that belongs to no word",
        "Outside comments and file names a program is made of names, numbers and the signs of the language. The hint says how the "
        "language writes what was probably meant.",
        "const x = 3\nshow x²\n",
        "const x = 3\nshow x^2\n",
    ),
    "NX009": Lesson(
        "A file name that is not closed",
        "A file name stands between quotes on one line. It has no escapes: \\ is an ordinary character in it.",
        'import "layers.nxt as layers\n',
        "import optim\n",
    ),
    "NX010": Lesson(
        "A number that is no number",
        "Numbers are decimal: 3, 0.5, .5, 1e-3. A product needs its sign, and infinity is inf.",
        "const lr = 1e\nshow lr\n",
        "const lr = 1e-3\nshow lr\n",
    ),
    "NX011": Lesson(
        "A reserved word as a name",
        "width const def return for in if elif else import from as optimizer state show assert within and or not have their own meaning "
        "in the grammar. Built-in functions, in contrast, can be redefined.",
        "const state = 2\nshow 3\n",
        "const state1 = 2\nshow state1\n",
    ),
    "NX012": Lesson(
        "A chain of comparisons",
        "A comparison is 1 or 0, and a < b < c would compare that with c. So that nobody is surprised, chains are not allowed.",
        "const a = 2\nshow 1 < a < 3\n",
        "const a = 2\nshow 1 < a and a < 3\n",
    ),
    "NX013": Lesson(
        "A comparison inside a bra-ket",
        "The signs < and > bound a bra-ket, so inside it comparisons, and conditions made by and, or and not, stand in parentheses.",
        "width n\nx[n] ~ normal(0, 1)\nshow <x|x > 0>\n",
        "width n\nx[n] ~ normal(0, 1)\nshow <x|(x > 0)>\n",
    ),
    "NX014": Lesson(
        "= where == is meant",
        "= binds a name and is a statement (or names an argument in a call); == compares and is an expression.",
        "const a = 2\nif a = 2:\n    show a\n",
        "const a = 2\nif a == 2:\n    show a\n",
    ),
    "NX015": Lesson(
        "A colon is missing",
        "The line that announces a block ends in a colon. A function may do without a block: def f(x) = e.",
        "const T = 3\nfor t in range(T)\n    show t\n",
        "const T = 3\nfor t in range(T):\n    show t\n",
    ),
    "NX016": Lesson(
        "An operand is missing",
        "An operator, a comma or a word such as show is followed by an expression. A line does not go on by itself: put long expressions in parentheses.",
        "const a = 2\nshow a +\n",
        "const a = 2\nshow a + 1\n",
    ),
    "NX017": Lesson(
        "An operator is missing",
        "Two expressions side by side are no product: write *. In brackets, entries are separated by commas.",
        "const X = [1 2]\nshow sum(X)\n",
        "const X = [1, 2]\nshow sum(X)\n",
    ),
    "NX018": Lesson(
        "What stands on the left cannot be bound",
        "Left of =, ~ and += stands a name, or a name with subscripts: x, x[t], y[i], W[i, j]. A function is defined by def.",
        "f(x) = x^2\nshow f(3)\n",
        "def f(x) = x^2\nshow f(3)\n",
    ),
    "NX019": Lesson(
        "A draw without its law",
        "~ draws from the law on its right: normal(mean, variance), uniform, rademacher, laplace, bernoulli(p).",
        "width n\nx[n] ~ normal\nshow avg(x^2)\n",
        "width n\nx[n] ~ normal(0, 1)\nshow avg(x^2)\n",
    ),
    "NX020": Lesson(
        "A bra-ket that is not complete",
        "<x|y> is an inner product, <x|A|y> one with a matrix between, |x><y| an outer product; half of one means nothing. "
        "The mean of x over the width is avg(x), the absolute value abs(x).",
        "width n\nx[n] ~ normal(0, 1)\nshow <x>\n",
        "width n\nx[n] ~ normal(0, 1)\nshow avg(x)\n",
    ),
    "NX021": Lesson(
        "A block on the line that announces it",
        "A block stands on lines of its own, indented. Only a function can be written on one line: def f(x) = e.",
        "for t in range(3): show t\n",
        "for t in range(3):\n    show t\n",
    ),
    "NX022": Lesson(
        "Two statements on a line",
        "One statement stands on a line.",
        "const a = 2 const b = 3\nshow 1\n",
        "const a = 2\nconst b = 3\nshow a * b\n",
    ),
    "NX023": Lesson(
        "Arguments or parameters out of order",
        "Arguments without a name come first, then name=value; parameters without a default first, then those with one; each name once.",
        "def f(a = 1, b) = a + b\nshow f(1, 2)\n",
        "def f(b, a = 1) = a + b\nshow f(1, 2)\n",
    ),
    "NX024": Lesson(
        "Too much within each other",
        "Brackets nest 100 deep, operations 200 deep, blocks 50 deep. Whatever is deeper is easier to read in parts, each with a name.",
        f"show {'-' * 201}1\n",
        "const a = 1\nshow -a\n",
    ),
    "NX025": Lesson(
        "A statement that is too long",
        "A statement has at most 500 000 words. Tables of numbers are read from a .csv or .npy file by load().",
        "",
        "",
    ),
    "NX026": Lesson(
        "A transpose written with a quote",
        "Quotes name files. The transpose of W is W.T or Wᵀ; the prime in a name such as x′ is the character U+2032.",
        "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\ny = W' @ x\nshow <y|y>\n",
        "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\ny = W.T @ x\nshow <y|y>\n",
    ),
    "NX027": Lesson(
        "A form of another language",
        "There are no while loops, lambdas, comprehensions, conditional expressions or starred arguments: loops run over ranges, "
        "functions have names, where(condition, a, b) chooses, and operations act on whole arrays.",
        "const a = 2\nshow 1 if a > 1 else 0\n",
        "const a = 2\nshow where(a > 1, 1, 0)\n",
    ),
    "NX028": Lesson(
        "More than one assignment in a statement",
        "A statement binds once. In place, only += -= *= and /= exist.",
        "a = b = 3\nshow a\n",
        "a = 3\nb = 3\nshow a + b\n",
    ),
    "NX029": Lesson(
        "A check without ~=",
        "assert compares a limit value with the value it should have, within a tolerance: assert a ~= b within tol. What is computed is never "
        "exactly equal, and ~= says so.",
        "width n\nx[n] ~ normal(0, 1)\nassert avg(x^2) == 1\n",
        "width n\nx[n] ~ normal(0, 1)\nassert avg(x^2) ~= 1 within 1e-3\n",
    ),
    "NX030": Lesson(
        "else or elif without its if",
        "elif and else follow the block of an if, in the column of that if. `else if` is written elif.",
        "const a = 2\nshow a\nelse:\n    show 3\n",
        "const a = 2\nif a > 1:\n    show a\nelse:\n    show 3\n",
    ),
    "NX031": Lesson(
        "A list where one thing is due",
        "width, const, state, show, import and the variable of a loop take one thing: write one line for each. Left of = several names may stand, h, c = lstm(x).",
        "const a = 2\nshow a, a^2\n",
        "const a = 2\nshow a\nshow a^2\n",
    ),
}
