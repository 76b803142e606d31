"""The web console, as the API serves it."""
