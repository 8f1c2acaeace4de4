"""Every error code at every request of a commit, though the broker did what it was asked: nothing is taken for granted.

What a session answers may be wrong about such a broker only by knowing too little. So whatever it says, records and
offsets of a commit are both there or both not, they are there once, and after `init` the next commit goes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.batch import encode
from streamflow.log.contract import Commit, Committed, Doubtful, Fenced, Outcome, Rejected
from streamflow.log.kafka import KafkaLog, codes
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic
from tests.log.support import asynchronous, read

from .broker import OLDER, VERSION, Cluster, free_ports, missing
from .proxy import ADD_OFFSETS, ADD_PARTITIONS, END, FIND, INIT, NAMES, OFFSETS, PRODUCE, Fault, Proxy

CODES = [*sorted(codes.NAMES), 999]
CALLS = {VERSION: (PRODUCE, OFFSETS, END), OLDER: (ADD_PARTITIONS, PRODUCE, ADD_OFFSETS, OFFSETS, END)}


class Behind(NamedTuple):
    proxy: Proxy
    version: str


@pytest.fixture(scope="module", params=[VERSION, OLDER])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A broker that can only be spoken to through a proxy."""
    if why := missing(request.param):
        pytest.skip(f"TESTS AGAINST KAFKA {request.param} ARE SKIPPED. {why}")
    [port] = free_ports(1)
    cluster = Cluster(tmp_path_factory.mktemp("lies"), version=request.param, behind=port).start()
    proxy = Proxy(port, cluster.nodes[0].port).start()
    yield Behind(proxy, request.param)
    proxy.stop()
    cluster.stop()


def expected(code: int) -> tuple[type[Any], ...]:
    """The outcomes that a code may lead to."""
    if code in codes.FOR_NOW:
        return (Committed,)  # asked again, and then the broker says what is true
    if code in codes.FENCED:
        return (Fenced,)
    if code in codes.REFUSED:
        return (Rejected,)
    if code in (22, 25, 27):  # another generation
        return (Fenced,)
    return (Doubtful,)


@asynchronous
async def test_no_error_code_makes_a_commit_half_or_double(behind: Behind) -> None:
    proxy, version = behind
    log = KafkaLog([("127.0.0.1", proxy.port)])
    await log.start()
    try:
        await log.create_topics([NewTopic("lies", 1, {"retention.ms": "-1"})])  # the records are of long ago
        at = TopicPartition("lies", 0)
        session = log.session("lies-group", "task_0")
        await session.init()

        async def commit(number: int) -> Outcome:
            batches = {at: encode([(b"k", str(number).encode(), 1_000, [])])}
            return (await log.commit([Commit(session, batches, {at: number + 1})]))[0]

        number = 0
        there: list[int] = []
        told: Counter[str] = Counter()
        needless: list[str] = []
        for api in CALLS[version]:
            for code in CODES:
                before = proxy.happened.total()
                proxy.arm(Fault("lie", api, "answer", code=code))
                outcome = await commit(number)
                what = f"{NAMES[api]} said {codes.named(code)}"
                assert proxy.happened.total() == before + 1, f"{what}: it never did"
                if isinstance(outcome, Doubtful) and Doubtful not in expected(code):
                    needless.append(f"{what}: {outcome.reason}")  # the machine was too busy for an answer in time
                else:
                    assert isinstance(outcome, expected(code)), f"{what}, and the outcome is {outcome}"
                told[type(outcome).__name__] += 1
                if not isinstance(outcome, Committed):
                    refused = await commit(number)
                    assert not isinstance(refused, Committed), f"{what}: a session that is over took a commit"
                await session.init()
                offset = (await log.committed("lies-group", [at])).get(at, 0)
                if offset == number + 1:
                    there.append(number)
                assert offset == (there[-1] + 1 if there else 0), what
                assert offset == number + 1 or not isinstance(outcome, Committed), what
                number += 1
        assert isinstance(await commit(number), Committed)
        assert (await log.offsets([at]))[at].start == 0
        found = [int(value or b"") for _, _, value, _ in await read(log, at)]
        assert found == [*there, number], "records and offsets do not agree"
        print(version, dict(told), f"{len(there)} of {number} were there")
        assert len(needless) < 5, needless
        assert set(told) == {"Committed", "Fenced", "Doubtful", "Rejected"}
    finally:
        await log.close()


@asynchronous
async def test_no_error_code_keeps_a_session_from_beginning_but_one_that_refuses_it(behind: Behind) -> None:
    proxy, _ = behind
    log = KafkaLog([("127.0.0.1", proxy.port)])
    await log.start()
    refused: Counter[str] = Counter()
    try:
        await log.create_topics([NewTopic("begun", 1)])
        at = TopicPartition("begun", 0)
        for api in (FIND, INIT):
            for code in CODES:
                session = log.session("lies-group", f"of_{api}_{code}")  # its coordinator is not known yet
                lie = proxy.arm(Fault("lie", api, "answer", code=code))
                what = f"{NAMES[api]} said {codes.named(code)}"
                try:
                    await session.init()
                except LogError as error:
                    assert not isinstance(error, LogUnavailable) and code in codes.REFUSED, f"{what}: {error}"
                    refused[NAMES[api]] += 1
                    closed = (await log.commit([Commit(session, {at: encode([(b"k", b"v", 1_000, [])])}, {})]))[0]
                    assert not isinstance(closed, Committed), f"{what}: it took a commit all the same"
                    await session.init()
                assert lie.done.is_set(), f"{what}: it never did"
                outcome = (await log.commit([Commit(session, {at: encode([(b"k", b"v", 1_000, [])])}, {})]))[0]
                assert isinstance(outcome, Committed), f"{what}: {outcome}"
    finally:
        await log.close()
    assert set(refused.values()) == {len(codes.REFUSED)}


@asynchronous
async def test_offsets_without_an_answer_are_sent_again_only_where_a_late_copy_hurts_nobody(behind: Behind) -> None:
    """In transactions V1 the next one has the same epoch: the copy would set its offsets back."""
    proxy, version = behind
    log = KafkaLog([("127.0.0.1", proxy.port)])
    await log.start()
    try:
        await log.create_topics([NewTopic("late", 1)])
        at = TopicPartition("late", 0)
        session = log.session("late-group", "task_0")
        await session.init()
        cut = proxy.arm(Fault("cut", OFFSETS, "answer"))

        outcome = (await log.commit([Commit(session, {at: encode([(b"k", b"v", 1_000, [])])}, {at: 7})]))[0]

        assert cut.done.is_set()
        assert isinstance(outcome, Doubtful if version == OLDER else Committed), outcome
        await session.init()
        found = (await log.committed("late-group", [at])).get(at)
        assert found == (None if version == OLDER else 7)
    finally:
        await log.close()
