"""From a URL to a log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamflow.errors import ConfigError
from streamflow.log.open import Address, Cluster, open_log, parse, shown
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


@pytest.mark.parametrize(
    ("url", "pieces"),
    [
        ("kafka://me:pa?ss@host:9092", ("pa", "ss")),
        ("kafka://me:hunter2", ("hunter2",)),
        ("kafka://me:secret/host", ("secret",)),
        ("kafka://me:sec,ret:9092", ("sec", "ret")),
        ("kafka://me:secret@host:p0rt", ("secret", "p0rt")),
        ("kafka://me:fir@st:second", ("fir", "second")),
        ("kafka://me:secret@host?acks=secret", ("secret",)),
        ("kafka+ssl://me:sec:ret/host", ("sec", "ret")),
        ("redis://me:secret@host", ("secret",)),
        ("me:secret@host:9092", ("secret",)),
    ],
)
def test_no_piece_of_a_password_is_in_an_error_whatever_is_wrong_with_the_url(
    url: str, pieces: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as told:
        parse(url)
    said, quoted = str(told.value), shown(url)
    for piece in pieces:
        assert piece not in quoted
        assert piece not in said.replace("password", "").replace("PASSWORD", "").replace("percent", "")


def test_a_question_mark_in_a_password_is_to_be_written_with_a_percent_sign() -> None:
    with pytest.raises(ConfigError, match=r"percent-encode \? in the password"):
        parse("kafka://me:pa?ss@host:9092")
    cluster = parse("kafka://me:pa%3Fss%40@host:9092")
    assert isinstance(cluster, Cluster)
    assert (cluster.user, cluster.password, cluster.servers) == ("me", "pa?ss@", (("host", 9092),))


def test_a_url_that_is_right_is_shown_whole_but_for_its_password() -> None:
    url = "kafka+ssl://one:9093,[::1]:9092,three/?ca=/etc/ca.pem&mechanism=SCRAM-SHA-512"
    assert shown(url) == url
    assert shown("kafka://me:secret@one,two:9093") == "kafka://me:***@one,two:9093"
    assert shown("embedded://a:b/c@d") == "embedded://a:b/c@d"


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
