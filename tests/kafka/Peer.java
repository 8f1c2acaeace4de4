import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.kstream.internals.TimeWindow;
import org.apache.kafka.streams.state.KeyValueStore;

/** Kafka's own clients and Kafka Streams, told what to do: a line of JSON in, a line of JSON out. */
public class Peer {
    static final ObjectMapper JSON = new ObjectMapper();
    static final long MINUTE = 60_000;
    static final Duration LATE = Duration.ofDays(1);
    static String brokers;
    static String folder;
    static KafkaStreams streams;

    static Serde<Windowed<String>> minutes() { return WindowedSerdes.timeWindowedSerdeFrom(String.class, MINUTE); }
    static Serde<Windowed<String>> visits() { return WindowedSerdes.sessionWindowedSerdeFrom(String.class); }

    @SuppressWarnings("unchecked")
    static Serde<Object> serde(String kind) {
        Serde<?> found = switch (kind) {
            case "str" -> Serdes.String();
            case "int32" -> Serdes.Integer();
            case "int64" -> Serdes.Long();
            case "float64" -> Serdes.Double();
            case "bytes" -> Serdes.ByteArray();
            case "uuid" -> Serdes.UUID();
            case "windowed" -> minutes();
            case "session" -> visits();
            default -> throw new IllegalArgumentException(kind);
        };
        return (Serde<Object>) found;
    }

    static Object given(String kind, JsonNode told) {
        if (told.isNull()) return null;
        return switch (kind) {
            case "str" -> told.asText();
            case "int32" -> told.asInt();
            case "int64" -> told.asLong();
            case "float64" -> told.asDouble();
            case "bytes" -> HexFormat.of().parseHex(told.asText());
            case "uuid" -> UUID.fromString(told.asText());
            default -> throw new IllegalArgumentException(kind);
        };
    }

    static JsonNode shown(Object value) {
        if (value instanceof byte[] bytes) return JSON.valueToTree(HexFormat.of().formatHex(bytes));
        if (value instanceof UUID id) return JSON.valueToTree(id.toString());
        if (value instanceof Windowed<?> key)
            return JSON.createArrayNode().add((String) key.key()).add(key.window().start()).add(key.window().end());
        return JSON.valueToTree(value);
    }

    /** By the producer's own partitioner; the third of a record is its time, the fourth its headers. */
    static JsonNode produce(JsonNode asked) throws Exception {
        String key = asked.get("key").asText(), value = asked.get("value").asText();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, serde(key).serializer(), serde(value).serializer())) {
            for (JsonNode one : asked.get("records")) {
                var record = new ProducerRecord<>(asked.get("topic").asText(), null, one.get(2).asLong(),
                    given(key, one.get(0)), given(value, one.get(1)));
                for (JsonNode header : one.get(3))
                    record.headers().add(header.get(0).asText(), header.get(1).asText().getBytes(StandardCharsets.UTF_8));
                sent.add(producer.send(record));
            }
            for (var one : sent) one.get();
        }
        return JSON.valueToTree(sent.size());
    }

    /** Every committed record of a topic: partition, key, value, time, headers. */
    static JsonNode read(JsonNode asked) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        ArrayNode found = JSON.createArrayNode();
        var key = serde(asked.get("key").asText()).deserializer();
        var value = serde(asked.get("value").asText()).deserializer();
        try (var consumer = new KafkaConsumer<>(settings, key, value)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (var each : consumer.partitionsFor(asked.get("topic").asText()))
                partitions.add(new TopicPartition(each.topic(), each.partition()));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each)))
                for (ConsumerRecord<Object, Object> record : consumer.poll(Duration.ofMillis(200))) {
                    ArrayNode headers = JSON.createArrayNode();
                    for (Header each : record.headers())
                        headers.add(JSON.createArrayNode().add(each.key()).add(new String(each.value(), StandardCharsets.UTF_8)));
                    found.add(JSON.createArrayNode().add(record.partition()).add(shown(record.key()))
                        .add(shown(record.value())).add(record.timestamp()).add(headers));
                }
        }
        return found;
    }

    /** What Kafka Streams does with the orders, and with what streamflow wrote about them. */
    static void topology(StreamsBuilder builder) {
        Serde<String> str = Serdes.String();
        KStream<String, Double> orders = builder.stream("orders", Consumed.with(str, Serdes.Double()));
        orders.mapValues(amount -> amount).to("orders-by-java", Produced.with(str, Serdes.Double()));
        KGroupedStream<String, Double> grouped = orders.groupByKey(Grouped.with(str, Serdes.Double()));

        KTable<Windowed<String>, Long> counted =
            grouped.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(MINUTE), LATE)).count();
        counted.toStream().to("minutes-by-java", Produced.with(minutes(), Serdes.Long()));
        grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(30), LATE)).count()
            .toStream().to("visits-by-java", Produced.with(visits(), Serdes.Long()));

        KTable<String, Double> sums = grouped.reduce(Double::sum);
        KTable<String, Double> kept = sums.filter((user, sum) -> sum >= 0);
        kept.toStream().to("sums-by-java", Produced.with(str, Serdes.Double()));
        orders.groupBy((user, amount) -> Math.round(amount), Grouped.with("size", Serdes.Long(), Serdes.Double()))
            .count(Materialized.<Long, Long, KeyValueStore<Bytes, byte[]>>as("sizes").withKeySerde(Serdes.Long())
                .withValueSerde(Serdes.Long()))
            .toStream().to("sizes-by-java", Produced.with(Serdes.Long(), Serdes.Long()));

        KTable<Windowed<String>, Long> theirs =
            builder.table("minutes-by-streamflow", Consumed.with(minutes(), Serdes.Long()));
        theirs.join(counted, (there, here) -> there + " and " + here).toStream()
            .to("minutes-joined", Produced.with(minutes(), str));

        KTable<String, Double> known = builder.table("sums-by-streamflow", Consumed.with(str, Serdes.Double()));
        known.join(kept, (there, here) -> there + " and " + here).toStream().to("sums-joined", Produced.with(str, str));
        builder.stream("visits-by-streamflow", Consumed.with(visits(), Serdes.Long()))
            .to("visits-again", Produced.with(visits(), Serdes.Long()));
    }

    static void start() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "java");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, "200");
        settings.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, "3600000");
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        topology(builder);
        streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> { error.printStackTrace(); System.exit(1); return null; });
        streams.start();
    }

    static JsonNode answer(JsonNode asked) throws Exception {
        switch (asked.get("do").asText()) {
            case "produce": return produce(asked);
            case "read": return read(asked);
            case "start": start(); return JSON.valueToTree("started");
            case "stop": return JSON.valueToTree(streams.close(Duration.ofSeconds(20)));
            default: throw new IllegalArgumentException(asked.toString());
        }
    }

    public static void main(String[] arguments) throws Exception {
        brokers = arguments[0];
        folder = arguments[1];
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null;) {
            System.out.println(JSON.writeValueAsString(answer(JSON.readTree(line))));
            System.out.flush();
        }
        System.exit(0);
    }
}
