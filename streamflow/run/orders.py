"""What one worker is told about how to run, beside the application's settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Orders:
    """``http`` None: no HTTP; port 0: any. ``create_topics``: make the topics that the script names, on Kafka too."""

    http: tuple[str, int] | None = ("127.0.0.1", 8080)
    until_idle: bool = False
    create_topics: bool = False
