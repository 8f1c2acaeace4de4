# ruff: noqa: E501
"""Hostile requests by the thousand, to a worker that processes records meanwhile.

    python -m tests.http.fuzz [REQUESTS] [SEED]

Whatever comes on a socket gets a 2xx, a 4xx or the documented 503, or is cut; the worker goes on and holds no more
memory in the end than after it was warm.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from streamflow.http import connections
from tests.http.world import World, make_plan, world_in

AT_ONCE = 16
PATIENCE = 30.0
HANG_UP = 0.3
"""Seconds until a client hangs up that sent no whole request, perhaps."""
LEAK = 48 << 20
"""Bytes that the process may have grown by, the log's pages and rows that were kept on the way included."""

PATHS = (
    "/", "/stores", "/stores/words/keys/a", "/stores/words/keys?limit=5", "/stores/words/windows/a", "/topics",
    "/topics/words-in/records", "/topics/words-in", "/tasks?all=1", "/metrics", "/openapi.json", "/health/ready",
    "/dead-letters", "/dead-letters/replay?all=1", "/topology?format=svg",
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "G\x00T", "", "A" * 300)


def request(rng: random.Random) -> tuple[str, bytes]:
    """A kind of wickedness, and an example."""
    kind = rng.choice(sorted(KINDS))
    return kind, KINDS[kind](rng)


def _head(method: str, target: str, *lines: str) -> bytes:
    text = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *lines, "Connection: close", "", ""])
    return text.encode("latin-1", "replace")


def _noise(rng: random.Random, most: int = 40) -> str:
    return "".join(chr(rng.randrange(256)) for _ in range(rng.randrange(most)))


def _post(body: bytes, media: str = "application/json", *lines: str) -> bytes:
    return (
        _head("POST", "/topics/words-in?key=f", f"Content-Type: {media}", f"Content-Length: {len(body)}", *lines) + body
    )


def _chunked(rng: random.Random) -> bytes:
    head = _head("POST", "/topics/words-in", "Transfer-Encoding: chunked", "Content-Type: application/json")
    return head + rng.choice(
        [b"zz\r\n", b"-5\r\nabc\r\n", b"ffffffffffffffff\r\nx", b"3\r\nabcdef\r\n0\r\n\r\n", b"1\r\n", b""]
    )


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "plain": lambda rng: _head("GET", rng.choice(PATHS)),
    "method": lambda rng: _head(rng.choice(METHODS), rng.choice(PATHS)),
    "noise in the path": lambda rng: _head("GET", rng.choice(PATHS) + _noise(rng)),
    "broken percent": lambda rng: _head("GET", "/stores/words/keys/" + rng.choice(["%", "%0", "%zz", "%%41", "%u0041", "%C0%AF"])),
    "NULs": lambda rng: _head("GET", f"/stores/{rng.choice(['%00', chr(0)])}/keys/{chr(0)}"),
    "traversal": lambda rng: _head("GET", "/" + "../" * rng.randrange(1, 9) + "etc/passwd"),
    "long path": lambda rng: _head("GET", "/stores/words/keys/" + "a" * rng.randrange(7_000, 40_000)),
    "long query": lambda rng: _head("GET", "/stores/words/keys?" + "limit=1&" * rng.randrange(2, 2_000)),
    "huge header": lambda rng: _head("GET", "/stores", "X: " + "x" * rng.randrange(8_000, 70_000)),
    "many headers": lambda rng: _head("GET", "/stores", *[f"X-{n}: {'y' * 200}" for n in range(rng.randrange(50, 400))]),
    "noise in headers": lambda rng: _head("GET", "/stores", _noise(rng), f"X: {_noise(rng)}", f"{_noise(rng)}: x"),
    "negative length": lambda rng: _head("POST", "/topics/words-in", f"Content-Length: {rng.choice(['-1', '1e3', '99999999999999999999', '0x10', '+3', ''])}"),
    "two lengths": lambda rng: _head("POST", "/topics/words-in", "Content-Length: 3", "Content-Length: 4") + b"abcd",
    "smuggling": lambda rng: _head("POST", "/topics/words-in", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "chunks": _chunked,
    "deep JSON": lambda rng: _post(rng.choice([b"[", b'{"a":']) * rng.randrange(1_000, 100_000)),
    "odd JSON": lambda rng: _post(rng.choice([b"nan", b"1e999", b'"\xff"', b'"\\ud800"', b"9" * 5_000, b"{}x", b""])),
    "odd media": lambda rng: _post(b"1", rng.choice(["", "x", "application/json; charset=" + "x" * 99, "text/plain; charset=utf-99", "multipart/form-data"])),
    "compressed": lambda rng: _post(b"\x1f\x8b" + rng.randbytes(20), "application/json", f"Content-Encoding: {rng.choice(['gzip', 'deflate', 'br', 'x'])}"),
    "large body": lambda rng: _post(b"x" * rng.choice([900_001, 1_500_000])) if rng.random() < 0.05 else _post(b"1"),
    "foreign host": lambda rng: b"GET /stores HTTP/1.1\r\nHost: " + rng.randbytes(9).hex().encode() + b"\r\nConnection: close\r\n\r\n",
    "foreign page": lambda rng: _post(b"1", "text/plain", "Origin: https://evil.example"),
    "forwarded": lambda rng: _head("GET", "/stores/words/keys/a", f"X-Streamflow-Forwarded: {rng.choice(['0,1,2,3', '-1', '9' * 99, 'a', ''])}"),
    "odd id": lambda rng: _head("GET", "/stores/words/changes", f"Last-Event-ID: {rng.choice(['x', '0' * 8 + '-0:1', '-' * 50, '9' * 5_000])}"),
    "no HTTP": lambda rng: rng.randbytes(rng.randrange(1, 200)),
    "TLS": lambda rng: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
    "cut off": lambda rng: _head("GET", rng.choice(PATHS))[: rng.randrange(1, 40)],
    "body cut off": lambda rng: _head("POST", "/topics/words-in", "Content-Length: 100") + b"x" * rng.randrange(99),
    "pipelined": lambda rng: b"GET /stores HTTP/1.1\r\nHost: localhost\r\n\r\n" * rng.randrange(2, 30) + _head("GET", "/"),
    "old": lambda rng: f"GET /stores HTTP/{rng.choice(['0.9', '1.0', '2.0', '9.9', 'x'])}\r\n\r\n".encode(),
}  # fmt: skip


