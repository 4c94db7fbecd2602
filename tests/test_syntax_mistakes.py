"""Syntax mistakes: each example of a wrong program gives its code at the right place, with a message and a remedy."""

from __future__ import annotations

import pytest

from nexortlang.diagnostics.lessons_syntax import LESSONS
from nexortlang.source import Source
from nexortlang.syntax import ast
from nexortlang.syntax.parser import parse

# code, program (the mistake is marked by «…», an empty mark is a place between characters), a piece of the message, a piece of the hint
EXAMPLES = [
    ("NX001", "for t «range»(3):\n    x = 1", "expected `in`, found the name `range`", "for t in range(T):"),
    ("NX001", "for t «=» 1:", "expected `in`, found `=`", "for t in"),
    ("NX001", "def f«:»", "expected `(`, found `:`", "def f(x)"),
    ("NX001", "width «»", "expected a name, found the end of the line", "width m = 2*n"),
    ("NX001", "width «3»", "expected a name, found the number `3`", "width n"),
    ("NX001", "const lr «0.1»", "expected `=`, found the number", "const lr = 0.1"),
    ("NX001", "from optim import «*»", "expected a name or `(`", "from optim import adam"),
    ("NX001", "import «»", "expected a name or a file name", "import optim"),
    ("NX001", "«=» 3", "expected a statement, found `=`", "begins with"),
    ("NX001", "«@» x", "expected a statement, found `@`", "begins with"),
    ("NX001", "x, y«»", "expected `,` or `=`, found the end", ""),
    ("NX001", "x «:»= 3", "found `:`", "bound by ="),
    ("NX001", "show x as «3»", "expected a name, found the number", "show e as name"),
    ("NX001", "show x as K «as» L", "expected the end of the line", "show e as name"),
    ("NX002", "x = f«(»1, 2", "expected `)`", "add `)`"),
    ("NX002", "x = «[»1, 2\nshow x", "expected `]`", "add `]`"),
    ("NX002", "x = g«(»[1, 2\nshow x", "expected `)`", "add `)`"),
    ("NX003", "x = f(1, 2«]»", "expected `)`, found `]`", "write `)`"),
    ("NX003", "x = 3«)»", "none is open", "take it out"),
    ("NX004", "if a:\n«\t»x = 1", "found a tab", "four"),
    ("NX004", "«\t»x = 1\n    y = 2", "found a tab", "four"),
    ("NX004", "if a:\n«\t»x = 1\n    y = 2\n  z = 3", "found a tab", "four"),
    ("NX005", "x = 1\n  «y» = 2", "indented by 0 spaces, found one indented by 2", "block"),
    ("NX006", "if a:\n    x = 1\n  «y» = 2", "indented by 0 spaces, found one indented by 2", "began that block"),
    ("NX007", "«for t in range(3):»", "indented block below this `for`, found the end of the file", "indent"),
    ("NX007", "if a:\n    x = 1\n«else:»\ny = 2", "indented block below this `else`, found a line", "indent"),
    ("NX008", "x = a«;» y = 2", "found `;`", "one statement"),
    ("NX008", "x = a«²»", "`²` (U+00B2)", "^2"),
    ("NX008", "x = a «≤» b", "U+2264", "<="),
    ("NX008", "x = a «\\»\n  + b", "found `\\`", "( )"),
    ("NX008", "x = «\0»", "the character U+0000", "text file"),
    ("NX008", "x =«\u00a0»1", "U+00A0", "no-break"),
    ("NX008", "x = «½»", "U+00BD", ""),
    ("NX008", "x = «₀»x", "U+2080", "begins with a letter"),
    ("NX008", "x = 1«\r»y = 2", "U+000D", "line end"),
    ("NX008", "x = 1 «\ufeff»", "U+FEFF", "beginning"),
    ("NX009", 'x = load(«"a.csv)»\ny = 1', 'expected "', "close it"),
    ("NX010", "x = «1e»", "found `1e`", "1e-3"),
    ("NX010", "x = «1.2.3»", "found `1.2.3`", "1e-3"),
    ("NX010", "x = «1_000»", "found `1_000`", "1000"),
    ("NX010", "x = «2x» + 1", "found `2x`", "2 * x"),
    ("NX010", "x = «0x10»", "found `0x10`", "decimal"),
    ("NX010", "x = «1e999»", "below 1.8e308", "inf"),
    ("NX011", "«in» = 3", "reserved word `in`", "in_"),
    ("NX011", "«show» = 3", "reserved word `show`", "show_"),
    ("NX011", "«state»[0] = 2", "reserved word `state`", "state_"),
    ("NX011", "def «state»(x) = x", "reserved word `state`", "state_"),
    ("NX011", "f(«in»=3)", "reserved word `in`", "in_"),
    ("NX011", "x = a.«from»", "reserved word `from`", "from_"),
    ("NX011", "for «width» in range(3):\n  x = 1", "reserved word `width`", "width_"),
    ("NX012", "x = a < b «<» c", "one comparison", "a < b and b < c"),
    ("NX012", "if a == b «==» c:\n  x = 1", "one comparison", "and"),
    ("NX013", "x = <x|y «==» 0>", "found `==`", "parentheses"),
    ("NX013", "x = <x «>» 0|y>", "found `>`", "parentheses"),
    ("NX013", "x = <x|y > «0»>", "found the number `0`", "parentheses"),
    ("NX013", "x = <x|«not» y>", "reserved word `not`", "parentheses"),
    ("NX013", "x = <x «and» a|y>", "reserved word `and`", "parentheses"),
    ("NX013", "x = |x «<» 1><y|", "found `<`", "parentheses"),
    ("NX014", "if x «=» 3:\n  y = 1", "found `=`", "=="),
    ("NX014", "x = f(x[0] «=» 3)", "found `=`", "=="),
    ("NX014", "return x «=» 3", "found `=`", "=="),
    ("NX015", "for t in range(3)«»\n    x = 1", "expected `:`", "for t in range(T):"),
    ("NX015", "def f(x)«»", "expected `:` or `=`", "def f(x)"),
    ("NX015", "if a == 3 «x» = 4", "expected `:`", "if condition:"),
    ("NX016", "x = 1 +«»", "an expression after `+`, found the end of the line", ""),
    ("NX016", "x = [1,«,»2]", "an expression after `,`", ""),
    ("NX016", "x[«]» = 1", "an expression after `[`", "x[2]"),
    ("NX016", "show«»", "an expression after `show`", "show e"),
    ("NX016", "x = a and «or» b", "an expression after `and`", ""),
    ("NX016", "x = <x|y > -1>«»", "an expression after `>`", "parentheses"),
    ("NX016", "x -«>» 3", "an expression after `-`", "y = …"),
    ("NX016", "x = 3 +«*» 4", "an expression after `+`", ""),
    ("NX017", "x = 2 «x»", "an operator", "2 * x"),
    ("NX017", "x = W «x»", "an operator", "W @ x"),
    ("NX017", "x = tanh «h»", "an operator", "tanh(h)"),
    ("NX017", "x = f(W «x»)", "an operator", "W @ x"),
    ("NX017", "x = f(a «b»)", "`,`, `)` or an operator", "commas"),
    ("NX017", "x = [1 «2»]", "`,`, `]` or an operator", "commas"),
    ("NX017", "x = 2 «<»x|y>", "an operator between the number `2` and the bra-ket", "2 * <x|y>"),
    ("NX017", "x = (a) «⟨»x|y⟩", "an operator", "sign"),
    ("NX017", "x = a «|» b", "found `|`", "`or`"),
    ("NX017", "x = a «not» in b", "`not`", "not (a == b)"),
    ("NX018", "«a + b» = 3", "left of `=`", "x = …"),
    ("NX018", "«f(x)» = 3", "found a call", "def f(x)"),
    ("NX018", "«3» = x", "found a number", "x = …"),
    ("NX018", "«W.T» += x", "found a transpose", "x = …"),
    ("NX018", "«a + b» ~ normal(0, 1)", "left of `~`", ""),
    ("NX018", "W[«:», 3] ~ normal(0, 1)", "found a slice", "W[n, n, 3]"),
    ("NX019", "c ~«»", "a law after `~`", "normal(0, 1)"),
    ("NX019", "c ~ «normal»", "a law", "normal(0, 1)"),
    ("NX020", "x = <x«>»", "expected `|`", "avg(x)"),
    ("NX020", "x = <x|y«»", "expected `>`, found the end of the line", "<x|A|y>"),
    ("NX020", "x = f(<x|A|y«)»", "expected `>`, found `)`", "<x|A|y>"),
    ("NX020", "x = |x>«»", "expected `<`", "|x><y|"),
    ("NX020", "x = |x«|»", "expected `>`", "abs(x)"),
    ("NX020", "x = |x><y«»", "expected `|`", "|x><y|"),
    ("NX020", "x = <x + 1«»", "expected `|`", "<x|y>"),
    ("NX021", "for t in range(3): «x» = 1", "expected the end of the line", "lines of its own"),
    ("NX021", "def f(x): «return» x", "expected the end of the line", "def f(x) ="),
    ("NX022", "x = 1 «show» x", "expected the end of the line", "one statement"),
    ("NX022", "x = 1 «y» = 2", "expected the end of the line", "one statement"),
    ("NX023", "x = f(a=1, «2»)", "only name=value", "before"),
    ("NX023", "x = f(a=1, «a=2»)", "`a` again", "take"),
    ("NX023", "def f(a, «a») = a", "`a` again", "take"),
    ("NX023", "def f(a = 1, «b») = a", "a default for `b`", "first"),
    ("NX024", "x = " + "(" * 100 + "«(»1" + ")" * 101, "at most 100 brackets", "name"),
    ("NX026", "x = W«'» @ y", "an operator", "W.T"),
    ("NX026", "x = W«' @ y'»", "an operator", "W.T"),
    ("NX027", "«while» x < 3:", "the name `while`", "for t in range(T):"),
    ("NX027", "x = «lambda» y: y", "the name `lambda`", "def f(x)"),
    ("NX027", "«print» x", "the name `print`", "show"),
    ("NX027", "x = a «if» c else b", "the reserved word `if`", "where("),
    ("NX027", "x = [f(t) «for» t in range(3)]", "the reserved word `for`", "whole arrays"),
    ("NX027", "«//» a comment", "found `//`", "#"),
    ("NX027", "f(«*»a)", "an argument", "one by one"),
    ("NX027", "if a:\n    «pass»", "the name `pass`", "take it out"),
    ("NX028", "a = b «=» 3", "one assignment", "one line"),
    ("NX028", "x ^«=» 2", "an expression", "x = x ^"),
    ("NX029", "assert x == 3«»", "expected `~=`", "within"),
    ("NX029", "assert x «=» 3", "expected `~=`", "within"),
    ("NX029", "assert x «within» 3", "expected `~=`", "within"),
    ("NX029", "x «~=» 3", "found `~=`", "assert"),
    ("NX030", "«else»:\n    x = 1", "expected a statement", "follows the block of an if"),
    ("NX030", "if a:\n    x = 1\nelse «if» b:\n    x = 2", "expected `:`", "elif"),
    ("NX031", "show a«,» b", "found `,`", "[a, b]"),
    ("NX031", "width n«,» m", "found `,`", "one line for each"),
    ("NX031", "for i«,» j in x:\n    y = 1", "found `,`", "one variable"),
]


