"""The tick: userdb's facts as series. Windows by the database's clock, strangers' words folded, nothing stale."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from prometheus_client import CollectorRegistry, generate_latest

from alert_bridge.tick import Tick, read
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import until
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import AlertPolicy, Channel, MonitorEvent, Notification, Tenant
from userdb.router import alias

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


STEPS = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True)
def alpha(vendor: str) -> Tenant:
    return Tenant.objects.create(name="alpha")


def event(seconds_ago: float = 1, late: float = 0, **fields: Any) -> None:
    """Keep one event, received so many seconds ago, that happened `late` seconds before its receipt."""
    received = clock.now() - timedelta(seconds=seconds_ago)
    given = {"tenant": "alpha", "event_type": "gateway", "failure_type": "timeout", "message": "it failed"} | fields
    MonitorEvent.objects.create(received_at=received, occurred_at=received - timedelta(seconds=late), **given)


def lines(tick: Tick, name: str) -> dict[str, float]:
    """Return the series of one metric: labels as text -> value."""
    registry = CollectorRegistry()
    registry.register(tick)
    found = {}
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith((f"{name} ", f"{name}{{")):
            series, value = line.rsplit(" ", 1)
            found[series.removeprefix(name)] = float(value)
    return found


def ticked() -> Tick:
    """Return a tick that has read once. `step` drops connections that are inside a test's transaction, `read` does not."""
    return Tick(facts=read())


def windows(tick: Tick) -> dict[str, float]:
    """Return {window: count}, whatever the other labels."""
    counts: dict[str, float] = {}
    for series, value in lines(tick, "mission_recent_events").items():
        window = series.rpartition('window="')[2].rstrip('"}')
        counts[window] = counts.get(window, 0) + value
    return counts


@pytest.mark.parametrize(
    ("seconds_ago", "expected"),
    [
        (1, {"1m": 1, "5m": 1, "1h": 1}),
        (57, {"1m": 1, "5m": 1, "1h": 1}),
        (63, {"5m": 1, "1h": 1}),
        (297, {"5m": 1, "1h": 1}),
        (303, {"1h": 1}),
        (3597, {"1h": 1}),
        (3603, {}),
    ],
)
def test_an_event_is_in_the_windows_within_which_it_was_received(seconds_ago: float, expected: dict[str, int]) -> None:
    event(seconds_ago)
    assert windows(ticked()) == expected


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (-3600, {"1m": 1, "5m": 1, "1h": 1}),
        (59, {"1m": 1, "5m": 1, "1h": 1}),
        (61, {"5m": 1, "1h": 1}),
        (301, {"1h": 1}),
        (3601, {}),
    ],
)
def test_a_window_leaves_out_what_happened_longer_ago_than_itself(late: float, expected: dict[str, int]) -> None:
    event(late=late)
    assert windows(ticked()) == expected


def test_a_row_written_by_plain_sql_with_the_platforms_columns_counts_at_once() -> None:
    with connections[alias()].cursor() as cursor:
        cursor.execute(
            "INSERT INTO userdb_monitorevent (event_type, source, level, message, detail) "
            "VALUES ('container', 'monitoring', 'critical', 'gone', NULL)"
        )
    series = lines(ticked(), "mission_recent_events")
    assert len(series) == 3
    for part in ('tenant="unknown"', 'event_type="container"', 'failure_type=""', 'level="critical"'):
        assert all(part in labels for labels in series)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"tenant": "Alpha"}, 'tenant="unknown"'),
        ({"tenant": "beta"}, 'tenant="unknown"'),
        ({"event_type": "exotic"}, 'event_type="custom"'),
        ({"failure_type": "evil-0815"}, 'failure_type="other"'),
        ({"failure_type": ""}, 'failure_type=""'),
        ({"level": "fatal"}, 'level="error"'),
    ],
)
def test_a_word_of_no_closed_set_is_folded_and_counted_with_its_like(given: dict[str, str], shown: str) -> None:
    event(**given)
    event(**given)
    event(level="info")
    series = lines(ticked(), "mission_recent_events")
    assert [value for labels, value in series.items() if shown in labels and 'window="1m"' in labels] == [2]
    assert not any(word in labels for labels in series for word in ("Alpha", "beta", "exotic", "evil", "fatal"))


def test_two_unknown_words_are_one_series() -> None:
    event(failure_type="evil-1")
    event(failure_type="evil-2")
    series = lines(ticked(), "mission_recent_events")
    assert [value for labels, value in series.items() if 'window="1m"' in labels] == [2]


def test_without_events_there_is_no_series() -> None:
    assert lines(ticked(), "mission_recent_events") == {}


@STEPS
def test_a_late_event_is_counted_once_under_its_tenants_name() -> None:
    tick = Tick()
    tick.step()
    # lateness is counted 10 s after the receipt, when the row is surely committed: the rows are moved there, as time does
    event(9.8, late=301)
    event(9.8, late=299)
    event(9.8, late=301, tenant="evil-0815")
    event(11, late=9_999)  # received before this process began: not its to count
    none = {'{tenant="alpha"}': 0, '{tenant="unknown"}': 0}
    counts = [lines(tick, "mission_late_events_total")]
    until(lambda: tick.step() or lines(tick, "mission_late_events_total") != none)
    for _ in range(2):
        tick.step()
        counts.append(lines(tick, "mission_late_events_total"))
    assert counts == [none, *[{'{tenant="alpha"}': 1, '{tenant="unknown"}': 1}] * 2]


