"""A worker over HTTP: its stores, its tasks, its topology, its health and its metrics.

`routes.py` is the table of what can be asked; requests are checked against it, and `/openapi.json` is written from it.
"""

from streamflow.http.queries import Queries, queries
from streamflow.http.server import Server, serve

__all__ = ["Queries", "Server", "queries", "serve"]
