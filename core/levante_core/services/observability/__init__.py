"""Observability: the logs and the traces of executions."""
