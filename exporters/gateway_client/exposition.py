"""What a scrape sees: all counters of the spool's database, read in one view at each scrape. Called by `serving.py`.

The counters live in the database, so that `run` processes of one second count and a restart of `serve` loses nothing.
"""

import sqlite3
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from exporters.gateway_client import recent
from exporters.gateway_client.answers import RESULTS
from exporters.gateway_client.spool import BUCKETS, DROP_REASONS, Spool, SpoolError


class SpoolCollector(Collector):
    """Yields fresh families at each scrape."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def describe(self) -> list[Metric]:
        return []  # nothing is read at registration

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("mission_spool_up", "Whether the spool can be read.", value=1)
        try:
            families = self._spool.database.read(lambda connection: list(_families(connection, self._spool.clock())))
        except SpoolError:
            up = GaugeMetricFamily("mission_spool_up", "Whether the spool can be read.", value=0)
            families = []
        yield up
        yield from families


def _families(connection: sqlite3.Connection, now: float) -> Iterator[Metric]:
    yield from _tasks(connection)
    yield _durations(connection)
    failures = CounterMetricFamily("mission_failures", "Failures of business runs.", labels=["task", "failure_type"])
    for label, failure_type, count in connection.execute("SELECT label, failure_type, count FROM failure"):
        failures.add_metric([label, failure_type], count)
    yield failures
    yield _recent_failures(connection, now)
    yield from _spooled(connection, now)


def _recent_failures(connection: sqlite3.Connection, now: float) -> Metric:
    family = GaugeMetricFamily(
        "mission_recent_failures", "Failures within the window, all tasks together.", labels=["failure_type", "window"]
    )
    for failure_type, count in recent.counts(connection, now):
        family.add_metric([failure_type, recent.WINDOW_NAME], count)
    return family


def _tasks(connection: sqlite3.Connection) -> Iterator[Metric]:
    runs = CounterMetricFamily("mission_runs", "Runs that have ended.", labels=["task", "outcome"])
    in_progress = GaugeMetricFamily("mission_runs_in_progress", "Runs under way.", labels=["task"])
    oldest = GaugeMetricFamily(
        "mission_run_oldest_start_timestamp_seconds", "Start of the oldest run under way.", labels=["task"]
    )
    success = GaugeMetricFamily(
        "mission_run_last_success_timestamp_seconds", "End of the last success.", labels=["task"]
    )
    failure = GaugeMetricFamily(
        "mission_run_last_failure_timestamp_seconds", "End of the last failure.", labels=["task"]
    )
    row = GaugeMetricFamily("mission_consecutive_failures", "Failed runs since the last success.", labels=["task"])
    under_way = connection.execute("SELECT label, count(*), min(started_at) FROM running GROUP BY label")
    running = {label: (count, started) for label, count, started in under_way}
    for label, successes, failures, consecutive, last_success, last_failure in connection.execute(
        "SELECT label, successes, failures, consecutive_failures, last_success, last_failure FROM task ORDER BY label"
    ):
        runs.add_metric([label, "success"], successes)
        runs.add_metric([label, "failure"], failures)
        count, started = running.get(label, (0, None))
        in_progress.add_metric([label], count)
        if started is not None:
            oldest.add_metric([label], started)
        row.add_metric([label], consecutive)
        if last_success is not None:
            success.add_metric([label], last_success)
        if last_failure is not None:
            failure.add_metric([label], last_failure)
    yield from (runs, in_progress, oldest, success, failure, row)


def _durations(connection: sqlite3.Connection) -> Metric:
    family = HistogramMetricFamily(
        "mission_run_duration_seconds", "Duration of runs, by a steady clock.", labels=["task"]
    )
    counts: dict[str, list[int]] = {}
    sums: dict[str, float] = dict(connection.execute("SELECT label, seconds FROM task ORDER BY label").fetchall())
    for label, bucket, count in connection.execute("SELECT label, bucket, count FROM duration"):
        counts.setdefault(label, [0] * (len(BUCKETS) + 1))[bucket] = count
    bounds = [*map(str, BUCKETS), "+Inf"]
    for label, seconds in sums.items():
        cumulative = accumulate(counts.get(label, [0] * len(bounds)))
        family.add_metric([label], buckets=list(zip(bounds, cumulative, strict=True)), sum_value=seconds)
    return family


def _spooled(connection: sqlite3.Connection, now: float) -> Iterator[Metric]:
    waiting, size = connection.execute("SELECT reports, bytes FROM totals").fetchone()
    oldest = connection.execute("SELECT min(kept_at) FROM (SELECT kept_at FROM report ORDER BY n LIMIT 1)").fetchone()[
        0
    ]
    age = 0.0 if oldest is None else max(0.0, now - oldest)
    quarantined = connection.execute("SELECT count(*) FROM quarantine").fetchone()[0]
    yield GaugeMetricFamily("mission_spool_events", "Reports that wait for the gateway.", value=waiting)
    yield GaugeMetricFamily("mission_spool_bytes", "Size of the reports that wait.", value=size)
    yield GaugeMetricFamily("mission_spool_oldest_seconds", "Age of the oldest report that waits.", value=age)
    yield GaugeMetricFamily("mission_spool_quarantined_events", "Reports that the gateway refused.", value=quarantined)
    tallies = {(n, la): c for n, la, c in connection.execute("SELECT name, label, count FROM tally")}
    for name, text, tally, label, values in (
        ("mission_spool_dropped", "Reports that were lost.", "dropped", "reason", DROP_REASONS),
        ("mission_reports", "Reports in requests to the gateway, by its answer.", "reports", "result", RESULTS),
        ("mission_labels_folded", "Names that may be no label.", "folded", "label", ("task",)),
    ):
        family = CounterMetricFamily(name, text, labels=[label])
        for value in values:
            family.add_metric([value], tallies.get((tally, value), 0))
        yield family
