"""A connection whose end nobody has heard of yet is a connection that is gone, also for uvloop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.errors import KafkaConnectionError

from streamflow.log.kafka import wire


class Connection:
    """What aiokafka does with its writer before it has heard of the end."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.closed = False

    def send(self, request: bytes) -> None:
        self.writer.write(request)

    def close(self) -> None:
        self.closed = True


def test_writing_to_a_transport_that_is_closed_is_an_error_of_the_connection() -> None:
    async def work() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        connection = Connection(writer)
        writer.transport.abort()
        async with asyncio.timeout(10):
            while not connection.closed:  # the transport's own end comes some turns after its abort
                try:
                    wire.send(connection, b"x")
                except KafkaConnectionError as error:
                    assert "has just been closed" in str(error)
                await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="the handler is closed"):
            connection.send(b"x")
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
