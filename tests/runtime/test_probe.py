"""The health check of a container: asks its own process' port, over real HTTP."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from runtime.flags import Address
from runtime.port import MetricsPort
from tests.mariadb import free_port

TROUBLE: dict[str, str | None] = {"disk": None}


@pytest.fixture
def port() -> Iterator[int]:
    TROUBLE["disk"] = None
    made = MetricsPort("alpha", Address("127.0.0.1", 0), {"disk": lambda: TROUBLE["disk"]}, CollectorRegistry())
    made.start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


def probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime.probe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_process_that_is_ready_is_healthy(port: int) -> None:
    assert probe(str(port)).returncode == 0


def test_one_that_is_not_ready_says_why(port: int) -> None:
    TROUBLE["disk"] = "full"
    done = probe(str(port))
    assert (done.returncode, "disk: full" in done.stderr) == (1, True)


def test_another_path_can_be_asked(port: int) -> None:
    TROUBLE["disk"] = "full"
    assert probe(str(port), "/healthz").returncode == 0


def test_a_port_that_nobody_listens_on_is_unhealthy() -> None:
    done = probe(str(free_port()))
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["web"], ["1", "/", "x"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert probe(*arguments).returncode == 2
