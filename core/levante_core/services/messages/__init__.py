"""Messages to executions: signals, updates, queries and requests to cancel, and what their inputs have to be."""
