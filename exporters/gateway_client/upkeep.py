"""What any process of a spool does for the others. Called by `serving.py` every few seconds and by `runs.py` at a run's end.

Runs whose process died without a word (kill -9, the container's end) are ended as failures, once, whoever sees them first;
journals written while the spool took nothing are taken in; locks of the dead are removed.
"""

import time
import uuid

from exporters.gateway_client import journal
from exporters.gateway_client.locks import FileLock
from exporters.gateway_client.spool import Spool, Started

_OLD = 3600.0


def keep_up(spool: Spool) -> int:
    """Do what is to be done; return how many runs and lines were added. Raises SpoolError, OSError."""
    count = journal.take_in(spool)
    for run in spool.lost_runs():
        count += _end(spool, run)
    return count


def _end(spool: Spool, run: Started) -> bool:
    from exporters.gateway_client import events
    from exporters.gateway_client.evidence import surroundings

    ties = {"run_id": run.run_id, **({"federation": run.federation} if run.federation else {})}
    seconds = max(0.0, time.time() - run.started_at)
    event = events.make(
        task=run.task,
        failure_type="signal",
        level="error",
        message=f"{run.task}: ended without a word: its wrapper was killed, or its container ended",
        detail={**ties, "seen_after_seconds": round(seconds, 1), **surroundings()},
        occurred_at=time.time(),
        identifier=str(uuid.UUID(run.run_id)),
    )
    return spool.finish(run, seconds, event, only_if_running=True)


def remove_dead_locks(spool: Spool) -> None:
    """Remove the lock files of processes that died long ago."""
    folder = spool.folder / "alive"
    for path in folder.iterdir() if folder.exists() else ():
        if time.time() - path.stat().st_mtime > _OLD:
            lock = FileLock(path)
            if lock.take():
                path.unlink(missing_ok=True)
                lock.release()
