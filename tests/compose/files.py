"""docker-compose.yml and the Dockerfile as plain values, for the tests of this folder."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


@cache
def text() -> str:
    return (ROOT / "docker-compose.yml").read_text()


def defaults() -> dict[str, str]:
    """Return the variables of the compose file with their defaults."""
    return dict(_VARIABLE.findall(text()))


@cache
def document() -> Any:
    """Return the file with its anchors merged and its variables at their defaults."""
    return _filled(yaml.safe_load(text()))


def _filled(value: Any) -> Any:
    # as compose does it: in the values, once the file has been read
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: match[2], value)
    if isinstance(value, dict):
        return {key: _filled(found) for key, found in value.items()}
    return [_filled(found) for found in value] if isinstance(value, list) else value


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Return the services that run the project's own images."""
    return {name: service for name, service in services().items() if "build" in service}


@cache
def stages() -> dict[str, list[str]]:
    """Return the Dockerfile's instructions by stage, continued lines joined."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.startswith("FROM "):
            current = found.setdefault(line.split()[3], [])
        if line and not line.startswith("#"):
            current.append(line)
    return found
