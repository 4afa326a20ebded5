"""How often the kernel has killed for want of memory in this container. Called by `runs.py` before and after a run.

Control groups version 2 (`memory.events`) and version 1 (`memory.oom_control`). The counter is of the whole container: a
run looks whether it rose meanwhile.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC, _SYS = "/proc/self/cgroup", "/sys/fs/cgroup"


def oom_kills(proc: str = _PROC, sys: str = _SYS) -> int | None:
    """Return the kernel's count of processes killed here, None where it tells none."""
    for path in _files(proc, sys):
        with suppress(OSError, ValueError), Path(path).open(encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _files(proc: str, sys: str) -> Iterator[str]:
    """Yield where the count may stand: our own group first, then the root as a container sees it."""
    with suppress(OSError), Path(proc).open(encoding="utf-8") as file:
        for line in file:
            _, controllers, group = line.rstrip("\n").split(":", 2)
            group = group.rstrip("/")
            if controllers == "":
                yield f"{sys}{group}/memory.events"
            elif "memory" in controllers.split(","):
                yield f"{sys}/memory{group}/memory.oom_control"
    yield f"{sys}/memory.events"
    yield f"{sys}/memory/memory.oom_control"
