"""The Dockerfile's own steps without a builder: the context that .dockerignore lets through, the lock, an environment."""

import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.compose.files import ROOT, stages

pytestmark = pytest.mark.gate
IMAGES = {
    "client": ("gateway-client", "import exporters.gateway_client"),
    "sample": ("gateway-client", "import dss"),
    "gateway": ("route-management", "import django, MySQLdb, exporters.route_management.pods.service"),
    "admin": ("alert-bridge", "import django, MySQLdb, apprise, local.compose"),
}


def context(folder: Path) -> Path:
    """Copy what the builder would be sent."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        source = ROOT / line[1:]
        if line.startswith("!") and source.is_dir():
            shutil.copytree(source, folder / line[1:], ignore=shutil.ignore_patterns("__pycache__"))
        elif line.startswith("!"):
            shutil.copy(source, folder / line[1:])
    return folder


def run(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def steps(image: str) -> list[str]:
    """Return the `pip install` commands that fill the image's virtual environment, in order."""
    build = stages()[f"build-{image}"]
    parent = build[0].split()[1]
    before = steps(parent.removeprefix("build-")) if parent.startswith("build-") else []
    return [*before, *(line.removeprefix("RUN ") for line in build if line.startswith("RUN pip install"))]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("image", IMAGES)
def test_what_the_image_holds_starts(image: str, tmp_path: Path) -> None:
    folder = context(tmp_path)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    for step in steps(image):
        run([binaries / "python", "-m", *step.split()], folder)
    program, imports = IMAGES[image]
    assert run([binaries / program, "--version"], folder)
    run([binaries / "python", "-c", imports], tmp_path / "venv")


def test_the_tenants_image_holds_no_django() -> None:
    assert "django" not in (ROOT / "requirements" / "client.txt").read_text().lower()
