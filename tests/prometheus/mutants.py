"""The rules with one thing changed at a time, and what of their tests can notice it.

In: the rule files and the test files that load them. Out: mutants, and for each the folder of a promtool run that has the
rules it can be felt by and the questions about those alone: a whole test file takes seconds, and there are a thousand
mutants. `test_mutants.py` runs them, and each such run with nothing changed too, lest a cut pose as a catch.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.prometheus.promql import operators, selectors, tokens
from tests.prometheus.rule_files import TESTS, Rule, document, rules

# the neighbour, which differs at the boundary alone, and the opposite
_COMPARISONS = {">=": (">", "<"), "<=": ("<", ">"), ">": (">=", "<="), "<": ("<=", ">="), "==": ("!=",), "!=": ("==",)}
_SETS = {"and": ("or", "unless"), "or": ("and", "unless"), "unless": ("and", "or")}
_MATCHERS = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_AGGREGATIONS = {"min": "max", "max": "min"}
_HALVES = {"1m": "30s", "1h": "30m", "1d": "12h"}
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?([a-z]*)")


@dataclass(frozen=True, eq=False)
class Mutant:
    rule: Rule
    place: int
    """Which rule of its file."""
    key: str
    """What of the rule is changed: expr, for."""
    value: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def _replaced(expression: str, at: int, old: str, new: str) -> str:
    return expression[:at] + new + expression[at + len(old) :]


def _numbers(text: str) -> list[str]:
    """Return the number or duration one less and one more in its last digit; one hour becomes half of one, not none."""
    if text in _HALVES:
        return [_HALVES[text], f"2{text[1:]}"]
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"no number that can be changed: {text}")
    whole, fraction, unit = match.groups()
    digits = len(fraction or "")
    number = int(whole + (fraction or ""))
    return [f"{changed / 10**digits:.{digits}f}{unit}" for changed in (number - 1, number + 1)]


def _expressions(expression: str) -> Iterator[tuple[str, str]]:
    """Yield each changed expression with what was changed."""
    between = {token.at for token in operators(expression)}
    for token in tokens(expression):
        old, changed = token.text, list[str]()
        if token.at in between:
            changed += _COMPARISONS.get(old, ()) or _SETS[old.lower()]
        elif token.kind == "operator" and old in _MATCHERS:
            changed.append(_MATCHERS[old])
        elif token.kind == "number":
            changed += _numbers(old)
        elif old in _AGGREGATIONS:
            changed.append(_AGGREGATIONS[old])
        for new in changed:
            around = " ".join(expression[max(token.at - 60, 0) : token.at + 40].split())
            yield _replaced(expression, token.at, old, new), f"{old} -> {new} at {token.at}, in ...{around}..."


def mutants(file: Path) -> Iterator[Mutant]:
    for place, rule in enumerate(rules(file)):
        for expression, what in _expressions(rule.expression):
            yield Mutant(rule, place, "expr", expression, what)
        if "for" in rule.body:
            yield Mutant(rule, place, "for", "0s", f"for {rule.body['for']} -> 0s")


class Case:
    """A test file, and what of it a change of one rule can be felt by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._test = document(path)
        self._files = [(path.parent / name).resolve() for name in self._test["rule_files"]]
        self._rules = [rule for file in self._files for rule in rules(file)]
        self._reads = {rule.name: _reads(rule) for rule in self._rules} | _joined(self._rules)

    def loads(self, file: Path) -> bool:
        return file in self._files

    def write(self, rule: Rule, changed: Mutant | None, folder: Path) -> Path | None:
        """Write the rules and the questions that this rule can be felt by; None when there is no question about it."""
        felt = _closure({rule.name}, self._readers())
        tests = [kept for test in self._test["tests"] if (kept := _questions(test, felt)) is not None]
        if not tests:
            return None
        needed = _closure(felt, self._reads)
        names = {selector.metric for r in self._rules if r.name in needed for selector in selectors(r.expression)}
        names |= {name for test in tests for q in test.get("promql_expr_test", ()) for name in _names(q["expr"])}
        for test in tests:
            test["input_series"] = [s for s in test["input_series"] if re.split(r"[{\s]", s["series"])[0] in names]
        folder.mkdir(parents=True)
        (folder / "rules.yml").write_text(yaml.safe_dump(self._document(needed, changed)))
        written = folder / "test.yml"
        written.write_text(yaml.safe_dump(self._test | {"rule_files": ["rules.yml"], "tests": tests}))
        return written

    def _readers(self) -> dict[str, set[str]]:
        return {name: {reader for reader, read in self._reads.items() if name in read} for name in self._reads}

    def _document(self, needed: set[str], changed: Mutant | None) -> Any:
        groups = []
        for file in self._files:
            place = -1
            for group in document(file)["groups"]:
                kept = []
                for body in group["rules"]:
                    place += 1
                    if changed is not None and (changed.rule.file, changed.place) == (file, place):
                        kept.append(body | {changed.key: changed.value})
                    elif (body.get("alert") or body["record"]) in needed:
                        kept.append(body)
                groups.append(group | {"rules": kept})
        return {"groups": groups}


def _reads(rule: Rule) -> set[str]:
    """Return the rules that a rule reads: records by their names, alerts by ALERTS."""
    found = selectors(rule.expression)
    alerts = {matcher.value for selector in found for matcher in selector.matchers_of("alertname")}
    return {selector.metric for selector in found} | alerts


def _joined(all_rules: list[Rule]) -> dict[str, set[str]]:
    """Return what records read that several rules write."""
    names = [rule.name for rule in all_rules]
    return {
        name: set().union(*(_reads(rule) for rule in all_rules if rule.name == name))
        for name in names
        if names.count(name) > 1
    }


def _closure(start: set[str], edges: dict[str, set[str]]) -> set[str]:
    found, waiting = set(start), list(start)
    while waiting:
        for name in edges.get(waiting.pop(), set()) - found:
            found.add(name)
            waiting.append(name)
    return found


def _names(expression: str) -> set[str]:
    return {selector.metric for selector in selectors(expression)}


def _questions(test: dict[str, Any], felt: set[str]) -> dict[str, Any] | None:
    """Return the test with its questions about these rules alone, None when there is none."""
    kept = copy.deepcopy(test)
    kept["alert_rule_test"] = [q for q in test.get("alert_rule_test", ()) if q["alertname"] in felt]
    kept["promql_expr_test"] = [q for q in test.get("promql_expr_test", ()) if _names(q["expr"]) & felt]
    return kept if kept["alert_rule_test"] or kept["promql_expr_test"] else None


def cases_of(file: Path) -> list[Case]:
    """Return the test files that load a rule file."""
    return [case for path in TESTS if (case := Case(path)).loads(file)]
