"""The one-process host: Levante's handlers, table, queues and payloads on one machine."""
