"""The worker's way to the API."""
