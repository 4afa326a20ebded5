"""The kernel's count of processes that it killed for want of memory."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from exporters.gateway_client.cgroup import oom_kills
from tests.exporters.gateway_client.client import COMMAND, ROOT, Client, until

pytestmark = pytest.mark.processes

EVENTS = "low 0\nhigh 0\nmax 12\noom 2\noom_kill {count}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n"


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        ("0::/\n", "memory.events", EVENTS),
        ("0::/kubepods/pod7/sim\n", "kubepods/pod7/sim/memory.events", EVENTS),
        ("0::/kubepods/pod7/sim\n", "memory.events", EVENTS),  # the path of the host, the files of the container
        ("5:cpu:/a\n4:memory:/docker/1\n0::/\n", "memory/docker/1/memory.oom_control", CONTROL),
        ("4:memory,hugetlb:/docker/1\n", "memory/memory.oom_control", CONTROL),
    ],
    ids=["v2 root", "v2", "v2 in a container", "v1", "v1 in a container"],
)
def test_the_count_is_found_where_each_kernel_has_it(tmp_path: Path, groups: str, file: str, text: str) -> None:
    (tmp_path / "self").write_text(groups)
    (tmp_path / "sys" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys" / file).write_text(text.format(count=3))
    assert oom_kills(str(tmp_path / "self"), str(tmp_path / "sys")) == 3


def test_a_kernel_that_tells_nothing_is_no_trouble(tmp_path: Path) -> None:
    assert oom_kills(str(tmp_path / "self"), str(tmp_path / "sys")) is None


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """A control group of our own with 80 MB, where this machine lets us make one."""
    for parent, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        group = Path(parent) / f"mission-monitor-{tmp_path.name}"
        with suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text("80000000")
                yield group
                until(lambda group=group: not (group / "cgroup.procs").read_text())  # type: ignore[misc]
                group.rmdir()
                return
            group.rmdir()
    pytest.skip("no control group can be made here")


def test_a_run_that_the_kernel_kills_for_want_of_memory_is_named(client: Client, small_group: Path) -> None:
    command = [*COMMAND, "run", "--task", "grid", "--", sys.executable, "-c", "x = bytearray(400_000_000)"]
    join = f'echo $$ > {small_group}/cgroup.procs; exec "$@"'
    done = subprocess.run(["sh", "-c", join, "sh", *command], cwd=ROOT, check=False)
    assert done.returncode == 137
    report = client.report()
    assert (report["failure_type"], report["message"]) == (
        "out_of_memory", "grid: killed by the kernel: out of memory",
    )  # fmt: skip
