"""Where faults between workers and their broker are played."""

from __future__ import annotations

import random
from typing import NamedTuple

from .proxy import Proxy


class Stage(NamedTuple):
    """A broker that can only be spoken to through a proxy."""

    proxy: Proxy
    broker: str
    rng: random.Random
    seed: int
