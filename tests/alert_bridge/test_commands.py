"""`alert-bridge` as real processes: how they start, what stops them, what their second port says, how they end."""

import gzip
import http.client
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import connections

from tests.alert_bridge.processes import PROGRAMS, ask, environment, relay, tell, userdb_url, web
from tests.alert_bridge.receivers import until
from tests.alert_bridge.words import firing, webhook
from tests.mariadb import free_port
from userdb.models import Alert, AlertPolicy, Channel
from userdb.router import alias

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases="__all__")]

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def alert_bridge(*command: str, **more: str | None) -> "subprocess.CompletedProcess[str]":
    whole = [PROGRAMS / "alert-bridge", *command]
    return subprocess.run(whole, check=False, env=environment(**more), capture_output=True, text=True, timeout=20)


def refused(*command: str, **more: str | None) -> tuple[int, list[str]]:
    """Run a command that must not start; return its exit code and the lines of its standard error."""
    done = alert_bridge(*command, **more)
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


BAD_SETTINGS: list[tuple[dict[str, str | None], str]] = [
    ({"DJANGO_SECRET_KEY": None}, "DJANGO_SECRET_KEY (or DJANGO_SECRET_KEY_FILE) is not set: make one with: python -c"),
    ({"USERDB_SECRET_KEYS": None}, "USERDB_SECRET_KEYS is not set"),
    ({"USERDB_SECRET_KEYS": "short"}, "USERDB_SECRET_KEYS: a key is not 32 url-safe base64 bytes"),
    ({"USERDB_URL": "sqlite:////nowhere/userdb.sqlite3"}, "userdb can't be opened"),
    ({"USERDB_URL": "postgres://db/userdb"}, "only sqlite:// and mysql:// are supported"),
    ({"USERDB_URL": "mysql://root:s3cret@127.0.0.1:1/userdb"}, "userdb can't be opened"),
]


@pytest.mark.parametrize(
    ("command", "variables", "text"), [*(("web", *bad) for bad in BAD_SETTINGS), ("relay", *BAD_SETTINGS[1])]
)
def test_a_missing_or_wrong_setting_is_one_line_and_exit_1(
    command: str, variables: dict[str, str | None], text: str
) -> None:
    code, lines = refused(command, **variables)
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"alert-bridge {command}: ")
    assert text in lines[0]
    assert "s3cret" not in lines[0]


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"RELAY_SEND_DEADLINE": "soon"}, "RELAY_SEND_DEADLINE: 'soon' is not a number"),
        ({"RELAY_LEASE": "20"}, "RELAY_LEASE: 20 is not between 30 and 3600"),
    ],
)
def test_the_relay_refuses_a_lease_that_is_too_short(variables: dict[str, str | None], text: str) -> None:
    assert refused("relay", **variables) == (1, [f"alert-bridge relay: {text}"])


@pytest.mark.parametrize("command", ["web", "relay"])
@pytest.mark.parametrize(
    ("name", "value"), [("CHANNEL_ALLOWED_NETWORKS", "10.0.0.0/33"), ("CHANNEL_PROXY_FILE", "/nowhere/proxy")]
)
def test_a_setting_of_all_channels_that_cannot_be_used_is_named(command: str, name: str, value: str) -> None:
    code, lines = refused(command, **{name: value})
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"alert-bridge {command}: {name}: ")


