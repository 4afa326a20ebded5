"""The routing on paper: amtool's verdict, and what the bridge relies on."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from alert_bridge import conditions
from local.programs import find
from tests.alertmanager.routes import BRIDGE, CONFIGURATION, DIRECT, ROUTES, Route, configuration
from tests.prometheus.rule_files import ROOT, Rule, alerts, scrape_jobs

INHIBITIONS: Any = configuration()["inhibit_rules"]


def names(matchers: Iterable[str], label: str = "alertname") -> list[str]:
    """Return the names that matchers of this label let through."""
    own = [re.fullmatch(rf'{label}=~?"(.*)"', matcher) for matcher in matchers]
    return [name for match in own if match for name in match[1].split("|")]


def receiver(name: str) -> Any:
    receivers: Any = configuration()["receivers"]
    (found,) = (one for one in receivers if one["name"] == name)
    return found


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([find("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.chain
def test_amtool_accepts_it() -> None:
    done = amtool("check-config", str(CONFIGURATION))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.chain
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_alert_goes_to_the_bridge_once_and_what_the_bridge_cant_tell_goes_out_directly_too(route: Route) -> None:
    labels = [f"{name}={value}" for name, value in route.labels.items()]
    expected = f"--verify.receivers={','.join(route.receivers)}"
    done = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", expected, *labels)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_of_the_rules_has_its_example() -> None:
    assert {route.labels["alertname"] for route in ROUTES} == {rule.name for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=str)
def test_an_example_carries_the_rules_own_labels(rule: Rule) -> None:
    examples = [route.labels for route in ROUTES if route.labels["alertname"] == rule.name]
    assert all(rule.body["labels"].items() <= labels.items() for labels in examples)


def test_an_inhibition_names_only_alerts_that_exist() -> None:
    named = {
        name for rule in INHIBITIONS for side in ("source_matchers", "target_matchers") for name in names(rule[side])
    }
    assert named <= {rule.name for rule in alerts()}


def test_a_route_names_only_alerts_and_jobs_that_exist() -> None:
    routes: Any = configuration()["route"]
    matchers = [matcher for route in routes["routes"] for matcher in route["matchers"]]
    assert set(names(matchers)) <= {rule.name for rule in alerts()}
    assert set(names(matchers, "job")) <= set(scrape_jobs())


@pytest.mark.parametrize("rule", INHIBITIONS, ids=lambda rule: rule["source_matchers"][0])
def test_a_cause_with_a_tenant_says_so_and_reaches_no_further_than_its_own(rule: Any) -> None:
    # a label that both sides lack counts as equal: a cause without a tenant would silence every effect without one
    if "tenant" in rule.get("equal", []):
        assert 'tenant!=""' in rule["source_matchers"]
    else:
        (jobs,) = (set(names([matcher], "job")) for matcher in rule["source_matchers"] if matcher.startswith("job"))
        assert "gateway-client" not in jobs


def test_no_alert_is_inhibited_by_itself() -> None:
    for rule in INHIBITIONS:
        assert not set(names(rule["source_matchers"])) & set(names(rule["target_matchers"]))


def test_the_bridge_is_told_everything_whole_and_without_a_redirect() -> None:
    (webhook,) = receiver(BRIDGE)["webhook_configs"]
    assert webhook["send_resolved"] is True
    assert webhook["max_alerts"] == 0
    assert webhook["http_config"]["follow_redirects"] is False
    assert webhook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "webhook.token"}


def test_the_url_stands_in_one_place_and_holds_no_secret() -> None:
    text = CONFIGURATION.read_text()
    assert text.count("- url: ") == 1
    assert "password: " not in text
    assert set(re.findall(r"\S+@\S+", text)) == {"alertmanager@example.com", "platform-admins@example.com"}


def test_the_direct_mail_tells_the_end_and_where_to_look() -> None:
    (mail,) = receiver(DIRECT)["email_configs"]
    assert mail["send_resolved"] is True
    for word in (".Annotations.summary", ".Annotations.description", ".Annotations.runbook_url", ".Status"):
        assert word in mail["text"]


def test_the_pulse_comes_at_least_twice_within_the_time_that_the_bridge_waits_for_it() -> None:
    assert timedelta(minutes=1) <= conditions.watchdog_timeout() / 2


def intervals(route: Any) -> Iterator[int]:
    """Yield every group_interval in seconds."""
    if "group_interval" in route:
        number, unit = re.fullmatch(r"(\d+)([sm])", route["group_interval"]).groups()  # type: ignore[union-attr]
        yield int(number) * {"s": 1, "m": 60}[unit]
    for below in route.get("routes", []):
        yield from intervals(below)


@pytest.mark.parametrize(
    "place", ["docker-compose.yml", "pods_yaml/monitoring/alertmanager.yaml", "docs/alertmanager.md"]
)
def test_a_peer_waits_for_the_other_one_for_less_than_any_group_interval(place: str) -> None:
    # longer, and each end is followed by the other peer's old firing; shorter than an answer of the bridge (6 s), and
    # everything is told twice
    waits = [int(seconds) for seconds in re.findall(r"--cluster.peer-timeout=(\d+)s", (ROOT / place).read_text())]
    assert waits
    assert all(6 < wait < min(intervals(configuration()["route"])) for wait in waits)


def test_it_repeats_every_hour_and_the_watchdog_every_minute() -> None:
    route: Any = configuration()["route"]
    assert route["repeat_interval"] == "1h"
    (pulse,) = (below for below in route["routes"] if below["matchers"] == ['alertname="Watchdog"'])
    # a repeat goes out at the first multiple of group_interval after repeat_interval: at 60 s, not at 90 s
    assert (pulse["group_interval"], pulse["repeat_interval"]) == ("30s", "50s")
