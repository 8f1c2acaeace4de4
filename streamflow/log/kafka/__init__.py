"""The log on Apache Kafka, 3.6 or later."""

from streamflow.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
