"""``streamflow query``: the value of a key, from whichever worker has it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import click
import msgspec

from streamflow.cli.ask import get
from streamflow.cli.options import debug, http_token, option
from streamflow.config import address
from streamflow.errors import StreamflowError


@click.command("query")
@click.argument("store")
@click.argument("key")
@option("--http", metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True, help="Any worker of the App.")
@option("--from", "from_", metavar="MS", type=int, help="Windows that start at or after this time.")
@option("--to", metavar="MS", type=int, help="Windows that start at or before this time.")
@http_token
@debug
def command(store: str, key: str, http: str, from_: int | None, to: int | None, http_token: str | None) -> None:
    """Ask a running worker for KEY in STORE; the windows of KEY if the store is windowed.

    The answer is committed state, as JSON; another worker that holds the key is asked by the first.
    """
    host, port = address(http)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    kinds = {each["name"]: each["kind"] for each in _asked(url, "/stores", http_token)["stores"]}
    if store not in kinds:
        raise StreamflowError(f"there is no store {store!r}; known are {', '.join(sorted(kinds)) or 'none'}")
    word = {"window": "windows", "session": "sessions"}.get(kinds[store], "keys")
    windowed = word != "keys"
    if not windowed and (from_ is not None or to is not None):
        raise click.UsageError(f"--from and --to are for windowed stores; {store!r} is none")
    bounds = {name: str(value) for name, value in (("from", from_), ("to", to)) if value is not None}
    path = f"/stores/{quote(store, safe='')}/{word}/{quote(key, safe='')}"
    answer = _asked(url, path + (f"?{urlencode(bounds)}" if bounds else ""), http_token)
    if windowed and not answer:
        raise StreamflowError(f"store {store!r} has no {word} of key {key!r}")
    for row in answer if windowed else [answer]:
        click.echo(msgspec.json.encode(row).decode())


def _asked(url: str, target: str, token: str | None) -> Any:
    status, answer = get(url, target, token=token)
    if status != 200:
        raise StreamflowError(answer.get("error", f"the worker answered {status}"))
    return answer
