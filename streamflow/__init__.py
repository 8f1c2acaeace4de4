"""Kafka Streams for Python people.

Importing it imports no client, no server and no database: a script that only
declares a topology stays light.
"""

from streamflow import serdes
from streamflow.app import App
from streamflow.errors import (
    ConfigError,
    RecordError,
    SerdeError,
    StreamflowError,
    TopologyError,
)
from streamflow.global_table import GlobalKTable
from streamflow.grouped import KGroupedStream, KGroupedTable
from streamflow.record import Record, Windowed
from streamflow.serdes import Serde
from streamflow.stream import KStream
from streamflow.suppressing import until_time_limit, until_window_closes
from streamflow.table import KTable
from streamflow.topic import Topic
from streamflow.topology import Topology
from streamflow.windowed import WindowedKStream
from streamflow.windows import (
    CustomWindow,
    SessionWindow,
    SlidingWindow,
    TimeWindow,
    custom_windows,
    hopping,
    session,
    sliding,
    tumbling,
    unlimited,
)

__all__ = [
    "App",
    "ConfigError",
    "CustomWindow",
    "GlobalKTable",
    "KGroupedStream",
    "KGroupedTable",
    "KStream",
    "KTable",
    "Record",
    "RecordError",
    "Serde",
    "SerdeError",
    "SessionWindow",
    "SlidingWindow",
    "StreamflowError",
    "TimeWindow",
    "Topic",
    "Topology",
    "TopologyError",
    "Windowed",
    "WindowedKStream",
    "custom_windows",
    "hopping",
    "serdes",
    "session",
    "sliding",
    "tumbling",
    "unlimited",
    "until_time_limit",
    "until_window_closes",
]
