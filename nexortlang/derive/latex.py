r"""A derivation as a LaTeX document.

In: a derivation, a title. Out: a document that pdflatex, xelatex and lualatex compile, with no package beyond amsmath. Notation as in Tensor Programs
IVb: |Wx\hat\rangle the hat, |Wx\dot\rangle the dot, a boxed number an independent copy, and a bar over what an optimizer's function is
applied to. Names keep their letters; what LaTeX's math fonts lack is written as its code point.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from nexortlang.derive.algebra import mul
from nexortlang.derive.equations import Derivation, Equation, Operator
from nexortlang.derive.render import ATOM, POWER, PRODUCT, Writer
from nexortlang.derive.terms import Act, Applied, Bracket, Call, Div, Index, Ket, Label, Num, Pow, Sym, Term, size
from nexortlang.derive.writing import decimal

_GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon phi chi psi omega
"""
_NAMES = frozenset(_GREEK.split()) - {"omicron"}
_LETTERS = dict(zip("αβγδεζηθικλμνξοπρςστυφχψω", (f"\\{name}" for name in _GREEK.split()), strict=True))
_LETTERS |= {
    c: f"\\{n}"
    for c, n in zip(
        "ΓΔΘΛΞΠΣΥΦΨΩ",
        ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"],
        strict=True,
    )
}
_LETTERS |= dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))
_LETTERS |= {
    "ο": "o",
    "ϕ": "\\phi",
    "φ": "\\varphi",
    "ε": "\\varepsilon",
    "ϵ": "\\epsilon",
    "ϑ": "\\vartheta",
    "ℓ": "\\ell",
    "∂": "\\partial ",
    "′": "'",
    "…": "\\dots",
}
_ACCENTS = {
    "\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0306": "breve", "\u0307": "dot", "\u0308": "ddot", "\u030c": "check"
}  # fmt: skip
_DOWN = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FUNCTIONS = frozenset({"exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "max", "min", "arcsin", "arccos"})
_RELATIONS = {"≤": r"\le", "≥": r"\ge", "≠": r"\ne"}
_SIGNS = {"=": "=", "≈": r"\approx", "~": r"\sim"}
_MOST_NUMBERS = 12
_LONG = 24

_HEAD = r"""\documentclass{article}
\usepackage{amsmath}
\usepackage[a4paper,margin=2cm]{geometry}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\newcommand{\ket}[1]{|#1\rangle}
\newcommand{\hatket}[1]{|#1\hat{\rangle}}
\newcommand{\dotket}[1]{|#1\dot{\rangle}}
\newcommand{\bra}[1]{\langle#1|}
\newcommand{\braket}[2]{\langle#1|#2\rangle}
\newcommand{\copynumber}[1]{^{\fbox{$\scriptscriptstyle#1$}}}
\newcommand{\E}{\operatorname{\mathbb{E}}}
\newcommand{\Cov}{\operatorname{Cov}}
\begin{document}
"""


def latex(d: Derivation, title: str = "") -> str:
    """The document."""
    body = "\n".join(_body(d))
    head = _HEAD.replace(r"\mathbb{E}", r"E")
    heading = f"\\section*{{{prose(title)}}}\n" if title else ""
    return f"{head}{heading}{body}\n\\end{{document}}\n"


def prose(text: str) -> str:
    """Words as LaTeX text; names among them in mathematics."""
    found = []
    for part in re.split(r"(\W+)", text):
        plain = part.isascii()
        found.append(re.sub(r"([#$%&_{}])", r"\\\1", part).replace("^", r"\^{}") if plain else f"${_word(part)}$")
    return "".join(found).replace("\\^{}", "\\textasciicircum{}").replace("~", "\\textasciitilde{}")


def _body(d: Derivation) -> Iterator[str]:
    w = _Latex(d)
    draws = [line for o in d.operators for line in _operator(o, w)] + [_line(e, w) for e in d.draws]
    yield from _aligned("The draws, as the width tends to infinity", draws)
    numbers = [f"{w.symbol(Label(name))} &= {decimal_latex(value)}" for name, value in d.consts.items()]
    numbers += [f"{w.symbol(Label(name))} &= {_array(a)}" for name, a in (*d.arrays.items(), *d.tables.items())]
    yield from _aligned("The numbers", numbers)
    yield from _aligned(
        "The functions that optimizers apply to the gradients so far", [_function(e, w) for e in d.functions]
    )
    for section in d.sections:
        if section.omitted:
            first, _, rest = section.omitted.partition(": ")
            yield f"\\paragraph{{}}$\\dots$ {prose(first)}: {prose(rest)}."
        else:
            title = f"${section_title(section.title)}$" if section.title else "The kets and scalars"
            yield from _aligned(title, [_line(e, w) for e in section.equations], is_math=bool(section.title))
    yield from _aligned("where", [_line(e, w) for e in d.kernels])
    if d.has_more_kernels:
        yield "$\\dots$ and so on, down to the draws."


def section_title(title: str) -> str:
    parts = [p.split(" = ") for p in title.split(", ")]
    return ",\\ ".join(f"{_word(name)} = {k}" for name, k in parts)


def _aligned(title: str, lines: Sequence[str], is_math: bool = False) -> Iterator[str]:
    if lines:
        yield f"\\paragraph{{{title if is_math else prose(title)}}}"
        yield "\\begin{align*}"
        yield " \\\\\n".join(f"  {line}" for line in lines)
        yield "\\end{align*}"


def _line(e: Equation, w: _Latex) -> str:
    """left &= right = …, each side of a long chain on a line of its own."""
    sides = list(dict.fromkeys((sign, w.write(side), size(side)) for sign, side in e.sides))
    text = w.write(e.left) if sides else f"&{w.write(e.left)}"
    for k, (sign, side, length) in enumerate(sides):
        broken = k > 0 and length + sides[k - 1][2] > _LONG
        text += (" \\\\\n  &" if broken else " &" if k == 0 else " ") + f"{_SIGNS[sign]} {side}"
    return text + (f" && \\text{{{prose(e.note)}}}" if e.note else "")


def _function(e: Equation, w: _Latex) -> str:
    """Q(g) = …, and, where a bar stands for it, the bar."""
    assert isinstance(e.left, Call)
    bar = f"{w.bar(e.left)} &= " if w.is_bar(e.left) else ""
    name = f"{w.named_call(e.left)} {'' if bar else '&'}= "
    return bar + name + w.write(e.sides[0][1])


def _operator(o: Operator, w: _Latex) -> Iterator[str]:
    name, m = w.vector(o.label), o.matrix
    spread = w.write(o.variance, ATOM)
    each = "" if o.last is None else f" && \\text{{and so for each up to }} {w.vector(o.last)}"
    yield f"({name})_{{\\alpha\\beta}} &\\sim \\bigl(0, {spread}/{_word(m.cols.name)}\\bigr)" + (
        f" && \\text{{independent entries, mean and variance; }} {_word(m.rows.name)} \\times {_word(m.cols.name)}"
    )
    for used, symbol, ratio in ((o.forward, name, 1.0), (o.backward, transposed(name), float(o.ratio))):
        if used:
            law = mul(Num(ratio), o.variance, Bracket(*o.kets))
            x, y = map(w.head, o.kets)
            yield f"\\Cov\\bigl(\\hatket{{{symbol} {x}}}, \\hatket{{{symbol} {y}}}\\bigr) &= {w.write(law)}{each}"


def transposed(matrix: str) -> str:
    return f"{{{matrix}}}^\\top" if "^" in matrix else f"{matrix}^\\top"


def _array(a: np.ndarray) -> str:
    if a.size > _MOST_NUMBERS:
        sizes = " \\times ".join(map(str, a.shape))
        return f"\\text{{an array of }} {sizes} \\text{{ numbers}}"
    if a.ndim == 0:
        return decimal_latex(float(a))
    if a.ndim == 2:
        rows = " \\\\ ".join(" & ".join(decimal_latex(float(x)) for x in row) for row in a)
        return f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}"
    return f"\\bigl[{', '.join(_array(row) for row in a)}\\bigr]"


def decimal_latex(value: float) -> str:
    """Digits; a power of ten as one."""
    text = decimal(value).replace("−", "-").replace("∞", "\\infty")
    number, e, exponent = text.partition("e")
    if not e:
        return text
    factor = "" if number == "1" else f"{number} \\cdot "
    return f"{factor}10^{{{exponent}}}"


def _word(name: str) -> str:
    """A name in mathematics, digits at its end below."""
    text, digits, primes = _parts(name)
    return f"{text}{primes}_{{{digits}}}" if digits else text + primes


def _parts(name: str) -> tuple[str, str, str]:
    """The letters of a name, one as it is, more of them upright, the digits at its end, and its primes."""
    match = re.fullmatch(r"(.+?)_?(\d*)(′*)", name.translate(_DOWN))
    assert match is not None
    stem, digits, primes = match.groups()
    letters = [_letter(c) for c in _clusters(stem)]
    text = letters[0] if len(letters) == 1 else _long_word(stem, letters)
    return text, digits, "'" * len(primes)


def _long_word(stem: str, letters: Sequence[str]) -> str:
    """dh, with its d upright; other words upright throughout."""
    if stem in _NAMES:
        return f"\\{stem}"
    if stem.startswith("d") and len(letters) == 2:
        return f"\\mathrm{{d}}{letters[1]}"
    if stem.isascii():
        return "\\mathrm{" + stem.replace("_", "\\_") + "}"
    return "{" + " ".join(letters) + "}"


def _clusters(text: str) -> list[str]:
    """Letters with the accents that follow them."""
    found: list[str] = []
    for c in unicodedata.normalize("NFD", text):
        if unicodedata.combining(c) and found:
            found[-1] += c
        else:
            found.append(c)
    return found


def _letter(cluster: str) -> str:
    base = cluster[0]
    text = _LETTERS.get(base, base if base.isascii() else f"\\mathrm{{U{ord(base):04X}}}")
    text = "\\_" if text == "_" else text
    for accent in cluster[1:]:
        if accent in _ACCENTS:
            text = f"\\{_ACCENTS[accent]}{{{text}}}"
    return text


class _Latex(Writer):
    """`bars`: the optimizers' functions that a bar may stand for: those of one argument, if there is one such function only."""

    minus = "-"

    def __init__(self, d: Derivation) -> None:
        single = {(c.name, c.step) for e in d.functions if isinstance(c := e.left, Call) and len(c.args) == 1}
        self.bars = single if len(single) == 1 else set()

    def parentheses(self, text: str) -> str:
        return f"\\left({text}\\right)"

    def digits(self, value: float) -> str:
        return decimal_latex(value)

    def symbol(self, label: Label) -> str:
        """A scalar: digits of its name below, where they are no power."""
        text, digits, primes = _parts(label.name)
        return self._with_indices(text + primes, digits, label)

    def vector(self, label: Label) -> str:
        """A vector or matrix: digits of its name above, as a layer's number."""
        text, digits, primes = _parts(label.name)
        return self._with_indices(f"{text}^{{{digits}}}{primes}" if digits else text + primes, "", label)

    def _with_indices(self, text: str, digits: str, label: Label) -> str:
        below = [] if label.step is None else [str(label.step)]
        below += [self.index(i) for i in label.indices]
        apart = "," if label.step is not None or any(len(b) > 1 or b.isdigit() for b in below) else " "
        both = f"{digits}{';' if digits and below else ''}{apart.join(below)}"
        return f"{text}_{{{both}}}" if both else text

    def index(self, i: Index) -> str:
        parts = [_word(name) if f == 1 else f"{f}{_word(name)}" for name, f in i.parts]
        if i.offset or not parts:
            parts.append(str(i.offset))
        inner = "+".join(parts).replace("+-", "-")
        return f"{_word(i.table)}({inner})" if i.table else inner

    def head(self, k: Ket) -> str:
        if isinstance(k.head, Applied):
            matrix = self.vector(k.head.matrix)
            matrix = transposed(matrix) if k.head.transposed else matrix
            return f"{matrix} {self.vector(k.head.operand)}"
        return self.vector(k.head)

    def ket(self, k: Ket) -> str:
        command = {"": "ket", "hat": "hatket", "dot": "dotket"}[k.part]
        return f"\\{command}{{{self.head(k)}}}" + (f"\\copynumber{{{k.copy}}}" if k.copy else "")

    def bracket(self, a: Ket, b: Ket) -> str:
        return f"\\braket{{{self.head(a)}}}{{{self.head(b)}}}"

    def outer(self, a: Ket, b: Ket) -> str:
        return f"\\ket{{{self.head(a)}}}\\bra{{{self.head(b)}}}"

    def acting(self, operator: str, ket: Ket) -> str:
        return f"{operator}\\, {self.ket(ket)}"

    def fraction(self, a: Term, b: Term) -> tuple[str, int]:
        small = isinstance(a, Num) and isinstance(b, Num)
        return f"\\{'t' if small else ''}frac{{{self.write(a)}}}{{{self.write(b)}}}", ATOM

    def power(self, base: Term, exponent: Term) -> str:
        bottom = self.write(base, POWER if isinstance(base, Call) else ATOM)
        if isinstance(base, Sym | Div) or (isinstance(base, Ket) and (base.part or base.copy)):
            bottom = self.parentheses(bottom) if not isinstance(base, Sym) or "^" in bottom else bottom
        return f"{bottom}^{{{self.write(exponent)}}}"

    def is_bar(self, c: Call) -> bool:
        return (c.bar and (c.name, c.step) in self.bars) or (
            not c.bar and c.step is not None and (c.name, c.step) in self.bars
        )

    def bar(self, c: Call) -> str:
        return f"\\overline{{{self.write(c.args[0])}}}"

    def named_call(self, c: Call) -> str:
        plain = c.name.replace("_", "\\_")
        name = f"\\operatorname{{{plain}}}" if c.name.isascii() else _word(c.name)
        if c.step is not None:
            name = f"{name}_{{{c.step}}}"
        return f"{name}\\left({', '.join(self.write(a) for a in c.args)}\\right)"

    def call(self, c: Call) -> str:
        if self.is_bar(c):
            return self.bar(c)
        if c.name == "sqrt":
            return f"\\sqrt{{{self.write(c.args[0])}}}"
        if c.name == "abs":
            return f"\\left|{self.write(c.args[0])}\\right|"
        if c.name == "exp" and not isinstance(c.args[0], Div):
            return f"e^{{{self.write(c.args[0])}}}"
        if c.name in ("N", "bernoulli", "uniform", "rademacher", "laplace") and c.step is None:
            name = "N" if c.name == "N" else f"\\mathrm{{{c.name}}}"
            return f"{name}\\left({', '.join(self.write(a) for a in c.args)}\\right)"
        if c.name in _FUNCTIONS and c.step is None:
            return f"\\{c.name}\\left({', '.join(self.write(a) for a in c.args)}\\right)"
        return self.named_call(c)

    def operator(self, op: str) -> str:
        return _RELATIONS.get(op, op)

    def indicator(self, condition: str) -> str:
        return f"1_{{[{condition}]}}"

    def over(self, op: str, name: str) -> str:
        return f"\\{op}_{{{_word(name)}}} " if op != "argmax" else f"\\operatorname{{argmax}}_{{{_word(name)}}} "

    def steps(self, first: int, last: int) -> str:
        return f"\\sum_{{s={first}}}^{{{last}}} "

    def mean(self, body: Term, copies: Sequence[int]) -> str:
        if isinstance(body, Ket) and not copies:
            return f"\\E{self.ket(body)}"
        boxes = ",".join(f"\\fbox{{$\\scriptscriptstyle{k}$}}" for k in copies)
        below = f"_{{{boxes}}}" if copies else ""
        return f"\\E{below}\\left[{self.write(body)}\\right]"

    def slope(self, ket: Ket, hat: Ket) -> str:
        return f"\\frac{{\\partial{self.ket(ket)}}}{{\\partial{self.ket(hat)}}}"

    def entry(self, items: Sequence[str], index: Index) -> str:
        inner = ";\\; ".join(items)
        return f"\\left({inner}\\right)_{{{self.index(index)}}}"

    def joined(self, items: Sequence[Term]) -> str:
        text = ""
        for k, item in enumerate(items):
            last = k == len(items) - 1
            loose = isinstance(item, Num) if k == 0 else last
            part = self.write(item, PRODUCT if loose else PRODUCT + 1)
            part = self.parentheses(part) if isinstance(item, Act) and not last else part
            apart = "\\," if isinstance(item, Call | Pow) and text else ""
            text += f"{apart} {part}" if text else part
        return text
