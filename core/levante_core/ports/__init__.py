"""What the services need from the outside world. Adapters implement these; nothing here does any work."""
