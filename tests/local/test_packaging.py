"""What a wheel holds: every package and every file that a program reads beside its code."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("runtime", "userdb", "alert_bridge", "exporters", "local")


def test_every_package_is_named() -> None:
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in SHIPPED
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert named == there


@pytest.mark.gate
def test_a_wheel_holds_every_file_that_is_tracked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={tmp_path}", str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(["git", "ls-files", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {path for path in listed.stdout.split() if path not in held} == set()
