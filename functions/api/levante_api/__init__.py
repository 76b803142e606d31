"""The HTTP API: one handler for all its routes."""
