"""The contract of the log as a whole: any history of it reads back as plain lists and dicts say."""

from __future__ import annotations

from streamflow.log.contract import Commit, Committed
from streamflow.log.kafka import KafkaLog
from streamflow.topic import NewTopic

from .support import Transport, asynchronous, at, pairs, read, seeded
from .test_contract import started


@asynchronous
async def test_any_history_reads_back_as_plain_lists_and_dicts_say(transport: Transport) -> None:
    rng = seeded()
    clients = [await transport.client() for _ in range(2)]
    names = {"plain": {}, "compacted": {"cleanup.policy": "compact", "delete.retention.ms": "30000"}}
    await clients[0].create_topics([NewTopic(name, 2, config) for name, config in names.items()])
    wrote: dict[str, list[tuple[str, str | None]]] = {f"{name}/{n}": [] for name in names for n in range(2)}
    starts = dict.fromkeys(wrote, 0)
    session = await started(clients[0], "t_0")

    for step in range(120):
        log = rng.choice(clients)
        place = at(rng.choice(sorted(names)), rng.randrange(2))
        mine = f"{place.topic}/{place.partition}"
        match rng.choice(("append", "append", "commit", "delete", "tidy", "move", "wait")):
            case "append" | "commit" as how:
                items = [
                    (f"k{rng.randrange(12)}", None if rng.random() < 0.2 else f"{step}.{n}")
                    for n in range(rng.choice((1, 3, 40)))
                ]
                if how == "append":
                    await log.append({place: [pairs(*items)]})
                else:
                    [outcome] = await log.commit([Commit(session, {place: [pairs(*items)]}, {})])
                    assert isinstance(outcome, Committed)
                wrote[mine] += items
            case "delete" if place.topic == "compacted" and isinstance(log, KafkaLog):
                continue  # Kafka deletes nothing from the front of a topic that it compacts
            case "delete":
                starts[mine] = max(starts[mine], rng.randint(0, len(wrote[mine])))
                await log.delete_records({place: starts[mine]})
            case "tidy":
                await transport.tidy(log)
            case "move":
                session = await started(rng.choice(clients), "t_0")
            case _:
                transport.pass_time(rng.randrange(20_000))

    for mine, items in wrote.items():
        topic, _, number = mine.partition("/")
        found = await read(rng.choice(clients), at(topic, int(number)))
        for offset, key, value, _ in found:
            assert (key, value) == tuple(part.encode() if part is not None else None for part in items[offset])
        there = {offset for offset, *_ in found}
        last = {key: offset for offset, (key, _) in enumerate(items)}
        wanted = range(starts[mine], len(items))
        if topic == "plain":
            assert there == set(wanted)
        else:
            live = {n for n in last.values() if items[n][1] is not None and n in wanted}
            assert live <= there <= set(wanted)
