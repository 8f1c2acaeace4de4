"""The log: topics of record batches, groups of workers, and transactions over both."""
