"""Asks each pod for its health; a change of it is an event."""

import requests

from exporters.route_management import report_container_status

_answered: dict[str, bool] = {}


def check(tenant: str, pod: str, url: str) -> bool:
    """Return whether the pod answers; called every 30 s."""
    try:
        answers = requests.get(f"{url}/healthz", timeout=5).ok
    except requests.RequestException:
        answers = False
    if _answered.get(pod, True) != answers:
        report_container_status(
            f"{pod} answers again" if answers else f"{pod} does not answer",
            {"tenant": tenant, "pod": pod},
            level="info" if answers else "error",
        )
    _answered[pod] = answers
    return answers
