"""Endpoints of logs, metrics and traces."""
