"""PromQL cut into tokens, and the selectors found among them: no tool prints a rule's syntax tree.

In: an expression that promtool has accepted. Out: its tokens with their places (the mutation test changes one at a time) and
its selectors (the tests of the rules read their matchers). What it can't read is a ValueError, never passed over.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
  | (?P<name>:*[A-Za-z_][A-Za-z0-9_:]*)
  | (?P<number>(?:\d+(?:ms|[smhdwy]))+|0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<operator>==|!=|>=|<=|=~|!~|[><=+\-*/%^@:])
  | (?P<mark>[(){}\[\],])
    """,
    re.VERBOSE,
)
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_SET_OPERATORS = {"and", "or", "unless"}
_AGGREGATIONS = {
    "sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile",
    "limitk", "limit_ratio",
}  # fmt: skip
_WORDS = _SET_OPERATORS | {"bool", "offset", "atan2", "inf", "nan"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int
    """Where it begins in the expression."""


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Selector:
    metric: str
    """"" when braces stand alone; then a matcher names it."""
    matchers: tuple[Matcher, ...]

    def matchers_of(self, label: str) -> list[Matcher]:
        return [matcher for matcher in self.matchers if matcher.label == label]


def tokens(expression: str) -> list[Token]:
    """Return the tokens without spaces and comments; ValueError where none begins."""
    found, place = [], 0
    while place < len(expression):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise ValueError(f"no PromQL at {expression[place : place + 20]!r}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), place))
        place = match.end()
    return found


def operators(expression: str) -> list[Token]:
    """Return each comparison between vectors and each and, or, unless; those of label matchers are not among them."""
    found, depth = [], 0
    for token in tokens(expression):
        depth += (token.text == "{") - (token.text == "}")
        if depth == 0 and (token.text in COMPARISONS or token.text.lower() in _SET_OPERATORS):
            found.append(token)
    return found


def selectors(expression: str) -> list[Selector]:
    """Return every selector of the expression."""
    return list(_selectors([*tokens(expression), Token("end", "", len(expression))]))


def _selectors(found: list[Token]) -> Iterator[Selector]:
    place = 0
    while found[place].kind != "end":
        token, following = found[place], found[place + 1]
        place += 1
        if token.text == "{":
            matchers, place = _matchers(found, place)
            yield Selector("", matchers)
        elif token.kind != "name":
            continue
        elif token.text.lower() in _LABEL_LISTS:
            if following.text == "(":
                place = _after(found, place, ")")
        elif following.text == "(" or token.text.lower() in _WORDS | _AGGREGATIONS:
            continue
        elif following.text == "{":
            matchers, place = _matchers(found, place + 1)
            yield Selector(token.text, matchers)
        else:
            yield Selector(token.text, ())


def _after(found: list[Token], place: int, text: str) -> int:
    while found[place].text != text:
        if found[place].kind == "end":
            raise ValueError(f"no {text!r} to the end")
        place += 1
    return place + 1


def _matchers(found: list[Token], place: int) -> tuple[tuple[Matcher, ...], int]:
    """Return the matchers up to the closing brace, and the place behind it."""
    matchers = []
    while found[place].text != "}":
        label, operator, value = found[place : place + 3]
        if (label.kind, operator.kind, value.kind) != ("name", "operator", "string"):
            raise ValueError(f"no matcher at {label.text} {operator.text} {value.text}")
        matchers.append(Matcher(label.text, operator.text, _unquoted(value.text)))
        place += 3
        if found[place].text == ",":
            place += 1
    return tuple(matchers), place + 1


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == "`" else str(ast.literal_eval(text))
