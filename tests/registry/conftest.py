"""One registry for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import missing, running


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    if (lack := missing()) is not None:
        pytest.skip(lack)
    with running() as url:
        yield url
