"""Observability: the spans of a run."""
