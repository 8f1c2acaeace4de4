"""What one worker is told about how to run, beside the application's settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Orders:
    """``http`` None: no HTTP; port 0: any. ``create_topics``: make the topics that the script names, on Kafka too.

    ``http_token`` is what a request needs; ``http_open``: none, though other machines reach the port.
    ``advertise`` is the host by which other workers reach this one, where it is not the machine's own name.
    ``fake_input``: how many records a second to make up.
    """

    http: tuple[str, int] | None = ("127.0.0.1", 8080)
    until_idle: bool = False
    create_topics: bool = False
    http_token: str | None = None
    http_open: bool = False
    advertise: str | None = None
    fake_input: float | None = None
