"""`/metrics` is what the worker counted, in the format Prometheus reads."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.http.world import World


def scraped(world: World, worker: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """``(name, label values) -> value``; labels by name, as the text has them."""
    status, body = world.run(world.get("/metrics", worker))
    assert status == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_every_record_is_counted_once_over_the_workers(world: World) -> None:
    before = total(world, "streamflow_process_total", "words-in")
    world.run(world.keep("words", [(b"%d" % n, b"", 1) for n in range(500)]))
    assert total(world, "streamflow_process_total", "words-in") - before == 500


def total(world: World, name: str, sub: str) -> float:
    found: Counter[str] = Counter()
    for worker in (0, 1):
        for (metric, labels), value in scraped(world, worker).items():
            if metric == name and labels[0].rpartition("_")[0] == sub:
                found[labels[0]] += int(value)
    return sum(found.values())


def test_dropped_records_are_told_by_step_and_reason(world: World) -> None:
    from streamflow.log.batch import encode
    from streamflow.record import TopicPartition

    batches = {TopicPartition("asked-words-repartition", 0): encode([(None, b"x", 1, []), (None, b"y", 1, [])])}
    world.run(world.members[0].log.append(batches))
    world.run(world.drained())
    found = [
        scraped(world, worker).get(("streamflow_dropped_records_total", ("null_key", "keep")), 0) for worker in (0, 1)
    ]
    assert sum(found) == 2


def test_labels_are_those_of_the_topology_never_keys(world: World) -> None:
    before = {worker: set(scraped(world, worker)) for worker in (0, 1)}
    world.run(world.keep("words", [(b"unheard-of-%d" % n, b"", 1) for n in range(300)]))
    for worker in (0, 1):
        after = set(scraped(world, worker))
        assert not any("unheard-of" in label for _, labels in after for label in labels)
        assert {name for name, _ in after} >= {
            "streamflow_state",
            "streamflow_commit_total",
            "streamflow_records_lag",
            "streamflow_restore_remaining_records",
            "streamflow_store_unwritten_rows",
        }
        assert len(after - before[worker]) <= 8


def test_lag_is_nothing_when_all_is_committed(world: World) -> None:
    world.run(world.drained())
    for worker in (0, 1):
        lags = [value for (name, _), value in scraped(world, worker).items() if name == "streamflow_records_lag"]
        assert lags
        assert set(lags) == {0.0}
