"""Logs and statistics as items."""
