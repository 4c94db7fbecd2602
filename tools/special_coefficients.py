"""Computes the polynomial coefficients of nexortlang/entrywise/special.py and jit/vector_math.py and prints them with the error each leaves.

    python tools/special_coefficients.py

Everything is done in decimal arithmetic: the functions by their power series and by Newton's method, the polynomials by interpolation in
Chebyshev points, the errors on a fine grid. Nothing but the Python standard library is used.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, getcontext

getcontext().prec = 90
D = Decimal
ONE = D(1)


def arctan_inverse(k: int) -> Decimal:
    """arctan(1/k) by its series."""
    total, term, n = D(0), ONE / k, 0
    while abs(term) > D(10) ** -88:
        total += term / (2 * n + 1) * (-1) ** n
        term /= k * k
        n += 1
    return total


PI = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
SQRT_PI = PI.sqrt()


def erf(x: Decimal) -> Decimal:
    """2/√π e^(-x²) Σ 2^k x^(2k+1) / (2k+1)!!: all terms of one sign."""
    total, term, k = D(0), x, 0
    while abs(term) > D(10) ** -88 * max(abs(total), abs(x)):
        total += term
        k += 1
        term *= 2 * x * x / (2 * k + 1)
    return total * 2 / SQRT_PI * (-x * x).exp()


def erfcx(x: Decimal) -> Decimal:
    """e^(x²) erfc(x), by the series of erf for small x and by Lentz's continued fraction for large."""
    if x < D("3.5"):
        return (x * x).exp() * (1 - erf(x))
    f, c, d, n = x, x, D(0), 1
    while True:
        a = D(n) / 2
        d = 1 / (x + a * d)
        c = x + a / c
        f *= c * d
        n += 1
        if abs(c * d - 1) < D(10) ** -40:
            return 1 / (f * SQRT_PI)


def tail_of(w: Decimal) -> Decimal:
    """x ≥ 0 with Φ(-x) = m, where 4 m (1 - m) = e^(-w)."""
    m = (-w).exp() / 2 / (1 + (1 - (-w).exp()).sqrt())
    x = (2 * w).sqrt() if w > 1 else (PI * w / 2).sqrt()
    for _ in range(200):
        scaled = erfcx(x / D(2).sqrt())  # Newton on log Φ(-x)
        step = (scaled.ln() - x * x / 2 - (2 * m).ln()) / (-2 / (2 * PI).sqrt() / scaled)
        x -= step
        if abs(step) < D(10) ** -38:
            return x
    raise ArithmeticError(f"no convergence at w = {w}")


def cos(x: Decimal) -> Decimal:
    total, term, k = D(0), ONE, 0
    while abs(term) > D(10) ** -60:
        total += term
        k += 2
        term *= -x * x / (k * (k - 1))
    return total


def interpolate(f: Callable[[Decimal], Decimal], low: Decimal, high: Decimal, degree: int) -> list[Decimal]:
    """Monomial coefficients in x, lowest first, of the interpolant of f in the Chebyshev points of [low, high]."""
    n = degree + 1
    nodes = [(low + high) / 2 + (high - low) / 2 * cos(PI * (2 * k + 1) / (2 * n)) for k in range(n)]
    table = [f(x) for x in nodes]
    for order in range(1, n):  # divided differences
        for k in range(n - 1, order - 1, -1):
            table[k] = (table[k] - table[k - 1]) / (nodes[k] - nodes[k - order])
    coefficients = [table[-1]]
    for k in range(n - 2, -1, -1):  # times (x - node), plus the next difference
        coefficients = [D(0), *coefficients]
        for j in range(len(coefficients) - 1):
            coefficients[j] -= nodes[k] * coefficients[j + 1]
        coefficients[0] += table[k]
    return coefficients


def polynomial(name: str, f: Callable[[Decimal], Decimal], low: str, high: str, degree: int) -> None:
    """Prints the coefficients, highest first (Horner's order), and the largest relative error after rounding them to doubles."""
    a, b = D(low), D(high)
    rounded = [float(c) for c in interpolate(f, a, b, degree)]
    worst = D(0)
    for k in range(151):
        x = a + (b - a) * k / 150
        value = D(0)
        for c in reversed(rounded):
            value = value * x + D(c)
        worst = max(worst, abs(value / f(x) - 1))
    growth = sum(abs(c) * float(max(abs(a), abs(b))) ** k for k, c in enumerate(rounded)) / abs(float(f(b)))
    print(f"# degree {degree}, relative error {float(worst):.1e}, sum of |terms| {growth:.1f}")
    print(f"{name} = (")
    for c in reversed(rounded):
        print(f"    {c!r},")
    print(")")


def erf_quotient(y: Decimal) -> Decimal:
    """erf(√y) / √y."""
    return erf(y.sqrt()) / y.sqrt() if y else 2 / SQRT_PI


def erfcx_quotient(t: Decimal) -> Decimal:
    """v e^(x²) erfc(x) with v = x + 5/2 = 6 / (1 - t), so that t runs over [-1, 1] for x ≥ ½."""
    if t == 1:
        return 1 / SQRT_PI
    v = 6 / (1 - t)
    return erfcx(v - D("2.5")) * v


def central_quotient(w: Decimal) -> Decimal:
    """Φ⁻¹(½ + q) / q with w = -log(1 - 4 q²)."""
    return tail_of(w) / ((1 - (-w).exp()).sqrt() / 2) if w else (2 * PI).sqrt()


def tail_quotient(t: Decimal) -> Decimal:
    """-Φ⁻¹(m) / s with s = √(-log(4 m (1 - m))) = 6 / (1 - t) - 0.8."""
    s = 6 / (1 - t) - D("0.8")
    return tail_of(s * s) / s


def log1p_quotient(y: Decimal) -> Decimal:
    """log((1 + z) / (1 - z)) / z with z = √y: log(1 + u) for z = u / (2 + u)."""
    z = y.sqrt()
    return ((1 + z) / (1 - z)).ln() / z if z else D(2)


def main() -> None:
    polynomial("ERF_SMALL", erf_quotient, "0", "0.25", 8)
    polynomial("ERFCX", erfcx_quotient, "-1", "1", 22)
    polynomial("QUANTILE_CENTRE", central_quotient, "0", "5", 20)
    polynomial("QUANTILE_TAIL", tail_quotient, "-1", "0.788", 16)
    polynomial("LOG1P", log1p_quotient, "0", str(ONE / 9), 10)


if __name__ == "__main__":
    main()
