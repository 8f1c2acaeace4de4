"""A question put to the workers that hold the answer, this one among them.

Between workers it is the same request with one header more, which names the partitions asked for. Such a request is
never passed on: it is answered with rows of bytes (MessagePack) from tasks that run here, or refused. So a question
takes one hop at most, and what an owner does not hold any more is a 503, never an empty answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from streamflow.http.asked import Refused
from streamflow.http.guard import authorization
from streamflow.log.contract import Member
from streamflow.query import Owners, Site, Standing, Unavailable, WrongQuestion

FORWARDED = "X-Streamflow-Forwarded"
POSITION, LAG = "X-Streamflow-Position", "X-Streamflow-Lag"
"""Of a stale answer: ``partition=number`` of each partition, with commas between."""
ROWS = "application/msgpack"
TIMEOUT = 3.0


@dataclass(frozen=True)
class Question:
    """What is to be read: ``local`` reads partitions that run here, ``rows`` is the type of what it gives.

    ``render`` makes the answer's body out of the rows of all partitions, as they came.
    """

    site: Site
    partitions: tuple[int, ...]
    local: Callable[[Sequence[int]], Awaitable[list[Any]]]
    rows: Any
    render: Callable[[list[Any]], Awaitable[bytes]]
    patience: float = 0.0
    """Seconds that whoever reads may wait."""
    standing: Callable[[int], Standing | None] | None = None
    """For an answer that may be stale: how far what this worker has of a partition is."""
    told: dict[int, Standing] = field(default_factory=dict[int, Standing])
    """How far the partitions of a stale answer were."""

    @property
    def headers(self) -> dict[str, str]:
        """What tells how old a stale answer is."""
        if not self.told:
            return {}
        found = sorted(self.told.items())
        return {
            POSITION: ",".join(f"{partition}={each.position}" for partition, each in found),
            LAG: ",".join(f"{partition}={each.lag}" for partition, each in found),
        }


class Forwarder:
    """Asks the group who holds what, and those who hold it. ``target`` is a request's path and query as they came."""

    def __init__(self, owners: Owners, token: str | None = None) -> None:
        self._owners = owners
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to other workers."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, question: Question, target: str) -> list[Any]:
        """The rows of all partitions asked for. Raises `Unavailable` when one of them cannot be had."""
        if question.site.everywhere:
            return await question.local(question.partitions)
        tasks = {question.site.task(partition): partition for partition in question.partitions}
        owners = await self._owners.of(tasks)
        if question.standing is not None:
            told = [await self._stale(question, task, partition, owners, target) for task, partition in tasks.items()]
            return [row for rows in told for row in rows]
        try:
            return await self._ask(question, tasks, owners, target)
        except Unavailable:
            # Perhaps it has just moved. Asked once more, but only of somebody else.
            fresh = await self._owners.of(tasks, fresh=True)
            if _ids(fresh) == _ids(owners):
                raise
            return await self._ask(question, tasks, fresh, target)

    async def answer(self, question: Question, header: str) -> bytes:
        """The rows that another worker asks this one for."""
        partitions = _partitions(header, question.site)
        tasks = [question.site.task(partition) for partition in partitions]
        if question.standing is None:
            await self._check_mine(tasks)
        else:
            self._note(question, partitions)
        return msgspec.msgpack.encode(await question.local(partitions))

    async def owner(self, question: Question) -> Member | None:
        """Who holds the answer, where that is one other worker."""
        if question.site.everywhere or len(question.partitions) != 1:
            return None
        task = question.site.task(question.partitions[0])
        owner = (await self._owners.of([task])).get(task)
        if owner is None:
            raise Unavailable(f"no worker holds task {task} now; the group is sharing its tasks anew")
        if owner.id == self._owners.me:
            return None
        if not owner.address:
            raise Unavailable(f"worker {owner.id} holds the answer and serves no HTTP; start it with --http HOST:PORT")
        return owner

    async def _stale(
        self, question: Question, task: str, partition: int, owners: Mapping[str, Member], target: str
    ) -> list[Any]:
        """The rows of one partition from here if there is anything of it, else from its owner, else from a copy."""
        assert question.standing is not None
        if question.standing(partition) is not None:
            self._note(question, [partition])
            return await question.local([partition])
        copies = [member for member in await self._owners.members() if task in member.standbys]
        why = Unavailable(f"no worker has anything of task {task} now")
        for member in (*([owners[task]] if task in owners else []), *copies):
            if member.id != self._owners.me:
                try:
                    return await self._part(question, member, [partition], target)
                except Unavailable as error:
                    why = error
        raise why

    def _note(self, question: Question, partitions: Sequence[int]) -> None:
        """Remember how far what is read here is, before it is read: it is not older than that."""
        for partition in partitions:
            if question.standing is not None and (found := question.standing(partition)) is not None:
                question.told[partition] = found

    async def _check_mine(self, tasks: Sequence[str]) -> None:
        """A worker that was asleep does not know what it has lost, so the group is asked, not memory."""
        for fresh in (False, True):
            owners = await self._owners.of(tasks, fresh=fresh)
            lost = next((task for task in tasks if task not in owners or owners[task].id != self._owners.me), None)
            if lost is None:
                return
        raise Unavailable(f"task {lost} has moved to another worker")

    async def _ask(
        self, question: Question, tasks: Mapping[str, int], owners: Mapping[str, Member], target: str
    ) -> list[Any]:
        parts: dict[str, tuple[Member, list[int]]] = {}
        for task, partition in tasks.items():
            if task not in owners:
                raise Unavailable(f"no worker holds task {task} now; the group is sharing its tasks anew")
            parts.setdefault(owners[task].id, (owners[task], []))[1].append(partition)
        jobs = [self._part(question, member, partitions, target) for member, partitions in parts.values()]
        if len(jobs) == 1:
            return await jobs[0]
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        found: list[Any] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.extend(answer)
        return found

    async def _part(self, question: Question, member: Member, partitions: list[int], target: str) -> list[Any]:
        if member.id == self._owners.me:
            return await question.local(partitions)
        told: dict[str, str] = {}
        asked = {FORWARDED: ",".join(map(str, partitions))}
        body = await self.get(member, target, asked, question.patience, told)
        if question.standing is not None:
            question.told.update(_standings(told))
        try:
            rows: list[Any] = msgspec.msgpack.decode(body, type=list[question.rows])  # type: ignore[name-defined]
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the worker at {member.address} answered something else than rows: {error}") from error
        return rows

    async def get(
        self,
        member: Member,
        target: str,
        headers: Mapping[str, str],
        patience: float = 0.0,
        told: dict[str, str] | None = None,
    ) -> bytes:
        """A request to another worker, which may take so many seconds longer; anything but 200 is `Unavailable`, with
        what it said. ``told`` gets the headers of the answer."""
        if not member.address:
            raise Unavailable(f"worker {member.id} holds the answer and serves no HTTP; start it with --http HOST:PORT")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), headers=authorization(self._token)
            )
        url = URL(url_of(member.address) + target, encoded=True)
        try:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT + patience)
            async with self._session.get(url, headers=headers, allow_redirects=False, timeout=timeout) as response:
                body = await response.read()
                if told is not None:
                    told.update(response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise Unavailable(f"the worker at {member.address} holds the answer and cannot be asked: {why}") from error
        if (
            response.status == 400
        ):  # it fitted the table of routes here, so only the rows can tell that it asks too much
            raise WrongQuestion(_sentence(body))
        if response.status != 200:
            raise Unavailable(f"the worker at {member.address} answered {response.status}: {_sentence(body)}")
        return body


def url_of(address: str) -> str:
    """The URL of a member's address, which may come without its scheme."""
    return address.rstrip("/") if "://" in address else f"http://{address}"


def _ids(owners: Mapping[str, Member]) -> dict[str, str]:
    return {task: member.id for task, member in owners.items()}


def _partitions(header: str, site: Site) -> list[int]:
    pieces = header.split(",")
    if not all(piece.isascii() and piece.isdigit() and len(piece) < 10 for piece in pieces):
        raise Refused(400, f"{FORWARDED} is {header[:60]!r}; workers write partitions there, such as 0,3")
    found = sorted({int(piece) for piece in pieces})
    if found[-1] >= site.sub.partitions:
        raise Refused(400, f"{FORWARDED} names partition {found[-1]}; the store has {site.sub.partitions}")
    return found


def _standings(headers: Mapping[str, str]) -> dict[int, Standing]:
    """What another worker said of how old its answer is.

    >>> _standings({"X-Streamflow-Position": "0=12,3=40", "X-Streamflow-Lag": "0=0,3=7"})
    {0: Standing(position=12, lag=0), 3: Standing(position=40, lag=7)}
    """
    try:
        positions, lags = (
            {
                int(partition): int(number)
                for partition, number in (each.split("=") for each in headers[name].split(","))
            }
            for name in (POSITION, LAG)
        )
        return {partition: Standing(position, lags[partition]) for partition, position in positions.items()}
    except (KeyError, ValueError) as error:
        raise Unavailable(f"another worker does not say how old its answer is: {error}") from error


def _sentence(body: bytes) -> str:
    try:
        found: Iterable[Any] = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        found = body[:200].decode("utf-8", "replace")
    return str(found)
