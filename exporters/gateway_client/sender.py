"""Hands over what waits: batches of reports to the gateway, deleted only when it has them. Called by `serving.py`, `runs.py`,
`status.py`.

One sender a spool, under a file lock that the kernel gives back when its holder dies. At least once under each report's id:
a reply that was lost sends its batch again, and the gateway knows the ids.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Sequence

import requests
import urllib3

from exporters.gateway_client.answers import Answer, Decision, Then, backoff, decide
from exporters.gateway_client.locks import FileLock
from exporters.gateway_client.masking import masked
from exporters.gateway_client.spool import Kept, Spool, SpoolError
from runtime.build import version
from runtime.settings import Secret, SettingsError, env_text

log = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 100, 256 * 1024
POLL = 0.5
"""Seconds between looks into the spool: what a report waits on average is half of it."""
_QUIET = 3600.0
"""Seconds between two log lines that say that the token is refused."""
_LONGEST_ANSWER = 1024 * 1024


class _Bearer(requests.auth.AuthBase):
    """Our token, whatever a .netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Gateway:
    """The reports API over HTTP. TLS is verified; proxies come from the environment."""

    def __init__(self, url: str, ca: str = "", timeout: tuple[float, float] = (5.0, 30.0)) -> None:
        self.url = f"{url.rstrip('/')}/api/v1/events"
        self.secret = Secret("GATEWAY_TOKEN")
        self._timeout = timeout
        self._session = requests.Session()
        # given with each request: a session's own gives way to REQUESTS_CA_BUNDLE
        self._verify: str | bool = ca or True
        self._session.headers.update({"User-Agent": f"gateway-client/{version()}", "Content-Type": "application/json"})

    def token(self) -> str:
        """Return the token in force; raise SettingsError when there is none."""
        return self.secret.required("the reporter token of this tenant")

    def post(self, reports: Sequence[Kept], token: str) -> Answer:
        """Send the reports; silence and broken connections are an answer of status 0."""
        body = b'{"events":[' + b",".join(report.body.encode() for report in reports) + b"]}"
        try:
            with self._session.post(
                self.url,
                data=body,
                auth=_Bearer(token),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            ) as response:
                text = response.raw.read(_LONGEST_ANSWER, decode_content=True).decode("utf-8", "replace")
                return Answer(response.status_code, text, response.headers.get("Retry-After", ""))
        except (requests.RequestException, OSError, urllib3.exceptions.HTTPError) as error:
            return Answer(0, masked(f"{type(error).__name__}: {error}"))


