"""Errors that a test's calls are refused with, for tests to expect."""

from levante_core.errors import HandlerFailed

__all__ = ["HandlerFailed"]
