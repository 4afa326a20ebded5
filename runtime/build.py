"""The version of what runs, for `--version`, the landing page and `mission_build_info`.

Nothing heavy is imported before it is needed: a tenant's `gateway-client run` starts for each simulation.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@cache
def version() -> str:
    """Return the installed distribution's version, `0+unknown` for a source tree that was never installed."""
    from importlib import metadata

    try:
        return metadata.version("mission-monitor")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def expose_build_info(registry: "CollectorRegistry | None" = None) -> None:
    """Register `mission_build_info{version}`, the constant 1 (the Prometheus convention for build information)."""
    from prometheus_client import REGISTRY, Info

    Info("mission_build", "Version of the running program.", registry=registry or REGISTRY).info({"version": version()})
