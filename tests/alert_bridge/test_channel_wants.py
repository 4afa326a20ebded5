"""Which alerts a channel is owed beside its matchers: its tenants', and in quiet hours what waits until they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from alert_bridge import claims, tick
from alert_bridge.relay import Relay
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import receiver
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


def owed() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("id").values_list("identity__tenant", "kind"))


def test_a_channel_of_some_tenants_is_owed_theirs_alone(post: Post, mail: Channel) -> None:
    Channel.objects.update(tenants=["alpha", "gamma"])
    post(firing("a1"), firing("b2", tenant="beta"), firing("c3", tenant="gamma"), firing("d4", tenant=""))
    assert owed() == [("alpha", "firing"), ("gamma", "firing")]


def test_a_tenants_name_is_compared_as_the_identity_keeps_it(post: Post, mail: Channel) -> None:
    Channel.objects.update(tenants=["alpha"])
    post(firing("a1", tenant=" alpha "), firing("b2", tenant="Alpha"))
    assert owed() == [("alpha", "firing")]


def test_tenants_and_matchers_must_both_agree(post: Post, mail: Channel) -> None:
    Channel.objects.update(tenants=["alpha"], matchers="severity=critical")
    post(firing("a1"), firing("b2", tenant="beta", severity="critical"), firing("c3", severity="critical"))
    assert Notification.objects.get().identity_id == "c3"


def quiet(**more: Any) -> datetime:
    """Make it quiet from an hour ago on, in UTC; return until when."""
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(hours=2)
    start = (now - timedelta(hours=1)).time()
    Channel.objects.update(quiet_start=start, quiet_end=end.time(), quiet_zone="UTC", **more)
    return end


def test_what_is_owed_in_quiet_hours_waits_until_they_end(post: Post, mail: Channel) -> None:
    end = quiet()
    post(firing())
    row = Notification.objects.get()
    assert (row.state, row.due_at) == ("owed", end)
    assert claims.take(mail.pk) == []


def test_the_end_waits_behind_its_firing_and_both_come_in_their_order(post: Post, mail: Channel) -> None:
    quiet()
    post(firing())
    post(resolved())
    Notification.objects.update(due_at=clock.now())
    assert [claim.notification for claim in claims.take(mail.pk)] == [Notification.objects.earliest("pk").pk]


def test_outside_quiet_hours_it_is_due_at_once(post: Post, mail: Channel) -> None:
    now = datetime.now(UTC)
    Channel.objects.update(quiet_start=(now + timedelta(hours=2)).time(), quiet_end=(now + timedelta(hours=3)).time())
    post(firing())
    assert len(claims.take(mail.pk)) == 1


def test_what_is_critical_passes_if_the_channel_says_so(post: Post, mail: Channel) -> None:
    quiet()
    post(firing(severity="critical"))
    assert len(claims.take(mail.pk)) == 1


def test_what_is_critical_waits_too_if_the_channel_says_so(post: Post, mail: Channel) -> None:
    quiet(quiet_critical=False)
    post(firing(severity="critical"))
    assert claims.take(mail.pk) == []


def test_what_waits_for_the_morning_is_not_old(post: Post, mail: Channel) -> None:
    quiet()
    post(firing())
    Notification.objects.update(created_at=clock.now() - timedelta(hours=1))
    assert tick.read().outbox["mail"] == (1, 0.0, 0)


def test_the_hours_that_it_waited_for_the_morning_are_no_delay(post: Post, hook: Channel) -> None:
    def seconds() -> float:
        return REGISTRY.get_sample_value("mission_notification_delay_seconds_sum", {"channel": "hook"}) or 0.0

    before, now = seconds(), clock.now()
    with receiver() as server:
        hook.secrets = {"url": server.url, "secret": "s3cret"}
        hook.save()
        post(firing(severity="critical"))
        earlier = now - timedelta(hours=8)
        Notification.objects.update(created_at=earlier, cause_at=earlier, due_at=now)
        assert Relay().deliver_due(hook) == 1
    assert seconds() - before < 60


COMMON = {"name": "hook", "enabled": "on", "language": "zh", "quiet_zone": "UTC", "setting_url": "https://h.example/x"}


def form(client: Client, **more: str) -> Any:
    return client.post("/admin/userdb/channel/add/?kind=webhook", COMMON | {"setting_secret": "s3cret"} | more)


def test_the_page_takes_tenants_and_quiet_hours(admin_client: Client) -> None:
    form(admin_client, tenants="alpha, beta, alpha", quiet_start="22:00", quiet_end="07:00", quiet_zone="Asia/Shanghai")
    made = Channel.objects.get()
    assert (made.tenants, made.language, made.quiet_zone) == (["alpha", "beta"], "zh", "Asia/Shanghai")
    assert str(made.quiet_end) == "07:00:00"
    page = admin_client.get(f"/admin/userdb/channel/{made.pk}/change/").content.decode()
    assert 'value="alpha, beta"' in page


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"tenants": "alpha, Be ta"}, "A tenant's name is a DNS label"),
        ({"quiet_zone": "Asia/Shanghae"}, "is no time zone such as"),
        ({"quiet_start": "22:00"}, "Quiet hours have a start and an end"),
        ({"quiet_start": "22:00", "quiet_end": "22:00"}, "Quiet hours have a start and an end"),
    ],
)
def test_what_is_wrong_with_them_is_said(admin_client: Client, wrong: dict[str, str], text: str) -> None:
    errors = form(admin_client, **wrong).context["adminform"].form.errors
    assert text in " ".join(message for messages in errors.values() for message in messages)
    assert not Channel.objects.exists()