def test_a_userdb_that_is_not_migrated_says_what_to_run(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.sqlite3").close()
    code, lines = refused("relay", USERDB_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert (code, len(lines)) == (1, 1)
    assert "python manage.py migrate" in lines[0]


@pytest.mark.parametrize("command", ["relay", "reconcile"])
def test_an_address_that_is_no_alertmanagers_is_refused_without_repeating_its_password(command: str) -> None:
    code, lines = refused(command, ALERTMANAGER_URL="alertmanager:s3cret@host:9093")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"alert-bridge {command}: ALERTMANAGER_URL: write http://host:9093")
    assert "s3cret" not in lines[0]


def test_a_round_without_a_pause_is_refused() -> None:
    line = "alert-bridge reconcile: RECONCILE_INTERVAL: 0 is not between 1 and 3600"
    assert refused("reconcile", RECONCILE_INTERVAL="0") == (1, [line])


@pytest.mark.parametrize(
    ("command", "flag"), [("web", "web"), ("web", "metrics"), ("relay", "web"), ("reconcile", "web")]
)
def test_a_busy_port_is_named(command: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        free = {name: f"127.0.0.1:{free_port()}" for name in ("web", "metrics")} | {flag: f"127.0.0.1:{port}"}
        flags = [f"--{name}.listen-address={at}" for name, at in free.items() if command == "web" or name == "web"]
        code, lines = refused(command, *flags)
    assert code == 1
    assert lines[-1].startswith(f"alert-bridge {command}: ")
    assert f"can't listen on 127.0.0.1:{port}" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["web", "--colour"], "unrecognized arguments: --colour"),
        (["web", "--web.listen-address=here"], "'here' is not HOST:PORT"),
        (["relay", "--log.level=loud"], "invalid choice: 'loud'"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_exit_2_and_names_it(arguments: list[str], text: str) -> None:
    code, lines = refused(*arguments)
    assert code == 2
    assert text in lines[-1]


def test_version_is_said() -> None:
    done = alert_bridge("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("alert-bridge, version ")


def test_the_second_port_of_web_answers_health_readiness_and_metrics(vendor: str, tmp_path: Path) -> None:
    AlertPolicy.objects.create(policy="repeated_failures", tenant="alpha", threshold=7)
    with web(tmp_path) as (_, site, metrics):
        assert ask(f"{metrics}/healthz").text == "ok\n"
        ready = until(lambda: (answer := ask(f"{metrics}/readyz")).status == 200 and answer)
        checks = ("userdb", "site", "webhook token", "channel secrets", "tick", "self-watch")
        assert ready.text == "".join(f"{check}: ok\n" for check in checks)
        for path in ("/", "/healthz", "/readyz", "/metrics"):
            answer = ask(f"{metrics}{path}", method="HEAD")
            assert (answer.status, answer.body) == (200, b"")
        assert ask(f"{metrics}/nowhere").status == 404
        plain = until(lambda: "mission_policies_loaded 1.0" in (text := ask(f"{metrics}/metrics").text) and text)
        assert 'mission_webhooks_total{result="not_json"} 0.0' in plain
        assert 'mission_policy_threshold{policy="repeated_failures",tenant="alpha"} 7.0' in plain
        assert "mission_userdb_up 1.0" in plain
        assert "mission_build_info{version=" in plain
        packed = ask(f"{metrics}/metrics", Accept=OPENMETRICS, Accept_Encoding="gzip")
        assert packed.headers["Content-Type"].startswith("application/openmetrics-text")
        assert gzip.decompress(packed.body).endswith(b"# EOF\n")
        assert ask(f"{site}/", method="HEAD").status == 200  # followed to the login page


def test_readiness_says_which_check_fails(tmp_path: Path) -> None:
    locked = Channel(name="locked", kind="webhook")
    locked.secrets = {"url": "http://127.0.0.1:1/", "secret": "x"}
    locked.save()
    from cryptography.fernet import Fernet

    env = environment(WEBHOOK_TOKEN=None, USERDB_SECRET_KEYS=Fernet.generate_key().decode())
    with web(tmp_path, env) as (_, site, metrics):
        answer = ask(f"{metrics}/readyz")
        assert answer.status == 503
        assert "webhook token: WEBHOOK_TOKEN (or WEBHOOK_TOKEN_FILE) is not set" in answer.text
        assert "channel secrets: USERDB_SECRET_KEYS opens no secrets of: locked" in answer.text
        assert "userdb: ok" in answer.text
        assert ask(f"{metrics}/healthz").status == 200
        assert tell(site, webhook(firing())).status == 503


def test_the_relay_says_that_it_is_ready(tmp_path: Path) -> None:
    with relay(tmp_path) as (_, url):
        answer = until(lambda: (answer := ask(f"{url}/readyz")).status == 200 and answer)
        assert answer.text == "userdb: ok\nchannel secrets: ok\nrounds: ok\n"
        assert "mission_relay_last_round_timestamp_seconds" in ask(f"{url}/metrics").text


def test_web_told_to_stop_finishes_the_request_under_way(vendor: str, tmp_path: Path) -> None:
    with web(tmp_path) as (process, site, metrics):
        until(lambda: ask(f"{metrics}/readyz").status == 200)
        request = http.client.HTTPConnection(site.removeprefix("http://"), timeout=20)
        with userdb_locked():
            headers = {"Authorization": "Bearer webhook-token", "Content-Type": "application/json"}
            request.request("POST", "/webhooks/alertmanager", webhook(firing()), headers)
            until(lambda: unread_bytes(request.port) == 0)
            process.signal(signal.SIGTERM)
        assert request.getresponse().status == 200
        request.close()
        assert process.wait(10) == 0
    assert Alert.objects.count() == 1


@contextmanager
def userdb_locked() -> Iterator[None]:
    """Hold userdb up: a webhook is under way for as long as the block lasts."""
    if connections[alias()].vendor == "sqlite":
        with closing(sqlite3.connect(userdb_url().removeprefix("sqlite:///"), isolation_level=None)) as lite:
            lite.execute("BEGIN IMMEDIATE")
            yield
            lite.execute("COMMIT")
    else:
        with connections[alias()].cursor() as cursor:
            cursor.execute("LOCK TABLES userdb_alertidentity WRITE")
            yield
            cursor.execute("UNLOCK TABLES")


def unread_bytes(port: int) -> int:
    """Return how many bytes wait to be read by the server of this port, by the kernel's own table of connections."""
    waiting = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(f":{port:04X}") and state == "01":
            waiting += int(queues.split(":")[1], 16)
    return waiting


def test_the_relay_told_to_stop_ends_with_0(tmp_path: Path) -> None:
    with relay(tmp_path) as (process, _):
        process.signal(signal.SIGINT)
        assert process.wait(5) == 0
        assert "msg=stopped" in process.text()
