"""One readable line for each thing that passes through the chain, until Ctrl-C or, for a smoke, until all is told."""

import json
import os
import sys
import time
from datetime import datetime

import requests

from local import credentials, environments
from local.ports import Ports, url
from local.processes import Processes
from local.seed import ADMIN
from local.sightings import FAILED, Sighting, Witness
from local.tally import Tally
from runtime.settings import SettingsError

SMOKE_SECONDS = 240.0
"""From the story's first run to everything told."""
_BEFORE_STORY = 10 * 60.0
_LOOK = 0.5
_COLOURS = {"run failed": "31", "alert firing": "31", "alert over": "32", "delivered": "1"}


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def addresses(ports: Ports, tenant: str | None) -> str:
    lines = [
        f"Admin         {url(ports.bridge)}/admin/   login {ADMIN}, password {credentials.read('admin-password')}",
        f"Inbox         {url(ports.inbox)}/   e-mails and webhooks that arrived",
        f"Prometheus    {url(ports.prometheus)}/alerts",
        f"Alertmanager  {url(ports.alertmanager)}/",
    ]
    if tenant:
        lines.append(f"As {tenant:<10} . {environments.to_source(tenant)}; gateway-client run --task mine -- false")
    return "\n".join(f"  {line}" for line in lines)


class Narrator:
    """Prints sightings, one line each, with the seconds since the last failed run."""

    def __init__(self) -> None:
        self._failed: datetime | None = None
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def tell(self, sightings: list[Sighting]) -> None:
        for seen in sightings:
            since = ""
            if seen.what == FAILED:
                self._failed = seen.at
            elif self._failed is not None:
                since = f"   +{max(0.0, (seen.at - self._failed).total_seconds()):.1f} s"
            what = f"{seen.what:<21}"
            if self._coloured and seen.what in _COLOURS:
                what = f"\033[{_COLOURS[seen.what]}m{what}\033[0m"
            say(f"{seen.at.astimezone():%H:%M:%S}  {what} {seen.text}{since}")


def narrate(chain: Processes, ports: Ports, tenant: str | None, witness: Witness) -> int:
    """Tell what passes until the run is interrupted."""
    narrator, tally, told = Narrator(), Tally(), False
    while chain.alive():
        sightings = witness.look()
        narrator.tell(sightings)
        tally.add(sightings)
        if not told and not tally.missing():
            told = True
            say("\nThe whole story is told. Everything goes on until Ctrl-C:\n" + addresses(ports, tenant) + "\n")
        time.sleep(_LOOK)
    raise SettingsError("supervisord ended: see var/log/supervisord.log")


def smoke(chain: Processes, ports: Ports, tenant: str | None, witness: Witness) -> int:
    """Tell what passes until the sample's story is told; return the exit code."""
    narrator, tally = Narrator(), Tally()
    ends = time.monotonic() + _BEFORE_STORY
    while chain.alive() and time.monotonic() < ends and not tally.trouble:
        begun = tally.began is not None
        sightings = witness.look()
        narrator.tell(sightings)
        tally.add(sightings)
        if tally.began is not None and not begun:
            ends = time.monotonic() + SMOKE_SECONDS
        if not tally.missing() and tally.ended is not None:
            return _arrived(ports, tally)
        time.sleep(_LOOK)
    sys.stderr.write(f"smoke: {tally.trouble or 'not seen in time: ' + ', '.join(tally.missing())}\n")
    return 1


def _arrived(ports: Ports, tally: Tally) -> int:
    """Compare with what the inbox really holds: each message once, each webhook signed."""
    letters = requests.get(url(ports.inbox) + "/messages", timeout=10).json()
    for told in tally.told.values():
        arrived = [letter for letter in letters if letter["key"] == told.key]
        if len(arrived) != 1 or arrived[0]["signature"] == "bad":
            sys.stderr.write(f"smoke: {told.text} arrived {len(arrived)} times: {arrived}\n")
            return 1
    say(json.dumps(tally.legs()))
    return 0
