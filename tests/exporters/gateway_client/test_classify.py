"""Failures are called by their names. Output is real (OpenDSS: see test_opendss) or as the programs' sources and documents
have it."""

import pytest

from exporters.gateway_client import rules
from exporters.gateway_client.classify import Evidence, Verdict, classify
from runtime.closed_sets import FAILURE_TYPES

RULES = rules.builtin()

OMNET_ERROR = (
    "** Event #3258499   T=19.620298   Elapsed: 43.155s (0m 43s)  2% completed\n\n"
    "<!> Error in module (ARA::omnetpp::EARA) EARAScenario.node[47].networkLayer.ara (id=867) at event #3258499, "
    "t=19.620298: std::out_of_range: deque::_M_range_check.\n\n"
    "undisposed object: (Ieee80211DataFrameWithSNAP) EARAScenario.node[47].wlan[0].mac.DATA -- check module destructor\n\n"
    "End.\n"
)
OUTPUTS = {
    # OMNeT++: appbase.cc prefixes errors with `<!> Error: `, those that begin with "Error" with `<!> `
    OMNET_ERROR: ("simulator_error", "omnetpp-error"),
    "<!> Error: Network 'Grid' not found, check .ini and .ned files\n": ("simulator_error", "omnetpp-error"),
    "\n<!> Error: Cannot open ini file 'omnetpp.ini'\n": ("missing_file", "omnetpp-missing-file"),
    "<!> (omnetpp::cChannel)channel: Fatal: Direct deletion of a channel object is illegal, use cGate's disconnect()"
    " or reconnectWith() instead; ABORTING -- during network cleanup\n": ("simulator_error", "omnetpp-fatal"),
    "<!> SIGINT or SIGTERM received, exiting -- at t=3.2s, event #41\n": ("signal", "omnetpp-interrupted"),
    # CERTI: main.cc of RTIG and RTIA, SocketTCP.cc
    "CERTI RTIG aborted with a Network Error: [Cannot bind port <60400> on addr <0.0.0.0>].\n": (
        "rti_error", "certi-rtig-aborted",
    ),
    "RTIA:: RTIA has thrown NetworkError exception.\nRTIA:: Reason: Connection closed by client.\n": (
        "rti_error", "certi-rtia",
    ),
    "NetworkError: Cannot connect port <60400> on addr <127.0.0.1>\n": ("rti_error", "certi-rtig-gone"),
    "terminate called after throwing an instance of 'RTI::RTIinternalError'\n": ("rti_error", "hla-uncaught"),
    "terminate called after throwing an instance of 'rti1516e::NotConnected'\n": ("rti_error", "hla-uncaught"),
    "billard: join failed: FederationExecutionDoesNotExist : Test\n": ("rti_error", "hla-exception"),
    "hla.rti1516e.exceptions.CouldNotOpenFDD: /fom/power.xml\n": ("rti_error", "hla-exception"),
    # Portico, as in its issue 126
    "INFO  [Regular] portico.lrc: Federate [grid,2] disconnected, synthesizing resign message\n": (
        "rti_error", "hla-federate-lost",
    ),
    "lost connection to RTIG\n": ("rti_error", "hla-rti-lost"),
    # OpenDSS: DSS-Python's DSSException
    "Status = NOT Solved\nSolution Mode = Snap\n": ("no_convergence", "opendss-not-solved"),
    "dss._cffi_api_util.DSSException: (#485) Warning Max Control Iterations Exceeded.\nTip: Show Eventlog\n": (
        "no_convergence", "opendss-control-iterations",
    ),
    'dss._cffi_api_util.DSSException: (#243) Redirect file not found: "master.dss"\n': ("missing_file", "opendss-missing-file"),
    'dss._cffi_api_util.DSSException: (#302) Unknown Command: "nonsense"\n': ("simulator_error", "opendss-error"),
    "Traceback (most recent call last):\n  File \"x.py\", line 3, in f\n    solve()\nRuntimeError: Newton did not converge\n": (
        "no_convergence", "python-no-convergence",
    ),
    "warning: load flow failed to converge after 100 iterations\n": ("no_convergence", "no-convergence"),
    # runtimes
    "MemoryError\n": ("out_of_memory", "python-out-of-memory"),
    "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n": (
        "out_of_memory", "cpp-out-of-memory",
    ),
    'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n': ("out_of_memory", "java-out-of-memory"),
    "sim: mmap: Cannot allocate memory\n": ("out_of_memory", "out-of-memory"),
    "./sim: error while loading shared libraries: libRTI.so.1: cannot open shared object file: No such file or directory\n": (
        "missing_file", "missing-library",
    ),
    "sh: 1: opp_run: not found\n": ("missing_command", "shell-not-found"),
    "bash: line 1: opp_run: command not found\n": ("missing_command", "shell-not-found"),
    "/usr/bin/env: 'rtig': No such file or directory\n": ("missing_command", "env-not-found"),
    "run.sh: line 2:  4711 Segmentation fault      (core dumped) ./sim\n": ("signal", "shell-segmentation-fault"),
    "run.sh: line 2:  4711 Floating point exception(core dumped) ./sim\n": ("signal", "shell-crash"),
    "Runtime error 216 at $00000000004010F4\n": ("signal", "pascal-access-violation"),
    "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nFileNotFoundError: [Errno 2] No such file\n": (
        "missing_file", "python-missing-file",
    ),
    "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n    1/0\nZeroDivisionError: x\n": (
        "exception", "python-traceback",
    ),
    "Fatal Python error: init_fs_encoding: failed to get the Python codec\n": ("exception", "python-fatal"),
    "terminate called after throwing an instance of 'std::runtime_error'\n  what():  x\n": ("exception", "cpp-exception"),
    "An unhandled exception occurred at $0000000000401234:\nERangeError: Range check error\n": (
        "exception", "pascal-exception",
    ),
    'Exception in thread "main" java.lang.IllegalStateException: x\n': ("exception", "java-exception"),
    "cat: input.csv: No such file or directory\n": ("missing_file", "missing-file"),
}  # fmt: skip
HARMLESS = (
    "undisposed object: (omnetpp::cMessage) World.node[3025].wlan[0].radio.receptionTimer -- check module destructor\n",
    "<!> Simulation time limit reached -- at t=100s, event #1234\n",
    "<!> No more events, simulation completed -- at t=7s, event #12\n",
    "<!> Warning: unused parameter\n",
    "Status = SOLVED\nTotal Iterations = 7\n",
    "CERTI RTIG exiting.\n",
)


