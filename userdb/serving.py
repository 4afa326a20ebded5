"""Serves a Django site: waitress, one process with threads, until SIGTERM. Shared by the two web processes.

One process, so that each scrape target tells one truth; more come as replicas.
"""

import errno
import logging
import signal
from types import FrameType
from typing import Any

import waitress

from runtime.flags import Address

log = logging.getLogger(__name__)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def serve(application: Any, at: Address, threads: int, body_limit: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first. OSError names an address that is in use."""
    try:
        server: Any = waitress.create_server(
            application,
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
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    log.info("listening", extra={"address": str(at), "threads": threads})
    try:
        server.run()  # waits for requests under way on SystemExit
    except OSError:
        log.exception("server stopped")
        raise
    finally:
        server.close()
    log.info("stopped")
