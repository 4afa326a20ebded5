"""The rule files, their tests and the scrape configuration, as the tests read them."""

from collections.abc import Iterator
from dataclasses import dataclass
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


def every_rule() -> list[Rule]:
    return [rule for path in RULES for rule in rules(path)]


def alerts() -> list[Rule]:
    return [rule for rule in every_rule() if rule.kind == "alert"]


def records() -> set[str]:
    return {rule.name for rule in every_rule() if rule.kind == "record"}


def cases(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each question about an alert in a test file, with the test that it stands in."""
    for test in document(path)["tests"]:
        for question in test.get("alert_rule_test", []):
            yield test, question


def scrape_jobs() -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in document(CONFIGURATION)["scrape_configs"]}
