"""Brokers that the tests of this folder share; a loud skip where none can be had."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .broker import OLDER, Cluster, free_ports, missing
from .proxy import Proxy
from .stage import Stage


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker, or the one that ``STREAMFLOW_KAFKA`` names."""
    if given := os.environ.get("STREAMFLOW_KAFKA"):
        yield given
        return
    cluster = _started(tmp_path_factory.mktemp("kafka"), 1)
    yield cluster.bootstrap
    cluster.stop()


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker of the 3.x line."""
    if why := missing(OLDER):
        pytest.skip(f"TESTS AGAINST KAFKA {OLDER} ARE SKIPPED. {why}")
    started = Cluster(tmp_path_factory.mktemp("older"), version=OLDER).start()
    yield started.bootstrap
    started.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, to be killed and started again."""
    started = _started(tmp_path_factory.mktemp("kafka"), 3)
    yield started
    started.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A broker that can only be spoken to through a proxy, and a seed."""
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")
    [port] = free_ports(1)
    cluster = Cluster(tmp_path / "broker", behind=port).start()
    proxy = Proxy(port, cluster.nodes[0].port).start()
    yield Stage(proxy, f"kafka://127.0.0.1:{port}", random.Random(seed), seed)
    proxy.stop()
    cluster.stop()


def _started(folder: Path, count: int) -> Cluster:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    return Cluster(folder, count).start()
