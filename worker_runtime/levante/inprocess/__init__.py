"""Workflows run in this process, without a server."""
