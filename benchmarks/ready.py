"""Waits for a server that a benchmark has started. Used by the scripts beside it."""

import time
import urllib.request
from contextlib import suppress


def wait_for(url: str) -> None:
    """Return once the URL answers 200; SystemExit when it does not within 30 s."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"{url} did not become ready")
