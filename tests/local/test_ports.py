"""Ports of the local run: each has a variable, and what is wrong with one is said with its name."""

import socket

import pytest

from local.ports import Ports
from runtime.settings import SettingsError


def test_a_port_is_changed_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_PROMETHEUS", "19090")
    assert Ports.of_environment().prometheus == 19090


def test_two_equal_ports_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_INBOX", "8000")
    with pytest.raises(SettingsError, match="PORT_INBOX and PORT_BRIDGE are both 8000"):
        Ports.of_environment()


def test_a_busy_port_is_named_with_the_variable_that_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        monkeypatch.setenv("PORT_SMTP", str(port))
        with pytest.raises(SettingsError, match=rf"port {port} is in use: set PORT_SMTP="):
            Ports.of_environment().require_free()
