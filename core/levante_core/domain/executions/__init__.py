"""Executions and their runs: what they are called, how they stand and fail, and where one can go on anew."""
