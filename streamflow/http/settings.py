"""What an application was told about how to run, fit to be shown: never a secret."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from streamflow.log.open import shown
from streamflow.settings import Settings

_SECRET = re.compile("password|secret|token|credential", re.IGNORECASE)
HIDDEN = "given, not shown"


def told(settings: Settings, **others: Any) -> list[dict[str, Any]]:
    """One entry for each setting, by the names that `App(...)` has for them; ``others`` are options of the run.

    >>> told(Settings(broker="kafka://me:secret@host:9092"), http_token="0123456789abcdef")[0]
    {'name': 'broker', 'value': 'kafka://me:***@host:9092', 'default': False}
    """
    found = [_entry(each.name, getattr(settings, each.name), each.default) for each in fields(settings)]
    return found + [_entry(name, value, None) for name, value in others.items()]


def _entry(name: str, value: Any, default: Any) -> dict[str, Any]:
    plain = name.removesuffix("_ms")
    unit = " ms" if plain != name and value is not None else ""
    return {
        "name": plain,
        "value": None if value is None else f"{_text(name, value)}{unit}",
        "default": value == default,
    }


def _text(name: str, value: Any) -> str:
    if _SECRET.search(name):
        return HIDDEN
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}()"
    if isinstance(value, str):
        return shown(value) if name == "broker" or "@" in value else value
    return str(value).lower() if isinstance(value, bool) else str(value)
