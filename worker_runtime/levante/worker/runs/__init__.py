"""Runs: advanced by their workflow code, and kept between their tasks."""
