"""Endpoints of batch jobs."""
