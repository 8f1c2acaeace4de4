"""Known mistakes, put into the product from outside; the simulation must notice each.

    python -m tests.simulation.mutants [RUNS]     tell for each mutant the first seed that catches it

A seed counts only if it is clean without the mutant.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from streamflow.log.batch import header
from streamflow.log.contract import Committed, Doubtful, Log, Offsets, Outcome
from streamflow.log.embedded import batches, commits
from streamflow.record import TopicPartition
from streamflow.runtime import commit, recovery, roster, worker
from streamflow.runtime.commit import Round
from streamflow.runtime.recovery import Place
from streamflow.runtime.task import Task
from streamflow.state import changelog
from streamflow.state.layers import Layers
from streamflow.state.meta import Meta, encode
from streamflow.state.store import Store

from .sweep import quietly
from .world import Options

ENOUGH = 2_000

Change = tuple[Any, str, Any]
"""Object, attribute, what it is replaced by."""

MUTANTS: dict[str, Callable[[], list[Change]]] = {}


def mutant(make: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
    MUTANTS[make.__name__] = make
    return make


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Inside, the product makes the named mistake."""
    before: list[Change] = []
    try:
        for owner, attribute, broken in MUTANTS[name]():
            before.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, broken)
        yield
    finally:
        for owner, attribute, sound in reversed(before):
            setattr(owner, attribute, sound)


# --- the log


@mutant
def skip_the_epoch_check() -> list[Change]:
    """A worker that was taken over commits all the same."""
    return [(commits, "refusal", lambda change, intent: None)]


@mutant
def skip_the_crc() -> list[Change]:
    """A batch is believed as it is read."""
    return [(batches, "check", lambda batch, where: header(batch))]


# --- the commit


def _around_commit(before: Callable[[Sequence[Round], Log], Any], judge: Callable[[Outcome], Outcome]) -> list[Change]:
    """`commit_all` with something done before it, and its outcomes seen otherwise."""

    async def commit_all(rounds: Sequence[Round], log: Log) -> list[Outcome]:
        await before(rounds, log)
        try:
            outcomes = await log.commit([each.commit for each in rounds])
        except Exception as error:
            outcomes = [Doubtful(str(error)) for _ in rounds]
        outcomes = [judge(outcome) for outcome in outcomes]
        for each, outcome in zip(rounds, outcomes, strict=True):
            commit.settle(each, outcome)
        return outcomes

    return [(worker, "commit_all", commit_all)]


async def _nothing(rounds: Sequence[Round], log: Log) -> None: ...


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome


@mutant
def flush_before_commit() -> list[Change]:
    """The stores are written before the log has it."""

    async def write(rounds: Sequence[Round], log: Log) -> None:
        for each in rounds:
            for store in each.task.stores.values():
                layers: Any = store._layers
                rows = [(key, layers.encode(pair)) for key, pair in layers.overlay.items()]
                layers.base.write(rows, encode(store._recorded or store._blank()))

    return _around_commit(write, _as_it_is)


@mutant
def outputs_before_commit() -> list[Change]:
    """Outputs go out on their own, and the commit follows."""

    async def send(rounds: Sequence[Round], log: Log) -> None:
        for each in rounds:
            taken: Any = each.commit.batches
            outputs = {tp: taken.pop(tp) for tp in list(taken) if not tp.topic.endswith("-changelog")}
            if outputs:
                await log.append(outputs)

    return _around_commit(send, _as_it_is)


@mutant
def doubtful_is_committed() -> list[Change]:
    """Not to know is taken for success."""
    return _around_commit(_nothing, lambda outcome: Committed({}) if isinstance(outcome, Doubtful) else outcome)


@mutant
def keep_the_overlay() -> list[Change]:
    """What a failed commit carried stays in the store."""
    return [(Store, "drop", lambda self: None)]


@mutant
def forget_a_tombstone() -> list[Change]:
    """Deleted rows do not reach the changelog."""
    sound = changelog.key_value_records

    def broken(rows: Any, serialize: Any) -> Any:
        return [record for record in sound(rows, serialize) if record[1] is not None]

    return [(changelog, "key_value_records", broken)]


