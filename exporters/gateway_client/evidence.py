"""What goes into a failed run's report besides the verdict: the ends of its output, its cost, where it ran.

In: the child, its verdict. Out: the `Event`. Called by `runs.py`, for failed runs only.
"""

import os
import socket
from typing import Any

from exporters.gateway_client import events
from exporters.gateway_client.classify import Verdict
from exporters.gateway_client.masking import masked, masked_command
from exporters.gateway_client.process import Child, Ended
from exporters.gateway_client.spool import Event, Started
from exporters.gateway_client.streams import Tail

OUTPUT_BYTES = 8192
"""Of the end of each channel that goes into the report."""
_MARGIN = 8192
"""Bytes before it that are masked with it, so that no secret loses its name at the cut."""


def surroundings() -> dict[str, str]:
    """Return where this process runs, as far as it is known."""
    known = {
        "host": socket.gethostname(),
        "pod": os.environ.get("POD_NAME", ""),
        "namespace": os.environ.get("POD_NAMESPACE", ""),
        "image": os.environ.get("CONTAINER_IMAGE", ""),
        "tenant_id": os.environ.get("TENANT_ID", ""),
    }
    return {name: value for name, value in known.items() if value}


def output(tail: Tail) -> str:
    """Return the masked end of one channel, as text of at most OUTPUT_BYTES."""
    text = masked(tail.last(OUTPUT_BYTES + _MARGIN).decode("utf-8", "replace"))
    return text.encode()[-OUTPUT_BYTES:].decode("utf-8", "ignore")


def event(run: Started, child: Child, ended: Ended | None, verdict: Verdict) -> Event:
    """Return the report of a failed run."""
    detail: dict[str, Any] = {
        "run_id": run.run_id,
        "command": masked_command(child.command),
        **({"rule": verdict.rule} if verdict.rule else {}),
        **({"federation": run.federation} if run.federation else {}),
        "stdout": output(child.stdout),
        "stderr": output(child.stderr),
        "stdout_bytes": child.stdout.total,
        "stderr_bytes": child.stderr.total,
        **surroundings(),
    }
    seconds = 0.0
    if ended is not None:
        seconds = ended.seconds
        detail |= {
            "exit_code": ended.exit_code,
            "duration_seconds": round(ended.seconds, 3),
            "cpu_seconds": round(ended.cpu_seconds, 3),
            "peak_memory_bytes": ended.peak_memory,
        }
        if ended.signal is not None:
            detail |= {"signal": ended.signal, "core_dumped": os.WCOREDUMP(ended.status)}
        if ended.told:
            detail["signals_forwarded"] = list(ended.told)
    return events.make(
        task=run.task,
        failure_type=verdict.failure_type,
        level="error",
        message=f"{run.task}: {verdict.message}",
        detail=detail,
        occurred_at=run.started_at + seconds,
    )
