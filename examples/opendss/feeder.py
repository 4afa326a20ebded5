#!/usr/bin/env python3
"""A rural feeder in OpenDSS: one load at the end of 100 km of line, solved once.

    python examples/opendss/feeder.py --load-kw 500     converges, prints the voltages, exits 0
    python examples/opendss/feeder.py --load-kw 1000    does not converge in 30 iterations, says so, exits 1

The load draws constant power at any voltage (`vminpu=0`), so that beyond what the line can carry there is no solution. It
needs `dss-python` (OpenDSS as a library) and knows nothing of the monitoring: `gateway-client run` wraps it from outside.
"""

import argparse
import sys

from dss import DSS

_CIRCUIT = (
    "clear",
    "new circuit.feeder basekv=12.47 pu=1.0 phases=3 bus1=substation",
    "new linecode.overhead nphases=3 r1=0.3 x1=0.4 r0=0.3 x0=0.4 units=km",
    "new line.feeder bus1=substation bus2=village linecode=overhead length=100 units=km",
    "new load.village bus1=village phases=3 kv=12.47 kw={load_kw:g} pf=0.95 model=1 vminpu=0",
    "set voltagebases=[12.47]",
    "calcvoltagebases",
    "set maxiterations=30",
    "solve",
)


def solve(load_kw: float) -> bool:
    """Build and solve the circuit; return whether the solution converged."""
    DSS.AllowForms = False
    for command in _CIRCUIT:
        DSS.Text.Command = command.format(load_kw=load_kw)
    return bool(DSS.ActiveCircuit.Solution.Converged)


def summary() -> str:
    """Return OpenDSS' own summary of the last solution (its first line is `Status = SOLVED` or `Status = NOT Solved`)."""
    DSS.Text.Command = "summary"
    return str(DSS.Text.Result)


def main() -> int:
    parser = argparse.ArgumentParser(description="One load behind 100 km of line, solved by OpenDSS.")
    parser.add_argument("--load-kw", type=float, default=500.0, help="the village's load in kW; default: 500")
    load_kw = parser.parse_args().load_kw
    converged = solve(load_kw)
    sys.stdout.write(summary())
    if not converged:
        iterations = DSS.ActiveCircuit.Solution.Iterations
        sys.stderr.write(f"feeder: {load_kw:g} kW: solution did not converge in {iterations} iterations\n")
        return 1
    for bus in DSS.ActiveCircuit.AllBusNames:
        DSS.ActiveCircuit.SetActiveBus(bus)
        magnitudes = DSS.ActiveCircuit.ActiveBus.puVmagAngle[::2]
        sys.stdout.write(f"{bus}: " + " ".join(f"{value:.4f}" for value in magnitudes) + " pu\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
