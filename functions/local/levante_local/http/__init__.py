"""The HTTP server of the host, and what it lets in."""
