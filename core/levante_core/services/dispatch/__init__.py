"""Dispatch: tasks are sent, handed out, repeated, repaired, or parked when they cannot be handled."""
