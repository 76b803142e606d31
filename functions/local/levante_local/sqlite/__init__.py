"""The item store in an SQLite file."""
