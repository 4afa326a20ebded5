"""Do the rules' tests notice? Each operator, matcher, number and wait is changed, one at a time: a test must fail."""

import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.programs import find
from tests.prometheus.mutants import Case, Mutant, cases_of, mutants
from tests.prometheus.rule_files import RULES, Rule

pytestmark = pytest.mark.gate

_BATCH = 20
"""Test files for one promtool: its start costs as much as a small test."""
# what no test of promtool notices: (rule, pattern of what is changed), each with its reason
_EQUIVALENT: tuple[tuple[str, str], ...] = (
    # the defaults are compared with userdb's first rows and with docs/policies.md: test_documents.py
    ("policy:mission_policy_threshold:builtin", r".* in \.\.\.vector\(.*"),
    # the value of an alert that always fires says nothing
    ("Watchdog", ".*"),
    # what is told is asked only while an exporter is not heard: that it is recorded only then spares 5,000 series
    ("pod:kube_pod_info:told", r"unless -> or .*"),
    # a memory limit of one byte
    ("container:mission_usage:ratio", r"0 -> 1 .*resource=\"memory\".*"),
    # a pod's last failure known for longer than its count of failures changes nothing
    ("tenant_task:mission_consecutive_failures:last1h", r"1h -> 2h .*mission_run_last_failure:told.*"),
)


def _is_noticeable(mutant: Mutant) -> bool:
    return not any(mutant.rule.name == name and re.fullmatch(what, mutant.what) for name, what in _EQUIVALENT)


def _verdicts(files: list[Path]) -> dict[Path, str]:
    """Return what promtool says of each test file."""
    # it collects no garbage in the seconds it lives, and leaves the other cores to the other runs
    env = os.environ | {"GOMAXPROCS": "1", "GOGC": "400"}
    command: list[str | Path] = [find("promtool"), "test", "rules", *files]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1500, env=env
    )
    parts = re.split(r"^Unit Testing:  (.*)$", done.stdout, flags=re.MULTILINE)[1:]
    return {Path(path): said for path, said in zip(parts[::2], parts[1::2], strict=True)}


def _run(files: list[Path]) -> dict[Path, str]:
    batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {path: said for found in pool.map(_verdicts, batches) for path, said in found.items()}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder in memory where there is one: each test of promtool makes a database."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def _unchanged(changed: list[Mutant], cases: list[Case], folder: Path) -> list[str]:
    """Return what fails with nothing changed."""
    by_name: dict[str, Rule] = {mutant.rule.name: mutant.rule for mutant in changed}
    written = {
        path: rule
        for n, (rule, case) in enumerate(itertools.product(by_name.values(), cases))
        if (path := case.write(rule, None, folder / f"same-{n}")) is not None
    }
    said = _run(list(written))
    return [f"{rule}: fails unchanged\n{said[path]}" for path, rule in written.items() if "SUCCESS" not in said[path]]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_every_changed_rule_is_noticed(file: Path, folder: Path) -> None:
    changed = [mutant for mutant in mutants(file) if _is_noticeable(mutant)]
    cases = cases_of(file)
    assert len(changed) > 20
    assert _unchanged(changed, cases, folder) == []
    for round_, case in enumerate(cases):
        # who was not noticed by one test file may be by the next
        written = {
            path: mutant
            for n, mutant in enumerate(changed)
            if (path := case.write(mutant.rule, mutant, folder / f"{round_}-{n}")) is not None
        }
        said = _run(list(written))
        unread = [f"{mutant}: does not parse" for path, mutant in written.items() if "could not parse" in said[path]]
        assert unread == []
        noticed = {mutant for path, mutant in written.items() if "FAILED" in said[path]}
        changed = [mutant for mutant in changed if mutant not in noticed]
    assert [str(mutant) for mutant in changed] == []
