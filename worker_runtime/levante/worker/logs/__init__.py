"""What a worker logs: on its own console, and where clients can read it."""
