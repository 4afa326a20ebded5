"""`make run`: it says what it needs, goes on with its data, and leaves nothing behind."""

import socket
import time

import pytest
import requests

from tests.chain.conftest import Run, until

pytestmark = [pytest.mark.chain, pytest.mark.timeout(180)]


def test_ctrl_c_stops_everything_within_ten_seconds_and_a_second_run_goes_on(run: Run) -> None:
    run.start(TENANT="none")
    until(lambda: "The chain runs" in run.said(), 90)
    first = run.said()
    began = time.monotonic()
    assert run.interrupt() == 0
    assert time.monotonic() - began < 10
    assert run.processes() == {}
    run.start(TENANT="none")
    until(lambda: "The chain runs" in run.said(), 60)
    assert [line for line in run.said().splitlines() if "password" in line] == [
        line for line in first.splitlines() if "password" in line
    ]
    assert run.interrupt() == 0


def test_the_admin_can_log_in_with_the_printed_password(run: Run) -> None:
    run.start(TENANT="none")
    until(lambda: "The chain runs" in run.said(), 90)
    password = run.said().split("password ")[1].split()[0]
    base = f"http://127.0.0.1:{run.environment['PORT_BRIDGE']}"
    with requests.Session() as browser:
        page = browser.get(f"{base}/admin/login/", timeout=10)
        form = {"username": "admin", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post(page.url, form, headers={"Referer": page.url}, timeout=10)
        assert answer.history[0].status_code == 302
        assert "inbox-webhook" in browser.get(f"{base}/admin/userdb/channel/", timeout=10).text


def test_a_busy_port_is_one_clear_line(run: Run) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(run.environment["PORT_PROMETHEUS"])))
        busy.listen()
        assert run.start(TENANT="none").wait(30) == 1
    assert run.said() == (f"run: port {run.environment['PORT_PROMETHEUS']} is in use: set PORT_PROMETHEUS=...\n")


def test_smoke_without_a_tenant_is_refused(run: Run) -> None:
    assert run.start("--smoke", TENANT="none").wait(30) == 1
    assert "TENANT=none has no story to tell" in run.said()
