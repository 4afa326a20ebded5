"""Turns the pages into Grafana's JSON: `python -m grafana.build` writes dashboards/*.json, which git keeps and a test compares.

In: `pages/`. Out: one file a page, in the classic dashboard model (schema version 41, Grafana 11.6; later ones migrate it).
`--bridge-url` says where the admin service is, for the links to its pages.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana.model import Column, Mark, Page, Panel, Prom, Row, Sql, Variable
from grafana.pages import PAGES

FOLDER = Path(__file__).with_name("dashboards")
BRIDGE_URL = "http://127.0.0.1:8000"
"""The local run's and docker-compose's."""
TAG = "mission-monitor"
SCHEMA_VERSION = 41
COLUMNS = 24
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
USERDB = {"type": "mysql", "uid": "${userdb}"}
_LABELS = ("Time", "__name__", "job", "instance")
"""Columns of a table of Prometheus' that tell nobody anything."""
_HIDDEN_VARIABLE = 2
_ON_TIME_RANGE = 2
"""A variable is asked for anew whenever the time range changes."""
_BY_NAME = 1

Json = dict[str, Any]


def source_of(question: Prom | Sql) -> Json:
    return PROMETHEUS if isinstance(question, Prom) else USERDB


def _target(question: Prom | Sql, number: int, kind: str) -> Json:
    common = {"refId": chr(ord("A") + number), "datasource": source_of(question)}
    if isinstance(question, Sql):
        shape = "time_series" if kind == "timeseries" else "table"
        return common | {"rawSql": _plain(question.text), "format": shape, "rawQuery": True, "editorMode": "code"}
    instant = kind in ("stat", "table")
    shape = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
    return common | {
        "expr": _plain(question.text), "legendFormat": question.legend or "__auto", "instant": instant,
        "range": not instant, "format": shape, "editorMode": "code",
    }  # fmt: skip


def _plain(text: str) -> str:
    """Return a question on one line."""
    return " ".join(text.split())


def _override(name: str, column: Column) -> Json:
    properties: list[Json] = []
    if column.unit:
        properties.append({"id": "unit", "value": column.unit})
    if column.width:
        properties.append({"id": "custom.width", "value": column.width})
    if column.links:
        links = [{"title": link.title, "url": link.url, "targetBlank": False} for link in column.links]
        properties.append({"id": "links", "value": links})
    if column.colours:
        words = {word: {"color": colour, "index": n} for n, (word, colour) in enumerate(column.colours)}
        properties.append({"id": "mappings", "value": [{"type": "value", "options": words}]})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    if column.hidden:
        properties.append({"id": "custom.hidden", "value": True})
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _field_config(panel: Panel) -> Json:
    steps = [{"value": 0, "color": "green"}, *({"value": at, "color": colour} for at, colour in panel.steps)]
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, "links": []}
    if panel.empty:
        defaults["noValue"] = panel.empty
    if panel.kind == "timeseries":
        defaults |= {"min": 0, "color": {"mode": "palette-classic"}, "custom": _drawing(panel)}
    elif panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
    elif panel.kind == "table":
        defaults["custom"] = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    return {"defaults": defaults, "overrides": [_override(*item) for item in panel.columns.items()]}


def _drawing(panel: Panel) -> Json:
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    drawing: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 10}
    return drawing | {"showPoints": "never", "spanNulls": False, "stacking": stacking}


def _options(kind: str) -> Json:
    if kind == "stat":
        reduce = {"values": False, "calcs": ["lastNotNull"], "fields": ""}
        shown: Json = {"graphMode": "none", "colorMode": "value", "justifyMode": "auto", "textMode": "auto"}
        more = {"wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard"}
        return shown | more | {"orientation": "auto", "reduceOptions": reduce}
    if kind == "table":
        return {"frameIndex": 0, "showHeader": True, "cellHeight": "sm"}
    if kind == "heatmap":
        colours = {
            "mode": "scheme",
            "scheme": "Oranges",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
            "fill": "orange",
        }
        tooltip = {"mode": "single", "yHistogram": False, "showColorScale": False}
        return {
            "calculate": False, "color": colours, "cellGap": 1, "showValue": "never", "yAxis": {"unit": "s"},
            "legend": {"show": True}, "tooltip": tooltip, "exemplars": {"color": "red"},
            "filterValues": {"le": 1e-9},
        }  # fmt: skip
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _transformations(panel: Panel) -> list[Json]:
    """Return what takes the labels that tell nothing out of a table of Prometheus'."""
    if panel.kind != "table" or not isinstance(panel.questions[0], Prom):
        return []
    excluded = dict.fromkeys((*_LABELS, *panel.drop), True)
    names = {"Value": panel.questions[0].legend or "value"}
    return [{"id": "organize", "options": {"excludeByName": excluded, "indexByName": {}, "renameByName": names}}]


