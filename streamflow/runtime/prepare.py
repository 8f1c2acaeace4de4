"""From a topology to a plan that can run: look at the topics, make those that are missing, and the internal ones.

The topics a script names belong to their owner, who decides partitions and retention. So they are only made where
``create`` says so (always on the embedded log); internal topics are ours and always made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import cast

from streamflow.errors import ConfigError, LogError, SerdeError, TopicMismatch, TopologyError, UnknownTopic
from streamflow.log.contract import Log
from streamflow.plan import DAY_MS, Plan, needed_topics, plan
from streamflow.runtime.task import Rules
from streamflow.settings import Settings
from streamflow.topic import NewTopic, TopicInfo
from streamflow.topology import Sink, Topology


async def prepare(app_id: str, topology: Topology, settings: Settings, log: Log, *, create: bool) -> Plan:
    """The plan of ``topology`` over the topics as they are now, every topic of it there.

    Raises `UnknownTopic` that names what is missing where ``create`` is False, `TopicMismatch` when an internal topic
    is there with other partitions than the plan needs, and `TopologyError` for what cannot be planned.
    """
    found = await log.topics()
    if under_reset(app_id) in found:
        raise LogError(f"a reset of {app_id!r} did not come to its end; run `streamflow reset` again to finish it")
    wanted = needed_topics(topology, settings.topic_partitions)
    letters = Rules.of(app_id, settings).dead_letter_topic
    if settings.dead_letters:
        wanted += (NewTopic(letters, settings.topic_partitions),)
    missing = [topic for topic in wanted if topic.name not in found]
    if missing:
        if not create:
            raise UnknownTopic(_absent([topic.name for topic in missing]))
        await log.create_topics(missing)
        found = await log.topics()
    counts = {name: info.partitions for name, info in found.items()}
    planned = plan(topology, app_id, counts)
    for topic in planned.internal_topics:
        check_internal(topic, found.get(topic.name))
    check_reused(planned, Rules.of(app_id, settings), found)
    await log.create_topics([topic for topic in planned.internal_topics if topic.name not in found])
    await _make_ready(planned)
    if settings.dead_letters:
        return replace(planned, partitions={**planned.partitions, letters: counts[letters]})
    return planned


def under_reset(app_id: str) -> str:
    """The topic that is there while an application is being reset."""
    return f"{app_id}-reset-under-way"


def maker(
    planned: Plan, topology: Topology, settings: Settings, log: Log, *, create: bool
) -> Callable[[str], Awaitable[None]]:
    """A function that brings a topic which only a record's own name tells (`Worker.create_topic`) into the plan."""
    counts = cast(dict[str, int], planned.partitions)  # tasks look their topics up in it

    async def make(name: str) -> None:
        if (info := (await log.topics()).get(name)) is None:
            if not create:
                raise UnknownTopic(
                    f"a record goes to topic {name!r}, which does not exist; create it with "
                    f"`streamflow topics create {name} --partitions N`, or run with --create-topics"
                )
            await log.create_topics([topology.topics.get(name) or NewTopic(name, settings.topic_partitions)])
            info = (await log.topics())[name]
        counts[name] = info.partitions

    return make


def _absent(names: list[str]) -> str:
    what = f"topic {names[0]!r} does" if len(names) == 1 else f"topics {', '.join(map(repr, names))} do"
    return f"{what} not exist; create with `streamflow topics create NAME --partitions N`, or run with --create-topics"


def check_internal(topic: NewTopic, info: TopicInfo | None) -> None:
    """An internal topic with other partitions holds state that this plan cannot find; one that keeps less loses it.

    ``info`` is what is there of it. Raises `TopicMismatch`. Other differences of configuration are the business of
    whoever made them.
    """
    if info is None:
        return
    if info.partitions != topic.partitions:
        raise TopicMismatch(
            f"internal topic {topic.name!r} has {info.partitions} partitions, but the topics it follows now have "
            f"{topic.partitions}; give the App a new id, or delete it to lose what it holds: "
            f"`streamflow topics delete {topic.name}`"
        )
    wanted_policy = topic.config.get("cleanup.policy", "delete")
    policy = info.config.get("cleanup.policy", "delete")
    if "compact" in wanted_policy and "compact" not in policy:
        raise TopicMismatch(
            f"internal topic {topic.name!r} has cleanup.policy={policy}, and a changelog must be compacted, or it "
            f"forgets rows that nobody changes; set cleanup.policy={wanted_policy}, or delete it to lose what it "
            f"holds: `streamflow topics delete {topic.name}`"
        )
    wanted = _kept(topic.config)
    if wanted is not None and (kept := _kept(info.config)) and wanted - kept > DAY_MS // 2:
        raise TopicMismatch(
            f"internal topic {topic.name!r} has retention.ms={kept}, and the script now asks for {wanted}: windows "
            "would be missing after a restore; give the step another name= to begin it anew with a topic of its "
            "own, or keep its window, grace and retention as they were"
        )


def check_reused(planned: Plan, rules: Rules, found: Mapping[str, TopicInfo]) -> None:
    """Refuse to restore a table from its own topic where that would not give the same table.

    Raises `ConfigError` for settings under which the topic has more than the table, `TopicMismatch` for a topic that
    forgets.
    """
    for topic in (topic for sub in planned.subtopologies for topic in sub.reused.values()):
        what = f"optimize='all' restores the table of topic {topic!r} from the topic itself"
        if rules.on_process_error != "fail":
            raise ConfigError(
                f"{what}, where a record whose processing failed would count again; use on_process_error='fail', or "
                "optimize='none'"
            )
        if rules.max_future_ms is not None:
            raise ConfigError(
                f"{what}, where a record that was dropped by max_future would count again; leave out max_future, or use "
                "optimize='none'"
            )
        kept = _kept(found[topic].config)
        if kept is not None:
            raise TopicMismatch(
                f"{what}, but the topic forgets its records after {kept} ms (cleanup.policy="
                f"{found[topic].config.get('cleanup.policy', 'delete')}): set cleanup.policy=compact, or use optimize='none'"
            )


async def _make_ready(planned: Plan) -> None:
    """Register the schemas that will be written, so that a registry which refuses one does so before anything runs."""
    for sub in planned.subtopologies:
        for step in sub.steps:
            if not isinstance(step.meaning, Sink) or not isinstance(step.meaning.topic, str):
                continue
            for serde in (step.meaning.key, step.meaning.value):
                if serde.ready is None:
                    continue
                try:
                    await asyncio.to_thread(serde.ready)
                except SerdeError as error:
                    raise TopologyError(f"step '{step.name}' cannot write to '{step.meaning.topic}': {error}") from None


def _kept(config: Mapping[str, str]) -> int | None:
    """For how many milliseconds a topic keeps its records, None for ever. A day of what we ask for is to spare."""
    kept = int(config.get("retention.ms", "-1")) if "delete" in config.get("cleanup.policy", "delete") else -1
    return None if kept < 0 else kept
