"""A world with two workers that share all tasks, for tests that only read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.world import World, world_in


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("world")) as found:
        found.run(found.start(workers=2))
        yield found


@pytest.fixture
def empty_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world without workers, for tests that start and stop them."""
    with world_in(tmp_path_factory.mktemp("world")) as found:
        yield found
