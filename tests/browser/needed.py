"""What the tests of the page need. Where it is missing, whoever imports this is skipped with one line that says so."""

from __future__ import annotations

import shutil

import pytest

try:
    import playwright.sync_api  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError:
    pytest.skip("THE PAGE IS NOT TESTED: playwright is missing; 'make .venv/.ready' brings it", allow_module_level=True)

_FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if _FOUND is None:
    pytest.skip(
        "THE PAGE IS NOT TESTED: there is no browser; bring one with 'apt-get install chromium'",
        allow_module_level=True,
    )
CHROMIUM: str = _FOUND
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
