"""The transports that keep the contract; a test that takes ``transport`` runs on each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import Embedded, Transport


@pytest.fixture(params=["embedded"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    assert request.param == "embedded"
    return Embedded(tmp_path / "log")


@pytest.fixture
def embedded(tmp_path: Path) -> Embedded:
    return Embedded(tmp_path / "log")
