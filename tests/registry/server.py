"""A real schema registry (Apicurio, by its Confluent-compatible interface), fetched once and run on a free port."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "2.6.13.Final"
CACHE = Path(os.environ.get("STREAMFLOW_REGISTRY_CACHE", Path(__file__).parents[2] / ".cache" / "registry"))
DEADLINE = 90.0


def missing() -> str | None:
    """What this machine lacks to run the registry, and how to get it; None if nothing."""
    if os.environ.get("STREAMFLOW_REGISTRY"):
        return None
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if not absent:
        return None
    return (
        f"NOT RUN: the tests with a real schema registry need {' and '.join(absent)}; "
        "'apt-get install openjdk-17-jre-headless maven' brings them, or set STREAMFLOW_REGISTRY to a registry's URL"
    )


@contextmanager
def running() -> Iterator[str]:
    """The URL of a registry: that of ``STREAMFLOW_REGISTRY``, or one of our own that ends with the block."""
    if given := os.environ.get("STREAMFLOW_REGISTRY"):
        yield given
        return
    home = _fetched()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1",
        "-jar", f"apicurio-registry-app-{VERSION}-runner.jar",
    ]  # fmt: skip
    with (home / f"log-{port}.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=home, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        _wait(process, url, home / f"log-{port}.txt")
        yield url
    finally:
        process.kill()
        process.wait()
        (home / f"log-{port}.txt").unlink(missing_ok=True)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=2):
                return
        except OSError as error:
            assert process.poll() is None, f"the registry ended:\n{log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"the registry did not answer within {DEADLINE} s: {error}"
            time.sleep(0.1)  # nothing tells when it listens


def _fetched() -> Path:
    """Its folder; two processes that come at the same time fetch it once."""
    home = CACHE / VERSION
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            print(f"fetching the schema registry {VERSION} (once, 140 MB)", flush=True)
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            subprocess.run(
                ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={home}"],
                check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            archive = home / f"apicurio-registry-app-{VERSION}-all.tar.gz"
            with tarfile.open(archive) as files:
                files.extractall(home, filter="data")
            archive.unlink()
            (home / "complete").touch()
    return home
