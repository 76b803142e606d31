"""Executions: started, found, listed, closed, reset, and deleted when their time is over."""
