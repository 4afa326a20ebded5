"""`route-management web` as a real process: it says what is missing, serves both ports, and stops without losing a report."""

import json
import signal
import socket
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.route_management.processes import Answer, Web, ask, migrate, run, serving
from tests.mariadb import MariaDB, free_port

pytestmark = pytest.mark.processes


def event(**fields: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "message": "the run failed"} | fields


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def url(folder: Path) -> str:
    made = f"sqlite:///{folder / 'userdb.sqlite3'}"
    migrate(made)
    return made


@pytest.fixture(scope="module")
def token(url: str) -> str:
    return run(url, "token", "create", "alpha").stdout.strip()


@pytest.fixture(scope="module")
def web(url: str, token: str, folder: Path) -> Iterator[Web]:
    with serving(url, folder / "log") as made:
        yield made


def test_a_report_is_a_row_once_it_is_answered(web: Web, token: str, folder: Path) -> None:
    sent = event(detail={"说": "失败"})
    assert web.report(token, sent)[0] == 200
    with closing(sqlite3.connect(folder / "userdb.sqlite3")) as database:
        found = database.execute("SELECT tenant, detail FROM userdb_monitorevent WHERE event_id = ?", [sent["id"]])
        tenant, detail = found.fetchone()
    assert (tenant, json.loads(detail)) == ("alpha", {"说": "失败"})


def test_the_second_port_says_what_goes_on(web: Web, token: str) -> None:
    web.report(token, event())
    assert web.port_of_metrics("/readyz")[::2] == (200, "userdb: ok\nsite: ok\n")
    assert web.port_of_metrics("/healthz")[0] == 200
    assert float(web.metric('mission_reports_received_total{result="accepted",tenant="alpha"}')) >= 1
    assert web.metric("mission_userdb_up") == "1.0"


def test_counters_of_a_known_tenants_failures_exist_before_any(web: Web) -> None:
    assert web.metric('mission_reports_received_total{result="unavailable",tenant="alpha"}') == "0.0"
    assert web.metric('mission_gateway_request_failures_total{reason="timeout",tenant="alpha"}') == "0.0"


@pytest.mark.skipif(find_spec("django_prometheus") is None, reason="pip install django-prometheus")
def test_statements_are_timed_and_made_up_methods_make_no_series(web: Web, token: str) -> None:
    web.report(token, event())
    ask(f"http://127.0.0.1:{web.port}/api/v1/events", method="BREW")
    assert float(web.metric('django_db_query_duration_seconds_count{alias="default",vendor="sqlite"}')) >= 1
    exposed = web.port_of_metrics("/metrics")[2]
    assert "django_http" not in exposed
    assert "BREW" not in exposed


def test_the_tenants_port_has_no_metrics_and_no_pages(web: Web) -> None:
    for path in ("/metrics", "/", "/admin/", "/api/v1"):
        assert ask(f"http://127.0.0.1:{web.port}{path}")[0] == 404


def test_a_token_never_reaches_the_log(web: Web, token: str) -> None:
    web.report(token, event())
    web.report("mm_wrong-" + "x" * 40, event())
    assert web.said("report refused")
    assert not web.said(token)
    assert not web.said("mm_wrong")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/events"), ("PUT", "/api/v1/events/"), ("DELETE", "/api/exceptions/report")]
)
def test_another_method_is_405_and_never_a_redirect(web: Web, token: str, method: str, path: str) -> None:
    status, headers, text = ask(f"http://127.0.0.1:{web.port}{path}", method=method, Authorization=f"Bearer {token}")
    assert (status, headers["allow"], json.loads(text)) == (405, "POST", {"error": "use POST"})


def test_a_body_far_above_the_limit_is_413(web: Web, token: str) -> None:
    at = f"http://127.0.0.1:{web.port}/api/v1/events"
    assert ask(at, b" " * (9 * 1024 * 1024), Authorization=f"Bearer {token}")[0] == 413


def test_a_stranger_sends_no_large_body(web: Web) -> None:
    """The token is asked for first."""
    at = f"http://127.0.0.1:{web.port}/api/v1/events"
    status, headers, _ = ask(at, b" " * (9 * 1024 * 1024))
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="reports"')


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nTransfer-Encoding: odd\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\r\n\r\n",
    ],
)
def test_what_is_no_http_harms_nobody(web: Web, token: str, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.port), 5) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        client.recv(1000)
    assert web.report(token, event())[0] == 200


