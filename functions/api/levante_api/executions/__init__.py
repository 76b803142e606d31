"""Endpoints of executions and their runs."""
