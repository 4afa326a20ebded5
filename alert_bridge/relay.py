"""Sends what is owed: one worker a channel, so that a slow or dead destination harms nobody else.

In: the outbox (`Notification`). Out: messages through `channels/`, and a row for each try. `step` is one round; the loop in
`run` calls it until the process is told to stop. At least once under one idempotency key: what a process that dies leaves
open is sent again by the next one when the lease is over.
"""

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from prometheus_client import Counter, Gauge, Histogram

from alert_bridge import claims, confirmation, delivery, digest_message, digests, evidence, message
from alert_bridge.channels.base import REASONS, DeliveryError, Message, Receipt, TemporaryError
from alert_bridge.claims import Claim, Recorded, Start
from alert_bridge.retry import pause
from userdb import health
from userdb.models import Channel, MonitorEvent
from userdb.router import alias
from userdb.transactions import UserdbAway

log = logging.getLogger(__name__)

POLL, POLL_IDLE = 0.05, 0.2
"""Seconds between rounds: what a notification waits on average is half of it. The longer one when nothing was sent lately."""
_LATELY = 5.0
_SELDOM = 1.0
"""Seconds between looks at what is no hurry: channels that were switched off, what is late."""
WORKERS = 256
"""The most channels that may hang at once before another has to wait. A thread is made when it is needed."""
_OUTAGE = 3
"""Failures in a row after which the next success says that a destination is back, not that one message was odd."""
_AWAY = 2.0
"""Seconds between rounds while userdb is away."""
_TROUBLE = (DatabaseError, InterfaceError, UserdbAway)
_RECORDING = 300.0
"""Seconds for which a worker tries to record a result while userdb is away."""

