"""Noticing that a source file changed, by asking for modification times: no dependency, and it works everywhere."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

EVERY = 0.3  # seconds between two looks
SKIPPED = {"__pycache__", "node_modules", "venv"}


async def changed(folder: Path) -> str:
    """Wait until a ``.py`` file below the folder is new, other or gone; gives its name."""
    before = await asyncio.to_thread(times, folder)
    while True:
        await asyncio.sleep(EVERY)
        now = await asyncio.to_thread(times, folder)
        if now != before:
            path = next(path for path in sorted({*before, *now}) if before.get(path) != now.get(path))
            return os.path.relpath(path, folder)


def times(folder: Path) -> dict[str, int]:
    """The modification time of every ``.py`` file below the folder; hidden folders are left out."""
    found: dict[str, int] = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(root, name)
                try:
                    found[path] = os.stat(path).st_mtime_ns
                except OSError:
                    continue  # gone between the listing and the question
    return found
