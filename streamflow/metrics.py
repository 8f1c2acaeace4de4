"""`/metrics`: what a worker counts, as Prometheus text.

Nothing is counted for this: a scrape reads what the loop keeps anyway (`streamflow.runtime.stats`), so a record costs
nothing more. The words are Kafka Streams' own with a unit at the end. Labels are tasks, topics, partitions, stores,
steps and reasons: as many as the topology has, never keys or messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streamflow.runtime.worker import Worker

STATES = ("CREATED", "RESTORING", "RUNNING", "STOPPING", "STOPPED")
_OF_DISK = {
    "streamflow_rocksdb_disk_bytes": "bytes of a store's files",
    "streamflow_rocksdb_memory_bytes": "of write buffers and open tables",
    "streamflow_rocksdb_pending_compaction_bytes": "that compaction is behind by",
    "streamflow_rocksdb_write_stopped": "1 while RocksDB takes no writes",
    "streamflow_rocksdb_delayed_write_bytes_per_second": "what RocksDB slows writes down to, 0 if it does not",
}
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
            ("streamflow_commit", "commits of this worker, each for all of its tasks that were due", stats.commits),
            ("streamflow_commit_fenced", "commits refused because a newer owner of the task exists", stats.fenced),
            ("streamflow_commit_doubtful", "commits whose outcome had to be looked up", stats.doubtful),
            ("streamflow_commit_rejected", "commits the log refused for good", stats.rejected),
            ("streamflow_rebalance", "assignments taken over", stats.rebalances),
            ("streamflow_recovery", "recoveries begun: starts, assignments, doubts", stats.recoveries),
            (
                "streamflow_store_rebuilt",
                "stores found damaged and restored from their changelogs",
                stats.stores_rebuilt,
            ),
            ("streamflow_bytes_consumed", "bytes of record batches fetched", stats.bytes_in),
            (
                "streamflow_bytes_produced",
                "bytes of record batches handed to the log, changelogs among them",
                stats.bytes_out,
            ),
        ):
            yield CounterMetricFamily(name, meaning, value=count)
        yield from self._latencies()

    def _latencies(self) -> Iterator[Metric]:
        """Of commits and of processing: histograms, and of the newest thousand commits as they were."""
        stats = self._worker.stats
        for name, meaning, taken in (
            (
                "streamflow_commit_latency_seconds",
                "from the first task's preparation to the log's answer",
                stats.commit_latency,
            ),
            (
                "streamflow_process_latency_seconds",
                "stretches in which a task processes without a pause",
                stats.process_latency,
            ),
        ):
            found = HistogramMetricFamily(name, meaning)
            found.add_metric([], taken.cumulative(), taken.total)
            yield found
        newest = sorted(stats.commit_seconds)
        latency = GaugeMetricFamily(
            "streamflow_newest_commits_seconds", "latency of the newest thousand commits", labels=["quantile"]
        )
        for quantile in _QUANTILES if newest else ():
            latency.add_metric([str(quantile)], newest[min(len(newest) - 1, int(quantile * len(newest)))])
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
        warm = GaugeMetricFamily("streamflow_standby_warm", "1 if the copy lacks a short replay only", labels=["task"])
        lacks = GaugeMetricFamily("streamflow_standby_lag", "changelog records that the copy lacks", labels=["task"])
        for name, copy in sorted(worker.roster.standbys.copies.items()):
            warm.add_metric([name], float(copy.warm))
            lacks.add_metric([name], copy.lag)
        process = CounterMetricFamily("streamflow_process", "records processed", labels=["task"])
        for name, count in sorted(processed.items()):
            process.add_metric([name], count)
        drops = CounterMetricFamily("streamflow_dropped_records", "records dropped", labels=["step", "reason"])
        for (step, reason), count in sorted(dropped.items()):
            drops.add_metric([step, reason], count)
        yield from (running, left, uncommitted, warm, lacks, process, drops)

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
        there = GaugeMetricFamily("streamflow_store_rows", "roughly how many rows are written down", labels=labels)
        of_disk = {
            name.removeprefix("streamflow_rocksdb_"): GaugeMetricFamily(name, meaning, labels=labels)
            for name, meaning in _OF_DISK.items()
        }
        cache = 0
        for held in self._worker.roster.held.values():
            for name, store in held.place.stores.items():
                where = [held.place.name, name]
                for family, count in zip((rows, size), store.behind, strict=True):
                    family.add_metric(where, count)
                there.add_metric(where, store.base.size())
                for figure, count in store.base.figures().items():
                    if figure in of_disk:
                        of_disk[figure].add_metric(where, count)
                    else:
                        cache = max(cache, count)
        yield from (rows, size, there, *of_disk.values())
        yield GaugeMetricFamily(
            "streamflow_rocksdb_block_cache_bytes",
            "in the cache that all stores share, write buffers among it",
            value=cache,
        )
