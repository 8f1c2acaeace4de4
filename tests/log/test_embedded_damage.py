"""Power cuts and damaged bytes: a clean committed state, or a refusal that says what to do. Nothing in between.

A small log is written, and after each transaction all it holds is noted. Then its
files are cut or changed in many places, each time opened anew, and what is read
must be one of the noted states, whole.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import LogCorrupt, LogError, LogUnavailable
from streamflow.log.batch import encode
from streamflow.log.contract import Commit, Committed
from streamflow.log.embedded import EmbeddedLog, batches, catalog
from streamflow.log.embedded.commits import commit_id
from streamflow.log.embedded.control import View
from streamflow.topic import NewTopic

from .support import at, seeded
from .virtual import Inline

State = tuple[Any, Any, Any]
"""The rows of control; batches by partition; the ids of commits by task and number."""

STEPS = 24
HEADER = 32
FRAME = 24


class Unsynced(sqlite3.Connection):
    """Leaves out the syncs: what is damaged here are copies, and there are thousands."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
        return super().execute("PRAGMA synchronous=OFF" if sql.startswith("PRAGMA synchronous") else sql, *values)


def unsynced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    return sqlite3.connect(*args, **kwargs, factory=Unsynced)


@dataclass
class Written:
    """A log's files, and every state it was in; those from ``since`` on are not in the main file yet."""

    main: bytes
    wal: bytes
    states: list[State]

    def laid_out(self, folder: Path, main: bytes | None = None, wal: bytes | None = None) -> Path:
        """The files in a folder, as they were or as given."""
        (folder / "members").mkdir(parents=True, exist_ok=True)
        (folder / "format").write_text("a log\n")
        for old in folder.glob("log.db*"):
            old.unlink()
        (folder / "log.db").write_bytes(self.main if main is None else main)
        if given := self.wal if wal is None else wal:
            (folder / "log.db-wal").write_bytes(given)
        return folder


def state_of(view: View) -> State:
    """All that a log tells."""
    control = sorted(row[:4] for row in view.execute("SELECT kind, scope, name, value FROM control"))
    data = [
        [stored for _, stored in batches.scan(view, id, row, row.start, catalog.place(place))]
        for place, id, row, _ in catalog.partitions(view)
    ]
    ids = {(task, seq): commit_id(view, "g", task, seq) for task in ("t_0", "t_1") for seq in range(0, STEPS, 3)}
    return control, data, {place: id for place, id in ids.items() if id is not None}


def agree(state: State, noted: State) -> bool:
    """The same, but for ids of commits that are not known any more: a store that asks for them is rebuilt."""
    return state[:2] == noted[:2] and state[2].items() <= noted[2].items()


def opened(folder: Path) -> EmbeddedLog:
    return EmbeddedLog(folder, runner=Inline(), connect=unsynced, lock_timeout=1, housekeeping_interval=1e9)


async def examine(folder: Path) -> tuple[State, bool]:
    """What a log tells when it is opened, and whether what is then written stays."""
    log = opened(folder)
    try:
        await log.start()
        before = log._database.read("read", state_of)
        wrote = await write_on(log)
        return before, wrote
    finally:
        log.abandon()


async def write_on(log: EmbeddedLog) -> bool:
    """Append, commit, and read back; whether all of it was there. Refusing is fine too."""
    try:
        if not {"a", "b"} <= set(await log.topics()):
            return True
        before = await log.offsets([at("a"), at("b")])
        session = log.session("g", "t_0")
        await session.init()
        one = encode([(b"k", b"v" * 9000, 1, [])])
        [outcome] = await log.commit([Commit(session, {at("a"): one, at("b"): one}, {at("a"): 1}, 99, b"id")])
        after = await log.offsets([at("a"), at("b")])
        log._database.read("read", state_of)
        return isinstance(outcome, Committed) and all(
            after[place] == (told.start, told.end + 1) for place, told in before.items()
        )
    except (LogCorrupt, LogUnavailable) as error:
        says_what_to_do(error)
        return True


