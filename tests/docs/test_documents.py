"""Every variable, flag, metric, endpoint and link of the documents is there in the code, and the other way round."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from alert_bridge import heartbeat, webhook
from alert_bridge.channels.base import REASONS
from alert_bridge.cli import parser as bridge_parser
from exporters.gateway_client import answers, events
from exporters.gateway_client.cli import parser as client_parser
from exporters.gateway_client.exposition import SpoolCollector
from exporters.gateway_client.spool import DROP_REASONS, Spool, Started
from exporters.route_management import reports
from exporters.route_management.cli import parser as gateway_parser
from exporters.route_management.pods import health as pod_health
from exporters.route_management.pods import history as pod_history
from exporters.route_management.pods import usage as pod_usage
from exporters.route_management.pods import usage_rows as pod_usage_rows
from runtime import closed_sets
from tests.docs import code, pages

PARSERS = {"alert-bridge": bridge_parser, "route-management": gateway_parser}
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{2,}")
OF_MAKE = {"USERDB", "PYTHON", "ARGS"}


def _variables(page: str) -> set[str]:
    return {word for row in pages.rows(page) for word in pages.words(row[0]) if VARIABLE.fullmatch(word)}


def test_every_variable_of_the_code_is_documented() -> None:
    documented = _variables("configuration.md") | _variables("local-run.md")
    assert code.variables() - documented == set()


def test_every_documented_variable_is_read() -> None:
    documented = _variables("configuration.md") | _variables("local-run.md")
    assert documented - code.variables() - code.django_settings() == OF_MAKE


def test_the_variables_of_make_are_in_the_makefile() -> None:
    makefile = (code.SOURCE / "Makefile").read_text()
    assert {name for name in OF_MAKE if f"$({name})" not in makefile} == set()


def test_the_settings_of_a_host_project_are_documented() -> None:
    section = pages.rows("configuration.md", "A host project's Django settings")
    assert {word for row in section for word in pages.words(row[0])} == code.django_settings()


def _documented_metrics() -> set[code.Family]:
    found = [row for row in pages.rows("metrics.md") if row[0].startswith("`mission_")]
    return {code.Family(row[0].strip("`"), row[1], frozenset(pages.words(row[2]))) for row in found}


def _of_the_client(folder: Path) -> Iterator[code.Family]:
    """Yield what the client's collector exposes once a run has failed, another succeeded, and a third is under way."""
    spool = Spool(folder)
    failure = events.make(task="t", failure_type="timeout", level="error", message="m", detail={}, occurred_at=0.0)
    for number, event in enumerate([None, failure]):
        started = Started(str(number), "t", 0.0)
        spool.start(started)
        spool.finish(started, 1.0, event)
    spool.start(Started("2", "t", 0.0))
    for family in SpoolCollector(spool).collect():
        labels = {label for sample in family.samples for label in sample.labels}
        yield code.Family(code.exposed(family.name, family.type), family.type, frozenset(labels - {"le"}))


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other(tmp_path: Path) -> None:
    # an Info's labels are the keys of what it is given
    made = {f._replace(labels=frozenset({"version"})) if f.type == "info" else f for f in code.metrics()}
    assert _documented_metrics() == made | set(_of_the_client(tmp_path))


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("`event_type`", closed_sets.EVENT_TYPES),
        ("`level`", closed_sets.LEVELS),
        ("`failure_type`", closed_sets.FAILURE_TYPES),
        ("`outcome`", closed_sets.OUTCOMES),
        ("`reason` of failed requests", closed_sets.REQUEST_FAILURES),
    ],
)
def test_closed_sets_are_documented_as_they_are(label: str, values: tuple[str, ...]) -> None:
    (row,) = (row for row in pages.rows("metrics.md") if row[0] == label)
    assert tuple(pages.words(row[1])) == values


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("mission_webhooks_total", webhook.RESULTS),
        ("mission_heartbeats_total", heartbeat.RESULTS),
        ("mission_reports_received_total", reports.RESULTS + reports.REFUSED_UNKNOWN),
        ("mission_reports_total", answers.RESULTS),
        ("mission_spool_dropped_total", DROP_REASONS),
        ("mission_notifications_total", ("delivered", "failed", *REASONS)),
        ("mission_pod_exporter_lists_total", pod_health.RESULTS),
        ("mission_pod_exporter_watches_total", pod_health.WATCH_RESULTS),
        ("mission_pod_exporter_events_total", pod_health.EVENTS),
        ("mission_pod_exporter_history_events_total", pod_history.RESULTS),
        ("mission_pod_exporter_usage_polls_total", pod_usage.RESULTS),
        ("mission_pod_exporter_usage_rows_total", pod_usage_rows.RESULTS),
    ],
)
def test_the_results_that_a_counter_tells_apart_are_documented(metric: str, values: tuple[str, ...]) -> None:
    (row,) = (row for row in pages.rows("metrics.md") if row[0] == f"`{metric}`")
    assert sorted(pages.words(row[3])) == sorted(values)