NOTIFICATIONS = Counter(
    "mission_notifications_total",
    "Tries to send a notification, by what became of them.",
    ["channel", "result", "reason"],
)
DELAY = Histogram(
    "mission_notification_delay_seconds",
    "From the webhook's receipt to the destination's acceptance, quiet hours left out; in a digest, of each member.",
    ["channel"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
LATE = Counter(
    "mission_notifications_late_total",
    "Notifications that could not be sent in time: a digest tells them.",
    ["channel"],
)
LAST_ROUND = Gauge("mission_relay_last_round_timestamp_seconds", "When the relay last looked for what is owed.")


@dataclass
class _Seat:
    """What this process knows of one channel."""

    busy: "Future[None] | None" = None
    failures: int = 0
    rests_until: float = 0.0
    looked_for_late: float = 0.0
    worked: float = 0.0


@dataclass
class Relay:
    """One relay process. Several may run at once."""

    stop: threading.Event = field(default_factory=threading.Event)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    last_round: float = field(default_factory=time.monotonic)
    _seats: dict[int, _Seat] = field(default_factory=dict)
    _asking: "Future[None] | None" = None
    _voided: float = 0.0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="relay")

    def run(self) -> None:
        """Send until `stop` is set; what is under way is finished first."""
        while not self.stop.is_set():
            try:
                self.step()
                wait = self._poll()
            except _TROUBLE as error:
                log.error("userdb away", extra={"error": str(error)})
                health.UP.set(0)
                connections[alias()].close()
                wait = _AWAY
            self.stop.wait(wait)
        self._pool.shutdown(wait=True)
        log.info("stopped")

    def _poll(self) -> float:
        lately = time.monotonic() - _LATELY
        return POLL if any(seat.worked > lately for seat in self._seats.values()) else POLL_IDLE

    def step(self) -> None:
        """Start one worker for each channel for which something is due and that has none."""
        close_old_connections()
        if time.monotonic() - self._voided >= _SELDOM:
            claims.void_of_disabled()
            self._voided = time.monotonic()
        # beside the sends: the Alertmanagers have 5 s to answer
        if (self._asking is None or self._asking.done()) and confirmation.pending():
            self._asking = self._pool.submit(confirmation.run)
        for channel, waits in claims.channels():
            seat = self._seat(channel)
            if waits and (seat.busy is None or seat.busy.done()) and time.monotonic() >= seat.rests_until:
                seat.busy = self._pool.submit(self._work, channel)
        self.last_round = time.monotonic()
        LAST_ROUND.set_to_current_time()
        health.UP.set(1)

    def trouble(self) -> str | None:
        """Readiness: None, or that the rounds have stopped."""
        age = time.monotonic() - self.last_round
        return f"no round for {age:.0f} s" if age > 30 else None

    def _seat(self, channel: Channel) -> _Seat:
        if channel.pk not in self._seats:
            NOTIFICATIONS.labels(channel.name, "delivered", "")
            for reason in REASONS:
                NOTIFICATIONS.labels(channel.name, "failed", reason)
            LATE.labels(channel.name)
            digests.count_from_zero(channel)
            self._seats[channel.pk] = _Seat()
        return self._seats[channel.pk]

    def _work(self, channel: Channel) -> None:
        try:
            self.deliver_due(channel)
        except _TROUBLE as error:
            log.error("userdb away", extra={"channel": channel.name, "error": str(error)})
        except Exception:
            log.exception("relay worker failed", extra={"channel": channel.name})
            raise
        finally:
            connections[alias()].close()

    def deliver_due(self, channel: Channel) -> int:
        """Send everything of one channel that is due now, in order; return how many tries were made."""
        tries, seat = 0, self._seat(channel)
        while held := self._take(channel):
            for place, claim in enumerate(held):
                if self.stop.is_set() or time.monotonic() < seat.rests_until:
                    claims.give_back(held[place:])
                    return tries
                tries += self._try(channel, claim)
            seat.worked = time.monotonic()
        # what waits is another relay's just now, or beyond the limit: no worker every few milliseconds for it
        seat.rests_until = max(seat.rests_until, time.monotonic() + (0.0 if tries else POLL_IDLE))
        return tries

    def _take(self, channel: Channel) -> list[Claim]:
        seat = self._seat(channel)
        if time.monotonic() - seat.looked_for_late >= _SELDOM:
            late = claims.mark_late(channel.pk)
            LATE.labels(channel.name).inc(late)
            seat.looked_for_late = time.monotonic()
        return claims.take(channel.pk)

    def _try(self, channel: Channel, claim: Claim) -> int:
        # read first: between the claim's renewal and the send userdb is asked for nothing
        behind = evidence.of(claim.notification)
        start = claims.start(claim, self.name)
        if start is None:
            return 0
        began = time.monotonic()
        try:
            result: Receipt | DeliveryError = send(start, behind)
        except DeliveryError as error:
            result = error
        milliseconds = int((time.monotonic() - began) * 1000)
        chance = random.random()  # noqa: S311  (spreads tries, keeps no secret)
        recorded = self._record(start, result, milliseconds, chance)
        if isinstance(result, Receipt):
            self._delivered(channel, start, recorded)
        else:
            self._failed(channel, start, result, recorded, chance)
        return 1

    def _record(self, start: Start, result: Receipt | DeliveryError, milliseconds: int, chance: float) -> Recorded:
        """Record the result, for as long as it takes: a lost record is a message told twice."""
        ends = time.monotonic() + _RECORDING
        while True:
            try:
                if isinstance(result, Receipt):
                    return claims.delivered(start, result, milliseconds)
                return claims.failed(start, result, milliseconds, chance)
            except _TROUBLE:
                connections[alias()].close()
                if time.monotonic() >= ends or self.stop.is_set():
                    raise
                self.stop.wait(1)

    def _delivered(self, channel: Channel, start: Start, recorded: Recorded) -> None:
        seat = self._seat(channel)
        if seat.failures >= _OUTAGE and start.contents is None:
            claims.wake(channel)
        seat.failures, seat.rests_until = 0, 0.0
        NOTIFICATIONS.labels(channel.name, "delivered", "").inc()
        delays = [max(0.0, (recorded.at - moment).total_seconds()) for moment in start.counts_from]
        for delay in delays:
            DELAY.labels(channel.name).observe(delay)
        fields = {"channel": channel.name, "notification": start.notification.pk, "kind": start.notification.kind}
        log.info(
            "notification delivered",
            extra={
                **fields,
                "delay": f"{max(delays):.2f}",
                "told": len(delays),
                "claim_kept": recorded.state is not None,
            },
        )

    def _failed(self, channel: Channel, start: Start, error: DeliveryError, recorded: Recorded, chance: float) -> None:
        seat = self._seat(channel)
        if isinstance(error, TemporaryError):
            seat.failures += 1
            # a service that has had too much refuses every message until then; an error asks for this one message alone
            asked = error.retry_after if error.reason == "rate_limited" else None
            seat.rests_until = time.monotonic() + pause(seat.failures, chance, asked).total_seconds()
        NOTIFICATIONS.labels(channel.name, "failed", error.reason).inc()
        fields = {"channel": channel.name, "notification": start.notification.pk, "reason": error.reason}
        log.warning(
            "notification not delivered",
            extra={**fields, "status": error.status, "state": recorded.state or "claim lost"},
        )


def send(start: Start, behind: Sequence[MonitorEvent] = ()) -> Receipt:
    """Send one message, with the events behind it, through its channel; raise DeliveryError without a secret, nothing else."""
    return delivery.deliver(start.notification.channel, lambda: _write(start, behind))


def _write(start: Start, behind: Sequence[MonitorEvent]) -> Message:
    if start.contents is not None:
        return digest_message.write(start.notification, start.contents)
    return message.write(start.notification, start.firing_was_told, behind, start.carries_end)
