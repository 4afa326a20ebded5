"""`make run` and `make smoke`: starts the whole chain on this machine and tells what passes through it.

In: TENANT (the sample tenant's name, `none` for no sample), PORT_*, LOCAL_VAR, USERDB_URL. Out: one readable line for each
thing that passes; Ctrl-C stops everything. With `--smoke` it ends by itself: 0 once all is told, else 1 and the reason.
"""

import argparse
import os
import subprocess
import sys

from local import configuration, environments
from local.chain import programs_of
from local.places import LOGS, SOURCE, VAR
from local.ports import Ports
from local.processes import Processes
from runtime.flags import exit_codes
from runtime.settings import SettingsError, env_text

READY_SECONDS = 60.0


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, str(SOURCE / "manage.py"), "migrate", "--verbosity", "0"]
    done = subprocess.run(command, env=os.environ | environment, check=False)
    if done.returncode:
        raise SettingsError("userdb could not be migrated: see above")


def _django(environment: dict[str, str]) -> None:
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="alert_bridge.settings")
    import django

    django.setup()


def _require_ready(chain: Processes) -> None:
    late = chain.wait_ready(READY_SECONDS)
    if late:
        ends = "".join(f"\n{p.name} ({p.log}):\n{p.log.read_text()[-800:]}" for p in late if p.log.exists())
        raise SettingsError(f"not ready after {READY_SECONDS:.0f} s: {', '.join(p.name for p in late)}{ends}")


def run(smoke: bool) -> int:
    """Start the chain and stay with it."""
    ports = Ports.of_environment()
    name = env_text("TENANT", "demo")
    tenant = None if name == "none" else name
    if smoke and tenant is None:
        raise SettingsError("TENANT=none has no story to tell: run make smoke without it")
    ports.require_free()
    VAR.mkdir(parents=True, exist_ok=True)
    environment = environments.of_django(ports)
    _migrate(environment)
    _django(environment)
    from local import narration, seed  # models: not before Django's setup
    from local.sightings import Witness

    seed.fill(ports, tenant)
    environments.write(VAR / "environment", environment)
    if tenant:
        environments.write(environments.to_source(tenant), environments.of_tenant(tenant, ports))
    configuration.write_prometheus(ports, tenant)
    configuration.write_alertmanager(ports)
    with Processes(programs_of(ports, tenant, calm=smoke)) as chain:
        witness = Witness(ports, tenant, LOGS / "sample.log")
        _require_ready(chain)
        narration.say("The chain runs; Ctrl-C stops it.\n" + narration.addresses(ports, tenant) + "\n")
        tell = narration.smoke if smoke else narration.narrate
        return tell(chain, ports, tenant, witness)


def main() -> int:
    parser = argparse.ArgumentParser("python -m local.run", description="The whole chain on this machine.")
    parser.add_argument("--smoke", action="store_true", help="end by itself once the sample's alerts have been told")
    arguments = parser.parse_args()
    try:
        return exit_codes("run", lambda: run(arguments.smoke))
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")
        return 0


if __name__ == "__main__":
    sys.exit(main())