class Sender:
    """Sends one spool's reports. `step` is one round; the loop in `run` calls it until told to stop."""

    def __init__(self, spool: Spool, gateway: Gateway) -> None:
        self.spool, self.gateway = spool, gateway
        self.lock = FileLock(spool.folder / "sender.lock")
        self.failures = 0
        self.due = 0.0
        """When the next try is due (monotonic)."""
        self._most = BATCH
        self._refused_token = ""
        self._asked_at = ""
        self._said_refused = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; the request under way is finished first."""
        while not stop.is_set():
            try:
                if (self.lock.held or self.lock.take()) and self.is_due():
                    while not stop.is_set() and self.step():
                        pass
            except (SpoolError, SettingsError, OSError) as error:
                log.error("can't send", extra={"error": str(error)})
                self._wait(None)
            stop.wait(POLL)
        self.lock.release()

    def is_due(self) -> bool:
        """Whether to try now; a new token, or somebody who asks, is a reason not to wait."""
        if time.monotonic() >= self.due:
            return True
        asked_at, self._asked_at = self._asked_at, self.spool.told().get("asked_at", "")
        return asked_at != self._asked_at or (self._refused_token != "" and self.gateway.token() != self._refused_token)

    def step(self) -> bool:
        """Send the oldest batch; return whether to go on at once."""
        batch = self.spool.batch(self._most, BATCH_BYTES)
        if not batch:
            return False
        token = self.gateway.token()
        pending = [batch]
        while pending:
            reports = pending.pop()
            answer = self.gateway.post(reports, token)
            decision = decide(answer, [report.id for report in reports])
            if decision.then is Then.SPLIT:
                half = len(reports) // 2
                pending += [reports[half:], reports[:half]]
                self._most = max(1, half) if answer.status == 413 else self._most
            elif decision.then is Then.SETTLE:
                self._settle(reports, decision)
            else:
                self._not_delivered(reports, answer, decision, token)
                return False
        self._most = min(BATCH, self._most * 2)
        return True

    def _settle(self, reports: Sequence[Kept], decision: Decision) -> None:
        reasons = dict(decision.refused)
        delivered = [report for report in reports if report.id not in reasons]
        refused = [(report, reasons[report.id]) for report in reports if report.id in reasons]
        self.spool.settle(delivered, refused, decision.results)
        for identifier, reason in decision.refused:
            log.error("report refused, set aside", extra={"event": identifier, "reason": reason[:500]})
        if delivered:
            log.info("reports delivered", extra={"count": len(delivered), "waited_for": self.failures})
        if self.failures:
            self.spool.tell(failures="0", next_try_at="0", last_error="")
        self.failures, self.due, self._refused_token = 0, 0.0, ""

    def _not_delivered(self, reports: Sequence[Kept], answer: Answer, decision: Decision, token: str) -> None:
        self.spool.settle([], [], decision.results)
        (result,) = decision.results
        self._wait(decision.pause)
        pause = max(0.0, self.due - time.monotonic())
        text = f"{answer.status or 'no answer'}: {answer.text[:300]}"
        self.spool.tell(failures=str(self.failures), next_try_at=str(time.time() + pause), last_error=text)
        fields = {"result": result, "status": answer.status, "waiting": len(reports), "next_try_s": f"{pause:.1f}"}
        if result != "unauthorized":
            log.warning("reports not delivered", extra={**fields, "answer": answer.text[:300]})
            return
        self._refused_token = token
        if time.monotonic() - self._said_refused >= _QUIET:
            self._said_refused = time.monotonic()
            log.error("the gateway refuses GATEWAY_TOKEN: reports are kept until it is accepted", extra=fields)

    def _wait(self, pause: float | None) -> None:
        self.failures += 1
        chance = random.random
        # what was asked for is kept to, and spread a little over those who were asked the same
        seconds = backoff(self.failures, chance) if pause is None else pause * (1 + 0.1 * chance())
        self.due = time.monotonic() + seconds


def gateway_of_environment(ca: str = "", timeout: tuple[float, float] = (5.0, 30.0)) -> Gateway | None:
    """Return the gateway that GATEWAY_URL names, None without one; raise SettingsError for one that can't be used."""
    url = env_text("GATEWAY_URL", "")
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"GATEWAY_URL: {url!r} is no http:// or https:// address")
    if "@" in url.split("/")[2]:
        raise SettingsError("GATEWAY_URL: holds a user or password: use GATEWAY_TOKEN")
    ca = ca or env_text("GATEWAY_CA", "")
    if ca and not os.access(ca, os.R_OK):
        raise SettingsError(f"GATEWAY_CA: {ca} can't be read")
    return Gateway(url, ca, timeout)


def try_once(spool: Spool, seconds: float) -> None:
    """Send what waits for at most so many seconds, unless another sender is at it or has just failed."""
    told = spool.told()
    rests = float(told.get("next_try_at") or 0) - time.time()
    if 0 < rests < 700:
        return
    gateway = gateway_of_environment(timeout=(seconds, seconds))
    if gateway is None:
        return
    logging.getLogger(__package__).setLevel(logging.CRITICAL)  # standard error is the simulator's
    sender = Sender(spool, gateway)
    sender.failures = int(told.get("failures") or 0) + 1
    ends = time.monotonic() + seconds
    # said beforehand, taken back by a success: when the gateway is silent, the runs after this one do not wait for it too
    spool.tell(
        failures=str(sender.failures), next_try_at=str(time.time() + backoff(sender.failures, lambda: 1.0) + seconds)
    )

    def work() -> None:
        try:
            if sender.lock.take():
                while time.monotonic() < ends and sender.step():
                    pass
        except (SpoolError, SettingsError, OSError) as error:
            os.write(2, f"gateway-client: reports wait: {error}\n".encode())
        finally:
            sender.lock.release()

    thread = threading.Thread(target=work, name="sender", daemon=True)
    thread.start()
    thread.join(seconds)
