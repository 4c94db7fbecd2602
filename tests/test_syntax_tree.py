"""The tree of every construct: what the parser makes of a text, and where it says that it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexortlang.source import Source, Span
from nexortlang.syntax import ast
from nexortlang.syntax.parser import is_complete, parse, parse_expression

PROGRAMS = sorted((Path(__file__).parent / "syntax_programs").glob("*.nxt"))
ANYWHERE = Span(Source("", ""), 0, 0)  # spans do not count when trees are compared


def module(text: str) -> ast.Module:
    tree, mistakes = parse(Source("test.nxt", text))
    assert mistakes == []
    return tree


def statement(text: str) -> ast.Stmt:
    (only,) = module(text).body
    return only


def expression(text: str) -> ast.Expr:
    tree, mistakes = parse_expression(Source("", text))
    assert mistakes == [] and tree is not None
    return tree


def node(kind: type, *parts: Any) -> Any:
    return kind(*parts, ANYWHERE)


def name(word: str) -> ast.Name:
    return ast.Name(word, ANYWHERE)


def number(value: float, is_integer: bool = True) -> ast.Number:
    return ast.Number(value, is_integer, ANYWHERE)


def binary(left: ast.Expr, op: ast.BinaryOp, right: ast.Expr) -> ast.Binary:
    return ast.Binary(op, left, right, ANYWHERE)


def call(function: str | ast.Expr, *args: ast.Expr, **keywords: ast.Expr) -> ast.Call:
    named = tuple(ast.Keyword(k, v, ANYWHERE) for k, v in keywords.items())
    return ast.Call(name(function) if isinstance(function, str) else function, args, named, ANYWHERE)


def subscript(value: str | ast.Expr, *items: ast.Expr | ast.Slice) -> ast.Subscript:
    return ast.Subscript(name(value) if isinstance(value, str) else value, items, ANYWHERE)


a, b, c, x, y, n, i, j, W = map(name, "abcxynijW")
one, two, three = number(1), number(2), number(3)

# ---------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("3", number(3)),
        ("0.5", number(0.5, False)),
        (".5", number(0.5, False)),
        ("1.", number(1, False)),
        ("1e-3", number(1e-3, False)),
        ("2E+3", number(2000, False)),
        ('"digits.csv"', node(ast.String, "digits.csv")),
        ("'a \\ b'", node(ast.String, "a \\ b")),
        ("None", name("None")),
        ("(x)", x),
        ("()", node(ast.Tuple, ())),
        ("(a,)", node(ast.Tuple, (a,))),
        ("(a, b)", node(ast.Tuple, (a, b))),
        ("(a, b,)", node(ast.Tuple, (a, b))),
        ("[]", node(ast.Array, ())),
        ("[a]", node(ast.Array, (a,))),
        ("[a, b, ]", node(ast.Array, (a, b))),
        ("[[1, 2], [3]]", node(ast.Array, (node(ast.Array, (one, two)), node(ast.Array, (three,))))),
        ("f()", call("f")),
        ("f(a, b,)", call("f", a, b)),
        ("f(a, k=b)", call("f", a, k=b)),
        ("zeros((2, 3))", call("zeros", node(ast.Tuple, (two, three)))),
        ("x[2]", subscript("x", two)),
        ("x[a, b]", subscript("x", a, b)),
        ("x[:, None]", subscript("x", node(ast.Slice, None, None, None), name("None"))),
        ("x[1:2]", subscript("x", node(ast.Slice, one, two, None))),
        ("x[1:]", subscript("x", node(ast.Slice, one, None, None))),
        ("x[:2]", subscript("x", node(ast.Slice, None, two, None))),
        ("x[::2]", subscript("x", node(ast.Slice, None, None, two))),
        ("x[1:3:2]", subscript("x", node(ast.Slice, one, three, two))),
        ("x[..., 1]", subscript("x", name("..."), one)),
        ("x[-1]", subscript("x", node(ast.Unary, "-", one))),
        ("avg[i, j](x)", call(subscript("avg", i, j), x)),
        ("W.T", node(ast.Transpose, W)),
        ("A.shape[1]", subscript(node(ast.Attribute, name("A"), "shape"), one)),
        ("optim.adam(x)", call(node(ast.Attribute, name("optim"), "adam"), x)),
        ("U[:, a].T", node(ast.Transpose, subscript("U", node(ast.Slice, None, None, None), a))),
        ("<x|y>", node(ast.BraKet, x, None, y)),
        ("<x|W|y>", node(ast.BraKet, x, W, y)),
        ("|x><y|", node(ast.KetBra, x, y)),
        ("<1|x>", node(ast.BraKet, one, None, x)),
        ("<a + b|-x>", node(ast.BraKet, binary(a, "+", b), None, node(ast.Unary, "-", x))),
        ("<x|(y > 0)>", node(ast.BraKet, x, None, binary(y, ">", number(0)))),
        ("<x|f(a < b)>", node(ast.BraKet, x, None, call("f", binary(a, "<", b)))),
        ("< <x|y> * a | b >", node(ast.BraKet, binary(node(ast.BraKet, x, None, y), "*", a), None, b)),
        ("<x| |a><b| |y>", node(ast.BraKet, x, node(ast.KetBra, a, b), y)),
        ("a * |x><x| + W", binary(binary(a, "*", node(ast.KetBra, x, x)), "+", W)),
        ("|x><y|@a", binary(node(ast.KetBra, x, y), "@", a)),
    ],
)
def test_atoms(text: str, tree: ast.Expr) -> None:
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a or b and c", "a or (b and c)"),
        ("not a and b", "(not a) and b"),
        ("not a == b", "not (a == b)"),
        ("a < b + c", "a < (b + c)"),
        ("a + b < c and b >= c", "((a + b) < c) and (b >= c)"),
        ("a - b - c", "(a - b) - c"),
        ("a + b * c", "a + (b * c)"),
        ("a * b @ c", "(a * b) @ c"),
        ("a @ b * c", "(a @ b) * c"),
        ("a / b / c", "(a / b) / c"),
        ("a // b % c", "(a // b) % c"),
        ("a * -b", "a * (-b)"),
        ("-a * b", "(-a) * b"),
        ("-a @ b", "(-a) @ b"),
        ("-x^2", "-(x^2)"),
        ("x^-2", "x^(-2)"),
        ("x^-y^2", "x^(-(y^2))"),
        ("a^b^c", "a^(b^c)"),
        ("a**b", "a^b"),
        ("2**-1", "2^(-1)"),
        ("x[0]^2", "(x[0])^2"),
        ("W.T @ W @ x", "((W.T) @ W) @ x"),
        ("- - x", "-(-x)"),
        ("<x|y>==1", "<x|y> == 1"),
        ("<x|y>>=1", "<x|y> >= 1"),
        ("<x|y>>1", "(<x|y>) > 1"),
        ("a < <x|y>", "a < (<x|y>)"),
        ("<x|y> < <y|x>", "(<x|y>) < (<y|x>)"),
        ("<x|y>^2", "(<x|y>)^2"),
        ("-<x|y>", "-(<x|y>)"),
        ("sqrt(n) * <x|y> + c", "(sqrt(n) * (<x|y>)) + c"),
    ],
)
def test_precedence(text: str, same: str) -> None:
    assert expression(text) == expression(same)


def test_parentheses_decide() -> None:
    assert expression("(a + b) * c") == binary(binary(a, "+", b), "*", c)
    assert expression("a * (b @ c)") == binary(a, "*", binary(b, "@", c))
    assert expression("-x^2") == node(ast.Unary, "-", binary(x, "^", two))
    assert expression("a != b") == binary(a, "!=", b)


@pytest.mark.parametrize(
    ("ascii_form", "unicode_form"),
    [
        ("<x|y>", "⟨x|y⟩"),
        ("<x|A|y>", "⟨x|A|y⟩"),
        ("|x><y|", "|x⟩⟨y|"),
        ("W.T", "Wᵀ"),
        ("W.T @ W.T.T", "Wᵀ @ Wᵀᵀ"),
        ("x[0].T", "x[0]ᵀ"),
        ("<W.T @ x|y> < 1", "⟨Wᵀ @ x|y⟩ < 1"),
    ],
)
def test_unicode_is_ascii(ascii_form: str, unicode_form: str) -> None:
    assert expression(ascii_form) == expression(unicode_form)


@pytest.mark.parametrize(
    "word", ["ξ", "φ", "h1", "x₁", "x′", "x′₁₂", "_", "Größe", "重み", "x̂", "step", "dist", "T", "print"]
)
def test_names(word: str) -> None:
    assert expression(word) == name(word)
    assert expression(f"{word} + {word}ᵀ") == binary(name(word), "+", node(ast.Transpose, name(word)))


def test_names_that_look_alike_are_alike() -> None:
    assert expression("e\u0301") == expression("\u00e9") == name("\u00e9")


# ---------------------------------------------------------------------------- statements

NORMAL = call("normal", number(0), one)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("width n", node(ast.WidthDecl, n, None)),
        ("width m = 2*n", node(ast.WidthDecl, name("m"), binary(two, "*", n))),
        ("const a = 3", node(ast.ConstDecl, a, three, "")),
        ("W[n, n, 3] ~ normal(0, 1)", node(ast.Draw, W, (n, n, three), NORMAL)),
        ("c ~ normal(0, 1)", node(ast.Draw, c, (), NORMAL)),
        ("c[10] ~ normal(0, 1)", node(ast.Draw, c, (number(10),), NORMAL)),
        ("x = y", node(ast.Assign, (x,), y)),
        ("x[2] = y", node(ast.Assign, (subscript("x", two),), y)),
        ("y[i] = x", node(ast.Assign, (subscript("y", i),), x)),
        ("a, b = f(x)", node(ast.Assign, (a, b), call("f", x))),
        ("a, x[1] = b, c", node(ast.Assign, (a, subscript("x", one)), node(ast.Tuple, (b, c)))),
        ("x += y", node(ast.AugAssign, x, "+", y)),
        ("W[i, j] -= y", node(ast.AugAssign, subscript("W", i, j), "-", y)),
        ("W *= 2", node(ast.AugAssign, W, "*", two)),
        ("W /= 2", node(ast.AugAssign, W, "/", two)),
        ("show x", node(ast.Show, x, None)),
        ("show dist(x)", node(ast.Show, call("dist", x), None)),
        ("show cov(x) as y", node(ast.Show, call("cov", x), y)),
        ("assert x ~= 1", node(ast.Assert, x, one, None)),
        ("assert x ~= 1 within 2", node(ast.Assert, x, one, two)),
        ("return x", node(ast.Return, x)),
        ("return a, b", node(ast.Return, node(ast.Tuple, (a, b)))),
        ("state a = 1", node(ast.State, a, one)),
        ("import optim", node(ast.Import, name("optim"), None)),
        ("import optim as a", node(ast.Import, name("optim"), a)),
        ('import "layers.nxt" as a', node(ast.Import, node(ast.String, "layers.nxt"), a)),
        ("from optim import a, b as c", node(ast.FromImport, name("optim"), ((a, None), (b, c)))),
        ("from optim import (a,\n  b as c,\n)", node(ast.FromImport, name("optim"), ((a, None), (b, c)))),
        ("f(x)", node(ast.ExprStmt, call("f", x))),
        ("x == y", node(ast.ExprStmt, binary(x, "==", y))),
        ("<x|y>", node(ast.ExprStmt, node(ast.BraKet, x, None, y))),
        ("def f() = 1", node(ast.Def, name("f"), (), (node(ast.Return, one),), "")),
        (
            "def f(x, a = 1,) = x",
            node(
                ast.Def,
                name("f"),
                (node(ast.Parameter, x, None), node(ast.Parameter, a, one)),
                (node(ast.Return, x),),
                "",
            ),
        ),
        (
            "def f(x):\n    return x",
            node(ast.Def, name("f"), (node(ast.Parameter, x, None),), (node(ast.Return, x),), ""),
        ),
        (
            "optimizer f(x):\n    state a = 1\n    return x",
            node(
                ast.OptimizerDef,
                name("f"),
                (node(ast.Parameter, x, None),),
                (node(ast.State, a, one), node(ast.Return, x)),
                "",
            ),
        ),
        (
            "optimizer f(x) = x",
            node(ast.OptimizerDef, name("f"), (node(ast.Parameter, x, None),), (node(ast.Return, x),), ""),
        ),
        ("for i in range(3):\n  x = i", node(ast.For, i, call("range", three), (node(ast.Assign, (x,), i),))),
        ("if a:\n x = 1", node(ast.If, ((a, (node(ast.Assign, (x,), one),)),), ())),
        (
            "if a:\n x = 1\nelif b:\n x = 2\nelif c:\n x = 3\nelse:\n x = y",
            node(
                ast.If,
                (
                    (a, (node(ast.Assign, (x,), one),)),
                    (b, (node(ast.Assign, (x,), two),)),
                    (c, (node(ast.Assign, (x,), three),)),
                ),
                (node(ast.Assign, (x,), y),),
            ),
        ),
    ],
)
def test_statements(text: str, tree: ast.Stmt) -> None:
    assert statement(text) == tree
    assert statement(text.replace("\n", "\r\n") + "\r\n") == tree
    assert statement("\ufeff# a comment\n\n" + text + "  # and another\n\n   # and one\n") == tree


def test_blocks_nest() -> None:
    tree = module("for a in x:\n    for b in x:\n        if c:\n            y = 1\n    y = 2\ny = 3\n")
    outer, last = tree.body
    assert isinstance(outer, ast.For) and [type(s) for s in outer.body] == [ast.For, ast.Assign]
    assert last == node(ast.Assign, (y,), three)


def test_lines_go_on_inside_brackets() -> None:
    text = "x = f(a,  # first\n\n    b,\nc)\ny = [\n  1,\n]\n"
    assert module(text).body == (
        node(ast.Assign, (x,), call("f", a, b, c)),
        node(ast.Assign, (y,), node(ast.Array, (one,))),
    )


def test_long_lists_stay_flat() -> None:
    tree = expression("[" + "1, " * 5000 + "1]")
    assert isinstance(tree, ast.Array) and len(tree.items) == 5001


# ---------------------------------------------------------------------------- documentation


def docs(text: str) -> tuple[str, list[str]]:
    tree = module(text)
    return tree.doc, [s.doc for s in tree.body if isinstance(s, ast.Def | ast.ConstDecl | ast.OptimizerDef)]


def test_documentation_goes_to_the_next_definition() -> None:
    assert docs("## Doubles.\n##\n##   2x\ndef f(x) = 2 * x") == ("", ["Doubles.\n\n  2x"])
    assert docs("x = 1\n## rate\nconst a = 1\n## steps\n\nconst b = 2") == ("", ["rate", "steps"])
    assert docs("## Slow.\noptimizer f(g):\n    state m = 0\n    return g") == ("", ["Slow."])
    assert docs("## no doc of f\nx = 1\ndef f(x) = x") == ("no doc of f", [""])
    assert docs("x = 1  ## aside\ndef f(x) = x") == ("", [""])
    assert docs("if a:\n    ## inner\n    const b = 1") == ("", [])


def test_documentation_of_the_file() -> None:
    assert docs("## A file.\n\n## A function.\ndef f(x) = x") == ("A file.", ["A function."])
    assert docs("## A file.\n\ndef f(x) = x") == ("A file.", [""])
    assert docs("# licence\n## A file.\n## It is long.\nwidth n") == ("A file.\nIt is long.", [])
    assert docs("## Only this.") == ("Only this.", [])
    assert docs("") == ("", [])


# ---------------------------------------------------------------------------- places


def spans(text: str) -> dict[str, str]:
    """The type of every node in a text, with the text it stands for (the last one of each type)."""
    found: dict[str, str] = {}

    def walk(value: object) -> None:
        if isinstance(value, tuple):
            for item in value:
                walk(item)
        elif hasattr(value, "span"):
            found[type(value).__name__] = value.span.text
            for field in value.__dataclass_fields__:  # type: ignore[attr-defined]
                if field != "span":
                    walk(getattr(value, field))

    walk(module(text).body)
    return found


def test_spans() -> None:
    assert spans("  \nx[t] = (a + b) * f(c, k=<ξ₁|y>)  # …") == {
        "Assign": "x[t] = (a + b) * f(c, k=<ξ₁|y>)",
        "Subscript": "x[t]",
        "Binary": "a + b",
        "Call": "f(c, k=<ξ₁|y>)",
        "Keyword": "k=<ξ₁|y>",
        "BraKet": "<ξ₁|y>",
        "Name": "y",
    }
    assert spans("def f(x, y = 1):\n    return -x, [y]\n\n\nshow W.T as q") == {
        "Def": "def f(x, y = 1):\n    return -x, [y]",
        "Parameter": "y = 1",
        "Number": "1",
        "Return": "return -x, [y]",
        "Tuple": "-x, [y]",
        "Unary": "-x",
        "Array": "[y]",
        "Show": "show W.T as q",
        "Transpose": "W.T",
        "Name": "q",
    }


def test_spans_count_code_points() -> None:
    show = module("φ = 1\nshow φ + 𝒳\n").body[1]
    assert isinstance(show, ast.Show)
    assert (show.value.span.line, show.value.span.column, show.value.span.end_column) == (2, 6, 11)
    outer = expression("(a + b) * c")
    assert isinstance(outer, ast.Binary)
    assert (outer.span.text, outer.left.span.text) == ("(a + b) * c", "a + b")


# ---------------------------------------------------------------------------- whole programs, the prompt


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_programs_of_users_and_of_the_language_description(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = module(text)
    unicode_text = text.replace(".T", "ᵀ")
    assert len(tree.body) > 0 and module(unicode_text) == tree


def test_the_last_line_needs_no_end() -> None:
    assert module("x = 1") == module("x = 1\n") == module("\n\nx = 1\r\n   ")


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("x = 1", True),
        ("x = f(1,", False),
        ("x = f(1,\n  2)", True),
        ("x = f(1, 2", False),
        ("x = [[1, 2],", False),
        ("x = 1 +", True),
        ("x = $", True),
        ("x = f(1]", True),
        ("for t in range(3):", False),
        ("for t in range(3):\n    x = 1", False),
        ("for t in range(3):\n    x = 1\n", True),
        ("for t in range(3):\n    x = 1\n    ", True),
        ("for t in range(3):\n    x = 1\ny = 2", True),
        ("if a:\n    x = 1\nelse:", False),
        ("def f(x) = x", True),
        ("# a comment", True),
    ],
)
def test_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


def test_one_expression() -> None:
    assert expression(" [1, 2]  # two numbers\n") == node(ast.Array, (one, two))
    for text in ("", "1 2", "x = 1", "1\n2", "1\n+ 2", "1\n)", "f(", "\n  # nothing"):
        tree, mistakes = parse_expression(Source("", text))
        assert tree is None and len(mistakes) == 1 and mistakes[0].span is not None
