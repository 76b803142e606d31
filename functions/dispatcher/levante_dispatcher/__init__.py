"""What happens after a write: tasks are sent, timers set and fired, deadlines kept."""