def says_what_to_do(error: LogError) -> None:
    assert (
        "restore the folder" in str(error) if isinstance(error, LogCorrupt) else "cannot be used for now" in str(error)
    )


class Noting(Inline):
    """Notes the state after every call, so after every transaction."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.log: EmbeddedLog | None = None

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        answer = fn(*args)
        self.note()
        return answer

    def note(self) -> None:
        assert self.log is not None
        state = self.log._database.read("note", state_of)
        if not self.states or self.states[-1] != state:
            self.states.append(state)


async def history(folder: Path, middle: Callable[[EmbeddedLog], sqlite3.Connection | None]) -> Written:
    """Write a log with all kinds of rows; ``middle`` is done half-way."""
    runner = Noting()
    log = EmbeddedLog(folder, runner=runner, connect=unsynced, housekeeping_interval=1e9)
    runner.log = log
    await log.start()
    await log.create_topics([NewTopic("a", 1), NewTopic("b", 2, {"cleanup.policy": "compact"})])
    sessions = [log.session("g", f"t_{n}") for n in range(2)]
    for session in sessions:
        await session.init()
    membership = log.membership("g")
    await membership.join({"t_0": 1, "t_1": 1}, "addr", {"t_0": 5})
    await membership.claim(frozenset({"t_0"}))
    membership._stop()
    rng = random.Random(1)
    reader = None
    for step in range(STEPS):
        if step == STEPS // 2:
            reader = middle(log)
            runner.note()
        some = encode([(b"k%d" % rng.randrange(5), rng.randbytes(rng.choice((10, 300, 300, 9000))), step, [])] * 3)
        outcomes = await log.commit(
            [
                Commit(sessions[0], {at("a"): some}, {at("b"): step}, step, rng.randbytes(8)),
                Commit(sessions[1], {at("b", step % 2): some}, {at("a"): step}, step, rng.randbytes(8)),
            ]
        )
        assert {type(outcome) for outcome in outcomes} == {Committed}
        if step % 7 == 6:
            await log.delete_records({at("a"): step})
    copy = folder.with_name("copy")
    # By another process: to open and close these files in this one would drop SQLite's locks on them.
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True)
    if reader is not None:
        reader.close()
    log.abandon()
    return Written((copy / "log.db").read_bytes(), (copy / "log.db-wal").read_bytes(), runner.states)


def checkpointed(log: EmbeddedLog) -> None:
    """The first half goes to the main file, the WAL begins anew."""
    log._database.checkpoint()


def half_checkpointed(log: EmbeddedLog) -> sqlite3.Connection:
    """A reader of an older state lets the checkpoint do only a part, and keeps the WAL from beginning anew."""
    reader = sqlite3.connect(log.path / "log.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM control").fetchone()
    log._database.write(lambda change: None)
    log._database.checkpoint()
    return reader


def frames(wal: bytes) -> Iterator[int]:
    """Where the frames of a WAL begin and end, those of an earlier life at its end left out."""
    page = int.from_bytes(wal[8:12], "big")
    salt = wal[16:24]
    place = HEADER
    while place + FRAME + page <= len(wal) and wal[place + 8 : place + 16] == salt:
        yield place
        place += FRAME + page
    yield place


def changed(data: bytes, rng: random.Random) -> bytes:
    """One bit, one byte, or some bytes are others, or a page is another one or lost."""
    damaged = bytearray(data)
    place = rng.randrange(len(data))
    match rng.randrange(6):
        case 0 | 1 | 2:
            damaged[place] ^= 1 << rng.randrange(8)
        case 3:
            damaged[place] = (damaged[place] + rng.randrange(1, 256)) % 256
        case 4:
            damaged[place : place + 16] = rng.randbytes(len(damaged[place : place + 16]))
        case _:
            page, other = (rng.randrange(len(data) // 512) * 512 for _ in range(2))
            damaged[page : page + 512] = bytes(512) if rng.random() < 0.5 else data[other : other + 512]
    return bytes(damaged)


def which(state: State, states: list[State]) -> int:
    """The newest noted state that this is; fails when it is none."""
    for n in reversed(range(len(states))):
        if agree(state, states[n]):
            return n
    parts = ("control", "batches", "ids")
    odd = [name for n, name in enumerate(parts) if state[n] not in [noted[n] for noted in states]]
    raise AssertionError(f"a state that never was: {odd or 'its parts'} are of no state, or of different ones")


async def verdict(folder: Path, states: list[State]) -> str:
    """What came of it: ``refused``, ``whole`` (the last state), or ``prefix``. Anything else is a failure."""
    try:
        state, wrote = await examine(folder)
    except (LogCorrupt, LogUnavailable) as error:
        says_what_to_do(error)
        return "refused"
    found = which(state, states)
    assert wrote, "what was written on top is not there"
    return "whole" if found == len(states) - 1 else "prefix"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return asyncio.run(history(tmp_path / "log", checkpointed))


@pytest.fixture
def clean(tmp_path: Path, written: Written) -> Written:
    """The same after a clean close: all of it is in the main file."""

    async def close() -> bytes:
        log = opened(written.laid_out(tmp_path / "clean"))
        await log.start()
        await log.close()
        return (tmp_path / "clean" / "log.db").read_bytes()

    return Written(asyncio.run(close()), b"", written.states)


def test_a_wal_cut_at_any_frame_or_byte_leaves_a_committed_state(written: Written, tmp_path: Path) -> None:
    rng = seeded()
    ends = list(frames(written.wal))
    cuts = [*ends, *sorted(rng.randrange(ends[-1]) for _ in range(2000))]
    seen: Counter[int] = Counter()

    async def whole() -> None:
        for cut in cuts:
            state, wrote = await examine(written.laid_out(tmp_path / "cut", wal=written.wal[:cut]))
            assert state in written.states, f"cut at {cut}"
            assert wrote, f"cut at {cut}"
            seen[written.states.index(state)] += 1

    asyncio.run(whole())
    print(f"{len(cuts)} cuts led to {len(seen)} of {len(written.states)} states")
    assert len(seen) > 10
    assert seen[len(written.states) - 1], "the whole WAL was never there"


def test_a_damaged_main_file_is_refused_or_whole(clean: Written, tmp_path: Path) -> None:
    rng = seeded()

    async def whole() -> Counter[str]:
        return Counter(
            [
                await verdict(clean.laid_out(tmp_path / "hurt", main=changed(clean.main, rng)), clean.states[-1:])
                for _ in range(1200)
            ]
        )

    verdicts = asyncio.run(whole())
    print(f"{len(clean.main)} bytes, 1200 places: {dict(verdicts)}")
    assert verdicts["refused"] and verdicts["whole"]


@pytest.mark.parametrize("middle", [checkpointed, half_checkpointed])
def test_a_damaged_wal_is_refused_or_a_committed_state(middle: Any, tmp_path: Path) -> None:
    rng = seeded()
    written = asyncio.run(history(tmp_path / "log", middle))

    async def whole() -> Counter[str]:
        return Counter(
            [
                await verdict(written.laid_out(tmp_path / "hurt", wal=changed(written.wal, rng)), written.states)
                for _ in range(400)
            ]
        )

    verdicts = asyncio.run(whole())
    print(f"{len(written.wal)} bytes, 400 places: {dict(verdicts)}")
    assert verdicts["prefix"]


@pytest.mark.parametrize("what", ["missing", "empty", "half", "another"])
def test_a_main_file_that_is_not_the_one_that_was_is_refused(clean: Written, tmp_path: Path, what: str) -> None:
    folder = clean.laid_out(tmp_path / "hurt")
    match what:
        case "missing":
            (folder / "log.db").unlink()
        case "empty":
            (folder / "log.db").write_bytes(b"")
        case "half":
            (folder / "log.db").write_bytes(clean.main[: len(clean.main) // 2])
        case _:
            (folder / "log.db").write_bytes(b"not a database at all, but a text" * 1000)

    with pytest.raises(LogCorrupt, match="restore the folder"):
        asyncio.run(examine(folder))
