"""Finds Prometheus, Alertmanager, their tools, and nginx: on PATH, else out of Debian's packages, unpacked below var/.

Nothing is installed and no service is started: apt keeps its lists in a folder of ours, so that not even root is needed.
Called by the local run and by the tests; `python -m local.programs` prints where they are.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.places import PROGRAMS
from runtime.flags import exit_codes
from runtime.settings import SettingsError

_NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),  # the second is Debian's name
    "amtool": ("amtool",),
    "nginx": ("nginx",),  # of the tests alone: the proxy of docker-compose.yml
}
_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "nginx": "nginx"}
_OF_ALERTMANAGER = "prometheus-alertmanager"
_SHARE = "/usr/share/prometheus/alertmanager"


def find(name: str) -> Path:
    """Return the path of one of the programs in `_NAMES`; SettingsError says what to install."""
    return _found(name) or _unpack(name)


def _found(name: str) -> Path | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", str(PROGRAMS)])
    for candidate in _NAMES[name]:
        found = shutil.which(candidate, path=path)
        if found:
            return Path(found)
    return None


def _unpack(name: str) -> Path:
    package = _PACKAGES.get(name, _OF_ALERTMANAGER)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        what = "nginx" if name == "nginx" else "Prometheus 2.42 and Alertmanager 0.25 or newer"
        raise SettingsError(f"{name} is not on PATH: install {what}")
    sys.stderr.write(f"{name} is not on PATH: unpacking Debian's package {package} below {PROGRAMS}\n")
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PROGRAMS) as scratch:
        _download(package, Path(scratch))
        for archive in Path(scratch).glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(archive), scratch], Path(scratch))
        # moved when whole: a run that is cut off leaves no half program behind
        for program in [*Path(scratch).glob("usr/bin/*"), *Path(scratch).glob("usr/sbin/*")]:
            if program.name == "prometheus-alertmanager":
                _relocate(program, Path(scratch) / _SHARE[1:])
            else:
                program.replace(PROGRAMS / program.name)
    found = _found(name)
    if found is None:
        raise SettingsError(f"Debian's package {package} holds no {name}")
    return found


def _relocate(program: Path, share: Path) -> None:
    """Place Debian's Alertmanager so that it finds its templates and pages, which it looks for below /usr/share.

    The path in the binary is replaced by one of the same length that leads through file descriptor 9, which a wrapper
    opens: nothing is written outside var/, and the working directory stays the caller's.
    """
    home = PROGRAMS / "alertmanager.d"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(share, home / "share")
    through = b"/proc/self/fd/9".ljust(len(_SHARE), b"/")
    (home / program.name).write_bytes(program.read_bytes().replace(_SHARE.encode(), through))
    (home / program.name).chmod(0o755)
    wrapper = program.with_name("alertmanager")
    here = shlex.quote(str(home))
    wrapper.write_text(f'#!/bin/sh\nexec {here}/{program.name} "$@" 9<{here}/share\n')
    wrapper.chmod(0o755)
    wrapper.replace(PROGRAMS / "alertmanager")


def _download(package: str, folder: Path) -> None:
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = [
        f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache={folder / 'cache'}",
        "Debug::NoLocking=1",
        f"APT::Sandbox::User={'root' if os.getuid() == 0 else ''}",
        "Acquire::Retries=3",
    ]
    apt = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
    _run([*apt, "update"], folder)
    _run([*apt, "download", package], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise SettingsError(
            f"{command[0]} failed ({said}): install the packages prometheus, {_OF_ALERTMANAGER} and nginx"
        )


def main() -> int:
    for name in _NAMES:
        sys.stdout.write(f"{name}: {find(name)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_codes("local.programs", main))
