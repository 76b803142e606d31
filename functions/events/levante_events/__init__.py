"""Live event streams over server-sent events."""