def _paths(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        # the admin's own pages are Django's to document
        if isinstance(pattern, URLResolver) and not path.startswith("/admin/"):
            yield from _paths(pattern.url_patterns, path)
        else:
            yield path


def _documented_endpoints(section: str) -> set[str]:
    found = [word for row in pages.rows("http.md", section) for word in pages.words(row[0])]
    return {word.split()[-1] for word in found if "/" in word and re.fullmatch(r"([A-Z]+ )?/\S*", word)}


def test_the_reports_api_is_documented() -> None:
    paths = set(_paths(get_resolver("exporters.route_management.urls").url_patterns))
    assert {path.rstrip("/") for path in paths} == _documented_endpoints("Reports API")
    # with and without a slash
    assert {f"{path.rstrip('/')}/" for path in paths} <= paths


def test_the_pages_of_the_admin_service_are_documented() -> None:
    assert set(_paths(get_resolver("alert_bridge.urls").url_patterns)) == _documented_endpoints("Admin pages")


def test_the_second_port_is_documented() -> None:
    documented = _documented_endpoints("The second port of every process")
    assert documented == code.compared_paths("runtime/port.py")


def test_the_webhooks_path_is_documented(client: object) -> None:
    (path,) = _documented_endpoints("Alertmanager's webhook") - {"/webhooks/"}
    answers = [client.post(path + end).status_code for end in ("", "/", "x")]  # type: ignore[attr-defined]
    assert answers == [401, 401, 404]


@pytest.mark.parametrize(
    ("section", "module", "function"),
    [
        ("Reports API", "exporters/route_management/reports.py", "_refuse"),
        ("Alertmanager's webhook", "alert_bridge/webhook.py", "_error"),
    ],
)
def test_every_status_is_documented(section: str, module: str, function: str) -> None:
    documented = {int(row[0]) for row in pages.rows("http.md", section) if row[0].isdecimal()}
    assert documented == code.statuses(module, (function,)) | {200}


def _flags(parser: argparse.ArgumentParser, command: str) -> Iterator[tuple[str, str]]:
    """Yield (command, flag or argument) of a parser and the commands below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _flags(below, f"{command} {name}")
        elif not isinstance(action, argparse._HelpAction):
            yield command, (action.option_strings or [action.dest])[-1]


def _documented_flags() -> Iterator[tuple[str, str]]:
    command = ""
    for row in pages.rows("configuration.md", "Commands and their flags"):
        command = row[0].strip("`") or command
        yield command, row[1].strip("`")


def _client_flags() -> set[tuple[str, str]]:
    """Return the client's: its parser makes the flags of the command that is asked for alone."""
    commands = {command.split()[-1] for command, _ in _documented_flags() if command.startswith("gateway-client ")}
    found = {pair for command in commands for pair in _flags(client_parser(command), "gateway-client")}
    (actions,) = (a for a in client_parser("")._actions if isinstance(a, argparse._SubParsersAction))
    assert commands == set(actions.choices)
    return found


def test_every_flag_of_every_command_is_documented_and_no_other() -> None:
    known = [pair for name, parser in PARSERS.items() for pair in _flags(parser(), name)] + list(_client_flags())
    assert sorted(_documented_flags()) == sorted(known)


def _marks(file: Path) -> str:
    return str(file.relative_to(code.SOURCE))


@pytest.mark.parametrize("file", pages.tracked(), ids=_marks)
def test_relative_links_lead_somewhere(file: Path) -> None:
    broken = []
    for link in pages.links(file):
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        if not target.exists() or (anchor and anchor not in pages.anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    docs = code.SOURCE / "docs"
    listed = {(docs / link).resolve() for link in pages.links(docs / "README.md")}
    written = {file for file in pages.tracked() if file.parent == docs and file.name != "README.md"}
    assert written - listed == set()
