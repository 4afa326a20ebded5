"""The call to an address outside: only while all is well, within a deadline, and its URL is never said."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_bridge import heartbeat
from alert_bridge.heartbeat import Heartbeat
from alert_bridge.readings import ChannelReading, Readings
from alert_bridge.selfwatch import SelfWatch
from runtime.settings import SettingsError
from tests.alert_bridge.receivers import Receiver, dribble, receiver, status
from tests.mariadb import free_port

SECRET = "5f2c-token-of-the-heartbeat"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """What is called, on a private address that CHANNEL_ALLOWED_NETWORKS does not name."""
    with receiver() as server:
        monkeypatch.setenv("CHANNEL_ALLOWED_NETWORKS", "")
        monkeypatch.setenv("HEARTBEAT_URL", f"{server.url}/{SECRET}")
        yield server


def paths(server: Receiver) -> list[str]:
    return [got.path for got in server.got]


def test_it_is_called_while_all_is_well(outside: Receiver) -> None:
    assert Heartbeat({"userdb": lambda: None}).step() == "sent"
    assert paths(outside) == [f"/hook/{SECRET}"]


def test_it_is_not_called_while_something_is_wrong(outside: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    assert Heartbeat({"userdb": lambda: None, "relay": lambda: "no relay sends"}).step() == "withheld"
    assert paths(outside) == []
    assert [record.__dict__["reason"] for record in caplog.records] == ["relay: no relay sends"]


def test_without_a_url_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTBEAT_URL", raising=False)
    assert Heartbeat({"userdb": lambda: "gone"}).step() is None


def test_the_url_may_stand_in_a_file_that_changes(
    outside: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    file = tmp_path / "url"  # type: ignore[operator]
    monkeypatch.delenv("HEARTBEAT_URL")
    monkeypatch.setenv("HEARTBEAT_URL_FILE", str(file))
    for name in ("first", "second-one"):
        file.write_text(f"{outside.url}/{name}\n")
        assert Heartbeat().step() == "sent"
    assert paths(outside) == ["/hook/first", "/hook/second-one"]


@pytest.mark.parametrize("code", [302, 404, 500])
def test_an_answer_that_is_no_2xx_is_a_failure(outside: Receiver, code: int) -> None:
    outside.answer = status(code, Location="http://127.0.0.1:1/")
    assert Heartbeat().step() == "failed"


def test_its_url_is_never_said(
    outside: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outside.answer = status(404, f"no such check: {SECRET}".encode())
    Heartbeat().step()
    monkeypatch.setenv("HEARTBEAT_URL", f"http://127.0.0.1:{free_port()}/{SECRET}")
    assert Heartbeat().step() == "failed"
    monkeypatch.setenv("HEARTBEAT_URL", f"ftp://{SECRET}")
    with pytest.raises(SettingsError) as raised:
        heartbeat.require_settings()
    assert SECRET not in str(raised.value)
    assert caplog.records
    assert SECRET not in "".join(str(vars(record)) for record in caplog.records)


def test_a_server_that_dribbles_is_cut_off(outside: Receiver) -> None:
    stop = threading.Event()
    outside.answer = dribble(b"HTTP/1.1 ", stop)
    began = time.monotonic()
    assert Heartbeat(deadline=0.3).step() == "failed"
    assert time.monotonic() - began < 3
    stop.set()


@pytest.mark.parametrize(
    ("code", "result", "calls"), [(200, "sent", 1), (503, "withheld", 0)], ids=["ready", "not ready"]
)
def test_another_process_has_to_be_ready(
    outside: Receiver, monkeypatch: pytest.MonkeyPatch, code: int, result: str, calls: int
) -> None:
    with receiver(status(code)) as relay:
        monkeypatch.setenv("HEARTBEAT_READY", relay.url)
        assert Heartbeat().step() == result
    assert len(outside.got) == calls


def test_a_process_that_does_not_answer_is_not_ready(outside: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_READY", f"http://127.0.0.1:{free_port()}/readyz")
    assert Heartbeat().step() == "withheld"


def test_a_password_of_another_process_is_never_said(outside: Receiver) -> None:
    with receiver(status(503)) as relay:
        why = heartbeat.readiness(relay.url.replace("://", "://probe:pa55word@") + "?key=pa55word")
    assert why == f"localhost:{relay.server_port}/hook answers 503"


def test_it_goes_on_after_a_check_that_breaks(outside: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_INTERVAL", "0.1")
    stop, broken = threading.Event(), [True]

    def check() -> str | None:
        if broken.pop() if broken else False:
            raise RuntimeError("a defect")
        if outside.got:
            stop.set()
        return None

    thread = threading.Thread(target=Heartbeat({"check": check}).run, args=(stop,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert outside.got


NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def seen(**fields: Any) -> Readings:
    return Readings(NOW, NOW - timedelta(hours=1), **fields)


@pytest.mark.parametrize(
    ("readings", "rounds", "result"),
    [
        (seen(), None, "sent"),
        (None, None, "withheld"),
        (seen(), "no round for 90 s", "withheld"),
        (seen(channels=(ChannelReading("mail", untried_since=NOW - timedelta(minutes=3)),)), None, "withheld"),
        (seen(channels=(ChannelReading("mail", failing_since=NOW - timedelta(hours=1)),)), None, "sent"),
        (seen(watchdog_heard=NOW - timedelta(hours=1)), None, "sent"),
    ],
    ids=["well", "userdb away", "no reconciliation", "no relay", "a dead channel", "Watchdog missing"],
)
def test_it_stops_for_the_bridges_own_trouble_alone(
    outside: Receiver, readings: Readings | None, rounds: str | None, result: str
) -> None:
    watch = SelfWatch(readings=readings)
    assert Heartbeat(heartbeat.checks_of(watch, lambda: rounds)).step() == result


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEARTBEAT_INTERVAL", "0", "HEARTBEAT_INTERVAL: 0 is not between 0.1 and 3600"),
        ("HEARTBEAT_READY", "relay:8101", "HEARTBEAT_READY: write http://host/path or https://host/path"),
    ],
)
def test_a_setting_that_cant_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        heartbeat.require_settings()
    assert str(raised.value) == said
