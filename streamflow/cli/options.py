"""What the commands share: options that also read ``STREAMFLOW_<OPTION>``, and the log they talk to.

Precedence is click's own: the flag, then the environment, then the default map, which `config.py` fills from
``streamflow.toml``. An option that none of them gives stays None, so that ``App(...)`` decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from streamflow.log.contract import Log
    from streamflow.topic import TopicInfo

T = TypeVar("T")
Command = Callable[..., Any]

DEFAULT_BROKER = "embedded://.streamflow"


class Option(click.Option):
    """A click option that also reads its environment variable, ``--state-dir`` that of ``STREAMFLOW_STATE_DIR``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.envvar and self.opts and not self.hidden:
            self.envvar = "STREAMFLOW_" + max(self.opts, key=len).lstrip("-").replace("-", "_").upper()


def option(*names: str, **kwargs: Any) -> Callable[[Command], Command]:
    """`click.option` with our `Option`."""
    return click.option(*names, cls=Option, **kwargs)


def _remember(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta["streamflow.debug"] = True


def is_debug(context: click.Context) -> bool:
    """Whether ``--debug`` was given."""
    return bool(context.find_root().meta.get("streamflow.debug"))


debug = option(
    "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_remember, help="Show tracebacks of errors."
)
broker = option(
    "--broker", metavar="URL", help=f"The log: embedded://PATH or kafka://HOST:PORT.  [default: {DEFAULT_BROKER}]"
)

http_token = option("--http-token", metavar="TOKEN", help="What HTTP requests need; better set in the environment.")


def complain(message: str) -> None:
    """One line on stderr."""
    click.echo(message, err=True)


def with_log(
    broker: str | None, work: Callable[[Log], Awaitable[T]], *, create: bool = False, replication: int = -1
) -> T:
    """Open the log, do the work, close it; one that is not there is refused, or with ``create`` made."""
    import asyncio  # half of what starting a command costs, and not every command needs it

    from streamflow.log.open import open_log

    url = broker or DEFAULT_BROKER
    if not create:
        refuse_absent(url)

    async def all_of_it() -> T:
        log = open_log(url, replication=replication)
        await log.start()
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(all_of_it())


def refuse_absent(url: str) -> None:
    """Raise `LogError` when ``url`` names an embedded log whose folder does not exist."""
    from pathlib import Path

    from streamflow.errors import LogError

    scheme, _, path = url.partition("://")
    if scheme == "embedded" and not Path(path.partition("?")[0]).exists():
        raise LogError(f"there is no log at {url}; `streamflow produce` and `run` make one, --broker names another")


async def named_topic(log: Log, topic: str) -> TopicInfo:
    """What the log says of a topic. Raises `UnknownTopic` that names those there are."""
    from difflib import get_close_matches

    from streamflow.errors import UnknownTopic

    topics = await log.topics()
    if topic in topics:
        return topics[topic]
    near = get_close_matches(topic, topics, 1)
    there = f"there are {', '.join(sorted(topics))}" if topics else "there is none"
    known = f"did you mean {near[0]!r}?" if near else there
    raise UnknownTopic(f"topic {topic!r} does not exist; {known}")
