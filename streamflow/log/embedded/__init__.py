"""The embedded log: one SQLite file of Kafka v2 record batches, for the processes of one machine."""
