"""A worker's end of the socket to its supervisor: what it says goes up, and the supervisor's death is noticed.

The socket closes when the supervisor dies, however it dies. A thread waits for that, so that it is noticed even while
a user's function keeps the loop busy.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

GRACE = 15.0  # seconds for an orderly end without a supervisor


def hold(channel: socket.socket, gone: Callable[[], object]) -> None:
    """Call ``gone`` (from a thread) when the other end is gone; end the process if it is still there after `GRACE`."""

    def wait() -> None:
        try:
            while channel.recv(1):
                pass
        except OSError:
            pass
        gone()
        threading.Event().wait(GRACE)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
