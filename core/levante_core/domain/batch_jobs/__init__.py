"""Batch jobs: one action on every execution that a filter finds, page by page."""
