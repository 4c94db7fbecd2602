"""The words that the language brings along, as an editor explains them: built-in functions, laws, reserved words.

`BUILTINS`, `LAWS` and `KEYWORDS`: a word → its `Entry`. Guarantees, held by a test: exactly the words of syntax/words.py and of the grammar.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """How a word is written, and what it does. `parameters` are the pieces of the form that a call fills in."""

    form: str
    doc: str

    @property
    def parameters(self) -> tuple[str, ...]:
        inside = self.form.partition("(")[2].rpartition(")")[0]
        return tuple(part.strip() for part in inside.split(",") if part.strip())


def _entries(table: dict[str, str]) -> dict[str, Entry]:
    """{"tanh(x)": doc} by the word that a form begins with; one that comes twice is `name|form`."""
    found: dict[str, Entry] = {}
    for key, doc in table.items():
        name, bar, form = key.partition("|")
        found[name if bar else key.partition("(")[0]] = Entry(form if bar else key, doc)
    return found


BUILTINS = _entries(
    {
        # entrywise
        "exp(x)": "e^x, entrywise.",
        "log(x)": "The natural logarithm, entrywise.",
        "sqrt(x)": "The square root, entrywise; of a power of n, half that power.",
        "abs(x)": "The absolute value, entrywise.",
        "sign(x)": "−1, 0 or 1, entrywise; sign(0) = 0.",
        "step(x)": "1 where x ≥ 0, else 0. Inside an optimizer `step`, without parentheses, counts 1, 2, …",
        "sin(x)": "The sine, entrywise.",
        "cos(x)": "The cosine, entrywise.",
        "tan(x)": "The tangent, entrywise.",
        "tanh(x)": "The hyperbolic tangent, entrywise.",
        "sigmoid(x)": "1 / (1 + e^−x), entrywise.",
        "erf(x)": "The error function, entrywise.",
        "relu(x)": "max(x, 0), entrywise; its derivative at 0 is 0.",
        "leaky_relu(x, a)": "x where x > 0, else a·x.",
        "gelu(x)": "x Φ(x) with the Gaussian distribution function Φ (the exact one, no approximation).",
        "silu(x)": "x sigmoid(x), entrywise.",
        "softplus(x)": "log(1 + e^x), entrywise.",
        "max(a, b)": "max(a, b) is entrywise; max(A, axis=0) is the largest over a finite axis, max(A) over all of them.",
        "min(a, b)": "min(a, b) is entrywise; min(A, axis=0) is the smallest over a finite axis, min(A) over all of them.",
        "where(cond, a, b)": "a where the condition holds, else b; entrywise.",
        "clip(x, low, high)": "min(max(x, low), high), entrywise.",
        # over the width, over finite axes
        "avg(x)": "(1/n) Σ_α x_α: the mean over the width, per finite axis. avg[i, j](…) averages over indices.",
        "sum(A, axis=0)": "The sum over finite axes: of axis, or of all. Never over a width.",
        "mean(A, axis=0)": "The mean over finite axes: of axis, or of all. Over the width it is avg(x).",
        "argmax(A, axis=0)": "Where the largest entry along a finite axis stands, counted from 0.",
        "softmax(x, axis=-1)": "exp(x) divided by its sum along a finite axis.",
        # arrays
        "zeros(shape…)": "An array of zeros, zeros(2, 3); with a width first a vector, zeros(n, 4).",
        "ones(shape…)": "An array of ones, ones(2, 3); with a width first a vector, ones(n).",
        "eye(n)": "The identity array of size n × n, n a const.",
        "arange(start, stop, step)": "Whole numbers from start (0 if left out) to before stop, as a const array.",
        "range(start, stop, step)": "What a loop runs over: for t in range(T):",
        "len(x)": "The size of the first finite axis.",
        "reshape(A, shape…)": "The same entries in another finite shape: reshape(A, 2, 8).",
        "transpose(A, axes…)": "Finite axes in another order: transpose(A, 1, 0).",
        "concatenate(arrays…)": "One after the other along the first finite axis.",
        "randn(shape…, seed=0)": "Standard normal numbers, NumPy's default_rng(seed).standard_normal(shape): a const.",
        "load(file)": "Numbers from a .csv or .npy file beside the program: a const array.",
        "pi|pi": "3.14159…",
        "inf|inf": "Infinity.",
        # gradients
        "grad(L, target)": "The gradient of a scalar with respect to a matrix, a vector family or a scalar, by backpropagation.",
        "stop(x)": "x, as a constant for gradients.",
        "ntk(f, parameters…)": "The neural tangent kernel of the outputs f at initialisation, with respect to the named parameters (all, if none are named).",
        # output
        "dist(x)": "show dist(x): the distribution of a coordinate. Stands only right after show.",
        "cov(f)": "show cov(f): the covariance of Gaussian scalars. Stands only right after show.",
    }
)

LAWS = _entries(
    {
        "normal(mean, variance)": "Gaussian, by mean and variance (not the standard deviation).",
        "uniform(mean, variance)": "Uniform, by mean and variance; or uniform(low=0, high=1).",
        "rademacher(mean, variance)": "mean ± the square root of the variance, with equal probability.",
        "laplace(mean, variance)": "Two-sided exponential, by mean and variance.",
        "bernoulli(p)": "1 with probability p, else 0.",
    }
)

KEYWORDS = _entries(
    {
        "width|width n": "A dimension that tends to infinity; width m = 2*n does so in that ratio.",
        "const|const lr = 0.1": "A number or an array known before the run; --set lr=0.2 changes it.",
        "def|def f(x, a = 1) = e": "A function, in one line or with a block.",
        "return|return e": "The value of a def or an optimizer.",
        "for|for t in range(T):": "A loop over a const range or array; it is unrolled.",
        "in|for t in range(T):": "Stands between a loop's variable and what it runs over.",
        "if|if condition:": "A choice by a const condition.",
        "elif|elif condition:": "Another condition, when those before it do not hold.",
        "else|else:": "What is done when no condition holds.",
        "import|import optim": "A module: of the standard library, or a file beside the program.",
        "from|from optim import adam": "Some names of a module.",
        "as|show e as name": "Another name.",
        "optimizer|optimizer sgd(g):": "An entrywise function of the gradients so far, with states.",
        "state|state m = 0": "What an optimizer keeps from step to step, and its first value.",
        "show|show e as name": "Shows the limit of an expression; show dist(x), show cov(f).",
        "assert|assert a ~= b within 1e-3": "A check: the run fails if it does not hold beyond its error.",
        "within|assert a ~= b within 1e-3": "The tolerance of a check.",
        "and|a and b": "Both hold.",
        "or|a or b": "One of them holds, or both.",
        "not|not a": "It does not hold.",
    }
)

STATEMENT_WORDS = ("width", "const", "def", "for", "if", "import", "from", "optimizer", "show", "assert")
"""Reserved words that begin a statement anywhere; the others need a place."""
