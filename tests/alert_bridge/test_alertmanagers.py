"""The client of Alertmanager's API: what each peer lists or why it does not, deadlines, bounds, no password anywhere."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_bridge import alertmanagers
from alert_bridge.alertmanagers import NoAnswer, Refused
from runtime.settings import SettingsError
from tests.alert_bridge.alertmanagers import Alertmanager, Lister, alertmanager, lister, pair, posted
from tests.alert_bridge.alertmanagers import listed as entry
from tests.alert_bridge.receivers import dribble, receiver, status, until
from tests.mariadb import free_port
from userdb.matchers import Matcher

A_MINUTE, FIVE_MINUTES = timedelta(minutes=1), timedelta(minutes=5)
START = "2026-11-24T10:00:00.000Z"


@pytest.fixture
def server() -> Iterator[Lister]:
    with lister() as made:
        yield made


@pytest.fixture
def configured(server: Lister, monkeypatch: pytest.MonkeyPatch) -> Lister:
    monkeypatch.setenv("ALERTMANAGER_URL", server.url)
    return server


def error_of(view: alertmanagers.View) -> str:
    (error,) = view.errors.values()
    return error


def test_what_an_alertmanager_lists_is_read_by_fingerprint(configured: Lister) -> None:
    configured.alerts = [
        entry("a1", "2026-11-24T18:00:00.123+08:00", "suppressed", silenced_by=["s-1"], inhibited_by=["b2"])
    ]
    view = alertmanagers.ask_all()
    (alert,) = view.listings("a1")
    assert alert.start == datetime(2026, 11, 24, 10, 0, 0, 123_000, UTC)
    assert (alert.state, alert.silenced_by, alert.inhibited_by) == ("suppressed", ("s-1",), ("b2",))
    assert (alert.receivers, alert.labels["tenant"]) == (("alert-bridge",), "alpha")
    assert (alert.annotations, alert.generator_url) == ({"summary": "it fails"}, "http://prometheus/graph")
    assert view.doubt(FIVE_MINUTES) is None


def test_fields_of_later_releases_are_accepted(configured: Lister) -> None:
    configured.alerts = [entry("a1", START) | {"routeLabels": {}}]
    configured.alerts[0]["status"]["mutedBy"] = []
    assert alertmanagers.ask_all().fingerprints() == {"a1"}


def test_an_odd_start_is_no_reason_to_take_an_alert_for_one_that_ended(configured: Lister) -> None:
    configured.alerts = [entry("a1", "a while ago")]
    assert [alert.start for alert in alertmanagers.ask_all().listings("a1")] == [None]


def test_the_union_of_the_peers_is_what_fires(configured: Lister, monkeypatch: pytest.MonkeyPatch) -> None:
    with lister() as other:
        monkeypatch.setenv("ALERTMANAGER_URL", f"{configured.url}, {other.url}/")
        configured.alerts, other.alerts = [entry("a1", START)], [entry("b2", START)]
        view = alertmanagers.ask_all()
    assert view.fingerprints() == {"a1", "b2"}
    assert [answer.peer.url for answer in view.answers] == [configured.url, other.url]


def test_an_alertmanager_that_is_not_there_leaves_a_doubt_that_names_it(
    configured: Lister, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("ALERTMANAGER_URL", f"{configured.url},{gone}")
    view = alertmanagers.ask_all()
    assert len(view.answers) == 1
    assert view.errors == {gone: f"{gone} does not answer: ConnectionRefusedError Connection refused"}
    assert view.doubt(FIVE_MINUTES) == view.errors[gone]


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=-3), timedelta(hours=3)], ids=str)
def test_youth_is_measured_by_the_alertmanagers_own_clock(configured: Lister, ahead: timedelta) -> None:
    configured.clock = ahead
    configured.started = datetime.now(UTC) + ahead - timedelta(minutes=2)
    view = alertmanagers.ask_all()
    assert view.young(A_MINUTE) == []
    assert view.young(FIVE_MINUTES) == [configured.url]
    assert "runs for less than 300 s" in str(view.doubt(FIVE_MINUTES))


def test_one_that_was_started_between_list_and_status_is_young(configured: Lister) -> None:
    def restart() -> None:
        configured.started = datetime.now(UTC)

    configured.before = restart
    assert alertmanagers.ask_all().young(FIVE_MINUTES) == [configured.url]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"<html>login</html>", "no JSON: is this the right address?"),
        (b'{"alerts": []}', "what no Alertmanager answers"),
        (b'[{"fingerprint": "a1"}]', "what no Alertmanager answers: KeyError"),
        (b"[1]", "what no Alertmanager answers: TypeError"),
        (b"", "what no Alertmanager answers: TypeError"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_an_answer_that_is_no_list_of_alerts_is_an_error_and_no_empty_list(
    configured: Lister, document: bytes, reason: str
) -> None:
    configured.fault = status(200, document)
    view = alertmanagers.ask_all()
    assert view.answers == ()
    assert reason in error_of(view)


@pytest.mark.parametrize(("code", "reason"), [(503, "answers 503: busy"), (401, "answers 401: busy"), (302, "302")])
def test_every_other_status_is_an_error(configured: Lister, code: int, reason: str) -> None:
    configured.fault = status(code, b"busy", Location="http://127.0.0.1:1/")
    assert reason in error_of(alertmanagers.ask_all())


def test_a_server_that_dribbles_is_cut_off_and_the_others_are_heard(
    configured: Lister, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    with lister() as slow:
        slow.fault = dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[", stop)
        monkeypatch.setenv("ALERTMANAGER_URL", f"{slow.url},{configured.url}")
        began = time.monotonic()
        view = alertmanagers.ask_all(0.3)
        assert time.monotonic() - began < 1.5
        stop.set()
    assert view.errors == {slow.url: f"{slow.url} does not answer: not finished within 0.3 s"}
    assert [answer.peer.url for answer in view.answers] == [configured.url]


def test_a_body_that_breaks_off_is_no_shorter_list(configured: Lister) -> None:
    def half(request: Any) -> None:
        request.close_connection = True
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[]")

    configured.fault = half
    assert "the answer broke off" in error_of(alertmanagers.ask_all())


def test_a_body_that_would_fill_the_memory_is_not_read(configured: Lister) -> None:
    configured.fault = status(200, b"[]", Content_Length="200000000")
    assert "answers with more than 128 MB" in error_of(alertmanagers.ask_all())


def test_a_login_is_sent_and_never_shown(configured: Lister, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ALERTMANAGER_URL", configured.url.replace("http://", "http://bridge:s3%2Cr%40t@"))
    assert alertmanagers.ask_all().errors == {}
    assert configured.authorizations == {"Basic YnJpZGdlOnMzLHJAdA=="}
    configured.fault = status(401, b"no such login")
    view = alertmanagers.ask_all()
    assert list(view.errors) == [configured.url]
    for shown in (repr(view), repr(alertmanagers.peers()), caplog.text):
        assert "s3" not in shown
        assert "YnJpZGdl" not in shown


def test_the_list_of_alertmanagers_may_be_a_file_that_changes(
    server: Lister, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "urls"
    file.write_text(f"{server.url}\nhttp://127.0.0.1:1/am/\n")
    monkeypatch.delenv("ALERTMANAGER_URL")
    monkeypatch.setenv("ALERTMANAGER_URL_FILE", str(file))
    assert [peer.url for peer in alertmanagers.peers()] == [server.url, "http://127.0.0.1:1/am"]
    file.write_text(server.url)
    assert alertmanagers.ask_all().errors == {}


@pytest.mark.parametrize(
    "text",
    [
        "alertmanager:9093",
        "ftp://u:s3cret@a",
        "http://u:s3cret@a:port",
        "http://",
        "http://a?x=1",
        "http://[::1",
        "http://a,http://u:s3cret@a",
        "http://" + "a" * 300,
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTMANAGER_URL", text)
    with pytest.raises(SettingsError, match=r"^ALERTMANAGER_URL") as refused:
        alertmanagers.peers()
    assert "s3cret" not in str(refused.value)


def test_a_silence_goes_to_the_next_alertmanager_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(status(503)) as busy, receiver(status(200, b'{"silenceID": "s-1"}')) as other:
        monkeypatch.setenv("ALERTMANAGER_URL", f"{busy.url},{other.url}")
        now = datetime.now(UTC)
        made = alertmanagers.create_silence([Matcher("a", "=", "b")], now, now + A_MINUTE, "ann", "why")
    assert made == "s-1"
    assert len(busy.got) == 1
    assert json.loads(other.got[0].body)["createdBy"] == "ann"


def test_a_silence_that_is_refused_is_not_offered_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(status(400, b'{"code": 400, "message": "bad matcher"}')) as first, receiver() as other:
        monkeypatch.setenv("ALERTMANAGER_URL", f"{first.url},{other.url}")
        now = datetime.now(UTC)
        with pytest.raises(Refused, match=r"answers 400: bad matcher$"):
            alertmanagers.create_silence([], now, now, "ann", "why")
    assert other.got == []


def test_without_any_answer_a_silence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTMANAGER_URL", f"http://127.0.0.1:{free_port()}")
    now = datetime.now(UTC)
    with pytest.raises(NoAnswer, match="does not answer: ConnectionRefusedError"):
        alertmanagers.create_silence([], now, now, "ann", "why")


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path, "http://127.0.0.1:1/") as made:
        monkeypatch.setenv("ALERTMANAGER_URL", made.url)
        yield made


@pytest.mark.processes
def test_a_real_alertmanager_lists_silences_and_ends_them(real: Alertmanager) -> None:
    real.post(posted("A", datetime.now(UTC), note="平台"))
    until(lambda: alertmanagers.ask_all().fingerprints())
    now = datetime.now(UTC)
    matchers = [Matcher("alertname", "=~", "A|B"), Matcher("note", "=", "平台"), Matcher("tenant", "!~", "b.*")]
    made = alertmanagers.create_silence(matchers, now, now + A_MINUTE, "安", 'a "why"\nof two lines')

    def suppressed() -> list[tuple[str, tuple[str, ...]]]:
        view = alertmanagers.ask_all()
        found = [alert for fingerprint in view.fingerprints() for alert in view.listings(fingerprint)]
        return [(alert.state, alert.silenced_by) for alert in found if alert.state == "suppressed"]

    assert until(suppressed) == [("suppressed", (made,))]
    (silence,) = alertmanagers.silences().found
    assert (silence.id, silence.state, silence.created_by, silence.comment) == (
        made,
        "active",
        "安",
        'a "why"\nof two lines',
    )
    assert set(silence.matchers) == set(matchers)
    assert silence.covers({"alertname": "B", "note": "平台", "tenant": "alpha"})
    assert not silence.covers({"alertname": "B", "note": "平台", "tenant": "beta"})
    assert silence.peers == (real.url,)
    alertmanagers.expire_silence(made)
    assert [s.state for s in alertmanagers.silences().found] == ["expired"]


@pytest.mark.processes
@pytest.mark.parametrize("unknown", ["7d8cd8b8-0c1e-4f5c-9d8f-000000000000", "../alerts?x", "no uuid"])
def test_ending_a_silence_that_nobody_knows_is_refused(real: Alertmanager, unknown: str) -> None:
    with pytest.raises(Refused):
        alertmanagers.expire_silence(unknown)


@pytest.mark.processes
def test_a_pair_shares_its_silences_and_says_who_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pair(tmp_path, "http://127.0.0.1:1/") as (first, second):
        monkeypatch.setenv("ALERTMANAGER_URL", f"{first.url},{second.url}")
        now = datetime.now(UTC)
        alertmanagers.create_silence([Matcher("a", "=", "b")], now, now + A_MINUTE, "ann", "why")
        until(lambda: [set(s.peers) for s in alertmanagers.silences().found] == [{first.url, second.url}])
        first.kill()
        found = alertmanagers.silences()
        assert [s.peers for s in found.found] == [(second.url,)]
        assert found.answered == (second.url,)
        assert list(found.errors) == [first.url]
