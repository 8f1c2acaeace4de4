"""An end that comes, whatever the work waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_until_told(work: Coroutine[Any, Any, None], told: asyncio.Event, seconds: float) -> bool:
    """Do the work to its end; from when it is ``told`` to end it has so many seconds. False if they were not enough.

    Raises what the work raises.
    """
    loop = asyncio.get_running_loop()
    working, waiting = loop.create_task(work), loop.create_task(told.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((working,), timeout=seconds)
        if working.done():
            working.result()
            return True
        return False
    finally:
        waiting.cancel()
        working.cancel()
        await asyncio.gather(waiting, working, return_exceptions=True)
