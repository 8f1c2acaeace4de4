"""From a URL to a log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamflow.errors import ConfigError
from streamflow.log.open import Address, open_log, parse
from streamflow.topic import NewTopic


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("embedded://.streamflow", Address(Path(".streamflow"))),
        ("embedded://a/b c", Address(Path("a/b c"))),
        ("embedded:///var/log", Address(Path("/var/log"))),
        ("embedded://x?durability=fast", Address(Path("x"), "fast")),
        ("embedded://x?durability=full", Address(Path("x"), "full")),
    ],
)
def test_a_url_names_a_folder_and_how_durable_its_commits_are(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://", "is no HOST:PORT"),
        ("kafka://host:port", "is no HOST:PORT"),
        ("kafka://host:99999", "is no HOST:PORT"),
        ("kafka://host?acks=1", "option 'acks'"),
        ("kafka://host?session_timeout=5", "session_timeout"),
        ("redis://host", "embedded://"),
        ("here", "embedded://"),
        ("embedded:/x", "embedded://"),
        ("embedded://", "names no folder"),
        ("embedded://?durability=fast", "names no folder"),
        ("embedded://x?durability=none", "durability is 'none'"),
        ("embedded://x?fsync=no", "option 'fsync'"),
    ],
)
def test_a_url_that_cannot_be_opened_says_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(url)
    with pytest.raises(ConfigError):
        open_log(url)


def test_an_opened_log_keeps_what_it_was_given(tmp_path: Path) -> None:
    async def whole() -> None:
        for durability in ("full", "fast"):
            log = open_log(f"embedded://{tmp_path}/deep/folder?durability={durability}")
            await log.start()
            await log.create_topics([NewTopic(durability, 1)])
            names = set(await log.topics())
            await log.close()
        assert names == {"full", "fast"}

    asyncio.run(whole())
