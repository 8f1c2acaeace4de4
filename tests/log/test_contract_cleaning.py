"""The contract of what goes away: deleted records, retention, compaction."""

from __future__ import annotations

import pytest

from streamflow.errors import OffsetOutOfRange
from streamflow.topic import NewTopic

from .support import Transport, asynchronous, at, batch, fetch_one, pairs, read, rows, values


@asynchronous
async def test_deleted_records_are_gone_and_the_rest_stays(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    await log.append({at("a"): [batch("0", "1", "2"), batch("3", "4"), batch("5")]})

    for before, start in ((0, 0), (1, 1), (4, 4), (2, 4), (6, 6)):
        await log.delete_records({at("a"): before})
        assert await other.offsets([at("a")]) == {at("a"): (start, 6)}
        assert await values(other, at("a")) == [str(n) for n in range(start, 6)]
    with pytest.raises(OffsetOutOfRange):
        await log.delete_records({at("a"): 7})
    assert await log.append({at("a"): [batch("6")]}) == {at("a"): 6}
    assert await values(other, at("a")) == ["6"]


@asynchronous
async def test_retention_by_time_counts_from_the_append_and_only_where_it_was_asked_for(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("kept", 1), NewTopic("short", 1, {"retention.ms": "60000"})])
    await log.append({at(name): [batch("old", timestamp=1)] for name in ("kept", "short")})
    transport.pass_time(50_000)
    await log.append({at(name): [batch("new", timestamp=1)] for name in ("kept", "short")})
    await transport.tidy(log)
    assert await values(log, at("short")) == ["old", "new"]

    transport.pass_time(20_000)
    await transport.tidy(log)

    assert await values(log, at("kept")) == ["old", "new"]
    assert await values(log, at("short")) == ["new"]
    assert await log.offsets([at("short")]) == {at("short"): (1, 2)}
    transport.pass_time(100_000)
    await transport.tidy(log)
    assert await log.offsets([at("short")]) == {at("short"): (2, 2)}
    assert await log.append({at("short"): [batch("next")]}) == {at("short"): 2}


@asynchronous
async def test_retention_by_size_keeps_the_newest(transport: Transport) -> None:
    log = await transport.client()
    one = batch("x" * 1000)
    await log.create_topics([NewTopic("a", 1, {"retention.bytes": str(len(one) * 3)})])
    await log.append({at("a"): [one] * 10})

    await transport.tidy(log)

    assert await log.offsets([at("a")]) == {at("a"): (7, 10)}


@asynchronous
async def test_compaction_keeps_the_last_record_of_each_key_at_its_offset(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("a", 1, {"cleanup.policy": "compact"})])
    await log.append({at("a"): [pairs(("x", "0"), ("y", "1")), pairs(("x", "2")), pairs(("z", "3"), ("x", "4"))]})

    await transport.tidy(log)

    assert [row[:3] for row in await read(other, at("a"))] == [(1, b"y", b"1"), (3, b"z", b"3"), (4, b"x", b"4")]
    assert await other.offsets([at("a")]) == {at("a"): (0, 5)}
    for position in range(5):  # every position holds, also in a gap
        assert [row[0] for row in await read(other, at("a"), position)] == [n for n in (1, 3, 4) if n >= position]


@asynchronous
async def test_compaction_that_leaves_nothing_of_a_batch_is_a_gap_that_is_jumped(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1, {"cleanup.policy": "compact", "delete.retention.ms": "1000"})])
    await log.append({at("a"): [pairs(("x", "0")), pairs(("x", None))]})
    await transport.tidy(log)
    transport.pass_time(5_000)
    await log.append({at("a"): [pairs(("y", "1")), pairs(("y", None))]})
    await transport.tidy(log)
    transport.pass_time(5_000)
    await log.append({at("a"): [pairs(("z", "2"))]})
    await transport.tidy(log)

    fetched = await fetch_one(log, at("a"), 0)

    assert (fetched.next_offset, fetched.end_offset) == (5, 5)
    assert [row[:2] for row in rows(fetched.batches)] == [(4, b"z")]


@asynchronous
async def test_a_tombstone_outlives_the_first_compaction_by_its_retention(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1, {"cleanup.policy": "compact", "delete.retention.ms": "60000"})])
    await log.append({at("a"): [pairs(("x", "1"), ("y", "1"))]})
    await log.append({at("a"): [pairs(("x", None))]})
    transport.pass_time(120_000)  # an old tombstone that no compaction has seen is no reason to drop it
    await transport.tidy(log)
    assert [row[:3] for row in await read(log, at("a"))] == [(1, b"y", b"1"), (2, b"x", None)]

    transport.pass_time(50_000)
    await log.append({at("a"): [pairs(("z", "1"))]})
    await transport.tidy(log)
    assert (2, b"x", None) in [row[:3] for row in await read(log, at("a"))]

    transport.pass_time(20_000)
    await log.append({at("a"): [pairs(("z", "2"))]})
    await transport.tidy(log)
    assert [row[:3] for row in await read(log, at("a"))] == [(1, b"y", b"1"), (4, b"z", b"2")]


@asynchronous
async def test_records_younger_than_the_compaction_lag_are_left(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1, {"cleanup.policy": "compact", "min.compaction.lag.ms": "60000"})])
    await log.append({at("a"): [pairs(("x", "1")), pairs(("x", "2"))]})
    transport.pass_time(61_000)
    await log.append({at("a"): [pairs(("x", "3")), pairs(("x", "4"))]})

    await transport.tidy(log)

    assert await values(log, at("a")) == ["2", "3", "4"]


@asynchronous
async def test_offsets_by_time_hold_after_a_compaction(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1, {"cleanup.policy": "compact"})])
    for n in range(10):
        await log.append({at("a"): [pairs((f"{n % 3}", f"{n}"), timestamp=n * 10)]})

    await transport.tidy(log)

    assert [await log.offset_at(at("a"), moment) for moment in (0, 70, 75, 90, 91)] == [7, 7, 8, 9, 10]
