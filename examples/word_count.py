"""Count the words of every line.

streamflow run examples/word_count.py
streamflow produce lines < book.txt
streamflow consume counts --from-beginning --value int
"""

from streamflow import App

app = App("word-count")

counts = (
    app.stream("lines", value=str)
    .flat_map_values(str.split, value=str)
    .group_by(lambda word: word, key=str)
    .count(name="word-counts")
)
counts.to_stream().to("counts")
