"""`gateway-client status` and `flush`: a look into the spool, and sending now, for people and preStop hooks."""

import json
import sqlite3
import sys
import time
from typing import Any

from exporters.gateway_client.locks import FileLock
from exporters.gateway_client.sender import Sender, gateway_of_environment
from exporters.gateway_client.spool import Spool, SpoolError
from exporters.gateway_client.upkeep import keep_up, remove_dead_locks
from runtime.settings import SettingsError

_STEP = 0.1


def facts(spool: Spool) -> dict[str, Any]:
    """Return what `status --json` prints. Ages and times in seconds."""

    def work(connection: sqlite3.Connection) -> dict[str, Any]:
        waiting, size = connection.execute("SELECT reports, bytes FROM totals").fetchone()
        oldest = connection.execute("SELECT kept_at FROM report ORDER BY n LIMIT 1").fetchone()
        told = dict(connection.execute("SELECT name, value FROM word").fetchall())
        tallies = connection.execute("SELECT name, label, count FROM tally ORDER BY name, label").fetchall()
        tasks = connection.execute(
            "SELECT label, successes, failures, consecutive_failures,"
            " (SELECT count(*) FROM running WHERE running.label = task.label) FROM task ORDER BY label"
        ).fetchall()
        names = ("task", "successes", "failures", "consecutive_failures", "in_progress")
        return {
            "spool": str(spool.folder),
            "waiting": waiting,
            "waiting_bytes": size,
            "oldest_seconds": round(max(0.0, time.time() - oldest[0]), 1) if oldest else 0.0,
            "quarantined": connection.execute("SELECT count(*) FROM quarantine").fetchone()[0],
            "dropped": {label: count for name, label, count in tallies if name == "dropped"},
            "reports": {label: count for name, label, count in tallies if name == "reports"},
            "failures_in_a_row": int(told.get("failures", 0)),
            "next_try_in_seconds": round(max(0.0, float(told.get("next_try_at", 0)) - time.time()), 1),
            "last_error": told.get("last_error", ""),
            "tasks": [dict(zip(names, row, strict=True)) for row in tasks],
        }

    return spool.database.read(work) | {"sender_at_work": _sender_at_work(spool)}


def _sender_at_work(spool: Spool) -> bool:
    lock = FileLock(spool.folder / "sender.lock")
    if not lock.take():
        return True
    lock.release()
    return False


def show(as_json: bool) -> int:
    """Print the spool's state; return 0, or 1 when it can't be read."""
    spool = Spool()
    try:
        found = facts(spool)
    except SpoolError as error:
        sys.stderr.write(f"gateway-client status: {error}\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    sys.stdout.write("\n".join(_lines(found)) + "\n")
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    sender = "a sender is at work" if found["sender_at_work"] else "no sender is at work"
    lines = [
        f"spool      {found['spool']} ({sender})",
        f"waiting    {found['waiting']} reports, {found['waiting_bytes']} bytes, the oldest for {found['oldest_seconds']:g} s",
        f"refused    {found['quarantined']} set aside",
        "dropped    " + (", ".join(f"{n} for {reason}" for reason, n in found["dropped"].items()) or "none"),
        "sent       " + (", ".join(f"{n} {result}" for result, n in found["reports"].items()) or "none yet"),
    ]
    if found["failures_in_a_row"]:
        lines.append(
            f"trouble    {found['failures_in_a_row']} tries failed, next in {found['next_try_in_seconds']:g} s"
        )
        lines.append(f"           {found['last_error']}")
    for task in found["tasks"]:
        lines.append(
            f"task       {task['task']}: {task['successes']} succeeded, {task['failures']} failed"
            f" ({task['consecutive_failures']} in a row), {task['in_progress']} under way"
        )
    return lines if found["tasks"] else [*lines, "task       none has run yet"]


def flush(wait: float, quarantined: bool) -> int:
    """Send what waits, for at most so many seconds; return 0 when nothing waits any more, else 1 and say why."""
    spool = Spool()
    ends = time.monotonic() + wait
    try:
        keep_up(spool)
        remove_dead_locks(spool)
        if quarantined:
            sys.stdout.write(f"{spool.release_quarantine()} refused reports are to be sent again\n")
        waiting = spool.waiting()
        if waiting:
            waiting = _send(spool, ends)
    except (SpoolError, OSError) as error:
        sys.stderr.write(f"gateway-client flush: {error}\n")
        return 1
    if waiting:
        why = spool.told().get("last_error") or "not within the time"
        sys.stderr.write(f"gateway-client flush: {waiting} reports wait: {why}\n")
    return 1 if waiting else 0


def _send(spool: Spool, ends: float) -> int:
    """Send, or let the sender at work do it; return how many reports wait at the end."""
    gateway = gateway_of_environment(timeout=(2.0, max(2.0, ends - time.monotonic())))
    if gateway is None:
        raise SettingsError("GATEWAY_URL is not set: there is nowhere to send to")
    sender = Sender(spool, gateway)
    if not sender.lock.take():
        spool.ask_to_send()
    while (waiting := spool.waiting()) and time.monotonic() < ends:
        if sender.lock.held and sender.is_due() and sender.step():
            continue
        time.sleep(_STEP)
    sender.lock.release()
    return waiting
