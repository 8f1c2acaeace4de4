"""Writes `grafana.json`: a dashboard for Grafana, one panel a question. `python docs/operating/grafana.py` makes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

JOB = '{job=~"$job"}'
PANELS: list[tuple[str, str, str, dict[str, str]]] = [
    # title, unit, what it tells, legend -> query
    ("Records processed", "short", "records a second, by sub-topology and partition",
     {"{{task}}": f"sum by (task) (rate(streamflow_process_total{JOB}[1m]))"}),
    ("Lag", "short", "records between the last commit and the end of each input",
     {"{{topic}}": f"sum by (topic) (streamflow_records_lag{JOB})"}),
    ("Commit latency", "s", "from the first task's preparation to the log's answer",
     {"p50": f"histogram_quantile(0.5, sum by (le) (rate(streamflow_commit_latency_seconds_bucket{JOB}[5m])))",
      "p99": f"histogram_quantile(0.99, sum by (le) (rate(streamflow_commit_latency_seconds_bucket{JOB}[5m])))"}),
    ("Time spent processing", "percentunit", "of each worker's one core; the rest is waiting, committing, fetching",
     {"{{instance}}": f"rate(streamflow_process_latency_seconds_sum{JOB}[1m])"}),
    ("Commits", "short", "a second, and those that did not go well",
     {"committed": f"sum(rate(streamflow_commit_total{JOB}[1m]))",
      "fenced": f"sum(rate(streamflow_commit_fenced_total{JOB}[1m]))",
      "in doubt": f"sum(rate(streamflow_commit_doubtful_total{JOB}[1m]))"}),
    ("Dropped records", "short", "a second, by step and reason",
     {"{{step}} {{reason}}": f"sum by (step, reason) (rate(streamflow_dropped_records_total{JOB}[5m]))"}),
    ("Tasks", "short", "that run, and that are restored",
     {"run": f"sum(streamflow_task_running{JOB})", "in all": f"count(streamflow_task_running{JOB})"}),
    ("To be restored", "short", "changelog records, by task",
     {"{{task}}": f"sum by (task) (streamflow_restore_remaining_records{JOB})"}),
    ("Standbys", "short", "changelog records that each copy lacks",
     {"{{task}} on {{instance}}": f"streamflow_standby_lag{JOB}"}),
    ("Rebalances and recoveries", "short", "in five minutes",
     {"rebalances {{instance}}": f"increase(streamflow_rebalance_total{JOB}[5m])",
      "recoveries {{instance}}": f"increase(streamflow_recovery_total{JOB}[5m])"}),
    ("Bytes in and out", "Bps", "of record batches, changelogs among what goes out",
     {"in": f"sum(rate(streamflow_bytes_consumed_total{JOB}[1m]))",
      "out": f"sum(rate(streamflow_bytes_produced_total{JOB}[1m]))"}),
    ("State", "bytes", "on disk, by store, and in memory",
     {"{{store}}": f"sum by (store) (streamflow_rocksdb_disk_bytes{JOB})",
      "memory": f"sum(streamflow_rocksdb_memory_bytes{JOB}) + sum(streamflow_rocksdb_block_cache_bytes{JOB})"}),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Twelve panels in rows of two; a variable chooses the job."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number,
            "type": "timeseries",
            "title": title,
            "description": tells,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
            "targets": [
                {"refId": chr(65 + at), "datasource": source, "expr": query, "legendFormat": legend}
                for at, (legend, query) in enumerate(queries.items())
            ],
        }
        for number, (title, unit, tells, queries) in enumerate(PANELS)
    ]
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {"name": "job", "type": "query", "datasource": source, "query": "label_values(streamflow_state, job)",
         "includeAll": True, "multi": True, "label": "application"},
    ]  # fmt: skip
    return {
        "title": "streamflow",
        "uid": "streamflow",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }


if __name__ == "__main__":
    Path(__file__).with_name("grafana.json").write_text(json.dumps(dashboard(), indent=1) + "\n")
