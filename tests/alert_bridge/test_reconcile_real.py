"""What real Alertmanagers never say is found out: real pairs, real `alert-bridge web`, `relay` and `reconcile` processes.

Each is one of the recorded scenarios in which the webhook alone is not enough. Rounds are 1 s apart, the grace is 1 s.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_bridge import alertmanagers
from tests.alert_bridge.alertmanagers import Alertmanager, alertmanager, pair, posted
from tests.alert_bridge.processes import Process, ask, environment, relay, running, web
from tests.alert_bridge.receivers import Receiver, receiver, until
from tests.mariadb import free_port
from userdb.matchers import Matcher
from userdb.models import Alert, AlertIdentity, AlertmanagerPeer, AlertTransition, Channel, Notification
from userdb.unsent import unsent_alerts

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(90),
    pytest.mark.django_db(transaction=True, databases="__all__"),
]
ON_SQLITE = pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
ON_MARIADB = pytest.mark.parametrize("vendor", ["mysql"], indirect=True)

QUICK = {
    "RECONCILE_INTERVAL": "1", "RECONCILE_GRACE": "1", "RECONCILE_UNSENT_AFTER": "1", "ALERTMANAGER_MIN_UPTIME": "1",
}  # fmt: skip


@contextmanager
def reconcile(folder: Path, urls: str | None, **more: str | None) -> Iterator[tuple[Process, str]]:
    """Run `alert-bridge reconcile`; yield it and the URL of its second port."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    env = environment(**(QUICK | {"ALERTMANAGER_URL": urls} | more))
    flags = [f"--web.listen-address=127.0.0.1:{port}"]
    with running("alert-bridge", "reconcile", *flags, env=env, folder=folder, ready=f"{url}/healthz") as process:
        yield process, url


@pytest.fixture
def destination(vendor: str) -> Iterator[Receiver]:
    with receiver() as made:
        channel = Channel(name="hook", kind="webhook")
        channel.secrets = {"url": made.url, "secret": "s3cret"}
        channel.save()
        yield made


@pytest.fixture
def site(destination: Receiver, tmp_path: Path) -> Iterator[str]:
    """Run `alert-bridge web`; yield where Alertmanager sends."""
    with web(tmp_path) as (_, url, _):
        yield f"{url}/webhooks/alertmanager"


def kinds() -> list[str]:
    return list(AlertTransition.objects.order_by("id").values_list("kind", flat=True))


def heard(*expected: str) -> Callable[[], bool]:
    return lambda: kinds() == list(expected)


def owed() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("id").values_list("kind", "state"))


def told(destination: Receiver) -> list[str]:
    return [json.loads(got.body)["kind"] for got in list(destination.got)]


def certain_rounds(url: str) -> float:
    found = re.search(r'mission_reconcile_rounds_total\{result="certain"\} (\S+)', ask(f"{url}/metrics").text)
    assert found is not None
    return float(found[1])


def a_moment_ago() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)


