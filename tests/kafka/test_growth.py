"""A topic of Kafka's that gets more partitions while workers read it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streamflow.cli.options import with_log
from streamflow.log.batch import encode
from streamflow.log.contract import Log
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic
from tests.cli.shell import Shell, until
from tests.log.support import read


def grow(bootstrap: str, topic: str, partitions: int) -> None:
    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_partitions({topic: NewPartitions(total_count=partitions)})
        finally:
            await admin.close()

    asyncio.run(work())


def write(broker: str, topic: str, partition: int, *values: str) -> None:
    records = [(value.encode(), value.encode(), 1_700_000_000_000, []) for value in values]
    with_log(broker, lambda log: log.append({TopicPartition(topic, partition): encode(records)}))


def test_a_stateless_task_for_each_new_partition_and_a_clear_end_where_state_would_be_torn(
    bootstrap: str, tmp_path: Path
) -> None:
    broker, shell = f"kafka://{bootstrap}", Shell(tmp_path)
    kept = {"retention.ms": "-1"}
    with_log(broker, lambda log: log.create_topics([NewTopic(t, 2, kept) for t in ("growing", "grown", "kept-in")]))
    shell.write(
        "pass.py",
        "from streamflow import App\napp = App('grows')\napp.stream('growing', key=str, value=str).to('grown')\n",
    )
    shell.write(
        "count.py",
        "from streamflow import App\napp = App('stays')\n"
        "app.stream('kept-in', key=str, value=str).group_by_key().count(name='counts')\n",
    )

    async def through(log: Log) -> list[str]:
        rows = [row for p in range(2) for row in await read(log, TopicPartition("grown", p))]
        return sorted((row[2] or b"").decode() for row in rows)

    write(broker, "growing", 0, "a", "b")
    with (
        shell.started("run", "pass.py", "--no-http", "--broker", broker) as passing,
        shell.started("run", "count.py", "--no-http", "--broker", broker) as counting,
    ):
        until(lambda: with_log(broker, through) == ["a", "b"], lambda: passing.err)
        grow(bootstrap, "growing", 3)
        write(broker, "growing", 2, "c")
        passing.says("topic 'growing' has 3 partitions, it had 2: planning anew")
        until(lambda: with_log(broker, through) == ["a", "b", "c"], lambda: passing.err)

        grow(bootstrap, "kept-in", 3)
        assert counting.ends() == 1
        assert "internal topic 'stays-counts-changelog' has 2 partitions" in counting.err, counting.err
        assert "the topics it follows now have 3" in counting.err
