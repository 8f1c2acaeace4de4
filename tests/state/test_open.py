"""Which directories are believed, which are rebuilt, and which are nobody's to touch."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import StateError, StoreCorrupt, StoreStalled, StreamflowError
from streamflow.state.budget import Budget
from streamflow.state.meta import Meta, decode, encode
from streamflow.state.open import Expectation, destroy, directory, move_aside, open_base
from streamflow.state.rocksdb import RocksBase

BUDGET = Budget(8 * 1024 * 1024)
ROWS = {b"%06d" % row: b"%d" % row * 20 for row in range(2_000)}
Expect = Callable[..., Expectation]
MetaOf = Callable[..., Meta]


def _filled(path: Path, meta: Meta, tables: bool = True) -> None:
    base = RocksBase(path, BUDGET)
    base.write(ROWS.items(), encode(meta))
    if tables:
        base._db.flush()
    base.close()


def _open(path: Path, expect: Expectation) -> tuple[dict[bytes, bytes], int, str | None]:
    """The rows, the position, and why an earlier base was not believed."""
    base, reason = open_base("rocksdb", path, expect, BUDGET)
    try:
        return dict(base.scan(b"", None)), decode(base.meta() or b"").position, reason
    finally:
        base.close()


def test_a_new_base_is_empty_and_says_whose_it_is(tmp_path: Path, expect: Expect) -> None:
    base, reason = open_base("rocksdb", tmp_path / "app" / "task" / "counts", expect(incarnation="i"), BUDGET)
    meta = decode(base.meta() or b"")
    base.close()

    assert reason is None
    assert (meta.app_id, meta.store, meta.changelog, meta.incarnation) == (
        "shop",
        "counts",
        "shop-counts-changelog",
        "i",
    )
    assert _open(tmp_path / "app" / "task" / "counts", expect(log_end=5)) == ({}, 0, None)


def test_an_empty_directory_is_a_new_base(tmp_path: Path, expect: Expect) -> None:
    (tmp_path / "counts").mkdir()
    assert _open(tmp_path / "counts", expect()) == ({}, 0, None)


def test_what_was_written_is_there_again(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(tmp_path / "counts", meta(7, incarnation="i"))
    assert _open(tmp_path / "counts", expect(log_end=9, incarnation="i")) == (ROWS, 7, None)


@pytest.mark.parametrize(
    ("written", "expected", "why"),
    [
        ({"app_id": "other"}, {}, "application 'other', not 'shop'"),
        ({"store": "sums"}, {}, "store 'sums'"),
        ({"partition": 3}, {}, "partition 3, not 0"),
        ({"format": 99}, {}, "format 99"),
        ({"incarnation": "a"}, {"incarnation": "b"}, "another life"),
        ({}, {"log_end": 6}, "position 7, but its changelog ends at 6"),
        ({}, {"log_start": 8}, "begins at 8"),
        ({}, {"now_ms": 50_000_000, "log_end": 8}, "last commit is 49999 s old"),
        ({"flushing_to": 9}, {"now_ms": 50_000_000, "log_end": 7}, "last commit"),
        ({"position": 0, "flushing_to": 9}, {"now_ms": 50_000_000}, "last commit"),
    ],
)
def test_a_base_that_may_be_wrong_is_moved_aside(
    tmp_path: Path, expect: Expect, meta: MetaOf, written: dict[str, Any], expected: dict[str, Any], why: str
) -> None:
    _filled(tmp_path / "counts", meta(**{"position": 7, **written}))

    rows, position, reason = _open(tmp_path / "counts", expect(**expected))

    assert (rows, position) == ({}, 0)
    assert reason is not None
    assert why in reason
    assert str(tmp_path / "counts") in reason
    assert (tmp_path / "counts.bad-1").is_dir()
    assert _open(tmp_path / "counts", expect(**expected))[2] is None


def test_a_base_that_another_topic_kept_is_refused_and_left_as_it_is(
    tmp_path: Path, expect: Expect, meta: MetaOf
) -> None:
    _filled(tmp_path / "counts", meta(7, changelog="orders"))

    with pytest.raises(StreamflowError, match=r"'counts' was kept by topic 'orders'.*optimize="):
        _open(tmp_path / "counts", expect())

    assert _open(tmp_path / "counts", expect(changelog="orders")) == (ROWS, 7, None)


def test_an_old_base_is_believed_if_nothing_was_appended_since(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(tmp_path / "counts", meta(7))
    assert _open(tmp_path / "counts", expect(now_ms=10**12, log_end=7)) == (ROWS, 7, None)


def test_a_half_written_flush_is_believed_and_restored_from_its_old_position(
    tmp_path: Path, expect: Expect, meta: MetaOf
) -> None:
    _filled(tmp_path / "counts", meta(7, flushing_to=9))
    assert _open(tmp_path / "counts", expect(log_end=9))[1:] == (7, None)


def test_a_store_without_changelog_begins_empty(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(tmp_path / "counts", meta(7))
    assert _open(tmp_path / "counts", expect(changelog=None)) == ({}, 0, None)


def test_only_the_last_of_the_bad_ones_is_kept(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "counts").mkdir()
        move_aside(tmp_path / "counts")
    assert [path.name for path in tmp_path.iterdir()] == ["counts.bad-3"]


def test_destroying_leaves_the_neighbours(tmp_path: Path) -> None:
    for name in ("counts", "counts~1", "counts.bad-2", "counts2", "counts.badly"):
        (tmp_path / name).mkdir()
    destroy(tmp_path / "counts")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts.badly", "counts2"]


# ---- damage ----


def _newest(path: Path, pattern: str) -> Path:
    return max(path.glob(pattern), key=lambda found: (found.stat().st_size, found.name))


def _flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


DAMAGE: dict[str, Callable[[Path, random.Random], object]] = {
    "a bit of a table": lambda path, chance: _flip(_newest(path, "*.sst"), chance),
    "a table cut": lambda path, chance: _cut(_newest(path, "*.sst"), chance),
    "a table gone": lambda path, chance: _newest(path, "*.sst").unlink(),
    "a bit of the manifest": lambda path, chance: _flip(_newest(path, "MANIFEST*"), chance),
    "the manifest cut": lambda path, chance: _cut(_newest(path, "MANIFEST*"), chance),
    "the manifest gone": lambda path, chance: _newest(path, "MANIFEST*").unlink(),
    "CURRENT empty": lambda path, chance: (path / "CURRENT").write_bytes(b""),
    "CURRENT gone": lambda path, chance: (path / "CURRENT").unlink(),
    "CURRENT garbage": lambda path, chance: (path / "CURRENT").write_bytes(b"MANIFEST-999999\n"),
    "OPTIONS garbage": lambda path, chance: [found.write_bytes(b"junk") for found in path.glob("OPTIONS*")],
    "the binding's config empty": lambda path, chance: (path / "rocksdict-config.json").write_bytes(b""),
    "a bit of the log": lambda path, chance: _flip(_newest(path, "*.log"), chance),
    "the log cut": lambda path, chance: _cut(_newest(path, "*.log"), chance),
    "the log gone": lambda path, chance: _newest(path, "*.log").unlink(),
    "a table that is a directory": lambda path, chance: _as_directory(_newest(path, "*.sst")),
    "a store that is a file": lambda path, chance: _as_file(path),
}


def _as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"not a store")


@pytest.fixture
def two_flushes(tmp_path: Path, meta: MetaOf) -> Path:
    """A base with position 7 in tables and position 8 in its write-ahead log, as a killed worker leaves it."""
    path = tmp_path / "counts"
    _filled(path, meta(7))
    writer = f"""
