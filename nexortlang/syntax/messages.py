"""Messages for a word that does not fit: what was expected there, what was found, and the remedy.

In: the automaton where it stopped, the words of the line and which of them it refused. Out: a diagnostic. `_RULES` know the common mistakes by
example, in order; what none of them knows becomes NX001, whose expectations are read off the parse table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from nexortlang.diagnostics import Diagnostic, Fix, Label
from nexortlang.source import Span
from nexortlang.syntax.automaton import Automaton
from nexortlang.syntax.lexical import FOREIGN, TRANSPOSE_HINT, shown
from nexortlang.syntax.table import table
from nexortlang.syntax.tokens import CLOSING, Token

_COMPARISONS = frozenset({"<", "<=", ">", "_GE", "==", "!="})
_LOGICAL = frozenset({"and", "or", "not"})
_KETS = (">", "⟩")
_OPERANDS = frozenset({"NAME", "NUMBER", "STRING", "(", "[", "<", "⟨", "|", "-", "+", "not", "..."})
_OPERATORS = _COMPARISONS | {"and", "or", "+", "-", "*", "/", "//", "%", "@", "^", "**", "(", "[", ".", "ᵀ"}
_POSTFIX = frozenset({"(", "[", ".", "ᵀ"})
_HEADERS = frozenset({"for", "if", "elif", "else", "def", "optimizer"})
_STATEMENTS = _HEADERS | {"width", "const", "return", "import", "from", "state", "show", "assert"}
_UPDATES = frozenset({"+=", "-=", "*=", "/="})


class Situation:
    """Where reading stopped: the words of the statement, the one that does not fit, and what has been read before it."""

    def __init__(self, automaton: Automaton, tokens: list[Token], index: int) -> None:
        self.source = automaton.source
        self.tokens = tokens
        self.index = index
        self.found = tokens[index].kind
        self.before = tokens[index - 1].kind if index else ""
        self.statement = tokens[0].kind
        self.symbols = automaton.symbols()
        self._automaton = automaton

    @cached_property
    def expected(self) -> set[str]:
        return self._automaton.expected()

    @property
    def operand_due(self) -> bool:
        return "NUMBER" in self.expected

    @property
    def operator_due(self) -> bool:
        return "*" in self.expected

    @property
    def at_end(self) -> bool:
        return self.found in ("_NEWLINE", "$END")

    @cached_property
    def bracket(self) -> Token | None:
        """The innermost ( or [ that is open."""
        opened: list[Token] = []
        for token in self.tokens[: self.index]:
            if token.kind in ("(", "["):
                opened.append(token)
            elif token.kind in (")", "]"):
                opened.pop()
        return opened[-1] if opened else None

    def kinds(self, after: bool = False) -> set[str]:
        """The kinds of the words outside brackets, before (or after) the one that does not fit."""
        depth, kinds = 0, set()
        for token in self.tokens[self.index + 1 :] if after else self.tokens[: self.index]:
            depth += (token.kind in ("(", "[")) - (token.kind in (")", "]"))
            if depth == 0:
                kinds.add(token.kind)
        return kinds

    def opener(self, symbol: str, text: str) -> Label:
        """A label at the last symbol of this kind that is still being read."""
        place = max(i for i, other in enumerate(self.symbols) if other == symbol)
        start = self._automaton.starts[place]
        return Label(Span(self.source, start, start + 1), text)

    def span(self, index: int | None = None) -> Span:
        token = self.tokens[self.index if index is None else index]
        return Span(self.source, token.start, token.end)

    def text(self, index: int | None = None) -> str:
        return self.span(index).text

    def what(self, index: int | None = None) -> str:
        """A word as a message names it."""
        match self.tokens[self.index if index is None else index].kind:
            case "_NEWLINE":
                return "the end of the line"
            case "$END":
                return "the end"
            case "NAME":
                return f"the name {shown(self.text(index))}"
            case "NUMBER":
                return f"the number {shown(self.text(index))}"
            case "STRING":
                return f"the file name {shown(self.text(index))}"
            case kind if kind in table().reserved:
                return f"the reserved word `{kind}`"
        return shown(self.text(index))

    def report(
        self, code: str, expected: str, hint: str, *labels: Label, at: int | None = None, fix: Fix | None = None
    ) -> Diagnostic:
        return Diagnostic(code, f"expected {expected}, found {self.what(at)}", self.span(at), labels, hint, fix=fix)

    def in_place_of(self, kind: str, text: str) -> Fix | None:
        """A text in place of the only word of a kind outside brackets, before the one that does not fit."""
        depth, places = 0, []
        for i, token in enumerate(self.tokens[: self.index]):
            depth += (token.kind in ("(", "[")) - (token.kind in (")", "]"))
            if depth == 0 and token.kind == kind:
                places.append(i)
        return Fix(self.span(places[0]), text) if len(places) == 1 else None

    def instead(self, text: str, first: int | None = None) -> Fix:
        """A text in place of the word that does not fit, or of all words from number `first` to it."""
        return Fix(self.span(first).to(self.span()), text)


Rule = Callable[[Situation], Diagnostic | None]


def unexpected(automaton: Automaton, tokens: list[Token], index: int) -> Diagnostic:
    """What is wrong with the word `tokens[index]`, which the automaton refuses."""
    situation = Situation(automaton, tokens, index)
    for rule in _RULES:
        if mistake := rule(situation):
            return mistake
    return situation.report("NX001", _listed(situation), _general_hint(situation))


def lacks_colon(mistake: Diagnostic, line_end: int) -> bool:
    """Whether a colon at the end of the line mends it."""
    return mistake.code == "NX015" and mistake.span is not None and mistake.span.start == line_end


# ---------------------------------------------------------------------------- the common mistakes, by example


def _foreign_word(s: Situation) -> Diagnostic | None:
    """while x < 3:    x = lambda y: y    print x    a is b"""
    for index in (s.index - 1, s.index):
        if index >= 0 and s.tokens[index].kind == "NAME" and (remedy := FOREIGN.get(s.text(index))):
            expected = "a statement" if index == 0 else "an expression" if index < s.index else "an operator"
            return s.report("NX027", expected, f"`{s.text(index)}` is not part of the language: {remedy}", at=index)
    return None


def _foreign_form(s: Situation) -> Diagnostic | None:
    """x = a if c else b    x = [f(t) for t in range(3)]    f(*args)    // comment"""
    if s.index and s.found in ("if", "for", "else") and s.before != "else" and s.operator_due:
        hint = (
            "where(condition, a, b) chooses"
            if s.found != "for"
            else "entrywise functions and @ act on whole arrays; a for loop is a statement"
        )
        return s.report("NX027", _listed(s), hint)
    if s.found in ("*", "**") and s.operand_due and s.before in ("(", ","):
        return s.report("NX027", "an argument", "arguments are written out one by one")
    if s.found == "//" and s.index == 0:
        return s.report("NX027", "a statement", "a comment begins with #")
    return None


def _orphan_clause(s: Situation) -> Diagnostic | None:
    """else: without an if; else if"""
    if s.found == "if" and s.before == "else":
        return s.report("NX030", "`:`", "write elif", fix=s.instead("elif", s.index - 1))
    if s.index == 0 and s.found in ("elif", "else"):
        return s.report("NX030", "a statement", f"`{s.found}` follows the block of an if, indented as that if")
    return None


def _two_statements(s: Situation) -> Diagnostic | None:
    """x = 1 show x    x = 1 y = 2"""
    if s.bracket or not s.operator_due or "_NEWLINE" not in s.expected:
        return None
    begins = s.found in _STATEMENTS or (
        s.found == "NAME" and s.index + 1 < len(s.tokens) and s.tokens[s.index + 1].kind in {"=", "~"} | _UPDATES
    )
    return (
        s.report("NX022", "the end of the line", "one statement stands on a line; begin a new line here")
        if begins
        else None
    )


def _reserved_word(s: Situation) -> Diagnostic | None:
    """in = 3    def state(x) = x    show = 2"""
    reserved = table().reserved
    if s.found in reserved - _LOGICAL and "NAME" in s.expected:
        return s.report("NX011", "an expression" if s.index and s.operand_due else "a name", _another_name(s.found))
    after = {"=", "~", ".", ",", "["} if s.before in ("state", "width", "const") else {"=", "~", ".", ","}
    if s.index == 1 and s.before in reserved and s.found in after | _UPDATES:
        return s.report("NX011", "a name", _another_name(s.before), at=0)
    if (
        s.found in {"=", "~"} | _UPDATES
        and s.statement in ("show", "state", "within")
        and s.bracket is None
        and s.tokens[1].kind in ("(", "[")
    ):
        return s.report("NX011", "a name", _another_name(s.statement), at=0)
    return None


def _another_name(word: str) -> str:
    return f"`{word}` is reserved; choose another name, for example {word}_ or {word}1"


def _chain(s: Situation) -> Diagnostic | None:
    """a < b < c"""
    if s.found in _COMPARISONS and len(s.symbols) > 2 and s.symbols[-1] == "sum" and s.symbols[-2] in _COMPARISONS:
        return s.report("NX012", "one comparison", "comparisons do not chain: write a < b and b < c")
    return None


def _bra_ket(s: Situation) -> Diagnostic | None:
    """<x|y == 0>    <x > 0|y>    <x|y > 0>    <x>    <x|y    |x>    2 <x|y>"""
    match s.symbols:
        case [*_, "_bra" | "|", "sum"] if s.found in (_COMPARISONS | _LOGICAL) - {">"}:
            return s.report("NX013", "a sum inside the bra-ket", _IN_BRACKETS)
        case [*_, "_bra" | "|"] if s.found == "not":
            return s.report("NX013", "a sum inside the bra-ket", _IN_BRACKETS)
        case [*_, "_bra", "sum"] if s.found == ">" and s.tokens[s.index + 1].kind in _OPERANDS - {"-", "+", "<", "|"}:
            return s.report("NX013", "`|`", _IN_BRACKETS)
        case [*_, "_bra", "sum"] if s.found in _KETS:
            return s.report(
                "NX020", "`|`", "a bra-ket is <x|y>; the mean of x is avg(x)", s.opener("_bra", "the bra begins here")
            )
        case [*_, "_bra", "sum"] if s.symbols[-3:-2] != ["_ket"]:
            hint = "a bra-ket is <x|y>, on one line; an operator is due before < where it compares"
            return s.report("NX020", "`|`", hint, s.opener("_bra", "the bra begins here"))
        case [*_, "_bra", "sum", "|", "sum"] | [*_, "_bra", "sum", "|", "sum", "|", "sum"]:
            hint = "close the bra-ket, <x|y> or <x|A|y>; it ends on its line, unless parentheses are open around it"
            return s.report("NX020", "`>`", hint, s.opener("_bra", "the bra-ket begins here"))
        case [*_, "_bra", "sum", "|", "sum", ">" | "⟩"] | [*_, "_bra", "sum", "|", "sum", "|", "sum", ">" | "⟩"]:
            return s.report("NX013", "an operator after the bra-ket", _IN_BRACKETS + "; a product needs its sign *")
        case [*_, "|", "sum"] | [*_, "|", "sum", "_ket" | ">" | "⟩"] | [*_, "|", "sum", "_ket", "_bra", "sum"]:
            hint = "an outer product is |x><y|; the inner one is <x|y>; the absolute value is abs(x)"
            wanted = {"sum": "`>`", "_ket": "`<`"}.get(s.symbols[-1], "an operator")
            if "_ket" in s.symbols[-3:-1]:
                wanted = "`|`"
            return s.report("NX020", wanted, hint, s.opener("|", "the ket begins here"))
        case [*_, "sum", "<", "sum"] if s.found == "|":
            at = max(i for i in range(s.index) if s.tokens[i].kind == "<")
            message = f"expected an operator between {s.what(at - 1)} and the bra-ket, found none"
            fix = Fix(Span(s.source, s.span(at).start, s.span(at).start), "* ")
            return Diagnostic("NX017", message, s.span(at), hint="a product needs its sign: 2 * <x|y>", fix=fix)
    return None


_IN_BRACKETS = "comparisons, `and`, `or` and `not` stand in parentheses inside a bra-ket: <x|(y > 0)>"


def _check(s: Situation) -> Diagnostic | None:
    """assert a == b    assert a = b    assert a ~ b    a ~= b"""
    if s.found == "~=" and s.statement != "assert":
        return s.report("NX029", _listed(s), "a check is written assert a ~= b within 1e-3")
    if s.statement == "assert" and "~=" in s.expected and (s.at_end or s.found in ("within", "=", "~", ",")):
        fix = s.instead("~=") if s.found in ("=", "~") else s.in_place_of("==", "~=")
        return s.report("NX029", "`~=`", "a check is written assert a ~= b within 1e-3", fix=fix)
    return None


def _draw(s: Situation) -> Diagnostic | None:
    """c ~    a + b ~ normal(0, 1)"""
    if s.before == "~" and s.at_end:
        return s.report("NX019", "a law after `~`", "write a law such as normal(0, 1): mean and variance")
    if s.found == "~" and s.bracket is None and s.index and s.statement not in _STATEMENTS and "=" not in s.kinds():
        return _bad_target(s)
    return None


def _equals(s: Situation) -> Diagnostic | None:
    """if x = 3:    f(x[0] = 3)    a + b = 3    a = b = 3    x ^= 2"""
    if s.found == "=" and s.operand_due and s.before in ("^", "**", "//", "%", "@") and s.index == 2:
        hint = f"only += -= *= /= update in place; write {s.text(0)} = {s.text(0)} {s.before} …"
        return s.report("NX028", "an expression", hint)
    if s.operand_due or s.found not in {"="} | _UPDATES:
        return None
    if s.found == "=" and (s.bracket or s.statement in ("if", "elif", "return", "show")):
        hint = "equality is written ==; a keyword argument has a plain name on its left"
        fix = s.instead("==") if s.statement in ("if", "elif") and not s.bracket else None
        return s.report("NX014", _listed(s), hint, fix=fix)
    if "=" in s.kinds() or _UPDATES & s.kinds():
        return s.report("NX028", "one assignment in a statement", "write one line for each name")
    return None if s.statement in _STATEMENTS or "~" in s.kinds() else _bad_target(s)


def _bad_target(s: Situation) -> Diagnostic:
    span = Span(s.source, s.tokens[0].start, s.tokens[s.index - 1].end)
    message = f"expected a name or a name with subscripts left of `{s.found}`, found an expression"
    return Diagnostic("NX018", message, span, hint="bind a name, x = …, or a member, x[t] = …")


def _header(s: Situation) -> Diagnostic | None:
    """for t in range(3)    def f(x)    for t in range(3): x = 1"""
    if s.before == ":" and s.expected == {"_NEWLINE"}:
        hint = "a block stands on lines of its own, indented; a function of one line is def f(x) = …"
        return s.report("NX021", "the end of the line", hint)
    if ":" in s.expected and s.statement in _HEADERS and s.bracket is None and ":" not in s.kinds(after=True):
        wanted = "`:` or `=`" if "=" in s.expected else "`:`"
        return s.report("NX015", wanted, f"write {_FORMS[s.statement]}", fix=s.instead(":") if s.at_end else None)
    return None


def _comma(s: Situation) -> Diagnostic | None:
    """show a, b    width n, m    for i, j in …"""
    if s.found != "," or s.bracket or s.operand_due:
        return None
    hints = {"show": "a line shows one expression; show [a, b] shows two", "for": "a loop has one variable"}
    hint = hints.get(
        s.statement,
        "write one line for each" if s.statement in _STATEMENTS else "left of = stand names, or names with subscripts",
    )
    return s.report("NX031", _listed(s), hint)


def _missing_operand(s: Situation) -> Diagnostic | None:
    """x = 1 +    f(1,, 2)    x[]"""
    if not s.operand_due or not s.index:
        return None
    hint = _general_hint(s)
    if s.before == ">" and ("<" in s.kinds() or "|" in s.kinds()):
        hint = _IN_BRACKETS
    if s.before == "-" and s.found == ">":
        hint = "there are no arrows: a name is bound by y = …, a function by def f(x) = …"
    if s.before == "[" and s.found == "]":
        hint = "say which members: x[2], x[0:4], x[:, None]"
    return s.report("NX016", f"an expression after {shown(s.text(s.index - 1))}", hint)


def _missing_operator(s: Situation) -> Diagnostic | None:
    """2 x    f(a b)    a b"""
    if not s.operator_due or s.found not in _OPERANDS:
        return None
    if s.bracket and "," in s.expected:
        return s.report(
            "NX017",
            f"`,`, `{_closer(s.bracket)}` or an operator",
            f"separate entries by commas; {_joined(s) or 'a product needs its sign *'}",
        )
    if s.found == "not":
        return s.report("NX017", _listed(s), "`not` stands before a condition: not (a == b)")
    if s.found == "|":
        return s.report(
            "NX017", _listed(s), "for one condition or another write `or`; a product with |x><y| needs its sign *"
        )
    left, right = s.text(s.index - 1), s.text()
    if s.found == "STRING" and right[0] == "'" and s.tokens[s.index - 1].end == s.tokens[s.index].start:
        return s.report("NX026", "an operator", TRANSPOSE_HINT)
    product = f": {left} * {right}" if s.found in ("NAME", "NUMBER") and len(left + right) < 30 else " *"
    fix = (
        Fix(Span(s.source, s.span().start, s.span().start), "* ")
        if s.before == "NUMBER" and s.found == "NAME"
        else None
    )
    return s.report("NX017", _listed(s), _joined(s) or f"a product needs its sign{product}", fix=fix)


def _joined(s: Situation) -> str:
    """How two names side by side may be meant, by the looks of the first: W x, tanh h."""
    left, right = s.text(s.index - 1), s.text()
    if s.before != "NAME" or s.found != "NAME" or len(left + right) >= 30:
        return ""
    if left[0].isupper():
        return f"a matrix is applied by its sign: {left} @ {right}; an entrywise product: {left} * {right}"
    if len(left) > 2 and left.isalpha():
        return f"a function is applied by ( ): {left}({right}); a product needs its sign: {left} * {right}"
    return f"a product needs its sign: {left} * {right}"


def _closer(bracket: Token) -> str:
    return CLOSING[bracket.kind]


_RULES: tuple[Rule, ...] = (
    _orphan_clause,
    _foreign_word,
    _foreign_form,
    _two_statements,
    _reserved_word,
    _chain,
    _bra_ket,
    _check,
    _draw,
    _equals,
    _header,
    _comma,
    _missing_operand,
    _missing_operator,
)

# ---------------------------------------------------------------------------- what the parse table expects

_FORMS = {
    "width": "width n, or width m = 2*n",
    "const": "const lr = 0.1",
    "state": "state m = 0",
    "show": "show e, or show e as name",
    "assert": "assert a ~= b within 1e-3",
    "return": "return e",
    "for": "for t in range(T):",
    "if": "if condition:",
    "elif": "elif condition:",
    "else": "else:",
    "def": "def f(x) = …, or def f(x): with a block below",
    "optimizer": "optimizer name(g, beta = 0.9): with a block below",
    "import": 'import optim, or import "layers.nxt" as layers',
    "from": "from optim import adam",
}


def _general_hint(s: Situation) -> str:
    if s.index == 0:
        return "a statement begins with a name or with a word such as width, const, def, for, if, show"
    if s.bracket is None and s.statement in _FORMS:
        return f"write {_FORMS[s.statement]}"
    if s.found == ":":
        return "a name is bound by =; only the first line of a block ends in a colon"
    return "something is missing before it, or it is one too many"


def _listed(s: Situation) -> str:
    """What can come next, in words: at most four things."""
    kinds = set(s.expected)
    if s.index == 0:
        return "a statement"
    things = []
    if "NUMBER" in kinds:
        things.append("an expression")
        kinds -= _OPERANDS
    elif "NAME" in kinds:
        things.append("a name")
    if "STRING" in kinds:
        things.append("a file name")
    if "*" in kinds:
        things.append("an operator")
        kinds -= _OPERATORS
    elif "." in kinds:
        kinds -= _POSTFIX
    if "_NEWLINE" in kinds:
        things.append("the end of the line")
    if "$END" in kinds:
        things.append("the end")
    words = sorted(kinds - {"NAME", "STRING", "_NEWLINE", "$END"} - (_UPDATES if len(kinds) > 4 else set()))
    things += [f"`{'>=' if word == '_GE' else word}`" for word in words if word != "⟩" and word != "⟨"]
    things = things[:4]
    return ", ".join(things[:-1]) + " or " + things[-1] if len(things) > 1 else things[0]
