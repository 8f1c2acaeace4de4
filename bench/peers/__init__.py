"""streamflow beside Kafka Streams, in one run on one broker. `python -m bench.peers --help` tells more."""
