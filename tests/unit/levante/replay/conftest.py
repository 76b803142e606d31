"""Runs that tests drive by hand are thrown away after each of them, as workers do."""

from tests.support.disposal import runs_are_thrown_away

__all__ = ["runs_are_thrown_away"]
