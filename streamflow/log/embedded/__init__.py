"""The embedded log: one SQLite file of Kafka v2 record batches, for the processes of one machine."""

from streamflow.log.embedded.log import EmbeddedLog

__all__ = ["EmbeddedLog"]
