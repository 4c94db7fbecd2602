"""The entrywise operations as source text for numba, in a form that LLVM vectorises: no branches, no library calls in the common functions.

numba has no vector library, so its exp, tanh and erf are one library call per number. The functions here are polynomials after the classical
argument reductions, with selections in place of branches; relative errors are below 5e-16 (gelu in the far tail, silu: 1e-15), infinities and nan
come out as NumPy has them. log, sin, cos, tan and powers are the C library's.

The helpers' fastmath is {contract} alone, the kernel's own arithmetic is exact IEEE. nnan and ninf would let the compiler turn exp(nan) into 0, which it does, and buy nothing: the vectoriser needs
reassociation only for sums, and kernels keep one sum per vector lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import factorial, sqrt

from nexortlang.entrywise.special import ERF_SMALL, ERFCX

# log((1 + z) / (1 - z)) = z P(z²) for z ≤ 1/3, from tools/special_coefficients.py.
LOG1P = (
    0.17044163562781398,
    0.0832450651186082,
    0.12110168728069218,
    0.13300374032674625,
    0.1538661404230401,
    0.18181740832504806,
    0.22222224080747674,
    0.28571428545454114,
    0.4000000000018575,
    0.6666666666666615,
    2.0,
)
EXP = tuple(1.0 / factorial(k) for k in range(13, -1, -1))  # Taylor: the rest is 4e-18 at ½ log 2


def _horner(coefficients: Iterable[float], x: str) -> str:
    first, *rest = coefficients
    text = repr(first)
    for c in rest:
        text = f"({text}) * {x} + {c!r}"
    return text


# 1.5 · 2^52: adding it rounds to an integer, which then stands in the low bits.
_ROUND = "6755399441055744.0"
_LOG2_HIGH, _LOG2_LOW = "0.6931471803691238", "1.9082149292705877e-10"

HELPERS: dict[str, str] = {
    "_two_to": """
def _two_to(t):  # 2^k for t = k + 1.5 2^52, |k| < 1023
    return np.int64((np.float64(t).view(np.int64) << 52) + 4607182418800017408).view(np.float64)
""",
    "_exp2": f"""
def _exp2(x, rest):  # e^(x + rest), |rest| < 0.01; the power of two in two halves, for results beyond its range
    x = -746.0 if x < -746.0 else x
    x = 710.0 if x > 710.0 else x
    k = (x * 1.4426950408889634 + {_ROUND}) - {_ROUND}
    half = k * 0.5 + {_ROUND}
    other = (k - (half - {_ROUND})) + {_ROUND}
    r = ((x - k * {_LOG2_HIGH}) - k * {_LOG2_LOW}) + rest
    return (({_horner(EXP, "r")}) * _two_to(half)) * _two_to(other)
""",
    "_exp": """
def _exp(x):
    return _exp2(x, 0.0)
""",
    "_tanh": f"""
def _tanh(x):  # (e^2x - 1) / (e^2x + 1), from e^r - 1 with r reduced
    y = 2.0 * x
    y = -40.0 if y < -40.0 else y
    y = 40.0 if y > 40.0 else y
    t = y * 1.4426950408889634 + {_ROUND}
    k = t - {_ROUND}
    r = (y - k * {_LOG2_HIGH}) - k * {_LOG2_LOW}
    s = _two_to(t)
    e = s * (({_horner(EXP[:-2], "r")}) * (r * r) + r) + (s - 1.0)
    return e / (e + 2.0)
""",
    "_sigmoid": """
def _sigmoid(x):
    e = _exp2(-abs(x), 0.0)
    return (e if x < 0.0 else 1.0) / (1.0 + e)
""",
    "_softplus": f"""
def _softplus(x):  # max(x, 0) + log(1 + e^-|x|)
    u = _exp2(-abs(x), 0.0)
    z = u / (2.0 + u)
    y = z * z
    return (0.0 if x < 0.0 else x) + z * ({_horner(LOG1P, "y")})
""",
    "_erfcx": f"""
def _erfcx(a):
    v = 1.0 / (a + 2.5)
    t = 1.0 - 6.0 * v
    return v * ({_horner(ERFCX, "t")})
""",
    "_erf": f"""
def _erf(x):
    a = abs(x)
    a = 6.0 if a > 6.0 else a
    large = 1.0 - _exp2(-a * a, 0.0) * _erfcx(a)
    y = a * a
    y = 0.25 if y > 0.25 else y
    small = x * ({_horner(ERF_SMALL, "y")})
    return small if a < 0.5 else (-large if x < 0.0 else large)
""",
    "_gelu": f"""
def _gelu(x):  # x Φ(x); e^(-x²/2) from x² in two parts, so that the tail keeps its digits
    a = abs(x)
    a = 40.0 if a > 40.0 else a
    high = ((a * 4096.0 + {_ROUND}) - {_ROUND}) * {1 / 4096!r}
    u = a * {sqrt(0.5)!r}
    tail = 0.5 * _exp2(-0.5 * high * high, -0.5 * (a - high) * (a + high)) * _erfcx(u)
    y = u * u
    y = 0.25 if y > 0.25 else y
    small = 0.5 + {0.5 * sqrt(0.5)!r} * x * ({_horner(ERF_SMALL, "y")})
    return x * (small if u < 0.5 else (tail if x < 0.0 else 1.0 - tail))
""",
    "_sign": """
def _sign(x):
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x)
""",
    "_max": """
def _max(x, y):  # nan if either is
    larger = y if x < y else x
    return larger if y == y else y
""",
    "_min": """
def _min(x, y):
    smaller = y if x > y else x
    return smaller if y == y else y
""",
}

TEMPLATES: dict[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "pow": "{0} ** {1}",
    "neg": "-{0}",
    "stop": "{0}",
    **{
        name: f"1.0 if {{0}} {symbol} {{1}} else 0.0"
        for name, symbol in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!="))
    },
    "and": "1.0 if ({0} != 0.0) & ({1} != 0.0) else 0.0",
    "or": "1.0 if ({0} != 0.0) | ({1} != 0.0) else 0.0",
    "not": "1.0 if {0} == 0.0 else 0.0",
    "exp": "_exp({0})",
    "log": "math.log({0})",
    "sqrt": "math.sqrt({0})",
    "abs": "abs({0})",
    "sign": "_sign({0})",
    "step": "1.0 if {0} >= 0.0 else 0.0",
    "sin": "math.sin({0})",
    "cos": "math.cos({0})",
    "tan": "math.tan({0})",
    "tanh": "_tanh({0})",
    "sigmoid": "_sigmoid({0})",
    "erf": "_erf({0})",
    "relu": "0.0 if {0} < 0.0 else {0}",
    "leaky_relu": "{0} if {0} > 0.0 else {1} * {0}",
    "gelu": "_gelu({0})",
    "silu": "{0} * _sigmoid({0})",
    "softplus": "_softplus({0})",
    "max": "_max({0}, {1})",
    "min": "_min({0}, {1})",
    "where": "{1} if {0} != 0.0 else {2}",
    "clip": "_min(_max({0}, {1}), {2})",
}


def helpers_in(body: str) -> list[str]:
    """The names of the helpers that a text calls, and those that they call, callees first."""
    found: dict[str, None] = {}

    def visit(text: str, own: str) -> None:
        for name, helper in HELPERS.items():
            if name != own and f"{name}(" in text and name not in found:
                visit(helper, name)
                found[name] = None

    visit(body, "")
    return list(found)
