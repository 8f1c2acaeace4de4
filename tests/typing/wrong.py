"""What must not check: every line marked ``error`` is one for mypy, and no other line is. Never run."""

from __future__ import annotations

from streamflow import App, KStream, tumbling

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
