"""Calls an address outside (HEARTBEAT_URL) while all is well, so that somebody notices the day the bridge itself is gone.

In: named checks of the bridge's own way, and the readiness of other processes (HEARTBEAT_READY). Out: one GET every
HEARTBEAT_INTERVAL, none while a check says why not. Runs in `alert-bridge reconcile`. What is wrong further out (a channel,
Prometheus) the bridge tells by itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from prometheus_client import Counter, Gauge

from alert_bridge import conditions
from alert_bridge.channels import http
from alert_bridge.channels.base import DeliveryError
from alert_bridge.selfwatch import SelfWatch
from runtime.settings import Secret, SettingsError, env_list, env_number

log = logging.getLogger(__name__)

URL = Secret("HEARTBEAT_URL")
RESULTS = ("sent", "failed", "withheld")
BEATS = Counter("mission_heartbeats_total", "Calls of HEARTBEAT_URL that were due, by what became of them.", ["result"])
for _result in RESULTS:
    BEATS.labels(_result)
LAST_SENT = Gauge("mission_heartbeat_last_sent_timestamp_seconds", "When HEARTBEAT_URL last took a call.")
_READY_DEADLINE = 5.0


def interval() -> float:
    """Return the seconds between two calls (HEARTBEAT_INTERVAL)."""
    return env_number("HEARTBEAT_INTERVAL", 60.0, 0.1, 3600.0)


def require_settings() -> None:
    """Raise SettingsError when a setting can't be used; no text of it holds the URL, which may be a token."""
    interval()
    for url in URL.values()[:1]:
        try:
            http.check_url("HEARTBEAT_URL", url)
        except ValueError:
            raise SettingsError("HEARTBEAT_URL: write http://host/path or https://host/path") from None
    for url in env_list("HEARTBEAT_READY"):
        try:
            http.check_url("HEARTBEAT_READY", url)
        except ValueError as error:
            raise SettingsError(str(error)) from None


def readiness(url: str) -> str | None:
    """Return None when the URL answers with 2xx, else one sentence, which holds no more of it than where it leads."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] + parts.path
    try:
        status = http.call(url, _READY_DEADLINE).status
    except DeliveryError as error:
        return f"{place} does not answer: {error.answer}"
    return None if 200 <= status < 300 else f"{place} answers {status}"


def checks_of(watch: SelfWatch, rounds: Callable[[], str | None]) -> dict[str, Callable[[], str | None]]:
    """Return the checks of the bridge's own way: userdb, the rounds of both loops, and that somebody sends."""

    def userdb() -> str | None:
        return None if watch.readings is not None else "the last round of the self-watch could not read it"

    def relay() -> str | None:
        return next((sign.summary for sign in conditions.relay_gone(watch.readings)), None) if watch.readings else None

    return {"userdb": userdb, "self-watch": watch.trouble, "reconciliation": rounds, "relay": relay}


@dataclass
class Heartbeat:
    """`step` is one call; `run` makes one every interval until it is told to stop."""

    checks: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    deadline: float = 10.0
    """Seconds that a call may take in all, however the other side dribbles."""

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.step()
            except Exception:
                # a thread that died would look like a bridge that is gone, without a word why
                BEATS.labels("failed").inc()
                log.exception("heartbeat failed")
            stop.wait(max(0.1, interval() - (time.monotonic() - began)))

    def step(self) -> str | None:
        """Call once if all is well; return what became of it, None where no HEARTBEAT_URL is set."""
        urls = URL.values()
        if not urls:
            return None
        why = self._why_not()
        result = self._call(urls[0]) if why is None else "withheld"
        if why is not None:
            log.warning("heartbeat withheld", extra={"reason": why})
        BEATS.labels(result).inc()
        return result

    def _why_not(self) -> str | None:
        """Return the first thing that is wrong on the bridge's own way; None when all is well."""
        for name, check in self.checks.items():
            trouble = check()
            if trouble is not None:
                return f"{name}: {trouble}"
        return next(filter(None, map(readiness, env_list("HEARTBEAT_READY"))), None)

    def _call(self, url: str) -> str:
        try:
            http.judge(http.call(url, self.deadline))
        except DeliveryError as error:
            # the answer may repeat the URL: the kind of failure alone is said
            log.warning("heartbeat not taken", extra={"reason": error.reason, "status": error.status})
            return "failed"
        LAST_SENT.set_to_current_time()
        return "sent"
