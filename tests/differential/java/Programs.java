import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.test.TestRecord;

/** Runs programs of tests/differential/programs.py in Kafka Streams' own test driver: a JSON line in, a JSON line out. */
public class Programs {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Serde<String> KEY = Serdes.String();
    static final Serde<Long> VALUE = Serdes.Long();
    static final Duration LONG = Duration.ofDays(1);

    static long n(Long value) { return value == null ? 0 : value; }
    static Long mix(Long total, Long value) { return Math.floorMod(n(total) * 3 + n(value), 1009L); }
    static Long mixOrNone(Long total, Long value) { return mix(total, value) % 5 == 0 ? null : mix(total, value); }
    static Long meet(Long left, Long right) {
        return n(left) * 100 + n(right) + (left == null ? 1 : 0) + (right == null ? 2 : 0);
    }
    static String keyOf(Long value) { return "xyz".substring((int) Math.floorMod(n(value), 3L)).substring(0, 1); }
    static String newKey(String key, Long value) { return Math.floorMod(n(value), 7L) == 6 ? null : keyOf(value); }
    static String flat(Windowed<String> key) {
        return key.key() + "@" + key.window().start() + "-" + key.window().end();
    }
    static Duration ms(long millis) { return Duration.ofMillis(millis); }

    static Materialized<String, Long, KeyValueStore<Bytes, byte[]>> kept(String name) {
        return Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(KEY).withValueSerde(VALUE);
    }
    static <S extends org.apache.kafka.streams.processor.StateStore> Materialized<Windowed<String>, Long, S> windowedKept(
            String name, Serde<Windowed<String>> key) {
        return Materialized.<Windowed<String>, Long, S>as(name).withKeySerde(key).withValueSerde(VALUE);
    }