@pytest.mark.parametrize(("code", "marked", "message", "hint"), EXAMPLES)
def test_mistake_is_told_where_it_is(code: str, marked: str, message: str, hint: str) -> None:
    before, rest = marked.split("«")
    inside, after = rest.split("»")
    source = Source("wrong.nxt", before + inside + after)
    _, mistakes = parse(source)
    assert [m.code for m in mistakes] == [code]
    (mistake,) = mistakes
    assert mistake.span is not None
    wanted = len(before.rstrip("\n ")) if not inside and not after else len(before)
    assert (mistake.span.start, mistake.span.text) == (wanted, inside)
    assert mistake.message.startswith("expected ") and ", found " in mistake.message
    assert message in mistake.message
    assert mistake.hint and hint in mistake.hint
    assert mistake.severity == "error"


def test_every_code_has_an_example() -> None:
    assert LESSONS.keys() - {code for code, *_ in EXAMPLES} == {"NX025"}


@pytest.mark.parametrize("code", [code for code, lesson in LESSONS.items() if lesson.wrong])
def test_lessons(code: str) -> None:
    assert {m.code for m in parse(Source("", LESSONS[code].wrong))[1]} == {code}
    assert parse(Source("", LESSONS[code].right))[1] == []


def test_labels_tell_both_ends() -> None:
    for text, label in [("x = f(1]", "`(`"), ("x = <x|y", "the bra-ket begins"), ("x = |x>", "the ket begins")]:
        (mistake,) = parse(Source("", text))[1]
        assert label in mistake.labels[0].text


