"""What the processes of `test_embedded_processes.py` do: ``python child.py DOES FOLDER [ARGUMENT...]``.

They speak in lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from streamflow.log.batch import encode, records
from streamflow.log.contract import Commit, Committed
from streamflow.log.embedded import EmbeddedLog
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

A, B = TopicPartition("a", 0), TopicPartition("b", 0)
TOPICS = [NewTopic("a", 1), NewTopic("b", 1)]


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def told() -> None:
    """Wait for a line from the parent."""
    await asyncio.to_thread(sys.stdin.readline)


async def create(log: EmbeddedLog) -> None:
    await log.create_topics(TOPICS)
    say(id=(await log.topics())["a"].id)


async def write(log: EmbeddedLog, name: str, count: str) -> None:
    """Append ``count`` records, some at a time."""
    for n in range(0, int(count), 5):
        await log.append({A: encode([(name.encode(), b"%d" % m, 0, []) for m in range(n, n + 5)])})


async def read(log: EmbeddedLog, count: str) -> None:
    """Read so many records from the start, as they come."""
    found: list[tuple[int, str, int]] = []
    position = 0
    while position < int(count):
        for fetched in (await log.fetch({A: position}, max_bytes=1 << 20, max_wait=30)).values():
            found += [(r.offset, r.key.decode(), int(r.value)) for one in fetched.batches for r in records(one)]
            position = fetched.next_offset
    say(found=found)


async def clock(log: EmbeddedLog, count: str) -> None:
    """Append the time, with pauses, each when the parent says so."""
    for _ in range(int(count)):
        await told()
        await log.append({A: encode([(b"k", b"%d" % time.monotonic_ns(), 0, [])])})


async def idle(log: EmbeddedLog, seconds: str) -> None:
    """Wait for records that do not come, as a member of a group; tell what CPU that took."""
    membership = log.membership("g")
    await membership.join({"t_0": 1}, "", {})
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < float(seconds):
        await log.fetch({A: 0}, max_bytes=1 << 20, max_wait=0.5)
    say(percent=100 * (time.process_time() - used) / (time.monotonic() - began))


async def join(log: EmbeddedLog) -> None:
    """Be a member, claim what is free, tell each assignment; join anew when lost."""
    membership = log.membership("g")
    tasks = {"t_0": 1, "t_1": 1}
    await membership.join(tasks, "", {})
    seen = None
    while True:
        now = membership.assignment()
        if now != seen:
            say(
                member=membership.member_id,
                lost=now.lost,
                tasks=sorted(now.tasks),
                had=sorted(await membership.claim(now.free)),
            )
            if now.lost:
                await membership.join(tasks, "", {})
        seen = now
        await membership.changed(now, 60)


async def transact(log: EmbeddedLog, task: str) -> None:
    """Commit for a task, to two partitions at once, for ever."""
    session = log.session("g", task)
    await session.init()
    say(ready=True)
    seq = 0
    while True:
        some = encode([(task.encode(), os.urandom(2000), 0, [])])
        [outcome] = await log.commit([Commit(session, {A: some, B: some}, {A: seq}, seq, b"%d" % seq)])
        if not isinstance(outcome, Committed):
            say(outcome=type(outcome).__name__)
            return
        seq += 1


async def main(does: str, folder: str, *arguments: str) -> None:
    log = EmbeddedLog(folder, session_timeout=1.0)
    await log.start()
    await log.create_topics(TOPICS)
    await globals()[does](log, *arguments)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
