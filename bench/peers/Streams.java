import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** The topologies of `ours.py` in Kafka Streams, told by the same variables of the environment. */
public class Streams {
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Order { public String user, product, note; public int amount, price; public long placed; }
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class User { public String name, region; }
    public static class Sale {
        public String user, region;
        public int total;
        public Sale() {}
        Sale(String user, String region, int total) { this.user = user; this.region = region; this.total = total; }
    }

    static final ObjectMapper JSON = new ObjectMapper();
    static <T> Serde<T> json(Class<T> kind) {
        return Serdes.serdeFrom(
            (topic, value) -> {
                try { return value == null ? null : JSON.writeValueAsBytes(value); }
                catch (IOException error) { throw new SerializationException(error); }
            },
            (topic, bytes) -> {
                try { return bytes == null ? null : JSON.readValue(bytes, kind); }
                catch (IOException error) { throw new SerializationException(error); }
            });
    }

    static void topology(StreamsBuilder builder, String workload, String in, String out) {
        Serde<String> str = Serdes.String();
        Serde<Order> order = json(Order.class);
        KStream<String, Order> orders = builder.stream(in, Consumed.with(str, order));
        KGroupedStream<String, Order> grouped = orders.groupByKey(Grouped.with(str, order));
        switch (workload) {
            case "stateless" -> orders.filter((user, each) -> each.amount % 2 == 0)
                .mapValues(each -> new Sale(each.user, "", each.amount * each.price))
                .to(out, Produced.with(str, json(Sale.class)));
            case "count", "count on commit" -> grouped
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts").withKeySerde(str).withValueSerde(Serdes.Long()))
                .toStream().to(out, Produced.with(str, Serdes.Long()));
            case "tumbling", "hopping" -> {
                Duration minute = Duration.ofMinutes(1);
                TimeWindows windows = workload.equals("tumbling") ? TimeWindows.ofSizeAndGrace(minute, minute)
                    : TimeWindows.ofSizeAndGrace(Duration.ofMinutes(5), minute).advanceBy(minute);
                grouped.windowedBy(windows)
                    .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts").withKeySerde(str).withValueSerde(Serdes.Long()))
                    .toStream()
                    .to(out, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, windows.size()), Serdes.Long()));
            }
            case "join" -> {
                KTable<String, User> users = builder.table("users", Consumed.with(str, json(User.class)));
                orders.join(users, (each, user) -> new Sale(each.user, user.region, each.amount * each.price),
                    Joined.with(str, order, json(User.class))).to(out, Produced.with(str, json(Sale.class)));
            }
            default -> throw new IllegalArgumentException(workload);
        }
    }

    public static void main(String[] arguments) {
        long began = System.currentTimeMillis();
        String workload = System.getenv("WORKLOAD");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("APP_ID"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BOOTSTRAP"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("STATE_DIR"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        // Its cache is what leaves updates out: with it only where fewer are wanted, as its default has it.
        boolean cached = workload.equals("count on commit") || workload.equals("join");
        if (!cached) settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        StreamsBuilder builder = new StreamsBuilder();
        topology(builder, workload, System.getenv("IN_TOPIC"), System.getenv("OUT_TOPIC"));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setGlobalStateRestoreListener(new StateRestoreListener() {
            public void onRestoreStart(TopicPartition of, String store, long from, long to) { say("restore begins", 0); }
            public void onBatchRestored(TopicPartition of, String store, long end, long count) { }
            public void onRestoreEnd(TopicPartition of, String store, long total) { say("restore ends", total); }
            void say(String what, long count) {
                System.out.println(what + " " + count + " " + (System.currentTimeMillis() - began));
            }
        });
        streams.setUncaughtExceptionHandler(error -> { error.printStackTrace(); Runtime.getRuntime().halt(1); return null; });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.metrics().forEach((name, metric) -> {
                if (name.group().equals("stream-thread-metrics") && name.name().matches("commit-latency-(avg|max)"))
                    System.out.println(name.name() + " " + metric.metricValue());
            });
            streams.close(Duration.ofSeconds(20));
        }));
        streams.start();
    }
}
