"""Streams: the events that clients see, and how they are made of history events."""
