"""A world with two workers that share all tasks, for tests that only read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.http.world import World, make_plan, world_in


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("world")) as found:
        found.run(found.start(workers=2))
        yield found


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same with one store, so that each worker holds a part of it."""
    with world_in(tmp_path_factory.mktemp("world")) as found:
        found.plan = make_plan("words")
        found.run(found.start(workers=2))
        yield found


@pytest.fixture
def empty_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world without workers and with the store "words" (or those asked for), for tests that start workers."""
    with world_in(tmp_path_factory.mktemp("world")) as found:
        found.plan = make_plan(*request.param if hasattr(request, "param") else ("words",))
        yield found
