"""The second port of each process: metrics, health, readiness and a landing page, over real HTTP."""

import gzip
import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from runtime.flags import Address
from runtime.port import MetricsPort

Answer = tuple[int, dict[str, str], bytes]
TROUBLE: dict[str, str | None] = {"disk": None}


def ill() -> str | None:
    raise RuntimeError("s3cret")


@pytest.fixture(scope="module")
def _started() -> Iterator[MetricsPort]:
    registry = CollectorRegistry()
    Counter("mission_tests", "Tests.", registry=registry).inc()
    made = MetricsPort("alpha <web>", Address("127.0.0.1", 0), {}, registry)
    made.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def port(_started: MetricsPort) -> MetricsPort:
    TROUBLE["disk"] = None
    _started.checks = {"disk": lambda: TROUBLE["disk"]}
    return _started


def ask(port: MetricsPort, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(port.server_name, port.server_port, timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


def test_metrics_are_text_for_prometheus(port: MetricsPort) -> None:
    status, headers, body = ask(port, "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert b"mission_tests_total 1.0\n" in body


def test_metrics_are_openmetrics_when_asked_for(port: MetricsPort) -> None:
    _, headers, body = ask(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_metrics_are_packed_when_asked_for(port: MetricsPort) -> None:
    _, headers, body = ask(port, "/metrics", **{"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert b"mission_tests_total" in gzip.decompress(body)


def test_families_can_be_picked(port: MetricsPort) -> None:
    assert b"mission_tests_total" not in ask(port, "/metrics?name[]=other")[2]


def test_a_process_that_lives_says_so(port: MetricsPort) -> None:
    TROUBLE["disk"] = "full"
    assert ask(port, "/healthz")[0] == 200


def test_readiness_names_each_check(port: MetricsPort) -> None:
    assert ask(port, "/readyz")[::2] == (200, b"disk: ok\n")
    TROUBLE["disk"] = "full"
    assert ask(port, "/readyz")[::2] == (503, b"disk: full\n")


def test_a_check_that_fails_itself_is_503_and_hides_no_other(port: MetricsPort) -> None:
    port.checks = {"ill": ill, "disk": lambda: "full"}
    status, _, body = ask(port, "/readyz")
    assert (status, body) == (503, b"ill: the check itself failed: RuntimeError\ndisk: full\n")


def test_the_landing_page_names_the_program_and_links(port: MetricsPort) -> None:
    status, headers, body = ask(port, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"alpha &lt;web&gt;" in body
    assert b'href="/metrics"' in body


def test_another_path_is_404(port: MetricsPort) -> None:
    assert ask(port, "/admin")[0] == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/nothing"])
def test_head_is_get_without_the_body(port: MetricsPort, path: str) -> None:
    asked = ask(port, path)
    status, headers, body = ask(port, path, "HEAD")
    assert (status, body) == (asked[0], b"")
    assert headers["content-length"] == asked[1]["content-length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_405(port: MetricsPort, method: str) -> None:
    status, headers, _ = ask(port, "/metrics", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_silent_client_keeps_no_other_waiting(port: MetricsPort) -> None:
    with socket.create_connection(("127.0.0.1", port.server_port)):
        assert ask(port, "/healthz")[0] == 200


def test_a_client_that_goes_away_leaves_no_traceback(port: MetricsPort, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset at the close
            client.sendall(b"GET /met")
    ask(port, "/healthz")
    assert "Traceback" not in capfd.readouterr().err


def test_a_busy_address_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        with pytest.raises(OSError, match=rf"can't listen on 127\.0\.0\.1:{number}: Address already in use"):
            MetricsPort("second", Address("127.0.0.1", number), {}, CollectorRegistry())


def test_it_listens_on_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    made = MetricsPort("six", Address("::1", 0), {}, CollectorRegistry())
    made.start()
    assert ask(made, "/healthz")[0] == 200
    made.shutdown()
    made.server_close()


def test_it_starts_without_asking_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda name="": pytest.fail("asked for the host's full name"))
    MetricsPort("fast", Address("", 0), {}, CollectorRegistry()).server_close()
