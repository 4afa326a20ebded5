"""Dead letters sent again: owed under lock, tries and lateness from now on, the end carried, on record, order kept."""

import json
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from alert_bridge import claims, resend
from alert_bridge.channels.base import PermanentError, Receipt, TemporaryError
from alert_bridge.cli import parser
from alert_bridge.relay import Relay
from alert_bridge.resend_command import run
from runtime.settings import SettingsError
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.receivers import Receiver
from tests.alert_bridge.words import firing, resolved
from userdb import clock
from userdb.models import AuditEntry, Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]

THANKS = Receipt("200", "thanks")
REFUSED = PermanentError("rejected", "no", "400")
BUSY = TemporaryError("server_error", "busy", "503")


@pytest.fixture
def hook(vendor: str, destination: Receiver) -> Channel:
    channel = Channel(name="hook", kind="webhook")
    channel.secrets = {"url": destination.url, "secret": "s3cret"}
    channel.save()
    return channel


def refuse(channel: Channel) -> None:
    """Let the destination refuse for good whatever is due."""
    for claim in claims.take(channel.pk, batch=500):
        start = claims.start(claim, "tests")
        assert start is not None
        claims.failed(start, REFUSED, 5, 0.0)


def states() -> list[tuple[str, str, str]]:
    return list(Notification.objects.order_by("id").values_list("kind", "state", "reason"))


def told(destination: Receiver) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in destination.got]


def everything(by: str = "alice") -> int:
    return resend.resend(resend.dead(), by)


def test_a_dead_letter_is_owed_again_and_arrives(post: Post, hook: Channel, destination: Receiver) -> None:
    post(firing())
    refuse(hook)
    assert everything() == 1
    assert states() == [("firing", "owed", "")]
    Relay().deliver_due(hook)
    assert [(document["kind"], document["status"]) for document in told(destination)] == [("firing", "firing")]


def test_its_tries_count_from_now_on(post: Post, hook: Channel) -> None:
    post(firing())
    Notification.objects.update(attempts=35)
    start = claims.start(claims.take(hook.pk)[0], "tests")
    assert start is not None
    assert claims.failed(start, BUSY, 5, 0.0).state == "dead"
    everything()
    again = claims.start(claims.take(hook.pk)[0], "tests")
    assert again is not None
    recorded = claims.failed(again, BUSY, 5, 0.0)
    assert recorded.state == "owed"
    assert Notification.objects.get().due_at - recorded.at == timedelta(seconds=2)


def test_its_lateness_counts_from_now_on(post: Post, hook: Channel, destination: Receiver) -> None:
    post(firing())
    refuse(hook)
    Notification.objects.update(first_due_at=clock.now() - timedelta(hours=5))
    everything()
    Relay().deliver_due(hook)
    assert [document["kind"] for document in told(destination)] == ["firing"]


def test_after_the_episodes_end_it_carries_the_end(post: Post, hook: Channel, destination: Receiver) -> None:
    post(firing())
    refuse(hook)
    post(resolved())
    Relay().deliver_due(hook)
    everything()
    Relay().deliver_due(hook)
    document = told(destination)[-1]
    assert (document["kind"], document["status"], document["ends_at"]) == (
        "firing",
        "resolved",
        "2026-11-24T10:01:00.000Z",
    )
    assert document["title"].startswith("[WAS FIRING, IS RESOLVED]")


def test_while_its_end_waits_too_it_says_that_it_fires_and_the_end_follows(
    post: Post, hook: Channel, destination: Receiver
) -> None:
    post(firing())
    refuse(hook)
    post(resolved())
    refuse(hook)
    assert everything() == 2
    Relay().deliver_due(hook)
    assert [(document["kind"], document["status"]) for document in told(destination)] == [
        ("firing", "firing"),
        ("resolved", "resolved"),
    ]


def test_one_that_a_later_episode_has_followed_is_sent_because_somebody_asked_for_it(
    post: Post, hook: Channel, destination: Receiver
) -> None:
    post(firing())
    refuse(hook)
    post(firing(start=100))
    Relay().deliver_due(hook)
    everything()
    Relay().deliver_due(hook)
    assert [(document["episode"], document["status"]) for document in told(destination)] == [
        (2, "firing"),
        (1, "resolved"),
    ]


def test_an_episode_that_opens_after_the_resend_makes_it_void(post: Post, hook: Channel) -> None:
    post(firing())
    refuse(hook)
    everything()
    [claim] = claims.take(hook.pk)
    post(firing(start=100))
    assert claims.start(claim, "tests") is None
    assert states()[0] == ("firing", "void", "superseded")


