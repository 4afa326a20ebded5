"""The routing on paper: amtool's verdict, and what the bridge relies on."""

import subprocess
from typing import Any

import pytest

from local.programs import find
from tests.alertmanager.routes import CONFIGURATION, ROUTES, Route, configuration
from tests.prometheus.rule_files import Rule, alerts


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([find("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.chain
def test_amtool_accepts_it() -> None:
    done = amtool("check-config", str(CONFIGURATION))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.chain
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_alert_goes_to_the_bridge_once(route: Route) -> None:
    labels = [f"{name}={value}" for name, value in route.labels.items()]
    done = amtool(
        "config", "routes", "test", f"--config.file={CONFIGURATION}", "--verify.receivers=alert-bridge", *labels
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_of_the_rules_has_its_example() -> None:
    assert {route.labels["alertname"] for route in ROUTES} == {rule.name for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=str)
def test_an_example_carries_the_rules_own_labels(rule: Rule) -> None:
    examples = [route.labels for route in ROUTES if route.labels["alertname"] == rule.name]
    assert all(rule.body["labels"].items() <= labels.items() for labels in examples)


def test_an_inhibition_names_only_alerts_that_exist() -> None:
    rules: Any = configuration()["inhibit_rules"]
    matchers = [m for rule in rules for m in [*rule["source_matchers"], *rule["target_matchers"]] if "alertname" in m]
    named = {name for matcher in matchers for name in matcher.split('"')[1].split("|")}
    assert named <= {rule.name for rule in alerts()}


def test_the_bridge_is_told_everything_whole_and_without_a_redirect() -> None:
    receivers: Any = configuration()["receivers"]
    (receiver,) = receivers
    (webhook,) = receiver["webhook_configs"]
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] == 0
    assert webhook["http_config"]["follow_redirects"] is False
    assert webhook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "webhook.token"}


def test_the_url_stands_in_one_place_and_holds_no_secret() -> None:
    text = CONFIGURATION.read_text()
    assert text.count("url: ") == 1
    assert "@" not in text


def test_it_repeats_every_hour_and_the_watchdog_every_minute() -> None:
    route: Any = configuration()["route"]
    assert route["repeat_interval"] == "1h"
    (pulse,) = (below for below in route["routes"] if below["matchers"] == ['alertname="Watchdog"'])
    # a repeat goes out at the first multiple of group_interval after repeat_interval: at 60 s, not at 90 s
    assert (pulse["group_interval"], pulse["repeat_interval"]) == ("30s", "50s")