def test_thresholds_are_those_of_userdb() -> None:
    AlertPolicy.objects.all().delete()
    AlertPolicy.objects.create(policy="repeated_failures", tenant="*", threshold=3)
    AlertPolicy.objects.create(policy="repeated_failures", tenant="alpha", threshold=2.5)
    assert lines(ticked(), "mission_policy_threshold") == {
        '{policy="repeated_failures",tenant="*"}': 3,
        '{policy="repeated_failures",tenant="alpha"}': 2.5,
    }
    AlertPolicy.objects.filter(tenant="alpha").update(threshold=9)
    assert lines(ticked(), "mission_policy_threshold")['{policy="repeated_failures",tenant="alpha"}'] == 9


def test_tenants_are_those_that_may_report() -> None:
    Tenant.objects.create(name="beta", enabled=False)
    assert lines(ticked(), "mission_tenant_info") == {'{tenant="alpha"}': 1}


def test_a_switched_off_tenants_events_stay_its_own() -> None:
    event()
    Tenant.objects.update(enabled=False)
    assert all('tenant="alpha"' in labels for labels in lines(ticked(), "mission_recent_events"))


def test_the_outbox_is_counted_for_each_channel(post: Post, mail: Channel) -> None:
    Channel.objects.create(name="idle", kind="email", matchers="tenant=beta")
    post(firing("a1"), firing("b2"), firing("c3"), firing("d4"))
    post(resolved("a1"))
    rows = list(Notification.objects.order_by("id"))
    for row, state in zip(rows, ["delivered", "dead", "sending", "owed"], strict=False):
        Notification.objects.filter(pk=row.pk).update(state=state)
    earlier = clock.now() - timedelta(seconds=100)
    Notification.objects.filter(state="owed").update(first_due_at=earlier)
    tick = ticked()
    assert lines(tick, "mission_outbox_pending") == {'{channel="idle"}': 0, '{channel="mail"}': 3}
    assert lines(tick, "mission_outbox_dead") == {'{channel="idle"}': 0, '{channel="mail"}': 1}
    oldest = lines(tick, "mission_outbox_oldest_seconds")
    assert oldest['{channel="idle"}'] == 0
    assert oldest['{channel="mail"}'] == pytest.approx(100, abs=3)


def test_two_replicas_that_read_at_the_same_time_agree(post: Post, mail: Channel) -> None:
    event()
    event(30)
    post(firing())
    one, other = ticked(), ticked()
    assert one.facts is not None
    assert other.facts is not None
    assert (one.facts.events, one.facts.thresholds, one.facts.tenants) == (
        other.facts.events, other.facts.thresholds, other.facts.tenants,
    )  # fmt: skip


@STEPS
def test_three_failed_ticks_drop_the_series_and_a_good_one_brings_them_back() -> None:
    event()
    AlertPolicy.objects.create(policy="repeated_failures", threshold=3)
    tick = Tick()
    tick.step()
    assert lines(tick, "mission_policies_loaded") == {"": 1}
    rename("userdb_tenant", "away")
    try:
        for loaded in (1, 1, 0, 0):
            tick.step()
            assert lines(tick, "mission_policies_loaded") == {"": loaded}
            assert bool(lines(tick, "mission_recent_events")) is bool(loaded)
            assert bool(lines(tick, "mission_policy_threshold")) is bool(loaded)
    finally:
        rename("away", "userdb_tenant")
    tick.step()
    assert lines(tick, "mission_policies_loaded") == {"": 1}
    assert lines(tick, "mission_recent_events") != {}


def rename(old: str, new: str) -> None:
    with connections[alias()].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_before_the_first_tick_nothing_is_claimed() -> None:
    assert lines(Tick(), "mission_policies_loaded") == {"": 0}
    assert lines(Tick(), "mission_recent_events") == {}


@pytest.mark.parametrize("rows", [1, 200])
def test_a_ticks_statements_do_not_grow_with_the_rows(
    post: Post, mail: Channel, rows: int, django_assert_max_num_queries: Any
) -> None:
    for number in range(rows):
        event(tenant=f"t{number}", failure_type=f"f{number}")
    post(*(firing(f"{number:x}") for number in range(rows)))
    with django_assert_max_num_queries(8, using=alias()):
        ticked()


def test_the_windows_do_not_depend_on_the_zone_of_server_or_site(settings: Any) -> None:
    assert settings.TIME_ZONE == "Asia/Shanghai"
    if connections[alias()].vendor == "mysql":
        with connections[alias()].cursor() as cursor:
            cursor.execute("SELECT @@global.time_zone")
            assert cursor.fetchone()[0] == "+08:00"
    MonitorEvent.objects.create(event_type="gateway", message="now, by the database's own default", tenant="alpha")
    assert windows(ticked()) == {"1m": 1, "5m": 1, "1h": 1}
