"""What the tests on MariaDB need: its server's binaries (no service), and mysqlclient, which is compiled on this machine.

Called by `make test`, and by a person who runs the chain with `USERDB_URL=mysql://...`. With root's rights it installs what
is missing with apt, else it says exactly what to install.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from local.places import SOURCE
from runtime.flags import exit_codes
from runtime.settings import SettingsError

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/bin"])


def _has_program(name: str) -> bool:
    return shutil.which(name, path=_PATH) is not None


def _has_client_headers() -> bool:
    asked = ["pkg-config", "--exists", "mariadb"]
    return _has_program("pkg-config") and subprocess.run(asked, check=False).returncode == 0


def missing_packages() -> list[str]:
    """Return the Debian packages to install; empty when all is there."""
    packages = []
    if not _has_program("mariadbd"):
        packages.append("mariadb-server-core")
    if not (_has_program("mariadb") and _has_program("my_print_defaults")):
        packages.append("mariadb-client-core")
    if _imports_mysqlclient():
        return packages
    if not _has_client_headers():
        packages += ["libmariadb-dev", "pkg-config"]
    if not (_has_program("cc") or _has_program("gcc")):
        packages.append("gcc")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        packages += ["libc6-dev", "python3-dev"]
    return packages


def _imports_mysqlclient() -> bool:
    asked = [sys.executable, "-c", "import MySQLdb"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SettingsError(f"{' '.join(command[:3])} failed: see above")


def main() -> int:
    packages = missing_packages()
    if packages and (os.getuid() != 0 or not _has_program("apt-get")):
        names = " ".join(packages)
        raise SettingsError(f"as root: apt-get install --no-install-recommends {names}  (or: USERDB=sqlite make test)")
    if packages:
        sys.stderr.write(f"installing Debian's {' '.join(packages)}\n")
        _run(["apt-get", "-qq", "update"])
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *packages], quiet)
    if not _imports_mysqlclient():
        sys.stderr.write("compiling mysqlclient\n")
        requirements = str(SOURCE / "requirements" / "mysql.txt")
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements])
    return 0


if __name__ == "__main__":
    sys.exit(exit_codes("local.mysql", main))
