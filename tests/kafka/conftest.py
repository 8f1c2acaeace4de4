"""Brokers that the tests of this folder share; a loud skip where none can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .broker import Cluster, missing


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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers, to be killed and started again."""
    started = _started(tmp_path_factory.mktemp("kafka"), 3)
    yield started
    started.stop()


def _started(folder: Path, count: int) -> Cluster:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    return Cluster(folder, count).start()
