"""The sample tenant's feeder, and other mistakes, with the real OpenDSS."""

import sys

import pytest

from exporters.gateway_client.spool import Spool
from tests.exporters.gateway_client.client import ROOT, Client, counts

pytestmark = pytest.mark.processes

FEEDER = [sys.executable, str(ROOT / "examples" / "opendss" / "feeder.py")]
SCRIPT = "from dss import DSS; DSS.AllowForms = False\nfor c in {commands!r}: DSS.Text.Command = c"


def test_a_feeder_that_converges_is_a_success(client: Client, spool: Spool) -> None:
    done = client.run("--task", "feeder", "--", *FEEDER, "--load-kw", "500")
    assert done.returncode == 0
    assert b"village: 0.8271 0.8271 0.8271 pu" in done.stdout
    assert counts(spool, "feeder") == (1, 0, 0)


def test_a_feeder_that_does_not_converge_says_so_and_fails(client: Client, spool: Spool) -> None:
    done = client.run("--task", "feeder", "--", *FEEDER, "--load-kw", "1000")
    assert done.returncode == 1
    assert b"did not converge in 30 iterations" in done.stderr
    report = client.report()
    assert (report["failure_type"], report["task"], report["level"]) == ("no_convergence", "feeder", "error")
    assert "Status = NOT Solved" in report["detail"]["stdout"]
    assert counts(spool, "feeder") == (0, 1, 1)


@pytest.mark.parametrize(
    ("commands", "failure_type", "rule"),
    [
        (["redirect nowhere.dss"], "missing_file", "opendss-missing-file"),
        (["clear", "new circuit.x", "nonsense"], "simulator_error", "opendss-error"),
        (["clear", "new circuit.x", "new line.a bus1=a bus2=b linecode=none"], "simulator_error", "opendss-error"),
        (
            [
                "clear", "new circuit.feeder basekv=115",
                "new transformer.t buses=(sourcebus,b1) kvs=(115,12.47) kvas=(5000,5000) xhl=8",
                "new regcontrol.r transformer=t winding=2 vreg=120 band=0.01 ptratio=60 delay=0 tapdelay=0",
                "new line.a bus1=b1 bus2=b2 length=10 units=km", "new load.a bus1=b2 kv=12.47 kw=3000",
                "set maxcontroliter=2", "solve",
            ],
            "no_convergence", "opendss-control-iterations",
        ),
    ],
    ids=["no such file", "no such command", "no such line code", "control iterations"],
)  # fmt: skip
def test_opendss_own_errors_have_their_names(client: Client, commands: list[str], failure_type: str, rule: str) -> None:
    assert client.run("--", sys.executable, "-c", SCRIPT.format(commands=commands)).returncode == 1
    report = client.report()
    assert (report["failure_type"], report["detail"]["rule"]) == (failure_type, rule)
