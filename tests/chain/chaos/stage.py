"""The stage: MariaDB, two webs, two relays, reconciliation, a pair of Alertmanagers, three destinations, and what lies between.

Every way between two of them leads through something that can be cut: a `Tunnel`, or the `Front` before the webs.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from cryptography.fernet import Fernet

from local.programs import find
from tests.chain.chaos.destination import SECRET
from tests.chain.chaos.front import Front
from tests.chain.chaos.members import ROOT, Database, Member, Victim
from tests.chain.chaos.tunnel import Tunnel
from tests.chain.chaos.witness import Recorder
from tests.mariadb import MariaDB, free_port

BRIDGE = [sys.executable, "-c", "from alert_bridge.cli import main; main()"]
TOKEN = "webhook-token"
CHANNELS = {"hook": ("http", 0.0), "slow": ("http", 0.3), "mail": ("smtp", 0.0)}
"""Kind and seconds that each destination takes."""
_TELL = """
import json, os
from datetime import timedelta
from userdb.models import Channel
for name, values in json.loads(os.environ["CHANNELS"]).items():
    secret = values.pop("secrets", None)
    channel = Channel(name=name, repeat_after=timedelta(seconds=75), **values)
    if secret:
        channel.secrets = secret
    channel.save()
"""


@dataclass
class Stage:
    """`with Stage(folder) as stage:`: everything runs."""

    folder: Path
    victims: dict[str, Victim] = field(default_factory=dict)
    tunnels: dict[str, Tunnel] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Stage":
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def members(self) -> list[Member]:
        return [victim for victim in self.victims.values() if isinstance(victim, Member)]

    @property
    def alertmanagers(self) -> list[str]:
        """The pair's URLs, through tunnels."""
        return [f"http://127.0.0.1:{self.tunnels[name].port}" for name in ("alertmanager-1", "alertmanager-2")]

    def journal(self, channel: str) -> Path:
        return self.folder / f"{channel}.journal"

    def _build(self) -> None:
        self.server = MariaDB(self.folder / "db", free_port())
        self.server.folder.mkdir()
        self._stack.callback(self.server.stop, signal.SIGKILL)
        self.server.start()
        self.victims["mariadb"] = Database(self.server)
        self._tunnel("mariadb", self.server.port)
        self._destinations()
        # where they will listen is needed before they are started: everything is told of everything
        self._peers = {name: free_port() for name in ("alertmanager-1", "alertmanager-2")}
        for name, port in self._peers.items():
            self._tunnel(name, port)
        self.env = self._environment()
        manage = [sys.executable, str(ROOT / "manage.py")]
        for command in (["migrate"], ["shell", "-c", _TELL]):
            done = subprocess.run(
                [*manage, *command], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        webs = [self._bridge(f"web-{n}", "web") for n in (1, 2)]
        for name, command in (("relay-1", "relay"), ("relay-2", "relay"), ("reconcile", "reconcile")):
            self._bridge(name, command)
        self.front, self.recorder = Front(webs), Recorder()
        self._stack.callback(self.front.close)
        self._stack.callback(self.recorder.close)
        self._pair()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "USERDB_SECRET_KEYS": Fernet.generate_key().decode(),
            "USERDB_URL": f"mysql://root@127.0.0.1:{self.tunnels['mariadb'].port}/userdb",
            "WEBHOOK_TOKEN": TOKEN,
            "CHANNEL_ALLOWED_NETWORKS": "127.0.0.0/8",
            "ALERTMANAGER_URL": ",".join(self.alertmanagers),
            "RELAY_SEND_DEADLINE": "1",
            "RELAY_LEASE": "3",
            # what takes minutes in production takes seconds here; longer than an Alertmanager needs to be told all again
            "RECONCILE_INTERVAL": "1",
            "RECONCILE_GRACE": "6",
            "RECONCILE_UNSENT_AFTER": "10",
            "ALERTMANAGER_MIN_UPTIME": "10",
            "SELFWATCH_INTERVAL": "1",
            "WATCHDOG_TIMEOUT": "0",  # the plan has none
            "CHANNELS": json.dumps(self._channels()),
        }

    def _channels(self) -> dict[str, object]:
        def hook(name: str) -> dict[str, object]:
            url = f"http://127.0.0.1:{self.tunnels[name].port}/"
            return {"kind": "webhook", "secrets": {"url": url, "secret": SECRET}}

        mail = {
            "host": "127.0.0.1", "port": str(self.tunnels["mail"].port), "security": "none",
            "sender": "monitor@example.org", "recipients": "ops@example.org",
        }  # fmt: skip
        return {
            "hook": hook("hook"),
            "slow": hook("slow"),
            "mail": {"kind": "email", "config": mail, "matchers": 'severity="critical"'},
        }

    def _tunnel(self, name: str, to: int) -> Tunnel:
        made = self.tunnels[name] = Tunnel(to)
        self._stack.callback(made.close)
        return made

    def _member(self, name: str, command: list[str], ready: str, env: dict[str, str] | None = None) -> None:
        member = Member(name, command, env or dict(os.environ), self.folder, ready)
        self.victims[name] = member
        self._stack.callback(member.kill)
        member.start()

    def _bridge(self, name: str, command: str) -> int:
        port, site = free_port(), free_port()
        flags = [f"--web.listen-address=127.0.0.1:{port}"]
        if command == "web":
            flags = [f"--web.listen-address=127.0.0.1:{site}", f"--metrics.listen-address=127.0.0.1:{port}"]
        ready = f"tcp://127.0.0.1:{site}" if command == "web" else f"http://127.0.0.1:{port}/healthz"
        self._member(name, [*BRIDGE, command, *flags], ready, self.env)
        return site

    def _destinations(self) -> None:
        for name, (kind, delay) in CHANNELS.items():
            port = free_port()
            words = [kind, str(port), str(self.journal(name)), str(delay)]
            self.journal(name).touch()
            command = [sys.executable, "-m", "tests.chain.chaos.destination", *words]
            self._member(name, command, f"tcp://127.0.0.1:{port}")
            self._tunnel(name, port)

    def _pair(self) -> None:
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(self._routing()))
        gossip = {name: free_port() for name in self._peers}
        for name, port in self._peers.items():
            (other,) = (gossip[peer] for peer in self._peers if peer != name)
            command = [
                str(find("alertmanager")), f"--config.file={self.folder / 'alertmanager.yml'}",
                f"--storage.path={self.folder / name}", f"--web.listen-address=127.0.0.1:{port}",
                f"--web.external-url=http://{name}.example", "--web.route-prefix=/",
                f"--cluster.listen-address=127.0.0.1:{gossip[name]}", f"--cluster.peer=127.0.0.1:{other}",
                # below the group's interval, so that a steady pair sends nothing twice
                "--cluster.peer-timeout=1s", "--cluster.gossip-interval=100ms", "--cluster.pushpull-interval=5s",
                "--cluster.reconnect-interval=2s",
            ]  # fmt: skip
            self._member(name, command, f"http://127.0.0.1:{port}/-/healthy")

    def _routing(self) -> dict[str, object]:
        bridge = {
            "url": f"http://127.0.0.1:{self.front.server_port}/webhooks/alertmanager",
            "send_resolved": True,
            "http_config": {"follow_redirects": False, "authorization": {"credentials": TOKEN}},
        }
        recorder = {"url": f"http://127.0.0.1:{self.recorder.server_port}/", "send_resolved": True}
        return {
            "route": {"receiver": "alert-bridge", "group_by": ["alertname"], "group_wait": "500ms",
                      "group_interval": "2s", "repeat_interval": "10s"},
            "receivers": [{"name": "alert-bridge", "webhook_configs": [bridge, recorder]}],
        }  # fmt: skip