    @SuppressWarnings("unchecked")
    static Object step(StreamsBuilder builder, String word, String name, long a, long b, long c, Object[] in) {
        KStream<String, Long> s = in.length > 0 && in[0] instanceof KStream ? (KStream<String, Long>) in[0] : null;
        KStream<String, Long> s2 = in.length > 1 && in[1] instanceof KStream ? (KStream<String, Long>) in[1] : null;
        KTable<String, Long> t = in.length > 0 && in[0] instanceof KTable ? (KTable<String, Long>) in[0] : null;
        KTable<String, Long> t2 = in.length > 1 && in[1] instanceof KTable ? (KTable<String, Long>) in[1] : null;
        KTable<Windowed<String>, Long> w = in.length > 0 && in[0] instanceof KTable ? (KTable<Windowed<String>, Long>) in[0] : null;
        Grouped<String, Long> grouped = Grouped.with(KEY, VALUE);
        Joined<String, Long, Long> joined = Joined.with(KEY, VALUE, VALUE);
        switch (word) {
            case "stream": return builder.stream(name, Consumed.with(KEY, VALUE));
            case "table": return builder.table(name, Consumed.with(KEY, VALUE), kept(name + "-rows"));
            case "filter": return s.filter((k, v) -> Math.floorMod(n(v), 3L) != a % 3);
            case "filter_not": return s.filterNot((k, v) -> k == null || k.compareTo("b") < 0);
            case "map_values": return s.mapValues(v -> v != null && v == a ? null : (Long) (n(v) + b));
            case "flat_map_values": return s.flatMapValues(v -> List.of(n(v), a).subList(0, (int) (b % 3)));
            case "flat_map": return s.flatMap((k, v) -> List.of(KeyValue.pair(k, v), KeyValue.pair(keyOf(v), (Long) a)));
            case "map": return s.map((k, v) -> KeyValue.pair(keyOf(v), n(v) + a));
            case "select_key": return s.selectKey((k, v) -> newKey(k, v));
            case "peek": return s.peek((k, v) -> { });
            case "branch": return s.filter((k, v) -> (Math.floorMod(n(v), 2L) == 0) == (a % 2 == 1));
            case "merge": return s.merge(s2);
            case "repartition":
                return s.filter((k, v) -> k != null).repartition(Repartitioned.with(KEY, VALUE).withName(name));
            case "to_table": return s.toTable(Named.as(name + "-step"), kept(name));
            case "count": return s.groupByKey(grouped).count(kept(name));
            case "reduce": return s.groupByKey(grouped).reduce(Programs::mix, kept(name));
            case "aggregate":
                return s.groupByKey(grouped).aggregate(() -> 1L, (k, v, total) -> mixOrNone(total, v), kept(name));
            case "group_by": return s.groupBy(Programs::newKey, grouped).reduce(Programs::mix, kept(name));
            case "cogroup":
                return s.groupByKey(grouped).<Long>cogroup((k, v, total) -> mix(total, v))
                    .cogroup(s2.groupByKey(grouped), (k, v, total) -> Math.floorMod(total - v, 1009L))
                    .aggregate(() -> 7L, kept(name));
            case "tumbling": case "hopping": case "tumbling_final": case "hopping_final": {
                long size = 10 * (a + 1), advance = word.startsWith("tumbling") ? size : Math.max(1, size / (b + 1));
                TimeWindows windows = TimeWindows.ofSizeAndGrace(ms(size), ms(7 * c)).advanceBy(ms(advance));
                TimeWindowedKStream<String, Long> windowed = s.filter((k, v) -> v != null).groupByKey(grouped).windowedBy(windows);
                if (word.endsWith("_final")) windowed = windowed.emitStrategy(EmitStrategy.onWindowClose());
                return windowed.reduce(Programs::mix, Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name)
                    .withKeySerde(KEY).withValueSerde(VALUE).withRetention(LONG));
            }
            case "session": case "session_final": {
                SessionWindowedKStream<String, Long> windowed = s.filter((k, v) -> v != null).groupByKey(grouped)
                    .windowedBy(SessionWindows.ofInactivityGapAndGrace(ms(5 * a + 1), ms(7 * b)));
                if (word.endsWith("_final")) windowed = windowed.emitStrategy(EmitStrategy.onWindowClose());
                return windowed.aggregate(() -> 1L, (k, v, total) -> mix(total, v), (k, one, other) -> mix(one, other),
                    Materialized.<String, Long, SessionStore<Bytes, byte[]>>as(name).withKeySerde(KEY).withValueSerde(VALUE)
                        .withRetention(LONG));
            }
            case "sliding":
                return s.filter((k, v) -> v != null).groupByKey(grouped)
                    .windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(ms(10 * a + 1), LONG))
                    .reduce(Long::sum, Materialized.<String, Long, WindowStore<Bytes, byte[]>>as(name)
                        .withKeySerde(KEY).withValueSerde(VALUE));
            case "table_filter": return t.filter((k, v) -> Math.floorMod(v, 3L) != a % 3, kept(name));
            case "view_filter": return t.filterNot((k, v) -> Math.floorMod(v, 3L) == a % 3);
            case "table_map_values": return t.mapValues(v -> v * 2 + a, kept(name));
            case "regroup_sum":
                return t.groupBy((k, v) -> KeyValue.pair(keyOf(v), v), grouped).reduce(Long::sum, (x, y) -> x - y, kept(name));
            case "regroup_count":
                return t.groupBy((k, v) -> KeyValue.pair(k.substring(0, 1), v), grouped).count(kept(name));
            case "suppress": {
                var buffer = b == 0 ? Suppressed.BufferConfig.unbounded() : Suppressed.BufferConfig.maxRecords(b);
                return t.suppress(Suppressed.untilTimeLimit(ms(10 * a), buffer).withName(name));
            }
            case "suppress_windows": case "suppress_sessions":
                return w.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName(name));
            case "to_stream": return t.toStream();
            case "to_stream_W": case "to_stream_V": return w.toStream((k, v) -> flat(k));
            case "window_map_W":
                return w.mapValues(v -> v + a, windowedKept(name, WindowedSerdes.timeWindowedSerdeFrom(String.class, 1)));
            case "window_map_V":
                return w.mapValues(v -> v + a, windowedKept(name, WindowedSerdes.sessionWindowedSerdeFrom(String.class)));
            case "table_inner": return t.join(t2, Programs::meet, kept(name));
            case "table_left": return t.leftJoin(t2, Programs::meet, kept(name));
            case "table_outer": return t.outerJoin(t2, Programs::meet, kept(name));
            case "stream_table_inner": return s.join(t2, Programs::meet, joined);
            case "stream_table_left": return s.leftJoin(t2, Programs::meet, joined);
            case "foreign_inner": return t.join(t2, Programs::keyOf, Programs::meet, kept(name));
            case "foreign_left": return t.leftJoin(t2, Programs::keyOf, Programs::meet, kept(name));
            case "stream_inner": case "stream_left": case "stream_outer": {
                JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(ms(0), ms(7 * c)).before(ms(10 * a)).after(ms(15 * b));
                StreamJoined<String, Long, Long> how = StreamJoined.with(KEY, VALUE, VALUE).withName(name).withStoreName(name);
                if (word.endsWith("inner")) return s.join(s2, Programs::meet, windows, how);
                return word.endsWith("left") ? s.leftJoin(s2, Programs::meet, windows, how) : s.outerJoin(s2, Programs::meet, windows, how);
            }
            default: throw new IllegalArgumentException(word);
        }
    }

    @SuppressWarnings("unchecked")
    static ObjectNode run(JsonNode asked) {
        StreamsBuilder builder = new StreamsBuilder();
        List<Object> nodes = new ArrayList<>();
        List<String> outputs = new ArrayList<>();
        Map<Integer, String> inputs = new HashMap<>();
        for (JsonNode step : asked.get("program")) {
            int number = nodes.size();
            String word = step.get(0).asText(), name = "n" + number;
            Object[] parents = new Object[step.get(1).size()];
            for (int i = 0; i < parents.length; i++) parents[i] = nodes.get(step.get(1).get(i).asInt());
            JsonNode chance = step.get(2);
            Object node = step(builder, word, name, chance.get(0).asLong(), chance.get(1).asLong(), chance.get(2).asLong(), parents);
            nodes.add(node);
            if (word.equals("stream") || word.equals("table")) { inputs.put(number, name); continue; }
            KStream<Object, Long> out = node instanceof KTable ? ((KTable<Object, Long>) node).toStream() : (KStream<Object, Long>) node;
            out.map((k, v) -> KeyValue.pair(k == null ? null : k instanceof Windowed ? flat((Windowed<String>) k) : k.toString(), v))
                .to("out" + number, Produced.with(KEY, VALUE));
            outputs.add("out" + number);
        }
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "random");
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put(StreamsConfig.STATE_DIR_CONFIG, asked.get("folder").asText());
        config.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
            org.apache.kafka.streams.state.BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        config.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
        config.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
        ObjectNode told = JSON.createObjectNode();
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(), config)) {
            for (JsonNode record : asked.get("records")) {
                String topic = inputs.get(record.get(0).asInt());
                String key = record.get(1).isNull() ? null : record.get(1).asText();
                Long value = record.get(2).isNull() ? null : record.get(2).asLong();
                driver.createInputTopic(topic, new StringSerializer(), new LongSerializer()).pipeInput(key, value, record.get(3).asLong());
            }
            for (String output : outputs) {
                ArrayNode rows = told.putArray(output);
                var topic = driver.createOutputTopic(output, new StringDeserializer(), new LongDeserializer());
                while (!topic.isEmpty()) {
                    TestRecord<String, Long> record = topic.readRecord();
                    rows.addArray().add(record.key()).add(record.value()).add(record.timestamp());
                }
            }
        }
        return told;
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ObjectNode told;
            try {
                told = run(JSON.readTree(line));
            } catch (Exception error) {
                told = JSON.createObjectNode().put("error", String.valueOf(error));
            }
            System.out.write((JSON.writeValueAsString(told) + "\n").getBytes("UTF-8"));
            System.out.flush();
        }
    }
}
