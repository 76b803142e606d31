"""Batch jobs: started, previewed, shown and aborted by people, and taken on step by step until they end."""
