"""The dashboards as files: made of the pages, whole, linked with each other, and asking for nothing that is not there."""

import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
import yaml

from grafana.build import BRIDGE_URL, COLUMNS, FOLDER, texts
from grafana.pages import PAGES
from tests.docs import pages as docs
from tests.grafana import questions
from tests.grafana.questions import ROOT, dashboards, in_promql, panels
from tests.prometheus.promql import selectors
from tests.prometheus.rule_files import records, scrape_jobs

UIDS = [
    "mission-chain",
    "mission-containers",
    "mission-history",
    "mission-overview",
    "mission-requests",
    "mission-tenant",
]
"""In bookmarks and in links: never to be changed."""
OF_OTHERS = re.compile(r"(prometheus|alertmanager)_\w+|up|ALERTS")
"""Prometheus' and Alertmanager's own: the real ones are asked for them in test_answers.py."""

each = pytest.mark.parametrize("uid", UIDS)


def _plain_choice(dashboard: Any) -> dict[str, list[str]]:
    return {variable["name"]: ["x"] for variable in questions.variables(dashboard)}


def _promql(uid: str) -> list[str]:
    """Return every expression of a page, those of its variables too, with something in the place of each variable."""
    chosen = _plain_choice(dashboards()[uid])
    asked = [q.text for q in questions.of_panels() if q.page == uid and q.kind == "prometheus"]
    asked += [
        questions.label_values(q.text)[0] for q in questions.of_variables() if q.page == uid and q.kind == "prometheus"
    ]
    return [in_promql(text, chosen) for text in asked]


def _sql(uid: str) -> list[str]:
    every = (*questions.of_panels(), *questions.of_marks(), *questions.of_variables())
    return [question.text for question in every if question.page == uid and question.kind == "mysql"]


def test_the_files_are_what_the_pages_say() -> None:
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == texts()


def test_there_are_the_six_pages_under_the_names_that_bookmarks_have() -> None:
    assert sorted(dashboards()) == UIDS
    assert len({dashboard["title"] for dashboard in dashboards().values()}) == len(UIDS)


def test_another_address_of_the_admin_service_goes_into_every_link() -> None:
    made = texts("https://monitor.example.com")
    assert set(made) == set(texts())
    assert all("https://monitor.example.com/admin/" in text and BRIDGE_URL not in text for text in made.values())


