"""Writes what editors colour programs with, from the token table: `python tools/highlighting.py`. A test checks that the files are current.

In: the words of nexortlang/syntax/. Out: a TextMate grammar in grammar/, its copy in the extension for VS Code, and a syntax file for Vim. Both give
each word the class that nexortlang/syntax/highlight.py gives it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nexortlang.syntax.highlight import Class
from nexortlang.syntax.nesting import STATEMENT_WORDS
from nexortlang.syntax.table import table
from nexortlang.syntax.words import CONSTANTS, DECLARATIONS, FUNCTIONS, LAWS, LOGIC

GRAMMAR = Path(__file__).resolve().parent.parent / "grammar"

KEYWORDS = table().reserved - DECLARATIONS - LOGIC
PUNCTUATION = frozenset(":,.")
OPERATORS = frozenset(
    {t for t in table().terminals if not t[0].isalpha() and t[0] not in "_$"} | {">=", "ᵀ"}
) - PUNCTUATION - set("()[]<>|⟨⟩") - {"..."}  # fmt: skip

SCOPES: dict[Class, str] = {
    "comment": "comment.line.number-sign",
    "doc": "comment.block.documentation",
    "keyword": "keyword.control",
    "declaration": "storage.type",
    "logic": "keyword.operator.logical",
    "function": "entity.name.function",
    "builtin": "support.function",
    "law": "support.class",
    "constant": "constant.language",
    "property": "variable.other.property",
    "argument": "variable.parameter",
    "name": "variable.other",
    "number": "constant.numeric",
    "string": "string.quoted",
    "operator": "keyword.operator",
    "braket": "keyword.other.braket",
    "punctuation": "punctuation",
    "error": "invalid.illegal",
}
"""The names that themes know, by class."""


def scope(kind: Class) -> str:
    """The TextMate scope of a class."""
    return f"{SCOPES[kind]}.nexort"


def words(names: Iterable[str]) -> str:
    """One of several words, the longest first."""
    return "(?:" + "|".join(sorted(names, key=lambda w: (-len(w), w))) + ")"


# ---------------------------------------------------------------------------- TextMate

# Oniguruma's \w has no subscript digits, and has ᵀ.
LETTER = "(?:[^\\Wᵀ]|[₀-₉′])"
NAME = f"[^\\W\\dᵀ]{LETTER}*"
END = f"(?!{LETTER})"
NUMBER = "(?>(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
AFTER_OPERAND = "(?<=[\\w₀-₉′.)\\]\"'>⟩])[ \\t]*"
CALLED = "(?=[ \\t]*\\()"
STATEMENT = f"(?<![\\w₀-₉′])(?={words(STATEMENT_WORDS)}{END})"

Rule = dict[str, Any]


def textmate() -> Rule:
    """The grammar. Brackets and bra-kets are regions, since `=` and < | > mean other things inside; a statement's first word ends those left open.

    Keywords take the spaces that follow, so that < right behind a space behind a letter compares.
    """
    operators = "|".join(escaped(o) for o in sorted(OPERATORS, key=lambda o: (-len(o), o)))
    rules = {
        "on-line": include("comments", "bar", "comparison", "braket-on-line", "words"),
        "in-brackets": include("comments", "bar", "comparison", "braket-in-brackets", "argument", "words"),
        "braket-on-line": brakets("on-line", f"(?=[)\\]])|$|{STATEMENT}"),
        "braket-in-brackets": brakets("in-brackets", f"(?=[)\\]])|{STATEMENT}"),
        "words": include("brackets", "strings", "reserved", "after-dot", "numbers", "laws", "names", "operators"),
        "comments": [whole("##.*$", "doc"), whole("#.*$", "comment")],
        "bar": [parts(f"{AFTER_OPERAND}(\\|)[ \\t]*", "braket")],
        "turn": [parts("([>⟩])[ \\t]*([<⟨])", "braket", "braket")],
        "comparison": [parts(f"{AFTER_OPERAND}(<=|<)", "operator"), parts("(>=(?!=)|>)[ \\t]*", "operator")],
        "brackets": [region("[(\\[]", "[)\\]]", STATEMENT, "punctuation", include("in-brackets"))],
        "argument": [whole(f"{NAME}(?=[ \\t]*=(?!=))", "argument")],
        "strings": [whole("\"[^\"]*\"|'[^']*'", "string"), whole("[\"'].*$", "error")],
        "reserved": [
            parts(f"(def|optimizer){END}[ \\t]+({NAME})", "declaration", "function"),
            parts(f"({words(DECLARATIONS)}){END}[ \\t]*", "declaration"),
            parts(f"({words(LOGIC)}){END}[ \\t]*", "logic"),
            parts(f"({words(KEYWORDS)}){END}[ \\t]*", "keyword"),
        ],
        "after-dot": [
            whole("\\.\\.\\.", "constant"),
            parts(f"(\\.)[ \\t]*({NAME}){CALLED}", "punctuation", "function"),
            parts(f"(\\.)[ \\t]*({NAME})", "punctuation", "property"),
        ],
        "numbers": [whole(f"{NUMBER}(?:[\\w₀-₉]|\\.(?=[\\w.]))+", "error"), whole(NUMBER, "number")],
        "laws": [parts(f"(~)[ \\t]*({words(LAWS)}){END}", "operator", "law")],
        "names": [
            whole(f"{words(FUNCTIONS)}{END}", "builtin"),
            whole(f"{words(CONSTANTS)}{END}", "constant"),
            whole(f"{NAME}{CALLED}", "function"),
            whole(NAME, "name"),
        ],
        "operators": [whole(operators, "operator"), whole("[:,.)\\]]", "punctuation"), whole("\\S", "error")],
    }
    return {
        "comment": "Made by tools/highlighting.py from the token table.",
        "name": "nexort",
        "scopeName": "source.nexort",
        "fileTypes": ["nxt"],
        "patterns": include("on-line"),
        "repository": {name: {"patterns": patterns} for name, patterns in rules.items()},
    }


def whole(pattern: str, kind: Class) -> Rule:
    """A rule that gives all of its text one class."""
    return {"match": pattern, "name": scope(kind)}


def parts(pattern: str, *kinds: Class) -> Rule:
    """A rule that gives each group a class."""
    return {"match": pattern, "captures": {str(i): {"name": scope(kind)} for i, kind in enumerate(kinds, start=1)}}


def include(*names: str) -> list[Rule]:
    return [{"include": f"#{name}"} for name in names]


def region(begin: str, end: str, otherwise: str, kind: Class, inside: list[Rule]) -> Rule:
    """From one word to another, both of one class; it ends without the latter where `otherwise` matches."""
    ends = {"1": {"name": scope(kind)}}
    return {
        "begin": f"({begin})",
        "end": f"({end})|{otherwise}",
        "beginCaptures": ends,
        "endCaptures": ends,
        "patterns": inside,
    }


def brakets(place: str, otherwise: str) -> list[Rule]:
    """<x|y> and |x><y|, where an operand is due."""
    return [
        region("<(?!=)|⟨", "[>⟩]", otherwise, "braket", include(place)),
        region("\\|", "\\|", otherwise, "braket", include("turn", place)),
    ]


def escaped(operator: str) -> str:
    return "".join(f"\\{c}" if c in "*+.^|/" else c for c in operator)


# ---------------------------------------------------------------------------- Vim

GROUPS: dict[Class, str] = {
    "comment": "Comment",
    "doc": "SpecialComment",
    "keyword": "Statement",
    "declaration": "Type",
    "logic": "Keyword",
    "function": "Function",
    "builtin": "Function",
    "law": "Special",
    "constant": "Constant",
    "property": "Identifier",
    "argument": "Identifier",
    "number": "Number",
    "string": "String",
    "operator": "Operator",
    "braket": "Delimiter",
    "error": "Error",
}
"""Vim's own groups, by class; names and punctuation have no colour."""

