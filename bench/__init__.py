"""How fast is it, and is it slower than it was? `python -m bench --help`."""
