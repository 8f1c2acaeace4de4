"""Fills the tables of the pages with what the driver answers: ``python -m tests.docs [PAGE ...]``. Read what it wrote."""

from __future__ import annotations

import sys

from tests.docs.pictures import filled, name_of, pages

for page in pages():
    if len(sys.argv) > 1 and not any(wanted in name_of(page) for wanted in sys.argv[1:]):
        continue
    try:
        now = filled(page)
    except Exception as error:
        print(f"{name_of(page)}: {type(error).__name__}: {error}")
        continue
    if now != page.read_text():
        page.write_text(now)
        print(f"{name_of(page)} filled anew")
