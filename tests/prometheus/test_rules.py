"""The rules: promtool's own verdict, and what promtool lets pass."""

import subprocess
from pathlib import Path

import pytest

from alert_bridge import conditions
from local.programs import find
from runtime.closed_sets import EVENT_TYPES, FAILURE_TYPES, LEVELS, OUTCOMES, POLICIES
from tests.prometheus.promql import Matcher, selectors
from tests.prometheus.rule_files import (
    RULES,
    RUNBOOKS,
    TESTS,
    Rule,
    alerts,
    cases,
    document,
    every_rule,
    records,
    scrape_jobs,
)

RUNBOOK_URL = "https://github.com/mission-monitor/mission-monitor/blob/main/docs/runbooks/{}.md"
CLOSED_SETS = {
    "event_type": EVENT_TYPES, "failure_type": FAILURE_TYPES, "level": LEVELS, "outcome": OUTCOMES, "policy": POLICIES,
}  # fmt: skip
ALERTS = alerts()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [find("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.chain
def test_promtool_accepts_every_rule() -> None:
    done = promtool("check", "rules", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.chain
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_file_has_its_test_files_and_each_test_file_its_rules() -> None:
    # rules of one file may be tested in several: containers.test.yml, containers_held.test.yml
    assert {rules_of(path) for path in TESTS} == set(RULES)


def rules_of(path: Path) -> Path:
    """Return the rule file that a test file is named after."""
    stem = path.name.removesuffix(".test.yml").split("_")[0]
    return path.parent.parent / "rules" / f"{stem}.rules.yml"


def test_an_alerts_name_stands_once() -> None:
    names = [rule.name for rule in ALERTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_a_test_names_only_alerts_of_its_rules(path: Path) -> None:
    # promtool passes a negative case with a misspelt name
    named = {question["alertname"] for _, question in cases(path)}
    assert named
    assert named <= {rule.name for rule in ALERTS if rule.file == rules_of(path)}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_groups_run_in_the_order_of_the_file(path: Path) -> None:
    # promtool evaluates groups in no fixed order unless told
    loaded = [(path.parent / name).resolve() for name in document(path)["rule_files"]]
    assert rules_of(path) in loaded
    groups = [rule.group for file in loaded for rule in every_rule() if rule.file == file]
    assert document(path)["group_eval_order"] == list(dict.fromkeys(groups))


@pytest.mark.parametrize("rule", ALERTS, ids=str)
def test_each_alert_has_a_case_that_fires_and_one_just_below(rule: Rule) -> None:
    asked = [(test, q) for path in TESTS for test, q in cases(path) if q["alertname"] == rule.name]
    firing = [q for _, q in asked if q["exp_alerts"]]
    assert firing
    for question in firing:
        for alert in question["exp_alerts"]:
            assert set(alert["exp_annotations"]) == {"summary", "description", "runbook_url"}
    # in one and the same test, so that what differs is the value or the time
    quiet = [id(test) for test, q in asked if not q["exp_alerts"] and test["input_series"]]
    loud = [id(test) for test, q in asked if q["exp_alerts"] and test["input_series"]]
    assert rule.name == "Watchdog" or set(quiet) & set(loud)


@pytest.mark.parametrize("rule", ALERTS, ids=str)
def test_each_alert_has_a_case_without_data(rule: Rule) -> None:
    asked = [q for path in TESTS for test, q in cases(path) if q["alertname"] == rule.name and not test["input_series"]]
    assert asked


@pytest.mark.parametrize("rule", ALERTS, ids=str)
def test_each_alert_says_how_bad_it_is_and_where_its_runbook_stands(rule: Rule) -> None:
    assert rule.body["labels"]["severity"] in {*LEVELS, "none"}
    assert set(rule.body["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule.body["annotations"]["runbook_url"] == RUNBOOK_URL.format(rule.name)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    of_rules, of_the_bridge = {rule.name for rule in ALERTS}, {condition.alertname for condition in conditions.ALL}
    assert of_rules & of_the_bridge == set()
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == of_rules | of_the_bridge


@pytest.mark.parametrize("rule", ALERTS, ids=str)
def test_no_annotation_asks_a_query(rule: Rule) -> None:
    # 1.5 ms for each firing alert at each evaluation
    assert not [text for text in rule.body["annotations"].values() if "query" in text]


def jobs_named(matcher: Matcher) -> set[str] | None:
    """Return the jobs that a matcher lets through, None when it does not name them one by one."""
    if matcher.operator == "=":
        return {matcher.value}
    return set(matcher.value.split("|")) if matcher.operator == "=~" else None


@pytest.mark.parametrize("rule", every_rule(), ids=str)
def test_each_selector_names_its_job(rule: Rule) -> None:
    # a tenant's own /metrics may expose any name; only what comes from the job is believed
    for selector in selectors(rule.expression):
        if selector.metric in records():
            assert not selector.matchers_of("job"), selector
            continue
        if selector.metric == "ALERTS":
            # what holds an alert while its source is blind; no scrape job may bring this name
            assert [m.value for m in selector.matchers_of("alertname")] == [rule.name], selector
            continue
        named = [jobs_named(matcher) for matcher in selector.matchers_of("job")]
        assert len(named) == 1, selector
        assert named[0], selector
        assert named[0] <= set(scrape_jobs()), selector


def test_a_record_is_named_so_that_no_metric_can_be_taken_for_it() -> None:
    assert all(":" in name for name in records())


@pytest.mark.parametrize("rule", every_rule(), ids=str)
def test_a_closed_sets_label_is_compared_with_its_members_alone(rule: Rule) -> None:
    for selector in selectors(rule.expression):
        for label, members in CLOSED_SETS.items():
            for matcher in selector.matchers_of(label):
                assert set(matcher.value.split("|")) <= set(members), matcher


def test_every_policy_has_a_builtin_and_a_rule_that_compares_with_it() -> None:
    builtin = "policy:mission_policy_threshold:builtin"
    known = "policy:mission_policy_threshold:known"
    assert [rule.body["labels"]["policy"] for rule in every_rule() if rule.name == builtin] == list(POLICIES)
    for rule in ALERTS:
        compared = {m.value for s in selectors(rule.expression) if s.metric == known for m in s.matchers_of("policy")}
        own = rule.body["labels"].get("policy")
        assert compared == ({own} if own else set()), rule


def test_an_alert_outside_the_group_of_the_thresholds_waits_before_it_fires() -> None:
    # groups run side by side: its threshold may be an evaluation old, and at first the builtin
    outside = [rule for rule in ALERTS if "policy" in rule.body["labels"] and rule.group != "policies"]
    assert outside
    assert [str(rule) for rule in outside if "for" not in rule.body] == []


def test_what_fires_without_delay_is_evaluated_at_each_scrape() -> None:
    slow = {group["name"] for path in RULES for group in document(path)["groups"] if "interval" in group}
    assert slow == {"runs", "usage", "trends", "clients", "clients-windows"}
    assert [str(rule) for rule in ALERTS if rule.group in slow and rule.body["labels"]["severity"] == "critical"] == []


def test_target_down_watches_every_job() -> None:
    (rule,) = (rule for rule in ALERTS if rule.name == "TargetDown")
    (selector,) = selectors(rule.expression)
    assert jobs_named(selector.matchers_of("job")[0]) == set(scrape_jobs())
