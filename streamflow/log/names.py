"""What every log asks of a new topic: a name that Kafka takes, and a partition."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamflow.errors import ConfigError
from streamflow.topic import NewTopic

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_names(topics: Sequence[NewTopic]) -> None:
    """Refuse names and counts that no log would take."""
    for topic in topics:
        if not _NAME.fullmatch(topic.name) or topic.name in (".", ".."):
            raise ConfigError(
                f"{topic.name!r} cannot be the name of a topic; use up to 249 letters, digits, '.', '_' and '-'"
            )
        if topic.partitions < 1:
            raise ConfigError(f"topic {topic.name!r} asks for {topic.partitions} partitions; one is the least")
