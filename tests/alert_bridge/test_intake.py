"""What a webhook does: episodes, transitions and notifications, through the public endpoint, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved, webhook
from userdb import clock
from userdb.models import Alert, AlertIdentity, AlertTransition, Channel, Notification, WebhookEvent

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


def kinds() -> list[str]:
    return list(AlertTransition.objects.order_by("id").values_list("kind", flat=True))


def owed() -> list[tuple[str, int, str, str]]:
    rows = Notification.objects.order_by("id")
    return [(n.channel.name, n.alert.number, n.kind, n.state) for n in rows if n.alert]


def test_a_firing_opens_an_episode_and_owes_its_channels_a_message(post: Post, mail: Channel) -> None:
    assert post(firing()).status_code == 200
    alert = Alert.objects.get()
    assert (alert.state, alert.number, alert.annotations) == ("firing", 1, {"summary": "it fails"})
    assert alert.starts_at.isoformat() == "2026-11-24T10:00:00+00:00"
    assert (AlertIdentity.objects.get().state, AlertIdentity.objects.get().episodes) == ("firing", alert.number)
    assert owed() == [("mail", 1, "firing", "owed")]


def test_the_same_webhook_again_changes_nothing(post: Post, mail: Channel) -> None:
    post(firing())
    answer = post(firing()).json()
    assert (answer["changes"], answer["notifications"]) == (0, 0)
    assert WebhookEvent.objects.order_by("id").last().result == "unchanged"  # type: ignore[union-attr]
    assert len(owed()) == 1


def test_a_resolved_closes_the_episode_and_is_owed_to_those_who_were_told(
    post: Post, mail: Channel, hook: Channel
) -> None:
    post(firing())
    post(resolved())
    alert = Alert.objects.get()
    assert (alert.state, alert.closed_by) == ("resolved", "webhook")
    assert alert.ends_at is not None
    assert alert.ends_at.isoformat() == "2026-11-24T10:01:00+00:00"
    assert AlertIdentity.objects.get().state == "resolved"
    assert owed() == [("mail", 1, "firing", "owed"), ("mail", 1, "resolved", "owed")]


def test_a_resolved_goes_to_a_channel_whose_matchers_changed_since(post: Post, mail: Channel) -> None:
    post(firing())
    Channel.objects.update(matchers='tenant="beta"')
    post(resolved())
    assert owed()[-1] == ("mail", 1, "resolved", "owed")


def test_a_disabled_channel_is_owed_nothing(post: Post, mail: Channel) -> None:
    post(firing())
    Channel.objects.update(enabled=False)
    post(resolved())
    assert len(owed()) == 1


def test_a_channel_without_resolved_is_not_owed_the_end(post: Post, mail: Channel) -> None:
    Channel.objects.update(send_resolved=False)
    post(firing())
    post(resolved())
    assert [n[2] for n in owed()] == ["firing"]


def test_a_later_start_supersedes_the_open_episode_and_voids_what_was_not_sent(post: Post, mail: Channel) -> None:
    post(firing())
    post(firing(start=100))
    assert kinds() == ["firing", "superseded", "firing"]
    first = Alert.objects.get(number=1)
    assert (first.state, first.closed_by, first.ends_at) == ("resolved", "superseded", None)
    assert owed() == [("mail", 1, "firing", "void"), ("mail", 2, "firing", "owed")]


def test_an_earlier_start_of_the_open_episode_moves_the_shown_one(post: Post, mail: Channel) -> None:
    post(firing(start=50))
    post(firing(start=20))
    assert kinds() == ["firing", "started_earlier"]
    assert Alert.objects.get().starts_at.isoformat() == "2026-11-24T10:00:20+00:00"


def test_a_start_of_the_last_episode_after_its_end_is_a_return_that_waits_to_be_confirmed(
    post: Post, mail: Channel
) -> None:
    post(firing())
    post(resolved())
    post(firing())
    assert kinds() == ["firing", "resolved", "refired"]
    assert Alert.objects.get().state == "firing"
    assert owed()[-1] == ("mail", 1, "refired", "unconfirmed")


def test_a_return_that_ends_unconfirmed_is_told_to_nobody_and_neither_is_its_end(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    post(resolved(end=90))
    assert kinds() == ["firing", "resolved", "refired", "resolved"]
    assert [n[2:] for n in owed()] == [("firing", "owed"), ("resolved", "owed"), ("refired", "void")]


def test_the_end_of_a_confirmed_return_is_owed(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    Notification.objects.filter(state="unconfirmed").update(state="owed")
    post(resolved(end=90))
    assert [n[2] for n in owed()] == ["firing", "resolved", "refired", "resolved"]


def test_a_return_and_its_end_in_one_body_owe_nothing(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing(), resolved(end=90))
    assert [n[2:] for n in owed()] == [("firing", "owed"), ("resolved", "owed"), ("refired", "void")]


def test_a_later_start_voids_an_unconfirmed_return_and_is_owed_at_once(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    post(firing(start=100))
    assert [n[1:] for n in owed()][-2:] == [(1, "refired", "void"), (2, "firing", "owed")]


def test_a_later_end_of_an_unconfirmed_return_is_owed_to_nobody(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    post(resolved(start=100, end=200))
    assert kinds()[-2:] == ["superseded", "resolved"]
    assert [n[2:] for n in owed()] == [("firing", "owed"), ("resolved", "owed"), ("refired", "void")]


def test_a_new_channel_hears_of_an_unconfirmed_return_when_it_is_confirmed(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    Channel.objects.create(name="late", kind="email")
    post(firing())
    assert owed()[-1] == ("late", 1, "firing", "unconfirmed")


def test_an_unconfirmed_return_is_not_repeated(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    Notification.objects.exclude(state="unconfirmed").update(state="delivered")
    Notification.objects.update(created_at=clock.now() - timedelta(hours=5))
    post(firing())
    assert [n[2] for n in owed()] == ["firing", "resolved", "refired"]


def test_a_channel_that_did_not_want_the_return_is_not_told_of_an_end_again(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    Channel.objects.update(matchers='tenant="beta"')
    post(firing())
    post(resolved(end=90))
    assert [n[2] for n in owed()] == ["firing", "resolved"]


def test_a_channel_whose_last_word_was_the_end_hears_that_it_fires(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    Channel.objects.update(matchers='tenant="beta"')
    post(firing())
    Channel.objects.update(matchers="")
    post(firing())
    assert owed()[-1] == ("mail", 1, "firing", "owed")


def test_a_stale_firing_does_nothing(post: Post, mail: Channel) -> None:
    post(firing())
    post(firing(start=100))
    assert post(firing(start=0)).json()["changes"] == 0


def test_an_episode_that_began_and_ended_unheard_is_kept_and_told_to_nobody(post: Post, mail: Channel) -> None:
    post(resolved())
    assert kinds() == ["unheard"]
    assert Alert.objects.get().state == "resolved"
    assert owed() == []


def test_a_later_end_closes_the_open_episode_and_owes_one_resolved(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved(start=100, end=200))
    assert kinds() == ["firing", "superseded", "resolved"]
    assert owed() == [("mail", 1, "firing", "owed"), ("mail", 1, "resolved", "owed")]
    assert AlertIdentity.objects.get().state == "resolved"


def test_an_earlier_words_end_leaves_the_open_episode_alone(post: Post, mail: Channel) -> None:
    post(firing(start=50))
    assert post(resolved(start=20, end=40)).json()["changes"] == 0
    assert post(resolved(start=20, end=70)).json()["changes"] == 1


def test_the_end_of_an_earlier_episode_becomes_known_while_the_next_goes_on(post: Post, mail: Channel) -> None:
    post(firing())
    post(firing(start=100))
    post(resolved(start=0, end=70))
    assert kinds()[-1] == "end_known"
    first = Alert.objects.get(number=1)
    assert first.ends_at is not None
    assert first.ends_at.isoformat() == "2026-11-24T10:01:10+00:00"
    assert Alert.objects.get(number=2).state == "firing"


def test_words_about_one_alert_in_one_body_are_applied_in_their_order(post: Post, mail: Channel) -> None:
    post(firing(), firing(start=100), resolved(start=0, end=70), resolved(start=100, end=130))
    assert kinds() == ["firing", "superseded", "firing", "end_known", "resolved"]
    assert [n[1:] for n in owed()] == [(1, "firing", "void"), (2, "firing", "owed"), (2, "resolved", "owed")]


def test_a_new_channel_hears_of_what_is_still_open(post: Post, vendor: str) -> None:
    post(firing())
    Channel.objects.create(name="late", kind="email")
    post(firing())
    assert owed() == [("late", 1, "firing", "owed")]


def test_watchdog_is_kept_but_wanted_only_by_a_matcher_that_names_it(post: Post, mail: Channel) -> None:
    post(firing(alertname="Watchdog"))
    assert Alert.objects.count() == 1
    assert owed() == []
    Channel.objects.create(name="pulse", kind="email", matchers="alertname=Watchdog")
    post(firing(alertname="Watchdog"))
    assert owed() == [("pulse", 1, "firing", "owed")]


@pytest.mark.parametrize(("minutes_ago", "due"), [(58, False), (59.5, True)])
def test_a_repeat_is_owed_when_the_channel_was_last_told_long_enough_ago(
    post: Post, mail: Channel, minutes_ago: float, due: bool
) -> None:
    Channel.objects.update(repeat_after=timedelta(hours=1))
    post(firing())
    Notification.objects.update(state="delivered", created_at=clock.now() - timedelta(minutes=minutes_ago))
    post(firing())
    assert ([n[2] for n in owed()] == ["firing", "repeat"]) is due


def test_no_repeat_is_owed_while_an_earlier_one_waits(post: Post, mail: Channel) -> None:
    Channel.objects.update(repeat_after=timedelta(hours=1))
    post(firing())
    Notification.objects.update(created_at=clock.now() - timedelta(hours=5))
    post(firing())
    assert [n[2] for n in owed()] == ["firing"]


def test_the_keys_of_an_episodes_messages_differ_and_say_whose_they_are(post: Post, mail: Channel) -> None:
    post(firing())
    post(resolved())
    post(firing())
    Notification.objects.filter(state="unconfirmed").update(state="owed")
    post(resolved(end=90))
    keys = [n.key for n in Notification.objects.order_by("id")]
    assert [key.split(".")[-2:] for key in keys] == [
        ["firing", "1"],
        ["resolved", "1"],
        ["refired", "1"],
        ["resolved", "2"],
    ]
    assert all(key.startswith("a1.1.") for key in keys)


def test_fingerprints_that_differ_in_case_are_two_alerts(post: Post, mail: Channel) -> None:
    post(firing("abc"), firing("ABC"))
    assert Alert.objects.count() == 2


def test_a_start_is_compared_in_utc_cut_to_milliseconds(post: Post, mail: Channel) -> None:
    post(firing() | {"startsAt": "2026-11-24T18:00:00.5109876+08:00"})
    assert post(firing() | {"startsAt": "2026-11-24T10:00:00.510Z"}).json()["changes"] == 0


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"fingerprint": None}, "fingerprint is missing"),
        ({"fingerprint": "x" * 65}, "fingerprint is missing or is no text of 1 to 64"),
        ({"status": "pending"}, "status: 'pending' is neither firing nor resolved"),
        ({"startsAt": "yesterday"}, "startsAt: 'yesterday' is no RFC 3339 time"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "startsAt is the zero time"),
        ({"startsAt": "2026-02-31T00:00:00Z"}, "startsAt: '2026-02-31T00:00:00Z' is no time"),
        ({"startsAt": "9999-12-31T23:59:59-12:00"}, "is no time"),
        ({"status": "resolved", "endsAt": 5}, "endsAt: 5 is no RFC 3339 time"),
        ({"labels": ["a"]}, "labels is no object"),
    ],
)
def test_an_odd_alert_is_kept_and_named_and_the_good_ones_count(
    post: Post, mail: Channel, odd: dict[str, Any], reason: str
) -> None:
    answer = post(firing("a1"), firing("b2") | odd, firing("c3"))
    assert answer.status_code == 200
    assert reason in answer.json()["odd"][0]
    assert answer.json()["odd"][0].startswith("alerts[1]: ")
    assert Alert.objects.count() == 2
    assert WebhookEvent.objects.get().odd[0]["index"] == 1


def test_nul_and_lone_surrogates_are_stored_as_replacements(post: Post, mail: Channel) -> None:
    body = webhook(firing(note="NUL SUR")).replace(b"NUL", b"\\u0000").replace(b"SUR", b"\\ud800")
    assert post(body=body).status_code == 200
    assert AlertIdentity.objects.get().labels["note"] == "\ufffd ?"


def test_texts_longer_than_their_columns_are_cut_and_whole_in_the_labels(post: Post, mail: Channel) -> None:
    post(firing(alertname="n" * 300, tenant="t" * 62 + " x", severity="s" * 40))
    identity = AlertIdentity.objects.get()
    assert (len(identity.alertname), identity.tenant, len(identity.severity)) == (255, "t" * 62, 32)
    assert len(identity.labels["alertname"]) == 300


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_the_statements_of_a_webhook_do_not_grow_with_its_alerts(post: Post, mail: Channel, size: int) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    from userdb.router import alias

    firsts = [firing(f"{i:x}f") for i in range(size)]
    nexts = [firing(f"{i:x}f", start=100) for i in range(size)]
    lasts = [resolved(f"{i:x}f", start=0, end=50) for i in range(size)]
    ends = [*lasts, *(resolved(f"{i:x}f", start=100, end=200) for i in range(size))]
    for alerts, most in ((firsts, 7), (firsts, 4), (nexts, 10), (ends, 10)):
        with CaptureQueriesContext(connections[alias()]) as captured:
            assert post(*alerts).status_code == 200
        # without the transaction's own begin and end
        sent = [query["sql"] for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]]
        assert 4 <= len(sent) <= most, sent


def test_on_sqlite_no_statement_reads_its_parameter_once_for_each_row_of_a_table(post: Post, mail: Channel) -> None:
    from django.db import connections
    from django.test.utils import CaptureQueriesContext

    from userdb.router import alias

    connection = connections[alias()]
    if connection.vendor != "sqlite":
        pytest.skip("its plans are SQLite's")
    post(*(firing(f"{i:x}f") for i in range(50)))
    with CaptureQueriesContext(connection) as captured:
        post(*(firing(f"{i:x}f", start=100) for i in range(50)), *(resolved(f"{i:x}f", start=0) for i in range(50)))
    plans = 0
    for query in captured.captured_queries:
        if "json_each" not in query["sql"]:
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"), [])
            rows = cursor.fetchall()
        outer = [detail for _, parent, _, detail in rows if parent == next(r[1] for r in rows if "json_each" in r[3])]
        assert "json_each" in outer[0], f"{outer} for {query['sql'][:80]}"
        plans += 1
    assert plans >= 6
