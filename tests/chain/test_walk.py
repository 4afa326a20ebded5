"""An operator's Monday, in order, on the real chain: a threshold changed in the pages, the alert that follows, its page, a
silence, the bridge taken away and given back. What happened has been told then, and nothing as resolved that is not."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.places import SOURCE
from tests.chain.conftest import Run, run_in, until

pytestmark = [pytest.mark.chain, pytest.mark.timeout(600)]
TENANT = "walker"
BIN = Path(sys.executable).parent


class Walk:
    """The operator: a browser's session with the pages, and a shell of the tenant."""

    def __init__(self, run: Run) -> None:
        self.run, self.folder = run, run.var.parent
        port = run.environment.__getitem__
        self.bridge, self.prometheus, self.alertmanager = (
            f"http://127.0.0.1:{port(name)}" for name in ("PORT_BRIDGE", "PORT_PROMETHEUS", "PORT_ALERTMANAGER")
        )
        self.pages = requests.Session()
        self.shell: dict[str, str] = {}

    def login(self) -> None:
        password = (self.run.var / "secrets" / "admin-password").read_text().strip()
        answer = self.post("/admin/login/", username="admin", password=password)
        assert answer.status_code == 302, answer.text[-500:]

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send a page's form as a browser does."""
        url = self.bridge + path
        page = self.pages.get(url, timeout=20)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text[:500]
        data = fields | {"csrfmiddlewaretoken": token[1]}
        return self.pages.post(url, data=data, headers={"Referer": url}, allow_redirects=False, timeout=20)

    def become_tenant(self) -> None:
        """Make the tenant's token by the gateway's command, and the environment of its shell."""
        variables = dict(
            re.findall(r"^export (\w+)='?(.*?)'?$", (self.run.var / "environment").read_text(), re.MULTILINE)
        )
        command = [BIN / "route-management", "token", "create", TENANT]
        made = subprocess.run(
            command, env=variables | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
        )
        self.shell = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TENANT_ID": TENANT,
            "GATEWAY_URL": f"http://127.0.0.1:{self.run.environment['PORT_GATEWAY']}",
            "GATEWAY_TOKEN": made.stdout.split()[-1],
            "GATEWAY_SPOOL": str(self.folder / "spool"),
        }

    def fail(self, times: int, *command: str) -> None:
        """Run a simulation that fails, so many times, and have the failures sent."""
        for _ in range(times):
            wrapped = [BIN / "gateway-client", "run", "--task", "solve", "--", *command]
            done = subprocess.run(wrapped, env=self.shell, capture_output=True, check=False, cwd=SOURCE)
            assert done.returncode != 0
        subprocess.run([BIN / "gateway-client", "flush"], env=self.shell, check=True, capture_output=True)

    def firing(self) -> set[str]:
        """Return the failure types of RepeatedFailures that fire for the tenant, by Prometheus' word."""
        found = requests.get(f"{self.prometheus}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        ours = [a["labels"] for a in found if a["state"] == "firing" and a["labels"].get("tenant") == TENANT]
        return {labels["failure_type"] for labels in ours if labels["alertname"] == "RepeatedFailures"}

    def counted(self) -> set[str]:
        """Return how many failures of the tenant the rule counts; the alert is evaluated with it."""
        query = f'tenant_type:mission_failures:count5m{{tenant="{TENANT}"}}'
        answer = requests.get(f"{self.prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
        return {series["value"][1] for series in answer["data"]["result"]}

    def told(self) -> list[tuple[str, str]]:
        """Return (kind, failure type) of what arrived by webhook, in order."""
        found = []
        for file in sorted((self.run.var / "inbox").glob("*.json")):
            letter = json.loads(file.read_text())
            document = json.loads(letter["text"]) if letter["way"] == "webhook" else {}
            if document.get("labels", {}).get("tenant") == TENANT:
                found.append((document["kind"], document["labels"].get("failure_type", "")))
        return found

    def take_the_bridge_away(self, seconds: float) -> None:
        """Kill each of its processes as often as it comes back."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for pid, words in self.run.processes().items():
                if re.search(r"alert-bridge (web|relay|reconcile)", words):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
            time.sleep(0.3)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    with run_in(tmp_path) as run:
        run.start(TENANT="none")
        until(lambda: "The chain runs" in run.said(), 120)
        made = Walk(run)
        made.login()
        made.become_tenant()
        yield made


def a_threshold_of_one_tenant_is_followed_within_a_minute(walk: Walk) -> None:
    walk.fail(2, "false")
    # the rule has counted both: with the threshold of all, two are not told
    until(lambda: walk.counted() == {"2"}, 60)
    assert walk.firing() == set()
    answer = walk.post(
        "/admin/userdb/alertpolicy/add/", policy="repeated_failures", tenant=TENANT, threshold="2", note="a walk"
    )
    assert answer.status_code == 302, answer.text[-2000:]
    until(lambda: walk.firing() == {"nonzero_exit"}, 60)
    until(lambda: ("firing", "nonzero_exit") in walk.told(), 60)


def alert_page(walk: Walk) -> str:
    """Return the path of the page of the tenant's alert, found as an operator finds it: by a search."""
    listing = walk.pages.get(f"{walk.bridge}/admin/userdb/alert/?q={TENANT}", timeout=20).text
    found = re.search(r"/admin/userdb/alert/\d+/change/", listing)
    assert found, listing[:500]
    return found[0]


def the_alerts_page_tells_the_whole_story(walk: Walk) -> None:
    page = walk.pages.get(walk.bridge + alert_page(walk), timeout=20).text
    for part in ("solve", "nonzero_exit", "inbox-webhook", "inbox-email", "200"):
        assert part in page


def a_silence_of_the_page_is_alertmanagers_own(walk: Walk) -> None:
    path = alert_page(walk).replace("change/", "silences/")
    matchers = f'tenant="{TENANT}"\nfailure_type="nonzero_exit"'
    answer = walk.post(path, matchers=matchers, duration="30m", comment="a walk")
    assert answer.status_code == 302, answer.text[-2000:]
    silences = requests.get(f"{walk.alertmanager}/api/v2/silences", timeout=10).json()
    assert [(s["createdBy"], s["status"]["state"]) for s in silences] == [("admin", "active")]
    # reconciliation has asked Alertmanager, and the front page says so
    until(lambda: "1 of them silenced or inhibited" in walk.pages.get(f"{walk.bridge}/admin/", timeout=20).text, 90)


def nothing_is_lost_and_nothing_is_told_as_resolved_while_the_bridge_is_away(walk: Walk) -> None:
    before = walk.told()
    for silence in requests.get(f"{walk.alertmanager}/api/v2/silences", timeout=10).json():
        requests.delete(f"{walk.alertmanager}/api/v2/silence/{silence['id']}", timeout=10)
    # another kind of failure, while nobody can hear of it: by the counters of userdb, which the bridge would expose
    walk.fail(3, sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    walk.take_the_bridge_away(60)
    assert walk.told()[: len(before)] == before
    until(lambda: ("firing", "signal") in walk.told(), 90)
    assert not [kind for kind, _ in walk.told() if kind == "resolved"]
    assert walk.firing() == {"nonzero_exit", "signal"}
    assert walk.told().count(("firing", "nonzero_exit")) == 1


def test_an_operators_monday(walk: Walk) -> None:
    # one after the other: each step stands on the one before
    a_threshold_of_one_tenant_is_followed_within_a_minute(walk)
    the_alerts_page_tells_the_whole_story(walk)
    a_silence_of_the_page_is_alertmanagers_own(walk)
    nothing_is_lost_and_nothing_is_told_as_resolved_while_the_bridge_is_away(walk)