def _panel(panel: Panel, number: int, x: int, y: int) -> Json:
    made: Json = {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.says,
        "datasource": source_of(panel.questions[0]), "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": _field_config(panel), "options": _options(panel.kind),
        "targets": [_target(question, n, panel.kind) for n, question in enumerate(panel.questions)],
    }  # fmt: skip
    moves = _transformations(panel)
    return made | ({"transformations": moves} if moves else {})


def _panels(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Yield rows and panels, from left to right; one that finds no room begins a new line."""
    number = y = 0
    for row in rows:
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield _panel(panel, number, x, y)
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _source_variable(name: str, label: str, kind: str, title: str) -> Json:
    current = {"selected": False, "text": title, "value": f"mission-{name}"}
    return {
        "name": name, "label": label, "type": "datasource", "query": kind, "current": current, "regex": "",
        "refresh": 1, "multi": False, "includeAll": False, "hide": _HIDDEN_VARIABLE,
    }  # fmt: skip


def _variable(variable: Variable) -> Json:
    made: Json = {
        "name": variable.name, "label": variable.label, "type": "query", "datasource": source_of(variable.question),
        "query": _plain(variable.question.text), "refresh": _ON_TIME_RANGE, "sort": _BY_NAME, "regex": "",
        "multi": variable.several, "includeAll": variable.several, "options": [],
    }  # fmt: skip
    if not variable.several:
        return made
    chosen = {"selected": True, "text": "All", "value": "$__all"}
    return made | {"current": chosen} | ({"allValue": variable.all_value} if variable.all_value else {})


def _mark(mark: Mark) -> Json:
    target = {
        "refId": "Anno",
        "rawSql": _plain(mark.question.text),
        "format": "table",
        "rawQuery": True,
        "editorMode": "code",
    }
    return {
        "name": mark.name,
        "datasource": USERDB,
        "enable": True,
        "hide": False,
        "iconColor": mark.colour,
        "target": target,
    }


def _links(bridge: str) -> list[Json]:
    shared = {"asDropdown": False, "targetBlank": False, "includeVars": True, "keepTime": True, "icon": "external link"}
    pages = shared | {"title": "Dashboards", "type": "dashboards", "tags": [TAG], "url": "", "tooltip": ""}
    admin = shared | {
        "title": "Admin service", "type": "link", "tags": [], "url": f"{bridge}/admin/", "tooltip": "Alerts and channels",
        "includeVars": False, "keepTime": False,
    }  # fmt: skip
    return [pages, admin]


def dashboard(page: Page, bridge: str = BRIDGE_URL) -> Json:
    """Return one page as Grafana's JSON."""
    address = {"selected": True, "text": bridge, "value": bridge}
    constant = {"name": "bridge", "label": "Admin service", "type": "constant", "query": bridge, "current": address}
    variables = [
        _source_variable("prometheus", "Prometheus", "prometheus", "Prometheus of Mission Monitor"),
        _source_variable("userdb", "userdb", "mysql", "userdb of Mission Monitor"),
        constant | {"hide": _HIDDEN_VARIABLE, "skipUrlSync": True},
        *map(_variable, page.variables),
    ]
    return {
        "uid": page.uid, "title": page.title, "description": page.says, "tags": [TAG], "schemaVersion": SCHEMA_VERSION,
        "version": 1, "editable": True, "refresh": "30s", "graphTooltip": 1, "time": {"from": page.since, "to": "now"},
        "timezone": "browser", "timepicker": {}, "fiscalYearStartMonth": 0, "links": _links(bridge),
        "annotations": {"list": [_mark(mark) for mark in page.marks]}, "templating": {"list": variables},
        "panels": list(_panels(page.rows)),
    }  # fmt: skip


def texts(bridge: str = BRIDGE_URL) -> dict[str, str]:
    """Return every file's name and text."""
    made = {page.uid: dashboard(page, bridge) for page in PAGES}
    return {f"{uid}.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n" for uid, document in made.items()}


def main() -> int:
    parser = argparse.ArgumentParser("python -m grafana.build", description="Writes Grafana's dashboards as JSON.")
    parser.add_argument(
        "--bridge-url", default=BRIDGE_URL, metavar="URL", help=f"the admin service, default {BRIDGE_URL}"
    )
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER", help=f"default {FOLDER}")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, text in texts(arguments.bridge_url.rstrip("/")).items():
        (arguments.output / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
