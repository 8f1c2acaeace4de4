"""Tables and stores that every worker has whole are answered by the worker that is asked, from its own rows."""

from __future__ import annotations

from pathlib import Path

from streamflow import App
from streamflow.log.batch import encode
from streamflow.plan import plan
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record
from streamflow.record import TopicPartition
from tests.http.world import APP, PARTITIONS, World, world_in

TOPICS = ("names", "facts", "asks", "answers")
NAMES = {f"n{n}": f"N{n}" for n in range(40)}
STORES = ("names", "lengths")


class Lengths(Processor[str, str, str, str]):
    def init(self, context: ProcessorContext[str, str]) -> None:
        self.lengths = context.store("lengths")

    def process(self, record: Record[str, str]) -> None:
        self.lengths.put(record.key, len(record.value))


def lookups() -> App:
    app = App(APP)
    names = app.global_table("names", key=str, value=str, store="names")
    app.add_global_store(KeyValueStore("lengths", key=str, value=int), "facts", Lengths, key=str, value=str)
    asks = app.stream("asks", key=str, value=str)
    asks.join(names, lambda ask, name: name, on=lambda ask: ask, value=str).to("answers")
    return app


async def ask_all(world: World, worker: int) -> None:
    for key, name in NAMES.items():
        for store, value in (("names", name), ("lengths", len(name))):
            status, answer = await world.get(f"/stores/{store}/keys/{key}", worker)
            assert (status, answer["value"]) == (200, value), answer
            assert (await world.get(f"/stores/{store}/keys/{key}x", worker))[0] == 404
    for store in STORES:
        _, listed = await world.get(f"/stores/{store}/keys?limit=100", worker)
        assert sorted(entry["key"] for entry in listed["entries"]) == sorted(NAMES)


def test_each_worker_answers_for_every_key_also_when_no_other_can_be_asked(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.start(workers=2)
        for topic in ("names", "facts"):
            for n, (key, value) in enumerate(NAMES.items()):  # not where the hash of the key says
                at = TopicPartition(topic, n % PARTITIONS)
                await world.members[0].log.append({at: encode([(key.encode(), value.encode(), 1, [])])})
        tables = [member.worker.tables for member in world.members]
        await world.until(lambda: all(each.rows(store)(key) for each in tables for store in STORES for key in NAMES))
        await ask_all(world, 0)
        await world.members[0].server.close()
        await ask_all(world, 1)

    with world_in(tmp_path) as world:
        world.plan = plan(lookups().topology, APP, dict.fromkeys(TOPICS, PARTITIONS))
        world.run(story(world))
