"""The tenant's side: business runs counted, failures reported, reports kept until the gateway has them.

    from exporters import gateway_client as client

    with client.run("feeder"):                          # counted; an exception is a failure and goes on
        client.report_gateway_exception("odd", {"bus": 7}, level="warning")

The command `gateway-client` wraps any other program. Importing this package costs nothing; its parts are loaded when used.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.gateway_client.handler import ReportHandler
    from exporters.gateway_client.reporting import Run

__all__ = ["ReportHandler", "report_gateway_exception", "run"]


def report_gateway_exception(
    message: str,
    detail: Mapping[str, Any] | None = None,
    level: str = "error",
    *,
    task: str | None = None,
    failure_type: str | None = None,
) -> str | None:
    """Keep one report for the gateway, as the platform's modules call it; return its id.

    `level` is info, warning, error or critical; error and critical count as failures. `task` is by default that of the run
    around it, `failure_type` is `exception`; both may stand in `detail`. Never raises for the spool's trouble: it is logged
    and None returned. Whatever is too long or no JSON is cut or made text.
    """
    from exporters.gateway_client import reporting

    return reporting.report(message, detail, level, task, failure_type)


def run(task: str, federation: str = "") -> "Run":
    """Return a run: `with run("name"):`, `async with run("name"):`, or `@run("name")` on a function, async or not."""
    from exporters.gateway_client.reporting import Run

    return Run(task, federation)


def __getattr__(name: str) -> Any:
    """Load the logging handler when it is first asked for."""
    if name == "ReportHandler":
        from exporters.gateway_client.handler import ReportHandler

        return ReportHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
