"""Tasks, commit, recovery, and the worker loop."""
