"""Workers of one machine that open the stores of one task at the same time: each gets one, whoever was first."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from streamflow.clock import SystemClock
from streamflow.state.locks import alone

OPENER = textwrap.dedent(
    """
    import random, sys, time
    from streamflow import App
    from streamflow.clock import SystemClock
    from streamflow.log.contract import Offsets
    from streamflow.plan import plan
    from streamflow.runtime.recovery import Place
    from streamflow.runtime.stats import Stats
    from streamflow.runtime.stores import DiskStores

    folder, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    rng = random.Random(seed)
    app = App("shop")
    app.stream("orders", key=str, value=str).group_by_key().count(name="counts")
    [sub] = plan(app.topology, "shop", {"orders": 1}).subtopologies
    clock = SystemClock()
    opened = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stores = DiskStores(folder, "shop", clock, Stats())
        rejected = "for a test" if rng.random() < 0.1 else None
        store = stores(Place(sub, 0, None), sub.stores[0], "life", Offsets(0, 5), rejected)
        opened += 1
        time.sleep(rng.random() * 0.01)
        store.close()
    print(opened)
    """
)


def test_workers_that_open_the_same_store_at_the_same_time_all_get_one(tmp_path: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(tmp_path), str(n), "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for n in range(4)
    ]
    told = [opener.communicate(timeout=60) for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, told
    print([int(out) for out, _ in told], "times opened")
    assert all(int(out) > 5 for out, _ in told)


def test_one_that_was_stopped_while_it_opened_is_not_waited_for(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    begun = SystemClock().monotonic()
    with alone(tmp_path, patience=0.2) as undisturbed:
        assert not undisturbed
    assert SystemClock().monotonic() - begun >= 0.2
    os.close(held)
    with alone(tmp_path) as undisturbed:
        assert undisturbed