# A character of a name: \k is defined below; by Vim's reckoning ᵀ is one of them, ₀ and ′ are not.
V_LETTER = "\\%(ᵀ\\@!\\k\\|[₀-₉′]\\)"
V_NAME = f"\\%([0-9₀-₉ᵀ]\\@!\\k\\){V_LETTER}*"
V_END = f"{V_LETTER}\\@!"
V_NUMBER = "\\%(\\%([0-9]\\+\\%(\\.[0-9]*\\)\\=\\|\\.[0-9]\\+\\)\\%([eE][+-]\\=[0-9]\\+\\)\\=\\)\\@>"
V_STATEMENT = "\\%(^\\s*\\)\\@<="


def vim_words(names: Iterable[str]) -> str:
    """`words`, as Vim writes a choice."""
    return words(names).replace("(?:", "\\%(").replace("|", "\\|").replace(")", "\\)")


def vim() -> str:
    """The syntax file. Of rules that match at one place the last one counts; after an operand comes what compares, elsewhere < opens a bra-ket."""
    operand = "nextgroup=nexortLess skipwhite"
    statement = f"end=/{V_STATEMENT}{vim_words(STATEMENT_WORDS)}{V_END}/me=s-1"
    outer = f"\\%(\\%(^\\|[-+*/%@=~,:<(\\[⟨|]\\|{vim_words(table().reserved)}\\)\\s*\\)\\@<=|"
    anywhere = [kind for kind in SCOPES if kind not in ("argument", "law", "property")]
    rules = [
        vim_match("error", "\\S"),
        vim_match("operator", "\\|".join(vim_escaped(o) for o in sorted(OPERATORS, key=lambda o: (len(o), o)))),
        vim_match("operator", ">=\\==\\@!"),
        f"syn match nexort_operator /ᵀ/ {operand}",
        "syn match nexort_operator /\\~=\\@!/ nextgroup=nexort_law skipwhite",
        "syn match nexort_punctuation /[:,]/",
        "syn match nexort_punctuation /[)\\]]/",
        "syn match nexort_punctuation /\\./ nextgroup=nexort_property,nexortMethod skipwhite",
        f"syn match nexort_constant /\\.\\.\\./ {operand}",
        f"syn match nexort_name /{V_NAME}/ {operand}",
        f"syn match nexort_function /{V_NAME}\\ze\\s*(/",
        f"syn match nexort_constant /{vim_words(CONSTANTS)}{V_END}/ {operand}",
        f"syn match nexort_builtin /{vim_words(FUNCTIONS)}{V_END}/ {operand}",
        f"syn match nexort_argument /{V_NAME}\\ze\\s*==\\@!/ contained",
        f"syn match nexort_law /{vim_words(LAWS)}{V_END}/ contained",
        f"syn match nexort_property /{V_NAME}/ contained {operand}",
        f"syn match nexortMethod /{V_NAME}\\ze\\s*(/ contained",
        f"syn match nexortDefined /{V_NAME}/ contained",
        vim_match("keyword", vim_words(KEYWORDS) + V_END),
        vim_match("logic", vim_words(LOGIC) + V_END),
        vim_match("declaration", vim_words(DECLARATIONS) + V_END),
        f"syn match nexort_declaration /\\%(def\\|optimizer\\){V_END}/ nextgroup=nexortDefined skipwhite",
        f"syn match nexort_number /{V_NUMBER}/ {operand}",
        vim_match("error", f"{V_NUMBER}\\%(\\k\\|\\.\\%(\\k\\|\\.\\)\\@=\\)\\+"),
        vim_match("error", "[\"'].*"),
        f"syn match nexort_string /\"[^\"]*\"\\|'[^']*'/ {operand}",
        vim_match("braket", "|"),
        "syn match nexortTurn /[>⟩]\\s*[<⟨]/ contained",
        "syn match nexortLess /<=\\=/ contained",
        f"syn region nexortBrackets matchgroup=nexort_punctuation start=/[(\\[]/ end=/[)\\]]/ {statement} {operand} "
        "contains=@nexortWords,@nexortInBrackets",
        *vim_brakets(
            "OnLine",
            "",
            outer,
            f"end=/[)\\]]/me=s-1 end=/$/ {operand} contains=@nexortWords,@nexortOnLine",
        ),
        *vim_brakets(
            "InBrackets",
            "contained ",
            outer,
            f"end=/[)\\]]/me=s-1 {statement} {operand} contains=@nexortWords,@nexortInBrackets",
        ),
        "syn cluster nexortOnLine contains=nexortBraOnLine,nexortOuterOnLine",
        "syn cluster nexortInBrackets contains=nexortBraInBrackets,nexortOuterInBrackets,nexort_argument",
        f"syn cluster nexortWords contains=nexortBrackets,{','.join(f'nexort_{kind}' for kind in anywhere)}",
        vim_match("comment", "#.*"),
        vim_match("doc", "##.*"),
    ]
    links = [f"hi def link nexort_{kind} {group}" for kind, group in GROUPS.items()]
    same = {"nexortMethod": "function", "nexortDefined": "function", "nexortTurn": "braket", "nexortLess": "operator"}
    links += [f"hi def link {group} nexort_{kind}" for group, kind in same.items()]
    head = [
        '" Vim syntax file: the nexort language. Made by tools/highlighting.py from the token table.',
        'if exists("b:current_syntax")',
        "  finish",
        "endif",
        "syn iskeyword @,48-57,_,192-255",
        "syn sync minlines=200",
    ]
    return "\n".join([*head, "", *rules, "", *links, "", 'let b:current_syntax = "nexort"', ""])


def vim_match(kind: Class, pattern: str) -> str:
    """A rule that gives all of its text one class."""
    return f"syn match nexort_{kind} /{pattern}/"


def vim_brakets(place: str, contained: str, outer: str, rest: str) -> list[str]:
    """<x|y> and |x><y|, where an operand is due; `outer` begins the latter."""
    region = f"{contained}matchgroup=nexort_braket"
    return [
        f"syn region nexortBra{place} {region} start=/[<⟨]=\\@!/ end=/[>⟩]/ {rest}",
        f"syn region nexortOuter{place} {region} start=/{outer}/ end=/|/ {rest},nexortTurn",
    ]


def vim_escaped(operator: str) -> str:
    return "".join(f"\\{c}" if c in "*.^/~[]" else c for c in operator)


# ---------------------------------------------------------------------------- the files


def files() -> dict[Path, str]:
    """What stands in each generated file."""
    grammar = json.dumps(textmate(), ensure_ascii=False, indent=2) + "\n"
    return {
        GRAMMAR / "nexort.tmLanguage.json": grammar,
        GRAMMAR / "vscode" / "syntaxes" / "nexort.tmLanguage.json": grammar,
        GRAMMAR / "vim" / "syntax" / "nexort.vim": vim(),
    }


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
