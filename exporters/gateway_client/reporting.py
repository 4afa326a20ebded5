"""The Python side: reports and runs of this very process. Called through the package's public names.

In: a message, or a block of code. Out: the same rows in the spool as `gateway-client run` writes. Trouble with the spool is
logged and never raised: no program fails for its monitoring. Threads, tasks of an event loop and forked children may all
report at once.
"""

import asyncio
import atexit
import functools
import inspect
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from exporters.gateway_client import classify, events, rules
from exporters.gateway_client.database import spool_folder
from exporters.gateway_client.evidence import surroundings
from exporters.gateway_client.spool import Event, Spool, SpoolError, Started

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST_TRACEBACK = 16_384
_current: ContextVar["Run | None"] = ContextVar("mission_run", default=None)
_lock = threading.Lock()
_spool: Spool | None = None


def _the_spool() -> Spool:
    """Return this process' spool, opened at its first report."""
    global _spool
    with _lock:
        if _spool is None or _spool.folder != spool_folder():
            _spool = Spool()
        return _spool


def _before_fork() -> None:
    """Wait until no thread is inside SQLite: its own locks, copied while taken, would hang the child for ever."""
    _lock.acquire()
    if _spool is not None:
        _spool.database.hold()


def _after_fork_in_parent() -> None:
    if _spool is not None:
        _spool.database.let_go()
    _lock.release()


def _after_fork_in_child() -> None:
    """Nothing of the parent's connection may be used, not even to close it."""
    global _spool, _lock
    _lock = threading.Lock()
    if _spool is not None:
        _spool.forget()
        _spool = None


def _leave() -> None:
    if _spool is not None:
        _spool.leave()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_leave)


def report(
    message: str, detail: Mapping[str, Any] | None, level: str, task: str | None, failure_type: str | None
) -> str | None:
    """Keep one report; return its id, None when it could not be kept (which is logged)."""
    detail = dict(detail or {})
    run = _current.get()
    name = task or (run.task if run else "") or str(detail.get("task") or "") or os.environ.get("GATEWAY_TASK", "")
    kind = failure_type or str(detail.get("failure_type") or "exception")
    event = events.make(
        task=name,
        failure_type=kind,
        level=level,
        message=str(message),
        detail=detail | _ties(run) | surroundings(),
        occurred_at=time.time(),
    )
    try:
        _the_spool().keep(event)
    except (SpoolError, OSError) as error:
        return event.id if _beside(None, 0.0, event, error) else None
    return event.id


def _beside(run: Started | None, seconds: float, event: Event | None, error: Exception) -> bool:
    """Keep beside the spool what the spool does not take; return whether it is kept."""
    from exporters.gateway_client import journal

    try:
        place = journal.write(_the_spool(), run, seconds, event)
    except OSError as worse:
        log.error("report lost", extra={"error": f"{error}; {worse}"})
        return False
    log.warning("kept beside the spool until it can be written", extra={"error": str(error), "place": str(place)})
    return True


def _ties(run: "Run | None") -> dict[str, str]:
    """Return what ties a report to its run and its co-simulation."""
    known = {
        "run_id": run.run_id if run else os.environ.get("GATEWAY_RUN_ID", ""),
        "federation": (run.federation if run else "") or os.environ.get("GATEWAY_FEDERATION", ""),
    }
    return {name: value for name, value in known.items() if value}


class Run:
    """One run of a block of code: `with run("name"):`, `async with run("name"):`, or a decorator of a function.

    An exception that leaves the block makes it a failure, is reported with its traceback, and goes on.
    """

    def __init__(self, task: str, federation: str = "") -> None:
        self.task, self.federation = task, federation
        self.run_id = ""
        self._started = Started("", task, 0.0)
        self._began = 0.0
        self._token: Token[Run | None] | None = None

    def __enter__(self) -> "Run":
        self._begin()
        self._note_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note_end(self._end(), error)

    async def __aenter__(self) -> "Run":
        # at once: it takes no disk sync, and a cancellation in between would leave a run that never ends
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = self._end()
        # shielded: a second cancellation must not cost the report
        await asyncio.shield(asyncio.to_thread(self._note_end, seconds, error))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make each call of the function, async or not, a run of its own."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with Run(self.task, self.federation):
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], call_async)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with Run(self.task, self.federation):
                return function(*args, **kwargs)

        return call

    def _begin(self) -> None:
        self.run_id = os.urandom(16).hex()
        self._started = Started(self.run_id, self.task, time.time())
        self._began = time.monotonic()
        self._token = _current.set(self)

    def _end(self) -> float:
        if self._token is not None:
            _current.reset(self._token)
        return time.monotonic() - self._began

    def _note_start(self) -> None:
        try:
            _the_spool().start(self._started)
        except (SpoolError, OSError) as trouble:
            log.warning("run under way not noted", extra={"error": str(trouble)})

    def _note_end(self, seconds: float, error: BaseException | None) -> None:
        failed = error is not None and not (isinstance(error, SystemExit) and not error.code)
        event = self._event(error, seconds) if failed and error is not None else None
        try:
            _the_spool().finish(self._started, seconds, event)
        except (SpoolError, OSError) as trouble:
            _beside(self._started, seconds, event, trouble)

    def _event(self, error: BaseException, seconds: float) -> Event:
        trace = "".join(traceback.format_exception(error))
        failure_type, rule, message = name_exception(error, trace)
        return events.make(
            task=self.task,
            failure_type=failure_type,
            level="error",
            message=f"{self.task}: {message}",
            detail={
                **_ties(self),
                "exception": type(error).__qualname__,
                "traceback": trace[-_LONGEST_TRACEBACK:],
                "duration_seconds": round(seconds, 3),
                **({"rule": rule} if rule else {}),
                **surroundings(),
            },
            occurred_at=self._started.started_at + seconds,
        )


def name_exception(error: BaseException, trace: str) -> tuple[str, str, str]:
    """Return (failure type, rule, message) of an exception: by its class where that says it all, else by the rules."""
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    for kinds, failure_type in (
        (MemoryError, "out_of_memory"),
        (TimeoutError, "timeout"),
        (FileNotFoundError, "missing_file"),
        (KeyboardInterrupt, "signal"),
        (SystemExit, "nonzero_exit"),
        ((asyncio.CancelledError, GeneratorExit), "other"),
    ):
        if isinstance(error, cast(Any, kinds)):
            return failure_type, "", message
    found = classify.by_rule(rules.builtin(), trace.encode("utf-8", "replace"))
    if found is None:
        return "exception", "", message
    return found.failure_type, found.rule, message
