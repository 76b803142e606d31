"""Access: API keys, capabilities and tickets."""