ANSWERED = {
    "plain",
    "broken percent",
    "long path",
    "deep JSON",
    "odd JSON",
    "foreign host",
    "foreign page",
    "odd id",
    "large body",
}
"""Kinds that are whole requests, so that an answer must come."""


async def one(port: int, data: bytes, slowly: bool, patience: float) -> list[int]:
    """Send it and read what comes; the statuses of the answers, none if the connection was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(patience):
            if slowly:
                for at in range(0, min(len(data), 60)):
                    writer.write(data[at : at + 1])
                    await writer.drain()
            writer.write(data[60:] if slowly else data)
            await writer.drain()
            streaming = b"/changes" in data
            answer = await (reader.read(12) if streaming else reader.read())
    except OSError as error:  # TimeoutError is one
        return [-1] if isinstance(error, TimeoutError) else []
    finally:
        writer.close()
    return [int(piece[1:4]) for piece in answer.split(b"HTTP/1.1")[1:] if piece[1:4].isdigit()]


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def assault(world: World, count: int, seed: int) -> tuple[Counter[int], list[tuple[str, bytes, list[int]]]]:
    """Throw ``count`` requests at the workers; the statuses, and what went wrong."""
    rng = random.Random(seed)
    statuses: Counter[int] = Counter()
    wrong: list[tuple[str, bytes, list[int]]] = []
    left = iter(range(count))

    async def client(number: int) -> None:
        for _ in left:
            kind, data = request(rng)
            found = await one(
                world.members[number % len(world.members)].server.port,
                data,
                rng.random() < 0.05,
                PATIENCE if kind in ANSWERED else HANG_UP,
            )
            statuses.update(found)
            if any(
                (status == -1 and kind in ANSWERED) or (status >= 500 and status not in (501, 503, 505))
                for status in found
            ):
                wrong.append((kind, data[:200], found))

    await asyncio.gather(*(client(number) for number in range(AT_ONCE)))
    return statuses, wrong


async def processing(world: World, until: asyncio.Event) -> int:
    """Have records processed all the time; how many were."""
    done = 0
    while not until.is_set():
        await world.keep("words", [(b"p%d" % (done % 500), b"", 1) for _ in range(20)])
        done += 20
        await asyncio.sleep(0.01)
    return done


async def siege(world: World, count: int, seed: int) -> dict[str, object]:
    """All of it, with a warm-up, and figures."""
    over = asyncio.Event()
    beside = asyncio.create_task(processing(world, over))
    await assault(world, max(300, count // 10), seed + 1)
    gc.collect()
    before, begun = resident(), time.monotonic()
    statuses, wrong = await assault(world, count, seed)
    seconds = time.monotonic() - begun
    over.set()
    processed = await beside
    with contextlib.suppress(TimeoutError):
        await world.until(lambda: not connected(world))
    gc.collect()
    return {
        "seed": seed, "requests": count, "seconds": round(seconds, 1), "statuses": dict(sorted(statuses.items())),
        "processed": processed, "grown": resident() - before, "connected": connected(world), "wrong": wrong,
    }  # fmt: skip


def connected(world: World) -> int:
    """Connections that are open still."""
    return sum(len(m.server.connections.connections) for m in world.members)


def main(count: int, seed: int) -> int:
    """See the module; gives the exit code."""
    print(f"seed {seed}", flush=True)
    connections.ASK_WITHIN = 3.0
    with tempfile.TemporaryDirectory() as folder, world_in(Path(folder)) as world:
        world.plan = make_plan("words")
        world.run(world.start(workers=2))
        told = world.loop.run_until_complete(siege(world, count, seed))
        print(json.dumps(told, default=repr, indent=1))
        return 0 if not told["wrong"] and int(str(told["grown"])) < LEAK and told["processed"] else 1


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers else 100_000, numbers[1] if len(numbers) > 1 else random.randrange(1 << 30)))