import os
from streamflow.state.budget import Budget
from streamflow.state.rocksdb import RocksBase
base = RocksBase({str(path)!r}, Budget(8 << 20))
base.write([(b"000000", b"changed"), (b"000001", None)], {encode(meta(8))!r})
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", writer], check=True)
    return path


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_never_a_wrong_answer(two_flushes: Path, expect: Expect, damage: str) -> None:
    newer = {key: value for key, value in ROWS.items() if key != b"000001"} | {b"000000": b"changed"}
    right = {7: ROWS, 8: newer, 0: {}}
    for _ in range(4):
        seed = random.randrange(10**6)
        print("seed", seed)
        path = two_flushes.with_name(f"copy-{seed}") / "counts"
        shutil.copytree(two_flushes, path)
        DAMAGE[damage](path, random.Random(seed))

        try:
            rows, position, reason = _open(path, expect(log_end=8))
        except StoreCorrupt as error:
            assert str(path) in str(error)
            continue
        assert rows == right[position]
        assert position > 0 or reason is not None


def test_another_stores_files_are_not_taken_for_ones_own(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(tmp_path / "counts", meta(7))
    _filled(tmp_path / "other", meta(7, store="other"))
    base = RocksBase(tmp_path / "other", BUDGET)
    base.write([(b"000000", b"foreign")], encode(meta(9, store="other")))
    base._db.flush()
    base.close()
    table, foreign = _newest(tmp_path / "counts", "*.sst"), _newest(tmp_path / "other", "*.sst")
    table.write_bytes(foreign.read_bytes())

    try:
        rows, position, reason = _open(tmp_path / "counts", expect(log_end=9))
    except StoreCorrupt:
        return
    assert (rows, position, reason is not None) in (({}, 0, True), (ROWS, 7, False))


# ---- the machine at fault ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Six megabytes of disk; skipped where mounting is not permitted."""
    path = tmp_path / "small"
    path.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", path], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no small disk to fill: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(small_disk: Path, expect: Expect) -> None:
    base, _ = open_base("rocksdb", small_disk / "counts", expect(), BUDGET)
    written = 0
    with pytest.raises(StoreStalled, match="disk is full"):
        while written < 1_000:
            meta = Meta(
                app_id="shop", store="counts", changelog="shop-counts-changelog", partition=0, position=written + 1
            )
            base.write([(b"%06d-%d" % (written, row), os.urandom(100)) for row in range(100)], encode(meta))
            written += 1
    assert base.get(b"000000-0") is not None
    try:
        base.close()
    except StateError as error:
        assert str(small_disk) in str(error)
    try:
        base, reason = open_base("rocksdb", small_disk / "counts", expect(), BUDGET)
    except StateError as error:
        assert "disk is full" in str(error)
        assert not (small_disk / "counts.bad-1").exists()
    else:
        assert reason is None
        base.close()

    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    rows, position, reason = _open(small_disk / "counts", expect())
    assert (len(rows), position, reason) == (written * 100, written, None)


def test_a_disk_that_cannot_be_written_is_no_reason_to_rebuild(small_disk: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(small_disk / "counts", meta(7))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    with pytest.raises(StateError, match=str(small_disk)) as told:
        open_base("rocksdb", small_disk / "counts", expect(), BUDGET)
    with pytest.raises(StateError, match=str(small_disk)):
        open_base("rocksdb", small_disk / "new", expect(), BUDGET)

    assert not isinstance(told.value, StoreCorrupt)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert _open(small_disk / "counts", expect())[1:] == (7, None)


# ---- held by somebody else ----


HOLDER = """
import sys
from streamflow.state.budget import Budget
from streamflow.state.rocksdb import RocksBase
base = RocksBase(sys.argv[1], Budget(8 << 20))
print("held", flush=True)
sys.stdin.read()
base.close()
"""


class Holder:
    """Another process that has the directory open until it is told to let go."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def let_go(self) -> None:
        self.process.communicate()


def test_a_directory_held_by_another_process_is_left_alone_and_replaced_later(
    tmp_path: Path, expect: Expect, meta: MetaOf
) -> None:
    path = tmp_path / "counts"
    _filled(path, meta(7))
    holder = Holder(path)
    try:
        base, reason = open_base("rocksdb", path, expect(), BUDGET)
        assert (base.path, reason) == (str(tmp_path / "counts~1"), None)
        base.write([(b"a", b"1")], encode(meta(12)))
        base.close()
        assert _open(path, expect()) == ({b"a": b"1"}, 12, None)
    finally:
        holder.let_go()

    assert _open(path, expect()) == ({b"a": b"1"}, 12, None)
    assert [found.name for found in tmp_path.iterdir()] == ["counts"]


def test_the_one_beside_is_left_alone_while_it_is_held(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    _filled(tmp_path / "counts", meta(7))
    _filled(tmp_path / "counts~1", meta(9))
    holder = Holder(tmp_path / "counts~1")
    try:
        assert _open(tmp_path / "counts", expect())[1:] == (7, None)
    finally:
        holder.let_go()


def test_of_two_free_directories_the_fresher_one_stays(tmp_path: Path, expect: Expect, meta: MetaOf) -> None:
    for mine, beside in ((7, 9), (9, 7)):
        path = tmp_path / f"{mine}" / "counts"
        _filled(path, meta(mine))
        _filled(path.with_name("counts~1"), meta(beside))
        assert _open(path, expect())[1:] == (9, None)
        assert [found.name for found in path.parent.iterdir()] == ["counts"]


def test_a_base_without_a_meta_record_is_not_believed(tmp_path: Path, expect: Expect) -> None:
    RocksBase(tmp_path / "counts", BUDGET).close()
    rows, position, reason = _open(tmp_path / "counts", expect())
    assert (rows, position) == ({}, 0)
    assert "no meta record" in (reason or "")


def test_a_directory_open_in_this_process_is_refused(tmp_path: Path, expect: Expect) -> None:
    base, _ = open_base("rocksdb", tmp_path / "counts", expect(), BUDGET)
    with pytest.raises(StateError, match="already open in this process"):
        open_base("rocksdb", tmp_path / "counts", expect(), BUDGET)
    base.write([(b"a", b"1")], encode(Meta(app_id="shop", changelog="c", partition=0)))
    base.close()


def test_a_store_lies_where_its_names_say(tmp_path: Path) -> None:
    assert directory(tmp_path, "shop", "orders_0", "counts") == tmp_path / "shop" / "orders_0" / "counts"
