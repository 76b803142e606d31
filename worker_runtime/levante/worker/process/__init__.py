"""The worker's process: what it starts, how it stops, how it ends."""
