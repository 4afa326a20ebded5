"""Bad input at the webhook endpoint: what can't be read, what is merely odd, and who may not post."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from alert_bridge.webhook import body_limit
from tests.alert_bridge.conftest import Post
from tests.alert_bridge.words import firing, resolved, webhook
from userdb.models import Alert, AlertIdentity, Channel, WebhookEvent

pytestmark = [pytest.mark.django_db(databases="__all__")]

BOTH = pytest.mark.usefixtures("vendor")
"""For what reaches the database: on SQLite and on MariaDB."""

PATH = "/webhooks/alertmanager"


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("mission_webhooks_total", {"result": result}) or 0.0


# who may post


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer webhook-token2",
        "Basic webhook-token",
        "webhook-token",
        "Bearer tökén",
    ],
)
def test_without_the_token_nothing_is_taken(post: Post, authorization: str) -> None:
    before = counted("unauthorized")
    answer = post(firing(), Authorization=authorization)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert counted("unauthorized") == before + 1
    assert not WebhookEvent.objects.exists()


def test_without_the_header_nothing_is_taken(client: Client) -> None:
    assert client.post(PATH, webhook(firing()), content_type="application/json").status_code == 401


def test_the_scheme_is_read_in_any_case(post: Post) -> None:
    assert post(firing(), Authorization="bearer webhook-token").status_code == 200


def test_both_tokens_of_a_rotated_file_are_taken_and_an_old_one_is_refused_when_it_is_gone(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.delenv("WEBHOOK_TOKEN")
    monkeypatch.setenv("WEBHOOK_TOKEN_FILE", str(file))

    def statuses() -> list[int]:
        return [post(firing(), Authorization=f"Bearer {token}").status_code for token in ("old", "new")]

    file.write_text("old\n")
    assert statuses() == [200, 401]
    file.write_text("new\nold\n")
    assert statuses() == [200, 200]
    file.write_text("new\n\n")
    assert statuses() == [401, 200]


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "WEBHOOK_TOKEN (or WEBHOOK_TOKEN_FILE) is not set"),
        ({"WEBHOOK_TOKEN_FILE": "/nowhere/token"}, "WEBHOOK_TOKEN_FILE: /nowhere/token can't be read"),
        ({"WEBHOOK_TOKEN": "a", "WEBHOOK_TOKEN_FILE": "/nowhere/token"}, "are both set"),
    ],
)
def test_without_a_token_to_compare_with_the_answer_is_503_and_says_what_is_missing(
    post: Post, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str
) -> None:
    monkeypatch.delenv("WEBHOOK_TOKEN")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = post(firing())
    assert answer.status_code == 503
    assert text in answer.json()["error"]


# method and path


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", [PATH, f"{PATH}/", "/webhooks", "/webhooks/", "/webhooks/alertmanagers", f"{PATH}/x?y=1"]
)
def test_any_other_method_on_the_path_or_near_it_is_405(client: Client, method: str, path: str) -> None:
    answer = client.generic(method, path, headers={"Authorization": "Bearer webhook-token"})
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [PATH, f"{PATH}/"])
def test_the_path_is_served_with_and_without_a_slash_at_its_end(post: Post, path: str) -> None:
    assert post(firing(), path=path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/webhooks", "/webhooks/", "/webhooks/alertmanagers", "/webhooks//alertmanager", "/webhooks/Alertmanager"]
)
def test_an_unknown_path_below_is_404_counted_and_no_redirect(post: Post, path: str) -> None:
    before = counted("unknown_path")
    assert post(firing(), path=path).status_code == 404
    assert counted("unknown_path") == before + 1


@pytest.mark.parametrize("path", ["/", "/admin/", "/admin", "/webhook", "/api/v2/alerts", "/admin/userdb/alert/"])
def test_a_post_to_a_wrong_address_of_the_site_is_refused_and_no_redirect(client: Client, path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(path, webhook(firing()), content_type="application/json").status_code in (403, 404)


@pytest.mark.parametrize("host", ["evil.example.org", "", "a b", "127.0.0.1:99999", "[::1", "x" * 300])
@pytest.mark.parametrize(
    "forwarded", [{}, {"X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https", "Forwarded": ";"}]
)
def test_whatever_host_it_was_sent_to_the_webhook_is_taken(post: Post, host: str, forwarded: dict[str, str]) -> None:
    assert post(firing(), Host=host, **forwarded).status_code == 200


# what can't be read at all


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "not JSON"),
        (b"alerts", "not JSON"),
        (b'{"alerts": [', "not JSON"),
        (webhook(firing())[:-1], "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (b"\x00", "not JSON"),
        (b"null", "a JSON NoneType, not an object"),
        (b"[]", "a JSON list, not an object"),
        (b'"alerts"', "a JSON str, not an object"),
        (b"5", "a JSON int, not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
    ],
)
def test_what_is_no_json_object_is_400_and_says_why(post: Post, body: bytes, text: str) -> None:
    before = counted("not_json")
    answer = post(body=body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert counted("not_json") == before + 1


# what is odd, but a webhook


@BOTH
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", '"alerts" is missing'),
        (b'{"alerts": null}', '"alerts" is missing'),
        (b'{"alerts": {}}', '"alerts" is no list'),
        (b'{"alerts": "all"}', '"alerts" is no list'),
    ],
)
def test_an_object_without_alerts_is_kept_as_unreadable_and_named(post: Post, body: bytes, error: str) -> None:
    answer = post(body=body)
    assert (answer.status_code, answer.json()["error"]) == (200, error)
    kept = WebhookEvent.objects.get()
    assert (kept.result, kept.error) == ("unreadable", error)


@BOTH
def test_no_alerts_at_all_is_a_webhook(post: Post) -> None:
    assert post().status_code == 200
    assert WebhookEvent.objects.get().result == "unchanged"


@BOTH
@pytest.mark.parametrize("version", ["5", "", None, 4, {"major": 4}])
def test_unknown_versions_and_fields_are_taken_and_kept(post: Post, version: Any) -> None:
    import zlib

    body = webhook(firing() | {"weight": 5}, version=version, routeLabels={"a": ["b"]}, notification_reason="x")
    assert post(body=body).json()["changes"] == 1
    assert zlib.decompress(WebhookEvent.objects.get().body) == body


@pytest.mark.parametrize("truncated", [-1, 7, 2**70, "many", None, 0.5])
def test_any_number_of_truncated_alerts_is_taken(post: Post, truncated: Any) -> None:
    assert post(body=webhook(firing(), truncatedAlerts=truncated)).json()["changes"] == 1


@pytest.mark.parametrize("entry", [None, 5, "alert", [], {}, [[]]])
def test_entries_that_are_no_alerts_are_named_by_their_place(post: Post, entry: Any) -> None:
    answer = post(
        body=webhook(firing("a1"), firing("b2")).replace(
            b'"alerts": [', b'"alerts": [%s, ' % json.dumps(entry).encode()
        )
    )
    assert answer.json()["changes"] == 2
    assert answer.json()["odd"][0].startswith("alerts[0]: ")


@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize("depth", [100, 300, 450, 480, 600, 900])
def test_nesting_of_any_depth_harms_no_other_alert(post: Post, mail: Channel, field: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = webhook(firing("a1"), firing("b2") | {field: {"deep": "HERE"}}).replace(b'"HERE"', nested)
    answer = post(body=body)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert AlertIdentity.objects.filter(pk="a1").exists()
    assert depth > 500 or answer.status_code == 200


@pytest.mark.parametrize("value", [True, None, 5, 1e400, "9" * 5000, {"a": 1}, "\x00", "\ud800", "x" * 100_000])
def test_odd_values_of_labels_and_annotations_are_kept_as_text(post: Post, mail: Channel, value: Any) -> None:
    body = webhook(firing("a1"), firing("b2") | {"labels": {"odd": value}, "annotations": {"odd": value, "\x00": "n"}})
    if value == "9" * 5000:
        body = body.replace(f'"{value}"'.encode(), value.encode())  # a number of 5,000 digits
    assert post(body=body).json()["changes"] == 2
    assert isinstance(AlertIdentity.objects.get(pk="b2").labels["odd"], str)


@BOTH
@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("startsAt", "0000-01-01T00:00:00Z"), ("startsAt", "0999-12-31T23:59:59Z"), ("startsAt", "10000-01-01T00:00:00Z"),
        ("endsAt", "0000-00-00T00:00:00Z"), ("endsAt", "9999-12-31T23:59:59-01:00"),
    ],
)  # fmt: skip
def test_a_time_that_no_database_keeps_is_odd(post: Post, field: str, text: str) -> None:
    answer = post(resolved("a1") | {field: text}, firing("b2"))
    assert answer.json()["odd"][0].startswith(f"alerts[0]: {field}: ")
    assert answer.json()["changes"] == 1


@pytest.mark.parametrize(
    "start", ["1000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59+14:00"]
)
def test_the_first_and_the_last_times_are_kept(post: Post, mail: Channel, start: str) -> None:
    assert post(firing("a1") | {"startsAt": start}).json()["changes"] == 1
    assert post(resolved("a1") | {"startsAt": start, "endsAt": start}).json()["changes"] == 1
    assert str(Alert.objects.get().starts_at).startswith(start[:4])


def test_the_same_fingerprint_twice_in_a_body_is_applied_in_its_order(post: Post, mail: Channel) -> None:
    answer = post(firing("a1"), resolved("a1"), firing("a1", start=100), firing("a1", start=100))
    assert answer.json()["changes"] == 3
    assert [alert.state for alert in Alert.objects.order_by("number")] == ["resolved", "firing"]


# sizes


@pytest.mark.timeout(60)
def test_ten_thousand_alerts_in_a_body_are_taken(post: Post, mail: Channel) -> None:
    body = webhook(*(firing(f"{i:x}", note="x" * 60) for i in range(10_000)))
    assert len(body) > 3_500_000
    assert post(body=body).json()["notifications"] == 10_000


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_beyond_the_limit_is_413(post: Post, packed: bool) -> None:
    body = b" " * (body_limit() + 1)
    before = counted("too_large")
    answer = post(body=gzip.compress(body) if packed else body, **({"Content-Encoding": "gzip"} if packed else {}))
    assert answer.status_code == 413
    assert str(body_limit()) in answer.json()["error"]
    assert counted("too_large") == before + 1


@BOTH
def test_a_body_at_the_limit_is_taken(post: Post) -> None:
    body = webhook(firing())
    assert post(body=body + b" " * (body_limit() - len(body))).status_code == 200


@BOTH
def test_gzip_is_unpacked_and_the_plain_body_kept(post: Post) -> None:
    import zlib

    body = webhook(firing())
    assert post(body=gzip.compress(body), **{"Content-Encoding": "gzip"}).json()["changes"] == 1
    assert zlib.decompress(WebhookEvent.objects.get().body) == body


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (gzip.compress(webhook(firing()))[:-9], "gzip", "cut off"),
        (b"\x1f\x8b", "gzip", "cut off"),
        (webhook(firing()), "gzip", "not gzip"),
        (b"", "gzip", "cut off"),
        (webhook(firing()), "br", "Content-Encoding 'br' is not supported"),
    ],
)
def test_an_encoding_that_cannot_be_unpacked_is_400(post: Post, body: bytes, encoding: str, text: str) -> None:
    answer = post(body=body, **{"Content-Encoding": encoding})
    assert answer.status_code == 400
    assert text in answer.json()["error"]
