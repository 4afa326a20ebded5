"""The rule files, their tests and the scrape configuration, as the tests read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGURATION = ROOT / "prometheus" / "prometheus.yml"
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.rules.yml"))
TESTS = sorted((ROOT / "prometheus" / "tests").glob("*.test.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"


@dataclass(frozen=True)
class Rule:
    file: Path
    group: str
    kind: str
    """`alert` or `record`."""
    name: str
    expression: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file.name}:{self.name}"


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules(path: Path) -> Iterator[Rule]:
    for group in document(path)["groups"]:
        for body in group["rules"]:
            kind = "alert" if "alert" in body else "record"
            yield Rule(path, group["name"], kind, body[kind], body["expr"], body)


@cache
def every_rule() -> tuple[Rule, ...]:
    # read once: a file takes a tenth of a second, and each rule has its tests
    return tuple(rule for path in RULES for rule in rules(path))


def alerts() -> list[Rule]:
    return [rule for rule in every_rule() if rule.kind == "alert"]


@cache
def records() -> frozenset[str]:
    return frozenset(rule.name for rule in every_rule() if rule.kind == "record")


@cache
def cases(path: Path) -> tuple[tuple[dict[str, Any], dict[str, Any]], ...]:
    """Return each question about an alert in a test file, with the test that it stands in."""
    tests = document(path)["tests"]
    return tuple((test, question) for test in tests for question in test.get("alert_rule_test", []))


def scrape_jobs() -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in document(CONFIGURATION)["scrape_configs"]}
