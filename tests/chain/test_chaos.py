"""Three minutes of the whole chain while each of its parts is killed, paused and cut off: nothing lost, no double unnamed.

The thirty minutes are `benchmarks/chaos.py`. A run that fails says its seed and keeps its folder.
"""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chain.chaos.run import play

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

SECONDS = 150.0
"""Of alerts and trouble; with the start, and until all is quiet, about three minutes."""


def test_nothing_is_lost_and_no_double_is_unnamed_whatever_dies() -> None:
    if os.environ.get("USERDB") == "sqlite":
        pytest.skip("USERDB=sqlite")
    seed, folder = random.randrange(1_000_000), Path(tempfile.mkdtemp(prefix="chaos-"))
    report = play(folder, SECONDS, seed)
    print(report.figures)
    assert report.faults == [], f"seed {seed}, logs in {folder}\n" + "\n".join(report.troubles)
    assert report.figures["episodes kept"] != 0
    shutil.rmtree(folder)
