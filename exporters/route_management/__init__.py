"""The gateway's side: reports API, request middleware, and the platform's own word about its containers."""

from typing import Any

__all__ = ["report_container_status"]


def report_container_status(message: str, detail: dict[str, Any] | None = None, level: str = "info") -> None:
    """Write one `container` event into userdb, as the platform's modules call it.

    `level` is info, warning, error or critical (ValueError otherwise); a `tenant` in `detail` that userdb knows is the
    event's tenant. Raises django.db.Error when userdb can't take the row. Needs a Django project with `userdb` installed.
    """
    from exporters.route_management.container_status import write  # Django's models: not before its setup

    write(message, detail, level)
