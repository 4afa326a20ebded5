"""The closed sets of the whole project, written once. Labels of metrics hold nothing else; a stranger's word is folded.

A test compares them with every place that has to repeat them (rules, documents, database constraints).
"""

EVENT_TYPES = ("gateway", "container", "request", "custom")
LEVELS = ("info", "warning", "error", "critical")
FAILURE_TYPES = (
    "nonzero_exit",
    "signal",
    "out_of_memory",
    "timeout",
    "no_convergence",
    "simulator_error",
    "rti_error",
    "exception",
    "missing_command",
    "missing_file",
    "other",
)
OUTCOMES = ("success", "failure")
REQUEST_FAILURES = ("timeout", "auth", "refused", "upstream", "error", "client_gone")
"""Why a request through the gateway failed."""

POLICIES = (
    "repeated_failures",
    "consecutive_failures",
    "failing_share",
    "no_success",
    "run_stuck",
    "late_events",
    "request_errors",
    "request_timeouts",
    "request_auth_failures",
    "request_latency",
    "container_cpu",
    "container_memory",
    "container_rising",
    "container_restarts",
    "container_not_ready",
    "container_pending",
    "container_terminating",
)
"""Thresholds that an admin may change; what holds before that stands in the rule's own file under prometheus/."""

OTHER = "other"
"""What an unknown failure type or task is folded into."""
UNKNOWN = "unknown"
"""What an unknown tenant is folded into; no tenant may be called so."""
EVERYONE = "*"
"""The tenant of a policy for all; no tenant may be called so."""
