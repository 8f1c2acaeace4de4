"""Ask the workers of an application and write events to it, from any Python program.

    from streamflow.client import Client

    client = Client("http://localhost:8080")
    place = client.write("orders", "ann", Order(3, "tea"))
    order = client.store("orders", key=str, value=Order).get("ann", wait="5s", after=place)

`AsyncClient` has the same words as coroutines. Any worker will do: it asks the one that has the answer. While tasks move
a worker answers 503; the client asks again, and the next worker of those it knows, until ``timeout`` has passed. A
write has an id (`write(..., id=)`, or one made for it), so asking again never writes it twice.

Types: without ``value=`` a value is what JSON says; with it, whatever `msgspec` can make of that: dataclasses,
``msgspec.Struct``, ``int``, lists of those. Values of Avro and Protobuf are asked for as ``dict``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamflow.client.asking import (
    ClientError,
    Entry,
    Group,
    NoAnswer,
    Place,
    Questions,
    Wait,
    Window,
    converter,
)
from streamflow.client.drivers import arun, run

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AsyncClient", "AsyncStore", "Client", "ClientError", "Entry", "NoAnswer", "Place", "Store", "Window"]

K = TypeVar("K")
V = TypeVar("V")


class Client:
    """The workers of one application, asked by a program without a loop.

    ``urls`` is the address of a worker, or several; ``token`` what they want to see; ``timeout`` in seconds.
    """

    def __init__(self, urls: str | Sequence[str], *, token: str | None = None, timeout: float = 10.0) -> None:
        self._group = Group([urls] if isinstance(urls, str) else list(urls), token, timeout)

    def write(
        self, topic: str, key: object, value: object, *, id: str | None = None, timestamp: int | None = None
    ) -> Place:
        """Write an event, and return when it is durable. With an ``id`` it is written once however often it is sent.

        Raises `ClientError` for what the topic does not take, `NoAnswer`.
        """
        return run(self._group.write(topic, key, value, id, timestamp))

    @overload
    def store(self, name: str, *, key: type[K], value: type[V], stale: bool = False) -> Store[K, V]: ...
    @overload
    def store(self, name: str, *, key: type[K], value: None = None, stale: bool = False) -> Store[K, Any]: ...
    def store(self, name: str, *, key: type[K], value: type[Any] | None = None, stale: bool = False) -> Store[K, Any]:
        """A store by its name. With ``stale`` copies and tasks that are restored answer, too, when nobody newer does."""
        return Store(Questions(self._group, name, converter(key), converter(value), stale))


class Store(Generic[K, V]):
    """One store; what it tells is committed. Raises `ClientError` and `NoAnswer`."""

    def __init__(self, questions: Questions[K, V]) -> None:
        self._ask = questions

    def get(self, key: K, *, wait: Wait = None, after: Place | int | None = None, as_of: int | None = None) -> V | None:
        """The value of a key, None if it has none.

        ``wait="5s"`` waits for it; with ``after``, what `write` gave, until that record is taken in. ``as_of`` is a
        time, for versioned tables.
        """
        found = self.entry(key, wait=wait, after=after, as_of=as_of)
        return None if found is None else found.value

    def entry(
        self, key: K, *, wait: Wait = None, after: Place | int | None = None, as_of: int | None = None
    ) -> Entry[K, V] | None:
        """The same with its timestamp."""
        return run(self._ask.entry(key, wait=wait, after=after, as_of=as_of))

    def entries(
        self, *, first: K | None = None, last: K | None = None, prefix: K | None = None, page: int = 1000
    ) -> Iterator[Entry[K, V]]:
        """All rows, or those of a range of keys (both ends included), in the order of key bytes, over all workers."""
        cursor: str | None = None
        given = {"from": first, "to": last, "prefix": prefix, "limit": page}
        while True:
            found, cursor = run(self._ask.page(cursor, **given))
            yield from found
            if cursor is None:
                return

    def windows(self, key: K, *, first: int | None = None, last: int | None = None) -> list[Window[V]]:
        """The windows of a key that start from ``first`` to ``last``, oldest first."""
        return run(self._ask.windows("windows", key, **{"from": first, "to": last}))

    def sessions(self, key: K, *, first: int | None = None, last: int | None = None) -> list[Window[V]]:
        """The sessions of a key that reach into ``first`` to ``last``, oldest first."""
        return run(self._ask.windows("sessions", key, **{"from": first, "to": last}))


class AsyncClient:
    """`Client` for a program with a loop; an async context manager."""

    def __init__(self, urls: str | Sequence[str], *, token: str | None = None, timeout: float = 10.0) -> None:
        self._group = Group([urls] if isinstance(urls, str) else list(urls), token, timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The connections, made when they are first needed."""
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession()
        return self._session

    async def write(
        self, topic: str, key: object, value: object, *, id: str | None = None, timestamp: int | None = None
    ) -> Place:
        """See `Client.write`."""
        return await arun(self._group.write(topic, key, value, id, timestamp), self.session())

    @overload
    def store(self, name: str, *, key: type[K], value: type[V], stale: bool = False) -> AsyncStore[K, V]: ...
    @overload
    def store(self, name: str, *, key: type[K], value: None = None, stale: bool = False) -> AsyncStore[K, Any]: ...
    def store(
        self, name: str, *, key: type[K], value: type[Any] | None = None, stale: bool = False
    ) -> AsyncStore[K, Any]:
        """See `Client.store`."""
        return AsyncStore(self, Questions(self._group, name, converter(key), converter(value), stale))


class AsyncStore(Generic[K, V]):
    """`Store` with coroutines."""

    def __init__(self, client: AsyncClient, questions: Questions[K, V]) -> None:
        self._client = client
        self._ask = questions

    async def get(
        self, key: K, *, wait: Wait = None, after: Place | int | None = None, as_of: int | None = None
    ) -> V | None:
        """See `Store.get`."""
        found = await self.entry(key, wait=wait, after=after, as_of=as_of)
        return None if found is None else found.value

    async def entry(
        self, key: K, *, wait: Wait = None, after: Place | int | None = None, as_of: int | None = None
    ) -> Entry[K, V] | None:
        """See `Store.entry`."""
        return await arun(self._ask.entry(key, wait=wait, after=after, as_of=as_of), self._client.session())

    async def entries(
        self, *, first: K | None = None, last: K | None = None, prefix: K | None = None, page: int = 1000
    ) -> AsyncIterator[Entry[K, V]]:
        """See `Store.entries`."""
        cursor: str | None = None
        given = {"from": first, "to": last, "prefix": prefix, "limit": page}
        while True:
            found, cursor = await arun(self._ask.page(cursor, **given), self._client.session())
            for entry in found:
                yield entry
            if cursor is None:
                return

    async def windows(self, key: K, *, first: int | None = None, last: int | None = None) -> list[Window[V]]:
        """See `Store.windows`."""
        return await arun(self._ask.windows("windows", key, **{"from": first, "to": last}), self._client.session())

    async def sessions(self, key: K, *, first: int | None = None, last: int | None = None) -> list[Window[V]]:
        """See `Store.sessions`."""
        return await arun(self._ask.windows("sessions", key, **{"from": first, "to": last}), self._client.session())
