"""Endpoints of activity attempts that go on outside of workers."""
