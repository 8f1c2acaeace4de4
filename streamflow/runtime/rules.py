"""What the settings of an application say about its tasks."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.settings import Policy, Settings


@dataclass(frozen=True)
class Rules:
    """What a task does with records it cannot process, and how far in the future it believes."""

    on_deserialize_error: Policy = "fail"
    on_process_error: Policy = "fail"
    dead_letter_topic: str = ""
    max_future_ms: int | None = None
    emit_on_commit: bool = False
    idle_flush_ms: int | None = None

    @staticmethod
    def of(app_id: str, settings: Settings) -> Rules:
        """The rules that an application's settings say."""
        return Rules(
            settings.on_deserialize_error,
            settings.on_process_error,
            settings.dead_letter_topic or f"{app_id}-dead-letters",
            settings.max_future_ms,
            settings.emit == "on_commit",
            settings.idle_flush_ms,
        )

    @property
    def takes_back(self) -> bool:
        """Some policy goes on after a failure, so one record's effects must be undoable."""
        return self.on_deserialize_error != "fail" or self.on_process_error != "fail"
