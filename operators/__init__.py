"""What happens to one record: one operator a file."""
