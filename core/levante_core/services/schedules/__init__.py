"""Schedules: kept, and the executions that they start."""
