"""Serves a Django site: waitress, one process with threads, until SIGTERM. Shared by the two web processes.

One process, so that each scrape target tells one truth; more come as replicas.
"""

import errno
import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

import waitress

from runtime.flags import Address

log = logging.getLogger(__name__)

_listening = threading.Event()


def trouble() -> str | None:
    """Readiness: None, or that the site's own port is not open yet (or any more): health is told before it is."""
    return None if _listening.is_set() else "the site does not listen yet"


WAITED, WAITING = "mission.waited", "mission.waiting"
"""Keys of a request's environ: the seconds that it waited for a thread, and how many wait behind it."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


class _Timed:
    """The application, told by each request's environ how long it has waited: a client may have hung up by now."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.server: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        # the only public way from a request to its connection; its last byte came when the request was complete
        channel = environ["waitress.client_disconnected"].__self__
        environ[WAITED] = max(0.0, time.time() - channel.last_activity)
        environ[WAITING] = len(self.server.task_dispatcher.queue)
        return self._application(environ, start_response)


def serve(application: Any, at: Address, threads: int, body_limit: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first. OSError names an address that is in use."""
    timed = _Timed(application)
    try:
        server: Any = waitress.create_server(
            timed,
            host=at.host or "0.0.0.0",  # noqa: S104  (an address without a host asks for every interface)
            port=at.port,
            threads=threads,
            # all groups of an Alertmanager are sent at once, 200 connections within 0.1 s (measured)
            connection_limit=1000,
            backlog=1024,
            # the site refuses what is above its limit, with JSON and a count; this is the last wall
            max_request_body_size=2 * body_limit,
            inbuf_overflow=8 * 1024 * 1024,
            channel_timeout=60,
            ident=None,
        )
    except OSError as error:
        raise OSError(error.errno, f"can't listen on {at}: {error.strerror}") from error
    except ValueError as error:  # waitress' word for a host that no resolver knows
        raise OSError(errno.EADDRNOTAVAIL, f"can't listen on {at}: {error}") from error
    timed.server = server
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    _listening.set()
    log.info("listening", extra={"address": str(at), "threads": threads})
    try:
        server.run()  # waits for requests under way on SystemExit
    except OSError:
        log.exception("server stopped")
        raise
    finally:
        _listening.clear()
        server.close()
    log.info("stopped")
