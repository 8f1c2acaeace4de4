"""Garbage in paths and parameters gets a 4xx with a sentence, whatever it is."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from streamflow.http.asked import Refused, asked, cursor_of
from streamflow.http.routes import ROUTES
from tests.http.world import World

SEED = 20_261_124
REQUESTS = 2_000

A_KEY = "/stores/words/keys/a"
KEYS = "/stores/words/keys"
WINDOWS = "/stores/clicks/windows/a"


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/nothing", 404, "/ lists what there is"),
        ("/stores/", 404, "/ lists what there is"),
        ("/stores/nope/keys/a", 404, "known are: blobs, clicks, numbers, people, spread, words"),
        ("/stores/nope%00/keys", 404, "known are"),
        ("/stores/words/keys/gone", 404, "has no row with this key"),
        ("/stores/words/keys/a/b", 404, "a slash in a key is written %2F"),
        ("/stores/numbers/keys/abc", 400, "keys of this store are int of 8 bytes"),
        ("/stores/numbers/keys/1_000", 400, "keys of this store are int"),
        ("/stores/numbers/keys/99999999999999999999", 400, "int"),
        ("/stores/numbers/keys/", 400, "int"),
        ("/stores/words/keys/%FF", 400, "UTF-8"),
        ("/stores/people/keys/%7B", 400, "JSON of dict[str, int]"),
        ("/stores/people/keys/null", 400, "null"),
        ("/stores/people/keys/" + "[" * 2_000, 400, "JSON"),
        ("/stores/words/windows/a", 400, "key_value store; ask /stores/words/keys"),
        (f"{KEYS}?limit=0", 400, "limit is '0'; write a whole number from 1 to 10000"),
        (f"{KEYS}?limit=-1", 400, "from 1 to 10000"),
        (f"{KEYS}?limit=10001", 400, "from 1 to 10000"),
        (f"{KEYS}?limit=1e3", 400, "whole number"),
        (f"{KEYS}?limit=", 400, "whole number"),
        (f"{KEYS}?limit={'9' * 50}", 400, "whole number"),
        (f"{KEYS}?limit=1&limit=2", 400, "given twice"),
        (f"{KEYS}?limits=1", 400, "no parameter 'limits'; its parameters are from, to, prefix, limit, cursor"),
        (f"{A_KEY}?x=1", 400, "its parameters are as_of"),
        ("/topology?x=1", 400, "its parameters are format"),
        ("/tasks?x=1", 400, "its parameters are all"),
        (f"{A_KEY}?as_of=7", 400, "keeps no history"),
        (f"{A_KEY}?as_of=soon", 400, "as_of"),
        (f"{KEYS}?cursor=!!!", 400, "cursor"),
        (f"{KEYS}?cursor=AA", 400, "cursor"),
        (f"{KEYS}?cursor=%C3%A9", 400, "cursor"),
        (f"{KEYS}?from=%FF", 400, "from is"),
        (f"{KEYS}?from=b&to=a", 400, "from lies behind to"),
        ("/stores/numbers/keys?prefix=1", 400, "prefix is for keys of type str and bytes"),
        (f"{WINDOWS}?from=-1", 400, "from 0 to"),
        (f"{WINDOWS}?from=9223372036854775808", 400, "from 0 to"),
        (f"{WINDOWS}?from=2&to=1", 400, "must not be behind"),
        ("/topology?format=png", 400, "json, text, mermaid, svg"),
        ("/tasks?all=yes", 400, "write 0 or 1"),
        ("/stores/words/keys/" + "a" * 8_100, 414, "8,000 is the longest"),
        ("/stores/words/keys/" + "a" * 20_000, 400, ""),
    ],
)
def test_a_wrong_request_gets_a_sentence_that_says_what_to_write(
    world: World, target: str, status: int, said: str
) -> None:
    found, answer = world.run(world.get(target))
    assert found == status, answer
    if said:
        assert said in answer["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_405_and_says_which_there_are(world: World, method: str) -> None:
    async def ask() -> tuple[int, str | None]:
        async with world.session.request(method, world.members[0].server.address + A_KEY) as response:
            return response.status, response.headers.get("Allow")

    assert world.run(ask()) == (405, "GET, HEAD")


def test_head_is_get_without_a_body(world: World) -> None:
    async def ask() -> tuple[int, str, bytes]:
        async with world.session.head(world.members[0].server.address + "/stores") as response:
            return response.status, response.headers["Content-Length"], await response.read()

    status, length, body = world.run(ask())
    assert (status, body) == (200, b"")
    assert int(length) > 100


@pytest.mark.parametrize("header", ["", "x", "-1", "0,", "9", "0,1,2,3,4", "\u0661", "0" * 50])
def test_a_header_that_no_worker_writes_is_refused(world: World, header: str) -> None:
    status, answer = world.run(world.get(A_KEY, 0, **{"X-Streamflow-Forwarded": header or " "}))
    assert status == 400
    assert "X-Streamflow-Forwarded" in answer["error"]


@pytest.mark.parametrize(
    "key", ["", "/", "//", ".", "..", "%", "?", "&", "+", "a b", "é", "\x00", "#", "'\"<>", "日本"]
)
def test_any_letter_can_be_in_a_key(world: World, key: str) -> None:
    world.run(world.keep("words", [(key.encode(), b"x", 1)]))
    encoded = quote(key, safe="").replace(".", "%2E")
    status, answer = world.run(world.get(f"/stores/words/keys/{encoded}", 1))
    assert (status, answer["key"]) == (200, key)
    status, answer = world.run(world.get(f"{KEYS}?from={encoded}&to={encoded}"))
    assert [entry["key"] for entry in answer["entries"]] == [key]


def test_bytes_that_are_no_text_come_as_base64_and_say_so(world: World) -> None:
    world.run(world.keep("blobs", [(b"\x00\xff", b"\xfe", 1)]))
    status, answer = world.run(world.get("/stores/blobs/keys/%00%FF"))
    assert (status, answer["key"], answer["key_encoding"], answer["encoding"]) == (200, "AP8=", "base64", "base64")


# --- whatever comes

_letters = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=12)
_segment = (
    st.sampled_from(
        ["stores", "keys", "windows", "words", "numbers", "blobs", "people", "clicks", "tasks", "..", "%00"]
    )
    | _letters.map(lambda text: quote(text, safe=""))
    | st.binary(max_size=8).map(lambda data: "".join(f"%{byte:02X}" for byte in data))
    | st.from_regex(r"[!-~]{0,12}", fullmatch=True)
)
_fitting = st.sampled_from([route.path for route in ROUTES if route.name != "changes"]).flatmap(  # that one has no end
    lambda path: st.tuples(st.sampled_from(["words", "numbers", "blobs", "people", "clicks", "spread"]), _segment).map(
        lambda pair: path.replace("{store}", pair[0]).replace("{key}", pair[1])
    )
)
_paths = _fitting | st.lists(_segment, max_size=5).map(lambda parts: "/" + "/".join(parts))
_names = st.sampled_from(["from", "to", "prefix", "limit", "cursor", "format", "all"]) | _segment
_values = (
    st.integers().map(str)
    | _segment
    | st.binary(max_size=6).map(lambda key: cursor_of(key, 1))
    | st.sampled_from(["1", "0", "json", "NaN", "null", "-0", "%"])
)
_queries = st.lists(st.tuples(_names, _values).map("=".join), max_size=3).map("&".join)
_methods = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "get"])
_request = st.tuples(_methods, _paths, _queries)


def test_2_000_random_requests_never_get_a_5xx(world: World) -> None:
    print(f"seed {SEED}")
    batch: list[tuple[str, str, str]] = []

    @seed(SEED)
    @settings(max_examples=REQUESTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_request)
    def collect(request: tuple[str, str, str]) -> None:
        batch.append(request)

    collect()
    answers = world.run(exchange(world, batch))
    assert len(answers) >= REQUESTS
    wrong = [(request, status, body) for request, (status, body) in zip(batch, answers, strict=True) if status >= 500]
    assert wrong == []
    silent = [
        (request, status, body)
        for request, (status, body) in zip(batch, answers, strict=True)
        if status >= 400 and request[0] != "HEAD" and not sentence(body)
    ]
    assert silent == []
    statuses = {status for status, _ in answers}
    assert {200, 400, 404, 405} <= statuses


def sentence(body: bytes) -> str:
    """What an error says: in JSON, or as text where the request was no HTTP at all."""
    try:
        found: str = msgspec.json.decode(body)["error"]
    except msgspec.DecodeError:
        found = body.decode()
    return found


async def exchange(world: World, requests: list[tuple[str, str, str]]) -> list[tuple[int, bytes]]:
    """Write each request to a socket as it is, eight connections at a time, and read status and body."""
    at_once = asyncio.Semaphore(8)

    async def one(number: int, method: str, path: str, query: str) -> tuple[int, bytes]:
        server = world.members[number % 2].server
        async with at_once:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            line = f"{method} {path}{'?' if query else ''}{query} HTTP/1.1\r\n"
            writer.write(line.encode("latin-1", "replace") + b"Host: localhost\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            return int(head.split()[1]), body

    return await asyncio.gather(*(one(number, *request) for number, request in enumerate(requests)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text() | _request.map(lambda request: f"{request[1]}?{request[2]}"))
def test_whatever_the_first_line_says_it_is_a_question_or_a_refusal(target: str) -> None:
    try:
        found = asked("GET", target)
    except Refused as refused:
        assert 400 <= refused.status < 500
        assert str(refused)
    else:
        assert found.route in ROUTES
        assert set(found.parameters) == {parameter.name for parameter in found.route.parameters}


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_a_cursor_tells_its_key_and_partition(key: bytes, partition: int) -> None:
    found = asked("GET", f"/stores/x/keys?cursor={cursor_of(key, partition)}")
    assert found.parameters["cursor"] == (key, partition)
