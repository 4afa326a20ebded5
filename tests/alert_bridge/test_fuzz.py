"""Bad input: whatever an entry or a body holds, the webhook answers 200 or 400, and the entries beside it are not lost.

Examples are drawn anew in the same order at every run (derandomized), few enough for a second or so each database.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alert_bridge import payload
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved, webhook
from userdb.models import AlertIdentity, Channel, WebhookEvent

pytestmark = [pytest.mark.django_db(databases="__all__")]

bounded = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NASTY = st.sampled_from(
    ["", "%", "_", "%s", "%(x)s", "'; DROP TABLE x; --", "\\", '"', "\x00", "\ud800", "\udfff", "😀", "𝔘𝔫𝔦", "\u202e", "\u2028",
     "NULL", "$[0]", "{{ x }}", "\x1b[31m", " a ", "a\tb", "ß" * 300, "é", "e\u0301"]
)  # fmt: skip
TEXTS = st.one_of(NASTY, st.text(max_size=30), st.text(st.characters(), max_size=10))
TIMES = st.sampled_from(
    ["2026-11-24T10:00:00Z", "2026-11-24T10:00:00.123456789Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
     "0999-12-31T23:59:59Z", "1000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59",
     "2026-02-30T10:00:00Z", "2026-11-24T10:00:60Z", "2026-11-24T24:00:00Z", "2026-11-24", "", "soon", 0, -1, 1e300, None,
     "٢٠٢٦-11-24T10:00:00Z", "2026-11-24T10:00:00." + "9" * 400 + "Z"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.one_of(st.sampled_from(["firing", "resolved"]), ANYTHING),
        "labels": st.one_of(st.dictionaries(TEXTS, TEXTS, max_size=4), ANYTHING),
        "annotations": st.one_of(st.dictionaries(TEXTS, TEXTS, max_size=4), ANYTHING),
        "startsAt": TIMES,
        "endsAt": TIMES,
        "generatorURL": st.one_of(TEXTS, ANYTHING),
        "fingerprint": st.one_of(st.sampled_from(["a1", "A1", "b%", "_", "x" * 64, "x" * 65, "é", ""]), ANYTHING),
    },
)
FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("receiver", "groupKey", "version", "truncatedAlerts", "externalURL", "status", "commonLabels"), ANYTHING
    ),
)


@pytest.mark.usefixtures("vendor")
@bounded
@given(entries=st.lists(ENTRIES, max_size=4), fields=FIELDS)
def test_entries_of_any_kind_are_applied_or_named_and_the_one_beside_them_is_never_lost(
    post: Post, entries: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    sound = firing("50und", tenant="beside")
    before = WebhookEvent.objects.count()
    answer = post(body=webhook(*entries, sound, **fields))
    assert answer.status_code == 200, answer.content
    said = answer.json()
    assert (said["alerts"], said["error"]) == (len(entries) + 1, "")
    assert all(reason.startswith("alerts[") for reason in said["odd"])
    assert AlertIdentity.objects.get(pk="50und").state == "firing"
    row = WebhookEvent.objects.order_by("-pk").first()
    assert row is not None
    assert (WebhookEvent.objects.count(), row.pk) == (before + 1, said["id"])
    assert [odd["reason"] for odd in row.odd] == said["odd"]


@pytest.mark.usefixtures("vendor")
@bounded
@given(document=ANYTHING)
def test_any_json_is_kept_or_refused_with_a_reason(post: Post, document: Any) -> None:
    answer = post(body=json.dumps(document).encode())
    assert answer.status_code == (200 if isinstance(document, dict) else 400)
    assert answer.json()["error"]


@bounded
@given(body=st.one_of(st.binary(max_size=60), st.binary(max_size=20).map(lambda part: b'{"alerts": [' + part + b"]}")))
def test_any_bytes_are_kept_or_refused(post: Post, body: bytes) -> None:
    assert post(body=body).status_code in (200, 400)


@bounded
@given(entries=st.lists(ENTRIES, max_size=4), fields=FIELDS)
def test_the_quick_way_says_what_the_thorough_one_says(entries: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    body = webhook(*entries, resolved("a1"), **fields)
    quick = payload._usual(body)
    assert quick is None or quick == payload._parse(body)


def test_the_quick_way_is_taken_for_what_alertmanager_sends() -> None:
    body = webhook(firing("a1", start=0.123), resolved("b2"), firing("c3", note="电网 😀").copy())
    assert payload._usual(json.dumps(json.loads(body), ensure_ascii=False).encode()) is not None


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("field", ["labels", "annotations", "generatorURL", "fingerprint"])
def test_a_text_of_a_megabyte_harms_no_other_entry(post: Post, mail: Channel, field: str) -> None:
    long = "电" * 350_000
    value: Any = {"alertname": long, "tenant": long, "x": long} if field in ("labels", "annotations") else long
    answer = post(firing("a1") | {field: value}, firing("b2"))
    assert answer.status_code == 200
    assert answer.json()["changes"] == (1 if field == "fingerprint" else 2)


ODD_QUERIES = [
    "?q=%00", "?q=%FF", "?q=%25%5F", "?q=" + "x" * 2000, "?o=99", "?o=-1.-1", "?p=999999999", "?p=-1", "?p=x", "?e=1", "?all=",
    "?id__exact=%27", "?id__in=a,b", "?nope=1", "?id__gt=1e999", "?q=%F0%9F%98%80", "?q=%ED%A0%80", "?_to_field=x", "?_popup=1",
]  # fmt: skip
LISTS = [
    "alert", "alertidentity", "alerttransition", "webhookevent", "notification", "channel", "monitorevent", "auditentry",
    "alertpolicy", "tenant",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_no_admin_list_fails_on_an_odd_query(admin_client: Any, vendor: str, name: str) -> None:
    statuses = {query: admin_client.get(f"/admin/userdb/{name}/{query}").status_code for query in ODD_QUERIES}
    assert {query: status for query, status in statuses.items() if status >= 500} == {}


@pytest.mark.parametrize(
    "fields", [{"username": "\x00"}, {"username": "😀" * 300, "password": "\ud7ff"}, {"next": "//evil"}, {}]
)
def test_no_login_fails_on_odd_fields(client: Any, vendor: str, fields: dict[str, str]) -> None:
    assert client.post("/admin/login/", fields).status_code < 500