@mutant
def meta_without_all_inputs() -> list[Change]:
    """The meta record names the position of one input, and the group's offsets are not asked for the others."""
    sound = commit.nested

    def nested(positions: Mapping[TopicPartition, int]) -> dict[str, dict[int, int]]:
        first = next(iter(positions), None)
        return sound({tp: offset if tp == first else 0 for tp, offset in positions.items()})

    return [(commit, "nested", nested)]


@mutant
def forget_stream_time() -> list[Change]:
    """Stream time begins anew after a restart, so late records are taken again."""
    return [(Task, "stream_times", lambda self: {})]


# --- recovery


@mutant
def restore_to_too_small_an_end() -> list[Change]:
    """The end of the changelog as it was some records ago."""
    sound = recovery._restore

    async def restore(place: Place, ends: Mapping[TopicPartition, Offsets], log: Log, clock: Any) -> None:
        shorter = {tp: Offsets(end.start, max(end.start, end.end - 2)) for tp, end in ends.items()}
        await sound(place, shorter, log, clock)

    return [(recovery, "_restore", restore)]


@mutant
def restore_before_fencing() -> list[Change]:
    """R1 comes last: the former owner may commit in between."""
    sound: Any = vars(roster)["recover"]

    async def recover(place: Place, *rest: Any) -> Any:
        session: Any = place.session

        async def later() -> None: ...

        session.init = later
        try:
            found = await sound(place, *rest)
        finally:
            del session.init
        await session.init()
        return found

    return [(roster, "recover", recover)]


@mutant
def believe_any_commit_id() -> list[Change]:
    """A store that knows a commit which the log lost is used."""

    async def opened(
        place: Place, spec: Any, incarnation: str, offsets: Offsets, group: str, log: Log, open_store: Any
    ) -> Store:
        store: Store = open_store(place, spec, incarnation, offsets, place.damaged.pop(spec.name, None))
        return store

    return [(recovery, "_opened", opened)]


# --- writing down


@mutant
def drop_the_position() -> list[Change]:
    """Rows are written down, the position they reflect is not."""
    sound = Store._target

    def target(self: Store, now_ms: int) -> Meta:
        own = self._recorded or self._blank()
        return msgspec.structs.replace(sound(self, now_ms), position=own.position)

    return [(Store, "_target", target)]


@mutant
def position_without_rows() -> list[Change]:
    """The position is written, and some of its rows are not."""
    sound = Store._write_down

    def write_down(self: Store, now_ms: int) -> Iterator[None]:
        sinking: Any = self._layers.sinking
        for key in sorted(sinking)[:1]:
            sinking.forget(key)
        return sound(self, now_ms)

    return [(Store, "_write_down", write_down)]


# --- reading


@mutant
def queries_see_the_overlay() -> list[Change]:
    """A query is answered with what is not committed."""
    sound = Layers.scan

    def scan(self: Any, low: bytes, high: bytes | None, reverse: bool = False, *, committed_only: bool = False) -> Any:
        return sound(self, low, high, reverse)

    return [(Layers, "scan", scan)]


# --- the runner


def caught(job: tuple[str, int]) -> list[str]:
    """The violations that a seed shows with the mutant and not without it."""
    name, seed = job
    with mutated(name):
        violations = quietly((seed, Options())).violations
    return violations if violations and not quietly((seed, Options())).violations else []


def first_catch(name: str, runs: int, jobs: int | None = None) -> tuple[int, list[str]] | None:
    """The first seed that catches a mutant, and how."""
    with multiprocessing.Pool(jobs) as pool:
        work = [(name, seed) for seed in range(runs)]
        for (_, seed), violations in zip(work, pool.imap(caught, work), strict=True):
            if violations:
                return seed, violations
    return None


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else ENOUGH
    survivors = 0
    for name in MUTANTS:
        began = time.monotonic()
        found = first_catch(name, runs)
        survivors += found is None
        told = f"seed {found[0]}: {found[1][0]}" if found else f"SURVIVED {runs} seeds"
        print(f"{name:30} {time.monotonic() - began:4.0f} s  {told[:150]}", flush=True)
    return min(1, survivors)


if __name__ == "__main__":
    sys.exit(main())
