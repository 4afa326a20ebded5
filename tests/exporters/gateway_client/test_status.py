"""`status` and `flush`, for people and preStop hooks."""

import json
import subprocess

import pytest

from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import Client, until
from tests.exporters.gateway_client.gateway import Reply, ScriptedGateway
from tests.exporters.gateway_client.test_sender import fill, gateway  # noqa: F401  (a fixture)
from tests.mariadb import free_port

pytestmark = pytest.mark.processes


def test_status_says_what_waits_and_why(client: Client, gateway: ScriptedGateway) -> None:  # noqa: F811
    gateway.otherwise = Reply(503, b"userdb is out of reach")
    client.run("--task", "grid", "--", "false")
    text = client.call("status").stdout.decode()
    assert "waiting    1 reports, " in text
    assert "no sender is at work" in text
    assert "503: userdb is out of reach" in text
    assert "task       grid: 0 succeeded, 1 failed (1 in a row), 0 under way" in text


def test_status_for_programs(client: Client, folder: object) -> None:
    client.run("--task", "grid", "--", "true")
    found = json.loads(client.call("status", "--json").stdout)
    assert found["spool"] == str(folder)
    assert (found["waiting"], found["quarantined"], found["sender_at_work"]) == (0, 0, False)
    assert found["tasks"] == [
        {"task": "grid", "successes": 1, "failures": 0, "consecutive_failures": 0, "in_progress": 0}
    ]


def test_status_of_a_spool_that_can_not_be_read_is_1(client: Client) -> None:
    done = client.call("status", GATEWAY_SPOOL="/proc/spool")
    assert done.returncode == 1
    assert done.stderr.startswith(b"gateway-client status: /proc/spool")


def test_flush_sends_everything(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:  # noqa: F811
    fill(spool, 150)
    assert client.call("flush").returncode == 0
    assert spool.waiting() == 0
    assert sum(len(request.events) for request in gateway.requests) == 150


def test_flush_says_what_still_waits(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:  # noqa: F811
    fill(spool, 2)
    gateway.otherwise = Reply(401)
    done = client.call("flush", "--wait", "300ms")
    assert done.returncode == 1
    assert b"2 reports wait: 401" in done.stderr


def test_flush_tries_again_within_its_time(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:  # noqa: F811
    fill(spool, 1)
    gateway.answers = [Reply(503), Reply(503, headers=(("Retry-After", "0"),))]
    assert client.call("flush", "--wait", "10s").returncode == 0
    assert len(gateway.requests) == 3


def test_flush_makes_a_resting_serve_try_now(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:  # noqa: F811
    fill(spool, 1)
    gateway.answers = [Reply(503, headers=(("Retry-After", "500"),))]
    with client.start("serve", f"--web.listen-address=127.0.0.1:{free_port()}", stderr=subprocess.DEVNULL) as process:
        until(lambda: spool.told().get("failures") == "1")
        assert client.call("flush", "--wait", "10s").returncode == 0
        process.terminate()
    assert len(gateway.requests) == 2


def test_flush_without_a_gateway_says_what_to_set(client: Client, spool: Spool) -> None:
    fill(spool, 1)
    done = client.call("flush")
    assert (done.returncode, done.stderr) == (
        1, b"gateway-client flush: GATEWAY_URL is not set: there is nowhere to send to\n",
    )  # fmt: skip


def test_flush_with_nothing_to_send_is_0_even_without_a_gateway(client: Client) -> None:
    assert client.call("flush").returncode == 0


def test_flush_sends_again_what_was_refused(client: Client, spool: Spool, gateway: ScriptedGateway) -> None:  # noqa: F811
    given = fill(spool, 1)
    spool.settle([], [(spool.batch(1, 1)[0], "400: odd")], {})
    done = client.call("flush", "--quarantined")
    assert (done.returncode, done.stdout) == (0, b"1 refused reports are to be sent again\n")
    assert gateway.requests[0].ids == given
