"""Attempts of activities: run within their limits, heard while they run, and reported."""
