"""The kernel's count of processes that it killed for want of memory."""

from pathlib import Path

import pytest

from exporters.gateway_client.cgroup import oom_kills

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
