"""Applications known from Kafka Streams' own tutorials, each as a user of streamflow writes it."""
