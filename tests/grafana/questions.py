"""Every question that the dashboards ask, as Grafana would ask it: its variables and macros filled in.

In: the JSON that is shipped, and the pages that it was made of. Out: questions for a real Prometheus and a real MariaDB.
What Grafana makes of its macros stands in its documents (MySQL data source, "Macros"; "Global variables").
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grafana.build import FOLDER
from grafana.pages import PAGES

ROOT = Path(__file__).resolve().parents[2]
_MACRO = re.compile(r"\$__\w+(\([^()]*\))?")


@dataclass(frozen=True)
class Question:
    page: str
    place: str
    """The panel's title, or the variable's or mark's name."""
    kind: str
    """`prometheus` or `mysql`."""
    text: str
    instant: bool
    quiet: bool
    """Rightly without an answer while all is well."""

    def __str__(self) -> str:
        return f"{self.page}: {self.place}: {self.text}"


@cache
def dashboards() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Any) -> list[Any]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Any) -> list[Any]:
    """Return those whose values are asked for."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def of_panels() -> Iterator[Question]:
    for page in PAGES:
        told = [panel for row in page.rows for panel in row.panels]
        for made, panel in zip(panels(dashboards()[page.uid]), told, strict=True):
            for target, question in zip(made["targets"], panel.questions, strict=True):
                text = target.get("expr") or target["rawSql"]
                kind = target["datasource"]["type"]
                yield Question(page.uid, panel.title, kind, text, target.get("instant", True), question.quiet)


def of_marks() -> Iterator[Question]:
    for uid, dashboard in dashboards().items():
        for mark in dashboard["annotations"]["list"]:
            yield Question(uid, mark["name"], "mysql", mark["target"]["rawSql"], True, False)


def of_variables() -> Iterator[Question]:
    for uid, dashboard in dashboards().items():
        for variable in variables(dashboard):
            yield Question(uid, variable["name"], variable["datasource"]["type"], variable["query"], True, False)


def in_promql(text: str, chosen: Mapping[str, Sequence[str]]) -> str:
    """Return an expression with its variables and Grafana's own filled in; a choice of several is a regular expression."""
    spans = {"$__rate_interval": "1m", "$__range_s": "3600", "$__range": "1h", "$__interval": "15s"}
    for name, value in spans.items():
        text = text.replace(name, value)
    for name, values in chosen.items():
        text = text.replace(f"${name}", values[0] if len(values) == 1 else f"({'|'.join(values)})")
    assert "$" not in text, text
    return text


def _quoted(values: Sequence[str]) -> str:
    return ",".join("'" + value.replace("'", "''") + "'" for value in values)


def in_sql(text: str, chosen: Mapping[str, Sequence[str]], begin: int, end: int) -> str:
    """Return a statement with its variables and macros filled in; `begin` and `end` are Unix seconds."""
    for name, values in chosen.items():
        text = text.replace(f"${{{name}:sqlstring}}", _quoted(values))

    def filled(match: re.Match[str]) -> str:
        name = match.group().partition("(")[0]
        arguments = [part.strip() for part in (match.group(1) or "()")[1:-1].split(",")]
        grouped = f"UNIX_TIMESTAMP({arguments[0]}) DIV 60 * 60"
        return {
            "$__timeFilter": f"{arguments[0]} BETWEEN FROM_UNIXTIME({begin}) AND FROM_UNIXTIME({end})",
            "$__timeFrom": f"FROM_UNIXTIME({begin})",
            "$__timeTo": f"FROM_UNIXTIME({end})",
            "$__timeGroupAlias": f'{grouped} AS "time"',
        }[name]

    text = _MACRO.sub(filled, text.replace("$__interval", "60s"))
    assert "$" not in text.replace("'$.", ""), text
    return text


def label_values(text: str) -> tuple[str, str]:
    """Return selector and label of `label_values(selector, label)`."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
    assert match, text
    return match.group(1), match.group(2)
