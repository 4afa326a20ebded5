"""How often a threshold would have been reached in the last 24 hours. Prometheus is asked; nothing is changed.

In: a policy, a tenant (or * for all), the threshold that somebody typed in. Out: a `Preview`. Called by `pages/policy.py`.

The question is the alert's own, as the running Prometheus tells it: the threshold typed in takes the place of the one in
force. It is asked once a minute of the day, and an alert counts when the answer held for as long as the rule's `for`.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from alert_bridge.alertmanager_api import AlertmanagerError, Conversation, TooMuch, peer_of
from runtime.closed_sets import EVERYONE
from runtime.settings import Secret, SettingsError

SPAN, STEP = 24 * 3600, 60
"""Seconds: how far back, and how often in it."""
_URL = Secret("PROMETHEUS_URL")
_DEFAULT = "http://127.0.0.1:9090"
_WRONG_URL = "PROMETHEUS_URL: write http://host:9090 or https://user:password@host/prefix"
_DEADLINE = 20.0
"""Seconds for all questions together: somebody waits for the page."""
_MOST_BYTES = 16 * 1024 * 1024
"""About 400 alerts that fire all day long: a threshold that is far too low."""
_THRESHOLD = re.compile(r"policy:mission_policy_threshold:known\{(?P<matchers>[^{}]*)\}")


class PreviewError(Exception):
    """There is no preview; the text says why, in a sentence for the page."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a threshold would have done."""

    alertname: str
    tenants: tuple[tuple[str, int], ...]
    """Whose alerts, and how many, the most first; "" is no tenant's."""
    since: datetime | None
    """The first moment that Prometheus knows of, when that is within the 24 hours; None: it knows all of them."""
    now: int
    """Alerts that would be firing at this moment."""

    @property
    def times(self) -> int:
        return sum(times for _, times in self.tenants)


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    query: str
    wait: float
    """The rule's `for`, in seconds."""


def preview(policy: str, tenant: str, threshold: float) -> Preview:
    """Return what the threshold would have done in the last 24 hours; raise PreviewError."""
    try:
        peer = peer_of((_URL.values() or (_DEFAULT,))[0], _WRONG_URL)
        with Conversation(peer, _DEADLINE, "/api/v1", _MOST_BYTES) as conversation:
            prometheus = _Prometheus(conversation)
            rule = prometheus.rule(policy)
            end = int(time.time()) // STEP * STEP
            known = prometheus.known_since(policy)
            series = prometheus.series(asked(rule.query, policy, tenant, threshold), end - SPAN, end)
    except TooMuch:
        raise PreviewError(
            "So many alerts would have been firing nearly all the time that they can't be counted here."
        ) from None
    except SettingsError as error:
        raise PreviewError(str(error)) from None
    except AlertmanagerError as error:
        raise PreviewError(f"Prometheus could not be asked, so there is no preview: {error}.") from None
    return _counted(rule, series, end, known)


def asked(query: str, policy: str, tenant: str, threshold: float) -> str:
    """Return an alert's expression with a threshold in the place of the one in force, for those whom it is meant for.

    For one tenant it is that tenant's own, which goes first; for all it leaves out those who have one of their own.
    """
    if tenant == EVERYONE:
        own = _known(policy, f'tenant!="{EVERYONE}"')
        return f"({_put(query, policy, '=', f'vector({threshold!r})')}) unless on (tenant) {own}"
    one = f'label_replace(vector({{}}), "tenant", "{tenant}", "", "")'
    return f"({_put(query, policy, '!=', one.format(repr(threshold)))}) and on (tenant) {one.format(1)}"


def _known(policy: str, matcher: str) -> str:
    return f'policy:mission_policy_threshold:known{{policy="{policy}", {matcher}}}'


def _put(query: str, policy: str, operator: str, instead: str) -> str:
    """Return the query with `instead` for the thresholds of this policy whose matcher of tenants has this operator."""

    def put(match: re.Match[str]) -> str:
        matchers = [matcher.strip() for matcher in match["matchers"].split(",")]
        meant = f'policy="{policy}"' in matchers and f'tenant{operator}"{EVERYONE}"' in matchers
        return instead if meant else match.group()

    return _THRESHOLD.sub(put, query)


class _Prometheus:
    """The three questions of one preview, on one connection."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def _get(self, path: str, **parameters: Any) -> Any:
        document = self._conversation.get(f"{path}?{urlencode(parameters)}").document
        if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
            raise PreviewError("PROMETHEUS_URL leads to something that does not answer as Prometheus does.")
        return document["data"]

    def rule(self, policy: str) -> _Rule:
        """Return the alert that compares with the policy's threshold; PreviewError when Prometheus runs none."""
        for group in self._get("/rules", type="alert").get("groups", []):
            for rule in group.get("rules", []):
                if rule.get("labels", {}).get("policy") == policy and _THRESHOLD.search(rule["query"]):
                    return _Rule(rule["name"], rule["query"], float(rule.get("duration", 0)))
        raise PreviewError(
            f"Prometheus runs no alert that compares with the threshold of {policy}: are its rules loaded?"
        )

    def known_since(self, policy: str) -> float:
        """Return since when, within the 24 hours and to about 5 minutes, it has thresholds; PreviewError when it has none."""
        known = _known(policy, f'tenant="{EVERYONE}"')
        found = self._get("/query", query=f"min(min_over_time(timestamp({known})[{SPAN}s:5m]))")["result"]
        if not found:
            raise PreviewError("Prometheus has no thresholds of the last 24 hours yet: try again in 5 minutes.")
        return float(found[0]["value"][1])

    def series(self, query: str, start: int, end: int) -> list[Any]:
        """Return the alerts that the expression finds, with the moments at which it does."""
        span = {"start": start, "end": end, "step": STEP, "timeout": f"{_DEADLINE:.0f}s"}
        return list(self._get("/query_range", query=query, **span)["result"])


def _counted(rule: _Rule, series: Sequence[Any], end: int, known: float) -> Preview:
    times: dict[str, int] = defaultdict(int)
    now = 0
    for one in series:
        fired = list(_fired([float(at) for at, _ in one["values"]], rule.wait))
        times[one["metric"].get("tenant", "")] += len(fired)
        now += bool(fired) and fired[-1] == end
    tenants = sorted(((tenant, n) for tenant, n in times.items() if n), key=lambda pair: (-pair[1], pair[0]))
    since = datetime.fromtimestamp(known, UTC) if known > end - SPAN + 10 * STEP else None
    return Preview(rule.name, tuple(tenants), since, now)


def _fired(moments: Sequence[float], wait: float) -> Iterator[float]:
    """Yield the last moment of each stretch without a gap that was as long as the rule waits."""
    begin = 0
    for place, moment in enumerate(moments):
        last = place + 1 == len(moments)
        if last or moments[place + 1] - moment > STEP:
            if moment - moments[begin] >= wait or wait < STEP:
                yield moment
            begin = place + 1
