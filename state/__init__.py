"""State: ordered maps of bytes, what is uncommitted in front of them, and their changelog."""
