"""The transports that keep the contract; a test that takes ``transport`` runs on each of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kafka.conftest import bootstrap as bootstrap

from .support import Embedded, Kafka, Transport


@pytest.fixture(params=["embedded", "kafka"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    if request.param == "embedded":
        return Embedded(tmp_path / "log")
    kafka = Kafka(request.getfixturevalue("bootstrap"))
    asyncio.run(kafka.fresh())
    return kafka


@pytest.fixture
def embedded(tmp_path: Path) -> Embedded:
    return Embedded(tmp_path / "log")
