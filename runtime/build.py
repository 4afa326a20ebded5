"""The version of what runs, for `--version`, the landing page and `mission_build_info`."""

from importlib import metadata

from prometheus_client import REGISTRY, CollectorRegistry, Info

try:
    VERSION = metadata.version("mission-monitor")
except metadata.PackageNotFoundError:  # a source tree on the path that was never installed
    VERSION = "0+unknown"


def expose_build_info(registry: CollectorRegistry = REGISTRY) -> None:
    """Register `mission_build_info{version}`, the constant 1 (the Prometheus convention for build information)."""
    Info("mission_build", "Version of the running program.", registry=registry).info({"version": VERSION})