@pytest.mark.parametrize("output", OUTPUTS, ids=[rule for _, rule in OUTPUTS.values()])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_failed_run_is_named_by_what_it_said(output: str, stream: str) -> None:
    failure_type, rule = OUTPUTS[output]
    said = {stream: b"starting\n" + output.encode() + b"bye\n"}
    found = classify(Evidence(1, **said), RULES)  # type: ignore[arg-type]
    assert found is not None
    assert (found.failure_type, found.rule) == (failure_type, rule)
    assert found.message.splitlines()[0] in output


def test_each_built_in_rule_has_its_output_here() -> None:
    assert {rule.name for rule in RULES} == {rule for _, rule in OUTPUTS.values()}


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_successful_run_is_no_failure_whatever_it_said(output: str) -> None:
    assert classify(Evidence(0, stdout=output.encode()), RULES) is None


@pytest.mark.parametrize("output", HARMLESS)
def test_lines_that_are_no_errors_name_nothing(output: str) -> None:
    assert classify(Evidence(3, stdout=output.encode()), RULES) == Verdict("nonzero_exit", "exit code 3")


@pytest.mark.parametrize(
    ("evidence", "failure_type"),
    [
        (Evidence(127, not_started="No such file or directory"), "missing_command"),
        (Evidence(143, signal=15, timed_out=True, stderr=OMNET_ERROR.encode()), "timeout"),
        (Evidence(0, timed_out=True), "timeout"),
        (Evidence(137, signal=9, oom_kills=1, stderr=OMNET_ERROR.encode()), "out_of_memory"),
        (Evidence(137, oom_kills=1), "out_of_memory"),  # a shell waited for the one that was killed
        (Evidence(1, oom_kills=1), "out_of_memory"),
        (Evidence(1, oom_kills=1, stderr=OMNET_ERROR.encode()), "simulator_error"),  # another run of the container
        (Evidence(137, signal=9), "signal"),
        (Evidence(139, signal=11, stderr=OMNET_ERROR.encode()), "signal"),
        (Evidence(139), "signal"),
        (
            Evidence(134, signal=6, stderr=b"terminate called after throwing an instance of 'RTI::NotConnected'"),
            "rti_error",
        ),
        (Evidence(134, signal=6), "signal"),
        (Evidence(127), "missing_command"),
        (Evidence(126), "missing_command"),
        (Evidence(200), "nonzero_exit"),
        (Evidence(2), "nonzero_exit"),
    ],
)
def test_how_it_ended_decides_before_and_after_what_it_said(evidence: Evidence, failure_type: str) -> None:
    found = classify(evidence, RULES)
    assert found is not None
    assert found.failure_type == failure_type
    assert failure_type in FAILURE_TYPES


def test_a_rule_of_ones_own_may_name_a_run_that_exits_with_0() -> None:
    own = rules.parse("study-failed no_convergence always ^STUDY FAILED\n", "own.rules")
    found = classify(Evidence(0, stdout=b"x\nSTUDY FAILED at hour 7\n"), own)
    assert found == Verdict("no_convergence", "STUDY FAILED at hour 7", "study-failed")


def test_rules_of_ones_own_come_first() -> None:
    own = rules.parse("mine other failed ^<!> Error\n", "own.rules")
    found = classify(Evidence(1, stderr=OMNET_ERROR.encode()), [*own, *RULES])
    assert found is not None
    assert found.rule == "mine"


def test_colours_carriage_returns_and_broken_utf8_hide_nothing() -> None:
    found = classify(Evidence(1, stdout=b"\xff\xfe progress\r\x1b[31m<!> Error: x\x1b[0m\r\n"), RULES)
    assert found == Verdict("simulator_error", "Error: x", "omnetpp-error")


def test_a_line_without_end_is_searched_in_its_first_4096_characters() -> None:
    long = b"x" * 4090 + b" did not converge"
    assert classify(Evidence(1, stdout=long), RULES) == Verdict("nonzero_exit", "exit code 1")
