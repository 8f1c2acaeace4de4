"""`/metrics`: what a worker counts, as Prometheus text.

Nothing is counted for this: a scrape reads what the loop keeps anyway (`streamflow.runtime.stats`), so a record costs
nothing more. The words are Kafka Streams' own with a unit at the end. Labels are tasks, topics, partitions, stores,
steps and reasons: as many as the topology has, never keys or messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streamflow.runtime.worker import Worker

STATES = ("CREATED", "RESTORING", "RUNNING", "STOPPING", "STOPPED")
_QUANTILES = (0.5, 0.99, 1.0)


class Metrics:
    """One worker's metrics. `text` is what a scrape gets."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing ahead of the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families, read now."""
        yield from self._of_worker()
        yield from self._of_tasks()
        yield from self._of_inputs()
        yield from self._of_stores()

    def _of_worker(self) -> Iterator[Metric]:
        worker, stats = self._worker, self._worker.stats
        state = GaugeMetricFamily("streamflow_state", "1 for the state the worker is in", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(worker.state == name))
        yield state
        for name, meaning, count in (
            ("commit", "commits of this worker, each for all of its tasks that were due", stats.commits),
            ("commit_fenced", "commits refused because a newer owner of the task exists", stats.fenced),
            ("commit_doubtful", "commits whose outcome had to be looked up", stats.doubtful),
            ("commit_rejected", "commits the log refused for good", stats.rejected),
            ("rebalance", "assignments taken over", stats.rebalances),
            ("recovery", "recoveries begun: starts, assignments, doubts", stats.recoveries),
            ("store_rebuilt", "stores found damaged and restored from their changelogs", stats.stores_rebuilt),
            ("bytes_consumed", "bytes of record batches fetched", stats.bytes_in),
        ):
            yield CounterMetricFamily(f"streamflow_{name}", meaning, value=count)
        yield from self._latencies()

    def _latencies(self) -> Iterator[Metric]:
        """Quantiles of the newest thousand commits: the loop keeps them, a histogram would have to be fed."""
        taken = sorted(self._worker.stats.commit_seconds)
        latency = GaugeMetricFamily(
            "streamflow_commit_latency_seconds", "of the newest thousand commits", labels=["quantile"]
        )
        for quantile in _QUANTILES if taken else ():
            latency.add_metric([str(quantile)], taken[min(len(taken) - 1, int(quantile * len(taken)))])
        yield latency

    def _of_tasks(self) -> Iterator[Metric]:
        worker = self._worker
        processed, dropped = Counter(worker.stats.processed), Counter(worker.stats.drops)
        running = GaugeMetricFamily("streamflow_task_running", "1 if it runs, 0 while it is restored", labels=["task"])
        left = GaugeMetricFamily(
            "streamflow_restore_remaining_records", "changelog records still to be restored", labels=["task"]
        )
        uncommitted = GaugeMetricFamily("streamflow_task_uncommitted_bytes", "what waits for a commit", labels=["task"])
        for name, held in sorted(worker.roster.held.items()):
            running.add_metric([name], float(held.task is not None))
            left.add_metric([name], held.place.progress.left if held.task is None else 0)
            if held.task is not None:
                processed[name] += held.task.processed
                dropped.update(held.task.drops)
                uncommitted.add_metric([name], held.task.uncommitted)
        process = CounterMetricFamily("streamflow_process", "records processed", labels=["task"])
        for name, count in sorted(processed.items()):
            process.add_metric([name], count)
        drops = CounterMetricFamily("streamflow_dropped_records", "records dropped", labels=["step", "reason"])
        for (step, reason), count in sorted(dropped.items()):
            drops.add_metric([step, reason], count)
        yield from (running, left, uncommitted, process, drops)

    def _of_inputs(self) -> Iterator[Metric]:
        labels = ["task", "topic", "partition"]
        position = GaugeMetricFamily("streamflow_input_position", "the next offset to be processed", labels=labels)
        lag = GaugeMetricFamily(
            "streamflow_records_lag", "offsets between the last commit and the end as far as it is known", labels=labels
        )
        for held, task, ledger in self._worker.roster.running():
            for tp, source in task.inputs.items():
                where = [held.place.name, tp.topic, str(tp.partition)]
                position.add_metric(where, source.position)
                lag.add_metric(where, max(0, source.end - ledger.committed.get(tp, 0)))
        yield from (position, lag)

    def _of_stores(self) -> Iterator[Metric]:
        labels = ["task", "store"]
        rows = GaugeMetricFamily("streamflow_store_unwritten_rows", "committed, not written down yet", labels=labels)
        size = GaugeMetricFamily("streamflow_store_unwritten_bytes", "roughly their bytes", labels=labels)
        for held in self._worker.roster.held.values():
            for name, store in held.place.stores.items():
                behind = store.behind
                rows.add_metric([held.place.name, name], behind[0])
                size.add_metric([held.place.name, name], behind[1])
        yield from (rows, size)
