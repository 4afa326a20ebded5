"""The preview of a threshold, asked of a real Prometheus that was given yesterday's series, and its page."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alert_bridge.previews import PreviewError, asked, preview
from local.programs import find
from runtime.closed_sets import POLICIES
from tests.mariadb import free_port
from tests.prometheus.real_prometheus import Prometheus, running
from tests.prometheus.rule_files import alerts
from userdb.models import AlertPolicy, AuditEntry, Tenant

real = pytest.mark.chain
"""Against a real Prometheus."""

_MINUTES = 24 * 60
Peaks = dict[int, tuple[int, float]]
"""So many minutes ago began: so many minutes of this value."""

KNOWN = "policy:mission_policy_threshold:known"
FAILURES = "tenant_type:mission_failures:count5m"
RATIO = "container:mission_usage:ratio"


def _samples(name: str, labels: str, peaks: Peaks, base: float = 0.0, since: int = _MINUTES) -> Iterator[str]:
    """Yield a series with one sample a minute until now."""
    now = int(time.time()) // 60 * 60
    values = dict.fromkeys(range(since, -1, -1), base)
    for begin, (length, value) in peaks.items():
        values |= {begin - n: value for n in range(length)}
    for minute, value in values.items():
        yield f"{name}{{{labels}}} {value} {now - minute * 60}"


def _series() -> Iterator[str]:
    yield f"# TYPE {KNOWN} gauge"
    for policy in POLICIES:
        since = 120 if policy == "failing_share" else _MINUTES
        yield from _samples(KNOWN, f'policy="{policy}",tenant="*"', {}, 3.0, since)
    yield from _samples(KNOWN, 'policy="repeated_failures",tenant="beta"', {}, 8.0)
    yield f"# TYPE {FAILURES} gauge"
    alpha = {1300: (6, 5.0), 900: (5, 2.0), 400: (7, 3.0)}
    yield from _samples(FAILURES, 'tenant="alpha",failure_type="timeout"', alpha)
    yield from _samples(FAILURES, 'tenant="beta",failure_type="signal"', {700: (5, 10.0)})
    yield from _samples(FAILURES, 'tenant="gamma",failure_type="signal"', {3: (4, 2.5)})
    yield f"# TYPE {RATIO} gauge"
    memory = 'tenant="alpha",namespace="alpha",pod="sim-0",container="solver",resource="memory"'
    yield from _samples(RATIO, memory, {1000: (3, 0.95), 500: (1, 0.95)}, 0.2)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the shipped rules, whose disk holds the series above."""
    folder = tmp_path_factory.mktemp("previews")
    (folder / "series").write_text("\n".join([*_series(), "# EOF", ""]))
    command = [
        find("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(folder / "series"),
        str(folder / "data"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with running(folder) as started:
        yield started


@pytest.fixture
def asks(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", f"http://127.0.0.1:{prometheus.port}")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address at which nobody listens, with a password in it."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PROMETHEUS_URL", f"http://ada:hunter2@{address}")
    return address


@real
@pytest.mark.parametrize(
    ("threshold", "tenants"),
    [
        (2.0, (("alpha", 3), ("gamma", 1))),
        (3.0, (("alpha", 2),)),
        (4.0, (("alpha", 1),)),
        (5.5, ()),
    ],
)
def test_for_all_each_stretch_at_or_above_the_threshold_counts_but_of_those_with_their_own(
    asks: None, threshold: float, tenants: Any
) -> None:
    found = preview("repeated_failures", "*", threshold)
    assert (found.alertname, found.tenants) == ("RepeatedFailures", tenants)
    assert found.times == sum(times for _, times in tenants)


@real
@pytest.mark.parametrize(("threshold", "times"), [(10.0, 1), (10.5, 0)])
def test_for_one_tenant_its_own_series_alone_count_whatever_its_threshold_is_now(
    asks: None, threshold: float, times: int
) -> None:
    assert preview("repeated_failures", "beta", threshold).tenants == ((("beta", 1),) if times else ())


@real
def test_what_lasted_shorter_than_the_rule_waits_does_not_count(asks: None) -> None:
    assert preview("container_memory", "*", 0.9).tenants == (("alpha", 1),)


@real
def test_it_says_how_many_would_be_firing_now(asks: None) -> None:
    assert preview("repeated_failures", "*", 2.0).now == 1
    assert preview("repeated_failures", "*", 3.0).now == 0


@real
def test_it_says_since_when_prometheus_knows(asks: None) -> None:
    since = preview("failing_share", "*", 1.0).since
    assert since is not None
    assert 110 * 60 < time.time() - since.timestamp() < 130 * 60
    assert preview("repeated_failures", "*", 3.0).since is None


@real
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_has_an_alert_that_can_be_asked(asks: None, policy: str) -> None:
    (rule,) = (rule for rule in alerts() if rule.body["labels"].get("policy") == policy)
    for tenant in ("*", "alpha"):
        assert preview(policy, tenant, 1e9).alertname == rule.name


@real
def test_a_policy_without_a_rule_is_a_clear_sentence(asks: None) -> None:
    with pytest.raises(PreviewError, match="Prometheus runs no alert that compares with the threshold of unheard_of"):
        preview("unheard_of", "*", 1.0)


Answers = dict[str, tuple[int, bytes, int]]
"""Path's last part: status, body, and the length that is announced (0: the body's own)."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Something that speaks as Prometheus does, and says what the test wants."""
    rule = {
        "name": "A",
        "query": f'x >= on () {KNOWN}{{policy="p",tenant="*"}}',
        "duration": 0,
        "labels": {"policy": "p"},
    }
    said: Answers = {
        "rules": (200, json.dumps({"data": {"groups": [{"rules": [rule]}]}}).encode(), 0),
        "query": (200, b'{"data": {"result": [{"value": [0, "0"]}]}}', 0),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, length = said[self.path.partition("?")[0].rpartition("/")[2]]
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("PROMETHEUS_URL", f"http://127.0.0.1:{server.server_port}")
    yield said
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        ("query_range", (200, b"", 17 << 20), "So many alerts would have been firing nearly all the time"),
        ("query_range", (503, b'{"status": "error", "error": "query timed out"}', 0), "answers 503: query timed out"),
        ("query_range", (422, b'{"status": "error", "error": "too many samples"}', 0), "answers 422: too many samples"),
        ("rules", (200, b"<html>login</html>", 0), "no JSON: is this the right address?"),
        ("rules", (200, b"[]", 0), "does not answer as Prometheus does"),
        ("rules", (200, b'{"data": {"groups": []}}', 0), "are its rules loaded?"),
        ("query", (200, b'{"data": {"result": []}}', 0), "no thresholds of the last 24 hours yet"),
    ],
)
def test_whatever_prometheus_says_is_told_in_a_sentence(
    answers: Answers, path: str, answer: Any, sentence: str
) -> None:
    answers[path] = answer
    with pytest.raises(PreviewError) as error:
        preview("p", "*", 1.0)
    assert sentence in str(error.value)


def test_a_prometheus_that_is_away_is_a_clear_sentence_without_its_password(away: str) -> None:
    with pytest.raises(PreviewError) as error:
        preview("repeated_failures", "*", 3.0)
    assert str(error.value).startswith(
        f"Prometheus could not be asked, so there is no preview: http://{away} does not answer"
    )
    assert "hunter2" not in str(error.value)


def test_an_address_that_is_none_is_a_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", "prometheus:9090")
    with pytest.raises(PreviewError, match="PROMETHEUS_URL: write http://host:9090"):
        preview("repeated_failures", "*", 3.0)


@pytest.mark.parametrize("rule", [rule for rule in alerts() if "policy" in rule.body["labels"]], ids=str)
@pytest.mark.parametrize("tenant", ["*", "alpha"])
def test_the_threshold_takes_the_place_of_the_one_in_force_wherever_it_stands(rule: Any, tenant: str) -> None:
    policy = rule.body["labels"]["policy"]
    operator = "=" if tenant == "*" else "!="
    in_force = re.compile(rf'{KNOWN}\{{policy="{policy}", tenant{operator}"\*"\}}')
    places = len(in_force.findall(rule.expression))
    assert places
    text = asked(rule.expression, policy, tenant, 7.5)
    assert text.count("vector(7.5)") == places
    # for all, those with a threshold of their own are taken out by it
    assert len(in_force.findall(text)) == 0


def test_the_thresholds_of_other_policies_stay_in_force() -> None:
    query = f'x >= on () {KNOWN}{{policy="a",tenant="*"}} and y >= on () {KNOWN}{{policy="b",tenant="*"}}'
    assert f'(x >= on () vector(2.0) and y >= on () {KNOWN}{{policy="b",tenant="*"}})' in asked(query, "a", "*", 2.0)


@pytest.fixture
def admin(client: Client, vendor: str, away: str) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    Tenant.objects.create(name="alpha")
    return client


def _form(**values: str) -> dict[str, str]:
    return {
        "policy": "repeated_failures",
        "tenant": "alpha",
        "threshold": "2",
        "note": "",
        "_preview": "Preview",
    } | values


@pytest.mark.django_db(databases="__all__")
def test_the_page_says_why_there_is_no_preview_and_keeps_what_was_typed(admin: Client) -> None:
    page = admin.post(reverse("admin:userdb_alertpolicy_add"), _form(threshold="2.75"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "Prometheus could not be asked, so there is no preview" in text
    assert "The threshold can be saved all the same." in text
    assert 'value="2.75"' in text


@pytest.mark.django_db(databases="__all__")
def test_a_preview_saves_nothing(admin: Client) -> None:
    policy = AlertPolicy.objects.create(policy="repeated_failures", tenant="alpha", threshold=3)
    page = admin.post(reverse("admin:userdb_alertpolicy_change", args=[policy.pk]), _form(threshold="9"))
    assert page.status_code == 200
    policy.refresh_from_db()
    assert (policy.threshold, AuditEntry.objects.count()) == (3, 0)


@pytest.mark.django_db(databases="__all__")
def test_what_is_wrong_in_the_form_is_said_at_its_field_and_nobody_is_asked(admin: Client) -> None:
    text = admin.post(reverse("admin:userdb_alertpolicy_add"), _form(tenant="nobody")).content.decode()
    assert "There is no tenant &#x27;nobody&#x27;" in text
    assert "Prometheus could not be asked" not in text


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("permission", ["view_alertpolicy", "change_alertpolicy", "add_alertpolicy"])
def test_who_may_edit_may_preview_and_nobody_else(client: Client, vendor: str, away: str, permission: str) -> None:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=permission))
    client.force_login(user)
    policy = AlertPolicy.objects.create(policy="repeated_failures", tenant="alpha", threshold=3)
    changed = client.post(reverse("admin:userdb_alertpolicy_change", args=[policy.pk]), _form())
    added = client.post(reverse("admin:userdb_alertpolicy_add"), _form())
    expected = {"view_alertpolicy": (403, 403), "change_alertpolicy": (200, 403), "add_alertpolicy": (403, 200)}
    assert (changed.status_code, added.status_code) == expected[permission]


@pytest.mark.django_db(databases="__all__")
def test_a_row_that_is_gone_is_not_found(admin: Client) -> None:
    assert admin.post(reverse("admin:userdb_alertpolicy_change", args=[4711]), _form()).status_code == 404


@real
@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(
    ("tenant", "threshold", "sentence"),
    [
        ("*", "3", "With a threshold of 3, RepeatedFailures would have fired twice in the last 24 h "
                   "for the tenants without a threshold of their own."),
        ("alpha", "2", "With a threshold of 2, RepeatedFailures would have fired 3 times in the last 24 h for alpha."),
        ("alpha", "50", "With a threshold of 50, RepeatedFailures would not have fired in the last 24 h for alpha."),
    ],
)  # fmt: skip
def test_the_page_says_how_often_it_would_have_fired(
    client: Client, vendor: str, asks: None, tenant: str, threshold: str, sentence: str
) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    Tenant.objects.create(name="alpha")
    AlertPolicy.objects.filter(policy="repeated_failures").delete()
    text = client.post(
        reverse("admin:userdb_alertpolicy_add"), _form(tenant=tenant, threshold=threshold)
    ).content.decode()
    assert sentence in text
    assert ("<td>alpha</td>" in text) == ("would have" in sentence and "not" not in sentence)


@pytest.mark.django_db(databases="__all__")
def test_who_may_only_look_sees_no_button(client: Client, vendor: str, away: str) -> None:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_alertpolicy"))
    client.force_login(user)
    policy = AlertPolicy.objects.create(policy="repeated_failures", tenant="alpha", threshold=3)
    text = client.get(reverse("admin:userdb_alertpolicy_change", args=[policy.pk])).content.decode()
    assert "_preview" not in text
    user.user_permissions.add(Permission.objects.get(codename="change_alertpolicy"))
    assert "_preview" in client.get(reverse("admin:userdb_alertpolicy_change", args=[policy.pk])).content.decode()
