"""Endpoints of messages to executions."""