def silence(one: Alertmanager, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ALERTMANAGER_URL", one.url)
    now = datetime.now(UTC)
    return alertmanagers.create_silence([Matcher("alertname", "=", "A")], now, now + timedelta(hours=1), "ann", "why")


def end(one: Alertmanager, start: datetime) -> None:
    """Let A end, and wait until the list says so."""
    one.post(posted("A", start, datetime.now(UTC)))
    until(lambda: "A" not in one.lists(), 10, "A is not listed any more")


def test_an_alert_that_ends_while_it_is_silenced_is_marked_and_then_closed(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = a_moment_ago()
    with alertmanager(tmp_path / "am", site) as one, reconcile(tmp_path, one.url):
        one.post(posted("A", start))
        until(heard("firing"))
        made = silence(one, monkeypatch)
        until(lambda: AlertIdentity.objects.get().suppression == "silenced")
        assert AlertIdentity.objects.get().suppressed_by == [made]
        end(one, start)
        until(heard("firing", "resolved"))
    assert Alert.objects.get().closed_by == "reconciliation"
    assert AlertIdentity.objects.get().suppression == ""
    assert owed() == [("firing", "owed"), ("resolved", "owed")]


@ON_SQLITE
def test_an_alert_that_ended_while_alertmanager_was_gone_is_closed_once_it_is_old_enough(
    site: str, tmp_path: Path
) -> None:
    with (
        alertmanager(tmp_path / "am", site) as one,
        reconcile(tmp_path, one.url, ALERTMANAGER_MIN_UPTIME="4") as (process, url),
    ):
        one.post(posted("A", a_moment_ago()))
        until(heard("firing"))
        one.kill()
        until(lambda: "does not answer" in ask(f"{url}/readyz").text)
        one.start()
        until(lambda: "runs for less than 4 s" in process.text())
        until(heard("firing", "resolved"), 15)
        started = AlertmanagerPeer.objects.get().started_at
    assert started is not None
    # userdb's clock and its own are this machine's; the Date header, which youth is reckoned by, has no fractions
    assert AlertTransition.objects.latest("id").at - started >= timedelta(seconds=3.9)


@ON_MARIADB
def test_an_alert_that_ended_and_began_again_while_the_bridge_was_down_is_told_anew(
    destination: Receiver, tmp_path: Path
) -> None:
    start, port = a_moment_ago(), free_port()
    flags = [f"--web.listen-address=127.0.0.1:{port}", f"--metrics.listen-address=127.0.0.1:{free_port()}"]
    ready = f"http://127.0.0.1:{port}/admin/login/"
    serve = ("alert-bridge", "web", *flags)
    again = start + timedelta(seconds=4)
    slow = {"group_wait": "100ms", "group_interval": "3s", "repeat_interval": "1h", "group_by": ["alertname"]}
    with alertmanager(tmp_path / "am", f"http://127.0.0.1:{port}/webhooks/alertmanager", route=slow) as one:
        with running(*serve, env=environment(), folder=tmp_path, ready=ready):
            one.post(posted("A", start))
            until(heard("firing"))
        one.post(posted("A", start, again - timedelta(seconds=1)))
        one.post(posted("A", again))
        with (
            running(*serve, env=environment(), folder=tmp_path, ready=ready),
            reconcile(tmp_path, one.url, RECONCILE_GRACE="4"),  # longer than group_interval
        ):
            until(heard("firing", "superseded", "firing"), 15)
            assert not unsent_alerts().exists()
            one.post(posted("A", again, datetime.now(UTC)))
            until(heard("firing", "superseded", "firing", "resolved"), 15)
    assert owed() == [("firing", "void"), ("firing", "owed"), ("resolved", "owed")]
    assert Alert.objects.get(number=2).closed_by == "webhook"


@ON_MARIADB
def test_an_end_that_only_one_of_a_pair_has_heard_is_no_end(site: str, tmp_path: Path, destination: Receiver) -> None:
    start = a_moment_ago()
    with pair(tmp_path, site) as (a, b):
        urls = f"{a.url},{b.url}"
        env = environment(**QUICK, ALERTMANAGER_URL=urls)
        with reconcile(tmp_path, urls) as (_, url), relay(tmp_path, env):
            for one in (a, b):
                one.post(posted("A", start))
            until(lambda: told(destination) == ["firing"])
            end(a, start)
            until(lambda: told(destination) == ["firing", "resolved", "refired"], 15, "b lists it: it fires")
            before = certain_rounds(url)
            until(lambda: certain_rounds(url) >= before + 3)
            assert Alert.objects.get().state == "firing"
            end(b, start)
            until(lambda: told(destination) == ["firing", "resolved", "refired", "resolved"], 15)
    assert kinds() == ["firing", "resolved", "refired", "resolved"]
    assert "reconciliation" not in AlertTransition.objects.values_list("source", flat=True)


@ON_SQLITE
def test_a_pairs_stale_firing_is_told_to_nobody(site: str, tmp_path: Path, destination: Receiver) -> None:
    start = a_moment_ago()
    # group_interval below the peers' timeout: the second one sends what it knew before the end, on every end
    with pair(tmp_path, site, peer_timeout="1500ms") as (a, b):
        env = environment(**QUICK, ALERTMANAGER_URL=f"{a.url},{b.url}")
        with relay(tmp_path, env):
            for one in (a, b):
                one.post(posted("A", start))
            until(lambda: told(destination) == ["firing"])
            for one in (a, b):
                one.post(posted("A", start, datetime.now(UTC)))
            until(lambda: "refired" in kinds(), 20, "the stale firing")
            until(lambda: kinds()[-1] == "unconfirmed" or kinds().count("resolved") == 2)
            until(lambda: not Notification.objects.filter(state__in=Notification.WAITING).exists())
    assert told(destination) == ["firing", "resolved"]
    assert Alert.objects.get().state == "resolved"


@ON_MARIADB
def test_while_one_of_a_pair_is_gone_nothing_is_closed_until_it_is_taken_out(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, urls = a_moment_ago(), tmp_path / "urls"
    with pair(tmp_path, site) as (a, b):
        urls.write_text(f"{a.url}\n{b.url}\n")
        with reconcile(tmp_path, None, ALERTMANAGER_URL_FILE=str(urls)) as (_, url):
            for one in (a, b):
                one.post(posted("A", start))
            until(heard("firing"))
            until(lambda: ask(f"{url}/readyz").status == 200)
            silence(a, monkeypatch)
            b.kill()
            end(a, start)
            until(lambda: "take one that is gone for good out of ALERTMANAGER_URL" in ask(f"{url}/readyz").text)
            row = AlertmanagerPeer.objects.get(url=b.url)
            until(lambda: AlertmanagerPeer.objects.get(url=b.url).asked_at > row.asked_at + timedelta(seconds=3))  # type: ignore[operator]
            assert kinds() == ["firing"]
            urls.write_text(a.url)
            until(heard("firing", "resolved"))
            assert ask(f"{url}/readyz").status == 200
    assert list(AlertmanagerPeer.objects.values_list("url", flat=True)) == [a.url]


@ON_SQLITE
def test_an_alert_that_alertmanager_could_not_send_is_found(site: str, tmp_path: Path, destination: Receiver) -> None:
    start, wrong = a_moment_ago(), f"http://127.0.0.1:{free_port()}/"
    with alertmanager(tmp_path / "am", wrong) as one, reconcile(tmp_path, one.url) as (_, url):
        one.post(posted("A", start))
        until(unsent_alerts().exists)
        until(lambda: "\nmission_reconcile_unsent_alerts 1.0\n" in ask(f"{url}/metrics").text)
        assert owed() == []
        one.kill()
        one.webhook = site
        one.start()
        one.post(posted("A", start))
        until(lambda: owed() == [("firing", "owed")], 15)
        until(lambda: "\nmission_reconcile_unsent_alerts 0.0\n" in ask(f"{url}/metrics").text)
    assert kinds() == ["firing"]


@ON_SQLITE
def test_the_process_ends_at_once_when_it_is_told_to(site: str, tmp_path: Path) -> None:
    with alertmanager(tmp_path / "am", site) as one, reconcile(tmp_path, one.url) as (process, url):
        until(lambda: ask(f"{url}/readyz").status == 200)
        process.signal(15)
        assert process.wait(5) == 0
        assert "Traceback" not in process.text()
