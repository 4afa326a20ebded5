"""What people and machines are told: readable for odd data too, bounded for people, whole for machines."""

import json
import re
from typing import Any

import pytest

from alert_bridge import claims, message
from alert_bridge.channels.base import Message
from alert_bridge.channels.email import compose
from alert_bridge.phrases import PHRASES
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved
from userdb.models import Channel, Notification

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


def newest(post: Post, *alerts: dict[str, Any], told: bool = True) -> Message:
    for alert in alerts:
        post(alert)
    notification = Notification.objects.select_related("alert__identity").latest("pk")
    return message.write(notification, told)


def test_a_firing_says_what_where_since_when_and_where_to_look(post: Post, mail: Channel) -> None:
    alert = firing(task="flow")
    alert["annotations"] = {
        "summary": "flow failed 3 times", "description": "It does not converge.", "runbook_url": "http://runbook/x",
    }  # fmt: skip
    told = newest(post, alert)
    pk = Notification.objects.get().alert_id
    assert told.title == "[FIRING] SimulationFailing (alpha): flow failed 3 times"
    assert told.text == (
        "FIRING: SimulationFailing (alpha)\n"
        "\n"
        "flow failed 3 times\n"
        "\n"
        "It does not converge.\n"
        "\n"
        "Since:  2026-11-24T10:00:00.000Z\n"
        "\n"
        "Labels:\n"
        "  alertname = SimulationFailing\n"
        "  severity = error\n"
        "  task = flow\n"
        "  tenant = alpha\n"
        "\n"
        f"Who was told, and when: http://127.0.0.1:8000/admin/userdb/alert/{pk}/change/\n"
        "In Prometheus: http://prometheus/graph\n"
        "What to do: http://runbook/x\n"
    )


@pytest.mark.parametrize(
    ("words", "told", "title", "ended"),
    [
        ([firing(), resolved()], True, "[RESOLVED]", "Ended:  2026-11-24T10:01:00.000Z"),
        ([firing(), resolved()], False, "[WAS FIRING, IS RESOLVED]", "Ended:  2026-11-24T10:01:00.000Z"),
        ([firing(), resolved(), firing()], True, "[FIRING AGAIN]", ""),
        ([firing(), resolved() | {"endsAt": "0001-01-01T00:00:00Z"}], True, "[RESOLVED]", "Ended:  not known"),
    ],
)
def test_each_kind_says_what_became_of_it(
    post: Post, mail: Channel, words: list[dict[str, Any]], told: bool, title: str, ended: str
) -> None:
    written = newest(post, *words, told=told)
    assert written.title.startswith(f"{title} SimulationFailing")
    assert ("Ended:" in written.text) is bool(ended)
    assert ended in written.text


def test_a_repeat_says_that_it_still_fires(post: Post, mail: Channel) -> None:
    post(firing())
    Notification.objects.update(kind="repeat")
    assert newest(post).title.startswith("[STILL FIRING]")


def test_the_document_holds_everything_for_machines(post: Post, mail: Channel) -> None:
    document = newest(post, firing(), resolved()).document
    notification = Notification.objects.latest("pk")
    assert json.loads(json.dumps(document)) == document
    assert document | {"alert_url": "", "caused_at": "", "title": ""} == {
        "version": "1", "key": notification.key, "kind": "resolved", "status": "resolved", "firing_was_told": True,
        "title": "", "fingerprint": "a1", "episode": 1,
        "labels": {"alertname": "SimulationFailing", "tenant": "alpha", "severity": "error"},
        "annotations": {"summary": "it fails"}, "starts_at": "2026-11-24T10:00:00.000Z",
        "ends_at": "2026-11-24T10:01:00.000Z", "generator_url": "http://prometheus/graph", "alert_url": "", "caused_at": "",
        "evidence": [],
    }  # fmt: skip


def bare() -> dict[str, Any]:
    return {"status": "firing", "startsAt": "2026-11-24T10:00:00Z", "fingerprint": "e79e"}


def test_an_alert_without_name_labels_or_annotations_is_told_by_its_fingerprint(post: Post, mail: Channel) -> None:
    told = newest(post, bare())
    assert told.title == "[FIRING] Alert e79e"
    assert told.text.startswith("FIRING: Alert e79e\n\nSince:")


@pytest.mark.parametrize(
    "summary",
    ["two\nlines", "carriage\r\nreturn", "Bcc: all@example.org\r\nBcc: x", "tab\tbell\x07", "潮流 \u2028 ✓", "\ud800"],
)
def test_a_title_is_one_line_whatever_the_summary_holds_and_becomes_a_subject(
    post: Post, mail: Channel, summary: str
) -> None:
    told = newest(post, firing() | {"annotations": {"summary": summary}})
    assert len(told.title.splitlines()) == 1
    composed = compose(mail.config, told)
    assert composed["Bcc"] is None
    assert composed["Subject"] == told.title
    composed.as_bytes()


def test_a_long_text_is_cut_for_people_with_a_mark_and_whole_for_machines(post: Post, mail: Channel) -> None:
    long = "x" * 100_000
    alert = firing(note=long) | {"annotations": {"summary": long, "description": long}, "generatorURL": long}
    told = newest(post, alert)
    assert len(told.title) < 300
    assert len(told.text) < 20_000
    assert told.text.count("(cut: 100000 characters in all)") == 4
    assert told.document["annotations"]["description"] == long


def test_the_address_of_the_pages_is_the_one_that_is_set(
    post: Post, mail: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_URL", "https://alerts.example.org/")
    assert newest(post, firing()).url.startswith("https://alerts.example.org/admin/userdb/alert/")


def test_the_date_and_the_key_are_the_same_at_every_try(post: Post, mail: Channel) -> None:
    first = newest(post, firing())
    claims.take(mail.pk)
    assert newest(post) == first


def test_each_language_says_everything() -> None:
    first, *others = PHRASES.values()
    fields = {name: sorted(set(re.findall(r"{(\w+)}", text))) for name, text in first.items()}
    for other in others:
        assert {name: sorted(set(re.findall(r"{(\w+)}", text))) for name, text in other.items()} == fields
    assert set(PHRASES) == set(Channel.Language.values)


def test_a_chinese_channel_is_told_in_chinese(post: Post, mail: Channel) -> None:
    Channel.objects.update(language="zh")
    told = newest(post, firing(task="flow") | {"annotations": {"summary": "连续失败", "runbook_url": "http://r/x"}})
    assert told.title == "【告警触发】SimulationFailing(alpha):连续失败"
    for text in ("告警触发:SimulationFailing(alpha)\n", "开始时间:  2026", "标签:\n", "处理手册: http://r/x"):
        assert text in told.text
    assert compose(mail.config, told)["Subject"] == told.title


def test_later_messages_of_an_episode_name_its_first_one_and_another_episode_another(post: Post, mail: Channel) -> None:
    threads = [newest(post, word).thread for word in (firing(), resolved(), firing(), firing(start=100))]
    keys = list(Notification.objects.order_by("id").values_list("key", flat=True))
    assert threads == [keys[0], keys[0], keys[0], keys[3]]
