"""The base on disk: batches are whole or absent, damage is told, the lock is freed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamflow.errors import StateError, StoreCorrupt, StoreLocked, StoreStalled, StoreUnavailable
from streamflow.state.budget import Budget
from streamflow.state.rocksdb import RocksBase, failure

BUDGET = Budget(8 * 1024 * 1024)

WRITER = """
import sys
import time
from streamflow.state.budget import Budget
from streamflow.state.rocksdb import RocksBase
base = RocksBase(sys.argv[1], Budget(8 << 20))
number = int(base.meta() or 0)
while True:
    number += 1
    value = b"%d" % number
    rows = [(b"%03d" % row, value + b"x" * 200) for row in range(number % 2, 100, 2)]
    base.write(rows + [(b"all", value)], value, [(b"000", b"100")])
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_every_batch_whole(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    told = 0
    for _ in range(15):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 60)):
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        told = int(rest[-1]) if rest and rest[-1].isdigit() else told

        base = RocksBase(tmp_path / "s", BUDGET)
        number = int(base.meta() or 0)
        rows = dict(base.scan(b"", None))
        base.close()
        assert number >= told - 1  # the last line may have been cut
        assert rows.pop(b"all") == b"%d" % number
        assert sorted(rows) == [b"%03d" % row for row in range(number % 2, 100, 2)]
        assert {value.rstrip(b"x") for value in rows.values()} == {b"%d" % number}


def test_a_batch_cut_from_the_end_of_the_log_is_gone_as_a_whole(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    writer.kill()
    writer.wait()
    log = max(tmp_path.glob("s/*.log"), key=os.path.getsize)
    for _ in range(5):
        os.truncate(log, chance.randrange(max(1, log.stat().st_size // 2), log.stat().st_size))
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-r", tmp_path / "s", copy], check=True)
        base = RocksBase(copy, BUDGET)
        number = base.meta()
        assert base.get(b"all") == number
        assert {value.rstrip(b"x") for key, value in base.scan(b"0", b"1")} == ({number} if number else set())
        base.close()
        subprocess.run(["rm", "-r", copy], check=True)


def test_closing_frees_the_lock_although_a_scan_is_under_way(tmp_path: Path) -> None:
    base = RocksBase(tmp_path / "s", BUDGET)
    base.write([(b"a", b"1"), (b"b", b"2")], b"m")
    begun, untouched = base.scan(b"", None), base.scan(b"", None, reverse=True)
    assert next(begun) == (b"a", b"1")

    base.close()
    base.close()

    again = RocksBase(tmp_path / "s", BUDGET)
    assert again.get(b"b") == b"2"
    for scan in (begun, untouched):
        with pytest.raises(StateError, match="closed during a scan"):
            next(scan)
    again.close()
    with pytest.raises(StateError, match="is closed"):
        again.get(b"a")


def test_a_scan_keeps_to_its_bounds_in_both_directions(tmp_path: Path) -> None:
    base = RocksBase(tmp_path / "s", BUDGET)
    keys = [b"", b"\x00", b"a", b"ab", b"b", b"\xff", b"\xff\xff"]
    base.write([(key, key) for key in keys], b"m")
    for low in [*keys, b"zz"]:
        for high in [*keys, b"zz", None]:
            wanted = [(key, key) for key in keys if low <= key and (high is None or key < high)]
            assert list(base.scan(low, high)) == wanted
            assert list(base.scan(low, high, reverse=True)) == wanted[::-1]
    base.close()


def test_a_damaged_block_is_told_by_reads_and_by_scans(tmp_path: Path) -> None:
    base = RocksBase(tmp_path / "s", BUDGET)
    rows = [(b"%06d" % row, os.urandom(100)) for row in range(5_000)]
    base.write(rows, b"m")
    base.close()
    table = max(tmp_path.glob("s/*.sst"), key=os.path.getsize)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 0xFF
    table.write_bytes(data)

    base = RocksBase(tmp_path / "s", BUDGET)
    with pytest.raises(StoreCorrupt, match=str(tmp_path)):
        list(base.scan(b"", None))
    with pytest.raises(StoreCorrupt, match=str(tmp_path)):
        list(base.scan(b"", None, reverse=True))
    with pytest.raises(StoreCorrupt, match=str(tmp_path)):
        for key, value in rows:
            assert base.get(key) == value
    base.close()


def test_one_process_cannot_open_a_directory_twice(tmp_path: Path) -> None:
    base = RocksBase(tmp_path / "s", BUDGET)
    with pytest.raises(StateError, match="already open in this process"):
        RocksBase(tmp_path / "s", BUDGET)
    base.close()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IO error: No space left on deviceWhile appending to file", StoreStalled),
        ("Result incomplete: Write stall", StoreStalled),
        ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", StoreLocked),
        ("IO error: While open a file: Permission denied", StoreUnavailable),
        ("IO error: Too many open files", StoreUnavailable),
        ("Corruption: block checksum mismatch", StoreCorrupt),
        ("IO error: No such file or directory: MANIFEST", StoreCorrupt),
        ("Invalid argument: something new", StoreCorrupt),
    ],
)
def test_a_failure_is_told_by_whose_fault_it_is(text: str, kind: type[StateError]) -> None:
    told = failure("/x", Exception(text), "read")
    assert type(told) is kind
    assert "/x" in str(told)


def test_many_stores_keep_to_one_budget(tmp_path: Path) -> None:
    budget = Budget(16 * 1024 * 1024)
    bases = [RocksBase(tmp_path / str(number), budget) for number in range(8)]
    for base in bases:
        for part in range(4):
            base.write([(b"%d-%05d" % (part, row), os.urandom(200)) for row in range(5_000)], b"m")

    deadline = time.monotonic() + 20
    while budget.used() > budget.total_bytes and time.monotonic() < deadline:
        bases[0].write([(b"a", b"1")], b"m")
    assert budget.used() <= budget.total_bytes

    for base in bases:
        assert sum(1 for _ in base.scan(b"0", b"9")) == 20_000
    # The cache is cut into shards, and one may be over its share for the blocks that are in use.
    assert budget.used() <= budget.total_bytes * 1.1
    for base in bases:
        base.close()
