"""Retention and compaction of the embedded log: the rows themselves, interruptions, and several at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow.log.batch import encode
from streamflow.log.contract import Commit
from streamflow.log.embedded import EmbeddedLog, compaction
from streamflow.log.embedded.control import LEASE, View
from streamflow.topic import NewTopic

from .support import GROUP, Embedded, MovedClock, asynchronous, at, batch, pairs, read, seeded, until
from .virtual import Inline

COMPACT = {"cleanup.policy": "compact"}


def count(log: EmbeddedLog, table: str = "batches") -> int:
    """Rows of a table, as they are on disk."""
    with sqlite3.connect(log.path / "log.db") as looker:
        found: int = looker.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    looker.close()
    return found


async def table(log: EmbeddedLog, topic: str) -> dict[bytes | None, bytes | None]:
    """What the records of a topic amount to."""
    found = {key: value for _, key, value, _ in await read(log, at(topic))}
    return {key: value for key, value in found.items() if value is not None}


@asynchronous
async def test_compaction_joins_small_rows_to_large_ones(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast")
    await log.create_topics([NewTopic("a", 1, COMPACT)])
    for n in range(300):
        await log.append({at("a"): [pairs(*((f"{n}.{m}", "x" * 90) for m in range(10)))]})
    before = await read(log, at("a"))
    assert count(log) == 300

    await log.tidy()

    assert count(log) < 10
    assert await read(log, at("a")) == before
    assert [row[0] for row in await read(log, at("a"), 1234)] == list(range(1234, 3000))


class Interrupted(Exception):
    """The process ends here."""


class Failing(Inline):
    """Ends at the n-th call."""

    def __init__(self) -> None:
        self.left = 1 << 30

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        return fn(*args)


def test_a_compaction_that_ends_anywhere_loses_nothing(tmp_path: Path) -> None:
    rng = seeded()
    clock = MovedClock()

    async def whole() -> int:
        expected: dict[bytes, bytes | None] = {}
        ends = 0
        for left in range(60):
            runner = Failing()
            log = EmbeddedLog(
                tmp_path / "log", runner=runner, durability="fast", clock=clock, housekeeping_interval=1e9
            )
            await log.start()
            await log.create_topics([NewTopic("a", 1, {**COMPACT, "delete.retention.ms": "1000"})])
            for _ in range(3):
                some = [
                    (b"k%d" % rng.randrange(30), None if rng.random() < 0.3 else rng.randbytes(9000), 0, ())
                    for _ in range(20)
                ]
                expected.update((key, value) for key, value, *_ in some)
                await log.append({at("a"): encode(some, target_bytes=30_000)})
            clock.ahead += rng.randrange(3000)
            runner.left = left // 3
            try:
                await log.tidy()
            except Interrupted:
                ends += 1
            runner.left = 1 << 30
            log.abandon()

            again = EmbeddedLog(tmp_path / "log", runner=Inline(), durability="fast", clock=clock)
            await again.start()
            assert await table(again, "a") == {key: value for key, value in expected.items() if value is not None}
            again.abandon()
        return ends

    ends = asyncio.run(whole())
    print(f"{ends} of 60 compactions ended early")
    assert ends > 10


@asynchronous
async def test_two_that_compact_the_same_partition_do_no_harm(embedded: Embedded) -> None:
    logs = [await embedded.client(durability="fast") for _ in range(2)]
    await logs[0].create_topics([NewTopic("a", 1, COMPACT)])
    for n in range(40):
        await logs[0].append({at("a"): encode([(b"k%d" % (m % 50), b"%d.%d" % (n, m), 0, ()) for m in range(200)])})
    expected = await table(logs[0], "a")
    jobs = [compaction.jobs(View(sqlite3.connect(log.path / "log.db")), embedded.clock.now_ms(), True) for log in logs]

    await asyncio.gather(*(log._housekeeper._compact(job) for log, [job] in zip(logs, jobs, strict=True)))

    assert await table(logs[1], "a") == expected
    assert len(await read(logs[0], at("a"))) == 50


@asynchronous
async def test_compaction_goes_on_beside_appends_and_deletions(embedded: Embedded) -> None:
    log, other = await embedded.client(durability="fast"), await embedded.client(durability="fast")
    await log.create_topics([NewTopic("a", 1, COMPACT), NewTopic("b", 1, COMPACT)])
    big = [encode([(b"k%d" % (n % 7), b"%d" % n + b"x" * 2000, 0, ())]) for n in range(200)]
    for one in big[:100]:
        await log.append({at("a"): one, at("b"): one})

    tidying = asyncio.create_task(log.tidy())
    for n, one in enumerate(big[100:]):
        await other.append({at("a"): one})
        if n % 10 == 0:
            await other.delete_records({at("a"): n})
        if n == 50:
            await other.delete_topic("b")
            await other.create_topics([NewTopic("b", 1)])
            await other.append({at("b"): big[0]})
    await tidying
    await log.tidy()

    found = await read(other, at("a"))
    assert [offset for offset, *_ in found] == list(range(193, 200))
    assert [row[1] for row in found] == [b"k%d" % (n % 7) for n in range(193, 200)]
    assert [row[1] for row in await read(other, at("b"))] == [b"k0"]


@asynchronous
async def test_rows_that_nobody_sees_any_more_are_removed(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast")
    await log.create_topics([NewTopic("a", 1), NewTopic("b", 2), NewTopic("c", 1, {"retention.ms": "1000"})])
    await log.append({place: [batch("x")] * 600 for place in (at("a"), at("b"), at("b", 1), at("c"))})
    assert count(log) == 2400

    await log.delete_records({at("a"): 599})
    assert count(log) == 1801
    await log.delete_topic("b")
    assert count(log) == 601
    embedded.pass_time(2000)
    await log.tidy()
    assert count(log) == 1


@asynchronous
async def test_what_a_killed_process_left_to_remove_is_removed_by_another(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast")
    await log.create_topics([NewTopic("a", 1)])
    await log.append({at("a"): [batch("x")] * 2000})
    deleting = asyncio.create_task(log.delete_topic("a"))
    await until(lambda: there_are_fewer(log, 2000), "the first rows removed")
    await embedded.kill(log)
    with pytest.raises(Exception, match="closed"):
        await deleting
    assert count(log) > 0

    other = await embedded.client()
    await other.tidy()

    assert count(log) == 0


async def there_are_fewer(log: EmbeddedLog, rows: int) -> bool:
    return count(log) < rows


@asynchronous
async def test_ids_of_commits_are_forgotten_after_a_day(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast")
    await log.create_topics([NewTopic("in", 1)])
    session = log.session(GROUP, "t_0")
    await session.init()
    for seq in range(200):
        await log.commit([Commit(session, {}, {at("in"): seq}, seq, b"%d" % seq)])
    embedded.pass_time(25 * 3_600_000)
    await log.commit([Commit(session, {}, {at("in"): 200}, 200, b"200")])

    await log.tidy()

    assert await log.commit_id(GROUP, "t_0", 10) is None
    assert await log.commit_id(GROUP, "t_0", 200) == b"200"
    assert count(log, "commits") == 1


@asynchronous
async def test_the_background_compacts_by_itself_what_is_worth_it(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast", housekeeping_interval=0.02)
    await log.create_topics([NewTopic("a", 1, COMPACT)])
    for _ in range(20):
        await log.append({at("a"): encode([(b"k%d" % n, b"x" * 1000, 0, ()) for n in range(100)])})

    async def compacted() -> bool:
        return len(await read(log, at("a"))) <= 1200

    await until(compacted, "many of the 2,000 records superseded and gone")


@asynchronous
async def test_the_wal_is_taken_into_the_file_while_much_is_written(embedded: Embedded) -> None:
    log = await embedded.client(durability="fast")
    await log.create_topics([NewTopic("a", 1)])
    big = encode([(b"k", b"x" * 500_000, 0, ())])
    most = 0
    for _ in range(60):
        await log.append({at("a"): big})
        most = max(most, (log.path / "log.db-wal").stat().st_size)

    print(f"30 MB written, the WAL had {most / 1e6:.1f} MB at most")
    assert most < 20e6


@asynchronous
async def test_only_one_keeps_house_at_a_time_and_a_clock_set_back_does_not_stop_it(embedded: Embedded) -> None:
    first, second = await embedded.client(), await embedded.client()
    await first.create_topics([NewTopic("a", 1, {"retention.ms": "1000"})])
    for log, left in ((first, 0), (second, 1), (first, 0)):
        await first.append({at("a"): [batch("x")]})
        embedded.pass_time(2000)
        await log._housekeeper.tidy(False)
        assert len(await read(first, at("a"))) == left

    embedded.pass_time(-3_600_000)
    await first.create_topics([NewTopic("b", 1, {"retention.ms": "1000"})])
    await first.append({at("b"): [batch("y")]})
    embedded.pass_time(2000)
    assert first._database.read("test", lease_until) > embedded.clock.now_ms() + 60_000
    await second._housekeeper.tidy(False)
    assert len(await read(first, at("b"))) == 0


def lease_until(view: View) -> int:
    return view.need(LEASE).until