def test_sigterm_waits_for_the_report_under_way(url: str, token: str, folder: Path) -> None:
    """A writer holds userdb's lock; the report waits for it, the process for the report."""
    answers: list[Answer] = []
    with serving(url, folder / "term-log") as web, closing(_locked(folder)) as lock:
        sender = threading.Thread(target=lambda: answers.append(web.report(token, event())))
        sender.start()
        web.until(lambda: _under_way(web), "the report never arrived")
        assert web.process is not None
        web.process.send_signal(signal.SIGTERM)
        lock.execute("ROLLBACK")
        sender.join(20)
        assert web.process.wait(20) == 0
    assert answers[0][0] == 200
    assert web.said("msg=stopped")


def test_more_requests_at_once_than_a_tenants_share_are_429(url: str, token: str, folder: Path) -> None:
    """One waits for userdb; the other is refused at once, and holds no thread."""
    answers: list[Answer] = []
    with serving(url, folder / "share-log", REPORTS_CONCURRENT="1") as web, closing(_locked(folder)) as lock:
        senders = [threading.Thread(target=lambda: answers.append(web.report(token, event()))) for _ in range(2)]
        for sender in senders:
            sender.start()
        web.until(lambda: answers, "none was refused", 5)
        lock.execute("ROLLBACK")
        for sender in senders:
            sender.join(20)
        assert web.report(token, event())[0] == 200
    (status, headers, text), (waited, *_) = answers
    assert (status, headers["retry-after"], waited) == (429, "1", 200)
    assert "too many requests at once" in json.loads(text)["error"]


def _locked(folder: Path) -> sqlite3.Connection:
    lock = sqlite3.connect(folder / "userdb.sqlite3", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    return lock


def _under_way(web: Web) -> bool:
    return 'mission_gateway_requests_in_progress{tenant="unknown"} 1.0' in web.port_of_metrics("/metrics")[2]


def test_a_busy_port_is_named(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        for flag, other in (("web", "metrics"), ("metrics", "web")):
            done = run(
                url, "web", f"--{flag}.listen-address=127.0.0.1:{number}",
                f"--{other}.listen-address=127.0.0.1:{free_port()}",
            )  # fmt: skip
            assert done.returncode == 1
            last = done.stderr.splitlines()[-1]
            assert last == f"route-management web: can't listen on 127.0.0.1:{number}: Address already in use"


def test_a_host_that_nobody_knows_is_named(url: str) -> None:
    done = run(url, "web", "--web.listen-address=nohost.invalid:8001", f"--metrics.listen-address=:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("route-management web: can't listen on nohost.invalid:8001: ")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"REPORTS_TIMEZONE": "Mars/Base"}, "REPORTS_TIMEZONE: 'Mars/Base' is no time zone such as Asia/Shanghai"),
        ({"USERDB_URL_FILE": "/x"}, "USERDB_URL and USERDB_URL_FILE are both set: keep one"),
        ({"USERDB_URL": "", "USERDB_URL_FILE": "/nowhere"}, "USERDB_URL_FILE: /nowhere can't be read"),
        ({"USERDB_URL": "sqlite:////nowhere/u.sqlite3"}, "run 'python manage.py migrate'"),
        ({"DJANGO_DEBUG": "maybe"}, "DJANGO_DEBUG: 'maybe' is neither true nor false"),
    ],
)
def test_a_wrong_setting_stops_it_with_one_line(url: str, changes: dict[str, str], text: str) -> None:
    done = run(url, "web", **changes)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("route-management web: ")
    assert text in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("web", "--web.listen-address=8001"),
        ("web", "--log.level=loud"),
        ("web", "--threads=0"),
        ("nothing",),
        ("token",),
    ],
)
def test_wrong_usage_is_exit_code_2(url: str, arguments: tuple[str, ...]) -> None:
    done = run(url, *arguments)
    assert done.returncode == 2
    assert "usage: route-management" in done.stderr


def test_the_version_is_told(url: str) -> None:
    assert run(url, "--version").stdout.startswith("route-management, version ")


@pytest.mark.gate
def test_userdb_goes_away_and_all_is_well_when_it_is_back(own_server: MariaDB, tmp_path: Path) -> None:
    token = run(own_server.url, "token", "create", "alpha").stdout.strip()
    with serving(own_server.url, tmp_path / "log") as web:
        assert web.report(token, event())[0] == 200
        own_server.stop(signal.SIGKILL)
        lost = event()
        status, headers, text = web.report(token, lost)
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(text) == {"error": "userdb is out of reach"}
        assert web.port_of_metrics("/readyz")[0] == 503
        web.until(lambda: web.metric("mission_userdb_up") == "0.0", "userdb was never seen away")
        own_server.start()
        web.until(lambda: web.metric("mission_userdb_up") == "1.0", "userdb was never seen back")
        assert json.loads(web.report(token, lost)[2])["accepted"] == 1
        assert web.port_of_metrics("/readyz")[0] == 200
        assert web.stop() == 0
