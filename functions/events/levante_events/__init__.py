"""Streams of events over HTTP, as they happen: server-sent events."""
