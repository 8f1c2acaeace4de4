"""What must not check: every line marked ``error`` is one for the checkers named (else both), no other is. Never run."""

from __future__ import annotations

from streamflow import App, KStream, KTable, tumbling, until_time_limit
from streamflow.processor import KeyValueStore, Processor

app = App("typed")
words = app.stream("words", key=str, value=str)
numbers = app.stream("numbers", key=int, value=int)
table = app.table("table", key=int, value=int)

words.filter(lambda word: word.nothing)  # error
lengths: KStream[str, str] = words.map_values(len, value=int)  # error
words.merge(numbers)  # error
words.join(table, lambda word, number: word, value=str)  # error
words.group_by_key().windowed_by("1m")  # error
words.group_by_key().windowed_by(tumbling(60))  # error
words.to(7)  # error
app.stream("x", value=5)  # error
app.stream("x", offset_reset="newest")  # error
words.group_by_key().reduce(lambda total, word: len(word))  # error
words.group_by_key().count().map_values(lambda count: count.upper())  # error

kept = app.table("kept", key=str, value=int)
words.join(kept, lambda word: word, value=str)  # error
words.join(kept, lambda word, number: word + number, value=str)  # error
words.left_join(kept, lambda word, number: number + 1, value=int)  # error
words.join(words, lambda a, b: a)  # error
words.join(words, lambda a, b: a, within=5, value=str)  # error
words.join(words, lambda a, b, c, d: a, within="5m", value=str)  # error
words.join(kept, lambda word, number: word, within="5m", value=str)  # error
words.left_join(words, lambda a, b: a + b, within="5m", value=str)  # error
words.outer_join(words, lambda a, b: a + (b or ""), within="5m", value=str)  # error
words.outer_join(kept, lambda word, number: word, within="5m", value=str)  # error
words.filter(lambda a, b, c: True)  # error
words.group_by_key().aggregate(lambda: 0, lambda total, word: total + word, value=int)  # error
words.group_by_key().aggregate(str, lambda total, word: total + word, value=int)  # error
words.map_values(str.upper, value=int)  # error in mypy
words.select_key(lambda word: len(word), key=str)  # error in mypy
words.flat_map_values(len, value=int)  # error
pairs: KStream[str, int] = words.map(lambda word: (word, word), key=str, value=str)  # error
words.to("x", value=int)  # error
words.to(app.topic("t", key=str, value=int))  # error
words.merge(kept)  # error
words.foreach(print).filter(len)  # error
words.peek(lambda word: word.nothing)  # error
words.split({"a": lambda word: word.nothing})  # error in basedpyright
words.repartition(partitions="3")  # error
words.count()  # error
words.group_by_key().windowed_by(tumbling("1m")).count(emit="sometimes")  # error
words.group_by_key().windowed_by(tumbling("1m")).count().filter(lambda key, n: key.nothing)  # error
kept.group_by(lambda v: v, key=str, value=int)  # error
kept.group_by(lambda k, v: (k, v), key=str, value=int).reduce(lambda a, b: "x", lambda a, b: a)  # error
kept.to_stream(lambda key, value: value + 1, key=int)  # error
texts: KTable[str, int] = words.to_table()  # error
app.table("t")  # error
app.table(["a", "b"], key=str, value=str)  # error
App("x", guarantee="maybe")  # error
App("x", brokers="y")  # error
kept.suppress("10s")  # error
kept.suppress(until_time_limit(10))  # error
kept.suppress(until_time_limit("10s"), when_full="drop")  # error
words.deduplicate(by=lambda word: word.nothing, within="10s")  # error
words.deduplicate(by=lambda word: word, within=10)  # error
words.deduplicate(within="10s")  # error
whole = app.global_table("whole", key=int, value=str)
words.join(whole, lambda word, row: word)  # error
words.join(whole, lambda word, row: word, on=lambda word: word)  # error
kept.join(app.table("numbered", key=int, value=str), lambda one, other: one, on=lambda value: "x")  # error
words.map_async(lambda word: word)  # error
words.process(str)  # error
app.table("t", key=str, value=str, history=5)  # error


class Texts(Processor[str, str, str, str]): ...


here = KeyValueStore("here", key=str, value=str)
app.add_global_store(here, "numbers", Texts, key=str, value=int)  # error
app.add_global_store(here, "texts", Texts)  # error
app.add_global_store("here", "texts", Texts, key=str, value=str)  # error
