"""The ports of the local run, each with the variable that changes it."""

import socket
from dataclasses import dataclass, fields

import requests

from runtime.settings import SettingsError, env_number

HOST = "127.0.0.1"


def _port(variable: str, default: int) -> int:
    return int(env_number(variable, default, 1, 65535))


@dataclass(frozen=True)
class Ports:
    """One port a field; the field's name in capitals behind `PORT_` is the variable that changes it."""

    bridge: int
    bridge_metrics: int
    relay: int
    reconcile: int
    gateway: int
    gateway_metrics: int
    client: int
    prometheus: int
    alertmanager: int
    inbox: int
    smtp: int

    @classmethod
    def of_environment(cls) -> "Ports":
        """Return the ports; SettingsError names a variable that is no port, or two that are the same."""
        ports = cls(
            bridge=_port("PORT_BRIDGE", 8000),
            bridge_metrics=_port("PORT_BRIDGE_METRICS", 8100),
            relay=_port("PORT_RELAY", 8101),
            reconcile=_port("PORT_RECONCILE", 8102),
            gateway=_port("PORT_GATEWAY", 8001),
            gateway_metrics=_port("PORT_GATEWAY_METRICS", 8111),
            client=_port("PORT_CLIENT", 9810),
            prometheus=_port("PORT_PROMETHEUS", 9090),
            alertmanager=_port("PORT_ALERTMANAGER", 9093),
            inbox=_port("PORT_INBOX", 8025),
            smtp=_port("PORT_SMTP", 1025),
        )
        seen: dict[int, str] = {}
        for name, port in ports.by_variable().items():
            if port in seen:
                raise SettingsError(f"{name} and {seen[port]} are both {port}")
            seen[port] = name
        return ports

    def by_variable(self) -> dict[str, int]:
        return {f"PORT_{field.name.upper()}": getattr(self, field.name) for field in fields(self)}

    def require_free(self) -> None:
        """Raise SettingsError that names each port in use and the variable that changes it."""
        busy = [f"port {port} is in use: set {name}=..." for name, port in self.by_variable().items() if _busy(port)]
        if busy:
            raise SettingsError("; ".join(busy))


def _busy(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def url(port: int) -> str:
    return f"http://{HOST}:{port}"


def answers(address: str) -> bool:
    """Return whether the URL answers 200 within 2 s."""
    try:
        return requests.get(address, timeout=2).status_code == 200
    except requests.RequestException:
        return False