@each
def test_panels_stand_beside_each_other_and_never_on_each_other(uid: str) -> None:
    places = [panel["gridPos"] for panel in dashboards()[uid]["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@each
def test_every_panel_says_what_it_shows_and_in_which_unit(uid: str) -> None:
    for panel in panels(dashboards()[uid]):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@each
def test_ids_are_there_once(uid: str) -> None:
    found = dashboards()[uid]["panels"]
    assert max(Counter(panel["id"] for panel in found).values()) == 1
    for panel in panels(dashboards()[uid]):
        assert max(Counter(target["refId"] for target in panel["targets"]).values()) == 1


@each
def test_a_title_is_there_once_in_its_row(uid: str) -> None:
    (page,) = (page for page in PAGES if page.uid == uid)
    for row in page.rows:
        assert max(Counter(panel.title for panel in row.panels).values()) == 1


@each
def test_the_variables_that_are_asked_for_are_there_and_no_other(uid: str) -> None:
    dashboard = dashboards()[uid]
    named = {variable["name"] for variable in dashboard["templating"]["list"]}
    asked = re.findall(r"\$\{?(\w+)", " ".join(str(part) for part in (dashboard["panels"], dashboard["annotations"])))
    asked += re.findall(r"\$\{?(\w+)", " ".join(variable["query"] for variable in questions.variables(dashboard)))
    # the address of the admin service is in links of tables alone, and always within reach
    assert named - {"bridge", "userdb", "prometheus"} == {name for name in asked if name in named} - {
        "bridge", "userdb", "prometheus",
    }  # fmt: skip
    assert {name for name in asked if not name.startswith("__")} <= named


@each
def test_links_lead_to_pages_that_are_there(uid: str) -> None:
    links = [
        link["url"]
        for panel in panels(dashboards()[uid])
        for override in panel["fieldConfig"]["overrides"]
        for made in override["properties"]
        if made["id"] == "links"
        for link in made["value"]
    ]
    for link in links:
        known = re.fullmatch(r"/d/([\w-]+)\?var-(\w+)=\$\{__value\.raw\}&\$\{__url_time_range\}", link)
        if known:
            assert known.group(2) in {v["name"] for v in questions.variables(dashboards()[known.group(1)])}
        else:
            assert link in ("${bridge:raw}/admin/userdb/alert/${__value.raw}/change/", "${__data.fields.runbook}")


@each
def test_a_link_to_the_runbook_has_a_runbook_in_its_table(uid: str) -> None:
    for panel in panels(dashboards()[uid]):
        columns = {override["matcher"]["options"]: str(override) for override in panel["fieldConfig"]["overrides"]}
        if "alertname" in columns:
            assert "__data.fields.runbook" in columns["alertname"]
            assert all(re.search(r"AS runbook\b", target["rawSql"]) for target in panel["targets"]), panel["title"]


@each
def test_every_selector_names_its_job(uid: str) -> None:
    jobs = set(scrape_jobs()) | {"alert-reconcile", ".+"}
    for expression in _promql(uid):
        for selector in selectors(expression):
            if ":" in selector.metric or selector.metric == "ALERTS":
                continue  # the rules' own
            (matcher,) = selector.matchers_of("job")
            assert set(matcher.value.split("|")) <= jobs, expression


def _documented() -> set[str]:
    """Return every name of a series that the documents and the rules know."""
    found: set[str] = set()
    for row in docs.rows("metrics.md"):
        for name in docs.words(row[0]):
            found |= {name} | (
                {f"{name}_{part}" for part in ("bucket", "sum", "count")} if row[1] == "histogram" else set()
            )
    for row in docs.rows("pod-exporter.md", "Families"):
        found |= set(docs.words(row[0]))
    return found | records()


@each
def test_every_metric_is_documented(uid: str) -> None:
    asked = {selector.metric for expression in _promql(uid) for selector in selectors(expression)}
    assert {name for name in asked if not OF_OTHERS.fullmatch(name)} - _documented() == set()


@each
def test_userdb_is_asked_through_the_views_alone(uid: str) -> None:
    granted = set(re.findall(r"GRANT SELECT ON (\w+)", (ROOT / "grafana" / "grants.sql").read_text()))
    asked = {name for text in _sql(uid) for name in re.findall(r"\b(?:FROM|JOIN) (\w+)", text)}
    assert asked - granted == set()


@each
def test_every_table_of_userdb_has_an_end(uid: str) -> None:
    for panel in panels(dashboards()[uid]):
        for target in panel["targets"]:
            if panel["type"] == "table" and "rawSql" in target:
                closed = (
                    r"LIMIT \d+$|FROM grafana_(policies|channels|alertmanagers) |GROUP BY n\.channel, n\.channel_kind"
                )
                assert re.search(closed, target["rawSql"]), panel["title"]


@pytest.mark.parametrize("kind", ["datasources", "dashboards"])
def test_provisioning_is_a_file_that_can_be_read(kind: str) -> None:
    (file,) = (ROOT / "grafana" / "provisioning" / kind).iterdir()
    assert yaml.safe_load(file.read_text())["apiVersion"] == 1


def _sources() -> dict[str, Any]:
    file = ROOT / "grafana" / "provisioning" / "datasources" / "mission-monitor.yml"
    return {source["uid"]: source for source in yaml.safe_load(file.read_text())["datasources"]}


@each
def test_the_sources_of_the_dashboards_are_provisioned(uid: str) -> None:
    for variable in dashboards()[uid]["templating"]["list"]:
        if variable["type"] == "datasource":
            source = _sources()[variable["current"]["value"]]
            assert (source["type"], source["name"]) == (variable["query"], variable["current"]["text"])


def test_no_password_and_no_default_for_one_is_in_git() -> None:
    assert _sources()["mission-userdb"]["secureJsonData"] == {
        "password": "$__file{/run/secrets/grafana-userdb-password}"
    }
    for source in _sources().values():
        assert re.fullmatch(r"\$\{\w+\}", source["url"])


def test_the_session_of_userdb_is_in_utc() -> None:
    assert _sources()["mission-userdb"]["jsonData"]["timezone"] == "+00:00"


def test_the_dashboards_are_read_from_where_they_are_mounted() -> None:
    file = ROOT / "grafana" / "provisioning" / "dashboards" / "mission-monitor.yml"
    (provider,) = yaml.safe_load(file.read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_every_variable_of_the_provisioning_is_documented() -> None:
    text = "".join(file.read_text() for file in (ROOT / "grafana" / "provisioning").rglob("*.yml"))
    named = {word for row in docs.rows("grafana.md", "Settings") for word in docs.words(row[0])}
    assert named == set(re.findall(r"\$\{([A-Z_]+)\}", text)) | set(re.findall(r"\$__file\{([^}]+)\}", text))
