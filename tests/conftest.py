"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A deadline is wall-clock time: on a machine that does other work, too, it fails tests in which nothing is wrong.
settings.register_profile("streamflow", deadline=None)
settings.load_profile("streamflow")
