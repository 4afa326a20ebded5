"""`gateway-client serve`: the exporter and the sender of one container, until SIGTERM. Called by `cli.py`."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY

from exporters.gateway_client.exposition import SpoolCollector
from exporters.gateway_client.sender import Sender, gateway_of_environment
from exporters.gateway_client.spool import Spool, SpoolError
from exporters.gateway_client.upkeep import keep_up, remove_dead_locks
from runtime.build import expose_build_info
from runtime.flags import Address, stop_on_signals
from runtime.port import MetricsPort
from runtime.settings import env_number

log = logging.getLogger(__name__)

_ROUND = 5.0
_LOG_BYTES = 1024 * 1024
"""From this size on the write-ahead log is folded into the file here, so that no `run` ever has to."""


def serve(at: Address, ca: str) -> int:
    """Expose metrics and health at the address and send what waits; return 0 when told to stop."""
    stop = stop_on_signals()
    for name in ("GATEWAY_SPOOL_ROWS", "GATEWAY_SPOOL_BYTES"):
        env_number(name, 1, 1, float("inf"))  # `run` takes the default for a wrong one: here it is said
    gateway = gateway_of_environment(ca)
    if gateway is None:
        log.warning("GATEWAY_URL is not set: reports are kept, none is sent")
    else:
        gateway.token()
    spool = Spool()
    expose_build_info()
    REGISTRY.register(SpoolCollector(spool))
    readiness: Mapping[str, Any] = {"spool": lambda: _trouble(spool)}
    MetricsPort("gateway-client serve", at, readiness).start()
    sending = None if gateway is None else _start_sender(Sender(spool, gateway), stop)
    while not stop.is_set():
        try:
            _keep_house(spool)
        except (SpoolError, OSError) as error:
            log.error("spool", extra={"error": str(error)})
        stop.wait(_ROUND)
    if sending is not None:
        sending.join(10)
    log.info("stopped")
    return 0


def _start_sender(sender: Sender, stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=sender.run, args=(stop,), name="sender", daemon=True)
    thread.start()
    return thread


def _trouble(spool: Spool) -> str | None:
    try:
        spool.waiting()
    except SpoolError as error:
        return str(error)
    return None


def _keep_house(spool: Spool) -> None:
    """Do for the others what is to be done, and fold the log."""
    keep_up(spool)
    spool.forget_old_failures()
    remove_dead_locks(spool)
    if spool.database.log_bytes() > _LOG_BYTES:
        spool.database.fold_log()
