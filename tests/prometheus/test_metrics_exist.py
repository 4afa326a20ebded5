"""Each metric that a rule asks for is one that somebody exposes: a misspelt name is an alert that never fires."""

import http.client
import re
from pathlib import Path

import pytest

from tests.alertmanager import test_real_alertmanager as alertmanagers
from tests.alertmanager.routes import configuration
from tests.docs import pages
from tests.mariadb import free_port
from tests.prometheus.promql import selectors
from tests.prometheus.real_prometheus import running
from tests.prometheus.rule_files import ROOT, Rule, every_rule, records

OF_EACH_SCRAPE = {"up", "scrape_series_added", "scrape_samples_post_metric_relabeling", "ALERTS"}
"""What Prometheus itself writes beside what it scrapes."""


def asked(rule: Rule) -> set[str]:
    """Return the metrics that a rule selects, records left out, a histogram's parts under its own name."""
    found = {selector.metric for selector in selectors(rule.expression)} - records() - OF_EACH_SCRAPE
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name.startswith("mission_") else name for name in found}


def names(port: int) -> set[str]:
    """Return the families that a process exposes at /metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def with_prefix(prefix: str) -> set[str]:
    return {name for rule in every_rule() for name in asked(rule) if name.startswith(prefix)}


@pytest.mark.parametrize("rule", every_rule(), ids=str)
def test_a_rule_asks_only_for_metrics_that_are_documented_or_of_a_program_that_is_known(rule: Rule) -> None:
    # tests/docs compares the documents with the code
    ours = {word for row in pages.rows("metrics.md") for word in pages.words(row[0])}
    pods = set(re.findall(r"\bkube_pod_\w+", (ROOT / "docs" / "pod-exporter.md").read_text()))
    others = {name for name in asked(rule) - ours - pods if not name.startswith(("prometheus_", "alertmanager_"))}
    assert others == set()


@pytest.mark.chain
def test_prometheus_exposes_what_the_rules_ask_of_it(tmp_path: Path) -> None:
    expected = with_prefix("prometheus_")
    assert len(expected) > 3
    with running(tmp_path) as prometheus:
        # what it counts of an Alertmanager is there once it knows one
        prometheus.scrape("alertmanager", "127.0.0.1:1", {})
        prometheus.until(lambda: expected <= names(prometheus.port))


@pytest.mark.chain
def test_alertmanager_exposes_what_the_rules_ask_of_it(tmp_path: Path) -> None:
    expected = with_prefix("alertmanager_")
    assert len(expected) > 1
    with alertmanagers.running(tmp_path, configuration(), smtp_port=free_port()) as alertmanager:
        assert expected - names(alertmanager.port) == set()
