"""`make run` and `make smoke`: starts the whole chain on this machine and tells what passes through it.

In: TENANT (the sample tenant's name, `none` for no sample), PORT_*, LOCAL_VAR, USERDB_URL. Out: one readable line for each
thing that passes; Ctrl-C stops everything. With `--smoke` it ends by itself: 0 once all is told, else 1 and the reason.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import requests

from local import configuration, credentials, programs, seed
from local.places import ALERTMANAGER, PROMETHEUS, SOURCE, VAR
from local.ports import HOST, Ports, url
from local.processes import Processes, Program
from local.sightings import FAILED, Sighting, Witness
from local.tally import Tally
from runtime.flags import exit_codes
from runtime.settings import SettingsError, env_text

READY_SECONDS = 60.0
SMOKE_SECONDS = 240.0
"""From the story's first run to everything told."""
_BEFORE_STORY = 10 * 60.0
_LOOK = 0.5
_COLOURS = {"run failed": "31", "alert firing": "31", "alert over": "32", "delivered": "1"}


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def django_environment(ports: Ports) -> dict[str, str]:
    """Return what the admin service's processes are given; a USERDB_URL of the user's own stays."""
    return {
        "USERDB_URL": env_text("USERDB_URL", f"sqlite:///{VAR / 'userdb.sqlite3'}"),
        "DJANGO_SECRET_KEY_FILE": str(credentials.path("django-secret-key")),
        "USERDB_SECRET_KEYS_FILE": str(credentials.path("userdb-secret-keys")),
        "WEBHOOK_TOKEN_FILE": str(credentials.path("webhook-token")),
        "BRIDGE_URL": url(ports.bridge),
        "PROMETHEUS_URL": url(ports.prometheus),
        "ALERTMANAGER_URL": url(ports.alertmanager),
    }


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, str(SOURCE / "manage.py"), "migrate", "--verbosity", "0"]
    done = subprocess.run(command, env=os.environ | environment, check=False)
    if done.returncode:
        raise SettingsError("userdb could not be migrated: see above")


def _seed(environment: dict[str, str], ports: Ports, tenant: str | None) -> None:
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="alert_bridge.settings")
    import django

    django.setup()
    seed.add_admin()
    seed.add_channels(ports)
    if tenant:
        seed.add_tenant(tenant)
        seed.write_tenant_environment(tenant, ports)


