"""Do the rules' tests notice? Each operator, matcher, number and wait is changed, one at a time: a test must fail."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.programs import find
from tests.prometheus.promql import operators, tokens
from tests.prometheus.rule_files import RULES, document

pytestmark = pytest.mark.gate

# the neighbour, which differs at the boundary alone, and the opposite
_COMPARISONS = {">=": (">", "<"), "<=": ("<", ">"), ">": (">=", "<="), "<": ("<=", ">="), "==": ("!=",), "!=": ("==",)}
_SETS = {"and": ("or", "unless"), "or": ("and", "unless"), "unless": ("and", "or")}
_MATCHERS = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_AGGREGATIONS = {"min": "max", "max": "min"}
# no test can notice: a pod's last failure known for longer than its count of failures changes nothing
_EQUIVALENT = {("tenant_task:mission_consecutive_failures:last1h", "mission_run_last_failure_timestamp_seconds", "2h")}


@dataclass(frozen=True)
class Mutant:
    file: Path
    group: int
    rule: int
    name: str
    key: str
    """What of the rule is changed: expr, for."""
    value: str
    what: str

    def __str__(self) -> str:
        return f"{self.file.name.removesuffix('.rules.yml')}-{self.name}-{self.what}"

    def document(self) -> Any:
        changed = document(self.file)
        changed["groups"][self.group]["rules"][self.rule][self.key] = self.value
        return changed


def _replaced(expression: str, at: int, old: str, new: str) -> str:
    return expression[:at] + new + expression[at + len(old) :]


def _numbers(text: str) -> list[str]:
    """Return the number or duration one less and one more; an hour becomes half an hour, not none."""
    number, unit = re.fullmatch(r"(\d+)([a-z]*)", text).groups()  # type: ignore[union-attr]
    less = "30m" if text == "1h" else f"{int(number) - 1}{unit}"
    return [less, f"{int(number) + 1}{unit}"]


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
            yield _replaced(expression, token.at, old, new), f"{token.at}:{old}->{new}"


def mutants(file: Path) -> Iterator[Mutant]:
    for g, group in enumerate(document(file)["groups"]):
        for r, rule in enumerate(group["rules"]):
            name = rule.get("alert") or rule["record"]
            for expression, what in _expressions(rule["expr"]):
                yield Mutant(file, g, r, name, "expr", expression, what)
            if "for" in rule:
                yield Mutant(file, g, r, name, "for", "0s", f"for {rule['for']}->0s")


def _is_noticeable(mutant: Mutant) -> bool:
    if mutant.name == "Watchdog":  # the value of an alert that always fires says nothing
        return False
    selected = re.findall(r"(\w+)\{[^}]*\}\[(\w+)\]", mutant.value)
    return not any((mutant.name, *one) in _EQUIVALENT for one in selected)


def _complaint(mutant: Mutant, folder: Path) -> str | None:
    """Return what is wrong: nobody noticed, or it is no mutant since it does not parse. None when a test failed."""
    shutil.copytree(mutant.file.parent.parent / "tests", folder / "tests")
    (folder / "rules").mkdir()
    (folder / "rules" / mutant.file.name).write_text(yaml.safe_dump(mutant.document()))
    test = folder / "tests" / mutant.file.name.replace(".rules.yml", ".test.yml")
    done = subprocess.run([find("promtool"), "test", "rules", test], capture_output=True, text=True, check=False)
    if "could not parse" in done.stdout + done.stderr:
        return f"{mutant}: does not parse"
    return None if done.returncode == 1 else f"{mutant}: nobody noticed\n{mutant.value}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_changed_rule_is_noticed(file: Path, tmp_path: Path) -> None:
    changed = [mutant for mutant in mutants(file) if _is_noticeable(mutant)]
    folders = [tmp_path / str(number) for number in range(len(changed))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [complaint for complaint in pool.map(_complaint, changed, folders) if complaint]
    assert len(changed) > 20
    assert complaints == []
