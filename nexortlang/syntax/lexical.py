"""Messages for mistakes in words, brackets and indentation.

In: a source and the word at fault. Out: a diagnostic, NX002 to NX010 and NX024 to NX026.
"""

from __future__ import annotations

from nexortlang.diagnostics import Diagnostic, Fix, Label
from nexortlang.source import Source, Span
from nexortlang.syntax.tokens import CLOSING, Line, Token

TAB = "NX004"
DEPTHS = frozenset({"NX005", "NX006"})  # what is said of depths that do not fit, which tabs leave unclear


# What people type for something that the language has under another form.
_REMEDY = {
    ";": "one statement stands on a line; begin a new line",
    "\\": "a line goes on inside ( ) and [ ]: put brackets around the expression",
    "{": "arrays are written [a, b]; blocks are indented",
    "}": "arrays are written [a, b]; blocks are indented",
    "!": "unequal is !=, and the opposite of a condition is `not`",
    "&": "write `and`; on numbers that are 0 or 1 a product does the same",
    "$": "names hold letters, digits, _, ₀…₉ and ′",
    "?": "where(condition, a, b) chooses",
    "`": 'code in a comment needs no quotes; a file name stands in "…"',
    "−": "this is the sign U+2212; write -",
    "–": "this is a dash; write -",
    "—": "this is a dash; write -",
    "×": "write *",
    "⋅": "write *",
    "∗": "write *",
    "÷": "write /",
    "∕": "write /",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "≈": "write ~=",
    "∼": "write ~",
    "√": "write sqrt(…)",
    "∑": "write sum(…), or avg[i](…) over a width",
    "∞": "write inf",
    "⊤": "a transpose is W.T or Wᵀ",
    "†": "a transpose is W.T or Wᵀ",
    "∣": "write |",
    "‖": "a norm is sqrt(<x|x>)",
    "\u2329": "write < or ⟨",
    "\u232a": "write > or ⟩",
    "\u3008": "write < or ⟨",
    "\u3009": "write > or ⟩",
    "“": 'write "',
    "”": 'write "',
    "‘": 'write "',
    "’": 'write ", or ′ in a name',
    "\u00a0": "this is a no-break space; write a plain one",
    "\ufeff": "a byte order mark may stand only at the beginning of the file",
    "\r": "a carriage return stands only before a line feed; save the file with usual line ends",
    "\f": "take it out",
    "\0": "this is no text file, or it is damaged",
}
# What of these is certain enough to be changed for the writer.
_MEANT = {
    **dict.fromkeys("−–—", "-"),
    **dict.fromkeys("×⋅∗", "*"),
    **dict.fromkeys("÷∕", "/"),
    **{"≤": "<=", "≥": ">=", "≠": "!=", "≈": "~=", "∼": "~", "∞": "inf", "∣": "|", "\u00a0": " "},
    **dict.fromkeys("\u2329\u3008", "⟨"),
    **dict.fromkeys("\u232a\u3009", "⟩"),
    **dict.fromkeys("“”", '"'),
    **{digit: f"^{power}" for power, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
# Words of other languages, where a reader might expect them: what the language has in their place.
FOREIGN = {
    "while": "a loop runs over a known range: for t in range(T):",
    "lambda": "a function has a name: def f(x) = …",
    "function": "a function is defined by def f(x) = …",
    "class": "there are no classes; functions and arrays carry everything",
    "let": "write x = …, or const x = … for a plain number",
    "var": "write x = …",
    "with": "take the word out",
    "try": "there are no exceptions; take the word out",
    "print": "results are shown by show",
    "plot": "results are shown by show; the option --plot draws them",
    "yield": "a function gives its value by return",
    "global": "a def cannot change what is outside it; return the value",
    "is": "equality is ==",
    "del": "take the line out",
    "raise": "a check is written assert a ~= b within tol",
    "pass": "take it out; a block holds at least one statement",
    "break": "a loop runs to its end; choose the range",
    "continue": "use if … else …",
}


TRANSPOSE_HINT = "a transpose is W.T or Wᵀ; a prime in a name is ′"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def shown(text: str) -> str:
    """A word of the source, as a message quotes it: short, and never with characters that a terminal would obey."""
    short = text if len(text) <= 40 else text[:37] + "…"
    return "`" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short) + "`"


def bad_word(source: Source, token: Token) -> Diagnostic:
    """For a token that is no word of the language."""
    text = source.text[token.start : token.end]
    match token.kind:
        case "BAD_NUMBER":
            return _bad_number(source, token, text)
        case "OPEN_STRING":
            return _open_string(source, token, text)
    character = text[0]
    span = Span(source, token.start, token.start + 1)
    name = f"U+{ord(character):04X}"
    what = f"{shown(character)} ({name})" if character.isprintable() and not character.isascii() else shown(character)
    if not character.isprintable():
        what = f"the character {name}"
    fix = Fix(span, _MEANT[text]) if text in _MEANT else None
    return Diagnostic("NX008", f"expected a word of the language, found {what}", span, hint=_remedy(character), fix=fix)


def _remedy(character: str) -> str:
    if character in _SUPERSCRIPTS:
        return f"a power is written ^{_SUPERSCRIPTS.index(character)}"
    if "₀" <= character <= "₉" or character == "′":
        return "a name begins with a letter"
    return _REMEDY.get(character, "take it out; outside comments and file names only names may hold such characters")


def _bad_number(source: Source, token: Token, text: str) -> Diagnostic:
    span = Span(source, token.start, token.end)
    digits = text.replace("_", "")
    head = text.rstrip("".join(c for c in text if c.isalpha() or c == "_"))
    if (
        text.replace(".", "").replace("e", "").replace("E", "").isdigit()
        and text.count(".") <= 1
        and text[-1] not in "eE"
    ):
        return Diagnostic(
            "NX010", f"expected a number below 1.8e308, found {shown(text)}", span, hint="for infinity write inf"
        )
    fix = None
    if "_" in text and _is_number(digits):
        hint, fix = f"write it without _: {digits}", Fix(span, digits)
    elif text[-1] in "eE":
        hint = f"digits must follow the e: {text}-3, or leave it out"
    elif text[:2] in ("0x", "0X", "0b", "0o"):
        hint = "numbers are decimal"
    elif _is_number(head) and text[len(head) :].isidentifier():
        product = f"{head} * {text[len(head) :]}"
        hint, fix = f"a product needs its sign: {product}", Fix(span, product)
    else:
        hint = "numbers look like 3, 0.5, .5 and 1e-3"
    return Diagnostic("NX010", f"expected a number, found {shown(text)}", span, hint=hint, fix=fix)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _open_string(source: Source, token: Token, text: str) -> Diagnostic:
    quote = text[0]
    before = source.text[token.start - 1 : token.start]
    if quote == "'" and (before.isalnum() or before in {")", "]", "_", "′"}):
        span = Span(source, token.start, token.start + 1)
        return Diagnostic("NX026", "expected an operator, found `'`", span, hint=TRANSPOSE_HINT)
    span = Span(source, token.start, token.end)
    return Diagnostic(
        "NX009",
        f"expected {quote} at the end of the file name, found the end of the line",
        span,
        hint=f"close it: {shown(text + quote)}",
    )


def unclosed(source: Source, opener: Token) -> Diagnostic:
    span = Span(source, opener.start, opener.end)
    closer = CLOSING[opener.kind]
    return Diagnostic(
        "NX002",
        f"expected `{closer}` to close this `{opener.kind}`, found the next statement or the end of the file",
        span,
        hint=f"add `{closer}` where the expression ends",
    )


def unmatched(source: Source, closer: Token, opener: Token | None) -> Diagnostic:
    span = Span(source, closer.start, closer.end)
    if opener is None:
        return Diagnostic(
            "NX003",
            f"expected no `{closer.kind}` here, since none is open, found one",
            span,
            hint="take it out, or open it earlier",
        )
    wanted = CLOSING[opener.kind]
    label = Label(Span(source, opener.start, opener.end), f"`{opener.kind}` is opened here")
    return Diagnostic(
        "NX003",
        f"expected `{wanted}`, found `{closer.kind}`",
        span,
        (label,),
        hint=f"write `{wanted}`",
        fix=Fix(span, wanted),
    )


def tab(source: Source, start: int) -> Diagnostic:
    return Diagnostic(
        "NX004",
        "expected spaces before a statement, found a tab",
        Span(source, start, start + 1),
        hint="indent with spaces, four for each block",
    )


def too_deep(source: Source, token: Token, limit: int) -> Diagnostic:
    return Diagnostic(
        "NX024",
        f"expected at most {limit} brackets within each other, found more",
        Span(source, token.start, token.end),
        hint="give a part of the expression a name of its own, on a line before",
    )


def too_long(source: Source, token: Token, limit: int) -> Diagnostic:
    return Diagnostic(
        "NX025",
        f"expected at most {limit} words in a statement, found more",
        Span(source, token.start, token.end),
        hint="put large tables into a .csv or .npy file and read them with load()",
    )


def unexpected_indent(source: Source, start: int, indent: int, level: int) -> Diagnostic:
    return Diagnostic(
        "NX005",
        f"expected a statement indented by {level} spaces, found one indented by {indent}",
        Span(source, start, start + 1),
        hint="only the block of a def, optimizer, for, if, elif or else is indented deeper; all its lines alike",
    )


def no_such_level(source: Source, start: int, indent: int, levels: list[int]) -> Diagnostic:
    known = " or ".join(map(str, levels))
    return Diagnostic(
        "NX006",
        f"expected a statement indented by {known} spaces, found one indented by {indent}",
        Span(source, start, start + 1),
        hint="a line after a block is indented as the line that began that block",
    )


def no_block(source: Source, header: Line, found: Line | None) -> Diagnostic:
    """For a line that ends in a colon, without indented lines below it."""
    first, last = header.tokens[0], header.tokens[-1]
    what = "the end of the file" if found is None else "a line that is not indented deeper"
    labels = (
        ()
        if found is None
        else (Label(Span(source, found.start, found.start + 1), "this line is not indented deeper"),)
    )
    return Diagnostic(
        "NX007",
        f"expected an indented block below this `{first.kind}`, found {what}",
        Span(source, first.start, last.end),
        labels,
        hint="indent the statements that belong to it by four spaces",
    )


def too_many_blocks(source: Source, start: int, limit: int) -> Diagnostic:
    return Diagnostic(
        "NX024",
        f"expected at most {limit} blocks within each other, found more",
        Span(source, start, start + 1),
        hint="move the inner blocks into a def",
    )
