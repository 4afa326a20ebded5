"""The processes of the chain on one machine: their commands, environments, and what says that each is ready."""

import sys
from pathlib import Path

from local import environments, programs
from local.places import ALERTMANAGER, PROMETHEUS, SOURCE, VAR
from local.ports import HOST, Ports, url
from local.processes import Program


def _command(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def programs_of(ports: Ports, tenant: str | None, calm: bool) -> list[Program]:
    """Return the chain's programs, and the tenant's; `calm`: its story waits until no alert of it is left."""
    django = environments.of_django(ports)
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
             f"--storage.tsdb.path={PROMETHEUS / 'data'}", f"--web.listen-address={bind(ports.prometheus)}",
             f"--web.external-url={url(ports.prometheus)}/",
             # an Alertmanager that lost its memory hears of what fires within this time (1 min by default)
             "--rules.alert.resend-delay=10s"],
            ready=url(ports.prometheus) + "/-/ready",
        ),
        Program(
            "alertmanager",
            [str(programs.find("alertmanager")), f"--config.file={ALERTMANAGER / 'alertmanager.yml'}",
             f"--storage.path={ALERTMANAGER / 'data'}", f"--web.listen-address={bind(ports.alertmanager)}",
             f"--web.external-url={url(ports.alertmanager)}/", "--cluster.listen-address="],
            ready=url(ports.alertmanager) + "/-/ready",
        ),
        *_of_bridge(ports, django),
        Program(
            "gateway",
            [_command("route-management"), "web", f"--web.listen-address={bind(ports.gateway)}",
             f"--metrics.listen-address={bind(ports.gateway_metrics)}"],
            {"USERDB_URL": django["USERDB_URL"]},
            url(ports.gateway_metrics) + "/readyz",
        ),
    ]  # fmt: skip
    return chain + (_of_tenant(ports, tenant, calm, chain) if tenant else [])


def _of_bridge(ports: Ports, django: dict[str, str]) -> list[Program]:
    bind = f"{HOST}:{{}}".format
    return [
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
            "bridge-reconcile",
            [_command("alert-bridge"), "reconcile", f"--web.listen-address={bind(ports.reconcile)}"],
            django,
            url(ports.reconcile) + "/readyz",
        ),
    ]  # fmt: skip


def _of_tenant(ports: Ports, tenant: str, calm: bool, chain: list[Program]) -> list[Program]:
    environment = environments.of_tenant(tenant, ports)
    client = Program(
        "client",
        [_command("gateway-client"), "serve", f"--web.listen-address={HOST}:{ports.client}"],
        environment,
        url(ports.client) + "/readyz",
    )
    waits = [f"--wait-for={program.ready}" for program in [*chain, client]]
    story = [sys.executable, "-u", "-m", "local.sample", f"--tenant={tenant}", *waits]
    if calm:
        story.append(f"--calm={url(ports.prometheus)}")
    return [client, Program("sample", story, environment | {"PYTHONPATH": str(SOURCE)}, once=True)]
