"""The command `alert-bridge`: `web` (webhook, pages), `relay` (sends), `reconcile` (asks Alertmanager), `replay`, `resend`."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alert_bridge import replay_flags, resend_flags
from runtime import logs
from runtime.build import expose_build_info
from runtime.flags import add_listen_flag, add_log_flags, add_version, exit_codes, stop_on_signals, threads
from runtime.port import MetricsPort
from runtime.settings import SettingsError


def _django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alert_bridge.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    from userdb.health import require_migrated

    try:
        django.setup()
        require_migrated()
    except ImproperlyConfigured as error:  # a driver that is not installed, a setting that Django refuses
        raise SettingsError(" ".join(str(error).split())) from error


def web(arguments: argparse.Namespace) -> int:
    """Serve the webhook and the admin pages, with the tick and the bridge's own watch in the background."""
    _django()
    from django.core.wsgi import get_wsgi_application
    from prometheus_client import REGISTRY

    from alert_bridge import admission, checks, conditions, selfwatch, webhook
    from alert_bridge.refusals import REFUSED
    from alert_bridge.tick import Tick
    from userdb import health, serving

    checks.require_secret_keys()
    checks.require_channel_settings()
    selfwatch.require_settings()
    admission.queue_limit()
    tick, stop = Tick(), threading.Event()
    watch = selfwatch.SelfWatch(conditions.ALL, REFUSED.recent)
    REGISTRY.register(tick)
    readiness = {
        "userdb": health.trouble,
        "site": serving.trouble,
        "webhook token": webhook.token_trouble,
        "channel secrets": checks.secrets_readiness,
        "tick": tick.trouble,
        "self-watch": watch.trouble,
    }
    MetricsPort("alert-bridge web", arguments.metrics_listen_address, readiness).start()
    with _beside(stop, tick.run, watch.run):
        serving.serve(get_wsgi_application(), arguments.web_listen_address, arguments.threads, webhook.body_limit())
    return 0


@contextmanager
def _beside(stop: threading.Event, *loops: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run each loop in a thread of its own until the block ends."""
    threads = [threading.Thread(target=loop, args=(stop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


def relay(arguments: argparse.Namespace) -> int:
    """Send what is owed until told to stop."""
    _django()
    from alert_bridge import alertmanagers, checks, claims, confirmation, message
    from alert_bridge.relay import Relay
    from userdb import health

    checks.require_secret_keys()
    checks.require_channel_settings()
    claims.lease()
    message.bridge_url()
    alertmanagers.peers()
    confirmation.minimum_uptime()
    worker = Relay(stop_on_signals())
    readiness = {"userdb": health.trouble, "channel secrets": checks.secrets_readiness, "rounds": worker.trouble}
    MetricsPort("alert-bridge relay", arguments.web_listen_address, readiness).start()
    worker.run()
    return 0


def reconcile(arguments: argparse.Namespace) -> int:
    """Compare userdb with every Alertmanager until told to stop, the bridge's own watch and the heartbeat beside it."""
    _django()
    from alert_bridge import alertmanagers, heartbeat, selfwatch
    from alert_bridge.reconcile import Reconcile
    from alert_bridge.retention import Retention
    from alert_bridge.retention import settings as ages
    from userdb import health

    alertmanagers.peers()
    selfwatch.require_settings()
    heartbeat.require_settings()
    stop = stop_on_signals()
    worker, watch, retention = Reconcile(stop), selfwatch.SelfWatch(), Retention(ages())
    pulse = heartbeat.Heartbeat(heartbeat.checks_of(watch, worker.rounds))
    readiness = {
        "userdb": health.trouble,
        "rounds": worker.rounds,
        "alertmanagers": worker.peers,
        "self-watch": watch.trouble,
    }
    MetricsPort("alert-bridge reconcile", arguments.web_listen_address, readiness).start()
    with _beside(stop, watch.run, pulse.run, retention.run):
        worker.run()
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Apply stored webhooks again."""
    _django()
    from alert_bridge import replay_command

    return replay_command.run(arguments)


def retention(arguments: argparse.Namespace) -> int:
    """Delete what has grown old."""
    _django()
    from alert_bridge.retention import command

    return command(arguments.dry_run)


def resend(arguments: argparse.Namespace) -> int:
    """Send dead letters again."""
    _django()
    from alert_bridge import resend_command

    return resend_command.run(arguments)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("alert-bridge", description="Alertmanager's webhooks in, alerts kept, admins told.")
    add_version(made)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    site = commands.add_parser("web", help="webhook and admin pages")
    add_listen_flag(site, ":8000", "webhook and pages")
    add_listen_flag(site, ":8100", "metrics and health", "metrics")
    site.add_argument("--threads", type=threads, default=16, help="requests at once; default: 16")
    site.set_defaults(run=web)
    sender = commands.add_parser("relay", help="sends what is owed")
    add_listen_flag(sender, ":8101", "metrics and health")
    sender.set_defaults(run=relay)
    comparer = commands.add_parser("reconcile", help="finds out what webhooks never said")
    add_listen_flag(comparer, ":8102", "metrics and health")
    comparer.set_defaults(run=reconcile)
    again = commands.add_parser("replay", help="applies stored webhooks again")
    replay_flags.add(again)
    again.set_defaults(run=replay)
    keeper = commands.add_parser("retention", help="deletes what has grown old, once; reconcile does so every hour")
    keeper.add_argument("--dry-run", action="store_true", help="count what would be deleted, and delete nothing")
    keeper.set_defaults(run=retention)
    letters = commands.add_parser("resend", help="sends dead letters again")
    resend_flags.add(letters)
    letters.set_defaults(run=resend)
    for command in (site, sender, comparer, again, keeper, letters):
        add_log_flags(command)
    return made


def main() -> None:
    arguments = parser().parse_args()
    logs.configure(arguments.log_level, arguments.log_format)
    expose_build_info()
    run: Callable[[argparse.Namespace], int] = arguments.run
    sys.exit(exit_codes(f"alert-bridge {arguments.command}", lambda: run(arguments)))
