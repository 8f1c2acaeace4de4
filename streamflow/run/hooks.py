"""The user's own functions around a run: on_start, on_stop, on_state_change; plain or async."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from streamflow.errors import StreamflowError

logger = logging.getLogger("streamflow.run")


async def call(name: str, hook: Callable[..., Any] | None) -> None:
    """Call a hook without arguments and wait for it. Raises `StreamflowError` that names it when it raises."""
    if hook is None:
        return
    try:
        made = hook()
        if inspect.isawaitable(made):
            await made
    except StreamflowError:
        raise
    except Exception as error:
        raise StreamflowError(f"{name} raised {type(error).__name__}: {error}") from error


def teller(hook: Callable[[str, str], Any]) -> Callable[[str, str], None]:
    """A function for `Worker.on_state_change` that calls ``hook(new, old)``; an error in it is logged, not fatal."""
    waiting: set[asyncio.Future[Any]] = set()  # the loop holds its tasks weakly

    def tell(new: str, old: str) -> None:
        try:
            made = hook(new, old)
            if inspect.isawaitable(made):
                future = asyncio.ensure_future(made)
                waiting.add(future)
                future.add_done_callback(done)
        except Exception:
            logger.exception("on_state_change raised at %s", new)

    def done(future: asyncio.Future[Any]) -> None:
        waiting.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.error("on_state_change raised %s: %s", type(error).__name__, error)

    return tell
