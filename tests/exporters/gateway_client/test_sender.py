"""Reports leave the spool only when the gateway has them, whatever it answers in between."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.gateway_client import events
from exporters.gateway_client.locks import FileLock
from exporters.gateway_client.sender import Gateway, Sender
from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import COMMAND, ROOT, Client, tally, until
from tests.exporters.gateway_client.gateway import Reply, Request, ScriptedGateway, accepted
from tests.mariadb import free_port

pytestmark = pytest.mark.processes


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    server = ScriptedGateway()
    monkeypatch.setenv("GATEWAY_URL", server.url)
    monkeypatch.setenv("GATEWAY_TOKEN", "mm_first")
    yield server
    server.stop()


@pytest.fixture
def sender(spool: Spool, gateway: ScriptedGateway) -> Sender:
    return Sender(spool, Gateway(gateway.url))


def fill(spool: Spool, count: int, size: int = 10) -> list[str]:
    made = [
        events.make(
            task="grid",
            failure_type="exception",
            level="error",
            message="x",
            detail={"x": "y" * size},
            occurred_at=1.7e9,
        )
        for _ in range(count)
    ]
    for event in made:
        spool.keep(event)
    return [event.id for event in made]


def refuses(*ids: str, status: int = 400) -> "object":
    def answer(request: Request) -> Reply:
        return Reply(status, b"odd") if set(ids) & set(request.ids) else accepted(request)

    return answer


def test_reports_are_sent_in_their_order_in_batches_of_100(
    spool: Spool, sender: Sender, gateway: ScriptedGateway
) -> None:
    given = fill(spool, 130)
    while sender.step():
        pass
    assert [request.ids for request in gateway.requests] == [given[:100], given[100:]]
    assert gateway.requests[0].path == "/api/v1/events"
    assert gateway.requests[0].headers["Authorization"] == "Bearer mm_first"
    assert spool.waiting() == 0
    assert tally(spool, "reports") == {"accepted": 130}


def test_a_batch_is_at_most_256_kb(spool: Spool, sender: Sender, gateway: ScriptedGateway) -> None:
    fill(spool, 12, size=30_000)
    sender.step()
    assert len(gateway.requests[0].events) == 8


def test_what_was_rejected_within_a_200_is_set_aside(spool: Spool, sender: Sender, gateway: ScriptedGateway) -> None:
    first, second = fill(spool, 2)
    body = {"accepted": 1, "duplicates": 0, "rejected": [{"index": 0, "id": first, "reason": "level: odd"}]}
    gateway.answers = [Reply(200, json.dumps(body).encode())]
    sender.step()
    rows = spool.database.read(lambda c: c.execute("SELECT id, reason FROM quarantine").fetchall())
    assert (rows, spool.waiting()) == ([(first, "level: odd")], 0)
    assert second not in rows


def test_a_400_isolates_the_one_to_blame(spool: Spool, sender: Sender, gateway: ScriptedGateway) -> None:
    given = fill(spool, 9)
    gateway.otherwise = refuses(given[4])  # type: ignore[assignment]
    sender.step()
    rows = spool.database.read(lambda c: c.execute("SELECT id, reason FROM quarantine").fetchall())
    assert (rows, spool.waiting()) == ([(given[4], "400: odd")], 0)
    assert tally(spool, "reports") == {"accepted": 8, "unreadable": 1}


def test_a_413_halves_and_is_remembered_for_the_next_batch(
    spool: Spool, sender: Sender, gateway: ScriptedGateway
) -> None:
    fill(spool, 160)
    gateway.otherwise = lambda request: Reply(413) if len(request.events) > 30 else accepted(request)
    sender.step()
    assert [len(request.events) for request in gateway.requests] == [100, 50, 25, 25, 50, 25, 25]
    sender.step()
    assert len(gateway.requests[7].events) == 50
    assert spool.waiting() == 10


@pytest.mark.parametrize(
    ("reply", "result", "least", "most"),
    [
        (Reply(401), "unauthorized", 55, 66),
        (Reply(403), "unauthorized", 55, 66),
        (Reply(429, headers=(("Retry-After", "20"),)), "throttled", 19, 22),
        (Reply(503, headers=(("Retry-After", "20"),)), "unavailable", 19, 22),
        (Reply(503), "unavailable", 0, 1),
        (Reply(500), "unavailable", 0, 1),
        (Reply(302, headers=(("Location", "/elsewhere"),)), "unexpected", 0, 1),
        (Reply(200, b"<html>"), "unexpected", 0, 1),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else None,
)
def test_everything_else_keeps_all_and_waits(
    spool: Spool, sender: Sender, gateway: ScriptedGateway, reply: Reply, result: str, least: float, most: float
) -> None:
    fill(spool, 2)
    gateway.answers = [reply]
    assert sender.step() is False
    assert (spool.waiting(), tally(spool, "reports")) == (2, {result: 2})
    assert least <= sender.due - time.monotonic() <= most
    assert len(gateway.requests) == 1
    assert sender.step() is True
    assert spool.waiting() == 0


def test_a_gateway_that_is_away_costs_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "mm_first")
    fill(spool, 1)
    sender = Sender(spool, Gateway(f"http://127.0.0.1:{free_port()}"))
    assert sender.step() is False
    assert (spool.waiting(), tally(spool, "reports")) == (1, {"unreachable": 1})


def test_a_refused_token_is_said_once_and_a_new_one_is_tried_at_once(
    spool: Spool,
    gateway: ScriptedGateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("GATEWAY_TOKEN")
    monkeypatch.setenv("GATEWAY_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("mm_old\n")
    sender = Sender(spool, Gateway(gateway.url))
    fill(spool, 1)
    gateway.otherwise = Reply(401)
    with caplog.at_level(logging.INFO, "exporters.gateway_client"):
        sender.step()
        sender.step()
    assert [record.message for record in caplog.records] == [
        "the gateway refuses GATEWAY_TOKEN: reports are kept until it is accepted"
    ]
    assert "mm_old" not in caplog.text
    assert sender.is_due() is False
    (tmp_path / "token").write_text("mm_newer\nmm_old\n")
    assert sender.is_due() is True
    gateway.otherwise = accepted
    sender.step()
    assert gateway.requests[-1].headers["Authorization"] == "Bearer mm_newer"
    assert spool.waiting() == 0


def test_a_reply_that_is_lost_sends_the_same_ids_again(spool: Spool, sender: Sender, gateway: ScriptedGateway) -> None:
    (given,) = fill(spool, 1)
    gateway.answers = [Reply(200, b'{"accepted"')]
    sender.step()
    sender.step()
    assert [request.ids for request in gateway.requests] == [[given], [given]]


def test_a_netrc_does_not_replace_the_token(
    spool: Spool, gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fill(spool, 1)
    Sender(spool, Gateway(gateway.url)).step()
    assert gateway.requests[0].headers["Authorization"] == "Bearer mm_first"


def test_one_sender_at_a_time_and_the_next_takes_over_when_it_dies(spool: Spool, folder: Path) -> None:
    fill(spool, 1)
    script = (
        "import sys, time; from pathlib import Path; from exporters.gateway_client.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.take(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "sender.lock")], stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        lock = FileLock(folder / "sender.lock")
        assert lock.take() is False
        other.kill()
        other.wait()
        assert lock.take() is True
        lock.release()


def test_a_run_sends_by_itself_when_nobody_serves(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:
    client.run("--task", "grid", "--", "false")
    assert [event["task"] for event in gateway.requests[0].events] == ["grid"]
    assert spool.waiting() == 0


def test_a_run_leaves_it_to_the_sender_at_work(
    client: Client, spool: Spool, folder: Path, gateway: ScriptedGateway
) -> None:
    fill(spool, 1)
    with FileLock(folder / "sender.lock"):
        client.run("--", "false")
    assert (gateway.requests, spool.waiting()) == ([], 2)


def test_a_run_waits_for_a_silent_gateway_for_2_seconds_and_the_next_one_not_at_all(
    client: Client, spool: Spool, gateway: ScriptedGateway
) -> None:
    silent = threading.Event()

    def says_nothing(request: Request) -> Reply:
        silent.wait(10)
        return Reply(503)

    gateway.otherwise = says_nothing
    began = time.monotonic()
    assert client.run("--", "false").returncode == 1
    assert 1.9 < time.monotonic() - began < 4
    began = time.monotonic()
    assert client.run("--", "false").returncode == 1
    assert time.monotonic() - began < 1.9
    assert (len(gateway.requests), spool.waiting()) == (1, 2)
    silent.set()


def test_a_run_that_was_ended_sends_in_peace(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:
    silent = threading.Event()

    def is_slow(request: Request) -> Reply:
        silent.wait(1.3)
        return accepted(request)

    gateway.otherwise = is_slow
    done = client.run("--timeout", "50ms", "--grace", "1s", "--", "sleep", "30")
    assert (done.returncode, done.stderr) == (124, b"")
    assert spool.waiting() == 0


def test_runs_do_not_try_again_before_the_next_try_is_due(
    client: Client, spool: Spool, gateway: ScriptedGateway
) -> None:
    gateway.otherwise = Reply(503, headers=(("Retry-After", "60"),))
    for _ in range(3):
        client.run("--", "false")
    assert (len(gateway.requests), spool.waiting()) == (1, 3)


def test_a_run_without_a_token_says_so_and_keeps_the_report(
    client: Client, spool: Spool, gateway: ScriptedGateway
) -> None:
    done = client.run("--", "false", GATEWAY_TOKEN="")
    assert done.returncode == 1
    assert b"GATEWAY_TOKEN (or GATEWAY_TOKEN_FILE) is not set" in done.stderr
    assert spool.waiting() == 1


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"GATEWAY_TOKEN": ""}, b"GATEWAY_TOKEN (or GATEWAY_TOKEN_FILE) is not set"),
        ({"GATEWAY_TOKEN": "", "GATEWAY_TOKEN_FILE": "/nowhere"}, b"GATEWAY_TOKEN_FILE: /nowhere can't be read"),
        ({"GATEWAY_URL": "gateway:8001"}, b"GATEWAY_URL: 'gateway:8001' is no http:// or https:// address"),
        ({"GATEWAY_URL": "http://a:b@gateway"}, b"GATEWAY_URL: holds a user or password: use GATEWAY_TOKEN"),
        ({"GATEWAY_CA": "/nowhere/ca.pem"}, b"GATEWAY_CA: /nowhere/ca.pem can't be read"),
        ({"GATEWAY_SPOOL_ROWS": "many"}, b"GATEWAY_SPOOL_ROWS: 'many' is not a number"),
    ],
)
def test_serve_stops_at_a_wrong_setting_with_one_line(
    client: Client, gateway: ScriptedGateway, env: dict[str, str], said: bytes
) -> None:
    done = client.call("serve", f"--web.listen-address=127.0.0.1:{free_port()}", **env)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.startswith(b"gateway-client serve: ")
    assert done.stderr.count(b"\n") == 1


def test_serve_delivers_and_ends_at_sigterm(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:
    with client.start("serve", f"--web.listen-address=127.0.0.1:{free_port()}", stderr=subprocess.DEVNULL) as process:
        fill(spool, 1)
        until(lambda: gateway.requests)
        until(lambda: spool.waiting() == 0)
        process.terminate()
        assert process.wait(5) == 0


def test_a_second_serve_takes_over_from_one_that_was_killed(
    client: Client, spool: Spool, gateway: ScriptedGateway
) -> None:
    first = client.start("serve", f"--web.listen-address=127.0.0.1:{free_port()}", stderr=subprocess.DEVNULL)
    second = client.start("serve", f"--web.listen-address=127.0.0.1:{free_port()}", stderr=subprocess.DEVNULL)
    fill(spool, 1)
    until(lambda: spool.waiting() == 0)
    first.kill()
    fill(spool, 1)
    until(lambda: spool.waiting() == 0)
    second.terminate()
    for process in (first, second):
        process.wait(5)
        assert process.stdout is not None
        process.stdout.close()
    assert len({identifier for request in gateway.requests for identifier in request.ids}) == 2


def test_the_command_is_named_after_its_program() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, cwd=ROOT, check=True, env=os.environ)
    assert done.stdout.startswith(b"gateway-client, version ")