def _command(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _programs(ports: Ports, tenant: str | None, smoke: bool) -> list[Program]:
    django = django_environment(ports)
    bind = f"{HOST}:{{}}".format
    chain = [
        Program(
            "inbox",
            [sys.executable, "-m", "local.inbox", f"--web.listen-address={bind(ports.inbox)}",
             f"--smtp.listen-address={bind(ports.smtp)}"],
            {"PYTHONPATH": str(SOURCE), "LOCAL_VAR": str(VAR)},
            url(ports.inbox) + "/healthz",
        ),
        Program(
            "prometheus",
            [str(programs.find("prometheus")), f"--config.file={PROMETHEUS / 'prometheus.yml'}",
             f"--storage.tsdb.path={PROMETHEUS / 'data'}", f"--web.listen-address={bind(ports.prometheus)}"],
            ready=url(ports.prometheus) + "/-/ready",
        ),
        Program(
            "alertmanager",
            [str(programs.find("alertmanager")), f"--config.file={ALERTMANAGER / 'alertmanager.yml'}",
             f"--storage.path={ALERTMANAGER / 'data'}", f"--web.listen-address={bind(ports.alertmanager)}",
             "--cluster.listen-address="],
            ready=url(ports.alertmanager) + "/-/ready",
        ),
        Program(
            "bridge-web",
            [_command("alert-bridge"), "web", f"--web.listen-address={bind(ports.bridge)}",
             f"--metrics.listen-address={bind(ports.bridge_metrics)}"],
            django,
            url(ports.bridge_metrics) + "/readyz",
        ),
        Program(
            "bridge-relay",
            [_command("alert-bridge"), "relay", f"--web.listen-address={bind(ports.relay)}"],
            django,
            url(ports.relay) + "/readyz",
        ),
        Program(
            "gateway",
            [_command("route-management"), "web", f"--web.listen-address={bind(ports.gateway)}",
             f"--metrics.listen-address={bind(ports.gateway_metrics)}"],
            {"USERDB_URL": django["USERDB_URL"]},
            url(ports.gateway_metrics) + "/readyz",
        ),
    ]  # fmt: skip
    return chain + (_tenant_programs(ports, tenant, smoke, chain) if tenant else [])


def _tenant_programs(ports: Ports, tenant: str, smoke: bool, chain: list[Program]) -> list[Program]:
    environment = seed.tenant_environment(tenant, ports)
    client = Program(
        "client",
        [_command("gateway-client"), "serve", f"--web.listen-address={HOST}:{ports.client}"],
        environment,
        url(ports.client) + "/readyz",
    )
    waits = [f"--wait-for={program.ready}" for program in [*chain, client]]
    calm = [f"--calm={url(ports.prometheus)}"] if smoke else []
    story = [sys.executable, "-u", "-m", "local.sample", f"--tenant={tenant}", *waits, *calm]
    return [client, Program("sample", story, environment | {"PYTHONPATH": str(SOURCE)}, once=True)]


def _addresses(ports: Ports, tenant: str | None) -> str:
    lines = [
        f"Admin         {url(ports.bridge)}/admin/   login {seed.ADMIN}, password {credentials.read('admin-password')}",
        f"Inbox         {url(ports.inbox)}/   e-mails and webhooks that arrived",
        f"Prometheus    {url(ports.prometheus)}/alerts",
        f"Alertmanager  {url(ports.alertmanager)}/",
    ]
    if tenant:
        lines.append(
            f"As {tenant}:    . {seed.token_file(tenant).with_name('environment')}; gateway-client run --task mine -- false"
        )
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


def _narrate(chain: Processes, ports: Ports, tenant: str | None, witness: Witness) -> int:
    narrator, tally, told = Narrator(), Tally(), False
    while chain.alive():
        sightings = witness.look()
        narrator.tell(sightings)
        tally.add(sightings)
        if not told and not tally.missing():
            told = True
            say("\nThe whole story is told. Everything goes on until Ctrl-C:\n" + _addresses(ports, tenant) + "\n")
        time.sleep(_LOOK)
    raise SettingsError("supervisord ended: see var/log/supervisord.log")


def _smoke(chain: Processes, ports: Ports, witness: Witness) -> int:
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


def run(smoke: bool) -> int:
    """Start the chain and stay with it."""
    ports = Ports.of_environment()
    name = env_text("TENANT", "demo")
    tenant = None if name == "none" else name
    if smoke and tenant is None:
        raise SettingsError("TENANT=none has no story to tell: run make smoke without it")
    ports.require_free()
    VAR.mkdir(parents=True, exist_ok=True)
    environment = django_environment(ports)
    say(f"userdb: {environment['USERDB_URL'].rpartition('@')[2]}")
    _migrate(environment)
    _seed(environment, ports, tenant)
    seed.write_environment(VAR / "environment", environment)
    configuration.write_prometheus(ports, tenant)
    configuration.write_alertmanager(ports)
    witness = Witness(ports, tenant, VAR / "log" / "sample.log")
    with Processes(_programs(ports, tenant, smoke)) as chain:
        late = chain.wait_ready(READY_SECONDS)
        if late:
            ends = "".join(f"\n{p.name} ({p.log}):\n{p.log.read_text()[-800:]}" for p in late if p.log.exists())
            raise SettingsError(f"not ready after {READY_SECONDS:.0f} s: {', '.join(p.name for p in late)}{ends}")
        say("The chain runs; Ctrl-C stops it.\n" + _addresses(ports, tenant) + "\n")
        return _smoke(chain, ports, witness) if smoke else _narrate(chain, ports, tenant, witness)


def main() -> int:
    parser = argparse.ArgumentParser("python -m local.run", description="The whole chain on this machine.")
    parser.add_argument("--smoke", action="store_true", help="end by itself once the sample's alerts have been told")
    arguments = parser.parse_args()
    try:
        return exit_codes("run", lambda: run(arguments.smoke))
    except KeyboardInterrupt:
        say("stopped")
        return 0


if __name__ == "__main__":
    sys.exit(main())