def test_those_of_one_channel_or_one_reason_alone(post: Post, hook: Channel, mail: Channel) -> None:
    post(firing())
    refuse(hook)
    refuse(mail)
    Notification.objects.filter(channel=mail).update(reason="login")
    assert resend.resend(resend.dead(channel="mail"), "alice") == 1
    assert resend.resend(resend.dead(reason="login"), "alice") == 0
    assert resend.resend(resend.dead(reason="rejected"), "alice") == 1


def test_what_is_not_dead_stays_as_it_is(post: Post, hook: Channel) -> None:
    post(firing())
    assert resend.resend(Notification.objects.all(), "alice") == 0
    assert states() == [("firing", "owed", "")]


def test_those_of_a_channel_that_is_off_stay_dead(post: Post, hook: Channel) -> None:
    post(firing())
    refuse(hook)
    Channel.objects.update(enabled=False)
    assert everything() == 0
    assert states() == [("firing", "dead", "rejected")]


def test_it_is_on_record_who_which_and_how_many(post: Post, hook: Channel) -> None:
    post(firing("a1"), firing("b2"))
    refuse(hook)
    everything("alice")
    entry = AuditEntry.objects.get(action="resend")
    assert (entry.by, entry.kind, entry.name) == ("alice", "channel", "hook")
    assert entry.new == {"count": 2, "notifications": list(Notification.objects.values_list("pk", flat=True)[::-1])}


def test_it_is_counted(post: Post, hook: Channel) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("mission_notifications_resent_total", {"channel": "hook"}) or 0.0

    before = counted()
    post(firing())
    refuse(hook)
    everything()
    assert counted() == before + 1


def test_many_are_done_in_batches_each_on_record(post: Post, hook: Channel) -> None:
    post(*(firing(f"{i:03}") for i in range(150)))
    refuse(hook)
    assert everything() == 150
    assert sorted(entry.new["count"] for entry in AuditEntry.objects.filter(action="resend")) == [50, 100]


def dead_digest(post: Post, hook: Channel) -> Notification:
    Channel.objects.filter(pk=hook.pk).update(per_minute=3)
    post(*(firing(f"{i:03}") for i in range(6)))
    refuse(hook)
    Channel.objects.filter(pk=hook.pk).update(per_minute=None)
    return Notification.objects.get(kind="digest")


def test_a_dead_digest_stands_for_its_members_and_takes_them_with_it(
    post: Post, hook: Channel, destination: Receiver
) -> None:
    digest = dead_digest(post, hook)
    assert list(resend.dead()) == [digest]
    assert resend.resend(Notification.objects.all(), "alice") == 1
    assert {state for _, state, _ in states()} == {"in_digest", "owed"}
    Relay().deliver_due(hook)
    assert [(document["kind"], document["firing"]) for document in told(destination)] == [("digest", 6)]
    assert {state for _, state, _ in states()} == {"delivered"}


def test_a_member_that_is_chosen_alone_leaves_its_digest(post: Post, hook: Channel, destination: Receiver) -> None:
    digest = dead_digest(post, hook)
    alone = digest.members.order_by("pk")[0]
    assert resend.resend(resend.chosen([alone.pk]), "alice") == 1
    Relay().deliver_due(hook)
    assert [document["kind"] for document in told(destination)] == ["firing"]
    assert digest.members.count() == 5


def test_a_member_that_left_may_begin_another_digest(post: Post, hook: Channel) -> None:
    digest = dead_digest(post, hook)
    resend.resend(resend.chosen(list(digest.members.values_list("pk", flat=True))), "alice")
    Channel.objects.filter(pk=hook.pk).update(per_minute=3)
    Notification.objects.filter(kind="digest").update(created_at=clock.now() - timedelta(seconds=60))
    claims.take(hook.pk)
    assert [row.key.rpartition(".")[2] for row in Notification.objects.filter(kind="digest").order_by("pk")] == [
        "1",
        "2",
    ]


def command(*words: str) -> int:
    return run(parser().parse_args(["resend", *words]))


def test_the_command_says_how_many(post: Post, hook: Channel, capsys: pytest.CaptureFixture[str]) -> None:
    post(firing())
    refuse(hook)
    pk = Notification.objects.get().pk
    command("--all", "--dry-run")
    assert capsys.readouterr().out == (
        f"#{pk} firing SimulationFailing to hook: rejected\n1 messages would be owed again\n"
    )
    assert states() == [("firing", "dead", "rejected")]
    command(str(pk))
    assert capsys.readouterr().out == "1 messages are owed again\n"
    assert states() == [("firing", "owed", "")]
    assert AuditEntry.objects.get(action="resend").by.endswith("(command line)")


def test_a_channel_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingsError, match="--channel: there is no channel nobody"):
        command("--all", "--channel", "nobody")


def test_all_has_to_be_said() -> None:
    with pytest.raises(SystemExit):
        command()