# ---------------------------------------------------------------------------- hostile text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = " + "(" * 10_000, "NX024"),
        ("x = " + "[" * 10_000 + "1" + "]" * 10_000, "NX024"),
        ("x = " + "-" * 10_000 + "1", "NX024"),
        ("x = " + "not " * 10_000 + "1", "NX024"),
        ("x = " + "2^" * 10_000 + "1", "NX024"),
        ("x = " + "1 + " * 10_000 + "1", "NX024"),
        ("x = a" + ".b" * 10_000, "NX024"),
        ("x = f" + "()" * 10_000, "NX024"),
        ("x = " + "<" * 10_000, "NX024"),
        ("x = " + "|" * 10_000, "NX024"),
        ("".join(" " * depth + "if a:\n" for depth in range(300)), "NX024"),
        ("x = [" + "1," * 300_000 + "1]", "NX025"),
        ("x = " + "1" * 1_000_000, "NX010"),
        ("\0" * 100_000, "NX008"),
        ("²" * 1_000_000, "NX008"),
        ("'" * 100_001, "NX009"),
    ],
)
def test_hostile_text_is_refused_and_the_next_statement_read(text: str, code: str) -> None:
    tree, mistakes = parse(Source("", text + "\nshow 1\n"))
    assert code in [m.code for m in mistakes]
    assert len(mistakes) == 1
    assert tree.body and isinstance(tree.body[-1], ast.Show | ast.If)


def test_mistakes_have_an_end() -> None:
    _, mistakes = parse(Source("", "x = = 1\n" * 1000))
    assert len(mistakes) == 50


def test_messages_quote_no_control_characters_and_no_long_words() -> None:
    for text in ("x = 1 " + "y" * 10_000, "x = \x1b[31m", "x = 'a" + "b" * 10_000, "x = 1\x00x"):
        for mistake in parse(Source("", text))[1]:
            assert len(mistake.message) < 200 and mistake.message.isprintable()
            assert len(mistake.hint) < 200 and mistake.hint.isprintable()
