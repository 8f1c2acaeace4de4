"""The contract of the log: topics, reading, transactions. Groups are in `test_contract_groups.py`."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from streamflow.errors import ConfigError, LogError, OffsetOutOfRange, TopicMismatch, UnknownTopic
from streamflow.log.batch import encode, header, records
from streamflow.log.contract import Commit, Committed, Fenced, Log, Rejected, Session
from streamflow.topic import NewTopic

from .support import (
    DEADLINE,
    GROUP,
    Kafka,
    Transport,
    asynchronous,
    at,
    batch,
    fetch_one,
    read,
    rows,
    seeded,
    values,
)


async def started(log: Log, task: str, group: str = GROUP) -> Session:
    session = log.session(group, task)
    await session.init()
    return session


# Topics


@asynchronous
async def test_a_created_topic_is_found_with_its_partitions_and_config(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 3, {"cleanup.policy": "compact"}), NewTopic("b.c_d-1", 1)])

    found = await (await transport.client()).topics()

    assert (found["a"].partitions, found["b.c_d-1"].partitions) == (3, 1)
    assert found["a"].config["cleanup.policy"] == "compact"
    assert found["a"].id != found["b.c_d-1"].id


@asynchronous
async def test_a_topic_that_exists_as_asked_is_left_alone(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2)])
    await log.append({at("a"): [batch("x")]})
    before = (await log.topics())["a"].id

    await log.create_topics([NewTopic("a", 2)])

    assert (await log.topics())["a"].id == before
    assert await values(log, at("a")) == ["x"]


@pytest.mark.parametrize("other", [NewTopic("a", 3), NewTopic("a", 2, {"cleanup.policy": "compact"})])
@asynchronous
async def test_a_topic_that_exists_as_something_else_is_a_mismatch_and_nothing_is_created(
    transport: Transport, other: NewTopic
) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2, {"cleanup.policy": "delete"})])

    with pytest.raises(TopicMismatch, match="'a'"):
        await log.create_topics([NewTopic("new", 1), other])

    assert "new" not in await log.topics()


@pytest.mark.parametrize(
    "wrong", [NewTopic("", 1), NewTopic("a/b", 1), NewTopic("..", 1), NewTopic("x" * 250, 1), NewTopic("a", 0)]
)
@asynchronous
async def test_a_topic_no_log_could_hold_is_refused(transport: Transport, wrong: NewTopic) -> None:
    log = await transport.client()
    with pytest.raises(ConfigError):
        await log.create_topics([wrong])


@asynchronous
async def test_a_topic_made_again_has_another_id_no_records_and_no_committed_offsets(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2), NewTopic("b", 1)])
    await log.append({at("a"): [batch("x")], at("b"): [batch("y")]})
    await log.set_committed(GROUP, {at("a"): 1, at("b"): 1})
    before = (await log.topics())["a"].id

    await log.delete_topic("a")
    with pytest.raises(UnknownTopic, match="'a'"):
        await log.offsets([at("a")])
    await log.create_topics([NewTopic("a", 1)])

    assert (await log.topics())["a"].id != before
    assert await values(log, at("a")) == []
    assert await log.committed(GROUP, [at("a"), at("b")]) == {at("b"): 1}
    assert await values(log, at("b")) == ["y"]


@asynchronous
async def test_what_does_not_exist_is_an_unknown_topic(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2)])
    for missing in (at("b"), at("a", 2), at("a", -1)):
        with pytest.raises(UnknownTopic):
            await log.offsets([missing])
        with pytest.raises(UnknownTopic):
            await log.fetch({missing: 0}, max_bytes=1, max_wait=0)
        with pytest.raises(UnknownTopic):
            await log.append({missing: [batch("x")]})
        with pytest.raises(UnknownTopic):
            await log.offset_at(missing, 0)
        with pytest.raises(UnknownTopic):
            await log.delete_records({missing: 0})
    with pytest.raises(UnknownTopic):
        await log.delete_topic("b")


# Appending and fetching


@asynchronous
async def test_what_is_appended_is_read_in_order_by_everybody(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("a", 2)])

    first = await log.append({at("a"): [batch("x", "y"), batch("z")], at("a", 1): [batch("p")]})
    second = await other.append({at("a"): [batch("w")]})

    assert (first, second) == ({at("a"): 0, at("a", 1): 0}, {at("a"): 3})
    assert [row[:3] for row in await read(other, at("a"))] == [
        (0, b"k", b"x"),
        (1, b"k", b"y"),
        (2, b"k", b"z"),
        (3, b"k", b"w"),
    ]
    assert await log.offsets([at("a"), at("a", 1)]) == {at("a"): (0, 4), at("a", 1): (0, 1)}


@asynchronous
async def test_keys_values_headers_and_timestamps_come_back_as_they_were(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    given = [
        (None, b"v", 0, []),
        (b"", b"", 1 << 50, [("h", b""), ("h", b"\x00\xff")]),
        (b"\x00", None, 5, [("ä", b"x")]),
        (b"k" * 5000, b"v" * 300_000, 7, []),
    ]
    await log.append({at("a"): encode(given)})

    fetched = await fetch_one(log, at("a"), 0)

    found = [(r.key, r.value, r.timestamp, list(r.headers)) for one in fetched.batches for r in records(one)]
    assert found == given


@asynchronous
async def test_a_fetch_that_waits_is_woken_by_an_append_of_another_client(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    waiting = asyncio.create_task(fetch_one(log, at("a"), 0))
    await asyncio.sleep(0)

    await other.append({at("a"): [batch("x")]})

    fetched = await waiting
    assert [row[2] for row in rows(fetched.batches)] == [b"x"]
    assert (fetched.next_offset, fetched.end_offset, fetched.start_offset) == (1, 1, 0)


@asynchronous
async def test_a_fetch_with_nothing_to_tell_answers_nothing(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2)])
    await log.append({at("a"): [batch("x")]})

    assert await log.fetch({at("a"): 1, at("a", 1): 0}, max_bytes=1000, max_wait=0) == {}
    assert await log.fetch({at("a"): 1}, max_bytes=1000, max_wait=0.02) == {}
    assert await log.fetch({}, max_bytes=1000, max_wait=0) == {}
    assert set(await log.fetch({at("a"): 0, at("a", 1): 0}, max_bytes=1000, max_wait=0)) == {at("a")}


@asynchronous
async def test_a_position_inside_of_a_batch_gets_the_whole_batch(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    await log.append({at("a"): [batch("x", "y", "z"), batch("w")]})

    fetched = await fetch_one(log, at("a"), 2)

    assert rows(fetched.batches, 2)[0][2] == b"z"
    assert header(fetched.batches[0]).base_offset == 0
    assert [row[2] for row in await read(log, at("a"), 2)] == [b"z", b"w"]


@asynchronous
async def test_a_position_outside_of_a_partition_is_out_of_range(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    await log.append({at("a"): [batch("x")] * 4})
    await log.delete_records({at("a"): 2})

    for position in (0, 1, 5, 1 << 40):
        with pytest.raises(OffsetOutOfRange, match="'a'"):
            await log.fetch({at("a"): position}, max_bytes=1, max_wait=0)
    assert (await fetch_one(log, at("a"), 2)).start_offset == 2


@asynchronous
async def test_a_small_fetch_gives_one_batch_and_partitions_take_turns(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 5)])
    await log.append({at("a", n): [batch("x" * 1000)] * 20 for n in range(5)})

    positions = {at("a", n): 0 for n in range(5)}
    for _ in range(25):
        found = await log.fetch(positions, max_bytes=1, max_wait=DEADLINE)
        assert sum(len(fetched.batches) for fetched in found.values()) == 1
        positions.update({partition: fetched.next_offset for partition, fetched in found.items()})

    assert set(positions.values()) == {5}


@asynchronous
async def test_a_fetch_keeps_about_to_its_limit(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 4)])
    one = batch(base64.b64encode(seeded().randbytes(1000)).decode())  # nothing that could be compressed much
    await log.append({at("a", n): [one] * 100 for n in range(4)})

    found = await log.fetch({at("a", n): 0 for n in range(4)}, max_bytes=40 * len(one), max_wait=0)

    assert {len(fetched.batches) for fetched in found.values()} == {10}


@asynchronous
async def test_an_append_of_what_is_no_batch_is_refused_and_nothing_of_it_stays(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 2)])
    good = batch("x")
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    for bad in (b"", good[:-1], flipped, good + good):
        with pytest.raises(LogError):
            await log.append({at("a"): [good], at("a", 1): [good, bad]})
    assert await log.offsets([at("a"), at("a", 1)]) == {at("a"): (0, 0), at("a", 1): (0, 0)}


@asynchronous
async def test_the_offset_at_a_time_is_that_of_the_first_record_so_late_or_later(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1)])
    times = [10, 30, 20, 20, 50, 40]
    await log.append({at("a"): [encode([(b"k", b"v", t, []), (b"k", b"v", t + 1, [])])[0] for t in times]})

    def expected(moment: int, start: int) -> int:
        flat = [t + n for t in times for n in (0, 1)]
        return next((offset for offset, t in enumerate(flat) if offset >= start and t >= moment), len(flat))

    for start in (0, 3, 12):
        await log.delete_records({at("a"): start})
        for moment in range(5, 60):
            assert await log.offset_at(at("a"), moment) == expected(moment, start)


@asynchronous
async def test_a_topic_with_append_time_shows_when_its_records_were_appended(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("a", 1, {"message.timestamp.type": "LogAppendTime"})])
    await log.append({at("a"): [batch("x", timestamp=1)]})

    [(_, _, _, timestamp)] = await read(log, at("a"))

    assert timestamp > 1_600_000_000_000
    assert await log.offset_at(at("a"), timestamp) == 0
    assert await log.offset_at(at("a"), timestamp + 1) == 1


# Transactions


@asynchronous
async def test_a_commit_shows_outputs_and_offsets_together(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("in", 1), NewTopic("out", 2)])
    session = await started(log, "t_0")

    [outcome] = await log.commit(
        [Commit(session, {at("out"): [batch("x"), batch("y", "z")], at("out", 1): [batch("w")]}, {at("in"): 7})]
    )

    assert outcome == Committed({at("out"): 3, at("out", 1): 1})
    assert await values(other, at("out")) == ["x", "y", "z"]
    assert await values(other, at("out", 1)) == ["w"]
    assert await other.committed(GROUP, [at("in"), at("out")]) == {at("in"): 7}
    assert await other.committed("other group", [at("in")]) == {}


@asynchronous
async def test_a_commit_may_have_offsets_only_or_outputs_only(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("in", 1), NewTopic("out", 1)])
    session = await started(log, "t_0")

    assert await log.commit([Commit(session, {}, {at("in"): 7})]) == [Committed({})]
    assert await log.commit([Commit(session, {at("out"): [batch("x")]}, {})]) == [Committed({at("out"): 1})]
    assert await log.commit([]) == []
    assert await log.committed(GROUP, [at("in")]) == {at("in"): 7}


@asynchronous
async def test_an_earlier_owner_is_fenced_and_leaves_nothing(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    await log.create_topics([NewTopic("in", 1), NewTopic("out", 1)])
    old = await started(log, "t_0")
    await log.commit([Commit(old, {at("out"): [batch("old")]}, {at("in"): 1})])
    new = await started(other, "t_0")

    for _ in range(2):
        [outcome] = await log.commit([Commit(old, {at("out"): [batch("late")]}, {at("in"): 2})])
        assert isinstance(outcome, Fenced) and "t_0" in outcome.reason
    [outcome] = await other.commit([Commit(new, {at("out"): [batch("new")]}, {at("in"): 3})])

    assert isinstance(outcome, Committed)
    assert await values(log, at("out")) == ["old", "new"]
    assert await log.committed(GROUP, [at("in")]) == {at("in"): 3}


@asynchronous
async def test_a_session_before_its_init_and_one_fenced_by_its_own_client_may_not_commit(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("out", 1)])
    never = log.session(GROUP, "t_0")
    first = await started(log, "t_0")
    second = await started(log, "t_0")

    outcomes = await log.commit([Commit(one, {at("out"): [batch("x")]}, {}) for one in (never, first, second)])

    assert [type(outcome) for outcome in outcomes] == [Fenced, Fenced, Committed]


@asynchronous
async def test_the_same_task_of_another_group_is_another_task(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("in", 1)])
    one = await started(log, "t_0", "one")
    two = await started(log, "t_0", "two")

    outcomes = await log.commit([Commit(one, {}, {at("in"): 1}), Commit(two, {}, {at("in"): 2})])

    assert outcomes == [Committed({}), Committed({})]
    assert await log.committed("one", [at("in")]) == {at("in"): 1}
    assert await log.committed("two", [at("in")]) == {at("in"): 2}


@asynchronous
async def test_in_a_group_commit_each_task_has_its_own_outcome(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("in", 4), NewTopic("out", 1), NewTopic("tiny", 1, {"max.message.bytes": "200"})])
    sessions = [await started(log, f"t_{n}") for n in range(6)]
    await started(log, "t_1")
    good, flipped = batch("x"), bytearray(batch("x"))
    flipped[-1] ^= 1

    outcomes = await log.commit(
        [
            Commit(sessions[0], {at("out"): [batch("0")]}, {at("in", 0): 10}),
            Commit(sessions[1], {at("out"): [batch("1")]}, {at("in", 1): 10}),
            Commit(sessions[2], {at("out"): [batch("2")], at("gone"): [good]}, {at("in", 2): 10}),
            Commit(sessions[3], {at("out"): [batch("3")]}, {at("in", 3): 10}),
            Commit(sessions[4], {at("out"): [good, bytes(flipped)]}, {at("in", 2): 10}),
            Commit(sessions[5], {at("out"): [good], at("tiny"): [batch("x" * 300)]}, {at("in", 2): 10}),
        ]
    )

    assert [type(outcome) for outcome in outcomes] == [Committed, Fenced, Rejected, Committed, Rejected, Rejected]
    assert [outcome.partition for outcome in outcomes if isinstance(outcome, Rejected)] == [
        at("gone"),
        at("out"),
        at("tiny"),
    ]
    # Tasks commit side by side: which of two comes first in a partition, and what a log puts between them, is open.
    lies = {value: offset for offset, _, value, _ in await read(log, at("out"))}
    assert lies.keys() == {b"0", b"3"}
    assert [outcomes[n] for n in (0, 3)] == [Committed({at("out"): lies[value] + 1}) for value in (b"0", b"3")]
    assert await log.committed(GROUP, [at("in", n) for n in range(4)]) == {at("in", 0): 10, at("in", 3): 10}


@asynchronous
async def test_the_id_of_a_commit_is_known_under_its_number(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    if not log.loses_commits:
        pytest.skip("not kept by a log that loses no commit")
    await log.create_topics([NewTopic("in", 1)])
    session = await started(log, "t_0")
    ids = {seq: os.urandom(8) for seq in (1, 2, 3, 63, 64, 65, 1000, 1 << 33)}
    for seq, id in ids.items():
        await log.commit([Commit(session, {}, {at("in"): seq}, seq, id)])
    fenced = session
    await started(other, "t_0")
    await log.commit([Commit(fenced, {}, {at("in"): 9}, 4, b"fenced")])

    for seq, id in ids.items():
        assert await other.commit_id(GROUP, "t_0", seq) == id
    for seq in (0, 4, 62, 66, 999):
        assert await other.commit_id(GROUP, "t_0", seq) is None
    assert await other.commit_id(GROUP, "t_1", 1) is None
    assert await other.commit_id("other", "t_0", 1) is None


@asynchronous
async def test_offsets_moved_by_hand_are_the_groups_offsets(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("in", 2)])
    session = await started(log, "t_0")
    await log.commit([Commit(session, {}, {at("in"): 5, at("in", 1): 6})])

    await log.set_committed(GROUP, {at("in"): 0})

    assert await log.committed(GROUP, [at("in"), at("in", 1)]) == {at("in"): 0, at("in", 1): 6}
    with pytest.raises(UnknownTopic):
        await log.set_committed(GROUP, {at("in"): 3, at("gone"): 0})
    assert await log.committed(GROUP, [at("in")]) == {at("in"): 0}


@asynchronous
async def test_a_reader_sees_the_parts_of_a_commit_together_while_they_come(transport: Transport) -> None:
    log, other = await transport.client(), await transport.client()
    if isinstance(transport, Kafka):
        pytest.skip("not on Kafka: its brokers end a transaction partition by partition, within milliseconds")
    await log.create_topics([NewTopic("a", 1), NewTopic("b", 1)])
    session = await started(log, "t_0")

    async def write() -> None:
        for n in range(100):
            [outcome] = await log.commit([Commit(session, {at("a"): [batch(f"{n}")], at("b"): [batch(f"{n}")]}, {})])
            assert isinstance(outcome, Committed)

    writing = asyncio.create_task(write())
    while not writing.done():
        told = await other.offsets([at("a"), at("b")])
        assert told[at("a")] == told[at("b")]
    await writing
