"""The script that `bench/live.py` runs as anybody would: `streamflow run bench/live_app.py`."""

from bench.apps import count

app = count()
