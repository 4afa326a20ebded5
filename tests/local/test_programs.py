"""Prometheus and Alertmanager: from PATH under either name, else unpacked, else what to install is said."""

import subprocess
from pathlib import Path

import pytest

from local import programs
from runtime.settings import SettingsError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH, and nothing unpacked yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "PROGRAMS", tmp_path / "programs")
    return folder


def test_debians_name_of_alertmanager_is_found_on_path(path: Path) -> None:
    program = path / "prometheus-alertmanager"
    program.touch(mode=0o755)
    assert programs.find("alertmanager") == program


def test_without_apt_it_says_what_to_install(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"promtool is not on PATH: install Prometheus 2\.42"):
        programs.find("promtool")


def test_a_failing_apt_is_told_with_its_own_words(path: Path) -> None:
    for name in ("apt-get", "dpkg-deb"):
        (path / name).write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        (path / name).chmod(0o755)
    with pytest.raises(SettingsError, match=r"apt-get failed \(E: no network\): install the packages prometheus,"):
        programs.find("prometheus")


@pytest.mark.parametrize("name", ["prometheus", "promtool", "alertmanager", "amtool"])
def test_each_program_runs(name: str) -> None:
    said = subprocess.run([programs.find(name), "--version"], capture_output=True, text=True, check=True)
    assert "version" in said.stdout + said.stderr
