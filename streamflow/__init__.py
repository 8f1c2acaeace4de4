"""streamflow: Kafka Streams for Python people."""
